/* job_training_weights.h - weights from an uploaded safetensors file: with the names of Hugging Face checkpoints (by
 * the config's model_type, or whichever fits a preset), or with those a job gives its own ("0.attention.q.weight", also
 * under "weights." or "initial_weights.", as a job's tensors are fetched). */
#ifndef REMATD_SERVER_JOB_TRAINING_WEIGHTS_H
#define REMATD_SERVER_JOB_TRAINING_WEIGHTS_H

#include "server/checkpoint_names.h"
#include "server/job.h"
#include "server/tensor_file.h"
#include "server/wire_tensor.h"

struct training_weights {
    const char *digest; /* NULL: from the seed */
    struct tensor_file file;
    struct checkpoint_map map; /* set by job_training_weights_map */
};

/* "weights": {"tensor": "sha256:..."}: reads the file's header. */
PROBLEM_MUST_CHECK bool job_training_weights_read(struct job *job, const struct wire_value *request,
                                                  const struct job_context *c, struct training_weights *out,
                                                  struct problem *why);

/* Finds every parameter of g in the file: each there, of its shape, of a floating dtype; nothing left over. Problems
 * are at /weights and name the tensor. type is a model_type or NULL. */
PROBLEM_MUST_CHECK bool job_training_weights_map(struct training_weights *w, const struct graph *g, const char *type,
                                                 struct arena *a, struct problem *why);

/* Writes one parameter, in the graph's dtype, to dst. */
PROBLEM_MUST_CHECK bool job_training_weights_fill(const struct training_weights *w, const struct graph *g,
                                                  uint32_t parameter, struct blob_store *blobs, void *dst,
                                                  struct problem *why);

/* "0.attention.q.weight": the layer, if it is of one, and the name. */
PROBLEM_MUST_CHECK const char *job_training_parameter_name(const struct graph *g, uint32_t parameter, struct arena *a,
                                                           struct problem *why);

#endif
