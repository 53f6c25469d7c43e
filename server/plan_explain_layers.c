/* plan_explain_layers.c - what a plan does layer by layer, in words: layers that do the same are named together. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/plan_layers.h"

#define DEEDS  6u /* that are told apart */
#define NAMES  6u /* in a list of ops */
#define RANGES 8u /* in a list of layers */

struct text {
    char s[320];
    size_t used;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(t->s + t->used, sizeof t->s - t->used, format, args);
    va_end(args);
    t->used += (size_t)n < sizeof t->s - t->used ? (size_t)n : sizeof t->s - t->used - 1;
}

/* Between the i-th and the one before it, of n. */
static const char *joint(uint32_t i, uint32_t n) {
    return i == 0 ? "" : i + 1 == n ? " and " : ", ";
}

/* ---- ops ---- */

struct ops {
    const char *list[NAMES];
    uint32_t n;
};

static void names_add(struct ops *o, const char *name) {
    if (o->n < NAMES)
        o->list[o->n] = name;
    o->n++;
}

/* The op called "attention" is the core of the part that is. */
static void ops_add(struct ops *o, const struct op *op) {
    names_add(o, op->kind == OP_ATTENTION && strcmp(op->name, "attention") == 0 ? "attention_core" : op->name);
}

static void add_ops(struct text *t, const struct ops *o) {
    const uint32_t shown = o->n < NAMES ? o->n : NAMES, all = shown + (o->n > shown);
    for (uint32_t i = 0; i < shown; i++)
        add(t, "%s%.40s", joint(i, all), o->list[i]);
    if (o->n > shown)
        add(t, " and %u more", o->n - shown);
}

/* ---- what a layer does ---- */

enum does { DOES_KEEP, DOES_WHOLE, DOES_SOME };
static const char *const verbs[][2] = {/* of one, of several */
                                       [DOES_KEEP] = {"keeps everything", "keep everything"},
                                       [DOES_WHOLE] = {"is recomputed whole", "are recomputed whole"},
                                       [DOES_SOME] = {"recomputes ", "recompute "}};

struct deed {
    enum does does;
    struct text what; /* of DOES_SOME */
};

/* A part all of whose needed ops run again, two at least. */
static bool part_runs(const struct plan_layers *x, const struct plan_layer *l, unsigned part) {
    uint32_t needed = 0;
    for (uint32_t o = l->first; o < l->end; o++) {
        if (!x->needed[o] || !(x->graph->ops[o].parts & part))
            continue;
        if (x->runs[o] < 2)
            return false;
        needed++;
    }
    return needed > 1;
}

static void name_all(const struct plan_layers *x, const struct plan_layer *l, struct ops *names) {
    static const struct {
        unsigned part;
        const char *name;
    } parts[] = {{PART_ATTENTION, "all of attention"}, {PART_MLP, "all of mlp"}, {PART_NORM, "all norms"}};
    unsigned named = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        bool more = false;
        for (uint32_t o = l->first; o < l->end; o++)
            more |= x->runs[o] > 1 && x->graph->ops[o].parts & parts[i].part && !(x->graph->ops[o].parts & named);
        if (!more || !part_runs(x, l, parts[i].part))
            continue;
        named |= parts[i].part;
        names_add(names, parts[i].name);
    }
    for (uint32_t o = l->first; o < l->end; o++)
        if (x->runs[o] > 1 && !(x->graph->ops[o].parts & named))
            ops_add(names, &x->graph->ops[o]);
}

/* What is fewer is said: what runs again, or what of the needed does not. */
static struct deed deed_of(const struct plan_layers *x, const struct plan_layer *l) {
    struct deed d = {.does = l->most < 2 ? DOES_KEEP : plan_layers_whole(l) ? DOES_WHOLE : DOES_SOME};
    struct ops names = {0}, rest = {0};
    if (d.does != DOES_SOME)
        return d;
    name_all(x, l, &names);
    for (uint32_t o = l->first; o < l->end; o++)
        if (x->needed[o] && x->runs[o] < 2)
            ops_add(&rest, &x->graph->ops[o]);
    const bool but = l->again > 0 && rest.n < names.n;
    add(&d.what, but ? "everything but " : "");
    add_ops(&d.what, but ? &rest : &names);
    return d;
}

static bool same(const struct deed *a, const struct deed *b) {
    return a->does == b->does && strcmp(a->what.s, b->what.s) == 0;
}

/* ---- lists of layers ---- */

/* Runs of neighbours: "0-6, 9 and 11-13". */
struct ranges {
    uint32_t from[RANGES], to[RANGES];
    uint32_t n, layers; /* n may be more than there is room for */
};

/* apart: it begins a range even where it follows the last. */
static void ranges_add(struct ranges *r, uint32_t layer, bool apart) {
    const bool follows = r->n > 0 && r->n <= RANGES && r->to[r->n - 1] + 1 == layer;
    r->layers++;
    if (follows && !apart) {
        r->to[r->n - 1] = layer;
        return;
    }
    if (r->n < RANGES)
        r->from[r->n] = r->to[r->n] = layer;
    r->n++;
}

static void add_ranges(struct text *t, const struct ranges *r) {
    const uint32_t shown = r->n < RANGES ? r->n : RANGES, all = shown + (r->n > shown);
    for (uint32_t i = 0; i < shown; i++)
        add(t, r->from[i] == r->to[i] ? "%s%u" : "%s%u-%u", joint(i, all), r->from[i], r->to[i]);
    if (r->n > shown)
        add(t, " and more");
}

/* ---- sentences ---- */

struct saying {
    const struct plan_layers *x;
    struct arena *a;
    const char **list;
    unsigned *n;
    struct problem *why;
};

static bool say(struct saying *s, const struct text *t) {
    const char *sentence = arena_printf(s->a, s->why, "%s", t->s);
    if (sentence && *s->n < PLAN_LAYERS_SAID)
        s->list[(*s->n)++] = sentence;
    return sentence != NULL;
}

static bool say_deed(struct saying *s, const struct deed *d, const uint32_t *deed, uint32_t which) {
    struct ranges r = {0};
    struct text t = {0};
    for (uint32_t i = 0; i < s->x->n; i++)
        if (deed[i] == which)
            ranges_add(&r, i, false);
    add(&t, "Layer%s ", r.layers > 1 ? "s" : "");
    add_ranges(&t, &r);
    add(&t, " %s%s.", verbs[d->does][r.layers > 1], d->what.s);
    return say(s, &t);
}

/* The layers that do the same, and the rest by its number. of: DEEDS of them; deed: of each layer. */
static bool say_deeds(struct saying *s, struct deed *of, uint32_t *deed) {
    const struct plan_layers *x = s->x;
    uint32_t n = 0, others = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        const struct deed d = deed_of(x, &x->list[i]);
        for (deed[i] = 0; deed[i] < n && !same(&of[deed[i]], &d);)
            deed[i]++;
        if (deed[i] == n && n < DEEDS)
            of[n++] = d;
        others += deed[i] == DEEDS;
    }
    for (uint32_t k = 0; k < n; k++)
        if (!say_deed(s, &of[k], deed, k))
            return false;
    struct text t = {0};
    add(&t, "%u more layer%s recomputation of other ops.", others, others > 1 ? "s have" : " has");
    return others == 0 || say(s, &t);
}

static bool say_shared(struct saying *s) {
    struct ranges r = {0};
    struct text t = {0};
    for (uint32_t i = 0; i < s->x->n; i++)
        if (s->x->list[i].leans || (i + 1 < s->x->n && s->x->list[i + 1].leans))
            ranges_add(&r, i, !s->x->list[i].leans);
    if (r.n == 0)
        return true;
    add(&t, "Layers ");
    add_ranges(&t, &r);
    add(&t, " share a checkpoint%s: what one hands to the next is made again.", r.n > 1 ? " each" : "");
    return say(s, &t);
}

static bool say_often(struct saying *s) {
    struct ranges r = {0};
    struct text t = {0};
    for (uint32_t i = 0; i < s->x->n; i++)
        if (s->x->list[i].most > 2)
            ranges_add(&r, i, false);
    if (r.n == 0)
        return true;
    add(&t, "Ops of layer%s ", r.layers > 1 ? "s" : "");
    add_ranges(&t, &r);
    add(&t, " run more than twice in a pass, up to %u times.", s->x->most);
    return say(s, &t);
}

static bool say_beside(struct saying *s) {
    const struct plan_layers *x = s->x;
    struct ops names = {0};
    struct text t = {0};
    for (uint32_t o = 0; o < x->graph->n_ops; o++)
        if (x->graph->ops[o].layer == GRAPH_NONE && x->runs[o] > 1)
            ops_add(&names, &x->graph->ops[o]);
    if (names.n == 0)
        return true;
    add(&t, "Outside the layers ");
    add_ops(&t, &names);
    add(&t, names.n > 1 ? " run again." : " runs again.");
    return say(s, &t);
}

bool plan_layers_say(const struct plan_layers *layers, struct arena *a, const char **list, unsigned *n,
                     struct problem *why) {
    struct saying s = {layers, a, list, n, why};
    *n = 0;
    if (layers->most < 2)
        return true;
    struct deed *of = arena_new(a, struct deed, DEEDS, why);
    uint32_t *deed = arena_new(a, uint32_t, (size_t)layers->n + 1, why);
    return of && deed && say_deeds(&s, of, deed) && say_shared(&s) && say_often(&s) && say_beside(&s);
}
