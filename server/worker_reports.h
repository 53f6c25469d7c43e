/* worker_reports.h - what a running job says, kept until the keeper stores it. Whoever reports waits for nobody: where
 * there is no room the oldest is forgotten. */
#ifndef REMATD_SERVER_WORKER_REPORTS_H
#define REMATD_SERVER_WORKER_REPORTS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define WORKER_REPORTS          256u  /* between two looks of the keeper */
#define WORKER_REPORT_BYTES_MAX 4096u /* of one; a longer one is not kept */

struct worker_reports {
    pthread_mutex_t lock;
    char *texts[WORKER_REPORTS]; /* data of progress events; malloc */
    unsigned first, n;
};

/* The data of a progress event: {"done", "total"}, and "report" where object is not NULL. Any thread. */
void worker_reports_add(struct worker_reports *r, uint64_t done, uint64_t total, const char *object);
/* How many there are. */
unsigned worker_reports_count(struct worker_reports *r);
/* Moves the oldest to texts, at most `most` of them; they are the caller's, to free. Returns how many. */
unsigned worker_reports_take(struct worker_reports *r, const char **texts, unsigned most);
/* Forgets all of them. */
void worker_reports_clear(struct worker_reports *r);

#endif
