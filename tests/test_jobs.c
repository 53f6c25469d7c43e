/* test_jobs.c - whole jobs in this process: read, planned, run, compared; every strategy with every mask and dropout.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/witness.h"
#include "tests/support_jobs.h"

static void exact(const char *request, const char *result) {
    cr_expect_eq(jobs_number(result, "memory/predicted_peak_bytes"), jobs_number(result, "memory/measured_peak_bytes"),
                 "%s", request);
    cr_expect_leq(jobs_number(result, "memory/scanned_peak_bytes"), jobs_number(result, "memory/measured_peak_bytes"),
                  "%s", request);
    cr_expect_eq(jobs_number(result, "numerics/nan") + jobs_number(result, "numerics/inf"), 0, "%s", request);
    cr_expect_leq(jobs_number(result, "memory/retained_peak_bytes"), jobs_number(result, "memory/measured_peak_bytes"));
}

/* ---- attention ---- */

static const char *const strategies[] = {"standard", "checkpointed", "flash", "flash_checkpointed"};
static const char *const masks[] = {"\"none\"",
                                    "\"causal\"",
                                    "{\"window\":7}",
                                    "{\"window\":5,\"causal\":false}",
                                    "{\"shape\":[37,41],\"random\":{\"seed\":9}}",
                                    "{\"shape\":[2,1,1,41],\"random\":{\"seed\":9,\"scale\":3}}"};

static const char *attention(const char *strategy, const char *compare, const char *mask, double p) {
    return arena_printf(
        &jobs.arena, &jobs.why,
        "{\"kind\":\"attention\",\"inputs\":{\"q\":{\"shape\":[2,4,37,16],\"random\":{\"seed\":1}},"
        "\"k\":{\"shape\":[2,2,41,16],\"random\":{\"seed\":2}},\"v\":{\"shape\":[2,2,41,16],\"random\":"
        "{\"seed\":3}},\"grad_output\":{\"shape\":[2,4,37,16],\"random\":{\"seed\":4}}},\"mask\":%s,"
        "\"dropout\":{\"p\":%g,\"seed\":5},\"strategy\":\"%s\",\"compare_with\":\"%s\",\"witness\":true}",
        mask, p, strategy, compare);
}

Test(Jobs, attention_every_strategy_mask_and_dropout, .init = jobs_start, .fini = jobs_stop) {
    for (unsigned s = 0; s < 4; s++)
        for (unsigned m = 0; m < sizeof masks / sizeof masks[0]; m++)
            for (unsigned d = 0; d < 2; d++)
                for (unsigned other = 0; other < 4; other++) {
                    const char *request = attention(strategies[s], strategies[other], masks[m], d * 0.3);
                    const char *result = jobs_run(request);
                    bool same_kernel = s / 2 == other / 2;
                    exact(request, result);
                    cr_expect(!same_kernel || strcmp(jobs_at(result, "comparison/identical"), "true") == 0, "%s",
                              request);
                    double difference = jobs_real(result, "comparison/max_abs_diff");
                    cr_expect(same_kernel ? difference == 0 : difference < 1e-4, "%s: %g", request, difference);
                }
}

/* What each strategy holds between forward and backward, to the byte; the lab's order in saved bytes. */
Test(Jobs, attention_saves_what_the_model_says, .init = jobs_start, .fini = jobs_stop) {
    const uint64_t qkv = (2 * 4 * 37 * 16 + 2 * 2 * 2 * 41 * 16) * 4, o = 2 * 4 * 37 * 16 * 4;
    const uint64_t saved[] = {qkv + 2 * 4 * 37 * 41 * 4, qkv, qkv + o + 2 * 4 * 37 * 4, qkv};
    for (unsigned s = 0; s < 4; s++) {
        const char *result = jobs_run(attention(strategies[s], "standard", "\"none\"", 0));
        cr_expect_eq(jobs_number(result, "memory/saved_bytes"), saved[s], "%s", strategies[s]);
        cr_assert_float_eq(jobs_real(result, "comparison/saved_bytes_saved_pct"),
                           100 * (1 - (double)saved[s] / (double)saved[0]), 1e-9);
        cr_assert_float_eq(jobs_real(result, "comparison/compute_overhead_pct"), s == 1 || s == 3 ? 100.0 / 3 : 0,
                           1e-9);
    }
}

Test(Jobs, what_came_from_a_seed_can_be_sent_back, .init = jobs_start, .fini = jobs_stop) {
    const char *result = jobs_run(attention("checkpointed", "standard", masks[4], 0.2));
    const char *again = jobs_run(arena_printf(
        &jobs.arena, &jobs.why,
        "{\"kind\":\"attention\",\"inputs\":{\"q\":{\"tensor\":%s},\"k\":{\"tensor\":%s},\"v\":{\"tensor\":%s},"
        "\"grad_output\":{\"tensor\":%s}},\"mask\":{\"tensor\":%s},\"dropout\":{\"p\":0.2,\"seed\":5},"
        "\"strategy\":\"standard\"}",
        jobs_at(result, "inputs/q/tensor"), jobs_at(result, "inputs/k/tensor"), jobs_at(result, "inputs/v/tensor"),
        jobs_at(result, "inputs/grad_output/tensor"), jobs_at(result, "inputs/mask/tensor")));
    cr_expect_str_eq(jobs_at(result, "outputs"), jobs_at(again, "outputs"), "the same digests");
    cr_expect_str_eq(jobs_at(again, "inputs"), "{}");
}

Test(Jobs, threads_do_not_show, .init = jobs_start, .fini = jobs_stop) {
    for (unsigned s = 0; s < 4; s++) {
        const char *request = attention(strategies[s], "standard", "\"causal\"", 0.1), *result[2];
        for (unsigned t = 0; t < 2; t++) {
            jobs_threads(t + 1);
            result[t] = jobs_run(request);
        }
        cr_expect_str_eq(jobs_at(result[0], "outputs"), jobs_at(result[1], "outputs"), "%s", strategies[s]);
    }
}

Test(Jobs, attention_by_hand, .init = jobs_start, .fini = jobs_stop) {
    uint64_t n;
    /* one query that sees two keys with scores 0 and ln 3: weights 1/4 and 3/4 */
    const char *result =
        jobs_run("{\"kind\":\"attention\",\"inputs\":{\"q\":[[1,0]],\"k\":[[0,0],[1.0986122886681098,0]],"
                 "\"v\":[[4,8],[0,4]]},\"scale\":1,\"strategy\":\"standard\"}");
    float *o = jobs_output(result, "output", &n);
    cr_assert_eq(n, 2);
    cr_expect(fabsf(o[0] - 1) < 1e-6f && fabsf(o[1] - 5) < 1e-6f, "%g %g", (double)o[0], (double)o[1]);
    float *dv = jobs_output(result, "grad_v", &n);
    cr_expect(n == 4 && fabsf(dv[0] - 0.25f) < 1e-6f && fabsf(dv[3] - 0.75f) < 1e-6f);
    cr_expect_str_eq(jobs_at(result, "outputs/output/shape"), "[1,2]");
    /* a row that may see nothing is zeros, its gradients too */
    result =
        jobs_run("{\"kind\":\"attention\",\"inputs\":{\"q\":[[1,2]],\"k\":[[1,2]],\"v\":[[3,4]]},\"mask\":[[false]]}");
    cr_expect(jobs_output(result, "output", &n)[0] == 0 && jobs_output(result, "grad_v", &n)[0] == 0);
    cr_expect_eq(jobs_number(result, "numerics/nan"), 0);
}

Test(Jobs, not_a_number_is_counted_and_compared, .init = jobs_start, .fini = jobs_stop) {
    const char *result =
        jobs_run("{\"kind\":\"attention\",\"inputs\":{\"q\":[[3e38,3e38]],\"k\":[[3e38,3e38]],\"v\":[[1,2]]},"
                 "\"compare_with\":\"standard\"}");
    cr_expect_gt(jobs_number(result, "numerics/nan") + jobs_number(result, "numerics/inf"), 0);
    cr_expect_str_eq(jobs_at(result, "comparison/identical"), "true");
    cr_expect_eq(jobs_real(result, "comparison/max_abs_diff"), 0);
}

/* More budget is never worse; one byte less than the least is refused, and that least is named. */
Test(Jobs, auto_takes_the_fastest_that_fits, .init = jobs_start, .fini = jobs_stop) {
    const char *form =
        "{\"kind\":\"attention\",\"inputs\":{\"q\":{\"shape\":[64,16],\"random\":{\"seed\":1}},\"k\":{\"shape\":"
        "[64,16],\"random\":{\"seed\":2}},\"v\":{\"shape\":[64,16],\"random\":{\"seed\":3}}},"
        "\"strategy\":\"auto\",\"budget_bytes\":%llu}";
    struct job job;
    struct job_run run = {0};
    cr_assert_not(jobs_try(arena_printf(&jobs.arena, &jobs.why, form, 1ull), &job, &run));
    cr_assert_eq(jobs.why.kind, PROBLEM_BUDGET);
    uint64_t least = jobs.why.minimum_budget_bytes, last_flops = UINT64_MAX;
    cr_assert_not(jobs_try(arena_printf(&jobs.arena, &jobs.why, form, (unsigned long long)least - 1), &job, &run));
    cr_expect(jobs.why.kind == PROBLEM_BUDGET && jobs.why.minimum_budget_bytes == least);
    for (uint64_t budget = least; budget < 4 * least; budget += least / 8) {
        const char *result = jobs_run(arena_printf(&jobs.arena, &jobs.why, form, (unsigned long long)budget));
        uint64_t flops = jobs_number(result, "flops/recompute");
        cr_expect_leq(jobs_number(result, "memory/measured_peak_bytes"), budget);
        cr_expect_leq(flops, last_flops);
        last_flops = flops;
    }
}

/* ---- sequential ---- */

#define LAYER                                                                                                          \
    "[{\"name\":\"layer\",\"repeat\":5,\"functions\":[{\"name\":\"residual\",\"functions\":[{\"name\":\"layer_norm\"}" \
    ","                                                                                                                \
    "{\"name\":\"attention\",\"heads\":2,\"kernel\":\"%s\",\"mask\":%s,\"dropout\":{\"p\":%g,\"seed\":3},\"seed\":1}]" \
    "},"                                                                                                               \
    "{\"name\":\"residual\",\"functions\":[{\"name\":\"rms_norm\"},{\"name\":\"ffn\",\"hidden\":24,\"activation\":"    \
    "\"%s\",\"seed\":2},{\"name\":\"dropout\",\"p\":%g,\"seed\":4}]}]}]"

Test(Jobs, sequential_every_strategy_is_standard_in_less_memory, .init = jobs_start, .fini = jobs_stop) {
    static const char *const plans[] = {
        "\"standard\"",
        "\"every_layer\"",
        "{\"name\":\"every_n\",\"n\":2}",
        "{\"name\":\"uniform\",\"k\":2}",
        "{\"name\":\"uniform\",\"segments\":2}",
        "{\"name\":\"block\",\"k\":3}",
        "{\"name\":\"selective\",\"ops\":[\"attention\"]}",
        "{\"name\":\"selective\",\"ops\":[\"attention_core\",\"norm\"]}",
        "{\"name\":\"selective\",\"ops\":[\"gelu\",\"silu\"]}",
        ("{\"name\":\"custom\",\"layers\":[\"keep\",\"checkpoint\",{\"recompute\":[\"mlp\"]},"
         "\"keep\",\"checkpoint\"]}"),
        "\"auto\""};
    static const char *const kernels[] = {"standard", "flash"}, *const activations[] = {"gelu", "silu"};
    for (unsigned s = 0; s < sizeof plans / sizeof plans[0]; s++)
        for (unsigned k = 0; k < 2; k++)
            for (unsigned m = 0; m < 3; m++) {
                double p = (m + k) % 2 * 0.25;
                const char *functions =
                    arena_printf(&jobs.arena, &jobs.why, LAYER, kernels[k], masks[m], p, activations[k], p);
                const char *request = arena_printf(
                    &jobs.arena, &jobs.why,
                    "{\"kind\":\"sequential\",\"input\":{\"shape\":[2,19,12],\"random\":{\"seed\":7}},\"functions\":%s,"
                    "\"strategy\":%s,\"compare_with\":\"standard\",\"witness\":true}",
                    functions, plans[s]);
                const char *result = jobs_run(request);
                exact(request, result);
                cr_expect_str_eq(jobs_at(result, "comparison/identical"), "true", "%s", request);
                cr_expect_geq(jobs_real(result, "comparison/saved_bytes_saved_pct"), 0);
                cr_expect_str_eq(jobs_at(result, "outputs/output/shape"), "[2,19,12]");
                cr_expect_str_eq(jobs_at(result, "outputs/grad_input/shape"), "[2,19,12]");
                cr_assert_str_neq(jobs_at(result, "outputs/grad_parameters/4.1.1.ffn.down.weight/tensor"), "", "%s",
                                  result);
            }
}

Test(Jobs, sequential_lists_ranks_and_given_parameters, .init = jobs_start, .fini = jobs_stop) {
    uint64_t n;
    const char *result =
        jobs_run("{\"kind\":\"sequential\",\"inputs\":[[[1,2]],[[3,4]]],\"functions\":[{\"name\":\"linear\","
                 "\"weight\":[[1,1]],\"bias\":[10]}],\"grad_outputs\":[[[1]],[[2]]]}");
    cr_expect_eq(jobs_output(result, "output/0", &n)[0], 13);
    cr_expect_eq(jobs_output(result, "output/1", &n)[0], 17);
    cr_expect_str_eq(jobs_at(result, "outputs/output/0/shape"), "[1,1]");
    float *weight = jobs_output(result, "grad_parameters/0.linear.weight", &n);
    cr_expect(n == 2 && weight[0] == 1 * 1 + 2 * 3 && weight[1] == 1 * 2 + 2 * 4);
    cr_expect_eq(jobs_output(result, "grad_parameters/0.linear.bias", &n)[0], 3);
    float *input = jobs_output(result, "grad_input/1", &n);
    cr_expect(n == 2 && input[0] == 2 && input[1] == 2);
    cr_expect_str_eq(jobs_at(result, "inputs"), "{}", "everything was given");
    result =
        jobs_run("{\"kind\":\"sequential\",\"inputs\":[[[1,2]],[[3,4]]],\"functions\":[{\"name\":\"add\"},{\"name\":"
                 "\"scale\",\"value\":-2}]}");
    cr_expect(jobs_output(result, "output", &n)[1] == -12 && n == 2);
    result =
        jobs_run("{\"kind\":\"sequential\",\"input\":[[1,-2]],\"functions\":[{\"name\":\"relu\"}],\"backward\":false}");
    cr_expect_eq(jobs_output(result, "output", &n)[1], 0);
    cr_expect_str_eq(jobs_at(result, "outputs/grad_input"), "");
}

Test(Jobs, seeded_parameters_can_be_sent_back, .init = jobs_start, .fini = jobs_stop) {
    const char *first =
        jobs_run("{\"kind\":\"sequential\",\"input\":{\"shape\":[3,4],\"random\":{\"seed\":1}},\"functions\":"
                 "[{\"name\":\"linear\",\"out\":5,\"seed\":8}]}");
    const char *again = jobs_run(
        arena_printf(&jobs.arena, &jobs.why,
                     "{\"kind\":\"sequential\",\"input\":{\"tensor\":%s},\"functions\":[{\"name\":\"linear\","
                     "\"weight\":{\"tensor\":%s},"
                     "\"bias\":{\"tensor\":%s}}]}",
                     jobs_at(first, "inputs/input/tensor"), jobs_at(first, "inputs/parameters/0.linear.weight/tensor"),
                     jobs_at(first, "inputs/parameters/0.linear.bias/tensor")));
    cr_expect_str_eq(jobs_at(first, "outputs"), jobs_at(again, "outputs"));
}

/* ---- memory_savings, and what can go wrong ---- */

Test(Jobs, memory_savings_observes_the_closed_form, .init = jobs_start, .fini = jobs_stop) {
    const char *result =
        jobs_run("{\"kind\":\"memory_savings\",\"seq_len\":96,\"d_model\":32,\"num_layers\":5,\"heads\":2}");
    cr_expect_eq(jobs_number(result, "standard_memory_bytes"), 5 * (3 * 96 * 32 + 2 * 96 * 96) * 4);
    cr_expect_eq(jobs_number(result, "checkpointed_memory_bytes"), (5 * 3 * 96 * 32 + 2 * 96 * 96) * 4);
    cr_expect_eq(jobs_number(result, "measured/standard_memory_bytes"), jobs_number(result, "standard_memory_bytes"));
    cr_expect_eq(jobs_number(result, "measured/checkpointed_memory_bytes"),
                 jobs_number(result, "checkpointed_memory_bytes"));
    cr_expect_eq(jobs_number(result, "measured/standard_peak_bytes"),
                 jobs_number(result, "measured/standard_predicted_peak_bytes"));
    cr_assert_float_eq(jobs_real(result, "measured/compute_overhead_pct"), 100.0 / 3, 1e-9);
    cr_expect_str_eq(jobs_at(result, "measured/identical"), "true");
}

struct counting {
    uint64_t calls, stop_at, last_done, last_total, made;
};

static bool cancelled(void *user) {
    struct counting *c = user;
    return c->calls++ >= c->stop_at;
}

static void progress(void *user, uint64_t done, uint64_t total) {
    struct counting *c = user;
    cr_expect_gt(done, c->last_done);
    cr_expect_leq(done, total);
    c->last_done = done;
    c->last_total = total;
}

static bool making(void *user, const char *const *digests, size_t n, struct problem *w) {
    struct counting *c = user;
    (void)w;
    for (size_t i = 0; i < n; i++)
        cr_expect_eq(strlen(digests[i]), 71);
    c->made += n;
    return true;
}

Test(Jobs, jobs_can_be_stopped_at_any_step_and_report_progress, .init = jobs_start, .fini = jobs_stop) {
    const char *requests[] = {attention("checkpointed", "standard", "\"causal\"", 0),
                              "{\"kind\":\"memory_savings\",\"seq_len\":8,\"d_model\":4,\"num_layers\":2}"};
    for (unsigned r = 0; r < 2; r++) {
        bool ok = false;
        for (uint64_t at_step = 0; !ok; at_step++) {
            struct counting c = {.stop_at = at_step};
            struct job job;
            struct job_run run = {.progress = progress, .cancelled = cancelled, .making = making, .user = &c};
            ok = jobs_try(requests[r], &job, &run);
            cr_expect(ok || jobs.why.kind == PROBLEM_CANCELLED, "%s", jobs.why.detail);
            cr_expect(!ok || (at_step > 4 && c.last_done == c.last_total), "%llu of %llu",
                      (unsigned long long)c.last_done, (unsigned long long)c.last_total);
            cr_expect(!ok || r || c.made == 4 + 4, "%llu", (unsigned long long)c.made);
            cr_assert_lt(at_step, 200);
        }
    }
}

Test(Jobs, a_tensor_that_went_away_is_a_problem, .init = jobs_start, .fini = jobs_stop) {
    const char *result = jobs_run(attention("flash", "flash", "\"none\"", 0));
    char digest[BLOB_DIGEST_SIZE];
    struct job job;
    struct job_run run = {.slab = jobs.slab, .persistent = jobs.persistent, .pool = jobs.pool};
    struct job_context c = jobs_context();
    cr_assert(sscanf(jobs_at(result, "inputs/q/tensor"), "\"%71[^\"]", digest) == 1);
    const char *request =
        arena_printf(&jobs.arena, &jobs.why,
                     "{\"kind\":\"sequential\",\"input\":{\"shape\":[1,2],\"data\":[1,2]},\"functions\":"
                     "[{\"name\":\"linear\",\"weight\":{\"shape\":[1,2],\"random\":{\"seed\":1}}},"
                     "{\"name\":\"relu\"}],\"grad_output\":[[1]]}");
    cr_assert(jobs_try(request, &job, &run));
    request = arena_printf(&jobs.arena, &jobs.why,
                           "{\"kind\":\"attention\",\"inputs\":{\"q\":{\"tensor\":\"%s\"},\"k\":{\"tensor\":"
                           "\"%s\"},\"v\":{\"tensor\":\"%s\"}}}",
                           digest, digest, digest);
    cr_assert(job_make(&job, request, strlen(request), &c, &jobs.why), "%s", jobs.why.detail);
    cr_expect_eq(job.n_blobs, 3);
    cr_assert(blob_remove(jobs.blobs, digest, &jobs.why));
    cr_expect_not(job.kind->run(&job, &c, &run, &jobs.why));
    cr_expect_eq(jobs.why.kind, PROBLEM_NOT_FOUND, "%s", jobs.why.detail);
}

/* The witness of the operating system: what a job takes beyond its slab stays within what admission adds for it. */
Test(Jobs, little_lies_outside_the_slab, .init = jobs_start, .fini = jobs_stop) {
    const char *form =
        "{\"kind\":\"attention\",\"inputs\":{\"q\":{\"shape\":[2,1024,64],\"random\":{\"seed\":1}},\"k\":{\"shape\":"
        "[2,1024,64],\"random\":{\"seed\":2}},\"v\":{\"shape\":[2,1024,64],\"random\":{\"seed\":3}}},"
        "\"strategy\":\"%s\"}";
    struct job job;
    struct job_run run = {0};
    cr_assert(
        jobs_try(arena_printf(&jobs.arena, &jobs.why, form, "standard"), &job, &run)); /* stacks have their pages now */
    for (unsigned s = 0; s < 4; s++) {
        slab_trim(jobs.slab);
        slab_trim(jobs.persistent);
        run = (struct job_run){.idle_rss_bytes = witness_rss_bytes()};
        cr_assert_gt(run.idle_rss_bytes, 0);
        cr_assert(jobs_try(arena_printf(&jobs.arena, &jobs.why, form, strategies[s]), &job, &run));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they have memory of their own beside ours */
        double predicted = jobs_real(run.result, "memory/predicted_peak_bytes");
        double seen = jobs_real(run.result, "memory/rss_growth_bytes");
        cr_expect_leq(jobs_number(run.result, "memory/outside_slab_bytes"), WITNESS_OUTSIDE_BYTES);
        cr_expect(seen > 0.95 * predicted && seen < 1.05 * predicted + (1 << 20), "%s: %g of %g", strategies[s], seen,
                  predicted);
#endif
    }
}
