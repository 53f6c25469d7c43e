/* test_plans.c - POST and GET /v1/plans and /v1/capacity through their routes: what an answer promises, and where a bad
 * request is bad. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "server/api.h"
#include "server/plan_query.h"

enum { PLANS_POST, PLANS_GET, CAPACITY_POST, CAPACITY_GET, FRONTIERS_POST };

struct asked {
    struct arena arena;
    struct response response;
    struct problem why;
    struct wire_document *document;
    struct wire_value root;
    bool ok;
};

static void ask_with(struct asked *a, unsigned route, const char *body, const struct route_pair *query,
                     unsigned n_query, const struct route_pair *headers) {
    *a = (struct asked){.response = {.fd = -1}};
    arena_init(&a->arena, 0);
    struct request request = {.arena = &a->arena,
                              .body = body,
                              .body_bytes = body ? strlen(body) : 0,
                              .raw_query = "",
                              .query = query,
                              .n_query = n_query,
                              .headers = headers,
                              .n_headers = headers ? 1 : 0};
    a->ok = api_plans_routes[route].handle(&request, &a->response, &a->why);
    if (!a->ok || a->response.status == 304)
        return;
    struct problem why = {0};
    a->document = wire_parse(a->response.body, a->response.body_bytes, &why);
    cr_assert(a->document, "%s: %s", body ? body : "", why.detail);
    a->root = wire_root(a->document);
}

static void ask(struct asked *a, unsigned route, const char *body) {
    ask_with(a, route, body, NULL, 0, NULL);
}

static void ask_end(struct asked *a) {
    wire_document_free(a->document);
    arena_free(&a->arena);
}

/* "/memory/0/bytes": the value there. */
static struct wire_value at(const struct wire_value *v, const char *outer, const char *inner) {
    struct problem why = {0};
    static struct wire_value first, second;
    cr_assert(wire_need(v, outer, &first, &why), "%s", why.where);
    if (!inner)
        return first;
    cr_assert(wire_need(&first, inner, &second, &why), "%s", why.where);
    return second;
}

static uint64_t number(const struct wire_value *v, const char *outer, const char *inner) {
    struct problem why = {0};
    struct wire_value found = at(v, outer, inner);
    uint64_t value = 0;
    cr_assert(wire_uint(&found, 0, UINT64_MAX, &value, &why), "%s: %s", why.where, why.detail);
    return value;
}

static bool feasible(const struct wire_value *v) {
    struct problem why = {0};
    bool yes = false;
    cr_assert(wire_bool_of(v, "feasible", &yes, &why));
    return yes;
}

static const char *const strategies[] = {"\"standard\"",
                                         "\"every_layer\"",
                                         "{\"name\":\"every_n\",\"n\":2}",
                                         "{\"name\":\"uniform\",\"k\":4}",
                                         "{\"name\":\"uniform\",\"segments\":5}",
                                         "{\"name\":\"block\",\"k\":3}",
                                         "{\"name\":\"selective\",\"ops\":[\"attention\"]}",
                                         "{\"name\":\"selective\",\"ops\":[\"attention_core\"]}",
                                         "{\"name\":\"selective\",\"ops\":[\"mlp\",\"norm\"]}"};
#define STRATEGIES (sizeof strategies / sizeof strategies[0])
static const char *const models[] = {"gpt2", "qwen3-0.6b", "gemma-2-2b", "mixtral-8x7b"};
#define MODELS (sizeof models / sizeof models[0])

#define CATEGORIES 6
static const char *const categories[CATEGORIES] = {"saved_activations", "recomputed", "activation_gradients",
                                                   "inputs_outputs",    "transient",  "workspace"};

static void alive_sums_check(const struct wire_value *plan, const char *name) {
    struct problem why = {0};
    struct wire_value list = at(plan, "alive_at_peak", NULL), peak = at(plan, "peak_at", "memory");
    uint64_t sums[CATEGORIES] = {0}, total = 0;
    for (size_t i = 0; i < wire_length(&list); i++) {
        struct wire_value row = wire_at(&list, i);
        const char *category = "";
        unsigned c = 0;
        cr_assert(wire_string_of(&row, "category", &category, &why));
        while (c < CATEGORIES && strcmp(categories[c], category) != 0)
            c++;
        cr_assert_lt(c, CATEGORIES, "%s", category);
        sums[c] += number(&row, "bytes", NULL);
    }
    for (unsigned c = 0; c < CATEGORIES; c++) {
        char key[64];
        snprintf(key, sizeof key, "%s_bytes", categories[c]);
        cr_expect_eq(sums[c], number(&peak, key, NULL), "%s: %s: %lu alive, %lu counted", name, key, sums[c],
                     number(&peak, key, NULL));
        total += sums[c];
    }
    cr_expect_eq(total, number(plan, "live_peak_bytes", NULL), "%s", name);
}

static void timeline_check(const struct wire_value *plan, const char *name) {
    struct wire_value list = at(plan, "timeline", NULL);
    uint64_t highest = 0;
    cr_expect_eq(wire_length(&list), 50, "%s: %zu points", name, wire_length(&list));
    for (size_t i = 0; i < wire_length(&list); i++) {
        struct wire_value row = wire_at(&list, i);
        uint64_t live = number(&row, "live_bytes", NULL);
        highest = live > highest ? live : highest;
    }
    cr_expect_eq(highest, number(plan, "live_peak_bytes", NULL), "%s", name);
}

Test(plans, answers_add_up_for_every_strategy) {
    for (size_t m = 0; m < MODELS; m++)
        for (size_t s = 0; s < STRATEGIES; s++) {
            char body[512];
            struct asked a;
            snprintf(body, sizeof body,
                     "{\"workload\":{\"model\":\"%s\",\"seq_len\":512,\"batch\":2,\"dtype\":\"bfloat16\"},\"strategy\":"
                     "%s,\"device\":\"h100-80gb\",\"max_points\":50,\"include\":[\"timeline\",\"steps\",\"layers\","
                     "\"alive_at_peak\",\"apply\"]}",
                     models[m], strategies[s]);
            ask(&a, PLANS_POST, body);
            cr_assert(a.ok, "%s: %s %s", body, a.why.where, a.why.detail);
            uint64_t peak = number(&a.root, "peak_bytes", NULL);
            cr_expect_eq(peak, number(&a.root, "slab_bytes", NULL) + number(&a.root, "memory", "parameters_bytes") +
                                   number(&a.root, "memory", "gradients_bytes") +
                                   number(&a.root, "memory", "optimizer_bytes"));
            cr_expect_eq(feasible(&a.root), peak <= number(&a.root, "budget_bytes", NULL));
            cr_expect_leq(number(&a.root, "memory", "saved_activations_bytes"),
                          number(&a.root, "standard", "saved_activations_bytes"));
            struct wire_value layers = at(&a.root, "layers", NULL), again;
            uint64_t recomputed = 0;
            for (size_t i = 0; i < wire_length(&layers); i++) {
                again = wire_at(&layers, i);
                recomputed += number(&again, "recomputed_bytes", NULL);
            }
            cr_expect_eq(recomputed > 0, s > 0, "%s", body);
            cr_expect_eq(recomputed > 0, number(&a.root, "flops", "recompute") > 0 || s == 8, "%s", body);
            alive_sums_check(&a.root, body);
            timeline_check(&a.root, body);
            ask_end(&a);
        }
}

/* In chunks the logits are not kept: they are what is saved less, and making them again (2 d a logit, its softcap) is
 * the overhead, beside what else is recomputed. The whole run is what both are compared with. */
Test(plans, a_loss_in_chunks_saves_the_logits_for_their_flops) {
    enum { T = 2 * 512, V = 256000, D = 2304 };
    static const char *const with[] = {"\"%s\"", "{\"name\":\"%s\",\"loss_chunk\":0}",
                                       "{\"name\":\"%s\",\"loss_chunk\":512}", "{\"name\":\"%s\",\"loss_chunk\":128}"};
    static const char *const names[] = {"standard", "every_layer"};
    for (size_t n = 0; n < 2; n++) {
        uint64_t saved = 0, peak = 0, backward = 0, all = 0;
        for (size_t i = 0; i < 4; i++) {
            char strategy[128], body[512];
            struct asked a;
            struct problem why = {0};
            double overhead = -1;
            snprintf(strategy, sizeof strategy, with[i], names[n]);
            snprintf(body, sizeof body,
                     "{\"workload\":{\"model\":\"gemma-2-2b\",\"seq_len\":512,\"batch\":2,\"dtype\":\"bfloat16\"},"
                     "\"strategy\":%s,\"include\":[\"explain\"]}",
                     strategy);
            ask(&a, PLANS_POST, body);
            cr_assert(a.ok, "%s: %s %s", body, a.why.where, a.why.detail);
            cr_assert(wire_real_of(&a.root, "compute_overhead_pct", -1, 1e9, &overhead, &why));
            const uint64_t now = number(&a.root, "memory", "saved_activations_bytes");
            const uint64_t again = i < 2 ? 0 : (uint64_t)T * V * (2 * D + 1);
            if (i == 0) {
                saved = now;
                peak = number(&a.root, "peak_bytes", NULL);
                backward = number(&a.root, "flops", "backward");
                all = number(&a.root, "flops", "forward") + backward;
            }
            cr_expect_eq(saved - now, i < 2 ? 0 : (uint64_t)T * V * 2, "%s: %lu", body, saved - now);
            cr_expect_eq(number(&a.root, "flops", "backward") - backward, again, "%s", body);
            cr_expect_float_eq(overhead, 100.0 * (double)(again + number(&a.root, "flops", "recompute")) / (double)all,
                               1e-9, "%s", body);
            cr_expect(i < 2 ? number(&a.root, "peak_bytes", NULL) == peak : number(&a.root, "peak_bytes", NULL) < peak);
            ask_end(&a);
        }
    }
}

Test(plans, the_minimum_budget_works_and_one_byte_less_does_not) {
    const char *format = "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":256},\"strategy\":\"every_layer\","
                         "\"budget_bytes\":%llu}";
    char body[256];
    struct asked a;
    snprintf(body, sizeof body, format, 1ull);
    ask(&a, PLANS_POST, body);
    cr_assert(a.ok && !feasible(&a.root));
    uint64_t least = number(&a.root, "minimum_budget_bytes", NULL);
    ask_end(&a);
    for (unsigned less = 0; less < 2; less++) {
        snprintf(body, sizeof body, format, (unsigned long long)(least - less));
        ask(&a, PLANS_POST, body);
        cr_assert(a.ok);
        cr_expect_eq(feasible(&a.root), less == 0);
        ask_end(&a);
    }
}

/* What fits is what a plan of that size says, and the next size lacks what the answer says. */
Test(plans, capacity_fits_and_the_next_does_not) {
    static const char *const finds[] = {"seq_len", "batch", "layers"};
    static const char *const budgets[MODELS] = {"3000000000", "6000000000", "30000000000", "400000000000"};
    for (size_t m = 0; m < MODELS; m++)
        for (size_t f = 0; f < 3; f++) {
            char body[512];
            struct asked a, next;
            snprintf(body, sizeof body,
                     "{\"workload\":{\"model\":\"%s\",\"seq_len\":128,\"attention\":\"flash\",\"optimizer\":\"none\"},"
                     "\"strategy\":\"every_layer\",\"budget_bytes\":%s,\"find\":\"%s\"}",
                     models[m], budgets[m], finds[f]);
            ask(&a, CAPACITY_POST, body);
            cr_assert(a.ok, "%s: %s %s", body, a.why.where, a.why.detail);
            struct wire_value plan = at(&a.root, "plan", NULL), after;
            const uint64_t value = number(&a.root, "value", NULL);
            cr_assert_gt(value, 0, "%s", body);
            cr_expect(feasible(&plan), "%s", body);
            if (wire_get(&a.root, "next", &after) && wire_type(&after) != WIRE_NULL && f < 2) {
                char again[512];
                cr_expect_eq(number(&after, "value", NULL), value + 1);
                snprintf(again, sizeof again,
                         "{\"workload\":{\"model\":\"%s\",\"seq_len\":%llu,\"batch\":%llu,\"attention\":\"flash\","
                         "\"optimizer\":\"none\"},\"strategy\":\"every_layer\",\"budget_bytes\":%llu}",
                         models[m], f == 0 ? (unsigned long long)value + 1 : 128,
                         f == 1 ? (unsigned long long)value + 1 : 1,
                         (unsigned long long)number(&a.root, "plan", "budget_bytes"));
                ask(&next, PLANS_POST, again);
                cr_assert(next.ok);
                cr_expect(!feasible(&next.root), "%s", again);
                cr_expect_eq(number(&next.root, "peak_bytes", NULL) - number(&next.root, "budget_bytes", NULL),
                             number(&after, "shortfall_bytes", NULL));
                ask_end(&next);
            } else
                cr_expect(f == 2 || m == 0, "%s: only learned positions end before this budget", body);
            ask_end(&a);
        }
}

Test(plans, a_get_is_the_same_as_its_post_and_knows_its_tag) {
    static const struct route_pair query[] = {
        {"model", "gpt2"},          {"seq_len", "1024"},     {"batch", "8"}, {"dtype", "bfloat16"},
        {"dropout", "0.1"},         {"strategy", "every_n"}, {"n", "2"},     {"device", "a10-24gb"},
        {"include", "layers,apply"}};
    struct asked got, posted, again;
    ask_with(&got, PLANS_GET, NULL, query, sizeof query / sizeof query[0], NULL);
    cr_assert(got.ok, "%s %s", got.why.where, got.why.detail);
    ask(&posted, PLANS_POST,
        "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":1024,\"batch\":8,\"dtype\":\"bfloat16\",\"dropout\":0.1},"
        "\"strategy\":{\"name\":\"every_n\",\"n\":2},\"device\":\"a10-24gb\",\"include\":[\"layers\",\"apply\"]}");
    cr_assert(posted.ok);
    cr_expect_str_eq(got.response.body, posted.response.body);
    const struct route_pair known = {"If-None-Match", got.response.headers[0].value};
    cr_assert_str_eq(got.response.headers[0].name, "ETag");
    ask_with(&again, PLANS_GET, NULL, query, sizeof query / sizeof query[0], &known);
    cr_expect_eq(again.response.status, 304);
    cr_expect_eq(again.response.body_bytes, 0);
    ask_end(&got);
    ask_end(&posted);
    ask_end(&again);
}

Test(plans, several_queries_are_answered_in_their_order) {
    struct asked a, alone;
    ask(&a, PLANS_POST,
        "{\"queries\":[{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64}},{\"workload\":{\"model\":\"gpt2\",\"seq_len\""
        ":0}},{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64},\"strategy\":\"every_layer\"}]}");
    cr_assert(a.ok);
    struct wire_value list = at(&a.root, "plans", NULL), first = wire_at(&list, 0), second = wire_at(&list, 1),
                      third = wire_at(&list, 2);
    struct problem why = {0};
    const char *pointer = "";
    ask(&alone, PLANS_POST, "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64}}");
    cr_expect_str_eq(wire_json(&first, &a.arena, &why), wire_json(&alone.root, &a.arena, &why));
    cr_expect_eq(number(&second, "status", NULL), 422);
    cr_assert(wire_string_of(&second, "pointer", &pointer, &why));
    cr_expect_str_eq(pointer, "/queries/1/workload/seq_len");
    cr_expect_gt(number(&third, "flops", "recompute"), 0);
    ask_end(&a);
    ask_end(&alone);
}

static double real(const struct wire_value *v, const char *key) {
    struct problem why = {0};
    double value = -1;
    cr_assert(wire_real_of(v, key, 0, 1e30, &value, &why), "%s", key);
    return value;
}

/* Eight microbatches take the memory of one, and eight times its operations, seconds and tokens. */
Test(plans, accumulation_multiplies_work_and_no_bytes) {
    static const char *const bytes[] = {"peak_bytes", "slab_bytes", "live_peak_bytes", "retained_peak_bytes"};
    static const char *const flops[] = {"forward", "backward", "recompute"};
    static const struct route_pair query[] = {
        {"model", "gpt2"},           {"seq_len", "256"},     {"batch", "2"}, {"gradient_accumulation", "8"},
        {"strategy", "every_layer"}, {"device", "a100-80gb"}};
    struct asked one, eight;
    ask_with(&one, PLANS_GET, NULL, (struct route_pair[]){query[0], query[1], query[2], query[4], query[5]}, 5, NULL);
    ask_with(&eight, PLANS_GET, NULL, query, 6, NULL);
    cr_assert(one.ok && eight.ok, "%s %s", eight.why.where, eight.why.detail);
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++)
        cr_expect_eq(number(&one.root, bytes[i], NULL), number(&eight.root, bytes[i], NULL), "%s", bytes[i]);
    for (size_t i = 0; i < sizeof flops / sizeof flops[0]; i++)
        cr_expect_eq(8 * number(&one.root, "flops", flops[i]), number(&eight.root, "flops", flops[i]), "%s", flops[i]);
    cr_expect_eq(number(&one.root, "tokens_per_step", NULL), 512);
    cr_expect_eq(number(&eight.root, "tokens_per_step", NULL), 4096);
    cr_expect(8 * real(&one.root, "step_seconds") == real(&eight.root, "step_seconds"));
    cr_expect(real(&one.root, "compute_overhead_pct") == real(&eight.root, "compute_overhead_pct"));
    ask_end(&one);
    ask_end(&eight);
}

/* Closed forms have the pipeline full: microbatches change their tokens alone. */
Test(plans, accumulation_changes_no_byte_of_megatron) {
    uint64_t peaks[2], tokens[2];
    for (unsigned i = 0; i < 2; i++) {
        struct asked a;
        char body[256];
        snprintf(body, sizeof body,
                 "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64,\"dtype\":\"bfloat16\",\"framework\":\"megatron\","
                 "\"gradient_accumulation\":%u}}",
                 i ? 8 : 1);
        ask(&a, PLANS_POST, body);
        cr_assert(a.ok, "%s %s", a.why.where, a.why.detail);
        peaks[i] = number(&a.root, "peak_bytes", NULL);
        tokens[i] = number(&a.root, "tokens_per_step", NULL);
        ask_end(&a);
    }
    cr_expect_eq(peaks[0], peaks[1]);
    cr_expect_eq(tokens[0], 64);
    cr_expect_eq(tokens[1], 512);
}

#define DEEP                                                                                                           \
    "{\"workload\":{\"model\":{\"family\":\"decoder\",\"layers\":1000,\"d_model\":8,\"heads\":1,\"vocab\":8},\"seq_"   \
    "len\":8},"                                                                                                        \
    "\"strategy\":\"every_layer\"}"

static void *long_request(void *kind) {
    struct asked a;
    ask(&a, PLANS_POST, "{\"queries\":[" DEEP "," DEEP "," DEEP "," DEEP "," DEEP "]}");
    *(enum problem_kind *)kind = a.ok ? PROBLEM_NONE : a.why.kind;
    ask_end(&a);
    return NULL;
}

/* Two at a time, so that the front's other threads stay free; and each gives its place back. */
Test(plans, long_requests_do_not_take_every_thread) {
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    enum problem_kind kinds[THREADS], alone;
    unsigned planned = 0, busy = 0;
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, long_request, &kinds[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        planned += kinds[i] == PROBLEM_NONE;
        busy += kinds[i] == PROBLEM_BUSY;
    }
    cr_expect_geq(planned, 2);
    cr_expect_geq(busy, 1);
    cr_expect_eq(planned + busy, THREADS);
    long_request(&alone);
    cr_expect_eq(alone, PROBLEM_NONE);
}

/* A model of 10^12 parameters: exact while every sum can be counted, refused with the bound past it. */
Test(plans, far_ends_are_answered_exactly_or_refused) {
    static const struct {
        const char *model, *sizes;
        bool ok;
    } rows[] = {
        {"\"layers\":128,\"d_model\":25600,\"heads\":160", "\"seq_len\":131072", true},
        {"\"layers\":128,\"d_model\":25600,\"heads\":160", "\"seq_len\":10000000", false},
        {"\"layers\":1000,\"d_model\":4194304,\"heads\":4194304", "\"seq_len\":2147483648,\"batch\":16777216", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[512];
        struct asked a;
        snprintf(body, sizeof body,
                 "{\"workload\":{\"model\":{\"family\":\"decoder\",%s,\"positions\":\"rotary\"},%s,\"attention\":"
                 "\"flash\",\"dtype\":\"bfloat16\"},\"strategy\":\"every_layer\"}",
                 rows[i].model, rows[i].sizes);
        ask(&a, PLANS_POST, body);
        cr_expect_eq(a.ok, rows[i].ok, "%s: %s %s", body, a.why.where, a.why.detail);
        cr_expect(a.ok || (a.why.kind == PROBLEM_LIMIT && strstr(a.why.detail, "2^62")), "%s", a.why.detail);
        if (a.ok) /* 128 layers of 12 h^2 + 13 h, the table, the last norm */
            cr_expect_eq(number(&a.root, "model", "parameters"),
                         128 * (12 * 25600ull * 25600 + 13 * 25600) + 50257ull * 25600 + 2 * 25600);
        ask_end(&a);
    }
}

/* Every take of the request's arena fails in turn. */
Test(plans, memory_may_fail_anywhere) {
    const char *text = "{\"workload\":{\"model\":{\"hf_config\":{\"model_type\":\"gemma2\",\"num_hidden_layers\":2,"
                       "\"torch_dtype\":\"float16\"}},\"seq_len\":16},\"strategy\":{\"name\":\"custom\",\"layers\":["
                       "\"keep\",\"checkpoint\"]},\"include\":[\"layers\",\"apply\",\"alive_at_peak\",\"explain\"]}";
    bool ok = false;
    for (uint64_t fail = 0; !ok; fail++) {
        struct arena a;
        struct response response = {.fd = -1};
        struct problem why = {0};
        arena_init(&a, 0);
        a.fail_at = fail;
        struct request request = {.arena = &a, .body = text, .body_bytes = strlen(text)};
        ok = api_plans_routes[PLANS_POST].handle(&request, &response, &why);
        cr_expect(ok || why.kind == PROBLEM_MEMORY, "take %lu: %s %s", fail, why.where, why.detail);
        arena_free(&a);
        cr_assert_lt(fail, 100000);
    }
}

/* The same policy in other tools' words, or null and a reason. gpt2 has 12 layers. */
Test(plans, other_tools_are_told_the_same_policy) {
    static const struct {
        const char *strategy, *torch, *transformers, *megatron, *jax;
    } rows[] = {
        {"\"standard\"", "{\"checkpoint_layers\":[]}", "{\"gradient_checkpointing\":false}", "[]",
         "\"everything_saveable\""},
        {"{\"name\":\"every_n\",\"n\":5}", "{\"checkpoint_layers\":[0,5,10]}", "null", "null", "null"},
        {"{\"name\":\"block\",\"k\":2}", "{\"checkpoint_layers\":[0,1]}", "null",
         "[\"--recompute-granularity\",\"full\",\"--recompute-method\",\"block\",\"--recompute-num-layers\",\"2\"]",
         "null"},
        {"{\"name\":\"uniform\",\"k\":5}", "null", "null",
         "[\"--recompute-granularity\",\"full\",\"--recompute-method\",\"uniform\",\"--recompute-num-layers\",\"5\"]",
         "null"},
        {"{\"name\":\"selective\",\"ops\":[\"attention_core\"]}", "null", "null",
         "[\"--recompute-granularity\",\"selective\",\"--recompute-modules\",\"core_attn\"]", "null"},
        {"{\"name\":\"selective\",\"ops\":[\"mlp\"]}", "null", "null", "null", "null"},
        {"{\"name\":\"every_layer\",\"loss_chunk\":128}", "null", "null", "null", "null"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const want[] = {"torch",    rows[i].torch,    "transformers", rows[i].transformers,
                                    "megatron", rows[i].megatron, "jax",          rows[i].jax};
        char body[256];
        struct asked a;
        struct problem why = {0};
        snprintf(body, sizeof body,
                 "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":8},\"strategy\":%s,\"include\":[\"apply\"]}",
                 rows[i].strategy);
        ask(&a, PLANS_POST, body);
        cr_assert(a.ok, "%s", a.why.detail);
        for (unsigned t = 0; t < 8; t += 2) {
            struct wire_value told = at(&a.root, "apply", want[t]), reasons, reason;
            cr_expect_str_eq(wire_json(&told, &a.arena, &why), want[t + 1], "%s: %s", rows[i].strategy, want[t]);
            reasons = at(&a.root, "apply", "reasons");
            cr_expect_eq(wire_get(&reasons, want[t], &reason), strcmp(want[t + 1], "null") == 0);
        }
        ask_end(&a);
    }
}

/* Points fall in memory and rise in overhead, end to end; every named strategy lies on or above them. */
Test(plans, frontiers_fall_and_rise_and_nothing_named_lies_below) {
    static const char *const bodies[] = {
        "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":1024,\"batch\":4},\"device\":\"a100-80gb\"}",
        "{\"workload\":{\"model\":\"llama-3-8b\",\"seq_len\":4096,\"dtype\":\"bfloat16\",\"attention\":\"flash\"},"
        "\"points\":4}"};
    for (size_t i = 0; i < 2; i++) {
        struct asked a;
        struct problem why = {0};
        struct wire_value points, named;
        uint64_t peak = UINT64_MAX, peaks[PLAN_QUERY_POINTS];
        double overhead = -1, overheads[PLAN_QUERY_POINTS];
        ask(&a, FRONTIERS_POST, bodies[i]);
        cr_assert(a.ok, "%s: %s", a.why.where, a.why.detail);
        cr_assert(wire_get(&a.root, "points", &points) && wire_get(&a.root, "named", &named));
        size_t n = wire_length(&points);
        cr_assert(n >= 3 && (i == 0 || n == 4), "%zu points", n);
        for (size_t p = 0; p < n; p++) {
            struct wire_value point = wire_at(&points, p);
            cr_assert(wire_uint_of(&point, "peak_bytes", 1, UINT64_MAX, &peaks[p], &why));
            cr_assert(wire_real_of(&point, "compute_overhead_pct", 0, 1e6, &overheads[p], &why));
            cr_assert(peaks[p] < peak && overheads[p] > overhead);
            peak = peaks[p], overhead = overheads[p];
        }
        cr_assert_eq(overheads[0], 0);
        for (size_t c = 0; i == 0 && c < wire_length(&named);
             c++) { /* the whole frontier: something is as good in both */
            struct wire_value one = wire_at(&named, c);
            uint64_t its_peak = 0;
            double its_overhead = 0;
            bool covered = false;
            cr_assert(wire_uint_of(&one, "peak_bytes", 1, UINT64_MAX, &its_peak, &why));
            cr_assert(wire_real_of(&one, "compute_overhead_pct", 0, 100, &its_overhead, &why));
            for (size_t p = 0; p < n; p++)
                covered |= peaks[p] <= its_peak && overheads[p] <= its_overhead;
            cr_assert(covered, "named %zu", c);
        }
        ask_end(&a);
    }
}

/* Korthikanti et al. 2022, Figure 1, 175B and 22B: as posted, to the printed digit; test_megatron.c has all of them. */
Test(plans, megatron_answers_with_the_papers_figures) {
    static const struct {
        const char *sizes, *parallelism, *strategy;
        const char *activations_gib, *states_gib;
    } rows[] = {
        {"\"layers\":96,\"d_model\":12288,\"heads\":96", "\"pipeline\":8,\"pipeline_chunks\":3", "\"standard\"",
         "66.8438", "45.5625"},
        {"\"layers\":96,\"d_model\":12288,\"heads\":96", "\"pipeline\":8,\"pipeline_chunks\":3,\"sequence\":true",
         "{\"name\":\"selective\",\"ops\":[\"attention_core\"]}", "12.3516", "45.5625"},
        {"\"layers\":96,\"d_model\":12288,\"heads\":96", "\"pipeline\":8,\"pipeline_chunks\":3", "\"every_layer\"",
         "5.8125", "45.5625"},
        {"\"layers\":128,\"d_model\":25600,\"heads\":160", "\"pipeline\":64,\"sequence\":true", "\"standard\"",
         "76.5625", "32.9590"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asked a;
        char body[640], text[32];
        snprintf(
            body, sizeof body,
            "{\"workload\":{\"model\":{\"family\":\"decoder\",%s},\"seq_len\":2048,\"batch\":1,\"dtype\":\"bfloat16\","
            "\"attention\":\"standard\",\"dropout\":0.1,\"framework\":\"megatron\",\"parallelism\":{\"tensor\":8,%s}},"
            "\"strategy\":%s}",
            rows[i].sizes, rows[i].parallelism, rows[i].strategy);
        ask(&a, PLANS_POST, body);
        cr_assert(a.ok, "%s: %s", a.why.where, a.why.detail);
        snprintf(text, sizeof text, "%.4f",
                 (double)number(&a.root, "memory", "saved_activations_bytes") / 1073741824.0);
        cr_assert_str_eq(text, rows[i].activations_gib);
        uint64_t states = number(&a.root, "memory", "parameters_bytes") + number(&a.root, "memory", "gradients_bytes") +
                          number(&a.root, "memory", "optimizer_bytes");
        snprintf(text, sizeof text, "%.4f", (double)states / 1073741824.0);
        cr_assert_str_eq(text, rows[i].states_gib);
        ask_end(&a);
    }
}
