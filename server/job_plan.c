/* job_plan.c - jobs of kind `plan`: what POST /v1/plans answers, with as much time as a search wants.
 *
 * While a search runs, each better plan is reported; one
 * that is cancelled has the best so far as its result. */
#include <math.h>

#include "server/job.h"
#include "server/job_program.h"
#include "server/job_report.h"
#include "server/plan_posted.h"
#include "server/plan_query.h"

#define REPORT_SECONDS 0.1 /* at least, between two reports */

struct asked {
    bool is_posted;
    struct plan_posted posted;
    struct plan_query query;
};

static bool asked_read(const struct wire_value *request, const struct job_context *c, struct asked *out,
                       struct problem *why) {
    out->is_posted = plan_posted_is(request);
    return out->is_posted ? plan_posted_read(request, PLAN_POSTED_JOB, c->host, c->arena, &out->posted, why)
                          : plan_query_read(request, PLAN_FORM_JOB, c->host, c->arena, &out->query, why);
}

static bool read(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why) {
    struct asked *asked = arena_new(c->arena, struct asked, 1, why);
    job->spec = asked;
    return asked && asked_read(request, c, asked, why);
}

/* A job of planning has no slab: it counts with what an answer may take. */
static bool plan(struct job *job, const struct job_context *c, struct problem *why) {
    const struct asked *asked = job->spec;
    struct wire_out o;
    if (!job_admit(job, asked->is_posted ? PLAN_POSTED_ARENA_BYTES : PLAN_QUERY_ARENA_BYTES, c, why))
        return false;
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    wire_put_json(&o, "strategy", asked->is_posted ? asked->posted.json : asked->query.strategy.json);
    wire_put_uint(&o, "peak_bytes", 0);
    wire_put_uint(&o, "slab_bytes", 0);
    wire_put_uint(&o, "admission_bytes", job->admission_bytes);
    wire_close(&o, '}');
    job->planned = wire_text(&o, NULL);
    return job->planned != NULL;
}

/* ---- running ---- */

struct watched {
    struct job_run *run;
    double limit_seconds, told_seconds;
    double cost, lower_bound; /* as they were told */
    bool told;
    bool cancelled;
};

static void put_real(struct wire_out *o, const char *key, bool known, double value) {
    wire_put_real(o, key, known ? value : (double)NAN);
}

static void tell(struct watched *w, const struct plan_posted_progress *p) {
    struct problem why = {0};
    struct arena scratch;
    struct wire_out o;
    arena_init(&scratch, 0);
    wire_out_init(&o, &scratch, &why);
    wire_open(&o, NULL, '{');
    wire_put_string(&o, "phase", "search");
    put_real(&o, p->in_seconds ? "step_seconds" : "flops", p->found, p->cost);
    put_real(&o, "compute_overhead_pct", p->found, p->overhead_pct);
    if (p->found)
        wire_put_uint(&o, "peak_bytes", p->peak_bytes);
    else
        wire_put_json(&o, "peak_bytes", NULL);
    wire_put_real(&o, "lower_bound", p->lower_bound);
    put_real(&o, "gap_pct", p->found, p->gap_pct);
    wire_put_uint(&o, "states", p->states);
    wire_put_real(&o, "elapsed_seconds", p->elapsed_seconds);
    wire_close(&o, '}');
    const char *text = wire_text(&o, NULL);
    if (text)
        w->run->report(w->run->user, text);
    arena_free(&scratch);
    w->told = true;
    w->told_seconds = p->elapsed_seconds;
    w->cost = p->cost;
    w->lower_bound = p->lower_bound;
}

static uint64_t milliseconds(double seconds) {
    return (uint64_t)(seconds * 1e3);
}

static bool ask(void *user, const struct plan_posted_progress *p) {
    struct watched *w = user;
    const bool news = !w->told || (p->found && p->cost != w->cost) || p->lower_bound > w->lower_bound;
    const double past = p->elapsed_seconds < w->limit_seconds ? p->elapsed_seconds : w->limit_seconds;
    if (w->run->progress)
        w->run->progress(w->run->user, milliseconds(past), milliseconds(w->limit_seconds));
    if (w->run->report && news && (!w->told || p->elapsed_seconds - w->told_seconds >= REPORT_SECONDS))
        tell(w, p);
    w->cancelled |= w->run->cancelled && w->run->cancelled(w->run->user);
    return w->cancelled;
}

static bool answer(const struct asked *asked, struct watched *w, struct arena *a, struct problem *why) {
    struct plan_posted_watch watch = {.ask = ask, .user = w};
    struct wire_out o;
    wire_out_init(&o, a, why);
    if (!(asked->is_posted ? plan_posted_answer(&asked->posted, &watch, &o, NULL, why)
                           : plan_query_answer(&asked->query, &o, NULL, why)))
        return false;
    w->run->result = wire_text(&o, NULL);
    return w->run->result != NULL;
}

static bool run(const struct job *job, const struct job_context *c, struct job_run *r, struct problem *why) {
    const struct asked *asked = job->spec;
    struct watched w = {.run = r, .limit_seconds = asked->is_posted ? asked->posted.time_limit_seconds : 1};
    if (!answer(asked, &w, c->arena, why))
        return false;
    if (w.cancelled)
        return problem_set(why, PROBLEM_CANCELLED, "", "cancelled while it searched: the result is the best so far");
    if (r->progress)
        r->progress(r->user, milliseconds(w.limit_seconds), milliseconds(w.limit_seconds));
    return true;
}

const struct job_kind job_plan = {.name = "plan",
                                  .description = "what POST /v1/plans answers, with more time for a search",
                                  .read = read,
                                  .plan = plan,
                                  .run = run};
