/* test_training.c - whole training steps: under every strategy the bits of the run that keeps everything, in exactly
 * the planned bytes. REMATD_TESTS_LONG=1 takes every combination of settings, and deep models. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/laws.h"
#include "tests/support_training.h"

/* ---- strategies ---- */

enum { STRATEGIES_MAX = 64, DEEPEST = 24, BUDGETS = 3 };

struct strategies {
    struct strategy list[STRATEGIES_MAX];
    unsigned n;
    struct strategy_layer layers[2][2 * DEEPEST];
};

/* What selective strategies recompute; "all" is every op. */
static const char *const selections[][6] = {
    {"attention"},
    {"attention_core"},
    {"mlp"},
    {"norm"},
    {"layer_norm", "rms_norm"},
    {"gelu", "gated", "silu", "relu"},
    {"linear"},
    {"dropout", "add"},
    {"rotary", "attention", "relative_bias"},
    {"route", "dispatch", "expert_linear", "combine", "token_gate"},
    {"embedding", "positions", "convolution", "prepend", "take_token"},
    {"linear_cross_entropy", "scale"},
    {"split", "latent_keys"},
    {"all"},
};
enum { SELECTIONS = sizeof selections / sizeof selections[0] };

static struct selection selection_of(unsigned i) {
    struct selection s = {0};
    for (unsigned n = 0; n < 6 && selections[i][n]; n++)
        if (strcmp(selections[i][n], "all") == 0)
            s.op_kinds = (UINT64_C(1) << OP_KINDS) - 1;
        else
            cr_assert(selection_add(&s, selections[i][n]), "%s", selections[i][n]);
    return s;
}

static void add(struct strategies *out, struct strategy s) {
    cr_assert(out->n < STRATEGIES_MAX);
    out->list[out->n++] = s;
}

/* Keep, checkpoint and recompute in turn. */
static void add_custom(struct strategies *out, const struct planner *p, uint32_t layers, unsigned i) {
    static const unsigned recomputed[] = {0, 4, 2, 13};
    cr_assert(layers <= 2 * DEEPEST);
    for (uint32_t l = 0; l < layers; l++)
        out->layers[i][l] = (struct strategy_layer){.policy = (enum layer_policy)((l + i + 1) % 3),
                                                    .selection = selection_of(recomputed[l / 3 % 4])};
    add(out, (struct strategy){.planner = p, .layers = out->layers[i], .n_layers = layers});
}

/* Every row of the table, with all that its parameters can say. */
static void strategies_make(uint32_t layers, struct strategies *out) {
    out->n = 0;
    for (unsigned i = 0; i < planner_table_length; i++) {
        const struct planner *p = planner_table[i];
        if (p->parameters == 0)
            add(out, (struct strategy){.planner = p});
        for (uint64_t n = 2; (p->parameters & STRATEGY_TAKES_N) && n <= 3; n++)
            add(out, (struct strategy){.planner = p, .n = n});
        for (uint64_t k = 1; (p->parameters & STRATEGY_TAKES_K) && k <= 2; k++)
            add(out, (struct strategy){.planner = p, .k = k});
        for (uint64_t s = 1; (p->parameters & STRATEGY_TAKES_SEGMENTS) && s <= 2; s++)
            add(out, (struct strategy){.planner = p, .segments = s});
        for (unsigned s = 0; (p->parameters & STRATEGY_TAKES_OPS) && s < SELECTIONS; s++)
            add(out, (struct strategy){.planner = p, .selection = selection_of(s)});
        for (unsigned c = 0; (p->parameters & STRATEGY_TAKES_LAYERS) && c < 2; c++)
            add_custom(out, p, layers, c);
        for (uint64_t b = 1; (p->parameters & STRATEGY_TAKES_BUDGET) && b <= BUDGETS; b++)
            add(out, (struct strategy){.planner = p, .budget_bytes = b});
    }
}

/* ---- settings ---- */

enum { FACTORS = 7 };

/* Seven switches. Of the eight rows of `orthogonal` any two switches are seen in all four positions. */
struct setting {
    bool dropout, narrow, flash, threads, momentum, accumulates, clips;
};

static struct setting setting_of(const unsigned bits[FACTORS]) {
    return (struct setting){bits[0], bits[1], bits[2], bits[3], bits[4], bits[5], bits[6]};
}

static struct setting orthogonal(unsigned row) {
    const unsigned a = row & 1, b = row >> 1 & 1, c = row >> 2 & 1;
    return setting_of((const unsigned[]){a, b, c, a ^ b, a ^ c, b ^ c, a ^ b ^ c});
}

static struct setting every(unsigned row) {
    unsigned bits[FACTORS];
    for (unsigned i = 0; i < FACTORS; i++)
        bits[i] = row >> i & 1;
    return setting_of(bits);
}

static struct workload workload_of(const struct support_model *m, uint64_t layers, const struct setting *s) {
    struct workload w = support_workload(m, layers);
    w.dropout = s->dropout ? 0.1 : 0;
    w.dtype = s->narrow ? DTYPE_BFLOAT16 : DTYPE_FLOAT32;
    w.attention = &attn_table[s->flash ? ATTN_FLASH : ATTN_STANDARD];
    w.optimizer = optimizer_find(s->momentum ? "sgd_momentum" : "adamw");
    w.gradient_accumulation = s->accumulates ? 2 : 1;
    return w;
}

static void setting_text(const struct support_model *m, uint64_t layers, const struct setting *s, char text[160]) {
    snprintf(text, 160, "%s of %lu layers%s%s%s%s%s%s%s", m->name, layers, s->dropout ? ", dropout" : "",
             s->narrow ? ", bfloat16" : "", s->flash ? ", flash" : "", s->threads ? ", 2 threads" : "",
             s->momentum ? ", sgd_momentum" : ", adamw", s->accumulates ? ", 2 microbatches" : "",
             s->clips ? ", clipped" : "");
}

/* ---- a run under a strategy ---- */

struct subject {
    struct arena arena;
    struct workload w;
    struct graph g;
};

static void subject_make(struct subject *s, const struct workload *w, unsigned threads) {
    arena_init(&s->arena, 0);
    s->w = *w;
    s->w.threads = threads;
    support_lower(&s->w, &s->arena, &s->g);
}

static uint64_t peak_of(const struct graph *g, const struct strategy *s) {
    struct arena a;
    struct plan plan;
    struct problem why = {0};
    arena_init(&a, 0);
    cr_assert(planner_plan(g, s, &a, &plan, &why), "%s: %s", s->planner->name, why.detail);
    arena_free(&a);
    return plan.peak_bytes;
}

/* A list's budgets 1, 2, .. are steps from the smallest plan to the one that keeps everything. */
static struct strategy budget_resolve(const struct graph *g, const struct strategy *s) {
    struct strategy within = *s;
    if (s->budget_bytes > 1) {
        within.budget_bytes = 1;
        const uint64_t least = peak_of(g, &within), most = peak_of(g, &(struct strategy){.planner = &planner_standard});
        within.budget_bytes = least + (most - least) * (s->budget_bytes - 1) / BUDGETS;
    }
    return within;
}

static void subject_train(struct subject *s, struct support_training t, const struct strategy *strategy,
                          struct support_trained *out) {
    struct arena a;
    struct plan plan;
    struct problem why = {0};
    arena_init(&a, 0);
    t.w = &s->w;
    const struct strategy within = budget_resolve(&s->g, strategy);
    cr_assert(planner_plan(&s->g, &within, &a, &plan, &why), "%s: %s: %s", strategy->planner->name, why.where,
              why.detail);
    support_train(&t, &plan, out);
    arena_free(&a);
}

static const struct strategy standard = {.planner = &planner_standard};

/* ---- the grid ---- */

static bool is_long(void) {
    return getenv("REMATD_TESTS_LONG") != NULL;
}

#ifdef __SANITIZE_THREAD__ /* looks at threads alone, slowly */
enum { FEW = true, STRATEGIES_STEP = 8 };
#elif defined __SANITIZE_ADDRESS__
enum { FEW = true, STRATEGIES_STEP = 6 };
#else
enum { FEW = false, STRATEGIES_STEP = 2 };
#endif

static void setting_prove(const struct support_model *m, uint64_t layers, const struct setting *s) {
    struct subject own, kept;
    struct strategies strategies;
    struct support_trained reference, run;
    const struct workload w = workload_of(m, layers, s);
    struct support_training t = {.steps = 2, .clip_norm = s->clips ? 0.02 : 0};
    char text[160], name[512];
    const char *differs;
    setting_text(m, layers, s, text);
    subject_make(&kept, &w, 1);
    subject_make(&own, &w, s->threads ? 2 : 1);
    subject_train(&kept, t, &standard, &reference);
    cr_assert(reference.losses[0] > 0 && reference.losses[0] < 20 && reference.losses[0] != reference.losses[1]);
    cr_assert(!s->clips || (reference.norms[0] > 0.02 && reference.norms[1] > 0.02), "%s", text);
    strategies_make(own.g.layers, &strategies);
    t.check_recompute = s->dropout;
    for (unsigned i = 0; i < strategies.n; i += is_long() ? 1 : STRATEGIES_STEP) {
        subject_train(&own, t, &strategies.list[i], &run);
        cr_assert(support_trained_same(&own.g, &run, &reference, t.steps, &differs), "%s under %s: %s differs", text,
                  laws_strategy_text(&strategies.list[i], name, sizeof name), differs);
        support_trained_free(&run);
    }
    support_trained_free(&reference);
    arena_free(&own.arena);
    arena_free(&kept.arena);
}

static void model_prove(const char *name) {
    const struct support_model *m = support_models;
    while (strcmp(m->name, name) != 0)
        m++;
    for (unsigned row = 0; row < 8; row++) {
        const struct setting s = orthogonal(row);
        const bool opposite = row == 1 || row == 6; /* in all but threads: two in both */
        if (opposite || (!m->rare && !FEW) || is_long())
            setting_prove(m, 2, &s);
        if (is_long() && (!m->rare || row == 3))
            setting_prove(m, row % 2 ? DEEPEST : 7, &s);
    }
    for (unsigned row = 0; is_long() && !m->rare && row < 1 << FACTORS; row++) {
        const struct setting s = every(row);
        setting_prove(m, 3, &s);
    }
}

#define PROVE(name)                                                                                                    \
    Test(training, name##_has_the_same_bits_under_every_strategy) {                                                    \
        model_prove(#name);                                                                                            \
    }
PROVE(gpt2)
PROVE(llama)
PROVE(bert)
PROVE(mixtral)
PROVE(vit)
PROVE(gemma2)
PROVE(bloom)
PROVE(phi)
PROVE(qwen2_moe)
PROVE(deepseek_v2)
PROVE(deepseek_v3)
PROVE(t5)
PROVE(whisper)

/* ---- the loss in chunks ---- */

/* 7 sequences are more tokens than two chunks of 128; gemma2 has a cap on its logits, bert a bias. */
Test(training, a_loss_in_chunks_has_the_bits_of_whole_logits) {
    static const uint64_t chunks[] = {0, 128, 256};
    static const unsigned models[] = {0, 1, 2, 5};
    for (unsigned i = 0; i < (FEW ? 1 : 8); i++) {
        const struct support_training t = {.steps = 2};
        struct support_trained runs[3];
        struct subject s;
        for (unsigned c = 0; c < 3; c++) {
            struct workload w = support_workload(&support_models[models[i / 2]], 1);
            w.batch = 7;
            w.dtype = i % 2 ? DTYPE_BFLOAT16 : DTYPE_FLOAT32;
            w.optimizer = optimizer_find("adamw");
            w.loss_chunk = chunks[c];
            subject_make(&s, &w, 1 + c % 2);
            cr_assert(w.batch * w.seq_len > 256);
            subject_train(&s, t, c ? &(struct strategy){.planner = &planner_every_layer} : &standard, &runs[c]);
            const char *differs;
            cr_assert(support_trained_same(&s.g, &runs[c], &runs[0], t.steps, &differs), "%s, chunk %lu: %s differs",
                      support_models[models[i / 2]].name, chunks[c], differs);
            arena_free(&s.arena);
        }
        for (unsigned c = 0; c < 3; c++)
            support_trained_free(&runs[c]);
    }
}

/* ---- planted faults ---- */

static void other_dropout(struct support_session *s) {
    for (uint32_t o = 0; o < s->plan->graph->n_ops; o++)
        if (s->plan->graph->ops[o].kind == OP_DROPOUT)
            s->plan->graph->ops[o].dropout.seed ^= 1;
}

static void other_attention_dropout(struct support_session *s) {
    for (uint32_t o = 0; o < s->plan->graph->n_ops; o++)
        if (s->plan->graph->ops[o].kind == OP_ATTENTION)
            s->plan->graph->ops[o].attention.dropout.seed ^= 1;
}

/* One weight, to the next number. */
static void other_weight(struct support_session *s) {
    const struct graph *g = s->plan->graph;
    uint32_t t = 0;
    while (g->tensors[t].role != TENSOR_PARAMETER || strcmp(g->tensors[t].name, "mlp.up.weight") != 0)
        t++;
    unsigned char *at = exec_value(s->exec, t);
    at[0] ^= 1;
}

/* Another epsilon in the norms: what is recomputed is not what was. */
static void other_epsilon(struct support_session *s) {
    for (uint32_t o = 0; o < s->plan->graph->n_ops; o++)
        if (s->plan->graph->ops[o].kind == OP_LAYER_NORM)
            s->plan->graph->ops[o].norm.epsilon *= 2;
}

static const struct {
    const char *name;
    void (*plant)(struct support_session *s);
} faults[] = {{"dropout", other_dropout},
              {"attention's dropout", other_attention_dropout},
              {"a weight", other_weight},
              {"epsilon", other_epsilon}};

static const struct setting dropping = {.dropout = true, .flash = true};

/* Between the first run and the second something is another: said where recomputations are checked, and seen in the
 * bits where they are not. */
Test(training, a_recomputation_that_differs_is_found) {
    const struct strategy every_layer = {.planner = &planner_every_layer};
    const struct workload w = workload_of(&support_models[0], 2, &dropping);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct support_training t = {.w = &w, .steps = 1};
        struct support_trained clean, spoiled;
        struct support_session session;
        struct train_step step;
        struct subject s;
        struct plan plan;
        struct problem why = {0};
        const char *differs;
        subject_make(&s, &w, 1);
        subject_train(&s, t, &every_layer, &clean);
        t.at_turn = faults[i].plant;
        subject_train(&s, t, &every_layer, &spoiled);
        cr_assert_not(support_trained_same(&s.g, &clean, &spoiled, 1, &differs), "%s", faults[i].name);
        t.check_recompute = true;
        cr_assert(planner_plan(&s.g, &every_layer, &s.arena, &plan, &why));
        support_session_open(&session, &t, &plan);
        cr_assert_not(train_step(&session.train, &step, &why), "%s", faults[i].name);
        cr_assert_eq(why.kind, PROBLEM_NONDETERMINISTIC, "%s: %s", faults[i].name, why.detail);
        support_session_close(&session);
        support_trained_free(&clean);
        support_trained_free(&spoiled);
        arena_free(&s.arena);
    }
}

#if !defined(__SANITIZE_ADDRESS__) /* which finds it itself: what ends first is poisoned */
/* Puts a tensor that is made later on top of one that the backward still needs. */
static bool overlap(struct plan *p, uint32_t skip) {
    const uint32_t n_tensors = p->graph->n_tensors;
    for (uint32_t i = 0; i < p->n_extents; i++)
        for (uint32_t j = i + 1; j < p->n_extents; j++) {
            const struct extent *a = &p->extents[i];
            struct extent *b = &p->extents[j];
            if (a->value >= n_tensors || b->value >= n_tensors || a->first >= b->first || b->first >= a->last ||
                a->last <= p->turn || b->bytes > a->bytes || skip-- > 0)
                continue;
            b->offset = a->offset;
            return true;
        }
    return false;
}

Test(training, a_layout_where_two_tensors_meet_is_seen_in_the_bits) {
    const struct workload w = workload_of(&support_models[1], 2, &dropping);
    const struct support_training t = {.w = &w, .steps = 1};
    struct support_trained clean;
    struct subject s;
    struct problem why = {0};
    subject_make(&s, &w, 1);
    subject_train(&s, t, &standard, &clean);
    for (uint32_t skip = 0; skip < 60; skip += 7) {
        struct plan plan;
        cr_assert(planner_plan(&s.g, &standard, &s.arena, &plan, &why));
        cr_assert(overlap(&plan, skip));
        struct support_session session;
        struct train_step step;
        support_session_open(&session, &t, &plan);
        cr_assert(train_step(&session.train, &step, &why), "%s", why.detail);
        cr_expect_not(digest_same(session.train.digest, clean.digest), "the %u-th overlap", skip);
        support_session_close(&session);
    }
    support_trained_free(&clean);
    arena_free(&s.arena);
}
#endif
