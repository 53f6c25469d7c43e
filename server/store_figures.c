/* store_figures.c - what the store knows in numbers: the queue now, and the tallies of all jobs that ever were.
 *
 * Tallies are kept by triggers, in the transaction that starts or ends a job: whichever process writes it, it is
 * counted once, and counts survive restarts and the removal of jobs. A row of job_tallies is one bucket of a histogram.
 */
#include "server/store_private.h"

#include <string.h>

static bool tallies_read(struct store *s, struct arena *a, struct store_figures *out, struct problem *why) {
    size_t room = 64;
    struct store_tally *list = arena_new(a, struct store_tally, room, why);
    struct store_statement *statement = store_bind(s, SQL_TALLIES, "");
    int step = list ? 1 : -1;
    for (out->n_tallies = 0; step == 1 && (step = store_step(s, statement, why)) == 1; out->n_tallies++) {
        if (out->n_tallies == room) {
            struct store_tally *more = arena_new(a, struct store_tally, 2 * room, why);
            if (!more) {
                step = -1;
                break;
            }
            list = memcpy(more, list, room * sizeof *list);
            room *= 2;
        }
        struct store_tally *t = &list[out->n_tallies];
        t->upto = store_real(s, statement, 3);
        t->n = (uint64_t)store_integer(s, statement, 4);
        t->sum = store_real(s, statement, 5);
        if (!store_text(s, statement, 0, a, &t->what, why) || !store_text(s, statement, 1, a, &t->kind, why) ||
            !store_text(s, statement, 2, a, &t->outcome, why))
            step = -1;
    }
    store_reset(s, statement);
    out->tallies = list;
    return step == 0;
}

bool store_figures(struct store *s, struct arena *a, struct store_figures *out, struct problem *why) {
    *out = (struct store_figures){0};
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_FIGURES, "");
    bool ok = store_step(s, statement, why) == 1;
    if (ok) {
        out->queued = (uint64_t)store_integer(s, statement, 0);
        out->oldest_queued_ms = store_integer(s, statement, 1);
        out->running = (uint64_t)store_integer(s, statement, 2);
        out->running_bytes = (uint64_t)store_integer(s, statement, 3);
    }
    store_reset(s, statement);
    ok = ok && tallies_read(s, a, out, why);
    return store_leave(s, false, ok, why);
}

bool store_calibration(struct store *s, struct arena *a, struct store_calibration *out, struct problem *why) {
    *out = (struct store_calibration){0};
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_CALIBRATION, "");
    const int step = store_step(s, statement, why);
    bool ok = step >= 0;
    if (step == 1) {
        out->finished_ms = store_integer(s, statement, 1);
        ok = store_id(s, statement, 0, out->job, why) && store_text(s, statement, 2, a, &out->result, why);
    }
    store_reset(s, statement);
    return store_leave(s, false, ok, why);
}
