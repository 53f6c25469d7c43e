/* test_families.c - vision and encoder-decoder training steps: saved bytes counted by hand, and what the executor says
 * to ops it has no kernel for yet. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/exec/exec.h"
#include "engine/models/model.h"
#include "engine/plan/planner.h"

struct planned {
    struct arena arena;
    struct graph graph;
    struct plan plan;
};

static void step_plan(struct planned *s, struct workload w, const struct planner *planner) {
    struct problem why = {0};
    w.optimizer = optimizer_find("sgd");
    model_defaults(&w.model);
    arena_init(&s->arena, 0);
    cr_assert(model_lower(&w, &s->arena, &s->graph, &why) &&
                  planner_plan(&s->graph, &(struct strategy){.planner = planner}, &s->arena, &s->plan, &why),
              "%s %s", why.where, why.detail);
}

static const struct model vit = {.family = MODEL_VISION,
                                 .positions = MODEL_LEARNED,
                                 .layers = 2,
                                 .d_model = 8,
                                 .heads = 2,
                                 .d_ff = 24,
                                 .image_height = 6,
                                 .image_width = 4,
                                 .patch_height = 2,
                                 .patch_width = 2,
                                 .channels = 3,
                                 .classes = 5,
                                 .bias_out = true,
                                 .bias_mlp = true};

/* float32, standard attention; B images of N = 7 tokens. A layer holds two norms' inputs with mean and rstd, their
 * outputs, q, k, v, the weights of attention and its output, and both sides of the activation. */
Test(families, an_image_saves_what_is_counted_by_hand) {
    enum { B = 3, N = 7, D = 8, H = 2, F = 24, C = 5, LAYERS = 2 };
    const uint64_t norm = B * N * D + 2 * B * N;
    const uint64_t layer = 2 * norm + 2 * B * N * D + 3 * B * N * D + B * H * N * N + B * N * D + 2 * B * N * F;
    const uint64_t ends =
        B * 6 * 4 * 3 /* image */ + norm + B * D /* the token taken */ + B * C + B /* logits, sums */ + B /* targets */;
    struct planned s;
    step_plan(&s, (struct workload){.model = vit, .seq_len = N, .batch = B, .attention = &attn_table[ATTN_STANDARD]},
              &planner_standard);
    cr_expect_eq(s.plan.saved_activations_bytes, 4 * (LAYERS * layer + ends), "%lu, not %lu",
                 s.plan.saved_activations_bytes, 4 * (LAYERS * layer + ends));
    arena_free(&s.arena);
}

static const struct model t5 = {.family = MODEL_ENCODER_DECODER,
                                .norm = MODEL_RMSNORM,
                                .positions = MODEL_RELATIVE,
                                .mlp = MODEL_RELU,
                                .layers = 2,
                                .source_layers = 3,
                                .d_model = 8,
                                .heads = 2,
                                .head_dim = 3,
                                .d_ff = 20,
                                .vocab = 11,
                                .relative_buckets = 4,
                                .tied_embeddings = true};

/* The encoder reads S tokens, the decoder N. Cross-attention keeps q of N rows, k and v of S, weights N x S, and the
 * encoder's output once for all. A relu keeps its result, which the next linear layer keeps as well. */
Test(families, a_translation_saves_what_is_counted_by_hand) {
    enum { S = 6, N = 4, D = 8, A = 6 /* heads times their size */, H = 2, F = 20, V = 11 };
#define NORM(rows) ((rows)*D + (rows))
#define SELF(rows) (NORM(rows) + (rows)*D + 3 * (rows)*A + H * (rows) * (rows) + (rows)*A)
#define MLP(rows)  (NORM(rows) + (rows)*D + (rows)*F)
    const uint64_t encoder = SELF(S) + MLP(S), cross = NORM(N) + N * D + N * A + 2 * S * A + H * N * S + N * A;
    const uint64_t decoder = SELF(N) + cross + MLP(N);
    const uint64_t ids = S + 2 * N, ends = NORM(S) + S * D /* the encoder's output */ + NORM(N) + N * D + N * V + N;
    struct planned s;
    step_plan(&s,
              (struct workload){
                  .model = t5, .seq_len = N, .source_len = S, .batch = 1, .attention = &attn_table[ATTN_STANDARD]},
              &planner_standard);
    cr_expect_eq(s.plan.saved_activations_bytes, 4 * (3 * encoder + 2 * decoder + ids + ends), "%lu, not %lu",
                 s.plan.saved_activations_bytes, 4 * (3 * encoder + 2 * decoder + ids + ends));
    arena_free(&s.arena);
}

/* Under every_layer each layer's input stays, and the encoder's output for the decoder's layers. */
Test(families, a_checkpointed_translation_keeps_inputs_and_the_memory) {
    enum { S = 6, N = 4, D = 8, H = 2, V = 11 };
    const uint64_t inputs = 3 * S * D + 2 * N * D, ids = S + 2 * N;
    const uint64_t ends = NORM(S) + S * D + NORM(N) + N * D + N * V + N;
    struct planned s;
    step_plan(&s,
              (struct workload){
                  .model = t5, .seq_len = N, .source_len = S, .batch = 1, .attention = &attn_table[ATTN_STANDARD]},
              &planner_every_layer);
    /* the biases by distance are read again when attention is */
    const uint64_t biases = H * S * S + H * N * N;
    cr_expect_eq(s.plan.saved_activations_bytes, 4 * (inputs + ids + ends + biases), "%lu, not %lu",
                 s.plan.saved_activations_bytes, 4 * (inputs + ids + ends + biases));
    arena_free(&s.arena);
}

/* Whisper's encoder positions are parameters that nothing trains: no gradient, no states, no master copy. */
Test(families, what_is_not_trained_has_no_optimizer_states) {
    struct model whisper = t5;
    struct planned s;
    whisper.positions = MODEL_LEARNED;
    whisper.mel_bins = 5;
    whisper.source_positions = 9;
    step_plan(
        &s,
        (struct workload){.model = whisper, .seq_len = 4, .batch = 1, .dtype = DTYPE_BFLOAT16, .attention = attn_table},
        &planner_standard);
    const struct model_persistent p = model_persistent(&s.graph);
    const uint64_t frozen = 9 * 8;
    cr_expect_eq(p.parameters_bytes, 2 * model_parameters(&s.graph));
    cr_expect_eq(p.gradients_bytes, 2 * (model_parameters(&s.graph) - frozen));
    cr_expect_eq(p.optimizer_bytes, 4 * (model_parameters(&s.graph) - frozen), "master copies alone under sgd");
    arena_free(&s.arena);
}

Test(families, what_has_no_kernel_is_refused_by_name) {
    const struct {
        struct op op;
        uint64_t shapes[5][3];
        unsigned n;
        const char *says;
    } rows[] = {
        {{.kind = OP_ROTARY}, {{1, 4, 8}}, 1, "rotary"},
        {{.kind = OP_ROTARY, .rotary = {.heads = 2}}, {{1, 4, 8}}, 1, "frequencies"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a;
        struct graph g;
        struct plan p;
        struct problem why = {0};
        uint32_t inputs[5];
        struct op op = rows[i].op;
        arena_init(&a, 0);
        cr_assert(graph_init(&g, &a, 1, true, &why));
        for (unsigned t = 0; t < rows[i].n; t++) {
            unsigned rank = 3;
            while (rank > 1 && rows[i].shapes[t][rank - 1] == 0)
                rank--;
            inputs[t] = graph_tensor(&g, TENSOR_INPUT, "x", DTYPE_FLOAT32, rank, rows[i].shapes[t], true, &why);
        }
        op.name = op_table[op.kind]->name;
        op.inputs = inputs;
        op.n_inputs = rows[i].n;
        uint32_t made = graph_op(&g, &op, &why);
        cr_assert_neq(made, GRAPH_NONE, "row %zu: %s", i, why.detail);
        graph_request(&g, graph_result(&g, made, 0));
        cr_assert(graph_finish(&g, &why) &&
                  planner_plan(&g, &(struct strategy){.planner = &planner_standard}, &a, &p, &why));
        cr_expect_null(exec_new(&p, NULL, NULL, &(struct exec_options){0}, &why), "row %zu", i);
        cr_expect_eq(why.kind, PROBLEM_UNSUPPORTED);
        cr_expect(strstr(why.detail, rows[i].says), "row %zu: %s", i, why.detail);
        arena_free(&a);
    }
}
