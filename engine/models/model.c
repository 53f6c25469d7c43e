/* model.c - model descriptions: defaults, bounds, what lives across steps; lowering is in model_lower.c. */
#include "engine/models/model.h"

#include <math.h>
#include <string.h>

const char *model_family_name(enum model_family f) {
    static const char *const names[] = {[MODEL_DECODER] = "decoder",
                                        [MODEL_ENCODER] = "encoder",
                                        [MODEL_VISION] = "vision",
                                        [MODEL_ENCODER_DECODER] = "encoder_decoder"};
    return names[f];
}

uint64_t model_graph_layers(const struct model *m) {
    return m->layers + (m->family == MODEL_ENCODER_DECODER ? m->source_layers : 0);
}

uint64_t model_tokens(const struct model *m) {
    return (m->image_height / m->patch_height) * (m->image_width / m->patch_width) + 1;
}

void model_defaults(struct model *m) {
    if (m->kv_heads == 0)
        m->kv_heads = m->heads;
    if (m->head_dim == 0 && m->heads)
        m->head_dim = m->d_model / m->heads;
    if (m->d_ff == 0)
        m->d_ff = 4 * m->d_model;
    if (m->vocab == 0)
        m->vocab = 50257;
    if (m->family == MODEL_VISION && m->patch_height && m->patch_width)
        m->max_positions = model_tokens(m);
    if (m->max_positions == 0)
        m->max_positions = 1024;
    if (m->expert_d_ff == 0)
        m->expert_d_ff = m->d_ff;
    if (m->experts && m->experts_per_token == 0)
        m->experts_per_token = 2;
    if (m->embedding_width == m->d_model)
        m->embedding_width = 0;
    if (m->source_layers == 0)
        m->source_layers = m->layers;
    if (m->source_heads == 0)
        m->source_heads = m->heads;
    if (m->source_head_dim == 0 && m->source_heads)
        m->source_head_dim = m->source_heads == m->heads ? m->head_dim : m->d_model / m->source_heads;
    if (m->source_d_ff == 0)
        m->source_d_ff = m->d_ff;
}

/* Sizes that may be 0 have the same bound. */
static bool options_check(const struct model *m, struct problem *why) {
    const struct {
        const char *where;
        uint64_t value, most;
    } rows[] = {{"/type_vocab", m->type_vocab, MODEL_SIZE_MAX},
                {"/experts", m->experts, MODEL_SIZE_MAX},
                {"/shared_d_ff", m->shared_d_ff, MODEL_SIZE_MAX},
                {"/embedding_width", m->embedding_width, MODEL_SIZE_MAX},
                {"/latent/q_rank", m->latent.q_rank, MODEL_SIZE_MAX},
                {"/latent/kv_rank", m->latent.kv_rank, MODEL_SIZE_MAX},
                {"/latent/value_dim", m->latent.value_dim, 65536},
                {"/mel_bins", m->mel_bins, 65536},
                {"/source_positions", m->source_positions, MODEL_SIZE_MAX},
                {"/relative_buckets", m->relative_buckets, MODEL_SIZE_MAX},
                {"/source_layers", m->source_layers, MODEL_LAYERS_MAX},
                {"/source_heads", m->source_heads, MODEL_SIZE_MAX},
                {"/source_head_dim", m->source_head_dim, 65536},
                {"/source_d_ff", m->source_d_ff, MODEL_SIZE_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value > rows[i].most)
            return problem_set(why, PROBLEM_LIMIT, rows[i].where, "is %llu; the most is %llu",
                               (unsigned long long)rows[i].value, (unsigned long long)rows[i].most);
    if (m->latent.kv_rank && (m->latent.rope_dim == 0 || m->latent.rope_dim >= m->head_dim || m->latent.value_dim == 0))
        return problem_set(why, PROBLEM_LIMIT, "/latent/rope_dim", "is %llu of heads of %llu",
                           (unsigned long long)m->latent.rope_dim, (unsigned long long)m->head_dim);
    return true;
}

static bool vision_check(const struct model *m, struct problem *why) {
    const struct {
        const char *where;
        uint64_t value;
    } rows[] = {{"/image_height", m->image_height}, {"/image_width", m->image_width},
                {"/patch_height", m->patch_height}, {"/patch_width", m->patch_width},
                {"/channels", m->channels},         {"/classes", m->classes}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value == 0 || rows[i].value > 65536)
            return problem_set(why, PROBLEM_LIMIT, rows[i].where, "is %llu; it must be from 1 to 65536",
                               (unsigned long long)rows[i].value);
    if (m->patch_height > m->image_height || m->patch_width > m->image_width)
        return problem_set(why, PROBLEM_LIMIT, "/patch_height", "is larger than the image");
    return true;
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

/* Groups are of equal size, and those kept have experts enough. */
static bool groups_check(const struct model *m, struct problem *why) {
    const uint64_t groups = m->route.groups, kept = m->route.kept_groups;
    if (groups > m->experts || m->experts % groups)
        return problem_set(why, PROBLEM_SHAPE, "/experts", "is %llu, in %llu groups", (unsigned long long)m->experts,
                           (unsigned long long)groups);
    if (kept == 0 || kept > groups || m->experts_per_token > kept * (m->experts / groups))
        return problem_set(why, PROBLEM_LIMIT, "/experts_per_token", "is %llu, from %llu of %llu groups",
                           (unsigned long long)m->experts_per_token, (unsigned long long)kept,
                           (unsigned long long)groups);
    return true;
}

bool model_check(const struct model *m, struct problem *why) {
    if (!sizes_check(m, why) || !options_check(m, why) || (m->family == MODEL_VISION && !vision_check(m, why)))
        return false;
    if (m->heads % m->kv_heads)
        return problem_set(why, PROBLEM_SHAPE, "/kv_heads", "is %llu, which does not divide heads, %llu",
                           (unsigned long long)m->kv_heads, (unsigned long long)m->heads);
    if (m->reserved_positions >= m->max_positions)
        return problem_set(why, PROBLEM_LIMIT, "/max_positions", "is %llu, of which %llu are reserved",
                           (unsigned long long)m->max_positions, (unsigned long long)m->reserved_positions);
    if (m->experts && (m->experts_per_token == 0 || m->experts_per_token > m->experts))
        return problem_set(why, PROBLEM_LIMIT, "/experts_per_token", "is %llu of %llu experts",
                           (unsigned long long)m->experts_per_token, (unsigned long long)m->experts);
    if (m->experts && m->route.groups && !groups_check(m, why))
        return false;
    if (m->experts && (m->expert_d_ff == 0 || m->expert_d_ff > MODEL_SIZE_MAX))
        return problem_set(why, PROBLEM_LIMIT, "/expert_d_ff", "must be from 1 to %llu",
                           (unsigned long long)MODEL_SIZE_MAX);
    return true;
}

uint64_t model_rotary_dim(const struct model *m, uint64_t head_dim) {
    const uint64_t whole = m->latent.kv_rank ? m->latent.rope_dim : head_dim;
    const double share = m->rotary_share > 0 && m->rotary_share < 1 ? m->rotary_share : 1;
    const uint64_t dim = m->rotary_dim ? m->rotary_dim : (uint64_t)((double)whole * share);
    return (dim < whole ? dim : whole) & ~(uint64_t)1;
}

double model_rope_magnitude(double factor, double magnitude) {
    return factor > 1 ? 0.1 * magnitude * log(factor) + 1 : 1;
}

bool model_runs(const struct model *m, struct problem *why) {
    const char *missing = m->missing;
    if (!missing && m->positions == MODEL_ROTARY && model_rotary_dim(m, m->head_dim) == 0)
        missing = "a model whose heads are too narrow to turn";
    if (!missing && m->rope.scaling == MODEL_ROPE_LONG && m->rope_stretch.pairs != model_rotary_dim(m, m->head_dim) / 2)
        missing = "longrope without a factor for every pair";
    if (!missing && m->rope_near.scaling == MODEL_ROPE_LONG)
        missing = "longrope in layers with a window";
    return !missing || problem_set(why, PROBLEM_UNSUPPORTED, "/model", "%s is planned and not run yet", missing);
}

bool workload_check(const struct workload *w, struct problem *why) {
    if (!model_check(&w->model, why))
        return problem_nest(why, "/model");
    if (w->seq_len == 0 || w->seq_len > MODEL_SEQ_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/seq_len", "is %llu; it must be from 1 to %llu",
                           (unsigned long long)w->seq_len, (unsigned long long)MODEL_SEQ_MAX);
    if (w->model.family == MODEL_VISION && w->seq_len != model_tokens(&w->model))
        return problem_set(why, PROBLEM_LIMIT, "/seq_len", "is %llu; an image of this model is %llu tokens",
                           (unsigned long long)w->seq_len, (unsigned long long)model_tokens(&w->model));
    if (w->source_len > MODEL_SEQ_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/source_len", "is %llu; the most is %llu",
                           (unsigned long long)w->source_len, (unsigned long long)MODEL_SEQ_MAX);
    if (w->model.mel_bins && w->source_len && w->source_len != w->model.source_positions)
        return problem_set(why, PROBLEM_LIMIT, "/source_len", "is %llu; the model hears %llu positions",
                           (unsigned long long)w->source_len, (unsigned long long)w->model.source_positions);
    const uint64_t positions = w->model.max_positions - w->model.reserved_positions;
    if (w->model.positions == MODEL_LEARNED && w->seq_len > positions)
        return problem_set(why, PROBLEM_LIMIT, "/seq_len", "is %llu; the model has %llu learned positions",
                           (unsigned long long)w->seq_len, (unsigned long long)positions);
    if (w->model.positions == MODEL_LEARNED && !w->model.mel_bins && w->source_len > positions)
        return problem_set(why, PROBLEM_LIMIT, "/source_len", "is %llu; the model has %llu learned positions",
                           (unsigned long long)w->source_len, (unsigned long long)positions);
    if (w->batch == 0 || w->batch > MODEL_BATCH_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/batch", "is %llu; it must be from 1 to %llu",
                           (unsigned long long)w->batch, (unsigned long long)MODEL_BATCH_MAX);
    if (!(w->dropout >= 0 && w->dropout < 1))
        return problem_set(why, PROBLEM_LIMIT, "/dropout", "must be at least 0 and less than 1");
    return true;
}

uint64_t workload_source_len(const struct workload *w) {
    return w->source_len ? w->source_len : w->model.mel_bins ? w->model.source_positions : w->seq_len;
}

/* What corrects routers is in files and in memory, but a buffer to the framework, which does not count it. */
static bool is_buffer(const struct tensor *t) {
    return t->name && strcmp(t->name, "experts.correction_bias") == 0;
}

uint64_t model_parameters(const struct graph *g) {
    uint64_t elements = 0;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        elements += g->tensors[t].role == TENSOR_PARAMETER && !is_buffer(&g->tensors[t]) ? g->tensors[t].elements : 0;
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

uint32_t model_loss(const struct graph *g) {
    for (uint32_t t = g->n_tensors; t-- > 0;)
        if (g->tensors[t].requested)
            return t;
    return GRAPH_NONE;
}

uint32_t model_parameter_layer(const struct graph *g, uint32_t parameter) {
    for (uint32_t o = 0; o < g->n_ops; o++)
        for (uint32_t i = 0; i < g->ops[o].n_inputs; i++)
            if (g->ops[o].inputs[i] == parameter)
                return g->ops[o].layer;
    return GRAPH_NONE;
}

uint64_t model_workload_tokens(const struct workload *w) {
    return w->model.family == MODEL_VISION ? model_tokens(&w->model) : w->seq_len;
}
