/* support_postgres.c - see support_postgres.h */
#include "tests/support_postgres.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

const char *postgres_do(const char *url, const char *sql) {
    static char answer[256];
    PGconn *connection = PQconnectdb(url);
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    cr_assert(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s", PQerrorMessage(connection));
    snprintf(answer, sizeof answer, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(connection);
    return answer;
}

bool postgres_new(char url[POSTGRES_URL_BYTES]) {
    const char *directory = getenv("REMATD_TESTS_POSTGRES"); /* run.sh's, which stops the server too */
    char command[160], sql[64];
    static unsigned count;
    if (!directory)
        return false;
    snprintf(command, sizeof command, "tests/postgres.sh start %.100s >/dev/null", directory);
    int status = system(command);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return false;
    cr_assert_eq(status, 0, "%s", command);
    snprintf(url, POSTGRES_URL_BYTES, "postgres:///postgres?host=%s&user=rematd", directory);
    snprintf(sql, sizeof sql, "CREATE DATABASE test%ld_%u", (long)getpid(), ++count);
    postgres_do(url, sql);
    snprintf(url, POSTGRES_URL_BYTES, "postgres:///%s?host=%s&user=rematd", sql + sizeof "CREATE DATABASE", directory);
    return true;
}
