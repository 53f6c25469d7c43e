/* api_table.c - every route there is. */
#include "server/api.h"

const struct route *const route_tables[] = {
    api_service_routes,    api_tensor_routes,  api_job_routes,
    api_job_tensor_routes, api_savings_routes, api_explain_routes,
    api_plans_routes,      api_models_routes,  NULL,
};
