/* support_postgres.h - a database for a test, on a server that tests/postgres.sh starts for all of them. */
#ifndef REMATD_TESTS_SUPPORT_POSTGRES_H
#define REMATD_TESTS_SUPPORT_POSTGRES_H

#include <stdbool.h>

#define POSTGRES_URL_BYTES 200

/* A new, empty database. False where there is no PostgreSQL here: the test is left out. */
bool postgres_new(char url[POSTGRES_URL_BYTES]);
/* As an administrator would; the first cell of the answer, which stays until the next call, or "". */
const char *postgres_do(const char *url, const char *sql);

#endif
