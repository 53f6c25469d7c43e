/* job_calibrate.c - jobs of kind `calibrate`: how fast this machine is at each op that plans are made of. The newest
 * that succeeded is what the device `host` is (plan_device.h); the store keeps its result on its own. */
#include "engine/base/units.h"
#include "engine/exec/slab.h"
#include "server/clock.h"
#include "server/job.h"
#include "server/job_program.h"
#include "server/job_report.h"
#include "server/plan_device.h"
#include "server/wire_calibration.h"
#include "server/witness.h"

#define SECONDS_USUAL 10
#define SECONDS_MAX   600
#define TOKENS_MIN    16
#define TOKENS_MAX    8192
#define DTYPES_RUN    2
#define COPY_LEAST    ((uint64_t)1 << 20)

struct calibration {
    double seconds;
    struct measure_size size;
    struct measure *cases; /* DTYPES_RUN of each; those that do not run are left out */
    unsigned n_cases;
    uint64_t peak_bytes, slab_bytes, persistent_bytes; /* the most of any case */
};

/* Where less than the usual copy fits, the largest power of two that does. A worker, whose limit is what was admitted,
 * comes to the same. */
static uint64_t copy_bytes(uint64_t limit_bytes) {
    uint64_t bytes = measure_size_usual.copy_bytes;
    while (bytes > COPY_LEAST && 2 * bytes + WITNESS_OUTSIDE_BYTES > limit_bytes)
        bytes /= 2;
    return bytes;
}

static bool read(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why) {
    static const char *const fields[] = {"kind", "seconds", "tokens", NULL};
    struct calibration *k = arena_new(c->arena, struct calibration, 1, why);
    if (!k)
        return false;
    *k = (struct calibration){.seconds = SECONDS_USUAL, .size = measure_size_usual};
    k->size.copy_bytes = copy_bytes(c->memory_limit_bytes);
    job->spec = k;
    return wire_object(request, fields, why) &&
           wire_real_of(request, "seconds", 0.001, SECONDS_MAX, &k->seconds, why) &&
           wire_uint_of(request, "tokens", TOKENS_MIN, TOKENS_MAX, &k->size.tokens, why);
}

/* ---- planning ---- */

static void count(struct calibration *k, const struct measure *m) {
    const bool op = m->row < COST_ROWS;
    k->peak_bytes = units_max(k->peak_bytes, m->peak_bytes);
    k->slab_bytes = units_max(k->slab_bytes, op ? m->plan.slab_bytes : m->peak_bytes);
    k->persistent_bytes = units_max(k->persistent_bytes, op ? m->plan.persistent_bytes : 0);
}

static bool cases_plan(struct calibration *k, const struct job_context *c, struct problem *why) {
    static const enum dtype dtypes[DTYPES_RUN] = {DTYPE_FLOAT32, DTYPE_BFLOAT16};
    k->cases = arena_new(c->arena, struct measure, (size_t)measure_cases * DTYPES_RUN, why);
    if (!k->cases)
        return false;
    for (unsigned i = 0; i < measure_cases * DTYPES_RUN; i++) {
        struct measure *m = &k->cases[k->n_cases];
        if (!measure_plan(i / DTYPES_RUN, &k->size, dtypes[i % DTYPES_RUN], c->threads, c->arena, m, why))
            return false;
        if (!m->runs)
            continue;
        count(k, m);
        k->n_cases++;
    }
    return true;
}

static bool plan(struct job *job, const struct job_context *c, struct problem *why) {
    struct calibration *k = job->spec;
    struct wire_out o;
    if (!cases_plan(k, c, why) || !job_admit(job, k->peak_bytes, c, why))
        return false;
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    wire_put_string(&o, "strategy", "standard");
    wire_put_uint(&o, "peak_bytes", k->peak_bytes);
    wire_put_uint(&o, "slab_bytes", k->slab_bytes);
    wire_put_uint(&o, "persistent_bytes", k->persistent_bytes);
    wire_put_uint(&o, "admission_bytes", job->admission_bytes);
    wire_close(&o, '}');
    job->planned = wire_text(&o, NULL);
    return job->planned != NULL;
}

/* ---- running ---- */

struct measured {
    struct wire_calibration table;
    struct wire_calibration_line *lines;
    uint64_t peak_bytes, rss_bytes; /* the most there was */
};

static void tell(const struct job_run *r, const struct wire_calibration_line *line) {
    const struct wire_calibration none = {0};
    struct problem why = {0};
    struct arena scratch;
    struct wire_out o;
    if (!r->report)
        return;
    arena_init(&scratch, 0);
    wire_out_init(&o, &scratch, &why);
    wire_calibration_line_put(&o, &none, line);
    const char *text = wire_text(&o, NULL);
    if (text)
        r->report(r->user, text);
    arena_free(&scratch);
}

/* Each case has the slab to itself: what the one before it held is given back first. */
static bool case_run(const struct measure *m, const struct job_run *r, uint64_t share_ns, struct measured *out,
                     struct problem *why) {
    const struct measure_options options = {.slab = r->slab,
                                            .persistent = r->persistent,
                                            .pool = r->pool,
                                            .now_ns = clock_now_ns,
                                            .share_ns = share_ns,
                                            .cancelled = r->cancelled,
                                            .user = r->user};
    struct measure_figures f;
    slab_trim(r->slab);
    slab_trim(r->persistent);
    if (!measure_run(m, &options, &f, why))
        return false;
    if (f.peak_bytes != m->peak_bytes)
        return problem_set(why, PROBLEM_WITNESS, "", "the run used %llu bytes where its plan has %llu",
                           (unsigned long long)f.peak_bytes, (unsigned long long)m->peak_bytes);
    out->peak_bytes = units_max(out->peak_bytes, f.peak_bytes);
    out->rss_bytes = units_max(out->rss_bytes, witness_rss_bytes());
    for (unsigned phase = 0; phase < m->n_phases; phase++) {
        struct wire_calibration_line *line = &out->lines[out->table.n++];
        *line = (struct wire_calibration_line){.row = m->row,
                                               .dtype = m->dtype,
                                               .backward = phase == 1,
                                               .shape = m->shape,
                                               .rounds = f.rounds,
                                               .flops = m->flops[phase],
                                               .bytes = m->bytes[phase],
                                               .seconds = f.seconds[phase]};
        tell(r, line);
    }
    return true;
}

/* What is left of the time is shared among the cases that are left. */
static bool cases_run(const struct calibration *k, struct job_run *r, struct measured *out, struct problem *why) {
    const uint64_t end_ns = clock_now_ns() + (uint64_t)(k->seconds * 1e9);
    for (unsigned i = 0; i < k->n_cases; i++) {
        const uint64_t now_ns = clock_now_ns(), left_ns = now_ns < end_ns ? end_ns - now_ns : 0;
        if (r->progress)
            r->progress(r->user, i, k->n_cases);
        if (!case_run(&k->cases[i], r, left_ns / (k->n_cases - i), out, why))
            return false;
    }
    if (r->progress)
        r->progress(r->user, k->n_cases, k->n_cases);
    return true;
}

static void memory_put(struct wire_out *o, const struct calibration *k, const struct job_run *r,
                       const struct measured *m) {
    wire_open(o, "memory", '{');
    wire_put_uint(o, "predicted_peak_bytes", k->peak_bytes);
    wire_put_uint(o, "measured_peak_bytes", m->peak_bytes);
    wire_put_uint(o, "rss_growth_bytes", m->rss_bytes > r->idle_rss_bytes ? m->rss_bytes - r->idle_rss_bytes : 0);
    wire_close(o, '}');
}

static bool run(const struct job *job, const struct job_context *c, struct job_run *r, struct problem *why) {
    const struct calibration *k = job->spec;
    const uint64_t begun_ns = clock_now_ns();
    struct measured m = {.lines = arena_new(c->arena, struct wire_calibration_line, (size_t)k->n_cases * 2, why)};
    struct wire_out o;
    if (!m.lines || !cases_run(k, r, &m, why))
        return false;
    m.table.lines = m.lines;
    wire_calibration_sum(&m.table);
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    wire_put_uint(&o, "threads", c->threads);
    wire_put_uint(&o, "tokens", k->size.tokens);
    wire_put_uint(&o, "memory_bytes", c->host ? c->host->memory_bytes : c->memory_limit_bytes);
    wire_calibration_put(&o, &m.table);
    memory_put(&o, k, r, &m);
    wire_open(&o, "time", '{');
    wire_put_real(&o, "seconds", (double)(clock_now_ns() - begun_ns) * 1e-9);
    wire_close(&o, '}');
    wire_close(&o, '}');
    r->result = wire_text(&o, NULL);
    return r->result != NULL;
}

const struct job_kind job_calibrate = {.name = "calibrate",
                                       .description = "how fast this machine is at each op: the device `host`",
                                       .read = read,
                                       .plan = plan,
                                       .run = run};
