/* support_training.h - training steps of small models: a table of models whose sizes are multiples of nothing, what
 * they read, and sessions of steps whose losses, gradients and weights are kept. Asserts with Criterion. */
#ifndef REMATD_TESTS_SUPPORT_TRAINING_H
#define REMATD_TESTS_SUPPORT_TRAINING_H

#include "engine/exec/train.h"
#include "engine/models/model.h"
#include "engine/plan/planner.h"

struct support_model {
    const char *name;
    struct model model; /* layers as given, defaults not filled in */
    uint64_t seq_len, source_len;
    bool rare; /* what only some models have: not for every test */
};
extern const struct support_model support_models[];
extern const unsigned support_models_length;

/* A step of it in batches of 2: float32, standard attention, no dropout, no optimizer, one thread. layers 0: as given;
 * else of each stack. */
struct workload support_workload(const struct support_model *m, uint64_t layers);
/* The same, small enough for a check in doubles, weight by weight. */
struct workload support_workload_tiny(const struct support_model *m);

/* Asserts that the ops can do all of it. */
void support_lower(const struct workload *w, struct arena *a, struct graph *g);

enum { SUPPORT_STEPS_MAX = 8 };

struct support_session;

struct support_training {
    const struct workload *w;
    uint64_t steps;
    struct update_rule rule; /* all 0: the optimizer's own */
    double clip_norm;
    bool every_target; /* else one in five is to be left out */
    bool check_recompute;
    bool same_rows;                             /* every microbatch reads what the first does */
    void (*at_turn)(struct support_session *s); /* between forward and backward; may be NULL */
};

struct support_session {
    const struct support_training *t;
    const struct plan *plan;
    struct slab *slab, *persistent;
    struct pool *pool;
    struct exec *exec;
    struct train train;
    uint64_t microbatch, microbatch_steps; /* passes so far; steps of the present one */
    uint64_t asked, cancel_at;             /* how often cancelled was asked, and when it says yes */
};

/* Inputs are numbers of (name, row, place); weights are wide enough for every gradient to count. */
void support_session_open(struct support_session *s, const struct support_training *t, const struct plan *plan);
void support_session_close(struct support_session *s);
/* What the sessions' executors load. */
void support_session_load(const struct support_session *s, uint32_t value, void *dst);

struct support_trained {
    double losses[SUPPORT_STEPS_MAX], norms[SUPPORT_STEPS_MAX];
    struct digest digest;      /* of every microbatch's loss and every step's gradients */
    unsigned char *kept[2];    /* weights, gradients after the last step: one parameter after another */
    struct exec_report report; /* with the witness on */
};

/* All steps; asserts that what was measured is what was planned. Yours: support_trained_free. */
void support_train(const struct support_training *t, const struct plan *plan, struct support_trained *out);
void support_trained_free(struct support_trained *t);
/* Whether losses, gradients and weights are the same bits; if not, what is not. */
bool support_trained_same(const struct graph *g, const struct support_trained *a, const struct support_trained *b,
                          uint64_t steps, const char **differs);

#endif
