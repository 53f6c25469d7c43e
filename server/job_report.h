/* job_report.h - the parts of a computing job's result that say how it ran: memory, time, FLOPs, numbers that are none,
 * and how it compares. */
#ifndef REMATD_SERVER_JOB_REPORT_H
#define REMATD_SERVER_JOB_REPORT_H

#include "engine/exec/exec.h"
#include "engine/kernels/numbers.h"
#include "server/job_program.h"
#include "server/job_result.h"

struct job_numerics {
    uint64_t nan, inf;
};
void job_numerics_count(struct job_numerics *numerics, struct numbers x, uint64_t n);

/* "memory"; rss_bytes is the process's when the run had ended. */
void job_memory_put(struct wire_out *o, const struct job_pair *pair, const struct job_run *run,
                    const struct exec_report *report, uint64_t rss_bytes);
/* "time" (update_ns NULL: none is part of it), "flops", "numerics". */
void job_report_put(struct wire_out *o, const struct exec_report *report, const uint64_t *update_ns,
                    const struct job_numerics *numerics);
/* "comparison" */
void job_comparison_put(struct wire_out *o, const struct job_pair *pair, const struct exec_report *own,
                        const struct exec_report *other, const struct job_difference *difference);

#endif
