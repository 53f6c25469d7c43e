/* job_program_run.c - runs a program and its comparison in a worker; see job_program.h.
 *
 * The outputs become files before the comparison runs, so that the two never need memory at the same time. */
#include <string.h>

#include "engine/exec/exec.h"
#include "server/clock.h"
#include "server/job_report.h"
#include "server/job_result.h"
#include "server/witness.h"

struct running {
    const struct job_context *c;
    struct job_run *run;
    const struct job_program *program;
    struct job_staged staged;
    struct job_file *made;        /* by feed: what came from a seed, once it has been made */
    uint64_t before_steps, steps; /* of the whole job, for progress */
};

static bool seeded(const struct job_feed *feed) {
    return feed->tensor ? feed->tensor->kind == WIRE_TENSOR_RANDOM : true;
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    struct running *r = user;
    const struct job_program *p = r->program;
    if (p->feed_of[value] == 0)
        return problem_set(why, PROBLEM_INTERNAL, "", "value %u of the graph has no source", value);
    uint32_t index = p->feed_of[value] - 1;
    const struct job_feed *feed = &p->feeds[index];
    if (r->made[index].digest[0]) /* the comparison: made before, and reading is faster */
        return job_file_load(&r->made[index], dst, r->c, why);
    if (feed->tensor) {
        if (!wire_tensor_load(feed->tensor, r->c->blobs, dst, why))
            return false;
    } else {
        stack_origin_fill(feed->origin, dst, p->graph.tensors[value].elements);
    }
    return !seeded(feed) || job_file_write(&r->made[index], index, dst, &r->staged, r->c, r->run, why);
}

static bool cancelled(void *user) {
    const struct running *r = user;
    return r->run->cancelled && r->run->cancelled(r->run->user);
}

static void progress(void *user, uint32_t done, uint32_t total) {
    const struct running *r = user;
    (void)total;
    if (r->run->progress)
        r->run->progress(r->run->user, r->before_steps + done, r->steps);
}

/* An executor that has run to the end: its outputs are where exec_value says. */
static struct exec *execute(struct running *r, bool witness, struct exec_report *report, uint64_t *rss_bytes,
                            struct problem *why) {
    struct exec_options options = {.pool = r->run->pool,
                                   .load = load,
                                   .user = r,
                                   .now_ns = clock_now_ns,
                                   .cancelled = cancelled,
                                   .progress = progress,
                                   .witness = witness};
    const struct plan *plan = &r->program->plan;
    struct exec *e = exec_new(plan, r->run->slab, r->run->persistent, &options, why);
    if (e && exec_run(e, plan->n_steps, why)) {
        *rss_bytes = witness_rss_bytes();
        if (exec_finish(e, report, why)) {
            if (report->measured_peak_bytes == plan->peak_bytes)
                return e;
            problem_set(why, PROBLEM_WITNESS, "", "the run used %llu bytes where its plan has %llu",
                        (unsigned long long)report->measured_peak_bytes, (unsigned long long)plan->peak_bytes);
        }
    }
    exec_free(e);
    return NULL;
}

static struct job_file *files_for_feeds(const struct job_program *p, struct arena *a, struct problem *why) {
    struct job_file *files = arena_new(a, struct job_file, p->n_feeds, why);
    for (uint32_t i = 0; files && i < p->n_feeds; i++) {
        files[i] = (struct job_file){.group = p->feeds[i].group, .name = p->feeds[i].name, .rank = p->feeds[i].rank};
        memcpy(files[i].shape, p->feeds[i].shape, sizeof files[i].shape);
    }
    return files;
}

static struct job_file *files_for_yields(const struct job_program *p, struct arena *a, struct problem *why) {
    struct job_file *files = arena_new(a, struct job_file, p->n_yields, why);
    for (uint32_t i = 0; files && i < p->n_yields; i++) {
        files[i] = (struct job_file){.group = p->yields[i].group, .name = p->yields[i].name, .rank = p->yields[i].rank};
        memcpy(files[i].shape, p->yields[i].shape, sizeof files[i].shape);
    }
    return files;
}

static uint32_t index_in_group(const struct job_program *p, uint32_t yield) {
    uint32_t first = yield;
    while (first > 0 && p->yields[first - 1].group && p->yields[first].group &&
           strcmp(p->yields[first - 1].group, p->yields[first].group) == 0)
        first--;
    return yield - first;
}

static bool outputs_write(struct running *r, const struct exec *e, struct job_file *files,
                          struct job_numerics *numerics, struct problem *why) {
    const struct job_program *p = r->program;
    for (uint32_t i = 0; i < p->n_yields; i++) {
        const float *data = exec_value(e, p->yields[i].value);
        if (!data)
            return problem_set(why, PROBLEM_INTERNAL, "", "output %u is not there at the end", i);
        job_numerics_count(numerics, numbers_float(data), job_elements(&files[i]));
        if (!job_file_write(&files[i], index_in_group(p, i), data, &r->staged, r->c, r->run, why))
            return false;
    }
    return job_files_keep(&r->staged, r->run, why);
}

static bool compare(struct running *r, const struct job_pair *pair, const struct job_file *outputs,
                    const struct exec_report *own, struct wire_out *o, struct problem *why) {
    struct exec_report report;
    struct job_difference difference = {.identical = true};
    uint64_t rss_bytes;
    r->before_steps = pair->own.plan.n_steps;
    r->program = &pair->compare;
    struct exec *e = execute(r, false, &report, &rss_bytes, why);
    bool ok = e != NULL;
    for (uint32_t i = 0; ok && i < pair->compare.n_yields; i++)
        ok = job_file_compare(&outputs[i], exec_value(e, pair->compare.yields[i].value), r->c, &difference, why);
    exec_free(e);
    if (ok)
        job_comparison_put(o, pair, own, &report, &difference);
    return ok;
}

bool job_program_run(const struct job *job, const struct job_context *c, struct job_run *run, struct problem *why) {
    const struct job_pair *pair = job->program;
    struct job_file *outputs = files_for_yields(&pair->own, c->arena, why);
    struct running r = {.c = c,
                        .run = run,
                        .program = &pair->own,
                        .made = files_for_feeds(&pair->own, c->arena, why),
                        .steps = pair->own.plan.n_steps + (pair->compared ? pair->compare.plan.n_steps : 0)};
    struct exec_report report;
    struct job_numerics numerics = {0};
    uint64_t rss_bytes;
    struct wire_out o;
    if (!outputs || !r.made)
        return false;
    struct exec *e = execute(&r, pair->witness, &report, &rss_bytes, why);
    bool ok = e && outputs_write(&r, e, outputs, &numerics, why);
    job_files_discard(&r.staged);
    exec_free(e);
    if (!ok)
        return false;
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    job_files_put(&o, "outputs", outputs, pair->own.n_yields);
    job_files_put(&o, "inputs", r.made, pair->own.n_feeds);
    job_memory_put(&o, pair, run, &report, rss_bytes);
    job_report_put(&o, &report, NULL, &numerics);
    if (pair->compared && !compare(&r, pair, outputs, &report, &o, why))
        return false;
    wire_close(&o, '}');
    run->result = wire_text(&o, NULL);
    return run->result != NULL;
}
