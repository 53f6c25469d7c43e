/* api_explain.c - POST /v1/explain: the body of POST /v1/jobs, planned and not run; the plan as a program to read. */
#include <stddef.h>

#include "engine/plan/plan.h"
#include "server/api.h"
#include "server/api_jobs.h"
#include "server/wire.h"

#define TEXT_STEPS_MAX 4096u /* a longer program is for programs to read: text is null */

static bool put_step(struct wire_out *o, const struct plan *plan, uint32_t i, const struct plan_moment *moment,
                     bool again, struct arena *arena, struct problem *why) {
    const struct step *step = &plan->steps[i];
    const char *of = step->op == STEP_FREE ? plan_value_name(plan->graph, step->of, arena, why)
                                           : plan_op_name(plan->graph, step->of, arena, why);
    wire_open(o, NULL, '{');
    wire_put_string(o, "do", plan_step_name(step->op));
    wire_put_string(o, "of", of);
    wire_put_uint(o, "live_bytes", moment->live_bytes);
    wire_put_uint(o, "retained_bytes", moment->retained_bytes);
    if (again)
        wire_put_string(o, "note", "again");
    wire_close(o, '}');
    return of != NULL;
}

static bool put_steps(struct wire_out *o, const struct plan *plan, struct arena *arena, struct problem *why) {
    struct plan copy = *plan; /* simulated afresh */
    struct plan_moment *moments = arena_new(arena, struct plan_moment, plan->n_steps, why);
    bool *ran = arena_new(arena, bool, plan->graph->n_ops, why);
    if (!moments || !ran || !plan_simulate(&copy, arena, moments, why))
        return false;
    wire_open(o, "steps", '[');
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        bool run = plan->steps[i].op == STEP_RUN;
        if (!put_step(o, plan, i, &moments[i], run && ran[plan->steps[i].of], arena, why))
            return false;
        if (run)
            ran[plan->steps[i].of] = true;
    }
    wire_close(o, ']');
    return true;
}

static void put_peak(struct wire_out *o, const struct plan *plan) {
    const struct plan_moment *m = &plan->peak;
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = {{"saved_activations_bytes", m->saved_activations_bytes},
                {"recomputed_bytes", m->recomputed_bytes},
                {"activation_gradients_bytes", m->activation_gradients_bytes},
                {"inputs_outputs_bytes", m->inputs_outputs_bytes},
                {"transient_bytes", m->transient_bytes},
                {"workspace_bytes", m->workspace_bytes}};
    wire_open(o, "peak_at", '{');
    wire_put_uint(o, "step", plan->peak_step);
    wire_put_string(o, "phase", plan->peak_step < plan->turn ? "forward" : "backward");
    wire_open(o, "memory", '{');
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        wire_put_uint(o, rows[i].name, rows[i].bytes);
    wire_close(o, '}');
    wire_close(o, '}');
}

static bool explained(const struct job *job, struct arena *scratch, struct request *request, struct response *response,
                      struct problem *why) {
    struct wire_out o;
    if (!job->plan)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/kind", "jobs of kind %s have no single plan to show",
                           job->kind->name);
    const char *text = job->plan->n_steps > TEXT_STEPS_MAX ? NULL : plan_print(job->plan, scratch, why);
    if (!text && why->kind != PROBLEM_NONE)
        return false;
    wire_out_init(&o, request->arena, why);
    wire_open(&o, NULL, '{');
    wire_put_json(&o, "planned", job->planned);
    put_peak(&o, job->plan);
    if (!put_steps(&o, job->plan, scratch, why))
        return false;
    wire_put_string(&o, "text", text);
    wire_close(&o, '}');
    response->body = wire_text(&o, &response->body_bytes);
    return response->body != NULL;
}

static bool post(struct request *request, struct response *response, struct problem *why) {
    struct plan_bounds bounds;
    struct arena scratch;
    struct job job;
    const bool ok = api_jobs_make(request, request->body, request->body_bytes, &bounds, &scratch, &job, why) &&
                    (explained(&job, &scratch, request, response, why) ||
                     plan_bounds_tell_text(&bounds, request->arena, request->body, request->body_bytes, why));
    arena_free(&scratch);
    return ok;
}

const struct route api_explain_routes[] = {{"POST", "/v1/explain", BODY_JSON, post, SCOPE_READ, ROUTE_PLANS}, {0}};
