/* store_postgres.h - what the store_postgres*.c files share: one connection, what it was asked. No one else's. */
#ifndef REMATD_SERVER_STORE_POSTGRES_H
#define REMATD_SERVER_STORE_POSTGRES_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "server/store_private.h"

#define POSTGRES_PARAMETERS 12

/* A statement, what it is asked with, and the answer. */
struct store_statement {
    struct postgres *of;
    enum store_sql sql;
    bool prepared; /* on this connection */
    int n;
    Oid types[POSTGRES_PARAMETERS];
    const char *values[POSTGRES_PARAMETERS];
    char numbers[POSTGRES_PARAMETERS][24];
    PGresult *result; /* NULL: not asked yet */
    int row;
};

struct postgres {
    struct store store;
    PGconn *connection;
    char *url, *password; /* the password: of the first time, the file it came from may be out of reach by now */
    char server[160];     /* host and database, for messages */
    struct store_statement statements[SQL_COUNT];

    bool away;                       /* it cannot be reached, and we have said so */
    int64_t retry_at_ms, backoff_ms; /* of connecting */
    bool listens, listens_progress;  /* on this connection */
    uint64_t told, told_progress;    /* what versions are made of: how often we were told of something */
    uint64_t seen_seq;               /* of the slow poll */
    int64_t polled_ms;               /* when it was last */
    _Atomic int64_t offset_ms;       /* the database's clock less ours */
    _Atomic int64_t measured_ms;     /* when that was found out */
};

/* What is its own in statements, by enum store_sql, and the steps of the layout; store_postgres_layout.c. */
extern const char *const store_postgres_own[SQL_COUNT];
extern const char *const store_postgres_layouts[];
extern const int store_postgres_layouts_n;

/* A problem that says what the server said of this result (NULL: of the connection). Returns false. */
bool store_postgres_fail(struct postgres *p, const PGresult *result, const char *what, struct problem *why);

/* Tensors' bytes; store_postgres_blobs.c. As in struct store_kind. */
bool store_postgres_put(struct store *s, const char *digest, uint64_t n, const void *bytes, size_t n_bytes,
                        struct problem *why);
bool store_postgres_get(struct store *s, const char *digest, uint64_t n, void *bytes, size_t *n_bytes,
                        struct problem *why);
bool store_postgres_seal(struct store *s, const char *digest, uint64_t bytes, bool *whole, struct problem *why);
bool store_postgres_sealed(struct store *s, const char *digest, uint64_t *bytes, bool *sealed, struct problem *why);
bool store_postgres_drop(struct store *s, const char *digest, struct problem *why);
bool store_postgres_stray(struct store *s, const char *after, char digest[STORE_DIGEST_BYTES], bool *found,
                          struct problem *why);

#endif
