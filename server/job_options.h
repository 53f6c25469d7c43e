/* job_options.h - what any job's body may say beside what its kind reads: how long it may take, and what it is called.
 */
#ifndef REMATD_SERVER_JOB_OPTIONS_H
#define REMATD_SERVER_JOB_OPTIONS_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"
#include "server/wire.h"

#define JOB_TIMEOUT_SECONDS_MAX (30u * 24 * 3600)
#define JOB_LABELS_MAX          16u
#define JOB_LABEL_BYTES_MAX     63u /* of a key, and of a value */

struct job_options {
    uint64_t timeout_seconds;       /* of running, each attempt anew; 0: none */
    uint64_t queue_timeout_seconds; /* of waiting before the first attempt; 0: none */
    const char *labels;             /* JSON object of strings */
};

/* Reads the options into the arena and takes them out of the document: a kind sees its own fields alone. */
PROBLEM_MUST_CHECK bool job_options_take(struct wire_document *document, struct arena *a, struct job_options *out,
                                         struct problem *why);

/* Whether text is "KEY:VALUE" as a job's labels may be, or says why not at where. */
PROBLEM_MUST_CHECK bool job_label_check(const char *text, const char *where, struct problem *why);

#endif
