/* wire_config_rope.c - how positions turn, as config.json says it: "rope_parameters" (by kind of layer, where layers
 * differ), "rope_scaling" of older files, and single fields; what stands in the first two wins. */
#include <float.h>
#include <string.h>

#include "server/wire_config.h"

static const char *const keys[] = {"rope_parameters",
                                   "rope_scaling",
                                   "rope_theta",
                                   "rope_local_base_freq",
                                   "rotary_emb_base",
                                   "rotary_pct",
                                   "partial_rotary_factor",
                                   "original_max_position_embeddings",
                                   NULL};

/* Falcon's positions are known later. */
static bool turns(const struct wire_config_type *type) {
    return type->base.positions == MODEL_ROTARY || strcmp(type->name, "falcon") == 0;
}

bool wire_config_rope_key(const struct wire_config_type *type, const char *key) {
    for (const char *const *k = keys; turns(type) && *k; k++)
        if (strcmp(*k, key) == 0)
            return true;
    return false;
}

/* Absent or null, *out stays. */
static bool number_of(const struct wire_value *object, const char *key, double least, double most, double *out,
                      struct problem *why) {
    struct wire_value v;
    return !wire_get(object, key, &v) || wire_type(&v) == WIRE_NULL || wire_real(&v, least, most, out, why);
}

static bool object_of(const struct wire_value *object, const char *key, struct wire_value *out) {
    return wire_get(object, key, out) && wire_type(out) == WIRE_OBJECT;
}

static bool scaling_read(const struct wire_value *v, struct model *m, struct model_rope *r, struct problem *why) {
    static const struct {
        const char *name;
        enum model_rope_scaling scaling;
    } words[] = {{"default", MODEL_ROPE_PLAIN}, {"linear", MODEL_ROPE_LINEAR},   {"llama3", MODEL_ROPE_LLAMA3},
                 {"yarn", MODEL_ROPE_YARN},     {"dynamic", MODEL_ROPE_DYNAMIC}, {"longrope", MODEL_ROPE_LONG},
                 {"su", MODEL_ROPE_LONG}};
    struct wire_value word;
    const char *name;
    if (!(wire_get(v, "rope_type", &word) || wire_get(v, "type", &word)) || wire_type(&word) == WIRE_NULL)
        return true;
    if (!wire_string(&word, &name, why))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].name, name) == 0) {
            r->scaling = words[i].scaling;
            return true;
        }
    r->scaling = MODEL_ROPE_PLAIN;
    m->missing = "rope_type other than default, linear, dynamic, llama3, longrope and yarn";
    return true;
}

static bool stretch_list(const struct wire_value *v, const char *key, float *out, uint64_t *n, struct problem *why) {
    struct wire_value list;
    if (!wire_get(v, key, &list) || wire_type(&list) == WIRE_NULL)
        return true;
    if (!wire_array(&list, 1, MODEL_STRETCH_MAX, why))
        return false;
    for (*n = 0; *n < wire_length(&list); ++*n) {
        const struct wire_value element = wire_at(&list, *n);
        double number = 1;
        if (!wire_real(&element, 1e-6, 1e6, &number, why))
            return false;
        out[*n] = (float)number;
    }
    return true;
}

/* Both lists, as long as each other: a model without them is planned, and does not run. */
static bool stretch_read(const struct wire_value *v, struct model *m, struct problem *why) {
    uint64_t within = 0, past = 0;
    if (!stretch_list(v, "short_factor", m->rope_stretch.within, &within, why) ||
        !stretch_list(v, "long_factor", m->rope_stretch.past, &past, why))
        return false;
    m->rope_stretch.pairs = within == past ? within : 0;
    return true;
}

/* The object's fields, over what is there. */
static bool rope_read(const struct wire_value *v, struct model *m, struct model_rope *r, struct problem *why) {
    const struct {
        const char *key;
        double *to;
        double least;
    } rows[] = {{"rope_theta", &r->theta, DBL_MIN},
                {"factor", &r->factor, DBL_MIN},
                {"original_max_position_embeddings", &r->original_positions, 1},
                {"low_freq_factor", &r->low, 0},
                {"high_freq_factor", &r->high, 0},
                {"beta_slow", &r->low, 0},
                {"beta_fast", &r->high, 0},
                {"attention_factor", &r->attention_factor, 0},
                {"mscale", &r->magnitude, 0},
                {"mscale_all_dim", &r->magnitude_all, 0},
                {"partial_rotary_factor", &m->rotary_share, 0}};
    bool truncate = !r->exact_ramp;
    if (!scaling_read(v, m, r, why) || !wire_bool_of(v, "truncate", &truncate, why))
        return false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!number_of(v, rows[i].key, rows[i].least, 1e15, rows[i].to, why))
            return false;
    r->exact_ramp = !truncate;
    return r->scaling != MODEL_ROPE_LONG || stretch_read(v, m, why);
}

bool wire_config_rope(const struct wire_config_type *type, const struct wire_value *config, struct model *m,
                      struct problem *why) {
    struct wire_value v, full, near;
    double positions = 0;
    if (!turns(type))
        return true;
    if (!number_of(config, "rope_theta", DBL_MIN, 1e15, &m->rope.theta, why) ||
        !number_of(config, "rotary_emb_base", DBL_MIN, 1e15, &m->rope.theta, why) ||
        !number_of(config, "rope_local_base_freq", DBL_MIN, 1e15, &m->rope_near.theta, why) ||
        !number_of(config, "rotary_pct", 0, 1, &m->rotary_share, why) ||
        !number_of(config, "partial_rotary_factor", 0, 1, &m->rotary_share, why) ||
        !number_of(config, "original_max_position_embeddings", 1, 1e15, &positions, why))
        return false;
    for (int i = 0; i < 2; i++) /* rope_scaling last: it wins */
        if (object_of(config, keys[i], &v)) {
            m->rope = (struct model_rope){.theta = m->rope.theta}; /* in place of the class's own */
            if (object_of(&v, "sliding_attention", &near)) {
                if (!m->rope_near.theta)
                    m->rope_near.theta = m->rope.theta > 0 ? m->rope.theta : 10000;
                if (!rope_read(&near, m, &m->rope_near, why))
                    return false;
            }
            if (!rope_read(object_of(&v, "full_attention", &full) ? &full : &v, m, &m->rope, why))
                return false;
            if (m->rope.scaling == MODEL_ROPE_YARN && strcmp(type->name, "phi3") == 0) { /* its word for the same */
                m->rope.scaling = MODEL_ROPE_LONG;
                if (!stretch_read(&v, m, why))
                    return false;
            }
        }
    if (positions > 0)
        m->rope.original_positions = positions;
    if (m->rope.scaling == MODEL_ROPE_YARN && m->rope.factor == 0 && m->rope.original_positions > 0)
        m->rope.factor = (double)m->max_positions / m->rope.original_positions;
    return true;
}
