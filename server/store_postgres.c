/* store_postgres.c - the store in a PostgreSQL database, for the processes of many machines; see store_private.h.
 *
 * Writers come one after another, as with SQLite: a transaction begins with the lock of all writers (an advisory one,
 * named by a table, so that two stores in one database have two). So the order of events is the order they become
 * visible in, a claim knows all that runs, and nothing deadlocks. Readers wait for nobody.
 *
 * A connection that is lost fails the call under way and is made anew by a later one. Triggers notify who listens;
 * once a second the place of the last event is asked for too, which also finds a dead connection, and the clock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/log.h"
#include "server/store_postgres.h"

#define POLL_MS          1000
#define CLOCK_MS         10000 /* how long we believe how far our clock is from the database's */
#define CLOCK_DOUBT_MS   1000  /* an answer that took longer says nothing about the clock */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS  5000

static struct postgres *of(struct store *s) {
    return (struct postgres *)s;
}

/* ---- problems ---- */

/* The first line of what libpq says. */
static int first_line(const char *message) {
    return (int)strcspn(message, "\n");
}

/* What is not just PROBLEM_IO. */
static const struct {
    const char *state; /* SQLSTATE */
    enum problem_kind kind;
} states[] = {
    {"22021", PROBLEM_MALFORMED}, /* text that is not UTF-8 */
    {"53100", PROBLEM_FULL},
    {"53200", PROBLEM_MEMORY},
};

bool store_postgres_fail(struct postgres *p, const PGresult *result, const char *what, struct problem *why) {
    if (PQstatus(p->connection) != CONNECTION_OK) {
        const char *said = PQerrorMessage(p->connection); /* names hosts: for the log */
        if (!p->away)
            log_event(LOG_WARNING, "store.lost", "%s: %.*s", p->server, first_line(said), said);
        p->away = true;
        return problem_set(why, PROBLEM_IO, "", "the store could not %s: its database cannot be reached", what);
    }
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *said = result ? PQresultErrorMessage(result) : PQerrorMessage(p->connection);
    enum problem_kind kind = result ? PROBLEM_IO : PROBLEM_MEMORY;
    for (size_t i = 0; state && i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i].state) == 0)
            kind = states[i].kind;
    return problem_set(why, kind, "", "the store could not %s: %.*s", what, first_line(said), said);
}

/* Statements without parameters. *out, where it is not NULL, is the last one's answer: PQclear. */
static bool execute(struct postgres *p, const char *sql, const char *what, PGresult **out, struct problem *why) {
    PGresult *result = PQexec(p->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || store_postgres_fail(p, result, what, why);
    if (ok && out)
        *out = result;
    else
        PQclear(result);
    return ok;
}

static int64_t cell(const PGresult *result, int column) {
    return PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, column), NULL, 10) : 0;
}

/* ---- the clock, and what was told ---- */

/* Also sees that the server has ended the connection: its word comes first, the end with the second look. */
static void notices_take(struct postgres *p) {
    for (int look = 0; look < 2 && PQconsumeInput(p->connection); look++)
        for (PGnotify *notice; (notice = PQnotifies(p->connection)); PQfreemem(notice))
            ++*(strcmp(notice->relname, "rematd_jobs") == 0 ? &p->told : &p->told_progress);
}

static bool poll_now(struct postgres *p, struct problem *why) {
    static const char sql[] =
        "SELECT coalesce(max(seq), 0), (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM job_events";
    PGresult *result;
    int64_t asked_ms = clock_steady_ms();
    if (!execute(p, sql, "answer", &result, why))
        return false;
    int64_t answered_ms = clock_steady_ms(), database_ms = cell(result, 1);
    uint64_t seq = (uint64_t)cell(result, 0);
    PQclear(result);
    if (answered_ms - asked_ms <= CLOCK_DOUBT_MS || !p->measured_ms) {
        p->offset_ms = database_ms - (asked_ms + answered_ms) / 2;
        p->measured_ms = answered_ms;
    }
    if (seq != p->seen_seq)
        p->told++;
    p->seen_seq = seq;
    p->polled_ms = answered_ms;
    return true;
}

static int64_t now_ms(struct store *s) {
    struct postgres *p = of(s);
    struct problem ignored = {0};
    if (clock_steady_ms() - p->measured_ms >= CLOCK_MS && pthread_mutex_trylock(&s->lock) == 0) {
        if (PQstatus(p->connection) == CONNECTION_OK && !poll_now(p, &ignored))
            ignored = (struct problem){0}; /* what we knew of the clock still holds */
        pthread_mutex_unlock(&s->lock);
    }
    return clock_steady_ms() + p->offset_ms;
}

static bool version(struct store *s, bool with_own, uint64_t *out, struct problem *why) {
    struct postgres *p = of(s);
    if (!p->listens) {
        if (!execute(p, "LISTEN rematd_jobs", "listen", NULL, why))
            return false;
        p->listens = true;
        p->told++; /* what came before nobody has told us */
    }
    if (with_own && !p->listens_progress) {
        if (!execute(p, "LISTEN rematd_progress", "listen", NULL, why))
            return false;
        p->listens_progress = true;
        p->told_progress++;
    }
    if (clock_steady_ms() - p->polled_ms >= POLL_MS && !poll_now(p, why))
        return false;
    *out = p->told + (with_own ? p->told_progress : 0);
    return true;
}

/* ---- connecting ---- */

static void quiet(void *context, const char *message) {
    (void)context, (void)message;
}

/* Who is cut off in the middle of a transaction is not to keep the others waiting: the server ends it soon. A commit is
 * on disk when it returns, and each statement sees what others have committed, whatever the server's default. */
static const char session[] =
    "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;"
    "SET lock_timeout = '10s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '20s';"
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = 10000;"
    "SET random_page_cost = 1;" /* else it walks past all jobs that have ended to the first that waits */

    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/* The last statement's first cell. */
static bool number_ask(struct postgres *p, const char *sql, int64_t *out, struct problem *why) {
    PGresult *result;
    if (!execute(p, sql, "tell its layout", &result, why))
        return false;
    *out = cell(result, 0);
    PQclear(result);
    return true;
}

/* Who need not change anything needs no right to. From the layout the database has to ours, in one transaction; who
 * comes at the same time waits. */
static bool migrate(struct postgres *p, struct problem *why) {
    static const char look[] = "BEGIN; SELECT pg_advisory_xact_lock(125779802157156);" /* "rematd" */
                               "SELECT (to_regclass('rematd_layout') IS NULL)::int";
    static const char make[] = "CREATE TABLE rematd_layout (number BIGINT NOT NULL)";
    int64_t is_new, have;
    char number[96];
    if (!number_ask(p, look, &is_new, why) || (is_new && !execute(p, make, "be brought up to date", NULL, why)) ||
        !number_ask(p, "SELECT max(number) FROM rematd_layout", &have, why))
        return false;
    if (have > store_postgres_layouts_n)
        return problem_set(why, PROBLEM_IO, "", "the store has layout %lld, from a newer rematd; this one knows %d",
                           (long long)have, store_postgres_layouts_n);
    for (int64_t i = have; i < store_postgres_layouts_n; i++)
        if (!execute(p, store_postgres_layouts[i], "be brought up to date", NULL, why))
            return false;
    snprintf(number, sizeof number, "DELETE FROM rematd_layout; INSERT INTO rematd_layout VALUES (%d)",
             store_postgres_layouts_n);
    return (have == store_postgres_layouts_n || execute(p, number, "be brought up to date", NULL, why)) &&
           execute(p, "COMMIT", "be brought up to date", NULL, why);
}

/* Ours come first: what the URL says counts. */
static PGconn *dial(const struct postgres *p) {
    const char *const names[] = {"fallback_application_name",
                                 "connect_timeout",
                                 "keepalives_idle",
                                 "keepalives_interval",
                                 "keepalives_count",
                                 "tcp_user_timeout",
                                 "gssencmode",
                                 "client_encoding",
                                 "dbname",
                                 p->password ? "password" : NULL,
                                 NULL};
    const char *const values[] = {"rematd", "2", "10", "5", "3", "10000", "disable", "UTF8", p->url, p->password, NULL};
    return PQconnectdbParams(names, values, 1);
}

static bool encoding_check(const struct postgres *p, struct problem *why) {
    const char *encoding = PQparameterStatus(p->connection, "server_encoding");
    return (encoding && strcmp(encoding, "UTF8") == 0) ||
           problem_set(why, PROBLEM_IO, "",
                       "--store: the database %s is in %s; one in UTF8 is needed (createdb -E UTF8)",
                       PQdb(p->connection), encoding ? encoding : "no encoding");
}

static bool connect_now(struct postgres *p, struct problem *why) {
    PQfinish(p->connection);
    for (int i = 0; i < SQL_COUNT; i++)
        p->statements[i].prepared = false;
    p->listens = p->listens_progress = false;
    p->measured_ms = 0;
    p->connection = dial(p);
    if (!p->connection)
        return problem_set(why, PROBLEM_MEMORY, "", "no memory to reach the store");
    PQsetNoticeProcessor(p->connection, quiet, NULL);
    if (PQstatus(p->connection) == CONNECTION_OK) {
        snprintf(p->server, sizeof p->server, "%.80s/%.60s", PQhost(p->connection), PQdb(p->connection));
        return encoding_check(p, why) && execute(p, session, "set up its session", NULL, why) && migrate(p, why) &&
               poll_now(p, why);
    }
    return store_postgres_fail(p, NULL, "be opened", why);
}

/* Connects again, but not before its time: while the database is away calls fail at once. */
static bool connect_again(struct postgres *p, struct problem *why) {
    int64_t now = clock_steady_ms();
    if (now < p->retry_at_ms)
        return problem_set(why, PROBLEM_IO, "", "the store's database cannot be reached");
    if (connect_now(p, why)) {
        log_event(LOG_INFO, "store.found", "%s is there again", p->server);
        p->backoff_ms = 0;
        p->away = false;
        return true;
    }
    if (PQstatus(p->connection) == CONNECTION_OK) { /* it answers, and not as it should: nobody is to use it */
        PQfinish(p->connection);
        p->connection = NULL;
    }
    p->backoff_ms = p->backoff_ms == 0                    ? BACKOFF_FIRST_MS
                    : p->backoff_ms * 2 < BACKOFF_MOST_MS ? p->backoff_ms * 2
                                                          : BACKOFF_MOST_MS;
    p->retry_at_ms = clock_steady_ms() + p->backoff_ms;
    return false;
}

/* A connection that is lost, or that somebody left in the middle of a transaction, is no one's any more. */
static void settle(struct postgres *p) {
    if (p->connection && PQtransactionStatus(p->connection) != PQTRANS_IDLE) {
        PQfinish(p->connection);
        p->connection = NULL;
    }
}

static bool ready(struct store *s, struct problem *why) {
    struct postgres *p = of(s);
    if (p->connection && PQstatus(p->connection) == CONNECTION_OK)
        notices_take(p);
    settle(p);
    return p->connection || connect_again(p, why);
}

/* Where the connection turned out to be lost before anything was done on it: a new one, and the problem is gone. */
static bool found_again(struct postgres *p, struct problem *why) {
    struct problem none = {0};
    if (PQstatus(p->connection) == CONNECTION_OK || !connect_again(p, &none))
        return false;
    *why = (struct problem){0};
    return true;
}

static void close_all(struct store *s) {
    struct postgres *p = of(s);
    for (int i = 0; i < SQL_COUNT; i++)
        PQclear(p->statements[i].result);
    PQfinish(p->connection);
    free(p->url);
    free(p->password);
    store_free(s);
}

static struct store *open_url(const char *url, struct problem *why) {
    struct postgres *p = calloc(1, sizeof *p);
    if (!p || !(p->url = strdup(url)) || !store_init(&p->store, &store_postgres)) {
        free(p ? p->url : NULL);
        free(p);
        problem_set(why, PROBLEM_MEMORY, "", "no memory to open the store");
        return NULL;
    }
    p->told = p->told_progress = 1;
    if (connect_now(p, why)) {
        const char *password = PQpass(p->connection);
        p->password = password && *password ? strdup(password) : NULL;
        return &p->store;
    }
    if (PQstatus(p->connection) != CONNECTION_OK) { /* only the operator listens, who has to know what it is */
        const char *said = PQerrorMessage(p->connection);
        why->kind = PROBLEM_NONE;
        problem_set(why, PROBLEM_IO, "", "--store: %.*s", first_line(said), said);
    }
    close_all(&p->store);
    return NULL;
}

/* ---- transactions ---- */

static bool open_transaction(struct store *s) {
    PGTransactionStatusType status = PQtransactionStatus(of(s)->connection);
    return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

static void rollback(struct store *s, const struct problem *why) {
    struct problem ignored = {0};
    (void)why;
    if (open_transaction(s))
        execute(of(s), "ROLLBACK", "roll back", NULL, &ignored);
    settle(of(s));
}

static bool begin(struct store *s, struct problem *why) {
    static const char sql[] = "BEGIN; SELECT pg_advisory_xact_lock('jobs'::regclass::oid::bigint)";
    struct postgres *p = of(s);
    if (execute(p, sql, "begin to write", NULL, why) || (found_again(p, why) && execute(p, sql, "begin", NULL, why)))
        return true;
    rollback(s, why);
    return false;
}

static bool commit(struct store *s, struct problem *why) {
    struct postgres *p = of(s);
    PGresult *result;
    if (!execute(p, "COMMIT", "write", &result, why))
        return false;
    bool done = strcmp(PQcmdStatus(result), "COMMIT") == 0; /* a statement that failed makes it ROLLBACK */
    PQclear(result);
    return done || problem_set(why, PROBLEM_IO, "", "the store could not write: the transaction had failed");
}

/* ---- statements ---- */

static void reset(struct store_statement *statement) {
    PQclear(statement->result);
    statement->result = NULL;
}

static struct store_statement *bind(struct store *s, enum store_sql sql, const char *types, va_list args) {
    struct store_statement *statement = &of(s)->statements[sql];
    reset(statement);
    statement->of = of(s);
    statement->sql = sql;
    statement->n = (int)strlen(types);
    for (int i = 0; i < statement->n; i++) {
        bool is_text = types[i] == 't';
        statement->types[i] = is_text ? 25 : 20; /* the server's numbers of text and bigint */
        statement->values[i] = statement->numbers[i];
        if (is_text)
            statement->values[i] = va_arg(args, const char *);
        else
            snprintf(statement->numbers[i], sizeof statement->numbers[i], "%lld", (long long)va_arg(args, int64_t));
        if (types[i] == 'n')
            statement->values[i] = NULL;
    }
    return statement;
}

/* ?2 is $2 here, and ? the next of all. */
static void parameters_write(const char *sql, char *out, size_t room) {
    unsigned next = 1;
    size_t n = 0;
    for (; *sql && n + 12 < room; sql++)
        if (*sql != '?')
            out[n++] = *sql;
        else if (sql[1] >= '0' && sql[1] <= '9')
            out[n++] = '$';
        else
            n += (size_t)snprintf(out + n, room - n, "$%u", next++);
    out[n] = '\0';
}

static bool prepare(struct postgres *p, struct store_statement *statement, const char *name, struct problem *why) {
    char sql[4096];
    const char *own = store_postgres_own[statement->sql];
    parameters_write(own ? own : store_statements[statement->sql], sql, sizeof sql);
    PGresult *result = PQprepare(p->connection, name, sql, statement->n, statement->types);
    statement->prepared = PQresultStatus(result) == PGRES_COMMAND_OK;
    bool ok = statement->prepared || store_postgres_fail(p, result, "prepare its statements", why);
    PQclear(result);
    return ok;
}

static bool ask_once(struct postgres *p, struct store_statement *statement, struct problem *why) {
    char name[16];
    reset(statement);
    snprintf(name, sizeof name, "s%d", (int)statement->sql);
    if (!statement->prepared && !prepare(p, statement, name, why))
        return false;
    statement->row = -1;
    statement->result = PQexecPrepared(p->connection, name, statement->n, statement->values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(statement->result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
           store_postgres_fail(p, statement->result, "answer", why);
}

/* What is asked outside a transaction only reads: it may be asked twice. */
static bool ask(struct postgres *p, struct store_statement *statement, struct problem *why) {
    bool alone = PQtransactionStatus(p->connection) == PQTRANS_IDLE;
    return ask_once(p, statement, why) || (alone && found_again(p, why) && ask_once(p, statement, why));
}

static int step(struct store *s, struct store_statement *statement, struct problem *why) {
    if (!statement->result && !ask(of(s), statement, why)) {
        reset(statement);
        return -1;
    }
    return ++statement->row < PQntuples(statement->result);
}

static unsigned changed(struct store *s, struct store_statement *statement) {
    (void)s;
    return (unsigned)strtoul(PQcmdTuples(statement->result), NULL, 10);
}

static int64_t integer(struct store_statement *statement, int column) {
    const char *text = PQgetvalue(statement->result, statement->row, column);
    return *text == 't' ? 1 : strtoll(text, NULL, 10); /* true is t, false f */
}

static double real(struct store_statement *statement, int column) {
    return strtod(PQgetvalue(statement->result, statement->row, column), NULL);
}

static const char *text(struct store_statement *statement, int column, size_t *bytes, bool *null) {
    *null = PQgetisnull(statement->result, statement->row, column);
    *bytes = (size_t)PQgetlength(statement->result, statement->row, column);
    return *null ? NULL : PQgetvalue(statement->result, statement->row, column);
}

/* Without .verify: a database is its administrator's to verify (pg_amcheck). */
const struct store_kind store_postgres = {
    .shared = true,
    .open = open_url,
    .close = close_all,
    .ready = ready,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .open_transaction = open_transaction,
    .bind = bind,
    .step = step,
    .reset = reset,
    .changed = changed,
    .integer = integer,
    .real = real,
    .text = text,
    .version = version,
    .now_ms = now_ms,
    .blob_put = store_postgres_put,
    .blob_get = store_postgres_get,
    .blob_seal = store_postgres_seal,
    .blob_sealed = store_postgres_sealed,
    .blob_drop = store_postgres_drop,
    .blob_stray = store_postgres_stray,
};
