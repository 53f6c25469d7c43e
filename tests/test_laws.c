/* test_laws.c - the laws of plans, as properties over random training steps and random graphs under every strategy.
 * REMATD_TESTS_LONG=1 takes many more of them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/plan_query.h"
#include "tests/laws.h"

static uint64_t cases(uint64_t few, uint64_t many) {
#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__ /* one thread, memory touched alike: slowly */
    few = few / 8 + 1;
#endif
    return getenv("REMATD_TESTS_LONG") ? many : few;
}

/* One training step under its strategies; names are of what was done last, for messages. */
struct step_case {
    uint64_t seed;
    struct arena arena;
    struct workload w;
    struct graph g;
    struct laws_strategies strategies;
    struct plan standard;
    char text[512], name[512];
};

static void lower(struct step_case *c, uint64_t seed, const struct workload *w) {
    struct problem why = {0};
    c->seed = seed;
    c->w = *w;
    arena_init(&c->arena, 0);
    laws_workload_text(w, c->text, sizeof c->text);
    cr_assert(model_lower(w, &c->arena, &c->g, &why), "seed %lu: %s: %s %s", seed, c->text, why.where, why.detail);
    laws_strategies_make(&c->g, seed, &c->strategies);
    cr_assert(planner_plan(&c->g, &c->strategies.list[0], &c->arena, &c->standard, &why), "%s", why.detail);
}

static void plan_it(struct step_case *c, const struct strategy *s, struct plan *p) {
    struct problem why = {0};
    laws_strategy_text(s, c->name, sizeof c->name);
    cr_assert(planner_plan(&c->g, s, &c->arena, p, &why), "seed %lu: %s: %s: %s %s", c->seed, c->text, c->name,
              why.where, why.detail);
}

/* float32, long enough for activations to outweigh parameters. */
static struct workload plain_step(uint64_t layers) {
    struct workload w = {.model = {.layers = layers, .d_model = 256, .heads = 4, .kv_heads = 1, .vocab = 257},
                         .seq_len = 1024,
                         .batch = 4,
                         .attention = &attn_table[ATTN_FLASH],
                         .optimizer = optimizer_find("adamw")};
    model_defaults(&w.model);
    return w;
}

/* ---- every figure, every step ---- */

static bool picks_ops(const struct strategy *s) {
    bool picks = s->planner == &planner_selective && s->selection.op_kinds;
    for (uint64_t l = 0; s->planner == &planner_custom && l < s->n_layers; l++)
        picks |= s->layers[l].policy == LAYER_RECOMPUTE && s->layers[l].selection.op_kinds;
    return picks;
}

static bool saves(const struct graph *g, uint32_t tensor) {
    for (uint32_t o = 0; o < g->n_ops; o++)
        for (uint32_t i = 0; i < g->ops[o].n_saved; i++)
            if (g->ops[o].saved[i] == tensor)
                return true;
    return false;
}

/* What second runs read and standard would not keep: to make a sum again takes its summands. */
static uint64_t kept_for_recomputation(const struct plan *p) {
    const struct graph *g = p->graph;
    bool *ran = calloc(g->n_ops, sizeof *ran), *counted = calloc(g->n_tensors, sizeof *counted);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct op *op = p->steps[i].op == STEP_RUN ? &g->ops[p->steps[i].of] : NULL;
        for (uint32_t o = 0; op && ran[p->steps[i].of] && o < op->n_inputs; o++) {
            uint32_t read = op->reads[o];
            if (g->tensors[read].role == TENSOR_PARAMETER || counted[read] || saves(g, read))
                continue;
            counted[read] = true;
            bytes += g->tensors[read].bytes;
        }
        if (op)
            ran[p->steps[i].of] = true;
    }
    free(ran);
    free(counted);
    return bytes;
}

/* Whole layers and the named parts begin where something is saved anyway; ops by name need not. */
static bool by_op_name(const struct strategy *s) {
    bool yes = s->selection.op_kinds != 0;
    for (uint64_t l = 0; l < s->n_layers; l++)
        yes |= s->layers[l].policy == LAYER_RECOMPUTE && s->layers[l].selection.op_kinds != 0;
    return yes;
}

static void against_standard(const struct step_case *c, const struct strategy *s, const struct plan *p) {
    const struct plan *all = &c->standard;
    cr_assert_eq(p->forward_flops, all->forward_flops);
    cr_assert_eq(p->backward_flops, all->backward_flops);
    cr_assert_eq(p->persistent_bytes, all->persistent_bytes);
    cr_assert(s->planner != &planner_standard || p->recompute_flops == 0, "standard recomputes");
    if (picks_ops(s)) /* what is kept to make one op's output again may be more than the output */
        return;
    uint64_t most = all->saved_activations_bytes + (by_op_name(s) ? kept_for_recomputation(p) : 0);
    cr_assert(p->saved_activations_bytes <= most, "seed %lu: %s: %s saves %lu; the most is %lu", c->seed, c->text,
              c->name, p->saved_activations_bytes, most);
}

/* Slab over live peak: at most 1 % on training steps. The least slab is NP-hard to find, and now and then lies above
 * the live peak: of random steps with odd sizes 1 plan in 75,000 wastes 1.1 %. Where one kernel's workspace is more
 * than a twentieth of the peak - a few dozen tokens, wide layers of experts or patches - there is little to fill the
 * gaps around it with: 1 plan in 100 or so wastes more than 1 %, the worst 8 %. */
enum { WORKSPACE_IS_SMALL, WORKSPACE_IS_LARGE, WORKSPACES };
struct waste {
    uint64_t plans, above_1;
    double worst, sum;
};
static const struct {
    uint64_t plans_for_one; /* that wastes more than 1 % */
    double worst;
} waste_bounds[WORKSPACES] = {{10000, 0.02}, {30, 0.1}};

static bool workspace_is_large(const struct plan *p) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < p->n_extents; i++)
        if (p->extents[i].value == EXTENT_WORK && p->extents[i].bytes > most)
            most = p->extents[i].bytes;
    return most * 20 > p->live_peak_bytes;
}

static void waste_add(struct waste *w, const struct plan *p) {
    double part = (double)p->slab_bytes / (double)p->live_peak_bytes - 1;
    w->plans++;
    w->above_1 += part > 0.01;
    w->sum += part;
    w->worst = part > w->worst ? part : w->worst;
}

static void waste_assert(const struct waste waste[WORKSPACES], uint64_t least_plans) {
    cr_assert(waste[0].plans + waste[1].plans >= least_plans);
    for (unsigned i = 0; i < WORKSPACES; i++) {
        const struct waste *w = &waste[i];
        cr_log_info("%lu plans, %lu waste more than 1 %%, worst %.4f", w->plans, w->above_1, w->worst);
        cr_assert(w->above_1 * waste_bounds[i].plans_for_one <= w->plans && w->worst < waste_bounds[i].worst,
                  "workspace %s: %lu plans, %lu waste more than 1 %%, worst %.4f", i ? "large" : "small", w->plans,
                  w->above_1, w->worst);
    }
}

Test(laws, every_figure_of_every_training_step_is_counted_again) {
    struct waste waste[WORKSPACES] = {{0}};
    for (uint64_t seed = 1; seed <= cases(28, 5000); seed++) {
        struct step_case c;
        struct workload w = laws_workload(seed);
        lower(&c, seed, &w);
        for (unsigned i = 0; i < c.strategies.n; i++) {
            struct plan p;
            struct problem why = {0};
            plan_it(&c, &c.strategies.list[i], &p);
            cr_assert(laws_judge(&p, &why), "seed %lu: %s: %s: %s", seed, c.text, c.name, why.detail);
            against_standard(&c, &c.strategies.list[i], &p);
            if (c.strategies.list[i].budget_bytes == 0) /* small plans of a choice of many: chosen by their slabs */
                waste_add(&waste[workspace_is_large(&p)], &p);
        }
        arena_free(&c.arena);
    }
    waste_assert(waste, cases(28, 5000) * 10);
}

/* Greedy orders alone leave 4.1 % of this one. */
Test(laws, a_layout_that_takes_a_walk_to_find) {
    struct step_case c;
    struct plan p;
    struct workload w = plain_step(2);
    w.seq_len = 72;
    w.model.norm = MODEL_RMSNORM;
    w.model.positions = MODEL_NO_POSITIONS;
    w.model.sandwich_norm = w.model.qk_norm = w.model.tied_embeddings = w.model.embedding_scale = true;
    w.model.final_softcap = 30;
    w.model.window = 149;
    w.model.window_pattern = 2;
    lower(&c, 0, &w);
    plan_it(&c, &(struct strategy){.planner = &planner_block, .k = 1}, &p);
    cr_assert_eq(p.slab_bytes, p.live_peak_bytes, "slab %lu, live peak %lu", p.slab_bytes, p.live_peak_bytes);
    arena_free(&c.arena);
}

Test(laws, every_figure_of_every_random_graph_is_counted_again) {
    struct waste waste = {0};
    for (uint64_t seed = 1; seed <= cases(20, 5000); seed++) {
        struct arena a;
        struct graph g;
        struct problem why = {0};
        struct laws_strategies all;
        arena_init(&a, 0);
        cr_assert(laws_graph(&g, &a, seed, &why), "seed %lu: %s %s", seed, why.where, why.detail);
        laws_strategies_make(&g, seed, &all);
        for (unsigned i = 0; i < all.n; i++) {
            char name[1024];
            struct plan p;
            laws_strategy_text(&all.list[i], name, sizeof name);
            cr_assert(planner_plan(&g, &all.list[i], &a, &p, &why), "seed %lu: %s: %s %s", seed, name, why.where,
                      why.detail);
            cr_assert(laws_judge(&p, &why), "seed %lu: %s: %s", seed, name, why.detail);
            waste_add(&waste, &p);
        }
        arena_free(&a);
    }
    cr_log_info("%lu plans, %lu waste more than 1 %%, worst %.4f", waste.plans, waste.above_1, waste.worst);
    cr_assert(waste.plans >= cases(20, 5000) * 10 && waste.above_1 * 50 <= waste.plans &&
                  waste.sum <= 0.002 * (double)waste.plans,
              "%lu plans, %lu waste more than 1 %%, mean %.4f", waste.plans, waste.above_1,
              waste.sum / (double)waste.plans);
}

/* ---- what is kept ---- */

/* Does anything outside the layers save t, or a layer that does not make it read it? */
static bool outlives_layers(const struct graph *g, uint32_t t) {
    const uint32_t maker = g->tensors[t].producer;
    for (uint32_t o = 0; o < g->n_ops; o++) {
        const struct op *op = &g->ops[o];
        bool own = maker != GRAPH_NONE && g->ops[maker].layer == op->layer;
        for (uint32_t i = 0; op->layer == GRAPH_NONE && i < op->n_saved; i++)
            if (op->saved[i] == t)
                return true;
        for (uint32_t i = 0; op->layer != GRAPH_NONE && !own && i < op->n_inputs; i++)
            if (op->reads[i] == t)
                return true;
    }
    return false;
}

Test(laws, every_layer_keeps_what_layers_read_and_drops_what_they_make) {
    for (uint64_t seed = 1; seed <= cases(20, 1000); seed++) {
        struct step_case c;
        struct plan p;
        struct workload w = laws_workload(seed);
        uint64_t bytes = 0;
        lower(&c, seed, &w);
        plan_it(&c, &(struct strategy){.planner = &planner_every_layer}, &p);
        for (uint32_t t = 0; t < c.g.n_tensors; t++)
            if (c.g.tensors[t].role != TENSOR_PARAMETER && outlives_layers(&c.g, t))
                bytes += c.g.tensors[t].bytes;
        cr_assert_eq(p.saved_activations_bytes, bytes, "seed %lu: %s: saved %lu, not %lu", seed, c.text,
                     p.saved_activations_bytes, bytes);
        arena_free(&c.arena);
    }
}

/* Each named part is recomputed from its own input: what two of them save together is what each saves. */
Test(laws, parts_count_for_themselves) {
    for (uint64_t seed = 1; seed <= cases(20, 1000); seed++) {
        struct step_case c;
        struct plan one[2], both;
        struct workload w = laws_workload(seed);
        struct strategy s = {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION}};
        lower(&c, seed, &w);
        const uint64_t all = c.standard.saved_activations_bytes;
        plan_it(&c, &s, &one[0]);
        s.selection.parts = PART_MLP;
        plan_it(&c, &s, &one[1]);
        s.selection.parts |= PART_ATTENTION;
        plan_it(&c, &s, &both);
        cr_assert_eq(all - both.saved_activations_bytes,
                     2 * all - one[0].saved_activations_bytes - one[1].saved_activations_bytes, "seed %lu: %s", seed,
                     c.text);
        cr_assert_eq(both.recompute_flops, one[0].recompute_flops + one[1].recompute_flops, "seed %lu: %s", seed,
                     c.text);
        arena_free(&c.arena);
    }
}

static uint32_t op_on(struct graph *g, enum op_kind kind, uint32_t layer, const uint32_t *inputs, uint32_t n) {
    struct problem why = {0};
    const struct op op = {
        .kind = kind, .name = op_table[kind]->name, .inputs = inputs, .n_inputs = n, .layer = layer, .scale = {2}};
    uint32_t id = graph_op(g, &op, &why);
    cr_assert_neq(id, GRAPH_NONE, "%s", why.detail);
    return graph_result(g, id, 0);
}

/* That no strategy saves more than standard is a law of training steps, not of graphs: here a layer reads two tensors
 * that nobody saves (scale and add save nothing) and saves one, the result of relu. */
Test(laws, a_layer_that_reads_more_than_it_saves_is_better_kept) {
    struct arena a;
    struct graph g;
    struct plan keep, recompute;
    struct problem why = {0};
    const uint64_t shape[] = {16};
    arena_init(&a, 0);
    cr_assert(graph_init(&g, &a, 1, true, &why));
    uint32_t x = graph_tensor(&g, TENSOR_INPUT, "x", DTYPE_FLOAT32, 1, shape, true, &why), two[2];
    two[0] = op_on(&g, OP_SCALE, GRAPH_NONE, &x, 1);
    two[1] = op_on(&g, OP_SCALE, GRAPH_NONE, &x, 1);
    x = op_on(&g, OP_ADD, 0, two, 2);
    x = op_on(&g, OP_RELU, 0, &x, 1);
    graph_request(&g, op_on(&g, OP_SCALE, GRAPH_NONE, &x, 1));
    cr_assert(graph_finish(&g, &why));
    cr_assert(planner_plan(&g, &(struct strategy){.planner = &planner_standard}, &a, &keep, &why));
    cr_assert(planner_plan(&g, &(struct strategy){.planner = &planner_every_layer}, &a, &recompute, &why));
    cr_assert(laws_judge(&keep, &why) && laws_judge(&recompute, &why), "%s", why.detail);
    cr_assert_eq(keep.saved_activations_bytes, 64u);
    cr_assert_eq(recompute.saved_activations_bytes, 128u);
    arena_free(&a);
}

/* ---- the same plan ---- */

static bool same_extent(const struct extent *a, const struct extent *b) {
    return a->value == b->value && a->first == b->first && a->last == b->last && a->bytes == b->bytes &&
           a->offset == b->offset;
}

/* Steps and layout, to the byte. */
static bool same_plan(const struct plan *a, const struct plan *b) {
    bool same = a->n_steps == b->n_steps && a->n_extents == b->n_extents && a->peak_bytes == b->peak_bytes &&
                a->peak_step == b->peak_step && memcmp(&a->peak, &b->peak, sizeof a->peak) == 0;
    for (uint32_t i = 0; same && i < a->n_steps; i++)
        same = a->steps[i].op == b->steps[i].op && a->steps[i].of == b->steps[i].of;
    for (uint32_t i = 0; same && i < a->n_extents; i++)
        same = same_extent(&a->extents[i], &b->extents[i]);
    return same;
}

Test(laws, strategies_that_mean_the_same_are_the_same_plan) {
    for (uint64_t seed = 1; seed <= cases(20, 1000); seed++) {
        struct step_case c;
        struct workload w = laws_workload(seed);
        lower(&c, seed, &w);
        const uint64_t L = c.g.layers;
        const struct selection some = c.strategies.layers[0][0].selection;
        struct strategy_layer layers[3][LAWS_LAYERS_MAX];
        for (uint64_t l = 0; l < L; l++) {
            layers[0][l] = (struct strategy_layer){.policy = LAYER_KEEP};
            layers[1][l] = (struct strategy_layer){.policy = LAYER_CHECKPOINT};
            layers[2][l] = (struct strategy_layer){.policy = LAYER_RECOMPUTE, .selection = some};
        }
        const struct strategy rows[][2] = {
            {{.planner = &planner_every_n, .n = 1}, {.planner = &planner_every_layer}},
            {{.planner = &planner_every_n, .n = L}, {.planner = &planner_block, .k = 1}},
            {{.planner = &planner_uniform, .k = 1}, {.planner = &planner_every_layer}},
            {{.planner = &planner_sqrt_n},
             {.planner = &planner_uniform,
              .k = L < 2    ? 1
                   : L < 5  ? 2
                   : L < 10 ? 3
                            : 4}},
            {{.planner = &planner_uniform, .k = L}, {.planner = &planner_uniform, .segments = 1}},
            {{.planner = &planner_uniform, .segments = L}, {.planner = &planner_every_layer}},
            {{.planner = &planner_block, .k = L}, {.planner = &planner_every_layer}},
            {{.planner = &planner_block, .k = L + 9}, {.planner = &planner_every_layer}},
            {{.planner = &planner_custom, .layers = layers[0], .n_layers = L}, {.planner = &planner_standard}},
            {{.planner = &planner_custom, .layers = layers[1], .n_layers = L}, {.planner = &planner_every_layer}},
            {{.planner = &planner_custom, .layers = layers[2], .n_layers = L},
             {.planner = &planner_selective, .selection = some}},
        };
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct plan a, b;
            plan_it(&c, &rows[i][0], &a);
            plan_it(&c, &rows[i][1], &b);
            cr_assert(same_plan(&a, &b), "row %zu, seed %lu: %s", i, seed, c.text);
        }
        struct plan p;
        struct problem why = {0};
        cr_assert_not(planner_plan(&c.g, &(struct strategy){.planner = &planner_block}, &c.arena, &p, &why));
        arena_free(&c.arena);
    }
}

Test(laws, the_same_workload_twice_is_the_same_plan) {
    for (uint64_t seed = 1; seed <= cases(18, 1000); seed++) {
        struct step_case a, b;
        struct workload w = laws_workload(seed), again = laws_workload(seed);
        lower(&a, seed, &w);
        void *elsewhere = malloc(1 + seed * 4099); /* addresses differ */
        lower(&b, seed, &again);
        for (unsigned i = 0; i < a.strategies.n; i++) {
            struct plan p, q;
            plan_it(&a, &a.strategies.list[i], &p);
            plan_it(&b, &b.strategies.list[i], &q);
            cr_assert(same_plan(&p, &q), "seed %lu: %s: %s", seed, a.text, a.name);
        }
        free(elsewhere);
        arena_free(&a.arena);
        arena_free(&b.arena);
    }
}

/* ---- growth ---- */

static void grow_tokens(struct workload *w) { /* an image is as long as it is */
    w->model.image_height += w->model.patch_height;
    if (w->model.family == MODEL_VISION)
        w->model.max_positions = model_tokens(&w->model);
    w->seq_len = w->model.family == MODEL_VISION ? model_tokens(&w->model) : w->seq_len + 1;
}
static void grow_tokens_thrice(struct workload *w) {
    w->model.image_height *= 3;
    if (w->model.family == MODEL_VISION)
        w->model.max_positions = model_tokens(&w->model);
    w->seq_len = w->model.family == MODEL_VISION ? model_tokens(&w->model) : 3 * w->seq_len;
}
static void grow_batch(struct workload *w) {
    w->batch++;
}
static void grow_layers(struct workload *w) {
    w->model.layers++;
}

static const struct {
    const char *name;
    void (*grow)(struct workload *w);
} growths[] = {{"seq_len + 1", grow_tokens},
               {"seq_len * 3", grow_tokens_thrice},
               {"batch + 1", grow_batch},
               {"layers + 1", grow_layers}};

static void growth_assert(struct step_case *small, struct step_case *large, const char *name, struct strategy s,
                          uint64_t *falls) {
    struct plan p, q;
    plan_it(small, &s, &p);
    s.n_layers += s.n_layers && large->g.layers > small->g.layers; /* one more row of the list */
    plan_it(large, &s, &q);
    cr_assert(p.live_peak_bytes <= q.live_peak_bytes, "%s: seed %lu: %s: %s: live peak %lu, then %lu", name,
              small->seed, small->text, small->name, p.live_peak_bytes, q.live_peak_bytes);
    cr_assert(p.saved_activations_bytes <= q.saved_activations_bytes, "%s: seed %lu: %s: %s: saved %lu, then %lu", name,
              small->seed, small->text, small->name, p.saved_activations_bytes, q.saved_activations_bytes);
    *falls += p.peak_bytes > q.peak_bytes;
}

/* How large its groups are depends on how many layers there are. */
static bool cuts_by_layers(const struct strategy *s) {
    return s->segments != 0 || s->planner == &planner_sqrt_n;
}

/* More of anything never takes less. Two exceptions. Where a layout wastes bytes and the larger one does not, the peak
 * may fall by them. And s segments are floor(L / s) layers each, the last takes the rest - 5 layers in 3 segments are
 * 1, 1, 3 and 6 are 2, 2, 2, which can take less; groups of sqrt_n grow by one now and then. Planners that choose
 * within a budget have laws of their own (test_optimal.c). */
Test(laws, peaks_grow_with_seq_len_batch_and_layers) {
    uint64_t pairs = 0, falls = 0;
    for (uint64_t seed = 1; seed <= cases(30, 2000); seed++)
        for (size_t i = 0; i < sizeof growths / sizeof growths[0]; i++) {
            struct step_case small, large;
            struct workload w = laws_workload(seed);
            lower(&small, seed, &w);
            growths[i].grow(&w);
            lower(&large, seed, &w);
            for (unsigned s = 0; s < small.strategies.n; s++)
                if (small.strategies.list[s].budget_bytes == 0 &&
                    (!cuts_by_layers(&small.strategies.list[s]) || large.g.layers == small.g.layers)) {
                    growth_assert(&small, &large, growths[i].name, small.strategies.list[s], &falls);
                    pairs++;
                }
            arena_free(&small.arena);
            arena_free(&large.arena);
        }
    cr_assert(falls * 10000 <= pairs, "%lu of %lu peaks fall", falls, pairs);
}

Test(laws, more_layers_in_as_many_segments_can_take_less) {
    const struct strategy s = {.planner = &planner_uniform, .segments = 3};
    struct step_case five, six;
    struct plan p, q;
    struct workload w = plain_step(5);
    lower(&five, 0, &w);
    w.model.layers = 6;
    lower(&six, 0, &w);
    plan_it(&five, &s, &p);
    plan_it(&six, &s, &q);
    cr_assert_gt(p.peak_bytes, q.peak_bytes);
    arena_free(&five.arena);
    arena_free(&six.arena);
}

/* ---- capacity ---- */

static uint64_t *searched(struct workload *w, enum plan_find find) {
    return find == PLAN_FIND_BATCH ? &w->batch : find == PLAN_FIND_LAYERS ? &w->model.layers : &w->seq_len;
}

static uint64_t peak_of(struct plan_query q, uint64_t value) {
    struct arena a;
    struct plan_made made;
    struct problem why = {0};
    *searched(&q.w.workload, q.find) = value;
    arena_init(&a, 0);
    cr_assert(plan_query_make(&q, &a, &made, &why), "%lu: %s %s", value, why.where, why.detail);
    arena_free(&a);
    return made.plan.peak_bytes;
}

/* What POST /v1/capacity answers: the value, and the bytes that the next one lacks (UINT64_MAX: there is no next). */
static uint64_t capacity(const struct plan_query *q, uint64_t *lacks) {
    struct arena a;
    struct wire_out o;
    struct problem why = {0};
    struct wire_value root, next;
    uint64_t value = 0;
    size_t bytes = 0;
    arena_init(&a, 0);
    wire_out_init(&o, &a, &why);
    cr_assert(plan_query_capacity(q, &o, &why), "%s %s", why.where, why.detail);
    const char *text = wire_text(&o, &bytes);
    struct wire_document *document = text ? wire_parse(text, bytes, &why) : NULL;
    cr_assert(document, "%s", why.detail);
    root = wire_root(document);
    *lacks = UINT64_MAX;
    cr_assert(wire_uint_of(&root, "value", 0, UINT64_MAX, &value, &why));
    if (wire_get(&root, "next", &next))
        cr_assert(wire_uint_of(&next, "shortfall_bytes", 1, UINT64_MAX, lacks, &why), "%s", why.detail);
    wire_document_free(document);
    arena_free(&a);
    return value;
}

static void capacity_assert(struct plan_query *q, uint64_t seed, uint64_t value) {
    uint64_t lacks, found;
    q->budget_bytes = peak_of(*q, value);
    found = capacity(q, &lacks);
    cr_assert(found >= value && peak_of(*q, found) <= q->budget_bytes, "seed %lu: %lu, not %lu", seed, found, value);
    cr_assert(lacks == UINT64_MAX || peak_of(*q, found + 1) == q->budget_bytes + lacks, "seed %lu: %lu and one more",
              seed, found);
    q->budget_bytes--;
    found = capacity(q, &lacks);
    cr_assert(found < value && (found == 0 || peak_of(*q, found) <= q->budget_bytes), "seed %lu: %lu fits", seed,
              found);
    cr_assert(lacks != UINT64_MAX && peak_of(*q, found + 1) == q->budget_bytes + lacks, "seed %lu: %lu + 1 lacks %lu",
              seed, found, lacks);
}

Test(laws, the_largest_that_fits_fits_and_one_more_does_not) {
    for (uint64_t seed = 1; seed <= cases(12, 300); seed++) {
        struct step_case c;
        struct plan_query q = {.max_points = PLAN_QUERY_POINTS};
        uint64_t random = seed;
        struct workload w = laws_workload(seed);
        lower(&c, seed, &w);
        q.w.workload = w;
        q.w.model.model = w.model;
        for (q.find = PLAN_FIND_SEQ_LEN; q.find <= PLAN_FIND_LAYERS; q.find++) {
            if (q.find == PLAN_FIND_SEQ_LEN && w.model.family == MODEL_VISION)
                continue; /* an image has one length */
            struct strategy s = c.strategies.list[laws_random(&random, c.strategies.n)];
            /* not monotone; a list for these layers; a choice that depends on the budget */
            if ((q.find == PLAN_FIND_LAYERS && (s.segments || s.n_layers)) || s.budget_bytes)
                s = (struct strategy){.planner = &planner_every_layer};
            q.strategy = (struct wire_strategy){.strategy = s, .json = "\"random\""};
            capacity_assert(&q, seed, 1 + laws_random(&random, 3 * *searched(&w, q.find)));
        }
        arena_free(&c.arena);
    }
}
