/* api_jobs.h - what the handlers of a job share. */
#ifndef REMATD_SERVER_API_JOBS_H
#define REMATD_SERVER_API_JOBS_H

#include "server/job.h"
#include "server/plan_bounds.h"
#include "server/route.h"
#include "server/store.h"

/* A job as the protocol shows it. */
void api_jobs_put(struct wire_out *o, const char *key, const struct store_job *job);

/* The text, where it may be the id of a job; else NULL: there is none. Bytes that a store does not take for text are
 * none. */
const char *api_jobs_id(const char *text, struct problem *why);

/* Reads and plans a body, text, in an arena of its own within bounds that begin here: both must outlive the job, and
 * the arena is to be freed, whatever comes. */
PROBLEM_MUST_CHECK bool api_jobs_make(const struct request *request, const char *text, size_t bytes,
                                      struct plan_bounds *bounds, struct arena *a, struct job *job,
                                      struct problem *why);

/* The labels of the query as a JSON array of "KEY:VALUE" in the request's arena; NULL where it names none. */
PROBLEM_MUST_CHECK bool api_jobs_labels(const struct request *request, const char **out, struct problem *why);

#endif
