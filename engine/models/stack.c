/* stack.c - see stack.h: one builder a kind, in a table. */
#include "engine/models/stack.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"

#define PATH_BYTES 96

struct builder {
    struct graph *g;
    struct stack *stack;
    uint32_t *list; /* what flows */
    uint32_t n;
    uint32_t layer;
    unsigned parts;
    char path[PATH_BYTES]; /* "0.1": the function's place, for names */
    struct problem *why;
};

static bool build(struct builder *b, const struct stack_function *f);

/* ---- parts every builder uses ---- */

static uint32_t op_add(struct builder *b, const char *name, struct op spec, const uint32_t *inputs, uint32_t n) {
    char full[PATH_BYTES + 48];
    if (b->g->n_ops >= STACK_OPS_MAX) {
        problem_set(b->why, PROBLEM_LIMIT, "", "makes more than %u ops", STACK_OPS_MAX);
        return GRAPH_NONE;
    }
    snprintf(full, sizeof full, "%s.%s", b->path, name);
    spec.name = full;
    spec.inputs = inputs;
    spec.n_inputs = n;
    spec.layer = b->layer;
    spec.parts |= b->parts;
    return graph_op(b->g, &spec, b->why);
}

/* The op's one result, or GRAPH_NONE. */
static uint32_t result_of(struct builder *b, uint32_t op) {
    return op == GRAPH_NONE ? GRAPH_NONE : graph_result(b->g, op, 0);
}

static bool origin_add(struct builder *b, const struct stack_origin *origin) {
    struct stack *s = b->stack;
    if (s->n_origins == s->origins_room) {
        uint32_t room = s->origins_room ? s->origins_room * 2 : 16;
        struct stack_origin *larger = arena_new(b->g->arena, struct stack_origin, room, b->why);
        if (!larger)
            return false;
        if (s->n_origins)
            memcpy(larger, s->origins, s->n_origins * sizeof *larger);
        s->origins = larger;
        s->origins_room = room;
    }
    s->origins[s->n_origins++] = *origin;
    return true;
}

/* A parameter named PATH.name. Its number in the stack is part of the counter, so repeated layers differ. */
static uint32_t parameter(struct builder *b, const char *name, unsigned rank, const uint64_t *shape, uint64_t seed,
                          const struct stack_given *given, float deviation, float constant) {
    char full[PATH_BYTES + 48];
    snprintf(full, sizeof full, "%s.%s", b->path, name);
    uint32_t t = graph_tensor(b->g, TENSOR_PARAMETER, full, DTYPE_FLOAT32, rank, shape, true, b->why);
    struct stack_origin origin = {.tensor = t,
                                  .given = given ? given->source : NULL,
                                  .seed = seed,
                                  .domain = RNG_PARAMETER + (b->stack->n_origins << 8),
                                  .deviation = deviation,
                                  .constant = constant};
    return t != GRAPH_NONE && origin_add(b, &origin) ? t : GRAPH_NONE;
}

static uint64_t width(const struct builder *b, uint32_t tensor) {
    const struct tensor *t = &b->g->tensors[tensor];
    return t->shape[t->rank - 1];
}

/* Weight [out, in] and bias [out] (or GRAPH_NONE) from a seed. */
static bool linear_parameters(struct builder *b, const char *name, uint64_t in, uint64_t out, bool bias, uint64_t seed,
                              uint32_t made[2]) {
    char full[32];
    snprintf(full, sizeof full, "%s.weight", name);
    made[0] = parameter(b, full, 2, (uint64_t[]){out, in}, seed, NULL, 1 / sqrtf((float)in), 0);
    made[1] = GRAPH_NONE;
    if (made[0] == GRAPH_NONE || !bias)
        return made[0] != GRAPH_NONE;
    snprintf(full, sizeof full, "%s.bias", name);
    made[1] = parameter(b, full, 1, &out, seed, NULL, 0, 0);
    return made[1] != GRAPH_NONE;
}

static uint32_t linear(struct builder *b, const char *name, uint32_t x, const uint32_t parameters[2], unsigned parts) {
    const uint32_t inputs[] = {x, parameters[0], parameters[1]};
    struct op op = {.kind = OP_LINEAR, .parts = parts};
    return result_of(b, op_add(b, name, op, inputs, parameters[1] == GRAPH_NONE ? 2 : 3));
}

/* Applies a one-input op to every tensor of the list. */
static bool map_op(struct builder *b, const char *name, const struct op *spec, const uint32_t *more, uint32_t n_more) {
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t inputs[4] = {b->list[i]};
        for (uint32_t j = 0; j < n_more; j++)
            inputs[1 + j] = more[j];
        b->list[i] = result_of(b, op_add(b, name, *spec, inputs, 1 + n_more));
        if (b->list[i] == GRAPH_NONE)
            return false;
    }
    return true;
}

/* ---- the kinds ---- */

static bool given_shape(struct builder *b, const struct stack_given *g, const char *field, unsigned rank,
                        const uint64_t *shape) {
    bool same = g->rank == rank;
    for (unsigned i = 0; same && i < rank; i++)
        same = g->shape[i] == shape[i];
    return same || problem_set(b->why, PROBLEM_SHAPE, field, "has not the shape [%llu%s%llu] that is needed here",
                               (unsigned long long)shape[0], rank > 1 ? ", " : "] with length [",
                               (unsigned long long)shape[rank - 1]);
}

static bool build_linear(struct builder *b, const struct stack_function *f) {
    uint64_t in = width(b, b->list[0]), out = f->linear.out;
    if (out == 0 && f->linear.weight && f->linear.weight->rank == 2)
        out = f->linear.weight->shape[0];
    if (out == 0)
        return problem_set(b->why, PROBLEM_MISSING_FIELD, "/out",
                           "linear needs out, of at least 1, or a weight [out, in]");
    bool bias = f->linear.bias || f->linear.bias_given;
    if (f->linear.weight && !given_shape(b, f->linear.weight, "/weight", 2, (uint64_t[]){out, in}))
        return false;
    if (f->linear.bias_given && !given_shape(b, f->linear.bias_given, "/bias", 1, &out))
        return false;
    uint32_t made[2];
    made[0] =
        parameter(b, "linear.weight", 2, (uint64_t[]){out, in}, f->seed, f->linear.weight, 1 / sqrtf((float)in), 0);
    made[1] = bias ? parameter(b, "linear.bias", 1, &out, f->seed, f->linear.bias_given, 0, 0) : GRAPH_NONE;
    if (made[0] == GRAPH_NONE || (bias && made[1] == GRAPH_NONE))
        return false;
    return map_op(b, "linear", &(struct op){.kind = OP_LINEAR}, made, bias ? 2 : 1);
}

static struct op activation_op(enum stack_kind kind, bool tanh_form) {
    return kind == STACK_RELU   ? (struct op){.kind = OP_RELU}
           : kind == STACK_SILU ? (struct op){.kind = OP_SILU}
                                : (struct op){.kind = OP_GELU, .gelu = {tanh_form}};
}

static bool build_ffn(struct builder *b, const struct stack_function *f) {
    uint64_t d = width(b, b->list[0]);
    if (f->ffn.hidden == 0)
        return problem_set(b->why, PROBLEM_MISSING_FIELD, "/hidden", "ffn needs hidden, of at least 1");
    uint32_t up[2], down[2];
    if (!linear_parameters(b, "ffn.up", d, f->ffn.hidden, f->ffn.bias, f->seed, up) ||
        !linear_parameters(b, "ffn.down", f->ffn.hidden, d, f->ffn.bias, f->seed, down))
        return false;
    struct op activation = activation_op(f->ffn.activation, f->ffn.tanh_form);
    activation.parts = PART_MLP;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t x = linear(b, "ffn.up", b->list[i], up, PART_MLP);
        if (x != GRAPH_NONE)
            x = result_of(b, op_add(b, "ffn.activation", activation, &x, 1));
        if (x != GRAPH_NONE)
            x = linear(b, "ffn.down", x, down, PART_MLP);
        b->list[i] = x;
        if (x == GRAPH_NONE)
            return false;
    }
    return true;
}

struct projections {
    uint32_t q[2], k[2], v[2], out[2];
};

static bool attention_parameters(struct builder *b, const struct stack_function *f, uint64_t d, uint64_t d_kv,
                                 struct projections *p) {
    return linear_parameters(b, "attention.q", d, d, f->attention.bias, f->seed, p->q) &&
           linear_parameters(b, "attention.k", d, d_kv, f->attention.bias, f->seed, p->k) &&
           linear_parameters(b, "attention.v", d, d_kv, f->attention.bias, f->seed, p->v) &&
           linear_parameters(b, "attention.out", d, d, f->attention.bias, f->seed, p->out);
}

static bool attention_check(struct builder *b, const struct stack_function *f, uint64_t d, uint64_t kv_heads) {
    uint64_t heads = f->attention.heads;
    if (heads == 0)
        return problem_set(b->why, PROBLEM_MISSING_FIELD, "/heads", "attention needs heads, of at least 1");
    if (d % heads)
        return problem_set(b->why, PROBLEM_SHAPE, "/heads", "is %llu, which does not divide the width %llu",
                           (unsigned long long)heads, (unsigned long long)d);
    if (heads % kv_heads)
        return problem_set(b->why, PROBLEM_SHAPE, "/kv_heads", "is %llu, which does not divide heads, %llu",
                           (unsigned long long)kv_heads, (unsigned long long)heads);
    if (!f->attention.projections && kv_heads != heads)
        return problem_set(b->why, PROBLEM_SHAPE, "/kv_heads", "needs projections: without them k and v are x itself");
    return true;
}

static uint32_t attention_core(struct builder *b, const struct stack_function *f, uint32_t q, uint32_t k, uint32_t v,
                               uint32_t mask) {
    const uint32_t inputs[] = {q, k, v, mask};
    struct op op = {.kind = OP_ATTENTION,
                    .parts = PART_ATTENTION | PART_ATTENTION_CORE,
                    .attention = {.kernel = f->attention.kernel,
                                  .layout = ATTN_ROWS_FIRST,
                                  .heads = f->attention.heads,
                                  .kv_heads = f->attention.kv_heads ? f->attention.kv_heads : f->attention.heads,
                                  .behind = f->attention.behind,
                                  .ahead = f->attention.ahead,
                                  .dropout = f->attention.dropout}};
    return result_of(b, op_add(b, "attention", op, inputs, mask == GRAPH_NONE ? 3 : 4));
}

static bool attention_mask(struct builder *b, const struct stack_given *given, uint32_t *mask) {
    *mask = GRAPH_NONE;
    if (!given)
        return true;
    char full[PATH_BYTES + 48];
    snprintf(full, sizeof full, "%s.mask", b->path);
    *mask = graph_tensor(b->g, TENSOR_INPUT, full, DTYPE_FLOAT32, given->rank, given->shape, false, b->why);
    return *mask != GRAPH_NONE && origin_add(b, &(struct stack_origin){.tensor = *mask, .given = given->source});
}

static uint32_t attention_projected(struct builder *b, const struct stack_function *f, const struct projections *p,
                                    uint32_t x, uint32_t mask) {
    uint32_t q = linear(b, "attention.q", x, p->q, PART_ATTENTION);
    uint32_t k = q == GRAPH_NONE ? q : linear(b, "attention.k", x, p->k, PART_ATTENTION);
    uint32_t v = k == GRAPH_NONE ? k : linear(b, "attention.v", x, p->v, PART_ATTENTION);
    uint32_t o = v == GRAPH_NONE ? v : attention_core(b, f, q, k, v, mask);
    return o == GRAPH_NONE ? o : linear(b, "attention.out", o, p->out, PART_ATTENTION);
}

static bool build_attention(struct builder *b, const struct stack_function *f) {
    uint64_t d = width(b, b->list[0]), kv_heads = f->attention.kv_heads ? f->attention.kv_heads : f->attention.heads;
    struct projections p;
    uint32_t mask;
    if (!attention_check(b, f, d, kv_heads))
        return false;
    if (f->attention.projections && !attention_parameters(b, f, d, d / f->attention.heads * kv_heads, &p))
        return false;
    if (!attention_mask(b, f->attention.mask, &mask))
        return false;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t x = b->list[i];
        b->list[i] =
            f->attention.projections ? attention_projected(b, f, &p, x, mask) : attention_core(b, f, x, x, x, mask);
        if (b->list[i] == GRAPH_NONE)
            return false;
    }
    return true;
}

static bool build_norm(struct builder *b, const struct stack_function *f) {
    bool layer_norm = f->kind == STACK_LAYER_NORM;
    const char *name = layer_norm ? "layer_norm" : "rms_norm";
    uint64_t d = width(b, b->list[0]);
    char full[32];
    uint32_t made[2];
    if ((f->norm.weight && !given_shape(b, f->norm.weight, "/weight", 1, &d)) ||
        (f->norm.bias && !given_shape(b, f->norm.bias, "/bias", 1, &d)))
        return false;
    snprintf(full, sizeof full, "%s.weight", name);
    made[0] = parameter(b, full, 1, &d, f->seed, f->norm.weight, 0, 1);
    snprintf(full, sizeof full, "%s.bias", name);
    made[1] = layer_norm ? parameter(b, full, 1, &d, f->seed, f->norm.bias, 0, 0) : GRAPH_NONE;
    if (made[0] == GRAPH_NONE || (layer_norm && made[1] == GRAPH_NONE))
        return false;
    struct op op = {
        .kind = layer_norm ? OP_LAYER_NORM : OP_RMS_NORM, .parts = PART_NORM, .norm = {.epsilon = f->norm.epsilon}};
    return map_op(b, name, &op, made, layer_norm ? 2 : 1);
}

static bool build_activation(struct builder *b, const struct stack_function *f) {
    struct op op = activation_op(f->kind, f->kind == STACK_GELU && f->gelu.tanh_form);
    return map_op(b, stack_kind_name(f->kind), &op, NULL, 0);
}

static bool build_dropout(struct builder *b, const struct stack_function *f) {
    return map_op(b, "dropout", &(struct op){.kind = OP_DROPOUT, .dropout = {f->dropout.p, f->seed}}, NULL, 0);
}

static bool build_scale(struct builder *b, const struct stack_function *f) {
    return map_op(b, "scale", &(struct op){.kind = OP_SCALE, .scale = {f->scale.factor}}, NULL, 0);
}

static bool build_add(struct builder *b, const struct stack_function *f) {
    (void)f;
    if (b->n < 2)
        return problem_set(b->why, PROBLEM_SHAPE, "", "add sums a list of tensors; there is one");
    uint32_t sum = b->list[0];
    for (uint32_t i = 1; i < b->n && sum != GRAPH_NONE; i++)
        sum = result_of(b, op_add(b, "add", (struct op){.kind = OP_ADD}, (uint32_t[]){sum, b->list[i]}, 2));
    b->list[0] = sum;
    b->n = 1;
    return sum != GRAPH_NONE;
}

static bool build_list(struct builder *b, const struct stack_function *functions, uint64_t n) {
    char path[PATH_BYTES];
    memcpy(path, b->path, sizeof path);
    for (uint64_t i = 0; i < n; i++) {
        snprintf(b->path, sizeof b->path, "%.60s.%llu", path, (unsigned long long)i);
        if (!build(b, &functions[i]))
            return problem_nest(b->why, "/functions/%llu", (unsigned long long)i);
    }
    memcpy(b->path, path, sizeof path);
    return true;
}

/* Which sub-layer a residual is: all of its ops count as that part, norm and sum too. */
static unsigned group_parts(const struct stack_function *functions, uint64_t n) {
    unsigned parts = 0;
    for (uint64_t i = 0; i < n; i++)
        parts |= functions[i].kind == STACK_ATTENTION ? PART_ATTENTION : functions[i].kind == STACK_FFN ? PART_MLP : 0;
    return parts == (PART_ATTENTION | PART_MLP) ? 0 : parts;
}

static bool build_residual(struct builder *b, const struct stack_function *f) {
    uint32_t n = b->n;
    unsigned outer = b->parts;
    uint32_t *before = arena_copy(b->g->arena, b->list, n * sizeof *before, b->why);
    if (!before)
        return false;
    b->parts |= group_parts(f->group.functions, f->group.n_functions);
    if (!build_list(b, f->group.functions, f->group.n_functions))
        return false;
    if (b->n != n)
        return problem_set(b->why, PROBLEM_SHAPE, "/functions",
                           "a residual's functions must keep the number of tensors");
    for (uint32_t i = 0; i < n; i++) {
        b->list[i] =
            result_of(b, op_add(b, "residual", (struct op){.kind = OP_ADD}, (uint32_t[]){before[i], b->list[i]}, 2));
        if (b->list[i] == GRAPH_NONE)
            return false;
    }
    b->parts = outer;
    return true;
}

static bool build_function(struct builder *b, const struct stack_function *f) {
    uint32_t op = op_add(b, "function", (struct op){.kind = OP_FUNCTION, .function = f->function}, b->list, b->n);
    if (op == GRAPH_NONE)
        return false;
    uint32_t *results = arena_new(b->g->arena, uint32_t, b->g->ops[op].n_results, b->why);
    if (!results)
        return false;
    b->list = results;
    b->n = b->g->ops[op].n_results;
    for (uint32_t i = 0; i < b->n; i++)
        results[i] = graph_result(b->g, op, i);
    return true;
}

static bool build_layer(struct builder *b, const struct stack_function *f) {
    (void)f;
    return problem_set(b->why, PROBLEM_UNSUPPORTED, "", "a layer stands in the outermost list only");
}

static const struct {
    const char *name;
    bool (*build)(struct builder *b, const struct stack_function *f);
} kinds[] = {
    [STACK_LINEAR] = {"linear", build_linear},
    [STACK_FFN] = {"ffn", build_ffn},
    [STACK_ATTENTION] = {"attention", build_attention},
    [STACK_LAYER_NORM] = {"layer_norm", build_norm},
    [STACK_RMS_NORM] = {"rms_norm", build_norm},
    [STACK_GELU] = {"gelu", build_activation},
    [STACK_RELU] = {"relu", build_activation},
    [STACK_SILU] = {"silu", build_activation},
    [STACK_DROPOUT] = {"dropout", build_dropout},
    [STACK_ADD] = {"add", build_add},
    [STACK_SCALE] = {"scale", build_scale},
    [STACK_RESIDUAL] = {"residual", build_residual},
    [STACK_LAYER] = {"layer", build_layer},
    [STACK_FUNCTION] = {"function", build_function},
};
_Static_assert(sizeof kinds / sizeof kinds[0] == STACK_KINDS, "one row per kind of function");

const char *stack_kind_name(enum stack_kind kind) {
    return kinds[kind].name;
}

bool stack_kind_find(const char *name, enum stack_kind *out) {
    for (unsigned k = 0; k < STACK_FUNCTION; k++)
        if (strcmp(kinds[k].name, name) == 0) {
            *out = (enum stack_kind)k;
            return true;
        }
    return false;
}

static bool build(struct builder *b, const struct stack_function *f) {
    return kinds[f->kind].build(b, f);
}

/* ---- the whole ---- */

static bool build_top(struct builder *b, const struct stack_function *f) {
    uint64_t repeat = f->kind == STACK_LAYER ? f->group.repeat : 1;
    if (repeat == 0)
        return problem_set(b->why, PROBLEM_LIMIT, "/repeat", "is 0; a layer is there at least once");
    if (f->kind == STACK_LAYER && f->group.n_functions == 0)
        return problem_set(b->why, PROBLEM_LIMIT, "/functions", "a layer holds at least one function");
    for (uint64_t i = 0; i < repeat; i++, b->layer++) {
        snprintf(b->path, sizeof b->path, "%u", b->layer);
        if (!(f->kind == STACK_LAYER ? build_list(b, f->group.functions, f->group.n_functions) : build(b, f)))
            return false;
    }
    return true;
}

static bool inputs_make(struct builder *b, const uint64_t (*shapes)[GRAPH_RANK_MAX], const unsigned *ranks,
                        uint32_t n) {
    b->list = arena_new(b->g->arena, uint32_t, n, b->why);
    b->stack->inputs = arena_new(b->g->arena, uint32_t, n, b->why);
    if (!b->list || !b->stack->inputs)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, n == 1 ? "input" : "input.%u", i);
        b->list[i] = graph_tensor(b->g, TENSOR_INPUT, name, DTYPE_FLOAT32, ranks[i], shapes[i], true, b->why);
        if (b->list[i] == GRAPH_NONE)
            return problem_nest(b->why, "/inputs/%u", i);
        b->stack->inputs[i] = b->list[i];
    }
    b->stack->n_inputs = b->n = n;
    return true;
}

static bool outputs_request(struct builder *b) {
    b->stack->outputs = arena_copy(b->g->arena, b->list, b->n * sizeof *b->list, b->why);
    b->stack->n_outputs = b->n;
    if (!b->stack->outputs)
        return false;
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->g->tensors[b->list[i]].role == TENSOR_INPUT)
            return problem_set(b->why, PROBLEM_SHAPE, "/functions", "do nothing to input %u", i);
        graph_request(b->g, b->list[i]);
    }
    for (uint32_t i = 0; i < b->stack->n_inputs; i++)
        graph_request_grad(b->g, b->stack->inputs[i]);
    return true;
}

bool stack_make(struct graph *g, const uint64_t (*shapes)[GRAPH_RANK_MAX], const unsigned *ranks, uint32_t n_inputs,
                const struct stack_function *functions, uint64_t n_functions, struct stack *stack,
                struct problem *why) {
    *stack = (struct stack){0};
    struct builder b = {.g = g, .stack = stack, .why = why};
    if (n_inputs == 0)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/inputs", "there is nothing to apply the functions to");
    if (n_functions == 0)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/functions", "there is no function to apply");
    if (!inputs_make(&b, shapes, ranks, n_inputs))
        return false;
    for (uint64_t i = 0; i < n_functions; i++)
        if (!build_top(&b, &functions[i]))
            return problem_nest(why, "/functions/%llu", (unsigned long long)i);
    return outputs_request(&b) && graph_finish(g, why);
}

void stack_origin_fill(const struct stack_origin *origin, float *dst, uint64_t elements) {
    if (origin->deviation > 0) {
        rng_fill_normal(dst, elements, origin->seed, origin->domain, origin->deviation);
        return;
    }
    for (uint64_t i = 0; i < elements; i++)
        dst[i] = origin->constant;
}
