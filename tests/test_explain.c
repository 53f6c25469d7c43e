/* test_explain.c - "include": ["explain"]: every figure it names is that of a plan that can be asked for. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "server/api.h"
#include "server/plan_query.h"

enum { PLANS_POST = 0, CAPACITY_POST = 2, FRONTIERS_POST = 4 }; /* rows of api_plans_routes */

struct asked {
    struct arena arena;
    struct problem why;
    struct wire_document *document;
    struct wire_value root;
    bool ok;
};

static void ask(struct asked *a, unsigned route, const char *body) {
    struct response response = {.fd = -1};
    struct problem why = {0};
    *a = (struct asked){0};
    arena_init(&a->arena, 0);
    struct request request = {.arena = &a->arena, .body = body, .body_bytes = strlen(body)};
    a->ok = api_plans_routes[route].handle(&request, &response, &a->why);
    if (!a->ok)
        return;
    a->document = wire_parse(response.body, response.body_bytes, &why);
    cr_assert(a->document, "%s: %s", body, why.detail);
    a->root = wire_root(a->document);
}

static void ask_end(struct asked *a) {
    wire_document_free(a->document);
    arena_free(&a->arena);
}

/* A field of a field; `inner` may be NULL. Copies are made of what lies on the way, so that it outlives the call. */
static struct wire_value at(struct asked *a, const struct wire_value *v, const char *outer, const char *inner) {
    struct problem why = {0};
    struct wire_value first, second;
    cr_assert(wire_need(v, outer, &first, &why), "no %s", outer);
    if (!inner)
        return first;
    const struct wire_value *kept = arena_copy(&a->arena, &first, sizeof first, &why);
    cr_assert(wire_need(kept, inner, &second, &why), "no %s/%s", outer, inner);
    return second;
}

static uint64_t number(struct asked *a, const struct wire_value *v, const char *outer, const char *inner) {
    struct problem why = {0};
    struct wire_value found = at(a, v, outer, inner);
    uint64_t value = 0;
    cr_assert(wire_uint(&found, 0, UINT64_MAX, &value, &why), "%s: %s", outer, why.detail);
    return value;
}

static double real(struct asked *a, const struct wire_value *v, const char *key) {
    struct problem why = {0};
    struct wire_value found = at(a, v, key, NULL);
    double value = 0;
    cr_assert(wire_real(&found, -1e30, 1e30, &value, &why), "%s: %s", key, why.detail);
    return value;
}

static const char *word(struct asked *a, const struct wire_value *v, const char *key) {
    struct problem why = {0};
    struct wire_value found = at(a, v, key, NULL);
    const char *value = NULL;
    if (wire_type(&found) == WIRE_NULL)
        return "null";
    cr_assert(wire_string(&found, &value, &why), "%s: %s", key, why.detail);
    return value;
}

static const char *json(struct asked *a, const struct wire_value *v, const char *key) {
    struct problem why = {0};
    struct wire_value found = at(a, v, key, NULL);
    return wire_json(&found, &a->arena, &why);
}

static bool is_null(struct asked *a, const struct wire_value *v, const char *key) {
    struct wire_value found = at(a, v, key, NULL);
    return wire_type(&found) == WIRE_NULL;
}

static bool said(struct asked *a, const char *what) {
    struct wire_value e = at(a, &a->root, "explain", NULL), list = at(a, &e, "sentences", NULL);
    struct problem why = {0};
    for (size_t i = 0; i < wire_length(&list); i++) {
        struct wire_value one = wire_at(&list, i);
        const char *text = "";
        cr_assert(wire_string(&one, &text, &why));
        cr_expect(strlen(text) < 400 && text[strlen(text) - 1] == '.', "%s", text);
        if (strstr(text, what))
            return true;
    }
    return false;
}

/* A workload of gpt2 in words: every test plans it again with something else in one of these places. */
struct asks {
    const char *model, *rest; /* of the workload */
    uint64_t seq_len, batch, accumulation;
    const char *strategy;
    uint64_t budget; /* 0: none */
    bool explain;
};

static const char *body_of(const struct asks *q, char body[8192]) {
    char budget[64] = "";
    if (q->budget)
        snprintf(budget, sizeof budget, ",\"budget_bytes\":%llu", (unsigned long long)q->budget);
    int n =
        snprintf(body, 8192,
                 "{\"workload\":{\"model\":\"%s\",\"seq_len\":%llu,\"batch\":%llu,\"gradient_accumulation\":%llu%s},"
                 "\"strategy\":%s%s%s}",
                 q->model, (unsigned long long)q->seq_len, (unsigned long long)q->batch,
                 (unsigned long long)q->accumulation, q->rest, q->strategy, budget,
                 q->explain ? ",\"max_points\":100000,\"include\":[\"explain\",\"alive_at_peak\",\"steps\","
                              "\"timeline\"]"
                            : "");
    cr_assert_lt(n, 8192);
    return body;
}

static const struct asks cases[] = {
    {"gpt2", "", 512, 4, 1, "\"standard\"", 0, true},
    {"gpt2", ",\"attention\":\"flash\"", 512, 4, 3, "\"every_layer\"", 0, true},
    {"gpt2", ",\"dropout\":0.1", 64, 1, 1, "{\"name\":\"every_n\",\"n\":2}", 0, true},
    {"gpt2", "", 256, 2, 1, "{\"name\":\"uniform\",\"k\":2}", 0, true},
    {"gpt2", "", 256, 2, 1, "{\"name\":\"uniform\",\"segments\":6}", 0, true},
    {"qwen3-0.6b", ",\"dtype\":\"bfloat16\",\"attention\":\"flash\"", 1024, 2, 2,
     "{\"name\":\"selective\",\"ops\":[\"attention\",\"gated\"]}", 0, true},
    {"gpt2", "", 256, 2, 1,
     "{\"name\":\"custom\",\"layers\":[\"keep\",\"checkpoint\",{\"recompute\":[\"gelu\"]},\"keep\",\"keep\",\"keep\","
     "\"keep\",\"keep\",\"keep\",\"keep\",\"keep\",\"checkpoint\"]}",
     0, true},
};
#define CASES (sizeof cases / sizeof cases[0])

/* "12.mlp.up" and "d(12.mlp.up)" without the layer, into name. */
static void layer_strip(const char *from, char name[128]) {
    const bool gradient = strncmp(from, "d(", 2) == 0;
    const char *rest = from + 2 * gradient;
    size_t digits = strspn(rest, "0123456789");
    snprintf(name, 128, "%s%s", gradient ? "d(" : "", digits && rest[digits] == '.' ? rest + digits + 1 : rest);
}

static void largest_check(struct asked *a, const struct wire_value *explain) {
    struct wire_value groups = at(a, explain, "largest", NULL), alive = at(a, &a->root, "alive_at_peak", NULL);
    uint64_t before = UINT64_MAX;
    cr_assert_gt(wire_length(&groups), 2);
    for (size_t g = 0; g < wire_length(&groups); g++) {
        struct wire_value group = wire_at(&groups, g);
        uint64_t bytes = 0, count = 0;
        for (size_t i = 0; i < wire_length(&alive); i++) {
            struct wire_value one = wire_at(&alive, i);
            char name[128];
            layer_strip(word(a, &one, "name"), name);
            if (strcmp(name, word(a, &group, "name")) == 0 &&
                strcmp(word(a, &one, "category"), word(a, &group, "category")) == 0) {
                bytes += number(a, &one, "bytes", NULL);
                count++;
            }
        }
        cr_expect_eq(number(a, &group, "bytes", NULL), bytes, "%s", word(a, &group, "name"));
        cr_expect_eq(number(a, &group, "count", NULL), count, "%s", word(a, &group, "name"));
        cr_expect_leq(bytes, before);
        cr_expect_float_eq(real(a, &group, "share_pct"),
                           100.0 * (double)bytes / (double)number(a, &a->root, "peak_bytes", NULL), 1e-9);
        before = bytes;
    }
}

/* Of runs of what has run before; *most: of one op, all of them. */
static uint64_t runs_again(struct asked *a, unsigned *most) {
    struct wire_value steps = at(a, &a->root, "steps", NULL);
    uint64_t runs = 0;
    *most = 1;
    for (size_t i = 0; i < wire_length(&steps); i++) {
        struct wire_value one = wire_at(&steps, i);
        const char *of = word(a, &one, "of");
        unsigned n = 1;
        if (strcmp(word(a, &one, "do"), "run") != 0)
            continue;
        for (size_t k = 0; k < i; k++) {
            struct wire_value earlier = wire_at(&steps, k);
            n += strcmp(word(a, &earlier, "do"), "run") == 0 && strcmp(word(a, &earlier, "of"), of) == 0;
        }
        runs += n > 1;
        *most = n > *most ? n : *most;
    }
    return runs;
}

/* What it says of recomputation is what the steps do. */
static void recompute_check(struct asked *a, const struct wire_value *explain) {
    unsigned most;
    char text[64];
    const uint64_t runs = runs_again(a, &most);
    cr_expect_eq(number(a, explain, "recompute", "runs"), runs);
    cr_expect_eq(number(a, explain, "recompute", "flops"), number(a, &a->root, "flops", "recompute"));
    cr_expect_eq(said(a, "Nothing is recomputed") || said(a, "Nothing else is recomputed"), runs == 0);
    snprintf(text, sizeof text, "run more than twice in a pass, up to %u times.", most);
    cr_expect_eq(said(a, text), most > 2);
}

static void answer_check(const struct asks *q) {
    char body[8192];
    struct asked a;
    ask(&a, PLANS_POST, body_of(q, body));
    cr_assert(a.ok, "%s %s", a.why.where, a.why.detail);
    struct wire_value e = at(&a, &a.root, "explain", NULL), line = at(&a, &a.root, "timeline", NULL);
    struct wire_value peak = at(&a, &e, "peak", NULL), second = at(&a, &e, "second_peak", NULL);
    const uint64_t step = number(&a, &second, "step", NULL);
    cr_expect_eq(number(&a, &peak, "step", NULL), number(&a, &a.root, "peak_at", "step"));
    cr_expect_eq(number(&a, &peak, "live_bytes", NULL), number(&a, &a.root, "live_peak_bytes", NULL));
    cr_expect_eq(number(&a, &peak, "steps", NULL), wire_length(&line));
    struct wire_value there = wire_at(&line, step);
    cr_expect_eq(number(&a, &second, "live_bytes", NULL), number(&a, &there, "live_bytes", NULL));
    cr_expect_str_neq(word(&a, &peak, "at"), word(&a, &second, "at"));
    struct wire_value steps = at(&a, &a.root, "steps", NULL), does = wire_at(&steps, step);
    char name[128];
    layer_strip(word(&a, &does, "of"), name);
    cr_expect_str_eq(word(&a, &second, "op"), name, "step %lu", step);
    cr_expect_str_neq(word(&a, &does, "do"), "free");
    cr_expect_eq(number(&a, &e, "persistent", "bytes"), number(&a, &a.root, "memory", "parameters_bytes") +
                                                            number(&a, &a.root, "memory", "gradients_bytes") +
                                                            number(&a, &a.root, "memory", "optimizer_bytes"));
    cr_expect(is_null(&a, &e, "ways_to_fit") && is_null(&a, &e, "binds"));
    largest_check(&a, &e);
    recompute_check(&a, &e);
    ask_end(&a);
}

/* Planners that choose: plans of no shape that a name has. */
static const struct asks chosen[] = {
    {"gpt2", "", 1024, 8, 1, "\"optimal\"", 8000000000, true},
    {"gpt2", "", 1024, 8, 3, "{\"name\":\"optimal\",\"budget_bytes\":5000000000}", 0, true},
    {"gpt2", "", 1024, 8, 1, "\"optimal\"", 2700000000, true},
    {"gpt2", ",\"attention\":\"any\"", 1024, 8, 1, "\"optimal\"", 4000000000, true},
    {"gpt2", ",\"attention\":\"any\"", 1024, 8, 1, "\"standard\"", 12000000000, true},
    {"gpt2", "", 1024, 8, 1, "{\"name\":\"revolve\",\"budget_bytes\":5500000000}", 0, true},
    {"gpt2", "", 1024, 8, 1, "\"greedy\"", 6000000000, true},
};
#define CHOSEN (sizeof chosen / sizeof chosen[0])

Test(explain, it_says_what_the_rest_of_the_answer_holds) {
    for (size_t i = 0; i < CASES; i++)
        answer_check(&cases[i]);
    for (size_t i = 0; i < CHOSEN; i++)
        answer_check(&chosen[i]);
}

/* ---- layer by layer ---- */

Test(explain, layers_that_do_the_same_are_named_together) {
    static const struct {
        const char *strategy, *says[3];
    } rows[] = {
        {"\"every_layer\"", {"Layers 0-11 are recomputed whole."}},
        {"{\"name\":\"every_n\",\"n\":5}",
         {"Layers 0, 5 and 10 are recomputed whole.", "Layers 1-4, 6-9 and 11 keep everything."}},
        {"{\"name\":\"block\",\"k\":1}", {"Layer 0 is recomputed whole.", "Layers 1-11 keep everything."}},
        {"{\"name\":\"uniform\",\"k\":5}",
         {"Layers 0-11 are recomputed whole.",
          "Layers 0-4, 5-9 and 10-11 share a checkpoint each: what one hands to the "
          "next is made again."}},
        {"{\"name\":\"selective\",\"ops\":[\"gelu\"]}", {"Layers 0-11 recompute mlp.activation."}},
        {"{\"name\":\"selective\",\"ops\":[\"attention_core\",\"norm\"]}",
         {"Layers 0-11 recompute all norms and attention_core."}},
        {"{\"name\":\"custom\",\"layers\":[\"keep\",\"checkpoint\",{\"recompute\":[\"gelu\"]},\"keep\",\"keep\","
         "\"keep\",\"keep\",\"keep\",\"keep\",\"keep\",\"keep\",{\"recompute\":[\"gelu\"]}]}",
         {"Layers 0 and 3-10 keep everything.", "Layer 1 is recomputed whole.",
          "Layers 2 and 11 recompute mlp.activation."}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct asks q = {"gpt2", "", 256, 2, 1, rows[i].strategy, 0, true};
        char body[8192];
        struct asked a;
        ask(&a, PLANS_POST, body_of(&q, body));
        cr_assert(a.ok, "%s", a.why.detail);
        for (size_t k = 0; k < 3 && rows[i].says[k]; k++)
            cr_expect(said(&a, rows[i].says[k]), "%s: %s", rows[i].strategy, rows[i].says[k]);
        cr_expect_eq(said(&a, "share a checkpoint"), i == 3);
        ask_end(&a);
    }
}

/* What to drop is their own choice; what an optimal plan claims is said as its certificate has it. */
Test(explain, planners_that_choose_are_not_told_what_to_drop) {
    for (size_t i = 0; i < CHOSEN; i++) {
        char body[8192];
        struct asked a;
        if (strcmp(chosen[i].strategy, "\"standard\"") == 0)
            continue;
        ask(&a, PLANS_POST, body_of(&chosen[i], body));
        struct wire_value e = at(&a, &a.root, "explain", NULL), drops = at(&a, &e, "drop_next", NULL);
        cr_expect_eq(wire_length(&drops), 0);
        cr_expect(!said(&a, "Next to drop") && !said(&a, "Recomputing one thing more"));
        const bool claims = strstr(chosen[i].strategy, "optimal") != NULL;
        cr_expect_eq(said(&a, "No persistent plan within the budget takes less compute"), claims, "%s", body);
        if (claims) {
            struct wire_value optimality = at(&a, &a.root, "optimality", NULL);
            cr_expect_eq(said(&a, "takes less compute by more than"), real(&a, &optimality, "gap_pct") > 0);
        }
        ask_end(&a);
    }
}

/* With every layer's input kept the loss binds, as its logits are wide; with a head of few words the backward of the
 * last layer does. */
Test(explain, it_knows_at_which_of_the_two_peaks_it_is) {
    static const struct {
        const char *vocab, *at, *second;
    } rows[] = {{"50257", "loss", "backward"}, {"64", "backward", "forward"}};
    for (size_t i = 0; i < 2; i++) {
        struct asked a;
        char body[512];
        snprintf(
            body, sizeof body,
            "{\"workload\":{\"model\":{\"family\":\"decoder\",\"layers\":4,\"d_model\":256,\"heads\":4,\"vocab\":%s},"
            "\"seq_len\":256},\"strategy\":\"every_layer\",\"include\":[\"explain\"]}",
            rows[i].vocab);
        ask(&a, PLANS_POST, body);
        cr_assert(a.ok, "%s %s", a.why.where, a.why.detail);
        struct wire_value e = at(&a, &a.root, "explain", NULL), peak = at(&a, &e, "peak", NULL),
                          second = at(&a, &e, "second_peak", NULL);
        cr_expect_str_eq(word(&a, &peak, "at"), rows[i].at);
        cr_expect_str_eq(word(&a, &second, "at"), rows[i].second);
        cr_expect(said(&a, i ? "in the backward of layer 3" : "at the loss"));
        ask_end(&a);
    }
}

/* A loss in chunks makes its logits again within its own backward: what is run again does not count it. */
static uint64_t all_flops(struct asked *a) {
    return number(a, &a->root, "flops", "forward") + number(a, &a->root, "flops", "backward") +
           number(a, &a->root, "flops", "recompute");
}

/* Each proposal, asked for, has the peak, the overhead and the operations it was said to have; most bytes a FLOP first;
 * and what it drops was alive at the peak. */
Test(explain, what_to_drop_next_is_a_plan_that_can_be_asked_for) {
    for (size_t i = 0; i < CASES; i++) {
        char body[8192];
        struct asked a;
        double before = 1e300;
        ask(&a, PLANS_POST, body_of(&cases[i], body));
        struct wire_value e = at(&a, &a.root, "explain", NULL), drops = at(&a, &e, "drop_next", NULL);
        cr_assert_gt(wire_length(&drops), 0, "%s", body);
        for (size_t d = 0; d < wire_length(&drops); d++) {
            struct wire_value drop = wire_at(&drops, d), tensors = at(&a, &drop, "tensors", NULL);
            struct asks again = cases[i];
            struct asked b;
            again.strategy = json(&a, &drop, "strategy");
            again.explain = false;
            ask(&b, PLANS_POST, body_of(&again, body));
            cr_assert(b.ok, "%s: %s %s", body, b.why.where, b.why.detail);
            const uint64_t freed = number(&a, &drop, "freed_bytes", NULL);
            const uint64_t flops = number(&a, &drop, "recompute_flops", NULL);
            cr_expect_eq(number(&b, &b.root, "peak_bytes", NULL), number(&a, &drop, "peak_bytes", NULL), "%s", body);
            cr_expect_eq(number(&a, &a.root, "peak_bytes", NULL) - freed, number(&a, &drop, "peak_bytes", NULL));
            cr_expect_eq(all_flops(&b), all_flops(&a) + flops);
            cr_expect(real(&b, &b.root, "compute_overhead_pct") == real(&a, &drop, "compute_overhead_pct"));
            cr_expect_gt(wire_length(&tensors), 0);
            const double worth = (double)freed / (double)flops;
            cr_expect_leq(worth, before * (1 + 1e-12));
            before = worth;
            ask_end(&b);
        }
        ask_end(&a);
    }
}

/* The first of a step that keeps everything: gelu's result, which the next layer alone reads, for one run of gelu. */
Test(explain, the_cheapest_bytes_of_gpt2_are_those_of_gelu) {
    char body[8192];
    struct asked a;
    ask(&a, PLANS_POST, body_of(&cases[0], body));
    struct wire_value e = at(&a, &a.root, "explain", NULL), drops = at(&a, &e, "drop_next", NULL),
                      first = wire_at(&drops, 0);
    cr_expect_str_eq(word(&a, &first, "recompute"), "gelu");
    cr_expect_str_eq(json(&a, &first, "strategy"), "{\"name\":\"selective\",\"ops\":[\"gelu\"]}");
    cr_expect_eq(number(&a, &first, "freed_bytes", NULL), 12ull * 4 * 512 * 3072 * 4);
    cr_expect(said(&a, "Next to drop: mlp.activation."));
    ask_end(&a);
}

/* More recomputation is more: what a layer recomputes already stays in its list. */
Test(explain, a_list_of_layers_keeps_what_it_recomputed) {
    char body[8192];
    struct asked a;
    bool norms = false;
    ask(&a, PLANS_POST, body_of(&cases[6], body));
    struct wire_value e = at(&a, &a.root, "explain", NULL), drops = at(&a, &e, "drop_next", NULL);
    for (size_t d = 0; d < wire_length(&drops); d++) {
        struct wire_value drop = wire_at(&drops, d);
        if (strcmp(word(&a, &drop, "recompute"), "norm") != 0)
            continue;
        norms = true;
        cr_expect(strstr(json(&a, &drop, "strategy"),
                         "\"layers\":[{\"recompute\":[\"norm\"]},\"checkpoint\",{\"recompute\":[\"norm\",\"gelu\"]},"));
    }
    cr_expect(norms);
    ask_end(&a);
}

/* ---- what fits ---- */

static bool fits(const struct asks *q, uint64_t *peak) {
    char body[8192];
    struct asked a;
    struct problem why = {0};
    bool yes = false;
    ask(&a, PLANS_POST, body_of(q, body));
    cr_assert(a.ok, "%s: %s %s", body, a.why.where, a.why.detail);
    cr_assert(wire_bool_of(&a.root, "feasible", &yes, &why));
    *peak = number(&a, &a.root, "peak_bytes", NULL);
    ask_end(&a);
    return yes;
}

/* The way is a plan that fits, has the peak it says, and one more of what it lessens does not fit. */
static void way_check(struct asked *a, const struct asks *asked, const struct wire_value *way) {
    struct asks q = *asked;
    uint64_t peak = 0;
    const char *change = word(a, way, "change");
    q.explain = false;
    q.strategy = json(a, way, "strategy");
    q.batch = number(a, way, "batch", NULL);
    q.seq_len = number(a, way, "seq_len", NULL);
    q.accumulation = number(a, way, "gradient_accumulation", NULL);
    cr_expect(fits(&q, &peak), "%s %s", change, q.strategy);
    cr_expect_eq(peak, number(a, way, "peak_bytes", NULL));
    if (strcmp(change, "strategy") == 0) {
        cr_expect(q.batch == asked->batch && q.seq_len == asked->seq_len && q.accumulation == asked->accumulation);
    } else if (strcmp(change, "gradient_accumulation") == 0) {
        cr_expect_eq(q.batch * q.accumulation, asked->batch * asked->accumulation);
        cr_expect_lt(q.batch, asked->batch);
    } else {
        uint64_t *lessened = strcmp(change, "batch") == 0 ? &q.batch : &q.seq_len;
        ++*lessened;
        cr_expect_not(fits(&q, &peak), "%s %lu", change, *lessened);
    }
}

/* No strategy with less recomputation fits: the frontier's own list says so. */
static void cheapest_check(struct asked *a, const struct asks *q, const struct wire_value *way) {
    char body[8192];
    struct asked b;
    snprintf(body, sizeof body, "{\"workload\":{\"model\":\"%s\",\"seq_len\":%llu,\"batch\":%llu%s}}", q->model,
             (unsigned long long)q->seq_len, (unsigned long long)q->batch, q->rest);
    ask(&b, FRONTIERS_POST, body);
    cr_assert(b.ok, "%s", b.why.detail);
    struct wire_value named = at(&b, &b.root, "named", NULL);
    for (size_t i = 0; i < wire_length(&named); i++) {
        struct wire_value one = wire_at(&named, i);
        cr_expect(real(&b, &one, "compute_overhead_pct") >= real(a, way, "compute_overhead_pct") ||
                      number(&b, &one, "peak_bytes", NULL) > q->budget,
                  "named %zu", i);
    }
    ask_end(&b);
}

Test(explain, ways_to_fit_fit_and_are_the_smallest) {
    static const struct {
        struct asks q;
        const char *changes; /* in order */
    } rows[] = {
        {{"gpt2", "", 1024, 8, 1, "\"standard\"", 8000000000, true}, "strategy gradient_accumulation seq_len "},
        {{"gpt2", "", 1024, 6, 5, "\"standard\"", 8000000000, true}, "strategy gradient_accumulation batch seq_len "},
        {{"gpt2", "", 1024, 1, 1, "\"standard\"", 2900000000, true}, "strategy seq_len "},
        {{"gpt2", "", 1024, 60, 1, "\"every_layer\"", 5750000000, true},
         "gradient_accumulation batch seq_len seq_len "},
        {{"gpt2", "", 1024, 8, 1, "\"standard\"", 1500000000, true}, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[8192], changes[256] = "";
        struct asked a;
        ask(&a, PLANS_POST, body_of(&rows[i].q, body));
        cr_assert(a.ok, "%s: %s %s", body, a.why.where, a.why.detail);
        struct wire_value e = at(&a, &a.root, "explain", NULL), ways = at(&a, &e, "ways_to_fit", NULL);
        for (size_t w = 0; w < wire_length(&ways); w++) {
            struct wire_value way = wire_at(&ways, w);
            strcat(strcat(changes, word(&a, &way, "change")), " ");
            way_check(&a, &rows[i].q, &way);
            if (strcmp(word(&a, &way, "change"), "strategy") == 0)
                cheapest_check(&a, &rows[i].q, &way);
        }
        cr_expect_str_eq(changes, rows[i].changes, "%s: %s", body, changes);
        cr_expect_str_eq(word(&a, &e, "binds"), i == 4 ? "persistent" : "loss");
        cr_expect(said(&a, "does not fit"));
        cr_expect_eq(said(&a, "They alone are more than the budget"), i == 4);
        cr_expect_eq(said(&a, "The smallest change that fits:"), i != 4);
        ask_end(&a);
    }
}

/* Where no strategy fits, the least budget that one would is said: with it a plan is feasible, with a byte less none.
 */
Test(explain, the_least_budget_is_one_that_fits) {
    static const struct asks rows[] = {
        {"gpt2", "", 1024, 8, 1, "\"standard\"", 2500000000, true},
        {"gpt2", "", 1024, 8, 1, "{\"name\":\"optimal\",\"budget_bytes\":2500000000}", 0, true},
        {"gpt2", "", 1024, 8, 1, "\"greedy\"", 1500000000, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[8192];
        struct asked a;
        uint64_t peak = 0;
        ask(&a, PLANS_POST, body_of(&rows[i], body));
        cr_assert(a.ok, "%s", a.why.detail);
        struct wire_value e = at(&a, &a.root, "explain", NULL), least = at(&a, &e, "least", NULL),
                          there = at(&a, &least, "peak", NULL);
        struct asks with = rows[i];
        with.strategy = "\"optimal\"";
        with.explain = false;
        with.budget = number(&a, &least, "peak_bytes", NULL);
        cr_expect(fits(&with, &peak));
        cr_expect_eq(peak, with.budget);
        with.budget--;
        cr_expect_not(fits(&with, &peak));
        cr_expect_str_eq(word(&a, &there, "at"), "backward");
        cr_expect(said(&a, "No persistent plan fits into less than"));
        cr_expect_eq(said(&a, "share a checkpoint"), i == 1);
        cr_expect_str_eq(word(&a, &e, "binds"), i == 2 ? "persistent" : i == 1 ? "backward" : "loss");
        ask_end(&a);
    }
}

/* A capacity's plan fits, so it says what to drop and not what would fit. */
Test(explain, a_capacity_explains_its_plan) {
    struct asked a;
    ask(&a, CAPACITY_POST,
        "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":512},\"find\":\"batch\",\"budget_bytes\":6000000000,\"include\":"
        "[\"explain\"]}");
    cr_assert(a.ok, "%s %s", a.why.where, a.why.detail);
    struct wire_value plan = at(&a, &a.root, "plan", NULL), e = at(&a, &plan, "explain", NULL);
    cr_expect(is_null(&a, &e, "ways_to_fit") && !is_null(&a, &e, "drop_next"));
    ask_end(&a);
}

/* A strategy's own budget bounds a capacity like the request's. */
Test(explain, a_capacity_heeds_the_budget_of_its_strategy) {
    static const char *const bodies[] = {
        "\"budget_bytes\":3000000000,\"strategy\":\"optimal\"}",
        "\"strategy\":{\"name\":\"optimal\",\"budget_bytes\":3000000000}}",
        "\"device\":\"h100-80gb\",\"strategy\":{\"name\":\"optimal\",\"budget_bytes\":3000000000}}"};
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct asked a;
        char body[512];
        snprintf(body, sizeof body, "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64},\"find\":\"batch\",%s",
                 bodies[i]);
        ask(&a, CAPACITY_POST, body);
        cr_assert(a.ok, "%s %s", a.why.where, a.why.detail);
        const uint64_t value = number(&a, &a.root, "value", NULL);
        first = i ? first : value;
        cr_expect(value > 1 && value == first, "%s", body);
        cr_expect_leq(number(&a, &a.root, "plan", "peak_bytes"), 3000000000);
        ask_end(&a);
    }
}

/* Closed forms: shares and ways are known, steps and tensors are not. */
Test(explain, megatron_says_what_closed_forms_know) {
    static const char *const known[] = {"peak", "second_peak", "largest", "recompute", "drop_next"};
    const char *rest = ",\"dtype\":\"bfloat16\",\"framework\":\"megatron\"";
    const struct asks q = {"gpt2", rest, 1024, 1, 1, "\"standard\"", 1800000000, false};
    char body[8192], changes[256] = "";
    struct asked a;
    size_t n = strlen(body_of(&q, body));
    snprintf(body + n - 1, sizeof body - n, ",\"include\":[\"explain\"]}");
    ask(&a, PLANS_POST, body);
    cr_assert(a.ok, "%s %s", a.why.where, a.why.detail);
    struct wire_value e = at(&a, &a.root, "explain", NULL), ways = at(&a, &e, "ways_to_fit", NULL);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        cr_expect(is_null(&a, &e, known[i]), "%s", known[i]);
    cr_expect_str_eq(word(&a, &e, "binds"), "activations");
    for (size_t w = 0; w < wire_length(&ways); w++) {
        struct wire_value way = wire_at(&ways, w);
        strcat(strcat(changes, word(&a, &way, "change")), " ");
        way_check(&a, &q, &way);
        cr_expect(is_null(&a, &way, "compute_overhead_pct"));
    }
    cr_expect_str_eq(changes, "strategy seq_len ");
    ask_end(&a);
    ask(&a, PLANS_POST,
        "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64,\"dtype\":\"bfloat16\",\"framework\":\"megatron\"},"
        "\"include\":"
        "[\"explain\",\"steps\"]}");
    cr_expect(!a.ok && a.why.kind == PROBLEM_UNSUPPORTED && strcmp(a.why.where, "/include") == 0);
    ask_end(&a);
}
