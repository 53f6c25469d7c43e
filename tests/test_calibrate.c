/* test_calibrate.c - the machine as a device: what is measured, how it is written and read again, and plans that use
 * it.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/plan_cache.h"
#include "server/plan_device.h"
#include "server/wire_calibration.h"
#include "tests/support_jobs.h"

/* ---- measuring ---- */

static const struct measure_size small = {
    .tokens = 16, .width = 32, .hidden = 64, .vocab = 40, .heads = 4, .piece = 4096, .copy_bytes = 16384};

/* A clock of its own: each look is a thousand nanoseconds later. */
static uint64_t ticks;
static uint64_t tick_ns(void) {
    return ticks += 1000;
}

static bool seen[MEASURE_UPDATE + 1][2][2]; /* row, dtype, phase */

static void measured_check(const struct measure *m, const struct measure_figures *f, unsigned rounds) {
    const char *name = measure_row_name(m->row);
    cr_expect_eq(f->peak_bytes, m->peak_bytes, "%s", name);
    cr_expect_eq(f->rounds, rounds, "%s: %u rounds", name, f->rounds);
    cr_expect(*m->shape, "%s", name);
    for (unsigned phase = 0; phase < m->n_phases; phase++) {
        seen[m->row][m->dtype == DTYPE_BFLOAT16][phase] = true;
        cr_expect_float_eq(f->seconds[phase], 1e-6, 1e-15, "%s: an op is between two looks at the clock", name);
        cr_expect_gt(m->bytes[phase], 0, "%s", name);
    }
}

static void measure_all(uint64_t share_ns, unsigned rounds) {
    const struct measure_options options = {
        .slab = jobs.slab, .persistent = jobs.persistent, .pool = jobs.pool, .now_ns = tick_ns, .share_ns = share_ns};
    for (unsigned i = 0; i < measure_cases * 2; i++) {
        struct measure m;
        struct measure_figures f;
        cr_assert(measure_plan(i / 2, &small, i % 2 ? DTYPE_BFLOAT16 : DTYPE_FLOAT32, jobs.threads, &jobs.arena, &m,
                               &jobs.why),
                  "%u: %s at %s", i, jobs.why.detail, jobs.why.where);
        cr_assert(m.runs, "%s", measure_row_name(m.row));
        cr_assert(measure_run(&m, &options, &f, &jobs.why), "%s: %s", measure_row_name(m.row), jobs.why.detail);
        measured_check(&m, &f, rounds);
    }
}

/* Rows of ops that few models have, and that have no case: they cost as linear or the copy does. */
static bool is_left_out(unsigned row) {
    static const enum op_kind rare[] = {OP_ATTENTION,  OP_ROUTE,       OP_DISPATCH,     OP_EXPERT_LINEAR, OP_COMBINE,
                                        OP_TOKEN_GATE, OP_PREPEND,     OP_TAKE_TOKEN,   OP_CONVOLUTION,   OP_SPLIT,
                                        OP_FUNCTION,   OP_LATENT_KEYS, OP_RELATIVE_BIAS};
    for (unsigned i = 0; i < sizeof rare / sizeof rare[0]; i++)
        if (row == rare[i])
            return true;
    return false;
}

Test(Calibrate, every_row_is_measured_in_exactly_its_plan, .init = jobs_start, .fini = jobs_stop) {
    measure_all(0, 1);
    for (unsigned row = 0; row <= MEASURE_UPDATE; row++)
        for (unsigned d = 0; d < 2; d++)
            for (unsigned phase = 0; phase < (row < COST_ROWS ? 2u : 1u); phase++)
                cr_expect(seen[row][d][phase] || is_left_out(row), "%s, dtype %u, phase %u", measure_row_name(row), d,
                          phase);
}

Test(Calibrate, more_time_is_more_rounds_to_a_bound, .init = jobs_start, .fini = jobs_stop) {
    measure_all(UINT64_MAX, MEASURE_ROUNDS_MAX);
}

/* ---- the job ---- */

#define SHORT "{\"kind\":\"calibrate\",\"seconds\":0.001,\"tokens\":16}"

Test(Calibrate, a_job_measures_what_it_planned, .init = jobs_start, .fini = jobs_stop) {
    const char *result = jobs_run(SHORT);
    cr_expect_eq(jobs_number(result, "memory/predicted_peak_bytes"), jobs_number(result, "memory/measured_peak_bytes"));
    cr_expect_gt(jobs_number(result, "memory/predicted_peak_bytes"), 0);
    cr_expect_eq(jobs_number(result, "threads"), 2);
    cr_expect_eq(jobs_number(result, "tokens"), 16);
    cr_expect_eq(jobs_number(result, "memory_bytes"), jobs.limit_bytes);
    struct device d = {0};
    cr_assert(wire_calibration_read(result, &jobs.arena, &d, &jobs.why), "%s at %s", jobs.why.detail, jobs.why.where);
    cr_expect_eq(d.float32, jobs_real(result, "peak_flops_per_second/float32"));
    cr_expect_eq(d.bfloat16, jobs_real(result, "peak_flops_per_second/bfloat16"));
    cr_expect_eq(d.bandwidth, jobs_real(result, "copy_bytes_per_second/float32"));
    for (unsigned narrow = 0; narrow < 2; narrow++)
        for (unsigned row = 0; row < COST_ROWS; row++)
            for (unsigned phase = 0; phase < 2; phase++) {
                const struct cost_rate *rate = &d.measured[narrow]->of[row][phase];
                cr_expect(rate->flops > 0 && rate->bytes > 0 && isfinite(rate->bytes), "%s", cost_row_name(row));
                cr_expect_eq((bool)isfinite(rate->flops), cost_row_is_arithmetic(row), "%s", cost_row_name(row));
            }
}

/* The copy takes what it may: a worker, which has what was admitted, plans the same. */
Test(Calibrate, a_worker_plans_what_was_admitted, .init = jobs_start, .fini = jobs_stop) {
    for (uint64_t mib = 24; mib <= 1024; mib = mib * 3 / 2) {
        struct job_context c = {.arena = &jobs.arena, .threads = 2, .memory_limit_bytes = mib << 20};
        struct job front, worker;
        if (!job_make(&front, SHORT, strlen(SHORT), &c, &jobs.why)) {
            cr_expect(jobs.why.kind == PROBLEM_BUDGET && mib < 96, "%llu MiB: %s", (unsigned long long)mib,
                      jobs.why.detail);
            jobs.why = (struct problem){0};
            continue;
        }
        const uint64_t peak = jobs_number(front.planned, "peak_bytes");
        cr_expect(peak <= (uint64_t)256 << 20 && (mib < 272 || peak == (uint64_t)256 << 20), "%llu MiB: %llu",
                  (unsigned long long)mib, (unsigned long long)peak);
        c.memory_limit_bytes = front.admission_bytes;
        cr_assert(job_make(&worker, SHORT, strlen(SHORT), &c, &jobs.why), "%s", jobs.why.detail);
        cr_expect_str_eq(worker.planned, front.planned);
    }
}

static bool is_cancelled(void *user) {
    return --*(int *)user < 0;
}

Test(Calibrate, a_job_stops_between_measurements, .init = jobs_start, .fini = jobs_stop) {
    int left = 5;
    struct job job;
    struct job_run run = {.cancelled = is_cancelled, .user = &left};
    cr_expect_not(jobs_try(SHORT, &job, &run));
    cr_expect_eq(jobs.why.kind, PROBLEM_CANCELLED, "%s", jobs.why.detail);
}

/* ---- the table ---- */

/* A made-up machine: linear forward runs at `product` FLOP/s over both its cases, gelu forward moves 2e9 bytes a
 * second, the copy 1e10. */
static const char *table_text(double product) {
    const struct wire_calibration_line lines[] = {
        {.row = OP_LINEAR, .shape = "a", .rounds = 1, .flops = 3000, .bytes = 10, .seconds = 1000 / product},
        {.row = OP_LINEAR, .shape = "b", .rounds = 1, .flops = 1000, .bytes = 10, .seconds = 3000 / product},
        {.row = OP_LINEAR, .backward = true, .shape = "a", .rounds = 1, .flops = 500, .bytes = 10, .seconds = 1e-6},
        {.row = OP_LINEAR, .dtype = DTYPE_BFLOAT16, .shape = "a", .rounds = 1, .flops = 10, .bytes = 1, .seconds = 1},
        {.row = COST_ATTENTION_STANDARD,
         .shape = "a",
         .rounds = 1,
         .flops = 9000,
         .bytes = 10,
         .seconds = 1000 / product},
        {.row = OP_GELU, .shape = "c", .rounds = 1, .flops = 999, .bytes = 2000, .seconds = 1e-6},
        {.row = MEASURE_COPY, .shape = "d", .rounds = 1, .bytes = 10000, .seconds = 1e-6},
        {.row = MEASURE_COPY, .dtype = DTYPE_BFLOAT16, .shape = "d", .rounds = 1, .bytes = 10000, .seconds = 1e-6}};
    struct wire_calibration c = {.lines = lines, .n = sizeof lines / sizeof lines[0]};
    struct wire_out o;
    wire_calibration_sum(&c);
    wire_out_init(&o, &jobs.arena, &jobs.why);
    wire_open(&o, NULL, '{');
    wire_calibration_put(&o, &c);
    wire_close(&o, '}');
    return wire_text(&o, NULL);
}

Test(Calibrate, what_is_written_is_read_again, .init = jobs_start, .fini = jobs_stop) {
    struct device d = {0};
    cr_assert(wire_calibration_read(table_text(1e9), &jobs.arena, &d, &jobs.why), "%s", jobs.why.detail);
    const struct cost_measured *m = d.measured[0];
    cr_expect_float_eq(d.float32, 3e9, 1, "the best product, which attention is none of");
    cr_expect_float_eq(d.bandwidth, 1e10, 1);
    cr_expect_float_eq(m->of[OP_LINEAR][0].flops, 1e9, 1, "both cases together");
    cr_expect_float_eq(m->of[OP_LINEAR][1].flops, 5e8, 1);
    cr_expect_float_eq(m->of[OP_EXPERT_LINEAR][1].flops, 5e8, 1, "as linear");
    cr_expect_float_eq(m->of[COST_ATTENTION_FLASH][0].flops, 1e9, 1, "as linear");
    cr_expect_float_eq(m->of[OP_LINEAR][0].bytes, 1e10, 1);
    cr_expect_float_eq(m->of[OP_GELU][0].bytes, 2e9, 1);
    cr_expect_float_eq(m->of[OP_GELU][1].bytes, 1e10, 1, "as the copy");
    cr_expect_float_eq(m->of[OP_ADD][0].bytes, 1e10, 1, "as the copy");
    cr_expect_float_eq(d.measured[1]->of[OP_LINEAR][0].flops, 10, 1e-6, "bfloat16 has its own");
    cr_expect_eq(devices_rates(&d, DTYPE_FLOAT16).measured, d.measured[0], "float16 costs as float32");
    for (unsigned row = 0, found; row < COST_ROWS; row++)
        cr_expect(cost_row_find(cost_row_name(row), &found) && found == row, "%s", cost_row_name(row));
}

Test(Calibrate, what_is_no_table_is_refused, .init = jobs_start, .fini = jobs_stop) {
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"ops\":[]}",
        "{\"peak_flops_per_second\":{\"float32\":1e9},\"copy_bytes_per_second\":{\"float32\":1e9,\"bfloat16\":1e9},"
        "\"ops\":[{\"op\":\"linear\"}]}",
        "{\"peak_flops_per_second\":{\"float32\":1e9,\"bfloat16\":1e9},\"copy_bytes_per_second\":{\"float32\":1e9,"
        "\"bfloat16\":1e9},\"ops\":[{\"op\":\"linear\",\"seconds\":0}]}"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct device d = {0};
        jobs.why = (struct problem){0};
        cr_expect_not(wire_calibration_read(texts[i], &jobs.arena, &d, &jobs.why), "%s", texts[i]);
    }
}

/* ---- the device ---- */

static struct store *store;
static struct plan_cache *cache;

static void daemon_start(void) {
    jobs_start();
    cr_assert((store = store_open(jobs.directory, &jobs.why)), "%s", jobs.why.detail);
    cr_assert((cache = plan_cache_new(1 << 22, &jobs.why)));
}

static void daemon_stop(void) {
    plan_cache_free(cache);
    store_close(store);
    jobs_stop();
}

/* A job that ends so. */
static void calibrated(const char *id, enum job_state state, const char *result) {
    struct store_job job = {.kind = "calibrate", .created_ms = 1, .request = "{}", .planned = "{}"}, claimed;
    const struct store_claim claim = {.owner = "w", .now_ms = 2, .lease_ms = 1000, .memory_limit_bytes = 1};
    struct store_lease lease = {.owner = "w"};
    char first[STORE_ID_BYTES];
    enum store_added how;
    bool any = false;
    snprintf(job.id, sizeof job.id, "%s", id);
    cr_assert(store_add(store, &job, &(struct store_filing){0}, first, &how, &jobs.why));
    cr_assert(store_claim(store, &claim, &jobs.arena, &claimed, &any, &jobs.why) && any);
    cr_assert_str_eq(claimed.id, id);
    lease.attempt = claimed.attempts;
    snprintf(lease.id, sizeof lease.id, "%s", id);
    cr_assert(store_finish(store, &lease, state, 1700000000000, &(struct store_progress){0}, result, NULL, &jobs.why),
              "%s", jobs.why.detail);
}

/* The answer of a route, or NULL: the problem is in jobs.why. */
static const char *asked(const struct route *route, const char *body) {
    struct service service = {.store = store, .plans = cache, .memory_limit_bytes = (uint64_t)1 << 33};
    struct request request = {.service = &service,
                              .arena = &jobs.arena,
                              .body = body,
                              .body_bytes = body ? strlen(body) : 0,
                              .raw_query = ""};
    struct response response = {.fd = -1};
    jobs.why = (struct problem){0};
    if (!route->handle(&request, &response, &jobs.why))
        return NULL;
    const char *text = arena_copy(&jobs.arena, response.body, response.body_bytes + 1, &jobs.why);
    if (request.release)
        request.release(request.kept);
    return text;
}

#define PLAN                                                                                                           \
    "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64,\"optimizer\":\"none\"},\"device\":\"host\",\"strategy\":"       \
    "\"every_layer\"}"

static double plan_seconds(void) {
    const char *plan = asked(&api_plans_routes[0], PLAN);
    cr_assert(plan, "%s", jobs.why.detail);
    cr_expect_str_eq(jobs_at(plan, "device"), "\"host\"");
    cr_expect_eq(jobs_number(plan, "budget_bytes"), (uint64_t)1 << 33);
    return jobs_real(plan, "step_seconds");
}

Test(Calibrate, before_it_the_host_is_no_device, .init = daemon_start, .fini = daemon_stop) {
    cr_expect_null(asked(&api_plans_routes[0], PLAN));
    cr_expect_eq(jobs.why.kind, PROBLEM_LIMIT);
    cr_expect_str_eq(jobs.why.where, "/device");
    cr_expect(strstr(jobs.why.detail, "calibrate"), "%s", jobs.why.detail);
    const char *list = asked(&api_models_routes[1], NULL);
    cr_assert(list);
    cr_expect_str_neq(jobs_at(list, "devices/0/name"), "\"host\"");
    calibrated("failed", JOB_FAILED, NULL);
    cr_expect_null(asked(&api_plans_routes[0], PLAN));
}

Test(Calibrate, plans_on_the_host_use_the_newest_table, .init = daemon_start, .fini = daemon_stop) {
    calibrated("first", JOB_SUCCEEDED, table_text(1e9));
    const double slow = plan_seconds();
    cr_expect_eq(plan_seconds(), slow, "the same question, the same answer");
    calibrated("second", JOB_SUCCEEDED, table_text(1e12));
    const double fast = plan_seconds();
    cr_expect_lt(fast, slow, "a kept answer is not given: %g, %g", fast, slow);
    cr_expect_eq(plan_cache_figures(cache).names, 0, "such answers are not kept");
    const char *list = asked(&api_models_routes[1], NULL);
    cr_expect_str_eq(jobs_at(list, "devices/0/name"), "\"host\"");
    cr_expect_str_eq(jobs_at(list, "devices/0/source"), "\"calibrated by job second at 2023-11-14T22:13:20Z\"");
    cr_expect_eq(jobs_number(list, "devices/0/memory_bytes"), (uint64_t)1 << 33);
}

/* Of another release, say: then it is as if there was none. */
Test(Calibrate, a_table_that_cannot_be_read_is_none, .init = daemon_start, .fini = daemon_stop) {
    calibrated("first", JOB_SUCCEEDED, "{\"ops\":[]}");
    cr_expect_null(asked(&api_plans_routes[0], PLAN));
    cr_expect(jobs.why.kind == PROBLEM_LIMIT && strcmp(jobs.why.where, "/device") == 0, "%s", jobs.why.detail);
    const char *list = asked(&api_models_routes[1], NULL);
    cr_assert(list, "%s", jobs.why.detail);
    cr_expect_str_neq(jobs_at(list, "devices/0/name"), "\"host\"");
}

static void gone(void *context, const char *digest) {
    (void)context;
    (void)digest;
}

Test(Calibrate, the_table_outlives_its_job, .init = daemon_start, .fini = daemon_stop) {
    calibrated("first", JOB_SUCCEEDED, table_text(1e9));
    const double seconds = plan_seconds();
    calibrated("later", JOB_FAILED, NULL);
    cr_assert(store_remove(store, "first", gone, NULL, &jobs.why));
    cr_expect_eq(plan_seconds(), seconds);
    store_close(store);
    cr_assert((store = store_open(jobs.directory, &jobs.why)));
    cr_expect_eq(plan_seconds(), seconds);
}

/* Twice as fast products: what they bound is half as long, and nothing else changes. */
Test(Calibrate, an_op_costs_by_its_own_row, .init = jobs_start, .fini = jobs_stop) {
    struct device d = {0};
    struct measure linear, gelu;
    const struct measure_size size = {
        .tokens = 512, .width = 512, .hidden = 512, .vocab = 8, .heads = 8, .piece = 64, .copy_bytes = 64};
    for (unsigned i = 0; i < measure_cases; i++) {
        struct measure m;
        cr_assert(measure_plan(i, &size, DTYPE_FLOAT32, 1, &jobs.arena, &m, &jobs.why));
        struct measure *to = m.row == OP_LINEAR ? &linear : &gelu;
        if (m.row == OP_LINEAR || m.row == OP_GELU)
            *to = m;
    }
    const struct step run = {STEP_RUN, 0};
    double seconds[2][2];
    for (unsigned fast = 0; fast < 2; fast++) {
        cr_assert(wire_calibration_read(table_text(fast ? 2e9 : 1e9), &jobs.arena, &d, &jobs.why));
        const struct cost_rates rates = devices_rates(&d, DTYPE_FLOAT32);
        seconds[fast][0] = cost_seconds(&linear.graph, &run, &rates);
        seconds[fast][1] = cost_seconds(&gelu.graph, &run, &rates);
    }
    cr_expect_float_eq(seconds[0][0], (double)linear.flops[0] / 1e9, 1e-12);
    cr_expect_float_eq(seconds[1][0], (double)linear.flops[0] / 2e9, 1e-12);
    cr_expect_float_eq(seconds[0][1], (double)gelu.bytes[0] / 2e9, 1e-15);
    cr_expect_eq(seconds[0][1], seconds[1][1]);
}
