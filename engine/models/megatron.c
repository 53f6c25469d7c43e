/* megatron.c - see megatron.h */
#include "engine/models/megatron.h"

#include "engine/base/units.h"

static bool paper_check(const struct workload *w, struct problem *why) {
    const struct model *m = &w->model;
    const struct {
        bool differs;
        const char *where, *wants;
    } rows[] = {
        {m->family == MODEL_VISION || m->family == MODEL_ENCODER_DECODER, "/model/family", "decoder"},
        {m->norm != MODEL_LAYERNORM, "/model/norm", "layernorm"},
        {m->mlp != MODEL_GELU && m->mlp != MODEL_GELU_TANH, "/model/mlp", "gelu"},
        {m->d_ff != 4 * m->d_model, "/model/d_ff", "4 times d_model"},
        {m->kv_heads != m->heads, "/model/kv_heads", "as many key heads as heads"},
        {m->heads * m->head_dim != m->d_model, "/model/head_dim", "d_model / heads"},
        {m->experts != 0, "/model/experts", "none"},
        {dtype_bytes(w->dtype) != 2, "/dtype", "bfloat16 or float16"},
        {w->attention != &attn_table[ATTN_STANDARD], "/attention", "standard"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].differs)
            return problem_set(why, PROBLEM_UNSUPPORTED, rows[i].where,
                               "the closed forms of framework megatron are of layers with %s here", rows[i].wants);
    return true;
}

static bool divides(uint64_t part, uint64_t whole, const char *where, const char *what, struct problem *why) {
    if (part && whole % part == 0)
        return true;
    return problem_set(why, PROBLEM_SHAPE, where, "is %llu, which does not divide %s, %llu", (unsigned long long)part,
                       what, (unsigned long long)whole);
}

static bool parallel_check(const struct workload *w, uint64_t t, uint64_t p, uint64_t chunks, struct problem *why) {
    return divides(t, w->model.heads, "/parallelism/tensor", "heads", why) &&
           divides(t, w->model.d_model, "/parallelism/tensor", "d_model", why) &&
           divides(p, w->model.layers, "/parallelism/pipeline", "layers", why) &&
           divides(chunks, w->model.layers / p, "/parallelism/pipeline_chunks", "the layers of a stage", why);
}

/* One layer on one device. s b h and a s^2 b are exact; t divides h and a. */
static bool layer_bytes(const struct workload *w, const struct megatron *p, uint64_t t, uint64_t *out,
                        struct problem *why) {
    uint64_t sbh, core, most = UINT64_MAX / 64;
    if (!units_product((const uint64_t[]){w->seq_len, w->batch, w->model.d_model}, 3, &sbh) || sbh > most ||
        !units_product((const uint64_t[]){w->seq_len, w->seq_len, w->batch, w->model.heads}, 4, &core) || core > most)
        return problem_set(why, PROBLEM_LIMIT, "/seq_len", "makes more bytes than can be counted");
    bool dropout = w->dropout > 0;
    uint64_t linear = p->sequence ? (dropout ? 34 : 32) * sbh / t : (dropout ? 10 : 8) * sbh + 24 * sbh / t;
    *out = p->recompute == MEGATRON_FULL        ? 2 * sbh
           : p->recompute == MEGATRON_SELECTIVE ? linear
                                                : linear + (dropout ? 5 : 2) * core / t;
    return true;
}

bool megatron_measure(const struct workload *w, const struct megatron *p, struct megatron_bytes *out,
                      struct problem *why) {
    const struct model *m = &w->model;
    uint64_t t = p->tensor ? p->tensor : 1, stages = p->pipeline ? p->pipeline : 1;
    uint64_t chunks = p->pipeline_chunks ? p->pipeline_chunks : 1;
    uint64_t layer = 0, parameters, worth = m->layers;
    if (!workload_check(w, why) || !paper_check(w, why) || !parallel_check(w, t, stages, chunks, why) ||
        !layer_bytes(w, p, t, &layer, why))
        return false;
    if (chunks > 1) /* L (1 + (p - 1) / (p m)): a whole number, since p m divides L */
        worth = m->layers / (stages * chunks) * (stages * chunks + stages - 1);
    if (!units_mul(layer, worth, &out->saved_activations_bytes) ||
        !units_product((const uint64_t[]){12, m->layers / stages, m->d_model / t, m->d_model}, 4, &parameters) ||
        parameters > UINT64_MAX / 32)
        return problem_set(why, PROBLEM_LIMIT, "/model", "makes more bytes than can be counted");
    out->parameters_bytes = 2 * parameters;
    out->gradients_bytes = 4 * parameters; /* accumulated in float32 */
    out->optimizer_bytes = 12 * parameters;
    return true;
}
