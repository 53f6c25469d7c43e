/* test_truth.c - every attention kernel, and the judge itself, against what PyTorch computed in float64.
 *
 * tests/data/record_attention.py says what was recorded and how. Bound: max(2e-6 S, 2 x PyTorch's own largest float32
 * error on the same input + 4 ulp of S), S the largest true value, or 1e-3 of the largest gradient. */
#include "tests/attn_case.h"

#define TRUTH "tests/data/attention_truth"

struct recorded {
    char name[32];
    unsigned long long batch, heads, kv_heads, n_q, n_k, d, behind, ahead, bias, offset;
    double scale, error[OUTPUTS]; /* of PyTorch in float32 */
};

/* The number of element i of tensor t: see `numbers` in record_attention.py. */
static float number(uint32_t i, uint32_t t) {
    uint32_t h = i + (t + 1) * 0x9E3779B9u;
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    h ^= h >> 16;
    return ((float)(h >> 20) - 2048) / 1024;
}

static void numbers(float *x, uint64_t n, uint32_t t) {
    for (uint64_t i = 0; i < n; i++)
        x[i] = number((uint32_t)i, t);
}

static struct attn_case case_of(const struct recorded *r) {
    struct attn_case c = attn_case_new(r->batch, r->heads, r->kv_heads, r->n_q, r->n_k, r->d);
    numbers(c.q, c.sizes[1], 1);
    numbers(c.k, c.sizes[2], 2);
    numbers(c.v, c.sizes[3], 3);
    numbers(c.d_o, c.sizes[0], 4);
    c.m.behind = r->behind ? r->behind : ATTN_FAR;
    c.m.ahead = r->ahead ? r->ahead : ATTN_FAR;
    if (r->scale != 0)
        c.scale = (float)r->scale;
    if (r->bias) {
        const uint64_t n = r->heads * r->n_q * r->n_k;
        c.bias = attn_alloc(n * sizeof(float));
        numbers(c.bias, n, 5);
        for (uint64_t i = 0; i < n; i++)
            if (i % 7 == 3 || i / r->n_k % 5 == 2)
                c.bias[i] = -INFINITY;
        c.m.bias = c.bias;
        c.m.bias_stride[1] = r->n_q * r->n_k;
        c.m.bias_stride[2] = r->n_k;
        c.m.bias_stride[3] = 1;
    }
    return c;
}

static bool next(FILE *index, struct recorded *r) {
    char line[256];
    do
        if (!fgets(line, sizeof line, index))
            return false;
    while (line[0] == '#');
    int n = sscanf(line, "%31s %llu %llu %llu %llu %llu %llu %llu %llu %llu %lf %llu %lf %lf %lf %lf", r->name,
                   &r->batch, &r->heads, &r->kv_heads, &r->n_q, &r->n_k, &r->d, &r->behind, &r->ahead, &r->bias,
                   &r->scale, &r->offset, &r->error[0], &r->error[1], &r->error[2], &r->error[3]);
    cr_assert_eq(n, 16, "attention_truth.txt: %s", line);
    return true;
}

/* The recorded tensors of a case, as doubles; the caller frees them. */
static void truth_read(FILE *data, const struct recorded *r, const struct attn_case *c, double *truth[OUTPUTS]) {
    cr_assert(fseek(data, (long)(r->offset * sizeof(float)), SEEK_SET) == 0);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        float *x = attn_alloc(c->sizes[i] * sizeof *x);
        cr_assert_eq(fread(x, sizeof *x, c->sizes[i], data), c->sizes[i], "%s: attention_truth.bin is short", r->name);
        truth[i] = attn_widen(x, c->sizes[i]);
        free(x);
    }
}

static void kernels_judge(const struct recorded *r, const struct attn_case *c, struct pool *pool,
                          double *const truth[OUTPUTS]) {
    for (unsigned row = 0; row < attn_table_length; row++) {
        struct attn_result x = attn_run(c, &(struct attn_how){&attn_table[row], pool, 2, ROWS_FIRST, 0});
        for (unsigned i = 0; i < OUTPUTS; i++) {
            double size = attn_size_of(truth, c->sizes, i, 1e-3), error = attn_error(x.out[i], truth[i], c->sizes[i]);
            double bound = fmax(2e-6 * size, 2 * r->error[i] + 4 * 0x1p-23 * size);
            cr_assert(error <= bound, "%s, %s: %s is off by %g; the bound is %g", r->name, attn_table[row].name,
                      output_names[i], error, bound);
        }
        attn_result_free(&x);
    }
}

/* The judge differs from PyTorch by the rounding of the record, 2^-24 of each element, and of a float32 scale. */
static void judge_judge(const struct recorded *r, const struct attn_case *c, double *const truth[OUTPUTS]) {
    double *own[OUTPUTS];
    attn_truth(c, own);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        double size = attn_size_of(truth, c->sizes, i, 1e-3);
        for (uint64_t e = 0; e < c->sizes[i]; e++)
            cr_assert(fabs(own[i][e] - truth[i][e]) <= 1e-7 * size * fmax(1, 20 * r->scale), "%s: the judge's %s",
                      r->name, output_names[i]);
        free(own[i]);
    }
}

TestSuite(truth, .timeout = 120);

Test(truth, every_kernel_and_the_judge_against_pytorch) {
    struct problem why = {0};
    struct recorded r;
    struct pool *pool = pool_new(2, &why);
    FILE *index = fopen(TRUTH ".txt", "r"), *data = fopen(TRUTH ".bin", "rb");
    unsigned cases = 0;
    cr_assert(pool && index && data, "run from the top of the checkout");
    for (; next(index, &r); cases++) {
        struct attn_case c = case_of(&r);
        double *truth[OUTPUTS];
        truth_read(data, &r, &c, truth);
        judge_judge(&r, &c, truth);
        kernels_judge(&r, &c, pool, truth);
        for (unsigned i = 0; i < OUTPUTS; i++)
            free(truth[i]);
        attn_case_free(&c);
    }
    cr_assert(cases >= 40);
    cr_assert(fgetc(data) == EOF, "attention_truth.bin has more than the index names");
    fclose(index);
    fclose(data);
    pool_free(pool);
}
