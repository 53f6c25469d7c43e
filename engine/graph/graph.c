/* graph.c - see graph.h */
#include "engine/graph/graph.h"

#include <string.h>

#include "engine/base/units.h"

#define TENSOR_BYTES_MAX ((uint64_t)1 << 62)

bool graph_init(struct graph *g, struct arena *arena, unsigned threads, bool backward, struct problem *why) {
    *g = (struct graph){.arena = arena, .threads = threads, .backward = backward};
    if (threads == 0)
        return problem_set(why, PROBLEM_LIMIT, "/threads", "is 0; at least one thread runs a graph");
    return true;
}

bool graph_reserve(struct graph *g, uint32_t tensors, uint32_t ops, struct problem *why) {
    if (g->tensors || g->ops || tensors > GRAPH_TENSORS_MAX)
        return true;
    g->tensors = arena_new(g->arena, struct tensor, tensors, why);
    g->ops = arena_new(g->arena, struct op, ops, why);
    g->tensors_room = tensors;
    g->ops_room = ops;
    return g->tensors && g->ops;
}

/* Doubles a list in the arena when it is full; the old one stays until the arena goes. */
static void *list_room(struct arena *a, void *list, uint32_t n, uint32_t *room, size_t size, struct problem *why) {
    if (n < *room)
        return list;
    uint32_t larger = *room ? *room * 2 : 16;
    void *copy = arena_take(a, larger, size, why);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, list, (size_t)n * size);
    *room = larger;
    return copy;
}

static bool tensor_size(struct tensor *t, struct problem *why) {
    if (t->rank > GRAPH_RANK_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/shape", "has %u dimensions; the most is %d", t->rank, GRAPH_RANK_MAX);
    for (unsigned i = 0; i < t->rank; i++)
        if (t->shape[i] == 0) {
            char where[24] = "/shape/0";
            where[7] = (char)('0' + i);
            return problem_set(why, PROBLEM_LIMIT, where, "is 0; sizes are at least 1");
        }
    if (!units_product(t->shape, t->rank, &t->elements) || !units_mul(t->elements, dtype_bytes(t->dtype), &t->bytes) ||
        t->bytes > TENSOR_BYTES_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/shape", "tensor %s would take more than 2^62 bytes", t->name);
    return true;
}

static uint32_t tensor_add(struct graph *g, const struct tensor *spec, const uint64_t *shape, struct problem *why) {
    if (g->n_tensors == GRAPH_TENSORS_MAX) {
        problem_set(why, PROBLEM_LIMIT, "", "the graph has more than %u tensors", GRAPH_TENSORS_MAX);
        return GRAPH_NONE;
    }
    struct tensor *list = list_room(g->arena, g->tensors, g->n_tensors, &g->tensors_room, sizeof *g->tensors, why);
    if (!list)
        return GRAPH_NONE;
    g->tensors = list;
    struct tensor *t = &list[g->n_tensors];
    *t = *spec;
    t->storage = g->n_tensors;
    t->name = g->borrow_names ? spec->name : arena_printf(g->arena, why, "%s", spec->name);
    if (!t->name)
        return GRAPH_NONE;
    for (unsigned i = 0; i < t->rank && i < GRAPH_RANK_MAX; i++)
        t->shape[i] = shape[i];
    return tensor_size(t, why) ? g->n_tensors++ : GRAPH_NONE;
}

uint32_t graph_tensor(struct graph *g, enum tensor_role role, const char *name, enum dtype dtype, unsigned rank,
                      const uint64_t *shape, bool needs_grad, struct problem *why) {
    return tensor_add(g,
                      &(struct tensor){.name = name,
                                       .role = role,
                                       .dtype = dtype,
                                       .rank = rank,
                                       .producer = GRAPH_NONE,
                                       .needs_grad = needs_grad && g->backward},
                      shape, why);
}

uint32_t graph_view(struct graph *g, uint32_t of, unsigned rank, const uint64_t *shape, struct problem *why) {
    struct tensor view = g->tensors[of];
    uint64_t elements = view.elements;
    view.rank = rank;
    view.requested = view.grad_requested = false;
    if (view.role == TENSOR_INPUT)
        view.role = TENSOR_MADE; /* nobody loads it */
    uint32_t storage = view.storage, id = tensor_add(g, &view, shape, why);
    if (id == GRAPH_NONE)
        return GRAPH_NONE;
    if (g->tensors[id].elements != elements) {
        problem_set(why, PROBLEM_SHAPE, "/shape", "a view of %s has as many elements as it", view.name);
        return GRAPH_NONE;
    }
    g->tensors[id].storage = storage;
    return id;
}

static uint32_t *id_append(struct graph *g, const uint32_t *list, uint32_t n, uint32_t id, struct problem *why) {
    uint32_t *longer = arena_new(g->arena, uint32_t, (size_t)n + 1, why);
    if (!longer)
        return NULL;
    if (n)
        memcpy(longer, list, n * sizeof *list);
    longer[n] = id;
    return longer;
}

uint32_t graph_output(struct graph *g, struct op *op, const char *suffix, enum dtype dtype, unsigned rank,
                      const uint64_t *shape, bool result, struct problem *why) {
    const char *name = !suffix           ? op->name
                       : g->borrow_names ? suffix /* plan_value_name puts the op before it */
                                         : arena_printf(g->arena, why, "%s.%s", op->name, suffix);
    if (!name)
        return GRAPH_NONE;
    uint32_t id = tensor_add(g,
                             &(struct tensor){.name = name,
                                              .role = TENSOR_MADE,
                                              .dtype = dtype,
                                              .rank = rank,
                                              .producer = g->n_ops,
                                              .needs_grad = result && op->needs_grad},
                             shape, why);
    uint32_t *longer = id == GRAPH_NONE ? NULL : id_append(g, op->outputs, op->n_outputs, id, why);
    if (!longer)
        return GRAPH_NONE;
    op->outputs = longer;
    op->n_outputs++;
    op->n_results += result;
    return id;
}

bool graph_save(struct graph *g, struct op *op, uint32_t tensor, struct problem *why) {
    tensor = g->tensors[tensor].storage;
    if (!op->needs_grad)
        return true;
    for (uint32_t i = 0; i < op->n_saved; i++)
        if (op->saved[i] == tensor)
            return true;
    uint32_t *longer = id_append(g, op->saved, op->n_saved, tensor, why);
    if (!longer)
        return false;
    op->saved = longer;
    op->n_saved++;
    return true;
}

static bool op_add_repeats(const struct graph *g, struct op *op, struct problem *why) {
    uint64_t repeat_bytes;
    if (!op_repeat_bytes(g, op, &repeat_bytes) ||
        !units_add(op->backward_work_bytes, repeat_bytes, &op->backward_work_bytes))
        return problem_set(why, PROBLEM_LIMIT, "/inputs", "op %s needs more workspace than can be counted", op->name);
    if (repeat_bytes && op->n_inputs > OP_INPUTS_REPEATING)
        return problem_set(why, PROBLEM_LIMIT, "/inputs", "op %s reads one tensor twice and has more than %u inputs",
                           op->name, OP_INPUTS_REPEATING);
    return true;
}

/* op->reads: the inputs themselves, or a list of its own where one of them is a view. */
static bool op_reads_find(struct graph *g, struct op *op, struct problem *why) {
    bool views = false;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] >= g->n_tensors)
            return problem_set(why, PROBLEM_INTERNAL, "/inputs", "op %s reads a tensor that does not exist", op->name);
        views |= g->tensors[op->inputs[i]].storage != op->inputs[i];
    }
    op->reads = op->inputs;
    if (!views)
        return true;
    uint32_t *reads = arena_copy(g->arena, op->inputs, op->n_inputs * sizeof *reads, why);
    for (uint32_t i = 0; reads && i < op->n_inputs; i++)
        reads[i] = g->tensors[reads[i]].storage;
    op->reads = reads;
    return reads != NULL;
}

uint32_t graph_op(struct graph *g, const struct op *spec, struct problem *why) {
    struct op *list = list_room(g->arena, g->ops, g->n_ops, &g->ops_room, sizeof *g->ops, why);
    if (!list)
        return GRAPH_NONE;
    g->ops = list;
    struct op *op = &list[g->n_ops];
    *op = *spec;
    op->outputs = op->saved = NULL;
    op->n_outputs = op->n_results = op->n_saved = 0;
    op->name = g->borrow_names ? spec->name : arena_printf(g->arena, why, "%s", spec->name);
    op->inputs = arena_copy(g->arena, spec->inputs, spec->n_inputs * sizeof *spec->inputs, why);
    if (!op->name || !op->inputs)
        return GRAPH_NONE;
    op->needs_grad = false;
    if (!op_reads_find(g, op, why))
        return GRAPH_NONE;
    for (uint32_t i = 0; i < op->n_inputs; i++)
        op->needs_grad |= g->tensors[op->inputs[i]].needs_grad;
    if (!op_table[op->kind]->shape(g, op, why) || !op_add_repeats(g, op, why))
        return GRAPH_NONE;
    return g->n_ops++;
}

uint32_t graph_result(const struct graph *g, uint32_t op, uint32_t index) {
    return g->ops[op].outputs[index];
}

void graph_request(struct graph *g, uint32_t tensor) {
    g->tensors[g->tensors[tensor].storage].requested = true;
}

void graph_request_grad(struct graph *g, uint32_t tensor) {
    g->tensors[tensor].grad_requested = g->backward && g->tensors[tensor].needs_grad;
}

static bool is_read(const struct graph *g, uint32_t tensor) {
    for (uint32_t o = 0; o < g->n_ops; o++)
        for (uint32_t i = 0; i < g->ops[o].n_inputs; i++)
            if (g->ops[o].reads[i] == tensor)
                return true;
    return false;
}

/* No sum over the graph may pass 2^62: simulators and planners add without looking. A second run counts again. */
static bool sums_check(const struct graph *g, struct problem *why) {
    const uint64_t most = (uint64_t)1 << 62;
    uint64_t bytes = g->optimizer_bytes, flops = 0;
    bool ok = true;
    for (uint32_t t = 0; ok && t < g->n_tensors; t++)
        ok = units_add(bytes, 2 * g->tensors[t].bytes, &bytes) && bytes <= most;
    for (uint32_t o = 0; ok && o < g->n_ops; o++)
        ok = units_add(bytes, g->ops[o].forward_work_bytes, &bytes) &&
             units_add(bytes, g->ops[o].backward_work_bytes, &bytes) && bytes <= most &&
             units_add(flops, g->ops[o].forward_flops, &flops) && units_add(flops, g->ops[o].backward_flops, &flops) &&
             flops <= most;
    return ok || problem_set(why, PROBLEM_LIMIT, "", "takes more bytes or operations than 2^62");
}

bool graph_finish(struct graph *g, struct problem *why) {
    bool any = false;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].grad_requested && !g->tensors[t].requested && !is_read(g, t))
            return problem_set(why, PROBLEM_SHAPE, "/inputs", "the gradient of %s is asked for, which nothing reads",
                               g->tensors[t].name);
    g->layers = 0;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        any |= g->tensors[t].requested;
    for (uint32_t o = 0; o < g->n_ops; o++)
        if (g->ops[o].layer != GRAPH_NONE && g->ops[o].layer >= g->layers)
            g->layers = g->ops[o].layer + 1;
    if (!any || g->n_ops == 0)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/outputs", "nothing is asked of the graph");
    return sums_check(g, why);
}

uint64_t graph_persistent_bytes(const struct graph *g) {
    uint64_t bytes = g->optimizer_bytes;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].role == TENSOR_PARAMETER)
            bytes += g->tensors[t].bytes * (g->tensors[t].needs_grad ? 2 : 1);
    return bytes;
}
