/* api.h - the tables of the api_*.c files: one per resource, each ends with a row of method NULL. To add a resource: a
 * file, a line here, a line in api_table.c. */
#ifndef REMATD_SERVER_API_H
#define REMATD_SERVER_API_H

#include "server/route.h"

extern const struct route api_service_routes[], api_tensor_routes[], api_job_routes[], api_job_tensor_routes[],
    api_job_event_routes[], api_savings_routes[], api_explain_routes[], api_plans_routes[], api_models_routes[],
    api_metrics_routes[], api_page_routes[], api_docs_routes[];

#endif
