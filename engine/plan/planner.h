/* planner.h - strategies: named ways to write a plan. A row of planner_table for each; all of those so far cut the
 * graph into groups that are recomputed together. Pure functions; everything is made in the arena given. */
#ifndef REMATD_PLAN_PLANNER_H
#define REMATD_PLAN_PLANNER_H

#include "engine/plan/cost.h"
#include "engine/plan/plan.h"

/* What a selective strategy recomputes: parts of a layer, or kinds of op. */
struct selection {
    unsigned parts;    /* enum op_part */
    uint64_t op_kinds; /* bit 1 << enum op_kind */
};

/* Adds what a name stands for: "attention", "attention_core", "mlp", "norm", or an op's name. False if unknown. */
bool selection_add(struct selection *s, const char *name);

enum layer_policy { LAYER_KEEP, LAYER_CHECKPOINT, LAYER_RECOMPUTE };

struct strategy_layer {
    enum layer_policy policy;
    struct selection selection; /* with LAYER_RECOMPUTE */
};

enum objective { OBJECTIVE_FLOPS, OBJECTIVE_SECONDS };

struct strategy {
    const struct planner *planner;
    uint64_t n;                          /* every_n; >= 1 */
    uint64_t k;                          /* uniform, block; 0: not given */
    uint64_t segments;                   /* uniform; 0: not given */
    struct selection selection;          /* selective */
    const struct strategy_layer *layers; /* custom: one per layer of the graph */
    uint64_t n_layers;
    /* of planners that choose */
    uint64_t budget_bytes;          /* of the peak; 0: none */
    enum objective objective;       /* what is to be least */
    const struct cost_rates *rates; /* with OBJECTIVE_SECONDS; NULL: FLOPs it is */
    double time_limit_seconds;
    bool reorder;
    uint64_t loss_chunk; /* workload.loss_chunk, for whoever lowers: the graph depends on it, groups do not */
};

/* What a strategy takes, for readers of requests and for GET /v1/strategies. */
enum strategy_parameter {
    STRATEGY_TAKES_N = 1,
    STRATEGY_TAKES_K = 2,
    STRATEGY_TAKES_SEGMENTS = 4,
    STRATEGY_TAKES_OPS = 8,
    STRATEGY_TAKES_LAYERS = 16,
    STRATEGY_TAKES_BUDGET = 32,
    STRATEGY_TAKES_OBJECTIVE = 64,
    STRATEGY_TAKES_TIME = 128, /* time_limit_seconds, reorder */
};

struct planner {
    const char *name, *description, *known_as;
    unsigned parameters; /* enum strategy_parameter */
    /* group[op] = number of the group that recomputes it, GRAPH_NONE where the op keeps what it saves */
    bool (*groups)(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why);
    /* or, in place of groups, the whole plan: the best within s->budget_bytes, or where none is, the smallest */
    bool (*plan)(const struct graph *g, const struct strategy *s, struct arena *arena, struct plan *plan,
                 struct problem *why);
};

extern const struct planner *const planner_table[];
extern const unsigned planner_table_length;
/* "none" finds standard. NULL if there is no such strategy. */
const struct planner *planner_find(const char *name);

extern const struct planner planner_standard, planner_every_layer, planner_every_n, planner_uniform, planner_block,
    planner_selective, planner_custom, planner_sqrt_n, planner_revolve, planner_greedy, planner_optimal;
/* Layers of one group of sqrt_n: the least whose square is at least `layers`. */
uint64_t planner_sqrt_n_layers(uint64_t layers);

/* Checks the parameters ("/n", "/segments", "/layers/3") and writes the plan. */
PROBLEM_MUST_CHECK bool planner_plan(const struct graph *g, const struct strategy *s, struct arena *arena,
                                     struct plan *plan, struct problem *why);

/* The plan that keeps everything but what the groups recompute: a group is run again, as far as something of it is
 * missing, just before the first gradient that needs it (so in reverse order of groups). group as in struct planner.
 * What a group makes and gradients of others read is kept, unless the op is loose: then it is made again for them. */
PROBLEM_MUST_CHECK bool planner_plan_groups(const struct graph *g, const uint32_t *group, const bool *loose,
                                            struct arena *arena, struct plan *plan, struct problem *why);

/* For the rows: cuts the selected ops of each layer into runs of neighbours and numbers them from *next on. */
void planner_select(const struct graph *g, uint32_t layer, const struct selection *s, uint32_t *group, uint32_t *next);

/* Ways to run one attention call: a kernel, and whether the backward recomputes what the kernel makes for it. */
struct attention_strategy {
    const char *name, *description;
    const struct attn_kernel *kernel;
    bool checkpointed;
};
extern const struct attention_strategy attention_strategy_table[]; /* fastest first: "auto" takes the first that fits */
extern const unsigned attention_strategy_table_length;
const struct attention_strategy *attention_strategy_find(const char *name);
/* The strategy (standard or every_layer) that plans a graph whose attention uses the row's kernel. */
struct strategy attention_strategy_plan(const struct attention_strategy *row);

#endif
