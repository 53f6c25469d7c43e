/* job_memory_savings.c - jobs of kind `memory_savings`: the lab's figures, and both runs executed to observe them. */
#include <string.h>

#include "engine/base/units.h"
#include "engine/exec/slab.h"
#include "server/clock.h"
#include "server/job.h"
#include "server/job_program.h"
#include "server/wire_savings.h"
#include "server/witness.h"

static bool read(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why) {
    static const char *const fields[] = {"kind",  "seq_len", "d_model",      "num_layers", "heads",
                                         "batch", "dtype",   "budget_bytes", NULL};
    struct wire_savings *spec = arena_new(c->arena, struct wire_savings, 1, why);
    struct job_common common;
    if (!spec || !wire_object(request, fields, why))
        return false;
    struct {
        const char *name;
        uint64_t *to;
        bool required;
    } numbers[] = {{"seq_len", &spec->seq_len, true},
                   {"d_model", &spec->d_model, true},
                   {"num_layers", &spec->num_layers, true},
                   {"heads", &spec->heads, false},
                   {"batch", &spec->batch, false}};
    struct wire_value v;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].required && !wire_need(request, numbers[i].name, &v, why))
            return false;
        if (!wire_uint_of(request, numbers[i].name, 1, WIRE_INTEGER_MAX, numbers[i].to, why))
            return false;
    }
    if (!job_common_read(request, &common, why))
        return false;
    spec->budget_bytes = common.budget_bytes;
    job->spec = spec;
    return true;
}

static bool plan(struct job *job, const struct job_context *c, struct problem *why) {
    const struct wire_savings *spec = job->spec;
    struct remat_savings_options options = {.plan = true, .run = {.threads = c->threads}};
    struct remat_memory_savings figures;
    if (!wire_savings_measure(spec, &options, &figures, why))
        return false;
    uint64_t peak = figures.measured.checkpointed_predicted_peak_bytes;
    uint64_t standard = figures.measured.standard_predicted_peak_bytes;
    if (spec->budget_bytes && peak > spec->budget_bytes) {
        problem_set(why, PROBLEM_BUDGET, "/budget_bytes", "the checkpointed run needs %llu bytes",
                    (unsigned long long)peak);
        why->minimum_budget_bytes = peak;
        return false;
    }
    if (!job_admit(job, units_max(peak, standard), c, why))
        return false;
    struct wire_out o;
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    wire_put_string(&o, "strategy", "checkpointed");
    wire_put_uint(&o, "peak_bytes", peak);
    wire_put_uint(&o, "slab_bytes", peak);
    wire_put_uint(&o, "retained_peak_bytes", figures.checkpointed_memory_bytes);
    wire_put_uint(&o, "persistent_bytes", 0);
    wire_put_uint(&o, "standard_peak_bytes", standard);
    wire_put_uint(&o, "admission_bytes", job->admission_bytes);
    wire_close(&o, '}');
    job->planned = wire_text(&o, NULL);
    return job->planned != NULL;
}

struct watch {
    struct job_run *run;
    uint64_t before, last; /* steps of the run that has ended, steps of this one so far */
};

static bool cancelled(void *user) {
    const struct watch *w = user;
    return w->run->cancelled && w->run->cancelled(w->run->user);
}

/* Two runs one after the other, short ones twice; the next begins where the count goes back. How many steps are to come
 * is not known before. */
static void progress(void *user, uint32_t done, uint32_t total) {
    struct watch *w = user;
    if (done < w->last)
        w->before += w->last;
    w->last = done;
    if (w->run->progress)
        w->run->progress(w->run->user, w->before + done, w->before ? w->before + total : 2 * (uint64_t)total);
}

static bool run(const struct job *job, const struct job_context *c, struct job_run *r, struct problem *why) {
    const struct wire_savings *spec = job->spec;
    struct watch watch = {.run = r};
    struct remat_savings_options options = {.execute = true,
                                            .run = {.threads = c->threads, .now_ns = clock_now_ns},
                                            .cancelled = cancelled,
                                            .progress = progress,
                                            .user = &watch};
    struct remat_memory_savings figures;
    struct wire_out o;
    slab_trim(r->slab); /* the measurement has a slab of its own */
    slab_trim(r->persistent);
    if (!wire_savings_measure(spec, &options, &figures, why))
        return false;
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    wire_savings_put(&o, &figures);
    wire_open(&o, "measured", '{');
    wire_put_uint(&o, "standard_memory_bytes", figures.measured.standard_memory_bytes);
    wire_put_uint(&o, "checkpointed_memory_bytes", figures.measured.checkpointed_memory_bytes);
    wire_put_uint(&o, "standard_peak_bytes", figures.measured.standard_peak_bytes);
    wire_put_uint(&o, "checkpointed_peak_bytes", figures.measured.checkpointed_peak_bytes);
    wire_put_uint(&o, "standard_predicted_peak_bytes", figures.measured.standard_predicted_peak_bytes);
    wire_put_uint(&o, "checkpointed_predicted_peak_bytes", figures.measured.checkpointed_predicted_peak_bytes);
    wire_put_real(&o, "compute_overhead_pct", figures.measured.compute_overhead_pct);
    wire_put_real(&o, "time_overhead_pct", figures.measured.time_overhead_pct);
    wire_put_real(&o, "standard_seconds", (double)figures.measured.standard_ns * 1e-9);
    wire_put_real(&o, "checkpointed_seconds", (double)figures.measured.checkpointed_ns * 1e-9);
    wire_put_bool(&o, "identical", figures.measured.identical);
    wire_close(&o, '}');
    wire_close(&o, '}');
    r->result = wire_text(&o, NULL);
    return r->result != NULL;
}

const struct job_kind job_memory_savings = {.name = "memory_savings",
                                            .description = "what checkpointing saves a stack of attention layers",
                                            .read = read,
                                            .plan = plan,
                                            .run = run};
