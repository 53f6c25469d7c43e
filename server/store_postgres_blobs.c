/* store_postgres_blobs.c - tensors' bytes in the database, in chunks; see store_private.h. Each statement is its own
 * transaction: a large blob does not keep the connection from others, nor a lease from its beat. A chunk need not be on
 * disk at once: the row that seals the blob, written with the lock of all writers held, is not there where one lacks,
 * and reaches the disk after all that was written before it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store_postgres.h"

/* $1 a digest, $2 a number, $3 bytes. */
static PGresult *ask(struct postgres *p, const char *sql, const char *digest, const char *number, const void *bytes,
                     size_t n_bytes) {
    const Oid types[] = {25, 20, 17}; /* the server's numbers of text, bigint and bytea */
    const char *const values[] = {digest, number, bytes};
    const int lengths[] = {0, 0, (int)n_bytes}, formats[] = {0, 0, 1};
    return PQexecParams(p->connection, sql, bytes ? 3 : number ? 2 : 1, types, values, lengths, formats, 1);
}

static const char *written(uint64_t n, char text[24]) {
    snprintf(text, 24, "%llu", (unsigned long long)n);
    return text;
}

/* Clears the answer; whether it was one. */
static bool done(struct postgres *p, PGresult *result, struct problem *why) {
    ExecStatusType status = PQresultStatus(result);
    bool ok =
        status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || store_postgres_fail(p, result, "keep a tensor", why);
    PQclear(result);
    return ok;
}

bool store_postgres_put(struct store *s, const char *digest, uint64_t n, const void *bytes, size_t n_bytes,
                        struct problem *why) {
    static const char sql[] =
        "INSERT INTO blob_chunks (digest, n, bytes) SELECT $1, $2, $3 FROM"
        " (SELECT set_config('synchronous_commit', 'off', true)) AS quick ON CONFLICT (digest, n) DO UPDATE SET bytes ="
        " excluded.bytes";
    struct postgres *p = (struct postgres *)s;
    char number[24];
    return done(p, ask(p, sql, digest, written(n, number), bytes, n_bytes), why);
}

bool store_postgres_seal(struct store *s, const char *digest, uint64_t bytes, bool *whole, struct problem *why) {
    static const char sql[] =
        "WITH have AS (SELECT coalesce(sum(octet_length(bytes)), 0) = $2 AS whole FROM blob_chunks"
        " WHERE digest = $1), new AS (INSERT INTO blobs (digest, bytes) SELECT $1, $2 FROM have"
        " WHERE whole ON CONFLICT DO NOTHING) SELECT whole::text FROM have";
    struct postgres *p = (struct postgres *)s;
    char number[24];
    PGresult *result = ask(p, sql, digest, written(bytes, number), NULL, 0);
    *whole = PQresultStatus(result) == PGRES_TUPLES_OK && PQgetvalue(result, 0, 0)[0] == 't';
    return done(p, result, why);
}

bool store_postgres_get(struct store *s, const char *digest, uint64_t n, void *bytes, size_t *n_bytes,
                        struct problem *why) {
    struct postgres *p = (struct postgres *)s;
    char number[24];
    PGresult *result =
        ask(p, "SELECT bytes FROM blob_chunks WHERE digest = $1 AND n = $2", digest, written(n, number), NULL, 0);
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        size_t length = PQntuples(result) == 1 ? (size_t)PQgetlength(result, 0, 0) : 0;
        *n_bytes = length <= STORE_CHUNK_BYTES ? length : 0;
        if (*n_bytes)
            memcpy(bytes, PQgetvalue(result, 0, 0), *n_bytes);
    }
    return done(p, result, why);
}

bool store_postgres_sealed(struct store *s, const char *digest, uint64_t *bytes, bool *sealed, struct problem *why) {
    struct postgres *p = (struct postgres *)s;
    PGresult *result = ask(p, "SELECT bytes::text FROM blobs WHERE digest = $1", digest, NULL, NULL, 0);
    *sealed = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    if (*sealed) /* as binary, text is itself */
        *bytes = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    return done(p, result, why);
}

bool store_postgres_drop(struct store *s, const char *digest, struct problem *why) {
    struct postgres *p = (struct postgres *)s;
    return done(p, ask(p, "DELETE FROM blobs WHERE digest = $1", digest, NULL, NULL, 0), why) &&
           done(p, ask(p, "DELETE FROM blob_chunks WHERE digest = $1", digest, NULL, NULL, 0), why);
}

/* From one digest to the next, however many chunks each has. */
#define NEXT(PLACE)                                                                                                    \
    "(SELECT least((SELECT min(digest) FROM blobs WHERE digest > " PLACE                                               \
    "), (SELECT min(digest) FROM blob_chunks WHERE digest > " PLACE ")))"

bool store_postgres_stray(struct store *s, const char *after, char digest[STORE_DIGEST_BYTES], bool *found,
                          struct problem *why) {
    static const char sql[] = "WITH RECURSIVE hop (digest) AS (SELECT " NEXT("$1") " UNION ALL SELECT " NEXT(
        "hop.digest") " FROM hop"
                      " WHERE digest IS NOT NULL) SELECT digest FROM hop WHERE digest IS NOT NULL"
                      " AND NOT EXISTS (SELECT 1 FROM uploads WHERE uploads.digest = hop.digest)"
                      " AND NOT EXISTS (SELECT 1 FROM job_blobs WHERE job_blobs.digest = hop.digest) LIMIT 1";
    struct postgres *p = (struct postgres *)s;
    PGresult *result = ask(p, sql, after, NULL, NULL, 0);
    *found = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    if (*found) /* as binary, text is itself */
        snprintf(digest, STORE_DIGEST_BYTES, "%s", PQgetvalue(result, 0, 0));
    return done(p, result, why);
}
