/* store_sqlite.h - a store that is a file: what store_sqlite.c has of it, and the tests count. No one else's. */
#ifndef REMATD_SERVER_STORE_SQLITE_H
#define REMATD_SERVER_STORE_SQLITE_H

#include <sqlite3.h>

#include "server/store_private.h"

/* What no call of store.h asks: the connection's own. */
enum { FILE_BEGIN, FILE_COMMIT, FILE_ROLLBACK, FILE_VERSION, FILE_CHANGES, FILE_VERIFY, FILE_CONNECTION };

struct sqlite {
    struct store store;
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT], *connection[FILE_CONNECTION];
};

#endif
