/* job_training_data.h - what a training step reads: token ids, targets, images, sounds, from the request, from an
 * uploaded file, or drawn from a seed.
 *
 * Ids are rows. A step takes gradient_accumulation x batch of them, the next ones each time, from the first again after
 * the last. With N tokens a sequence:
 *   [.., N + 1]     a row: N tokens, and the targets are those one further on
 *   [.., N]         a row: the last token has no target (decoders)
 *   [n], n > N + 1  a stream, a text: row i is N + 1 tokens of it, from a place that the seed draws for i; of tokens
 * alone, since what goes with them (targets, types) would be cut elsewhere Without any, decoders get rows of N + 1
 * uniform ids, never the same twice. Encoders learn what was masked: of each row the first token, and each other one
 * with probability 0.15, is replaced by the last id of the vocabulary, and is a target. A negative target is none. */
#ifndef REMATD_SERVER_JOB_TRAINING_DATA_H
#define REMATD_SERVER_JOB_TRAINING_DATA_H

#include "engine/models/model.h"
#include "server/job.h"
#include "server/wire_tensor.h"

/* In the order of data_names. */
enum training_input {
    TRAINING_TOKENS,
    TRAINING_TARGETS,
    TRAINING_TYPES,
    TRAINING_SOURCE,
    TRAINING_IMAGE,
    TRAINING_SOUND,
    TRAINING_INPUTS
};

struct training_rows {
    bool given;
    struct wire_tensor tensor; /* where it is no text */
    const char *text;
    uint64_t length, stride, n; /* ids of a row, from one to the next, how many */
    bool drawn;                 /* not one after the other */
};

struct training_data {
    const struct workload *w;
    uint64_t seed;
    struct training_rows inputs[TRAINING_INPUTS];
};

/* Reads "tokens", "text" and "inputs" of a request whose workload and seed are known; every given id is checked. */
PROBLEM_MUST_CHECK bool job_training_data_read(struct job *job, const struct wire_value *request,
                                               const struct job_context *c, const struct workload *w, uint64_t seed,
                                               struct training_data *out, struct problem *why);

/* Images and sounds that are given are of the graph's shape. */
PROBLEM_MUST_CHECK bool job_training_data_check(const struct training_data *d, const struct graph *g,
                                                struct problem *why);

/* Fills the graph's input t (known by its name) with the rows from `row` on. */
PROBLEM_MUST_CHECK bool job_training_data_fill(const struct training_data *d, struct blob_store *blobs,
                                               const struct tensor *t, uint64_t row, void *dst, struct problem *why);

#endif
