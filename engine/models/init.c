/* init.c - see init.h */
#include "engine/models/init.h"

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/numbers.h"

#define MOST (0.02f * 1.7320508f) /* of a uniform number whose deviation is 0.02 */

/* How a parameter begins, by how its name ends; the first that matches counts. */
static const struct {
    const char *ending;
    enum { ZERO, ONE, DRAWN, DRAWN_AT_THE_END } how;
} beginnings[] = {
    {"bias", ZERO},
    {"sinks", ZERO},
    {"norm.weight", ONE},
    {"attention.out.weight", DRAWN_AT_THE_END},
    {"cross.out.weight", DRAWN_AT_THE_END},
    {".down.weight", DRAWN_AT_THE_END},
    {"", DRAWN},
};

static bool ends_in(const char *name, const char *ending) {
    const size_t n = strlen(name), e = strlen(ending);
    return n >= e && strcmp(name + n - e, ending) == 0;
}

struct fill {
    struct numbers to;
    uint64_t seed;
    uint32_t domain;
    float most, constant;
};

static void pieces(void *arg, uint64_t from, uint64_t to) {
    const struct fill *f = arg;
    float buffer[NUMBERS_BLOCK];
    for (uint64_t n; from < to; from += n) {
        n = units_min(NUMBERS_BLOCK, to - from);
        float *at = numbers_open(f->to, from, buffer);
        if (f->most > 0)
            rng_fill_uniform_from(at, from, n, f->seed, f->domain, -f->most, f->most);
        for (uint64_t i = 0; f->most == 0 && i < n; i++)
            at[i] = f->constant;
        numbers_close(f->to, from, n, at);
    }
}

static uint32_t number_of(const struct graph *g, uint32_t parameter) {
    uint32_t n = 0;
    for (uint32_t t = 0; t < parameter; t++)
        n += g->tensors[t].role == TENSOR_PARAMETER;
    return n;
}

void init_fill(const struct workload *w, const struct graph *g, uint32_t parameter, uint64_t seed, struct pool *pool,
               void *dst) {
    const struct tensor *t = &g->tensors[parameter];
    struct fill f = {.to = {dst, t->dtype == DTYPE_BFLOAT16},
                     .seed = seed,
                     .domain = RNG_PARAMETER + (number_of(g, parameter) << 8)};
    unsigned row = 0;
    while (!ends_in(t->name, beginnings[row].ending))
        row++;
    if (beginnings[row].how == DRAWN)
        f.most = MOST;
    if (beginnings[row].how == DRAWN_AT_THE_END)
        f.most = MOST / sqrtf(2 * (float)model_graph_layers(&w->model));
    f.constant = beginnings[row].how == ONE ? 1 - (float)w->model.norm_offset : 0;
    eltwise_run(pool, t->elements, pieces, &f);
}
