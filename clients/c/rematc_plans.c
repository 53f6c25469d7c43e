/* rematc_plans.c - what is planned and not run: a job explained, plans, frontiers, capacities. */
#include "clients/c/rematc.h"

#define PLANNING_SECONDS 90u /* the daemon's own searches end at 60 */

json_t *rematc_explain(struct rematc *client, const json_t *job, struct rematc_error *why) {
    return rematc_post(client, "/v1/explain", job, 0, why);
}

json_t *rematc_plan(struct rematc *client, const json_t *query, struct rematc_error *why) {
    return rematc_post(client, "/v1/plans", query, PLANNING_SECONDS, why);
}

json_t *rematc_frontier(struct rematc *client, const json_t *query, struct rematc_error *why) {
    return rematc_post(client, "/v1/frontiers", query, PLANNING_SECONDS, why);
}

json_t *rematc_capacity(struct rematc *client, const json_t *query, struct rematc_error *why) {
    return rematc_post(client, "/v1/capacity", query, PLANNING_SECONDS, why);
}
