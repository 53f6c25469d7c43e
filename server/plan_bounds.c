/* plan_bounds.c - see plan_bounds.h */
#include "server/plan_bounds.h"

#include "engine/base/units.h"
#include "server/clock.h"
#include "server/plan_query.h"

#define DRAIN_NS UINT64_C(1000000000) /* what has been planned for longer is not waited for when the daemon stops */

bool plan_bounds_drains(const struct service *service) {
    return service && service->draining && service->draining();
}

static bool is_over(void *user) {
    const struct plan_bounds *bounds = user;
    return plan_bounds_drains(bounds->service) && plan_bounds_ns(bounds) > DRAIN_NS;
}

void plan_bounds_begin(struct plan_bounds *bounds, const struct service *service) {
    const uint64_t most = service && service->planning_bytes ? service->planning_bytes : UINT64_MAX;
    *bounds = (struct plan_bounds){
        {.limit_bytes = most, .stop = is_over, .user = bounds}, service, PLAN_QUERY_ARENA_BYTES, clock_now_ns()};
}

void plan_bounds_again(struct plan_bounds *bounds) {
    bounds->arena.stop = is_over;
    bounds->arena.past = false;
}

uint64_t plan_bounds_ns(const struct plan_bounds *bounds) {
    return clock_now_ns() - bounds->begun_ns;
}

/* Names what is too large: the first of names that v has. */
static bool too_large(const struct wire_value *v, const char *const *names, uint64_t bytes, struct problem *why) {
    struct wire_value field;
    while (*names && (wire_type(v) != WIRE_OBJECT || !wire_get(v, *names, &field)))
        names++;
    *why = (struct problem){0};
    problem_set(why, PROBLEM_LIMIT, "",
                "takes more than the %llu MiB of memory that one request may have here: ask for less at once, for a "
                "smaller model or within a wider budget",
                (unsigned long long)(bytes >> 20));
    return *names ? problem_nest(why, "/%s", *names) : false;
}

bool plan_bounds_tell(const struct plan_bounds *bounds, const struct arena *answer, const struct wire_value *v,
                      struct problem *why) {
    static const char *const plans[] = {"graph", "chain", "workload", "functions", "inputs", NULL};
    static const char *const parts[] = {"queries", "include", NULL};
    if (why->kind == PROBLEM_CANCELLED) {
        *why = (struct problem){0};
        return problem_set(why, PROBLEM_BUSY, "", "this daemon is stopping and waits for no long plan: ask again soon");
    }
    if (why->kind == PROBLEM_MEMORY && bounds->arena.past)
        return too_large(v, plans, units_min(bounds->arena.limit_bytes, bounds->most_bytes), why);
    return why->kind == PROBLEM_MEMORY && answer->past && too_large(v, parts, answer->limit_bytes, why);
}

bool plan_bounds_tell_text(const struct plan_bounds *bounds, const struct arena *answer, const char *text, size_t bytes,
                           struct problem *why) {
    struct problem ignored = {0}; /* it was read before */
    struct wire_document *d = wire_parse(text, bytes, &ignored);
    const struct wire_value root = d ? wire_root(d) : (struct wire_value){0};
    if (d)
        plan_bounds_tell(bounds, answer, &root, why);
    wire_document_free(d);
    return false;
}
