/* cases.h - kernels with their inputs, ready to be timed: case_NAME.c for each kind. On one thread (column 0) and on
 * two (column 1), over the same tensors. */
#ifndef REMATD_TESTS_BENCH_CASES_H
#define REMATD_TESTS_BENCH_CASES_H

#include "engine/kernels/attn.h"
#include "engine/models/model.h"
#include "engine/plan/planner.h"
#include "tests/bench/bench.h"

enum { CASE_THREADS = 2 };

/* pool[t] has t + 1 threads. */
struct case_pools {
    struct pool *pool[CASE_THREADS];
};

/* ---- attention ---- */

struct case_attention {
    const struct attn_kernel *kernel;
    struct attn_shape shape; /* strides are filled in: contiguous */
    struct attn_mask mask;
    double dropout;
    bool backward;
};
struct attention_case;
struct attention_case *attention_case_new(const struct case_attention *what, const struct case_pools *pools);
void attention_case_free(struct attention_case *c);
/* Useful FLOPs: of allowed pairs alone, 4 d forward and 8 d or 10 d backward, as memory-model.md counts. */
struct bench_work attention_case_forward(struct attention_case *c, unsigned column);
struct bench_work attention_case_backward(struct attention_case *c, unsigned column);
/* All tensors and the workspace of the larger pool. */
uint64_t attention_case_bytes(const struct attention_case *c);

/* ---- linear layers ---- */

enum case_direction { CASE_FORWARD, CASE_D_X, CASE_D_WEIGHT, CASE_DIRECTIONS };
struct linear_case;
struct linear_case *linear_case_new(uint64_t rows, uint64_t in, uint64_t out, const struct case_pools *pools);
void linear_case_free(struct linear_case *c);
struct bench_work linear_case_work(struct linear_case *c, enum case_direction direction, unsigned column);

/* ---- what goes through rows of numbers: bytes are those that must be read and written ---- */

struct case_rows {
    const char *name;
    double passes; /* tensors of [rows][width] read or written: adding into one is both */
    uint64_t rows, width;
    void (*run)(void *state); /* state is a struct rows_case */
};
extern const struct case_rows case_rows_table[];
extern const unsigned case_rows_length;
struct rows_case;
struct rows_case *rows_case_new(const struct case_rows *what, const struct case_pools *pools);
void rows_case_free(struct rows_case *c);
struct bench_work rows_case_work(struct rows_case *c, unsigned column);

/* ---- a training step of GPT-2 small: float32, batch 1, no dropout, no optimizer, forward and loss and backward ----
 */

struct case_step {
    uint64_t seq_len;
    unsigned attention;   /* ATTN_STANDARD, ATTN_FLASH */
    const char *strategy; /* a planner's name; every_2; or selective, which recomputes attention */
    unsigned threads;
};
struct step_case;
struct step_case *step_case_new(const struct case_step *what);
void step_case_free(struct step_case *c);
/* One step. FLOPs are the model's: what is recomputed does not count. */
struct bench_work step_case_work(struct step_case *c);
/* What was planned, and what runs it. */
const struct plan *step_case_plan(const struct step_case *c);
struct exec *step_case_exec(struct step_case *c);
float step_case_loss(struct step_case *c);

#endif
