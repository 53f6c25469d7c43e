/* exec.c - see exec.h */
#include "engine/exec/exec.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/digest.h"
#include "engine/base/units.h"
#include "engine/exec/observe.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

struct exec {
    const struct plan *plan;
    const struct graph *graph;
    struct exec_options options;
    struct slab *slab_owner, *persistent_owner;
    unsigned char *slab, *persistent;
    void **address;        /* by value */
    unsigned char *runs;   /* by op: has it run */
    struct digest *digest; /* by op: of its results' first run; with check_recompute */
    uint32_t step, next_extent;
    uint64_t pass; /* times rewound */
    void *work;    /* of the step at hand */
    uint64_t work_bytes;
    const void **pointers[4]; /* inputs, outputs, d_outputs, d_inputs of the op at hand */
    uint64_t live_bytes, highest;
    struct observe *observe;
    struct exec_report report;
    bool broken;
};

static bool persists(const struct exec *e, uint32_t t) {
    return e->graph->tensors[t].role == TENSOR_PARAMETER;
}

static bool value_load(struct exec *e, uint32_t value, void *dst, struct problem *why) {
    return e->options.load(e->options.user, value, dst, why);
}

/* What the optimizer keeps, which is floats, then parameters one after another, then their gradients; what is not
 * loaded starts at zero. */
static bool persistent_place(struct exec *e, struct problem *why) {
    const struct graph *g = e->graph;
    unsigned char *next = e->persistent + g->optimizer_bytes;
    memset(e->persistent, 0, g->optimizer_bytes);
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (persists(e, t)) {
            e->address[t] = next;
            if (!value_load(e, t, next, why))
                return false;
            next += g->tensors[t].bytes;
        }
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (graph_is_trained(g, t)) {
            e->address[g->n_tensors + t] = memset(next, 0, g->tensors[t].bytes);
            next += g->tensors[t].bytes;
        }
    return true;
}

/* A gradient starts as what the caller gives for an output, as zero for everything else. */
static bool gradient_start(struct exec *e, uint32_t tensor, void *at, struct problem *why) {
    const struct tensor *t = &e->graph->tensors[tensor];
    if (t->requested)
        return value_load(e, e->graph->n_tensors + tensor, at, why);
    memset(at, 0, t->bytes);
    return true;
}

static bool extent_open(struct exec *e, const struct extent *x, struct problem *why) {
    unsigned char *at = e->slab + x->offset;
    UNPOISON(at, x->bytes);
    e->live_bytes += x->bytes;
    e->highest = units_max(e->highest, x->offset + x->bytes);
    if (x->value == EXTENT_WORK) {
        e->work = at;
        e->work_bytes = x->bytes;
        return true;
    }
    e->address[x->value] = at;
    observe_made(e->observe, x->value, e->step);
    bool gradient = x->value >= e->graph->n_tensors;
    if (gradient)
        return gradient_start(e, x->value - e->graph->n_tensors, at, why);
    return e->graph->tensors[x->value].role != TENSOR_INPUT || value_load(e, x->value, at, why);
}

static bool extents_open(struct exec *e, struct problem *why) {
    const struct plan *p = e->plan;
    e->work = NULL;
    e->work_bytes = 0;
    for (; e->next_extent < p->n_extents && p->extents[e->next_extent].first == e->step; e->next_extent++)
        if (!extent_open(e, &p->extents[e->next_extent], why))
            return false;
    e->report.live_peak_bytes = units_max(e->report.live_peak_bytes, e->live_bytes);
    return true;
}

static void work_close(struct exec *e) {
    if (e->work_bytes) {
        e->live_bytes -= e->work_bytes;
        POISON(e->work, e->work_bytes);
    }
}

static void value_free(struct exec *e, uint32_t value) {
    uint64_t bytes = units_extent(plan_value_bytes(e->graph, value));
    observe_freed(e->observe, value, e->step);
    POISON(e->address[value], bytes);
    e->address[value] = NULL;
    e->live_bytes -= bytes;
}

static const void **gather(struct exec *e, unsigned list, const uint32_t *ids, uint32_t n, uint32_t base) {
    for (uint32_t i = 0; i < n; i++)
        e->pointers[list][i] = e->address[base + ids[i]];
    return e->pointers[list];
}

static struct op_call call_make(struct exec *e, const struct op *op) {
    return (struct op_call){.graph = e->graph,
                            .op = op,
                            .pool = e->options.pool,
                            .inputs = gather(e, 0, op->reads, op->n_inputs, 0),
                            .outputs = (void *const *)gather(e, 1, op->outputs, op->n_outputs, 0),
                            .work = e->work,
                            .pass = e->pass};
}

static struct digest results_digest(const struct exec *e, const struct op *op) {
    struct digest d = {0};
    for (uint32_t r = 0; r < op->n_results; r++)
        d = digest_add(d, e->address[op->outputs[r]], e->graph->tensors[op->outputs[r]].bytes);
    return d;
}

static bool digest_check(struct exec *e, uint32_t id, bool again, struct problem *why) {
    const struct op *op = &e->graph->ops[id];
    struct digest digest = results_digest(e, op);
    if (!again)
        e->digest[id] = digest;
    if (digest_same(e->digest[id], digest))
        return true;
    return problem_set(why, PROBLEM_NONDETERMINISTIC, "", "the recomputation of %s differs from its first run",
                       op->name);
}

static uint64_t now(const struct exec *e) {
    return e->options.now_ns ? e->options.now_ns() : 0;
}

static bool step_run(struct exec *e, uint32_t id, struct problem *why) {
    const struct op *op = &e->graph->ops[id];
    bool again = e->runs[id];
    e->runs[id] = 1;
    observe_run(e->observe, op, e->step, again);
    struct op_call call = call_make(e, op);
    uint64_t start = now(e);
    if (!op_forward(&call, why))
        return false;
    *(again ? &e->report.recompute_ns : &e->report.forward_ns) += now(e) - start;
    *(again ? &e->report.recompute_flops : &e->report.forward_flops) += op->forward_flops;
    return !e->options.check_recompute || digest_check(e, id, again, why);
}

static bool step_grad(struct exec *e, uint32_t id, struct problem *why) {
    const struct op *op = &e->graph->ops[id];
    uint32_t gradient = e->graph->n_tensors;
    observe_grad(e->observe, op, e->step);
    struct op_call call = call_make(e, op);
    call.d_outputs = gather(e, 2, op->outputs, op->n_results, gradient);
    call.d_inputs = (void *const *)gather(e, 3, op->reads, op->n_inputs, gradient);
    uint64_t start = now(e);
    if (!op_backward(&call, why))
        return false;
    e->report.backward_ns += now(e) - start;
    e->report.backward_flops += op->backward_flops;
    return true;
}

static bool step_do(struct exec *e, struct problem *why) {
    struct step s = e->plan->steps[e->step];
    if (!extents_open(e, why))
        return false;
    if (s.op == STEP_FREE)
        value_free(e, s.of);
    else if (!(s.op == STEP_RUN ? step_run(e, s.of, why) : step_grad(e, s.of, why)))
        return false;
    work_close(e);
    return true;
}

bool exec_run(struct exec *e, uint32_t until, struct problem *why) {
    if (e->broken)
        return problem_set(why, PROBLEM_STATE, "", "this run has failed before");
    e->broken = true;
    for (; e->step < until && e->step < e->plan->n_steps; e->step++) {
        if (e->options.cancelled && e->options.cancelled(e->options.user))
            return problem_set(why, PROBLEM_CANCELLED, "", "cancelled at step %u of %u", e->step, e->plan->n_steps);
        if (!step_do(e, why))
            return false;
        if (e->options.progress)
            e->options.progress(e->options.user, e->step + 1, e->plan->n_steps);
    }
    e->broken = false;
    return true;
}

void *exec_value(const struct exec *e, uint32_t value) {
    return e->address[value];
}

struct numbers exec_numbers(const struct exec *e, uint32_t value) {
    const struct graph *g = e->graph;
    const uint32_t tensor = value < g->n_tensors ? value : value - g->n_tensors;
    return (struct numbers){e->address[value], g->tensors[tensor].dtype == DTYPE_BFLOAT16};
}

uint64_t exec_peak_bytes(const struct exec *e) {
    return graph_persistent_bytes(e->graph) + e->highest;
}

void *exec_optimizer(const struct exec *e) {
    return e->persistent;
}

void exec_clear_gradients(struct exec *e) {
    const struct graph *g = e->graph;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (graph_is_trained(g, t))
            memset(e->address[g->n_tensors + t], 0, g->tensors[t].bytes);
}

bool exec_rewind(struct exec *e, struct problem *why) {
    const struct graph *g = e->graph;
    if (e->broken || e->step < e->plan->n_steps)
        return problem_set(why, PROBLEM_STATE, "", "the run is not complete");
    observe_free(e->observe);
    e->observe = observe_new(e->plan);
    if (!e->observe)
        return problem_set(why, PROBLEM_MEMORY, "", "there is no memory for the executor's tables");
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (!persists(e, t))
            e->address[t] = e->address[g->n_tensors + t] = NULL;
    memset(e->runs, 0, g->n_ops);
    POISON(e->slab, e->plan->slab_bytes);
    e->live_bytes = 0;
    e->step = e->next_extent = 0;
    e->pass++;
    return true;
}

bool exec_finish(struct exec *e, struct exec_report *report, struct problem *why) {
    if (e->broken || e->step < e->plan->n_steps)
        return problem_set(why, PROBLEM_STATE, "", "the run is not complete");
    e->report.measured_peak_bytes = exec_peak_bytes(e);
    observe_sum(e->observe, &e->report.retained_peak_bytes, &e->report.saved_bytes);
    if (e->options.witness) {
        UNPOISON(e->slab, e->plan->slab_bytes);
        e->report.touched_bytes = slab_touched_bytes(e->slab_owner);
        if (!slab_front_intact(e->slab_owner) || !slab_front_intact(e->persistent_owner))
            return problem_set(why, PROBLEM_WITNESS, "", "bytes before the slab were written");
    }
    *report = e->report;
    return true;
}

static bool exec_room(struct exec *e, struct problem *why) {
    const struct graph *g = e->graph;
    uint32_t most = 1;
    for (uint32_t o = 0; o < g->n_ops; o++)
        most = (uint32_t)units_max(most, units_max(g->ops[o].n_inputs, g->ops[o].n_outputs));
    e->address = calloc((size_t)g->n_tensors * 2 + 1, sizeof *e->address);
    e->runs = calloc((size_t)g->n_ops + 1, 1);
    e->digest = calloc((size_t)g->n_ops + 1, sizeof *e->digest);
    e->observe = observe_new(e->plan);
    bool ok = e->address && e->runs && e->digest && e->observe;
    for (unsigned i = 0; i < 4; i++)
        ok &= (e->pointers[i] = calloc(most, sizeof *e->pointers[i])) != NULL;
    return ok || problem_set(why, PROBLEM_MEMORY, "", "there is no memory for the executor's tables");
}

static bool exec_place(struct exec *e, struct problem *why) {
    e->persistent = slab_reserve(e->persistent_owner, units_extent(graph_persistent_bytes(e->graph)), why);
    e->slab = e->persistent ? slab_reserve(e->slab_owner, e->plan->slab_bytes, why) : NULL;
    if (!e->slab)
        return false;
    UNPOISON(e->slab, e->plan->slab_bytes);
    if (e->options.witness) {
        slab_fill(e->slab_owner);
        slab_fill(e->persistent_owner);
    }
    POISON(e->slab, e->plan->slab_bytes);
    return persistent_place(e, why);
}

static bool dtype_runs(const struct graph *g, const struct op *op, uint32_t tensor, struct problem *why) {
    const enum dtype dtype = g->tensors[tensor].dtype;
    if (dtype == DTYPE_FLOAT16 || (dtype == DTYPE_BFLOAT16 && !op_table[op->kind]->narrow))
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "%s in %s is planned and not run yet", op->name,
                           dtype_name(dtype));
    return true;
}

/* Some graphs are there to be planned: their ops have no kernels, or none for their tensors, yet. */
static bool op_runs(const struct graph *g, const struct op *op, struct problem *why) {
    const struct op_row *row = op_table[op->kind];
    if (!row->forward)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "%s is planned and not run yet", op->name);
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (!dtype_runs(g, op, op->inputs[i], why))
            return false;
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (!dtype_runs(g, op, op->outputs[i], why))
            return false;
    return !row->runs || row->runs(g, op, why);
}

bool exec_runs(const struct graph *g, struct problem *why) {
    for (uint32_t o = 0; o < g->n_ops; o++)
        if (!op_runs(g, &g->ops[o], why))
            return false;
    return true;
}

struct exec *exec_new(const struct plan *plan, struct slab *slab, struct slab *persistent,
                      const struct exec_options *options, struct problem *why) {
    struct exec *e = calloc(1, sizeof *e);
    if (!e) {
        problem_set(why, PROBLEM_MEMORY, "", "there is no memory for an executor");
        return NULL;
    }
    e->plan = plan;
    e->graph = plan->graph;
    e->options = *options;
    e->slab_owner = slab;
    e->persistent_owner = persistent;
    if (pool_threads(options->pool) > plan->graph->threads)
        problem_set(why, PROBLEM_INTERNAL, "/threads", "the pool has more threads than the plan has workspace for");
    else if (exec_runs(plan->graph, why) && exec_room(e, why) && exec_place(e, why))
        return e;
    exec_free(e);
    return NULL;
}

void exec_free(struct exec *e) {
    if (!e)
        return;
    if (e->slab)
        UNPOISON(e->slab, e->plan->slab_bytes);
    for (unsigned i = 0; i < 4; i++)
        free(e->pointers[i]);
    observe_free(e->observe);
    free(e->digest);
    free(e->runs);
    free(e->address);
    free(e);
}
