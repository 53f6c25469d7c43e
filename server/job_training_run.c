/* job_training_run.c - trains: the job's own plan, then, if asked, the same steps under the one it is compared with. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/exec/train.h"
#include "engine/models/init.h"
#include "server/clock.h"
#include "server/job_report.h"
#include "server/job_training.h"
#include "server/witness.h"

struct training {
    const struct training_spec *spec;
    const struct job_context *c;
    struct job_run *run;
    const struct job_program *program;
    struct exec *exec;
    const char *phase;              /* "run", "compare" */
    uint64_t row;                   /* of the microbatch at hand: its first */
    uint64_t done_steps, all_steps; /* of plans, for progress */
    uint64_t start_ns;
};

/* What a run leaves behind. */
struct trained {
    struct exec_report report;
    struct digest digest, weights;
    double *losses;
    struct train_step last;
    uint64_t update_ns, rss_bytes, wall_ns;
    struct job_numerics numerics;
    struct job_file *files;
    uint32_t n_files;
    const char *norms; /* JSON */
    char gradients[40];
};

/* ---- what the executor asks for ---- */

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct training *t = user;
    const struct graph *g = &t->program->graph;
    if (value >= g->n_tensors) {
        *(float *)dst = 1 / (float)t->spec->w.workload.gradient_accumulation;
        return true;
    }
    if (g->tensors[value].role == TENSOR_INPUT)
        return job_training_data_fill(&t->spec->data, t->c->blobs, &g->tensors[value], t->row, dst, why);
    if (t->spec->weights.digest)
        return job_training_weights_fill(&t->spec->weights, g, value, t->c->blobs, dst, why);
    init_fill(&t->spec->w.workload, g, value, t->spec->seed, t->run->pool, dst);
    return true;
}

static bool cancelled(void *user) {
    const struct training *t = user;
    return t->run->cancelled && t->run->cancelled(t->run->user);
}

static void progress(void *user, uint32_t done, uint32_t total) {
    struct training *t = user;
    if (t->run->progress)
        t->run->progress(t->run->user, t->done_steps + done, t->all_steps);
    if (done == total) {
        t->done_steps += total;
        t->row += t->spec->w.workload.batch;
    }
}

/* ---- steps ---- */

/* For who watches: only what is known while it runs. */
static void step_tell(const struct training *t, uint64_t step, const struct train_step *s, struct arena *a) {
    const struct workload *w = &t->spec->w.workload;
    const double seconds = (double)(clock_now_ns() - t->start_ns) * 1e-9;
    struct problem why = {0};
    struct wire_out o;
    if (!t->run->report)
        return;
    wire_out_init(&o, a, &why);
    wire_open(&o, NULL, '{');
    wire_put_string(&o, "phase", t->phase);
    wire_put_uint(&o, "step", step);
    wire_put_uint(&o, "steps", t->spec->steps);
    wire_put_real(&o, "loss", s->loss);
    wire_put_real(&o, "gradient_norm", s->gradient_norm);
    wire_put_real(&o, "tokens_per_second",
                  (double)(step * w->gradient_accumulation * w->batch * model_workload_tokens(w)) / seconds);
    wire_put_uint(&o, "used_bytes", exec_peak_bytes(t->exec));
    wire_put_uint(&o, "planned_bytes", t->program->plan.peak_bytes);
    wire_close(&o, '}');
    const char *text = wire_text(&o, NULL);
    if (text)
        t->run->report(t->run->user, text);
}

static bool steps_take(struct training *t, struct train *train, struct trained *out, struct problem *why) {
    struct arena scratch; /* of one step's report */
    bool ok = true;
    arena_init(&scratch, 0);
    for (uint64_t step = 1; ok && step <= t->spec->steps; step++) {
        ok = train_step(train, &out->last, why);
        if (!ok)
            break;
        out->losses[step - 1] = out->last.loss;
        out->numerics.nan += isnan(out->last.loss) != 0;
        out->numerics.inf += isinf(out->last.loss) != 0;
        step_tell(t, step, &out->last, &scratch);
        arena_reset(&scratch);
    }
    arena_free(&scratch);
    out->digest = train->digest;
    out->update_ns = train->update_ns;
    return ok;
}

static bool report_take(struct training *t, struct trained *out, struct problem *why) {
    const struct graph *g = &t->program->graph;
    out->rss_bytes = witness_rss_bytes();
    out->wall_ns = clock_now_ns() - t->start_ns;
    for (uint32_t p = 0; p < g->n_tensors; p++)
        if (g->tensors[p].role == TENSOR_PARAMETER)
            out->weights = digest_add(out->weights, exec_value(t->exec, p), g->tensors[p].bytes);
    if (!exec_finish(t->exec, &out->report, why))
        return false;
    return out->report.measured_peak_bytes == t->program->plan.peak_bytes ||
           problem_set(why, PROBLEM_WITNESS, "", "the run used %llu bytes where its plan has %llu",
                       (unsigned long long)out->report.measured_peak_bytes,
                       (unsigned long long)t->program->plan.peak_bytes);
}

/* ---- what is kept ---- */

static bool file_write(struct training *t, struct trained *out, const char *group, uint32_t p, bool gradient,
                       struct job_staged *staged, struct problem *why) {
    const struct graph *g = &t->program->graph;
    struct job_file *file = &out->files[out->n_files++];
    *file = (struct job_file){.group = group,
                              .name = job_training_parameter_name(g, p, t->c->arena, why),
                              .dtype = g->tensors[p].dtype,
                              .rank = g->tensors[p].rank};
    memcpy(file->shape, g->tensors[p].shape, sizeof file->shape);
    return file->name &&
           job_file_write(file, 0, exec_value(t->exec, gradient ? g->n_tensors + p : p), staged, t->c, t->run, why);
}

static bool files_write(struct training *t, struct trained *out, const char *group, bool gradients,
                        struct problem *why) {
    const struct graph *g = &t->program->graph;
    struct job_staged staged = {.n = 0};
    bool ok = true;
    for (uint32_t p = 0; ok && p < g->n_tensors; p++) {
        if (!(gradients ? graph_is_trained(g, p) : g->tensors[p].role == TENSOR_PARAMETER))
            continue;
        ok = cancelled(t) ? problem_set(why, PROBLEM_CANCELLED, "", "cancelled while its outputs were written")
                          : file_write(t, out, group, p, gradients, &staged, why);
    }
    ok = ok && job_files_keep(&staged, t->run, why);
    job_files_discard(&staged);
    return ok;
}

/* Of every gradient: its norm, the numbers in it that are none; of all of them, a digest. */
static bool gradients_sum_up(struct training *t, struct trained *out, struct problem *why) {
    const struct graph *g = &t->program->graph;
    struct digest digest = {0};
    struct wire_out o;
    wire_out_init(&o, t->c->arena, why);
    wire_open(&o, NULL, '{');
    for (uint32_t p = 0; p < g->n_tensors; p++) {
        if (!graph_is_trained(g, p))
            continue;
        const struct numbers x = exec_numbers(t->exec, g->n_tensors + p);
        const char *name = job_training_parameter_name(g, p, t->c->arena, why);
        if (!name)
            return false;
        wire_put_real(&o, name, sqrt(update_squares(t->run->pool, x, g->tensors[p].elements)));
        job_numerics_count(&out->numerics, x, g->tensors[p].elements);
        digest = digest_add(digest, x.at, g->tensors[p].bytes);
    }
    wire_close(&o, '}');
    snprintf(out->gradients, sizeof out->gradients, "%016llx%016llx", (unsigned long long)digest.a,
             (unsigned long long)digest.b);
    out->norms = wire_text(&o, NULL);
    return out->norms != NULL;
}

static bool keep(struct training *t, struct trained *out, struct problem *why) {
    const unsigned outputs = t->spec->outputs;
    return gradients_sum_up(t, out, why) &&
           (!(outputs & TRAINING_GRADIENTS) || files_write(t, out, "gradients", true, why)) &&
           (!(outputs & TRAINING_WEIGHTS) || files_write(t, out, "weights", false, why));
}

/* ---- a run ---- */

static bool trained_room(const struct training *t, struct trained *out, struct problem *why) {
    *out = (struct trained){.n_files = 0};
    out->losses = arena_new(t->c->arena, double, t->spec->steps, why);
    out->files = arena_new(t->c->arena, struct job_file, (size_t)t->program->graph.n_tensors * 3, why);
    return out->losses && out->files;
}

static bool train_all(struct training *t, bool own, struct trained *out, struct problem *why) {
    const struct plan *plan = &t->program->plan;
    const struct training_spec *spec = t->spec;
    const struct train_options options = {.exec = t->exec,
                                          .plan = plan,
                                          .pool = t->run->pool,
                                          .loss = model_loss(plan->graph),
                                          .accumulation = spec->w.workload.gradient_accumulation,
                                          .optimizer = spec->w.workload.optimizer,
                                          .rule = spec->rule,
                                          .clip_norm = spec->clip_norm,
                                          .digest = spec->compared,
                                          .now_ns = clock_now_ns,
                                          .cancelled = cancelled,
                                          .user = t};
    struct train train;
    if (own && (spec->outputs & TRAINING_INITIAL_WEIGHTS) && !files_write(t, out, "initial_weights", false, why))
        return false;
    t->start_ns = clock_now_ns();
    return train_init(&train, &options, why) && steps_take(t, &train, out, why) && report_take(t, out, why) &&
           (!own || keep(t, out, why));
}

static bool train(struct training *t, const struct job_program *program, bool own, struct trained *out,
                  struct problem *why) {
    struct exec_options options = {.pool = t->run->pool,
                                   .load = load,
                                   .user = t,
                                   .now_ns = clock_now_ns,
                                   .cancelled = cancelled,
                                   .progress = progress,
                                   .witness = own && t->spec->witness};
    t->program = program;
    t->phase = own ? "run" : "compare";
    t->row = 0;
    if (!trained_room(t, out, why))
        return false;
    t->exec = exec_new(&program->plan, t->run->slab, t->run->persistent, &options, why);
    bool ok = t->exec && train_all(t, own, out, why);
    exec_free(t->exec);
    return ok;
}

/* ---- the result ---- */

static void result_put(const struct training *t, const struct job_pair *pair, const struct trained *own,
                       struct wire_out *o) {
    const struct workload *w = &t->spec->w.workload;
    const uint64_t tokens = w->gradient_accumulation * w->batch * model_workload_tokens(w);
    wire_open(o, "losses", '[');
    for (uint64_t i = 0; i < t->spec->steps; i++)
        wire_put_real(o, NULL, own->losses[i]);
    wire_close(o, ']');
    wire_put_real(o, "loss", own->last.loss);
    wire_put_real(o, "gradient_norm", own->last.gradient_norm);
    wire_put_json(o, "gradient_norms", own->norms);
    wire_put_string(o, "gradients_digest", own->gradients);
    wire_put_uint(o, "steps", t->spec->steps);
    wire_put_uint(o, "tokens_per_step", tokens);
    wire_put_real(o, "tokens_per_second", (double)(tokens * t->spec->steps) / ((double)own->wall_ns * 1e-9));
    wire_put_json(o, "strategy", pair->own.strategy);
    job_files_put(o, "outputs", own->files, own->n_files);
    job_memory_put(o, pair, t->run, &own->report, own->rss_bytes);
    job_report_put(o, &own->report, &own->update_ns, &own->numerics);
}

/* Equal digests over every loss and gradient of every step, and over the weights they led to. */
static void compare_put(const struct job_pair *pair, const struct trained *own, const struct trained *other,
                        struct wire_out *o) {
    const bool same = digest_same(own->digest, other->digest) && digest_same(own->weights, other->weights);
    const struct job_difference difference = {.identical = same, .max_abs_diff = same ? 0 : NAN};
    job_comparison_put(o, pair, &own->report, &other->report, &difference);
}

bool job_training_run(const struct job *job, const struct job_context *c, struct job_run *run, struct problem *why) {
    const struct job_pair *pair = job->program;
    const struct training_spec *spec = job->spec;
    struct training t = {.spec = spec, .c = c, .run = run};
    struct trained own, other;
    struct wire_out o;
    t.all_steps = spec->steps * spec->w.workload.gradient_accumulation *
                  (pair->own.plan.n_steps + (pair->compared ? pair->compare.plan.n_steps : 0));
    if (!train(&t, &pair->own, true, &own, why))
        return false;
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    result_put(&t, pair, &own, &o);
    if (pair->compared) {
        if (!train(&t, &pair->compare, false, &other, why))
            return false;
        compare_put(pair, &own, &other, &o);
    }
    wire_close(&o, '}');
    run->result = wire_text(&o, NULL);
    return run->result != NULL;
}
