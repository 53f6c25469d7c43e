/* api_table.c - every route there is. They are looked through in this order: what is asked most comes first. */
#include "server/api.h"

const struct route *const route_tables[] = {
    api_plans_routes,
    api_service_routes,
    api_tensor_routes,
    api_job_routes,
    api_job_tensor_routes,
    api_job_event_routes,
    api_savings_routes,
    api_explain_routes,
    api_models_routes,
    api_metrics_routes,
    NULL,
};
