/* store.c - a store is a row: which one a name means, and what all of them do between their answers; see store.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/metrics.h"
#include "server/store_private.h"

static const struct {
    const char *scheme;
    const struct store_kind *kind;
} kinds[] = {
    {"postgres://", &store_postgres},
    {"postgresql://", &store_postgres},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

struct store *store_open(const char *where, struct problem *why) {
    for (size_t i = 0; i < KINDS; i++)
        if (strncmp(where, kinds[i].scheme, strlen(kinds[i].scheme)) == 0)
            return kinds[i].kind->open(where, why);
    return store_sqlite.open(where, why);
}

bool store_url_check(const char *url, struct problem *why) {
    for (size_t i = 0; i < KINDS; i++)
        if (strncmp(url, kinds[i].scheme, strlen(kinds[i].scheme)) == 0)
            return true;
    return problem_set(why, PROBLEM_MALFORMED, "", "--store: a store is named postgres://USER@HOST/DATABASE");
}

struct store *store_choose(const char *url, const char *data_dir, struct problem *why) {
    char own[1100];
    if (!*url)
        return store_open(data_dir, why);
    snprintf(own, sizeof own, "%s/rematd.db", data_dir);
    if (store_url_check(url, why) && access(own, F_OK) != 0)
        return store_open(url, why);
    problem_set(why, PROBLEM_STATE, "", "--store: %.300s has a store of its own; give --data another directory",
                data_dir);
    return NULL;
}

void store_close(struct store *s) {
    if (s)
        s->kind->close(s);
}

bool store_init(struct store *s, const struct store_kind *kind) {
    s->kind = kind;
    return pthread_mutex_init(&s->lock, NULL) == 0 && pthread_mutex_init(&s->line_lock, NULL) == 0 &&
           pthread_cond_init(&s->line_moved, NULL) == 0;
}

void store_free(struct store *s) {
    pthread_cond_destroy(&s->line_moved);
    pthread_mutex_destroy(&s->line_lock);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

bool store_shared(const struct store *s) {
    return s->kind->shared;
}

/* ---- transactions ---- */

bool store_enter(struct store *s, bool write, struct problem *why) {
    uint64_t asked_ns = write ? clock_now_ns() : 0;
    pthread_mutex_lock(&s->lock);
    s->write_ns = asked_ns;
    if ((!s->kind->ready || s->kind->ready(s, why)) && (!write || s->kind->begin(s, why)))
        return true;
    metrics_add(METRICS_STORE_FAILURES, 1);
    pthread_mutex_unlock(&s->lock);
    return false;
}

bool store_leave(struct store *s, bool write, bool ok, struct problem *why) {
    if (write && ok) {
        ok = s->kind->commit(s, why);
        metrics_observe(METRICS_STORE_TRANSACTION, clock_now_ns() - s->write_ns);
    }
    if (!ok && (why->kind == PROBLEM_IO || why->kind == PROBLEM_FULL))
        metrics_add(METRICS_STORE_FAILURES, 1);
    if (write && !ok)
        s->kind->rollback(s, why);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* ---- statements ---- */

struct store_statement *store_bind(struct store *s, enum store_sql sql, const char *types, ...) {
    va_list args;
    va_start(args, types);
    struct store_statement *statement = s->kind->bind(s, sql, types, args);
    va_end(args);
    return statement;
}

int store_step(struct store *s, struct store_statement *statement, struct problem *why) {
    if (statement)
        return s->kind->step(s, statement, why);
    problem_set(why, PROBLEM_MEMORY, "", "no memory for a question to the store");
    return -1;
}

bool store_run(struct store *s, struct store_statement *statement, unsigned *changed, struct problem *why) {
    int step;
    while ((step = store_step(s, statement, why)) == 1)
        continue;
    if (changed)
        *changed = step == 0 ? s->kind->changed(s, statement) : 0;
    return step == 0;
}

void store_reset(struct store *s, struct store_statement *statement) {
    if (statement)
        s->kind->reset(statement);
}

int64_t store_integer(struct store *s, struct store_statement *statement, int column) {
    return s->kind->integer(statement, column);
}

double store_real(struct store *s, struct store_statement *statement, int column) {
    return s->kind->real(statement, column);
}

bool store_number(struct store *s, enum store_sql sql, const char *text, uint64_t *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, sql, text ? "t" : "", text);
    bool ok = store_step(s, statement, why) == 1;
    if (ok)
        *out = (uint64_t)store_integer(s, statement, 0);
    store_reset(s, statement);
    return store_leave(s, false, ok, why);
}

/* ---- the store as a whole ---- */

bool store_check(struct store *s, struct problem *why) {
    uint64_t uploads;
    return store_number(s, SQL_PING, NULL, &uploads, why);
}

bool store_verify(struct store *s, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    return store_leave(s, false, !s->kind->verify || s->kind->verify(s, why), why);
}

static bool version(struct store *s, bool own, uint64_t *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    return store_leave(s, false, s->kind->version(s, own, out, why), why);
}

bool store_version(struct store *s, uint64_t *out, struct problem *why) {
    return version(s, false, out, why);
}

bool store_changes(struct store *s, uint64_t *changes, struct problem *why) {
    return version(s, true, changes, why);
}

int64_t store_now_ms(struct store *s) {
    return s->kind->now_ms(s);
}
