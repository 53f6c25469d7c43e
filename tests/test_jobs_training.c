/* test_jobs_training.c - whole jobs of kind training_step in this process: what they learn, what they read, what they
 * keep, how they end. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "server/clock.h"
#include "server/job_report.h"
#include "server/witness.h"
#include "tests/support_jobs.h"

#define MODEL                                                                                                          \
    "{\"family\":\"decoder\",\"layers\":3,\"d_model\":16,\"heads\":2,\"d_ff\":32,\"vocab\":256,\"max_positions\":32}"
#define ROW "[[1,2,3,4,5,6,7,8,9]]"

/* A job over MODEL, 8 tokens a row, and fields beside the workload's. */
static const char *request(const char *workload, const char *fields) {
    return arena_printf(&jobs.arena, &jobs.why,
                        "{\"kind\":\"training_step\",\"workload\":{\"model\":" MODEL ",\"seq_len\":8%s%s},%s}",
                        *workload ? "," : "", workload, fields);
}

static const char *train(const char *workload, const char *fields) {
    return jobs_run(request(workload, fields));
}

static const char *loss_at(const char *result, unsigned step) {
    char path[32];
    snprintf(path, sizeof path, "losses/%u", step);
    return jobs_at(result, path);
}

/* The same computation: losses and gradients have the same bits. */
static void same(const char *a, const char *b, const char *what) {
    cr_expect_str_eq(jobs_at(a, "losses"), jobs_at(b, "losses"), "%s", what);
    cr_expect_str_eq(jobs_at(a, "gradients_digest"), jobs_at(b, "gradients_digest"), "%s", what);
    cr_expect_str_neq(jobs_at(a, "gradients_digest"), "", "%s", what);
}

static void exact(const char *result) {
    cr_expect_eq(jobs_number(result, "memory/predicted_peak_bytes"), jobs_number(result, "memory/measured_peak_bytes"));
}

/* ---- learning ---- */

Test(JobsTraining, losses_fall_on_a_row_that_comes_again, .init = jobs_start, .fini = jobs_stop) {
    static const char *const workloads[] = {
        "\"optimizer\":\"sgd\"",   "\"optimizer\":\"sgd_momentum\"",
        "\"optimizer\":\"adamw\"", "\"optimizer\":\"lion\"",
        "\"dtype\":\"bfloat16\"",  "\"attention\":\"flash\",\"batch\":2,\"gradient_accumulation\":3"};
    static const char *const rates[] = {"0.3", "0.1", "0.01", "0.003", "0.01", "0.01"};
    for (unsigned i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        const char *fields = arena_printf(
            &jobs.arena, &jobs.why, "\"tokens\":" ROW ",\"steps\":25,\"learning_rate\":%s,\"witness\":true", rates[i]);
        const char *result = train(workloads[i], fields);
        const double first = jobs_real(result, "losses/0"), last = jobs_real(result, "losses/24");
        cr_expect(fabs(first - log(256)) < 0.2, "%s: %g", workloads[i], first);
        cr_expect(last < 0.8 * first, "%s: %g, %g", workloads[i], first, last);
        cr_expect_eq(last, jobs_real(result, "loss"));
        cr_expect_eq(jobs_number(result, "steps"), 25);
        cr_expect_eq(jobs_number(result, "tokens_per_step"), i == 5 ? 2 * 3 * 8 : 8);
        cr_expect_eq(jobs_number(result, "numerics/nan") + jobs_number(result, "numerics/inf"), 0);
        exact(result);
        cr_expect_leq(jobs_number(result, "memory/scanned_peak_bytes"),
                      jobs_number(result, "memory/measured_peak_bytes"));
        same(result, train(workloads[i], fields), workloads[i]);
    }
}

Test(JobsTraining, nothing_changes_without_an_optimizer, .init = jobs_start, .fini = jobs_stop) {
    const char *result = train("\"optimizer\":\"none\"", "\"tokens\":" ROW ",\"steps\":2,\"outputs\":[\"weights\"]");
    cr_expect_str_eq(loss_at(result, 0), loss_at(result, 1));
    result = train("\"optimizer\":\"none\"", "\"tokens\":" ROW ",\"seed\":1");
    cr_expect_str_neq(loss_at(result, 0), loss_at(train("\"optimizer\":\"none\"", "\"tokens\":" ROW ",\"seed\":2"), 0));
    cr_expect_str_eq(jobs_at(result, "outputs"), "{}");
    cr_expect_str_eq(jobs_at(result, "comparison"), "");
}

/* ---- strategies ---- */

Test(JobsTraining, every_strategy_is_standard_bit_for_bit, .init = jobs_start, .fini = jobs_stop) {
    static const char *const strategies[] = {
        "\"every_layer\"",
        "{\"n\":2,\"name\":\"every_n\"}",
        "{\"k\":2,\"name\":\"uniform\"}",
        "{\"k\":2,\"name\":\"block\"}",
        "{\"name\":\"selective\",\"ops\":[\"attention_core\",\"norm\"]}",
        "{\"layers\":[\"keep\",\"checkpoint\",{\"recompute\":[\"mlp\"]}],\"name\":\"custom\"}",
        "{\"loss_chunk\":128,\"name\":\"every_layer\"}"};
    static const char *const workloads[] = {"\"dropout\":0.1,\"batch\":2",
                                            "\"dtype\":\"bfloat16\",\"attention\":\"flash\""};
    for (unsigned w = 0; w < 2; w++)
        for (unsigned s = 0; s < sizeof strategies / sizeof strategies[0]; s++) {
            const char *fields = arena_printf(&jobs.arena, &jobs.why,
                                              "\"strategy\":%s,\"compare_with\":\"standard\",\"steps\":3,"
                                              "\"clip_norm\":0.5",
                                              strategies[s]);
            const char *result = train(workloads[w], fields);
            exact(result);
            cr_expect_str_eq(jobs_at(result, "comparison/identical"), "true", "%s", fields);
            cr_expect_eq(jobs_real(result, "comparison/max_abs_diff"), 0);
            cr_expect_eq(jobs_number(result, "comparison/predicted_peak_bytes"),
                         jobs_number(result, "comparison/measured_peak_bytes"));
            cr_expect_str_eq(jobs_at(result, "strategy"), strategies[s]);
        }
}

Test(JobsTraining, threads_do_not_show, .init = jobs_start, .fini = jobs_stop) {
    const char *fields = "\"steps\":3,\"strategy\":\"every_layer\",\"outputs\":[\"weights\"]", *result[2];
    for (unsigned t = 0; t < 2; t++) {
        jobs_threads(t + 1);
        result[t] = train("\"batch\":3", fields);
    }
    same(result[0], result[1], "one thread and two");
    cr_expect_str_eq(jobs_at(result[0], "outputs"), jobs_at(result[1], "outputs"));
}

/* What fits is taken and stays within; below the least nothing does, and the least that is named is enough. */
Test(JobsTraining, auto_fits_or_names_the_least, .init = jobs_start, .fini = jobs_stop) {
    const char *form = "\"strategy\":\"auto\",\"compare_with\":\"standard\",\"budget_bytes\":%llu";
    const char *workload = "\"optimizer\":\"none\",\"batch\":4";
    jobs_refused(request(workload, arena_printf(&jobs.arena, &jobs.why, form, 1ull)), PROBLEM_BUDGET, "/budget_bytes");
    const unsigned long long least = jobs.why.minimum_budget_bytes;
    jobs_refused(request(workload, arena_printf(&jobs.arena, &jobs.why, form, least - 1)), PROBLEM_BUDGET,
                 "/budget_bytes");
    cr_expect_eq(jobs.why.minimum_budget_bytes, least);
    uint64_t last_flops = UINT64_MAX;
    for (unsigned long long budget = least; budget < 2 * least; budget += least / 4) {
        const char *result = train(workload, arena_printf(&jobs.arena, &jobs.why, form, budget));
        const uint64_t flops = jobs_number(result, "flops/recompute") + jobs_number(result, "flops/backward");
        exact(result);
        cr_expect_leq(jobs_number(result, "memory/measured_peak_bytes"), budget);
        cr_expect_leq(flops, last_flops);
        cr_expect_str_eq(jobs_at(result, "comparison/identical"), "true");
        last_flops = flops;
    }
}

/* Of deep models auto tries fewer, and always what needs least of those. */
Test(JobsTraining, auto_answers_for_deep_models, .init = jobs_start, .fini = jobs_stop) {
    struct job job;
    struct job_context c = jobs_context();
    const char *deep =
        "{\"kind\":\"training_step\",\"workload\":{\"model\":{\"family\":\"decoder\",\"layers\":1000,\"d_model\":8,"
        "\"heads\":1,\"vocab\":64,\"max_positions\":8},\"seq_len\":8},\"strategy\":\"%s\",\"budget_bytes\":%llu}";
    const char *text = arena_printf(&jobs.arena, &jobs.why, deep, "every_layer", 1ull << 40);
    cr_assert(job_make(&job, text, strlen(text), &c, &jobs.why), "%s", jobs.why.detail);
    const unsigned long long peak = jobs_number(job.planned, "peak_bytes");
    cr_expect_gt(job.admission_bytes, peak + WITNESS_OUTSIDE_BYTES, "its graph and plan are counted");
    text = arena_printf(&jobs.arena, &jobs.why, deep, "auto", peak);
    const uint64_t before = clock_now_ns();
    cr_assert(job_make(&job, text, strlen(text), &c, &jobs.why), "%s", jobs.why.detail);
    cr_expect_leq(jobs_number(job.planned, "peak_bytes"), peak);
    cr_expect_lt(clock_now_ns() - before, 20000000000u, "a second or so on a quiet machine");
}

/* ---- what is read ---- */

static const char *npy(const char *descr, const char *shape, const void *data, size_t bytes) {
    char file[65536] = "\x93NUMPY\x01\x00";
    int n =
        snprintf(file + 10, sizeof file - 10, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    size_t head = ((size_t)n + 11 + 63) / 64 * 64;
    cr_assert_lt(head + bytes, sizeof file);
    memset(file + 10 + n, ' ', head - 11 - (size_t)n);
    file[head - 1] = '\n';
    file[8] = (char)((head - 10) & 255);
    file[9] = (char)((head - 10) >> 8);
    memcpy(file + head, data, bytes);
    return jobs_upload(file, head + bytes);
}

static const char *tokens(const char *t) {
    return arena_printf(&jobs.arena, &jobs.why, "\"tokens\":%s,\"steps\":4,\"seed\":3", t);
}

static const char *stored(const char *digest) {
    return tokens(arena_printf(&jobs.arena, &jobs.why, "{\"tensor\":\"%s\"}", digest));
}

/* A stream is a stream, however it comes. */
Test(JobsTraining, texts_are_streams_of_bytes, .init = jobs_start, .fini = jobs_stop) {
    const char *text = "to be, or not to be, that is the question";
    const size_t n = strlen(text);
    int64_t wide[64];
    char list[512] = "[", shape[16];
    for (size_t i = 0; i < n; i++) {
        wide[i] = (unsigned char)text[i];
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%u", i ? "," : "", (unsigned char)text[i]);
    }
    strcat(list, "]");
    snprintf(shape, sizeof shape, "(%zu,)", n);
    const char *by_text =
        train("\"batch\":2", arena_printf(&jobs.arena, &jobs.why, "\"text\":\"%s\",\"steps\":4,\"seed\":3", text));
    same(by_text, train("\"batch\":2", tokens(list)), "inline");
    same(by_text, train("\"batch\":2", stored(npy("|u1", shape, text, n))), "npy, uint8");
    same(by_text, train("\"batch\":2", stored(npy("<i8", shape, wide, n * 8))), "npy, int64");
    const char *head = arena_printf(&jobs.arena, &jobs.why,
                                    "{\"t\":{\"dtype\":\"I64\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}", n, n * 8);
    char file[1024];
    uint64_t bytes = strlen(head);
    memcpy(file, &bytes, 8);
    memcpy(file + 8, head, bytes);
    memcpy(file + 8 + bytes, wide, n * 8);
    same(by_text, train("\"batch\":2", stored(jobs_upload(file, 8 + bytes + n * 8))), "safetensors, int64");
    const char *other = train("\"batch\":2", tokens("[1,2,3,4,5,6,7,8,9,10,11,12]"));
    cr_expect_str_neq(jobs_at(by_text, "gradients_digest"), jobs_at(other, "gradients_digest"));
}

/* Rows of N tokens have no last target, rows of N + 1 do: the same as saying the targets. */
Test(JobsTraining, targets_are_the_next_tokens, .init = jobs_start, .fini = jobs_stop) {
    const char *split = "\"inputs\":{\"tokens\":[[1,2,3,4,5,6,7,8]],\"targets\":[[2,3,4,5,6,7,8,%s]]},\"steps\":2";
    same(train("", "\"tokens\":" ROW ",\"steps\":2"), train("", arena_printf(&jobs.arena, &jobs.why, split, "9")),
         "rows of N + 1");
    const char *without = train("", "\"tokens\":[[1,2,3,4,5,6,7,8]],\"steps\":2");
    same(without, train("", arena_printf(&jobs.arena, &jobs.why, split, "-1")), "rows of N");
    same(without, train("", arena_printf(&jobs.arena, &jobs.why, split, "-3e38")), "negative targets are none");
    same(without, train("", "\"tokens\":[[[1,2,3,4,5,6,7,8]]],\"steps\":2"), "ranks do not matter");
}

/* Rows come in their order, and from the first again. */
Test(JobsTraining, rows_are_taken_in_turn, .init = jobs_start, .fini = jobs_stop) {
    const char *rows = "\"tokens\":[[1,2,3,4,5,6,7,8,9],[11,12,13,14,15,16,17,18,19],[21,29,23,28,25,26,27,22,20]],"
                       "\"steps\":%u,\"learning_rate\":0";
    const char *one = train("", arena_printf(&jobs.arena, &jobs.why, rows, 6u));
    double row[3];
    for (unsigned i = 0; i < 3; i++) {
        row[i] = strtod(loss_at(one, i), NULL);
        cr_expect_str_eq(loss_at(one, i), loss_at(one, i + 3));
        cr_expect(i == 0 || row[i] != row[i - 1]);
    }
    const char *two = train("\"batch\":2", arena_printf(&jobs.arena, &jobs.why, rows, 3u));
    const char *passes = train("\"gradient_accumulation\":2", arena_printf(&jobs.arena, &jobs.why, rows, 3u));
    for (unsigned i = 0; i < 3; i++) {
        const double mean = (row[2 * i % 3] + row[(2 * i + 1) % 3]) / 2;
        cr_assert_float_eq(strtod(loss_at(two, i), NULL), mean, 1e-5);
        cr_assert_float_eq(strtod(loss_at(passes, i), NULL), mean, 1e-5);
    }
}

/* Random ids are what the seed's numbers say, whatever distribution is named. */
Test(JobsTraining, random_tokens_can_be_made_again, .init = jobs_start, .fini = jobs_stop) {
    char list[1024] = "[";
    for (uint64_t i = 0; i < 18; i++) {
        uint32_t words[4];
        rng_words(5, (uint32_t)(i / 4), 0, 0, RNG_TENSOR, words);
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%u", i ? "," : "",
                 (unsigned)(((uint64_t)words[i % 4] * 256) >> 32));
    }
    const char *by_hand =
        train("", tokens(arena_printf(&jobs.arena, &jobs.why, "{\"shape\":[2,9],\"data\":%s]}", list)));
    same(by_hand, train("", tokens("{\"shape\":[2,9],\"random\":{\"seed\":5}}")), "random");
    same(by_hand,
         train("", tokens("{\"shape\":[2,9],\"random\":{\"seed\":5,\"distribution\":\"uniform\",\"scale\":9}}")),
         "random, of another distribution");
    const char *drawn = train("", "\"steps\":3,\"learning_rate\":0");
    cr_expect_str_neq(loss_at(drawn, 0), loss_at(drawn, 1), "never the same twice");
}

#define VISION                                                                                                         \
    "{\"kind\":\"training_step\",\"workload\":{\"model\":{\"hf_config\":{\"model_type\":\"vit\",\"image_size\":48,"    \
    "\"patch_size\":16,\"hidden_size\":16,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":32}" \
    "},\"dtype\":\"%s\"},\"steps\":2,\"compare_with\":\"standard\",\"strategy\":\"every_layer\",\"inputs\":{%s}}"

Test(JobsTraining, images_are_the_same_however_they_come, .init = jobs_start, .fini = jobs_stop) {
    enum { N = 48 * 48 * 3 }; /* more than one piece */
    static float numbers[N];
    static const char *const dtypes[] = {"float32", "bfloat16"};
    rng_fill_normal(numbers, N, 7, RNG_TENSOR, 1);
    const char *digest = npy("<f4", "(48, 48, 3)", numbers, sizeof numbers);
    for (unsigned d = 0; d < 2; d++) {
        const char *random =
            jobs_run(arena_printf(&jobs.arena, &jobs.why, VISION, dtypes[d],
                                  "\"image\":{\"shape\":[1,48,48,3],\"random\":{\"seed\":7}},\"targets\":[1]"));
        const char *image =
            arena_printf(&jobs.arena, &jobs.why, "\"image\":{\"tensor\":\"%s\"},\"targets\":[[1]]", digest);
        same(random, jobs_run(arena_printf(&jobs.arena, &jobs.why, VISION, dtypes[d], image)), dtypes[d]);
        cr_expect_str_eq(jobs_at(random, "comparison/identical"), "true");
        const char *drawn = jobs_run(arena_printf(&jobs.arena, &jobs.why, VISION, dtypes[d], ""));
        cr_expect_str_eq(jobs_at(drawn, "comparison/identical"), "true", "%s", dtypes[d]);
    }
}

Test(JobsTraining, every_family_trains, .init = jobs_start, .fini = jobs_stop) {
    static const char *const configs[] = {
        "\"model_type\":\"bert\",\"hidden_size\":16,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
        "\"intermediate_size\":32,\"vocab_size\":64,\"max_position_embeddings\":16",
        "\"model_type\":\"t5\",\"d_model\":16,\"num_layers\":2,\"num_heads\":2,\"d_kv\":8,\"d_ff\":32,\"vocab_size\":"
        "64",
        "\"model_type\":\"whisper\",\"d_model\":16,\"encoder_layers\":1,\"decoder_layers\":1,"
        "\"encoder_attention_heads\":2,\"decoder_attention_heads\":2,\"encoder_ffn_dim\":32,\"decoder_ffn_dim\":32,"
        "\"vocab_size\":64,\"num_mel_bins\":4,\"max_source_positions\":6,\"max_target_positions\":16",
        "\"model_type\":\"mixtral\",\"hidden_size\":16,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
        "\"num_key_value_heads\":1,\"intermediate_size\":32,\"vocab_size\":64,\"num_local_experts\":4"};
    for (unsigned i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        const char *result = jobs_run(
            arena_printf(&jobs.arena, &jobs.why,
                         "{\"kind\":\"training_step\",\"workload\":{\"model\":{\"hf_config\":{%s}},\"seq_len\":8,"
                         "\"batch\":2},\"steps\":2,\"strategy\":\"every_layer\",\"compare_with\":\"standard\"}",
                         configs[i]));
        exact(result);
        cr_expect_str_eq(jobs_at(result, "comparison/identical"), "true", "%s", configs[i]);
        cr_expect(fabs(jobs_real(result, "losses/0") - log(64)) < 0.3, "%s: %g", configs[i],
                  jobs_real(result, "losses/0"));
    }
}

/* ---- weights: kept, and given ---- */

struct editing {
    const char *leave, *like;  /* names of tensors: one that is left out, one whose ... */
    const char *dtype, *shape; /* ... dtype or shape is told wrongly */
    const char *extra;         /* one more */
    const char *spoil;         /* one whose first number is none */
};

/* A safetensors file of the outputs of a group, float32, under prefix. */
static const char *file_of(const char *result, const char *group, const char *prefix, const struct editing *edit) {
    struct problem w = {0};
    const char *list = jobs_at(result, arena_printf(&jobs.arena, &jobs.why, "outputs/%s", group));
    struct wire_document *d = wire_parse(list, strlen(list), &w);
    cr_assert(d, "%s: %s", w.detail, list);
    struct wire_value root = wire_root(d), field;
    const char *head = "";
    char *data = arena_new(&jobs.arena, char, 1 << 20, &jobs.why);
    uint64_t at = 0;
    for (size_t i = 0; wire_member(&root, i, &field); i++) {
        uint64_t n;
        const char *name = arena_copy(&jobs.arena, field.key, strlen(field.key) + 1, &jobs.why);
        const char *path = arena_printf(&jobs.arena, &jobs.why, "%s/%s", group, name);
        float *numbers = jobs_output(result, path, &n);
        const bool wrong = edit->like && strcmp(edit->like, name) == 0;
        if (edit->leave && strcmp(edit->leave, name) == 0)
            continue;
        if (edit->spoil && strcmp(edit->spoil, name) == 0)
            numbers[0] = NAN;
        head = arena_printf(
            &jobs.arena, &jobs.why, "%s%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}", head,
            *head ? "," : "", prefix, name, wrong && edit->dtype ? edit->dtype : "F32",
            wrong && edit->shape ? edit->shape
                                 : jobs_at(result, arena_printf(&jobs.arena, &jobs.why, "outputs/%s/shape", path)),
            (unsigned long long)at, (unsigned long long)(at + 4 * n));
        memcpy(data + at, numbers, 4 * n);
        at += 4 * n;
    }
    wire_document_free(d);
    if (edit->extra) {
        head = arena_printf(&jobs.arena, &jobs.why,
                            "%s,\"%s%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%llu,%llu]}", head, prefix,
                            edit->extra, (unsigned long long)at, (unsigned long long)(at + 4));
        at += 4;
    }
    head = arena_printf(&jobs.arena, &jobs.why, "{%s}", head);
    const uint64_t bytes = strlen(head);
    char *file = arena_new(&jobs.arena, char, 8 + bytes + at, &jobs.why);
    memcpy(file, &bytes, 8);
    memcpy(file + 8, head, bytes);
    memcpy(file + 8 + bytes, data, at);
    return arena_printf(&jobs.arena, &jobs.why, "{\"tensor\":\"%s\"}", jobs_upload(file, 8 + bytes + at));
}

static const char *from(const char *weights, const char *more) {
    return arena_printf(&jobs.arena, &jobs.why, "\"tokens\":" ROW ",\"weights\":%s%s", weights, more);
}

Test(JobsTraining, weights_are_kept_and_go_on, .init = jobs_start, .fini = jobs_stop) {
    static const char *const workloads[] = {"", "\"dtype\":\"bfloat16\""};
    for (unsigned w = 0; w < 2; w++) {
        uint64_t n, m;
        const char *two = train(workloads[w], "\"tokens\":" ROW ",\"steps\":2,\"seed\":4");
        const char *one = train(workloads[w], "\"tokens\":" ROW ",\"steps\":1,\"seed\":4,\"outputs\":[\"weights\","
                                              "\"gradients\",\"initial_weights\"]");
        cr_expect_str_eq(jobs_at(one, "outputs/weights/0.mlp.up.weight/dtype"), w ? "\"bfloat16\"" : "\"float32\"");
        cr_expect_str_eq(jobs_at(one, "outputs/gradients/0.mlp.up.weight/shape"), "[32,16]");
        const float *before = jobs_output(one, "initial_weights/0.mlp.up.weight", &n);
        const float *after = jobs_output(one, "weights/0.mlp.up.weight", &m);
        cr_expect(n == 512 && m == 512 && memcmp(before, after, n * 4) != 0);
        const char *again = train(workloads[w], from(file_of(one, "weights", "", &(struct editing){0}), ""));
        cr_expect_str_eq(loss_at(again, 0), loss_at(two, 1), "the second step");
        again =
            train(workloads[w], from(file_of(one, "initial_weights", "initial_weights.", &(struct editing){0}), ""));
        cr_expect_str_eq(loss_at(again, 0), loss_at(two, 0), "the first step");
        cr_expect_str_eq(jobs_at(again, "gradients_digest"), jobs_at(one, "gradients_digest"));
        double squares = 0;
        const float *gradient = jobs_output(one, "gradients/0.mlp.up.weight", &n);
        for (uint64_t i = 0; i < n; i++)
            squares += (double)gradient[i] * (double)gradient[i];
        const double norm = jobs_real(one, "gradient_norms/0.mlp.up.weight");
        cr_assert_float_eq(sqrt(squares), norm, 1e-9 * norm);
    }
}

Test(JobsTraining, weights_that_do_not_fit_are_named, .init = jobs_start, .fini = jobs_stop) {
    static const struct {
        struct editing edit;
        enum problem_kind kind;
        const char *names;
    } cases[] = {{{.leave = "1.mlp.up.weight"}, PROBLEM_NOT_FOUND, "1.mlp.up.weight"},
                 {{.leave = "embedding.weight"}, PROBLEM_NOT_FOUND, ""},
                 {{.extra = "3.mlp.up.weight"}, PROBLEM_UNKNOWN_FIELD, "3.mlp.up.weight"},
                 {{.like = "1.mlp.up.weight", .shape = "[16,32]"}, PROBLEM_SHAPE, "[16, 32]"},
                 {{.like = "1.mlp.up.weight", .shape = "[512]"}, PROBLEM_SHAPE, "[512]"},
                 {{.like = "1.mlp.up.weight", .dtype = "I32"}, PROBLEM_UNSUPPORTED, "int32"}};
    static const char *const prefixes[] = {"", "weights.", "initial_weights."};
    const char *one = train("", "\"outputs\":[\"weights\"]");
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned p = 0; p < 3; p++) {
            jobs_refused(request("", from(file_of(one, "weights", prefixes[p], &cases[i].edit), "")), cases[i].kind,
                         "/weights");
            cr_expect(strstr(jobs.why.detail, cases[i].names), "%u: %s", i, jobs.why.detail);
        }
}

/* A loss that is no number is told as such, and the job goes on. */
Test(JobsTraining, losses_may_be_no_numbers, .init = jobs_start, .fini = jobs_stop) {
    const char *one = train("", "\"outputs\":[\"weights\"]");
    const char *weights = file_of(one, "weights", "", &(struct editing){.spoil = "0.mlp.up.weight"});
    const char *result = train("", from(weights, ",\"steps\":2,\"strategy\":\"every_layer\","
                                                 "\"compare_with\":\"standard\",\"clip_norm\":1"));
    cr_expect_str_eq(jobs_at(result, "losses"), "[null,null]");
    cr_expect_str_eq(jobs_at(result, "loss"), "null");
    cr_expect_str_eq(jobs_at(result, "gradient_norm"), "null");
    cr_expect_gt(jobs_number(result, "numerics/nan"), 2, "losses and gradients");
    cr_expect_str_eq(jobs_at(result, "comparison/identical"), "true");
    result = train("", "\"tokens\":" ROW ",\"steps\":40,\"learning_rate\":1e6");
    cr_expect_str_eq(jobs_at(result, "loss"), "null", "%s", jobs_at(result, "losses"));
    cr_expect_str_neq(loss_at(result, 0), "null");
    cr_expect_gt(jobs_number(result, "numerics/nan") + jobs_number(result, "numerics/inf"), 0);
}

/* ---- while it runs ---- */

struct watching {
    uint64_t calls, stop_at, reports, steps, done, total;
};

static bool cancelled(void *user) {
    struct watching *w = user;
    return w->calls++ >= w->stop_at;
}

static void progress(void *user, uint64_t done, uint64_t total) {
    struct watching *w = user;
    cr_expect_gt(done, w->done);
    cr_expect_leq(done, total);
    w->done = done;
    w->total = total;
}

static void report(void *user, const char *object) {
    static const char *const fields[] = {"gradient_norm", "tokens_per_second"};
    struct watching *w = user;
    const uint64_t own = w->reports++ < w->steps;
    cr_expect_str_eq(jobs_at(object, "phase"), own ? "\"run\"" : "\"compare\"");
    cr_expect_eq(jobs_number(object, "step"), (w->reports - 1) % w->steps + 1);
    cr_expect_eq(jobs_number(object, "steps"), w->steps);
    cr_expect_eq(jobs_number(object, "used_bytes"), jobs_number(object, "planned_bytes"));
    cr_expect(jobs_real(object, "loss") > 0 || strcmp(jobs_at(object, "loss"), "null") == 0, "%s", object);
    for (unsigned i = 0; i < 2; i++)
        cr_expect_gt(jobs_real(object, fields[i]), 0, "%s", object);
}

Test(JobsTraining, every_step_is_reported, .init = jobs_start, .fini = jobs_stop) {
    struct watching w = {.stop_at = UINT64_MAX, .steps = 5};
    struct job job;
    struct job_run run = {.progress = progress, .cancelled = cancelled, .report = report, .user = &w};
    const char *text = request("\"gradient_accumulation\":2",
                               "\"steps\":5,\"strategy\":\"every_layer\",\"compare_with\":\"standard\"");
    cr_assert(jobs_try(text, &job, &run), "%s", jobs.why.detail);
    cr_expect_eq(w.reports, 10);
    cr_expect_eq(w.done, w.total);
}

Test(JobsTraining, jobs_can_be_stopped_anywhere, .init = jobs_start, .fini = jobs_stop) {
    const char *text = request("", "\"steps\":2,\"strategy\":\"every_layer\",\"compare_with\":\"standard\"");
    bool ok = false;
    for (uint64_t at = 0; !ok; at += 1 + at / 16) {
        struct watching w = {.stop_at = at, .steps = 2};
        struct job job;
        struct job_run run = {.progress = progress, .cancelled = cancelled, .report = report, .user = &w};
        ok = jobs_try(text, &job, &run);
        cr_expect(ok || jobs.why.kind == PROBLEM_CANCELLED, "%s", jobs.why.detail);
        cr_expect(!ok || (at > 100 && w.done == w.total && w.reports == 4));
        cr_assert_lt(at, 5000);
    }
}

Test(JobsTraining, what_went_away_is_a_problem, .init = jobs_start, .fini = jobs_stop) {
    const char *bytes = npy("|u1", "(12,)", "abcdefghijkl", 12);
    const char *one = train("", "\"outputs\":[\"weights\"]");
    const char *weights = file_of(one, "weights", "", &(struct editing){0});
    const char *texts[] = {request("", stored(bytes)), request("", from(weights, ""))};
    struct job_context c = jobs_context();
    for (unsigned i = 0; i < 2; i++) {
        struct job job;
        struct job_run run = {.slab = jobs.slab, .persistent = jobs.persistent, .pool = jobs.pool};
        jobs.why = (struct problem){0};
        cr_assert(job_make(&job, texts[i], strlen(texts[i]), &c, &jobs.why), "%s", jobs.why.detail);
        cr_assert_eq(job.n_blobs, 1, "it is held for the job");
        cr_assert(blob_remove(jobs.blobs, job.blobs[0], &jobs.why));
        cr_expect_not(job.kind->run(&job, &c, &run, &jobs.why));
        cr_expect_eq(jobs.why.kind, PROBLEM_NOT_FOUND, "%s", jobs.why.detail);
    }
}

/* The witness of the operating system. */
Test(JobsTraining, little_lies_outside_the_slab, .init = jobs_start, .fini = jobs_stop) {
    const char *text =
        "{\"kind\":\"training_step\",\"workload\":{\"model\":{\"family\":\"decoder\",\"layers\":6,\"d_model\":256,"
        "\"heads\":4,\"vocab\":512,\"max_positions\":64},\"seq_len\":64,\"batch\":2,\"optimizer\":\"sgd\"},"
        "\"steps\":2,\"strategy\":\"every_layer\",\"compare_with\":\"standard\"}";
    struct job job;
    struct job_run run = {0};
    cr_assert(jobs_try(text, &job, &run), "%s", jobs.why.detail); /* stacks have their pages now */
    slab_trim(jobs.slab);
    slab_trim(jobs.persistent);
    run = (struct job_run){.idle_rss_bytes = witness_rss_bytes()};
    cr_assert_gt(run.idle_rss_bytes, 0);
    cr_assert(jobs_try(text, &job, &run), "%s", jobs.why.detail);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they have memory of their own beside ours */
    const uint64_t predicted = jobs_number(run.result, "memory/predicted_peak_bytes");
    cr_expect_gt(predicted, (uint64_t)38 << 20, "weights and gradients are 19 MB each");
    cr_expect_leq(jobs_number(run.result, "memory/outside_slab_bytes"), ((uint64_t)8 << 20) + predicted / 50);
#endif
}
