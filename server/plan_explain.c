/* plan_explain.c - a plan's answer in words: where the peak is and what is alive there, what recomputation costs, what
 * to drop next, and what would fit. The sentences say what the fields beside them hold. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/plan_layers.h"
#include "server/plan_query.h"

#define SENTENCES_MAX (16u + PLAN_LAYERS_SAID)
#define LARGEST       6u  /* groups that are named */
#define AGAIN_MAX     64u /* ops of different names */

/* Where in a step of training a step of the plan is. */
enum place { PLACE_FORWARD, PLACE_LOSS, PLACE_BACKWARD, PLACE_EMBEDDING, PLACES };
static const char *const place_names[] = {
    [PLACE_FORWARD] = "forward", [PLACE_LOSS] = "loss", [PLACE_BACKWARD] = "backward", [PLACE_EMBEDDING] = "embedding"};
_Static_assert(sizeof place_names / sizeof place_names[0] == PLACES, "one name per place");

struct moment_at {
    enum place place;
    uint32_t step;
    uint64_t live_bytes; /* 0: there is none */
};

struct telling {
    const struct plan_query *q;
    const struct plan_made *m; /* NULL under megatron, as standard */
    const struct plan *standard;
    uint64_t peak_bytes, budget; /* UINT64_MAX: there is none */
    struct model_persistent persistent;
    struct moment_at peak, second;
    struct plan_group groups[PLAN_GROUPS_MAX];
    struct plan_drop drops[PLAN_DROPS_MAX];
    struct plan_way ways[PLAN_WAYS_MAX];
    unsigned n_groups, n_drops, n_ways;
    const char *again[AGAIN_MAX]; /* names of the ops that run twice */
    unsigned n_again;
    uint32_t runs_again;
    struct plan_layers layers;
    struct plan_named least;   /* the lightest strategy, where none fits; json NULL: some does */
    struct plan_made lightest; /* its plan, and where its peak is */
    struct moment_at least_peak;
    const char *sentences[SENTENCES_MAX];
    unsigned n_sentences;
    struct arena *a;
    struct problem *why;
};

/* ---- words ---- */

static void say(struct telling *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A sentence that finds no memory leaves its problem, which fails the whole. */
static void say(struct telling *t, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *sentence = arena_printf(t->a, t->why, "%s", text);
    if (sentence && t->n_sentences < SENTENCES_MAX)
        t->sentences[t->n_sentences++] = sentence;
}

struct words {
    char text[128];
};

static struct words bytes(uint64_t n) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    struct words w;
    double scaled = (double)n / 1024;
    size_t unit = 0;
    for (; scaled >= 1023.995 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        scaled /= 1024;
    if (n < 1024)
        snprintf(w.text, sizeof w.text, "%u bytes", (unsigned)n);
    else
        snprintf(w.text, sizeof w.text, "%.2f %s", scaled, units[unit]);
    return w;
}

static struct words flops(uint64_t n) {
    static const char *const units[] = {"FLOPs", "kFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs", "EFLOPs"};
    struct words w;
    double scaled = (double)n;
    size_t unit = 0;
    for (; scaled >= 999.95 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        scaled /= 1000;
    snprintf(w.text, sizeof w.text, unit ? "%.1f %s" : "%.0f %s", scaled, units[unit]);
    return w;
}

/* Of the peak, in percent. */
static double share(const struct telling *t, uint64_t part) {
    return 100 * (double)part / (double)t->peak_bytes;
}

/* "every_layer", or the object as it is; a long one by its name alone. */
static struct words strategy_words(const struct wire_strategy *s) {
    struct words w;
    const char *json = s->json;
    const size_t length = strlen(json);
    if (s->strategy.planner->plan)
        snprintf(w.text, sizeof w.text, "%s%s%s%.20s", s->strategy.planner->name,
                 s->strategy.objective == OBJECTIVE_SECONDS ? " by seconds" : "",
                 s->strategy.budget_bytes ? " within " : "",
                 s->strategy.budget_bytes ? bytes(s->strategy.budget_bytes).text : "");
    else if (json[0] == '"')
        snprintf(w.text, sizeof w.text, "%.*s", (int)(length - 2 < 100 ? length - 2 : 100), json + 1);
    else if (length < sizeof w.text)
        snprintf(w.text, sizeof w.text, "%s", json);
    else
        snprintf(w.text, sizeof w.text, "%s (layer by layer)", s->strategy.planner->name);
    return w;
}

/* ---- where ---- */

static const struct op *op_at(const struct plan *p, uint32_t step) {
    return p->steps[step].op == STEP_FREE ? NULL : &p->graph->ops[p->steps[step].of];
}

/* Before the first layer lies the embedding, behind the last the loss. */
static enum place place_of(const struct plan *p, uint32_t step, uint32_t first_in_layer) {
    const uint32_t id = p->steps[step].of;
    if (p->graph->ops[id].layer == GRAPH_NONE)
        return id < first_in_layer ? PLACE_EMBEDDING : PLACE_LOSS;
    return step < p->turn ? PLACE_FORWARD : PLACE_BACKWARD;
}

/* The peak, and the highest step of another place. A free stands where the step before it does. */
static bool places_find(const struct plan *p, struct arena *a, struct moment_at *peak, struct moment_at *second,
                        struct problem *why) {
    struct plan copy = *p; /* simulated afresh */
    struct plan_moment *moments = arena_new(a, struct plan_moment, p->n_steps, why);
    struct moment_at highest[PLACES] = {{0}};
    enum place place = PLACE_EMBEDDING;
    uint32_t first_in_layer = 0;
    if (!moments || !plan_simulate(&copy, a, moments, why))
        return false;
    while (first_in_layer < p->graph->n_ops && p->graph->ops[first_in_layer].layer == GRAPH_NONE)
        first_in_layer++;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        place = op_at(p, i) ? place_of(p, i, first_in_layer) : place;
        if (moments[i].live_bytes > highest[place].live_bytes)
            highest[place] = (struct moment_at){place, i, moments[i].live_bytes};
        if (i == p->peak_step)
            *peak = (struct moment_at){place, i, moments[i].live_bytes};
    }
    for (unsigned other = 0; other < PLACES; other++)
        if (other != (unsigned)peak->place && highest[other].live_bytes > second->live_bytes)
            *second = highest[other];
    return true;
}

/* "the backward of layer 3 (gradient of mlp.down)" */
static struct words place_words(const struct plan *p, const struct moment_at *at) {
    const struct op *op = op_at(p, at->step);
    const char *what = p->steps[at->step].op == STEP_GRAD ? "gradient of " : at->step >= p->turn ? "again " : "";
    struct words w;
    if (op && op->layer != GRAPH_NONE)
        snprintf(w.text, sizeof w.text, "in the %s of layer %u (%s%s)", place_names[at->place], op->layer, what,
                 op->name);
    else
        snprintf(w.text, sizeof w.text, "at the %s (%s%s)", place_names[at->place], what, op ? op->name : "a free");
    return w;
}

/* ---- what is gathered ---- */

static void again_add(struct telling *t, const char *name) {
    unsigned i = 0;
    while (i < t->n_again && strcmp(t->again[i], name) != 0)
        i++;
    if (i == t->n_again && i < AGAIN_MAX)
        t->again[t->n_again++] = name;
}

static bool again_find(struct telling *t) {
    const struct graph *g = t->m->plan.graph;
    if (!plan_layers_read(&t->m->plan, t->a, &t->layers, t->why))
        return false;
    for (uint32_t o = 0; o < g->n_ops; o++)
        if (t->layers.runs[o] > 1) {
            again_add(t, g->ops[o].name);
            t->runs_again += t->layers.runs[o] - 1;
        }
    return true;
}

static bool gather(struct telling *t) {
    const struct plan_alive *alive;
    uint32_t n = 0;
    if (!places_find(&t->m->plan, t->a, &t->peak, &t->second, t->why) || !again_find(t) ||
        !plan_include_alive(&t->m->plan, t->a, &alive, &n, t->why))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!plan_suggest_group(&t->m->graph, &alive[i], t->groups, &t->n_groups, t->a, t->why))
            return false;
    plan_suggest_sort(t->groups, t->n_groups);
    return plan_suggest_drops(t->q, t->m, alive, n, t->a, t->drops, &t->n_drops, t->why);
}

/* ---- sentences ---- */

static uint64_t persistent_bytes(const struct telling *t) {
    return t->persistent.parameters_bytes + t->persistent.gradients_bytes + t->persistent.optimizer_bytes;
}

static bool is_short(const struct telling *t) {
    return t->peak_bytes > t->budget;
}

/* Where no strategy alone fits, a larger budget is what is left: how large, and for what. */
static bool least_find(struct telling *t) {
    struct plan_query q = *t->q;
    struct moment_at second = {0};
    q.strategy = t->least.strategy;
    if (t->q->w.megatron || t->least.peak_bytes <= t->budget)
        t->least = (struct plan_named){0};
    return !t->least.strategy.json || (plan_query_make(&q, t->a, &t->lightest, t->why) &&
                                       places_find(&t->lightest.plan, t->a, &t->least_peak, &second, t->why));
}

/* No change is searched where the persistent bytes alone are too many. */
static bool ways_find(struct telling *t) {
    struct plan_query q = *t->q;
    struct plan_named cheapest;
    q.budget_bytes = t->budget;
    if (!is_short(t))
        return true;
    if (persistent_bytes(t) <= t->budget)
        return plan_suggest_ways(&q, t->a, t->ways, &t->n_ways, &t->least, t->why) && least_find(t);
    return t->q->w.megatron || (plan_frontier_pick(&q, t->a, &cheapest, &t->least, t->why) && least_find(t));
}

static void say_verdict(struct telling *t) {
    const uint64_t budget = t->budget;
    if (is_short(t))
        say(t, "It does not fit: the peak is %s, %s more than the budget of %s.", bytes(t->peak_bytes).text,
            bytes(t->peak_bytes - budget).text, bytes(budget).text);
    else if (budget != UINT64_MAX)
        say(t, "It fits: the peak is %s, %s less than the budget of %s.", bytes(t->peak_bytes).text,
            bytes(budget - t->peak_bytes).text, bytes(budget).text);
    else
        say(t, "The peak is %s.", bytes(t->peak_bytes).text);
}

static void say_peak(struct telling *t) {
    const struct plan *p = &t->m->plan;
    say(t, "It is at step %u of %u, %s, where %s are in the slab.", p->peak_step, p->n_steps,
        place_words(p, &t->peak).text, bytes(t->peak.live_bytes).text);
    if (t->second.live_bytes)
        say(t, "The second peak, %s, is %s lower.", place_words(p, &t->second).text,
            bytes(t->peak.live_bytes - t->second.live_bytes).text);
}

static void say_alive(struct telling *t) {
    char list[512];
    size_t used = 0;
    for (unsigned i = 0; i < t->n_groups && i < 3 && used < sizeof list; i++) {
        const struct plan_group *g = &t->groups[i];
        char many[24] = "";
        if (g->count > 1)
            snprintf(many, sizeof many, "%llu x ", (unsigned long long)g->count);
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s%.60s %s (%.1f %%)", i ? ", " : "", many,
                                 g->name, bytes(g->bytes).text, share(t, g->bytes));
    }
    say(t, "The largest there: %s.", list);
}

static void say_persistent(struct telling *t) {
    const uint64_t all = persistent_bytes(t);
    say(t,
        "Parameters, gradients and optimizer states take %s of the peak (%.1f %%), whatever the batch and the "
        "sequence.",
        bytes(all).text, share(t, all));
    if (all > t->budget)
        say(t, "They alone are more than the budget: no strategy and no batch can fit.");
}

static void say_loss(struct telling *t) {
    if (t->q->w.any_attention)
        say(t, "Of the ways to run attention this is %s.", t->m->attention->name);
    if (t->m->loss_chunk == 0)
        return;
    say(t, "The loss does not keep its logits: its backward makes them again, for %llu tokens at a time.",
        (unsigned long long)t->m->loss_chunk);
    if (t->runs_again == 0)
        say(t, "Nothing else is recomputed: %.3g %% more compute in all.", plan_query_overhead_pct(t->m, &t->m->plan));
}

static void say_recompute(struct telling *t) {
    const struct plan *p = &t->m->plan;
    const uint64_t whole = t->standard->peak_bytes;
    const char *list[PLAN_LAYERS_SAID];
    unsigned n = 0;
    if (t->runs_again == 0 && t->m->loss_chunk == 0)
        say(t, "Nothing is recomputed.");
    if (t->runs_again == 0 || !plan_layers_say(&t->layers, t->a, list, &n, t->why))
        return;
    say(t, "%s runs %u ops %s: %s a step, %.3g %% more compute, for %s %s than keeping everything.",
        strategy_words(&t->q->strategy).text, t->runs_again, t->layers.most > 2 ? "again" : "twice",
        flops(p->recompute_flops * t->q->w.workload.gradient_accumulation).text, plan_query_overhead_pct(t->m, p),
        bytes(p->peak_bytes <= whole ? whole - p->peak_bytes : p->peak_bytes - whole).text,
        p->peak_bytes <= whole ? "less" : "more");
    for (unsigned i = 0; i < n; i++)
        say(t, "%s", list[i]);
}

/* What it claims. */
static void say_optimality(struct telling *t) {
    const struct plan_optimality *x = &t->m->plan.optimality;
    const char *within = t->budget == UINT64_MAX ? "" : " within the budget", *what = x->unit > 0 ? "time" : "compute";
    const double gap = plan_query_gap_pct(t->q, t->m);
    if (!x->class || is_short(t))
        return;
    if (gap > 0)
        say(t, "No %s plan%s takes less %s by more than %.2g %%.", x->class, within, what, gap);
    else if (x->exact)
        say(t, "No %s plan%s takes less %s.", x->class, within, what);
}

static void say_drop(struct telling *t) {
    const struct plan_drop *d = &t->drops[0];
    char list[256] = "";
    size_t used = 0;
    if (t->q->strategy.strategy.planner->plan) /* what to drop is its own choice */
        return;
    if (t->n_drops == 0) {
        say(t, "Recomputing one thing more does not lower the peak.");
        return;
    }
    for (unsigned i = 0; i < d->n_tensors && i < 3 && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.60s", i ? ", " : " ", d->tensors[i].name);
    if (d->n_tensors > 3 && used < sizeof list)
        snprintf(list + used, sizeof list - used, " and %u more", d->n_tensors - 3);
    say(t, "Next to drop:%s. Strategy %s has its peak at %s, %s less, for %.3g %% more compute in all.", list,
        strategy_words(&d->named.strategy).text, bytes(d->named.peak_bytes).text, bytes(d->freed_bytes).text,
        d->named.overhead_pct);
}

static void say_way(struct telling *t, const struct plan_way *w, const char *begin) {
    const char *mine = t->q->strategy.json, *its = w->named.strategy.json;
    const struct words strategy = strategy_words(&w->named.strategy);
    char what[256], with[160] = "";
    if (strcmp(w->change, "strategy") == 0 && !t->q->w.megatron)
        snprintf(what, sizeof what, "strategy %s, %.3g %% more compute", strategy.text, w->named.overhead_pct);
    else if (strcmp(w->change, "strategy") == 0)
        snprintf(what, sizeof what, "strategy %s", strategy.text);
    else if (strcmp(w->change, "seq_len") == 0)
        snprintf(what, sizeof what, "seq_len %llu", (unsigned long long)w->seq_len);
    else if (strcmp(w->change, "batch") == 0)
        snprintf(what, sizeof what, "batch %llu", (unsigned long long)w->batch);
    else
        snprintf(what, sizeof what, "batch %llu with gradient_accumulation %llu, the same tokens a step",
                 (unsigned long long)w->batch, (unsigned long long)w->gradient_accumulation);
    if (strcmp(w->change, "strategy") != 0 && strcmp(mine, its) != 0)
        snprintf(with, sizeof with, ", under %s", strategy.text);
    say(t, "%s %s%s: a peak of %s.", begin, what, with, bytes(w->named.peak_bytes).text);
}

static void say_least(struct telling *t) {
    const struct plan_named *l = &t->least;
    const struct words at = place_words(&t->lightest.plan, &t->least_peak);
    if (l->strategy.strategy.planner == &planner_optimal)
        say(t, "No persistent plan fits into less than %s, needed %s.", bytes(l->peak_bytes).text, at.text);
    else
        say(t, "The lightest strategy, %s, takes %s, needed %s.", strategy_words(&l->strategy).text,
            bytes(l->peak_bytes).text, at.text);
}

static void say_ways(struct telling *t) {
    if (t->least.strategy.json)
        say_least(t);
    for (unsigned i = 0; i < t->n_ways; i++)
        say_way(t, &t->ways[i], i ? "Or" : "The smallest change that fits:");
    if (t->n_ways == 0 && persistent_bytes(t) <= t->budget)
        say(t, "No strategy, smaller batch or shorter sequence fits.");
}

/* ---- the same for programs ---- */

static void put_place(const struct plan *p, const char *key, const struct moment_at *at, struct wire_out *o) {
    const struct op *op = at->live_bytes ? op_at(p, at->step) : NULL;
    if (!at->live_bytes) {
        wire_put_json(o, key, NULL);
        return;
    }
    wire_open(o, key, '{');
    wire_put_string(o, "at", place_names[at->place]);
    wire_put_uint(o, "step", at->step);
    wire_put_uint(o, "steps", p->n_steps);
    wire_put_string(o, "phase", at->step < p->turn ? "forward" : "backward");
    if (op && op->layer != GRAPH_NONE)
        wire_put_uint(o, "layer", op->layer);
    else
        wire_put_json(o, "layer", NULL);
    wire_put_string(o, "op", op ? op->name : NULL);
    wire_put_uint(o, "live_bytes", at->live_bytes);
    wire_close(o, '}');
}

static void put_groups(const struct telling *t, const char *key, const struct plan_group *list, unsigned n,
                       struct wire_out *o) {
    wire_open(o, key, '[');
    for (unsigned i = 0; i < n; i++) {
        wire_open(o, NULL, '{');
        wire_put_string(o, "name", list[i].name);
        wire_put_uint(o, "count", list[i].count);
        wire_put_uint(o, "bytes", list[i].bytes);
        wire_put_real(o, "share_pct", share(t, list[i].bytes));
        wire_put_string(o, "category", list[i].category);
        wire_close(o, '}');
    }
    wire_close(o, ']');
}

static void put_persistent(const struct telling *t, struct wire_out *o) {
    wire_open(o, "persistent", '{');
    wire_put_uint(o, "bytes", persistent_bytes(t));
    wire_put_real(o, "share_pct", share(t, persistent_bytes(t)));
    wire_put_real(o, "parameters_pct", share(t, t->persistent.parameters_bytes));
    wire_put_real(o, "gradients_pct", share(t, t->persistent.gradients_bytes));
    wire_put_real(o, "optimizer_pct", share(t, t->persistent.optimizer_bytes));
    wire_close(o, '}');
}

static void put_recompute(const struct telling *t, struct wire_out *o) {
    wire_open(o, "recompute", '{');
    wire_put_uint(o, "runs", t->runs_again);
    wire_open(o, "ops", '[');
    for (unsigned i = 0; i < t->n_again; i++)
        wire_put_string(o, NULL, t->again[i]);
    wire_close(o, ']');
    wire_put_uint(o, "flops", t->m->plan.recompute_flops * t->q->w.workload.gradient_accumulation);
    wire_close(o, '}');
}

static void put_drops(const struct telling *t, struct wire_out *o) {
    wire_open(o, "drop_next", '[');
    for (unsigned i = 0; i < t->n_drops; i++) {
        const struct plan_drop *d = &t->drops[i];
        wire_open(o, NULL, '{');
        wire_put_string(o, "recompute", d->recompute);
        wire_put_json(o, "strategy", d->named.strategy.json);
        put_groups(t, "tensors", d->tensors, d->n_tensors, o);
        wire_put_uint(o, "freed_bytes", d->freed_bytes);
        wire_put_uint(o, "recompute_flops", d->recompute_flops * t->q->w.workload.gradient_accumulation);
        wire_put_uint(o, "peak_bytes", d->named.peak_bytes);
        wire_put_real(o, "compute_overhead_pct", d->named.overhead_pct);
        wire_close(o, '}');
    }
    wire_close(o, ']');
}

static void put_ways(const struct telling *t, struct wire_out *o) {
    if (!is_short(t)) {
        wire_put_json(o, "ways_to_fit", NULL);
        return;
    }
    wire_open(o, "ways_to_fit", '[');
    for (unsigned i = 0; i < t->n_ways; i++) {
        const struct plan_way *w = &t->ways[i];
        wire_open(o, NULL, '{');
        wire_put_string(o, "change", w->change);
        wire_put_json(o, "strategy", w->named.strategy.json);
        wire_put_uint(o, "batch", w->batch);
        wire_put_uint(o, "gradient_accumulation", w->gradient_accumulation);
        wire_put_uint(o, "seq_len", w->seq_len);
        wire_put_uint(o, "peak_bytes", w->named.peak_bytes);
        if (t->q->w.megatron)
            wire_put_json(o, "compute_overhead_pct", NULL);
        else
            wire_put_real(o, "compute_overhead_pct", w->named.overhead_pct);
        wire_close(o, '}');
    }
    wire_close(o, ']');
}

static void put_binds(const struct telling *t, struct wire_out *o) {
    const char *what = persistent_bytes(t) > t->budget ? "persistent"
                       : t->m                          ? place_names[t->peak.place]
                                                       : "activations";
    wire_put_string(o, "binds", is_short(t) ? what : NULL);
}

static void put_least(const struct telling *t, struct wire_out *o) {
    if (!t->least.strategy.json) {
        wire_put_json(o, "least", NULL);
        return;
    }
    wire_open(o, "least", '{');
    wire_put_uint(o, "peak_bytes", t->least.peak_bytes);
    wire_put_json(o, "strategy", t->least.strategy.json);
    put_place(&t->lightest.plan, "peak", &t->least_peak, o);
    wire_close(o, '}');
}

static bool put(const struct telling *t, struct wire_out *o) {
    if (t->why->kind != PROBLEM_NONE) /* a sentence could not be kept */
        return false;
    wire_open(o, "explain", '{');
    wire_open(o, "sentences", '[');
    for (unsigned i = 0; i < t->n_sentences; i++)
        wire_put_string(o, NULL, t->sentences[i]);
    wire_close(o, ']');
    put_persistent(t, o);
    if (t->m) {
        put_place(&t->m->plan, "peak", &t->peak, o);
        put_place(&t->m->plan, "second_peak", &t->second, o);
        put_groups(t, "largest", t->groups, t->n_groups < LARGEST ? t->n_groups : LARGEST, o);
        put_recompute(t, o);
        put_drops(t, o);
    } else {
        static const char *const programs[] = {"peak", "second_peak", "largest", "recompute", "drop_next"};
        for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
            wire_put_json(o, programs[i], NULL);
    }
    put_binds(t, o);
    put_least(t, o);
    put_ways(t, o);
    wire_close(o, '}');
    return true;
}

/* ---- both frameworks ---- */

bool plan_explain_put(const struct plan_query *q, const struct plan_made *m, const struct plan *standard,
                      struct arena *scratch, struct wire_out *o, struct problem *why) {
    struct telling *t = arena_new(scratch, struct telling, 1, why);
    if (!t)
        return false;
    t->q = q;
    t->m = m;
    t->standard = standard;
    t->peak_bytes = m->plan.peak_bytes;
    t->budget = plan_query_budget(q);
    t->persistent = m->persistent;
    t->a = scratch;
    t->why = why;
    if (!gather(t) || !ways_find(t))
        return false;
    say_verdict(t);
    say_peak(t);
    say_alive(t);
    say_persistent(t);
    say_loss(t);
    say_recompute(t);
    say_optimality(t);
    say_drop(t);
    if (is_short(t))
        say_ways(t);
    return put(t, o);
}

/* Closed forms have no steps: what they do not know is null. */
bool plan_explain_megatron(const struct plan_query *q, const struct megatron_bytes *b, struct arena *scratch,
                           struct wire_out *o, struct problem *why) {
    struct telling *t = arena_new(scratch, struct telling, 1, why);
    if (!t)
        return false;
    t->q = q;
    t->budget = q->budget_bytes;
    t->persistent = (struct model_persistent){b->parameters_bytes, b->gradients_bytes, b->optimizer_bytes};
    t->peak_bytes = persistent_bytes(t) + b->saved_activations_bytes;
    t->a = scratch;
    t->why = why;
    if (!ways_find(t))
        return false;
    say_verdict(t);
    say(t, "Saved activations of a device of the first pipeline stage take %s of it (%.1f %%).",
        bytes(b->saved_activations_bytes).text, share(t, b->saved_activations_bytes));
    say_persistent(t);
    say(t, "Closed forms have no program behind them: no step, no tensor and no operations can be named.");
    if (is_short(t))
        say_ways(t);
    return put(t, o);
}
