/* dag_graphs.c - graphs to recompute over, for tests and benches alike. */
#include "tests/dag_graphs.h"

#include <stdlib.h>

#include "engine/base/rng.h"

const char *const dag_graphs_names[DAG_FAMILIES] = {"vgg", "unet", "resnet", "transformer", "layered", "tiny"};

struct builder {
    struct arena *a;
    struct dag_node *nodes;
    struct dag_value *values;
    uint32_t n_nodes, n_values, forwards;
    uint64_t random;
    bool beside; /* gradients lie beside, and backwards run once */
    bool *saves_in, *saves_out;
    bool failed;
};

static uint32_t pick(struct builder *b, uint32_t n) {
    return (uint32_t)((rng_mix(b->random += RNG_MIX_STEP) >> 32) * n >> 32);
}

static uint64_t about(struct builder *b, uint64_t n) {
    return n * (80 + pick(b, 41)) / 100 + 1;
}

static uint32_t value(struct builder *b, uint64_t bytes, bool given) {
    b->values[b->n_values] = (struct dag_value){.bytes = bytes, .given = given};
    return b->n_values++;
}

static struct dag_node *node(struct builder *b, uint64_t cost, const uint32_t *reads, uint32_t n_reads,
                             const uint32_t *makes, uint32_t n_makes) {
    struct dag_node *v = &b->nodes[b->n_nodes++];
    uint32_t *r = arena_copy(b->a, reads, n_reads * sizeof *r, NULL),
             *m = arena_copy(b->a, makes, n_makes * sizeof *m, NULL);
    b->failed |= !r || !m;
    *v = (struct dag_node){.cost = cost, .reads = r, .makes = m, .n_reads = n_reads, .n_makes = n_makes};
    return v;
}

/* A forward of one or two inputs; DAG_NONE: no second. */
static uint32_t op(struct builder *b, uint32_t x, uint32_t y, uint64_t bytes, uint64_t cost, bool in, bool out) {
    uint32_t reads[] = {x, y}, z = value(b, about(b, bytes), false);
    b->saves_in[b->n_nodes] = in;
    b->saves_out[b->n_nodes] = out;
    node(b, about(b, cost), reads, y == DAG_NONE ? 1 : 2, &z, 1)->work_bytes = in ? bytes / 8 : 0;
    return z;
}

/* The backward of forward i: reads the gradients of what it made and what it saved, makes those of what it read. */
static void backward(struct builder *b, uint32_t i, uint32_t **grads, uint32_t *n_grads) {
    const struct dag_node *f = &b->nodes[i];
    uint32_t reads[64], makes[2], n = 0, made = 0, out = f->makes[0];
    for (uint32_t k = 0; k < n_grads[out] && !b->beside; k++)
        reads[n++] = grads[out][k];
    for (uint32_t k = 0; k < f->n_reads && b->saves_in[i]; k++)
        reads[n++] = f->reads[k];
    if (b->saves_out[i])
        reads[n++] = out;
    for (uint32_t k = 0; k < f->n_reads && !b->beside; k++) {
        uint32_t x = f->reads[k];
        if (b->values[x].given)
            continue;
        makes[made] = value(b, b->values[x].bytes, false);
        grads[x][n_grads[x]++] = makes[made++];
    }
    struct dag_node *v = node(b, 2 * f->cost, reads, n, makes, made);
    v->work_bytes = f->work_bytes;
    if (!b->beside)
        return;
    v->once = true;
    v->beside_bytes = b->values[out].bytes;
}

static void backwards(struct builder *b) {
    uint32_t **grads = arena_new(b->a, uint32_t *, b->n_values, NULL),
             *n_grads = arena_new(b->a, uint32_t, b->n_values, NULL);
    b->forwards = b->n_nodes;
    b->failed |= !grads || !n_grads;
    for (uint32_t x = 0, n = b->n_values; x < n && !b->failed; x++)
        b->failed |= !(grads[x] = arena_new(b->a, uint32_t, 16, NULL));
    for (uint32_t i = b->forwards; i-- > 0 && !b->failed;)
        backward(b, i, grads, n_grads);
}

/* ---- nets ---- */

static void vgg(struct builder *b, uint32_t forwards) {
    uint64_t bytes = 1 << 20, cost = 400;
    uint32_t x = value(b, bytes / 4, true), each = forwards / 5 + 2;
    while (b->n_nodes < forwards) {
        bool pool = b->n_nodes % each == each - 1, relu = b->n_nodes % 2;
        if (pool)
            bytes = bytes / 2 > 1 << 14 ? bytes / 2 : bytes;
        x = op(b, x, DAG_NONE, bytes, pool || relu ? 20 : cost, pool || !relu, pool || relu);
    }
}

static void unet(struct builder *b, uint32_t forwards) {
    uint32_t x = value(b, 1 << 18, true), skips[8] = {0}, levels = forwards > 100 ? 5 : 3;
    uint32_t each = forwards / (2 * levels + 1) ? forwards / (2 * levels + 1) : 1;
    uint64_t bytes = 1 << 20;
    for (uint32_t level = 0; level < levels; level++, bytes /= 2) {
        for (uint32_t i = 0; i + 1 < each; i++)
            x = op(b, x, DAG_NONE, bytes, i % 2 ? 20 : 300, !(i % 2), i % 2);
        skips[level] = x;
        x = op(b, x, DAG_NONE, bytes / 2, 30, true, true);
    }
    while (b->n_nodes + levels * each < forwards)
        x = op(b, x, DAG_NONE, bytes, b->n_nodes % 2 ? 20 : 300, b->n_nodes % 2 == 0, b->n_nodes % 2);
    for (uint32_t level = levels; level-- > 0;) {
        bytes *= 2;
        x = op(b, x, skips[level], bytes, 150, true, false);
        for (uint32_t i = 0; i + 1 < each; i++)
            x = op(b, x, DAG_NONE, bytes, i % 2 ? 20 : 300, !(i % 2), i % 2);
    }
}

static void resnet(struct builder *b, uint32_t forwards) {
    uint64_t bytes = 1 << 20;
    uint32_t x = op(b, value(b, bytes / 4, true), DAG_NONE, bytes, 300, true, false), quarter = forwards / 4 + 1;
    while (b->n_nodes < forwards) {
        uint32_t y = op(b, x, DAG_NONE, bytes, 250, true, false);
        y = op(b, y, DAG_NONE, bytes, 20, false, true);
        y = op(b, y, DAG_NONE, bytes, 250, true, false);
        y = op(b, y, DAG_NONE, bytes, 40, true, false);
        y = op(b, y, x, bytes, 10, false, false);
        x = op(b, y, DAG_NONE, bytes, 15, false, true);
        if (b->n_nodes / quarter != (b->n_nodes - 6) / quarter)
            bytes /= 2;
    }
}

static void transformer(struct builder *b, uint32_t forwards) {
    const uint64_t d = 1 << 18;
    uint32_t x = op(b, value(b, d / 64, true), DAG_NONE, d, 10, true, false);
    b->beside = true;
    while (b->n_nodes < forwards) {
        uint32_t y = op(b, x, DAG_NONE, d, 12, true, false);
        y = op(b, y, DAG_NONE, 3 * d, 300, true, false);
        y = op(b, y, DAG_NONE, d, 180, true, true);
        y = op(b, y, DAG_NONE, d, 100, true, false);
        x = op(b, x, y, d, 6, false, false);
        y = op(b, x, DAG_NONE, d, 12, true, false);
        y = op(b, y, DAG_NONE, 4 * d, 400, true, false);
        y = op(b, y, DAG_NONE, 4 * d, 25, true, false);
        y = op(b, y, DAG_NONE, d, 400, true, false);
        x = op(b, x, y, d, 6, false, false);
    }
}

/* ---- random graphs ---- */

/* Values not far back; now and then any. */
static uint32_t reads_some(struct builder *b, uint32_t most, uint32_t near, uint32_t *reads) {
    uint32_t n = 0, want = 1 + pick(b, most);
    for (uint32_t k = 0; k < want && b->n_values; k++) {
        uint32_t back = pick(b, 6) && b->n_values > near ? near : b->n_values, x = b->n_values - 1 - pick(b, back);
        bool twice = false;
        for (uint32_t i = 0; i < n; i++)
            twice |= reads[i] == x;
        if (!twice)
            reads[n++] = x;
    }
    return n;
}

static void layered(struct builder *b, uint32_t nodes) {
    uint32_t reads[4];
    value(b, 1000, true);
    while (b->n_nodes < nodes) {
        uint32_t n = reads_some(b, 3, 8, reads), z = value(b, 100 + pick(b, 900), false);
        node(b, 1 + pick(b, 100), reads, n, &z, 1)->work_bytes = pick(b, 4) ? 0 : pick(b, 300);
    }
    b->values[b->n_values - 1].wanted = true;
}

static void tiny(struct builder *b, uint32_t nodes) {
    uint32_t reads[4], makes[2];
    for (uint32_t k = pick(b, 3); k > 0; k--)
        value(b, 1 + pick(b, 4), true);
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t n = reads_some(b, 3, 4, reads), made = 0;
        for (uint32_t k = pick(b, 8) ? 1 : pick(b, 3); k > 0 && b->n_values < 8; k--)
            makes[made++] = value(b, pick(b, 8) ? 1 + pick(b, 5) : 0, false);
        struct dag_node *v = node(b, pick(b, 10) ? 1 + pick(b, 6) : 0, reads, n, makes, made);
        v->once = !pick(b, 6);
        v->work_bytes = pick(b, 4) ? 0 : pick(b, 4);
        v->beside_bytes = pick(b, 4) ? 0 : pick(b, 3);
        for (uint32_t k = 0; k < made; k++)
            b->values[makes[k]].wanted = !pick(b, 6);
    }
}

bool dag_graphs_make(enum dag_family family, uint32_t nodes, uint64_t seed, struct arena *a, struct dag *out) {
    static void (*const nets[])(struct builder *, uint32_t) = {vgg, unet, resnet, transformer, layered, tiny};
    uint32_t room = nodes + 64;
    struct builder b = {.a = a, .random = rng_mix(seed + 1) ^ (uint64_t)family};
    if (!(b.nodes = arena_new(a, struct dag_node, 2 * (size_t)room, NULL)) ||
        !(b.values = arena_new(a, struct dag_value, 4 * (size_t)room, NULL)) ||
        !(b.saves_in = arena_new(a, bool, 2 * (size_t)room, NULL)) ||
        !(b.saves_out = arena_new(a, bool, 2 * (size_t)room, NULL)))
        return false;
    nets[family](&b, family < DAG_LAYERED ? nodes / 2 : nodes);
    if (family < DAG_LAYERED)
        backwards(&b);
    *out = (struct dag){b.nodes, b.values, b.n_nodes, b.n_values};
    return !b.failed;
}

uint64_t dag_graphs_peak(const struct dag *d) {
    struct arena a;
    uint64_t cost, peak = 0;
    uint32_t *seq;
    arena_init(&a, 0);
    if ((seq = arena_new(&a, uint32_t, d->n_nodes, NULL))) {
        for (uint32_t v = 0; v < d->n_nodes; v++)
            seq[v] = v;
        if (!dag_judge(d, seq, d->n_nodes, &cost, &peak, &a, NULL))
            peak = 0;
    }
    arena_free(&a);
    return peak;
}
