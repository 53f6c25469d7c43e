/* measure_cases.c - what is measured, and its plan; see measure.h. */
#include <string.h>

#include "engine/base/units.h"
#include "engine/exec/measure.h"
#include "engine/models/optimizer.h"
#include "engine/plan/planner.h"

const struct measure_size measure_size_usual = {.tokens = 512,
                                                .width = 768,
                                                .hidden = 3072,
                                                .vocab = 8192,
                                                .heads = 12,
                                                .piece = (uint64_t)4 << 20,
                                                .copy_bytes = (uint64_t)128 << 20};

/* ---- the table ---- */

enum dimension { END, ONE, TOKENS, WIDTH, WIDTH_3, HIDDEN, VOCAB };
enum { INPUTS = 3, RANK = 4 };

struct input {
    enum tensor_role role;
    bool ids;                   /* int32, without a gradient */
    enum dimension shape[RANK]; /* ended by END */
};
#define GIVEN(...)                                                                                                     \
    {                                                                                                                  \
        TENSOR_INPUT, false, {                                                                                         \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define WEIGHT(...)                                                                                                    \
    {                                                                                                                  \
        TENSOR_PARAMETER, false, {                                                                                     \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define IDS(...)                                                                                                       \
    {                                                                                                                  \
        TENSOR_INPUT, true, {                                                                                          \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

struct row {
    struct op op;
    struct input inputs[INPUTS]; /* ended by one without a shape */
};

#define LINEAR(in, out)                                                                                                \
    {                                                                                                                  \
        {.kind = OP_LINEAR}, {                                                                                         \
            GIVEN(TOKENS, in), WEIGHT(out, in), WEIGHT(out)                                                            \
        }                                                                                                              \
    }
#define ATTENTION(k, a)                                                                                                \
    {                                                                                                                  \
        {.kind = OP_ATTENTION,                                                                                         \
         .attention = {.kernel = &attn_table[k], .layout = ATTN_ROWS_FIRST, .behind = ATTN_FAR, .ahead = a}},          \
        {                                                                                                              \
            GIVEN(ONE, TOKENS, WIDTH), GIVEN(ONE, TOKENS, WIDTH), GIVEN(ONE, TOKENS, WIDTH)                            \
        }                                                                                                              \
    }

/* What takes long comes last: what time the others leave is theirs. */
static const struct row rows[] = {
    {{.kind = OP_LAYER_NORM, .norm = {1e-5f}}, {GIVEN(TOKENS, WIDTH), WEIGHT(WIDTH), WEIGHT(WIDTH)}},
    {{.kind = OP_RMS_NORM, .norm = {1e-6f}}, {GIVEN(TOKENS, WIDTH), WEIGHT(WIDTH)}},
    {{.kind = OP_GELU, .gelu = {true}}, {GIVEN(TOKENS, HIDDEN)}},
    {{.kind = OP_RELU}, {GIVEN(TOKENS, HIDDEN)}},
    {{.kind = OP_SILU}, {GIVEN(TOKENS, HIDDEN)}},
    {{.kind = OP_GATED}, {GIVEN(TOKENS, HIDDEN), GIVEN(TOKENS, HIDDEN)}},
    {{.kind = OP_DROPOUT, .dropout = {0.1, 1}}, {GIVEN(TOKENS, WIDTH)}},
    {{.kind = OP_ADD}, {GIVEN(TOKENS, WIDTH), GIVEN(TOKENS, WIDTH)}},
    {{.kind = OP_SCALE, .scale = {0.5f}}, {GIVEN(TOKENS, WIDTH)}},
    {{.kind = OP_ROTARY}, {GIVEN(ONE, TOKENS, WIDTH)}},
    {{.kind = OP_EMBEDDING}, {IDS(TOKENS), WEIGHT(VOCAB, WIDTH)}},
    {{.kind = OP_POSITIONS}, {GIVEN(ONE, TOKENS, WIDTH), WEIGHT(TOKENS, WIDTH)}},
    ATTENTION(ATTN_STANDARD, ATTN_FAR),
    ATTENTION(ATTN_STANDARD, 1),
    ATTENTION(ATTN_FLASH, ATTN_FAR),
    ATTENTION(ATTN_FLASH, 1),
    LINEAR(WIDTH, WIDTH),
    LINEAR(WIDTH, WIDTH_3),
    LINEAR(WIDTH, HIDDEN),
    LINEAR(HIDDEN, WIDTH),
    {{.kind = OP_LINEAR_CROSS_ENTROPY}, {GIVEN(TOKENS, WIDTH), WEIGHT(VOCAB, WIDTH), IDS(TOKENS)}},
};
enum { PIECES = 2, ROWS = sizeof rows / sizeof rows[0] };

const unsigned measure_cases = PIECES + ROWS;

const char *measure_row_name(unsigned row) {
    return row == MEASURE_COPY ? "copy" : row == MEASURE_UPDATE ? "update_adamw" : cost_row_name(row);
}

/* ---- a graph of one op ---- */

static uint64_t length(const struct measure_size *s, enum dimension d) {
    const uint64_t lengths[] = {[END] = 0,
                                [ONE] = 1,
                                [TOKENS] = s->tokens,
                                [WIDTH] = s->width,
                                [WIDTH_3] = 3 * s->width,
                                [HIDDEN] = s->hidden,
                                [VOCAB] = s->vocab};
    return lengths[d];
}

static uint32_t input_make(struct graph *g, const struct input *in, const struct measure_size *size, enum dtype dtype,
                           struct problem *why) {
    uint64_t shape[RANK];
    unsigned rank = 0;
    for (; rank < RANK && in->shape[rank] != END; rank++)
        shape[rank] = length(size, in->shape[rank]);
    return graph_tensor(g, in->role, "x", in->ids ? DTYPE_INT32 : dtype, rank, shape, !in->ids, why);
}

static const float *frequencies(uint64_t pairs, struct arena *a, struct problem *why) {
    float *f = arena_new(a, float, pairs, why);
    for (uint64_t i = 0; f && i < pairs; i++)
        f[i] = 1 / (1 + (float)i);
    return f;
}

/* What depends on the size. */
static bool op_complete(struct op *op, const struct measure_size *size, struct arena *a, struct problem *why) {
    op->name = op_table[op->kind]->name;
    op->layer = GRAPH_NONE;
    if (op->kind == OP_ATTENTION)
        op->attention.heads = op->attention.kv_heads = size->heads;
    if (op->kind != OP_ROTARY)
        return true;
    op->rotary.heads = size->heads;
    op->rotary.frequencies = frequencies(size->width / size->heads / 2, a, why);
    return op->rotary.frequencies != NULL;
}

static bool graph_make(const struct row *row, const struct measure_size *size, enum dtype dtype, unsigned threads,
                       struct arena *a, struct graph *g, struct problem *why) {
    uint32_t inputs[INPUTS];
    struct op op = row->op;
    if (!graph_init(g, a, threads, true, why) || !op_complete(&op, size, a, why))
        return false;
    for (op.n_inputs = 0; op.n_inputs < INPUTS && row->inputs[op.n_inputs].shape[0] != END; op.n_inputs++)
        if ((inputs[op.n_inputs] = input_make(g, &row->inputs[op.n_inputs], size, dtype, why)) == GRAPH_NONE)
            return false;
    op.inputs = inputs;
    const uint32_t id = graph_op(g, &op, why);
    if (id == GRAPH_NONE)
        return false;
    graph_request(g, graph_result(g, id, 0));
    return graph_finish(g, why);
}

/* "512 x 768, 3072 x 768" */
static const char *shape_text(const struct graph *g, struct arena *a, struct problem *why) {
    const char *text = "";
    for (uint32_t i = 0; text && i < g->ops[0].n_inputs && i < 2; i++) {
        const struct tensor *t = &g->tensors[g->ops[0].inputs[i]];
        for (unsigned d = 0; text && d < t->rank; d++)
            text = arena_printf(a, why, "%s%s%llu", text, d ? " x " : i ? ", " : "", (unsigned long long)t->shape[d]);
    }
    return text;
}

/* ---- the plan ---- */

static bool op_plan(const struct row *row, const struct measure_size *size, enum dtype dtype, unsigned threads,
                    struct arena *a, struct measure *m, struct problem *why) {
    struct problem unsupported = {0};
    const struct strategy standard = {.planner = &planner_standard};
    if (!graph_make(row, size, dtype, threads, a, &m->graph, why))
        return false;
    const struct op *op = &m->graph.ops[0];
    m->row = cost_row(op);
    m->runs = exec_runs(&m->graph, &unsupported);
    if (!m->runs)
        return true;
    m->n_phases = 2;
    m->flops[0] = op->forward_flops;
    m->flops[1] = op->backward_flops;
    m->bytes[0] = cost_bytes(&m->graph, &(struct step){STEP_RUN, 0});
    m->bytes[1] = cost_bytes(&m->graph, &(struct step){STEP_GRAD, 0});
    m->shape = shape_text(&m->graph, a, why);
    if (!m->shape || !planner_plan(&m->graph, &standard, a, &m->plan, why))
        return false;
    m->peak_bytes = m->plan.peak_bytes;
    return true;
}

/* One tensor and its copy; a parameter, its gradient, two moments, and in bfloat16 the master copy. */
static bool piece_plan(bool copy, const struct measure_size *size, struct arena *a, struct measure *m,
                       struct problem *why) {
    const uint64_t own = dtype_bytes(m->dtype), n = copy ? size->copy_bytes / own : size->piece;
    const uint64_t floats = m->dtype == DTYPE_BFLOAT16 ? 3 : 2;
    m->row = copy ? MEASURE_COPY : MEASURE_UPDATE;
    m->runs = true;
    m->n_phases = 1;
    m->elements = n;
    m->peak_bytes = units_extent(n * (2 * own + (copy ? 0 : floats * 4)));
    m->bytes[0] = copy ? 2 * n * own : n * ((m->dtype == DTYPE_BFLOAT16 ? 2 : 3) * own + 2 * floats * 4);
    if (!copy)
        m->flops[0] = 12 * n;
    m->shape = arena_printf(a, why, "%llu", (unsigned long long)n);
    return m->shape != NULL;
}

bool measure_plan(unsigned index, const struct measure_size *size, enum dtype dtype, unsigned threads, struct arena *a,
                  struct measure *m, struct problem *why) {
    *m = (struct measure){.dtype = dtype};
    return index < PIECES ? piece_plan(index == 0, size, a, m, why)
                          : op_plan(&rows[index - PIECES], size, dtype, threads, a, m, why);
}
