/* attn_ref.c - attention in double precision, the formulas of attn.h line by line: the judge of every fast kernel. */
#include "engine/kernels/attn_ref.h"

#include <math.h>
#include <string.h>

#include "engine/kernels/attn_drop.h"

/* One query: rows of q, o, d_o, d_q; heads of k, v, d_k, d_v. */
struct row {
    const struct attn_shape *s;
    const struct attn_mask *m;
    const double *bias, *sinks;
    double scale;
    const struct attn_dropout *dropout;
    uint64_t b, h, i, lo, hi;
};

static double keep(const struct row *r, uint64_t j) {
    if (!r->dropout || r->dropout->p <= 0)
        return 1;
    bool kept = attn_drop_keeps(r->dropout, attn_head_number(r->s, r->b, r->h), r->i, j);
    return kept ? 1 / (1 - r->dropout->p) : 0;
}

static double bias(const struct row *r, uint64_t j) {
    const uint64_t *stride = r->m->bias_stride;
    const uint64_t at = r->b * stride[0] + r->h * stride[1] + r->i * stride[2] + j * stride[3];
    return r->bias ? r->bias[at] : r->m->bias ? r->m->bias[at] : 0;
}

/* cap(scale q_i k_j) */
static double capped(const struct row *r, const double *q_i, const double *k_j) {
    const double cap = (double)r->m->softcap;
    double dot = 0;
    for (uint64_t c = 0; c < r->s->d; c++)
        dot += q_i[c] * k_j[c];
    return cap != 0 ? cap * tanh(r->scale * dot / cap) : r->scale * dot;
}

/* The slope of cap where it makes y. */
static double cap_slope(const struct row *r, double y) {
    const double cap = (double)r->m->softcap;
    return cap != 0 ? 1 - y / cap * (y / cap) : 1;
}

/* -inf: none */
static double sink(const struct row *r) {
    return r->sinks ? r->sinks[r->h] : r->m->sinks ? (double)r->m->sinks[r->h] : -INFINITY;
}

/* weights[lo..hi) = P_i, 0 everywhere if nothing is allowed. */
static void weights_make(const struct row *r, const double *q_i, const double *k, double *weights) {
    const double slope = (double)attn_slope(r->s, r->m, r->b, r->h);
    double most = sink(r), sum = 0;
    for (uint64_t j = r->lo; j < r->hi; j++) {
        weights[j] = capped(r, q_i, k + j * r->s->k.row) + bias(r, j);
        weights[j] -= slope * (double)attn_distance(r->s, r->i, j);
        most = fmax(most, weights[j]);
    }
    if (most != -INFINITY)
        sum = exp(sink(r) - most);
    for (uint64_t j = r->lo; j < r->hi; j++) {
        weights[j] = most == -INFINITY ? 0 : exp(weights[j] - most);
        sum += weights[j];
    }
    for (uint64_t j = r->lo; j < r->hi; j++)
        weights[j] = sum == 0 ? 0 : weights[j] / sum;
}

static void row_forward(const struct row *r, const double *weights, const double *v, double *o_i) {
    const uint64_t d = attn_value_dim(r->s);
    for (uint64_t c = 0; c < d; c++)
        o_i[c] = 0;
    for (uint64_t j = r->lo; j < r->hi; j++) {
        double w = keep(r, j) * weights[j];
        for (uint64_t c = 0; c < d; c++)
            o_i[c] += w * v[j * r->s->v.row + c];
    }
}

struct row_gradient {
    const double *q_i, *d_o_i, *k, *v;
    double *d_q_i, *d_k, *d_v, *weights, *d_weights;
};

static void row_backward(const struct row *r, const struct row_gradient *g) {
    double delta = 0; /* sum_j P_ij dP_ij: what the softmax takes from every dP_ij */
    const uint64_t d = r->s->d, d_v = attn_value_dim(r->s), k_row = r->s->k.row, v_row = r->s->v.row;
    for (uint64_t j = r->lo; j < r->hi; j++) {
        double kept = keep(r, j), dot = 0;
        for (uint64_t c = 0; c < d_v; c++) {
            dot += g->d_o_i[c] * g->v[j * v_row + c];
            g->d_v[j * v_row + c] += kept * g->weights[j] * g->d_o_i[c];
        }
        g->d_weights[j] = kept * dot;
        delta += g->weights[j] * g->d_weights[j];
    }
    for (uint64_t j = r->lo; j < r->hi; j++) {
        double d_s = r->scale * g->weights[j] * (g->d_weights[j] - delta);
        d_s *= cap_slope(r, capped(r, g->q_i, g->k + j * k_row));
        for (uint64_t c = 0; c < d; c++) {
            g->d_q_i[c] += d_s * g->k[j * k_row + c];
            g->d_k[j * k_row + c] += d_s * g->q_i[c];
        }
    }
}

void attn_ref_strided(const struct attn_shape *s, const struct attn_mask *m, const double *bias_or_null,
                      const double *sinks, double scale, const struct attn_dropout *dropout, const double *q,
                      const double *k, const double *v, double *o, const double *d_o, double *d_q, double *d_k,
                      double *d_v, double *weights, double *d_weights) {
    for (uint64_t b = 0; b < s->batch; b++)
        for (uint64_t h = 0; h < s->heads; h++)
            for (uint64_t i = 0; i < s->n_q; i++) {
                struct row r = {s, m, bias_or_null, sinks, scale, dropout, b, h, i, 0, 0};
                uint64_t h_k = h / (s->heads / s->kv_heads);
                uint64_t q_at = b * s->q.batch + h * s->q.head + i * s->q.row;
                uint64_t o_at = b * s->o.batch + h * s->o.head + i * s->o.row;
                uint64_t k_at = b * s->k.batch + h_k * s->k.head, v_at = b * s->v.batch + h_k * s->v.head;
                attn_key_range(s, m, i, &r.lo, &r.hi);
                weights_make(&r, q + q_at, k + k_at, weights);
                row_forward(&r, weights, v + v_at, o + o_at);
                if (d_o)
                    row_backward(&r, &(struct row_gradient){q + q_at, d_o + o_at, k + k_at, v + v_at, d_q + q_at,
                                                            d_k + k_at, d_v + v_at, weights, d_weights});
            }
}

struct attn_shape attn_contiguous(const struct attn_shape *s) {
    struct attn_shape own = *s;
    const uint64_t d_v = attn_value_dim(s);
    own.q = (struct attn_stride){s->heads * s->n_q * s->d, s->n_q * s->d, s->d};
    own.k = (struct attn_stride){s->kv_heads * s->n_k * s->d, s->n_k * s->d, s->d};
    own.v = (struct attn_stride){s->kv_heads * s->n_k * d_v, s->n_k * d_v, d_v};
    own.o = (struct attn_stride){s->heads * s->n_q * d_v, s->n_q * d_v, d_v};
    return own;
}

void attn_ref(const struct attn_shape *s, const struct attn_mask *m, double scale, const struct attn_dropout *dropout,
              const double *q, const double *k, const double *v, double *o, const double *d_o, double *d_q, double *d_k,
              double *d_v, double *weights, double *d_weights) {
    struct attn_shape own = attn_contiguous(s);
    if (d_o) {
        memset(d_q, 0, own.batch * own.q.batch * sizeof *d_q);
        memset(d_k, 0, own.batch * own.k.batch * sizeof *d_k);
        memset(d_v, 0, own.batch * own.v.batch * sizeof *d_v);
    }
    attn_ref_strided(&own, m, NULL, NULL, scale, dropout, q, k, v, o, d_o, d_q, d_k, d_v, weights, d_weights);
}
