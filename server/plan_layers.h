/* plan_layers.h - what a plan does layer by layer, read from its steps: what runs again, how often, from where. For the
 * words and the lists that speak of it. Everything lives in the arena given. */
#ifndef REMATD_SERVER_PLAN_LAYERS_H
#define REMATD_SERVER_PLAN_LAYERS_H

#include "engine/plan/plan.h"

struct plan_layer {
    uint32_t first, end; /* its ops, which are neighbours */
    uint32_t needed;     /* ops whose results gradients of the layer need, themselves or for another's */
    uint32_t again;      /* of those, the ones that run again */
    uint32_t most;       /* runs of the op that runs most often */
    bool leans;          /* on what the layer before makes again: both share a checkpoint */
};

struct plan_layers {
    const struct graph *graph;
    struct plan_layer *list;
    uint32_t n;
    uint32_t *runs;  /* of each op; 1: it keeps what gradients need */
    bool *needed;    /* of each op */
    uint32_t beside; /* ops outside the layers that run again */
    uint32_t most;   /* runs of the op of the graph that runs most often */
};

PROBLEM_MUST_CHECK bool plan_layers_read(const struct plan *p, struct arena *a, struct plan_layers *out,
                                         struct problem *why);
/* All that its gradients need runs again: a checkpointed layer. */
static inline bool plan_layers_whole(const struct plan_layer *l) {
    return l->needed > 0 && l->again == l->needed;
}

/* The sentences, *n of PLAN_LAYERS_SAID at most; in plan_explain_layers.c. None where nothing runs again. */
#define PLAN_LAYERS_SAID 10u
PROBLEM_MUST_CHECK bool plan_layers_say(const struct plan_layers *layers, struct arena *a, const char **list,
                                        unsigned *n, struct problem *why);

#endif
