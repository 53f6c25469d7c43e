/* worker_reports.c - see worker_reports.h */
#include "server/worker_reports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line: outside of strings JSON may have line ends, inside it has none. NULL where there is no memory. */
static char *text_of(uint64_t done, uint64_t total, const char *object) {
    char *text;
    int n = asprintf(&text, "{\"done\":%llu,\"total\":%llu%s%s}", (unsigned long long)done, (unsigned long long)total,
                     object ? ",\"report\":" : "", object ? object : "");
    if (n < 0)
        return NULL;
    for (char *at = text; (at = strpbrk(at, "\r\n")); at++)
        *at = ' ';
    return text;
}

void worker_reports_add(struct worker_reports *r, uint64_t done, uint64_t total, const char *object) {
    char *text = object && strlen(object) > WORKER_REPORT_BYTES_MAX ? NULL : text_of(done, total, object);
    char *forgotten = NULL;
    if (!text)
        return;
    pthread_mutex_lock(&r->lock);
    if (r->n == WORKER_REPORTS) {
        forgotten = r->texts[r->first];
        r->first = (r->first + 1) % WORKER_REPORTS;
        r->n--;
    }
    r->texts[(r->first + r->n++) % WORKER_REPORTS] = text;
    pthread_mutex_unlock(&r->lock);
    free(forgotten);
}

unsigned worker_reports_count(struct worker_reports *r) {
    pthread_mutex_lock(&r->lock);
    unsigned n = r->n;
    pthread_mutex_unlock(&r->lock);
    return n;
}

unsigned worker_reports_take(struct worker_reports *r, const char **texts, unsigned most) {
    unsigned n = 0;
    pthread_mutex_lock(&r->lock);
    for (; n < most && r->n > 0; r->n--) {
        texts[n++] = r->texts[r->first];
        r->first = (r->first + 1) % WORKER_REPORTS;
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

void worker_reports_clear(struct worker_reports *r) {
    const char *texts[WORKER_REPORTS];
    unsigned n = worker_reports_take(r, texts, WORKER_REPORTS);
    while (n > 0)
        free((void *)texts[--n]);
}
