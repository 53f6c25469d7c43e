/* measure.h - how fast this machine is at what plans are made of: each kind of op run alone, in a planned slab, and the
 * optimizer's update and a plain copy beside them. What is measured is a table; sizes are those of a model's layer.
 *
 * The clock is the caller's. A figure is the median of its rounds, after one that is not counted. */
#ifndef REMATD_EXEC_MEASURE_H
#define REMATD_EXEC_MEASURE_H

#include "engine/exec/exec.h"
#include "engine/plan/cost.h"

struct measure_size {
    uint64_t tokens, width, hidden, vocab, heads; /* heads divides width into even parts */
    uint64_t piece;                               /* elements of an update */
    uint64_t copy_bytes;                          /* read, and written: more than caches hold */
};
extern const struct measure_size measure_size_usual; /* a layer of GPT-2 small, 512 tokens */

#define MEASURE_ROUNDS_MAX 16u

/* The cases, 0 ... measure_cases - 1; several may be of one row. */
extern const unsigned measure_cases;
/* Of no kind of op: what a copy moves, reading and writing; one tensor's step of adamw. Behind cost.h's rows. */
enum { MEASURE_COPY = COST_ROWS, MEASURE_UPDATE };
const char *measure_row_name(unsigned row);

/* A case that was planned, in one dtype: float32 or bfloat16. */
struct measure {
    unsigned row;
    enum dtype dtype;
    bool runs;         /* there are kernels for it; else nothing below is set */
    unsigned n_phases; /* forward and backward, or forward alone */
    uint64_t flops[2], bytes[2];
    uint64_t peak_bytes; /* predicted: slab and persistent memory */
    const char *shape;   /* "512 x 768 -> 3072" */
    uint64_t elements;   /* of copy and update */
    struct graph graph;  /* of the others */
    struct plan plan;
};
/* m stays where it is: its plan points at its graph. */
PROBLEM_MUST_CHECK bool measure_plan(unsigned index, const struct measure_size *size, enum dtype dtype,
                                     unsigned threads, struct arena *a, struct measure *m, struct problem *why);

struct measure_options {
    struct slab *slab, *persistent;
    struct pool *pool;
    uint64_t (*now_ns)(void);
    uint64_t share_ns;             /* no round begins after so long, but for the first */
    bool (*cancelled)(void *user); /* asked between rounds; NULL: never */
    void *user;
};

struct measure_figures {
    unsigned rounds;
    double seconds[2];   /* forward, backward */
    uint64_t peak_bytes; /* measured */
};
PROBLEM_MUST_CHECK bool measure_run(const struct measure *m, const struct measure_options *o,
                                    struct measure_figures *out, struct problem *why);

#endif
