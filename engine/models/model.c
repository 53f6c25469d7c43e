/* model.c - model descriptions: defaults, bounds, optimizers; lowering is in lower_*.c. */
#include "engine/models/model.h"

#include <string.h>

#include "engine/base/units.h"

void model_defaults(struct model *m) {
    if (m->kv_heads == 0)
        m->kv_heads = m->heads;
    if (m->head_dim == 0 && m->heads)
        m->head_dim = m->d_model / m->heads;
    if (m->d_ff == 0)
        m->d_ff = 4 * m->d_model;
    if (m->vocab == 0)
        m->vocab = 50257;
    if (m->max_positions == 0)
        m->max_positions = 1024;
    if (m->expert_d_ff == 0)
        m->expert_d_ff = m->d_ff;
    if (m->experts && m->experts_per_token == 0)
        m->experts_per_token = 2;
}

static bool sizes_check(const struct model *m, struct problem *why) {
    const struct {
        const char *where;
        uint64_t value, most;
    } rows[] = {{"/layers", m->layers, MODEL_LAYERS_MAX}, {"/d_model", m->d_model, MODEL_SIZE_MAX},
                {"/heads", m->heads, MODEL_SIZE_MAX},     {"/kv_heads", m->kv_heads, MODEL_SIZE_MAX},
                {"/head_dim", m->head_dim, 65536},        {"/d_ff", m->d_ff, MODEL_SIZE_MAX},
                {"/vocab", m->vocab, MODEL_SIZE_MAX},     {"/max_positions", m->max_positions, MODEL_SEQ_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value == 0 || rows[i].value > rows[i].most)
            return problem_set(why, PROBLEM_LIMIT, rows[i].where, "is %llu; it must be from 1 to %llu",
                               (unsigned long long)rows[i].value, (unsigned long long)rows[i].most);
    return true;
}

bool model_check(const struct model *m, struct problem *why) {
    if (!sizes_check(m, why))
        return false;
    if (m->heads % m->kv_heads)
        return problem_set(why, PROBLEM_SHAPE, "/kv_heads", "is %llu, which does not divide heads, %llu",
                           (unsigned long long)m->kv_heads, (unsigned long long)m->heads);
    if (m->experts > MODEL_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/experts", "is %llu; the most is %llu", (unsigned long long)m->experts,
                           (unsigned long long)MODEL_SIZE_MAX);
    if (m->experts && (m->experts_per_token == 0 || m->experts_per_token > m->experts))
        return problem_set(why, PROBLEM_LIMIT, "/experts_per_token", "is %llu of %llu experts",
                           (unsigned long long)m->experts_per_token, (unsigned long long)m->experts);
    if (m->experts && (m->expert_d_ff == 0 || m->expert_d_ff > MODEL_SIZE_MAX))
        return problem_set(why, PROBLEM_LIMIT, "/expert_d_ff", "must be from 1 to %llu",
                           (unsigned long long)MODEL_SIZE_MAX);
    return true;
}

bool workload_check(const struct workload *w, struct problem *why) {
    if (!model_check(&w->model, why))
        return problem_nest(why, "/model");
    if (w->seq_len == 0 || w->seq_len > MODEL_SEQ_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/seq_len", "is %llu; it must be from 1 to %llu",
                           (unsigned long long)w->seq_len, (unsigned long long)MODEL_SEQ_MAX);
    if (w->model.positions == MODEL_LEARNED && w->seq_len > w->model.max_positions)
        return problem_set(why, PROBLEM_LIMIT, "/seq_len", "is %llu; the model has %llu learned positions",
                           (unsigned long long)w->seq_len, (unsigned long long)w->model.max_positions);
    if (w->batch == 0 || w->batch > MODEL_BATCH_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/batch", "is %llu; it must be from 1 to %llu",
                           (unsigned long long)w->batch, (unsigned long long)MODEL_BATCH_MAX);
    if (!(w->dropout >= 0 && w->dropout < 1))
        return problem_set(why, PROBLEM_LIMIT, "/dropout", "must be at least 0 and less than 1");
    return true;
}

uint64_t model_parameters(const struct graph *g) {
    uint64_t elements = 0;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        elements += g->tensors[t].role == TENSOR_PARAMETER ? g->tensors[t].elements : 0;
    return elements;
}

struct model_persistent model_persistent(const struct graph *g) {
    struct model_persistent p = {.optimizer_bytes = g->optimizer_bytes};
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].role == TENSOR_PARAMETER) {
            p.parameters_bytes += g->tensors[t].bytes;
            p.gradients_bytes += g->tensors[t].needs_grad ? g->tensors[t].bytes : 0;
        }
    return p;
}

/* ---- optimizers: what each keeps for one tensor ---- */

static uint64_t nothing(const struct tensor *t) {
    (void)t;
    return 0;
}
static uint64_t one_float(const struct tensor *t) {
    return 4 * t->elements;
}
static uint64_t two_floats(const struct tensor *t) {
    return 8 * t->elements;
}
/* Dettmers et al. 2022: two 8-bit states, and a float32 for each block of 2048 of either. */
static uint64_t two_bytes(const struct tensor *t) {
    return 2 * t->elements + 8 * units_ceil_div(t->elements, 2048);
}
/* Shazeer and Stern 2018: of a matrix, the sums of its rows and columns; of anything else, one number each. */
static uint64_t factored(const struct tensor *t) {
    if (t->rank < 2)
        return 4 * t->elements;
    uint64_t rows = t->shape[t->rank - 2], columns = t->shape[t->rank - 1];
    return 4 * (t->elements / rows + t->elements / columns);
}
/* Jordan et al. 2024: momentum of hidden matrices; AdamW for vectors and tables of embeddings. */
static uint64_t momentum_of_matrices(const struct tensor *t) {
    return t->rank >= 2 && strstr(t->name, "embed") == NULL && strcmp(t->name, "head.weight") != 0 ? one_float(t)
                                                                                                   : two_floats(t);
}

const struct optimizer optimizer_table[] = {
    {"none", "no optimizer: forward and backward alone", nothing, false},
    {"sgd", "no state", nothing, true},
    {"sgd_momentum", "momentum", one_float, true},
    {"adamw", "two moments", two_floats, true},
    {"adamw_8bit", "two moments of 8 bits, a scale for each 2048", two_bytes, true},
    {"adafactor", "row and column sums of the second moment", factored, true},
    {"lion", "momentum", one_float, true},
    {"muon", "momentum of hidden matrices, two moments of the rest", momentum_of_matrices, true},
};
const unsigned optimizer_table_length = sizeof optimizer_table / sizeof optimizer_table[0];

const struct optimizer *optimizer_find(const char *name) {
    for (unsigned i = 0; i < optimizer_table_length; i++)
        if (strcmp(optimizer_table[i].name, name) == 0)
            return &optimizer_table[i];
    return NULL;
}
