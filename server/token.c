/* token.c - see token.h. A file becomes a list that does not change; reading it again puts another in its place. */
#include "server/token.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES  32u
#define RANDOM_BYTES  24u
#define TOKEN_PREFIX  "rematd_" /* so that who finds one knows what it is */
#define DIGEST_PREFIX "sha256:"

struct row {
    struct token_grant grant;
    unsigned char digest[DIGEST_BYTES];
    unsigned line;
};

struct token_file {
    char *name;
    pthread_rwlock_t lock; /* for both below */
    struct row *rows;
    unsigned n;
};

static const struct {
    const char *name;
    enum route_scope scope;
    unsigned holds;
} scope_table[] = {
    {"read", SCOPE_READ, SCOPE_READ},
    {"submit", SCOPE_SUBMIT, SCOPE_SUBMIT},
    {"admin", SCOPE_ADMIN, SCOPE_READ | SCOPE_SUBMIT | SCOPE_ADMIN},
};
#define SCOPES (sizeof scope_table / sizeof scope_table[0])

/* ---- words ---- */

bool token_name_is_good(const char *name) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(name);
    return length > 0 && length < TOKEN_NAME_BYTES && strspn(name, letters) == length;
}

bool token_scopes_read(const char *text, unsigned *scopes, struct problem *why) {
    *scopes = 0;
    do {
        size_t length = strcspn(text, ","), i = 0;
        while (i < SCOPES && (strlen(scope_table[i].name) != length || strncmp(scope_table[i].name, text, length) != 0))
            i++;
        if (i == SCOPES)
            return problem_set(why, PROBLEM_UNKNOWN_FIELD, "", "'%.*s' is not a scope: read, submit, admin",
                               (int)(length < 40 ? length : 40), text);
        *scopes |= scope_table[i].holds;
        text += length;
    } while (*text++ == ',');
    return true;
}

const char *token_scope_missing(unsigned wanted, unsigned scopes) {
    for (size_t i = 0; i < SCOPES; i++)
        if (wanted & ~scopes & (unsigned)scope_table[i].scope)
            return scope_table[i].name;
    return NULL;
}

static int hex_value(char c) {
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c) : NULL;
    return found ? (int)(found - digits) : -1;
}

static void hex_write(const unsigned char *bytes, size_t n, char *to) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    *to = '\0';
}

static bool digest_read(const char *text, unsigned char digest[DIGEST_BYTES]) {
    if (strncmp(text, DIGEST_PREFIX, sizeof DIGEST_PREFIX - 1) == 0)
        text += sizeof DIGEST_PREFIX - 1;
    if (strlen(text) != 2 * DIGEST_BYTES)
        return false;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

/* ---- the file ---- */

/* "NAME SCOPES HASH", cut in place. */
static bool line_read(char *line, struct row *row, struct problem *why) {
    static const char blank[] = " \t\r\n";
    char *rest, *name = strtok_r(line, blank, &rest), *scopes = strtok_r(NULL, blank, &rest);
    char *digest = strtok_r(NULL, blank, &rest);
    if (!digest || strtok_r(NULL, blank, &rest))
        return problem_set(why, PROBLEM_MALFORMED, "", "a line is a name, scopes and the SHA-256 of the token");
    if (!token_name_is_good(name))
        return problem_set(why, PROBLEM_MALFORMED, "", "a name has 1 to %d letters, digits, '.', '_' and '-'",
                           TOKEN_NAME_BYTES - 1);
    if (!token_scopes_read(scopes, &row->grant.scopes, why))
        return false;
    if (!digest_read(digest, row->digest))
        return problem_set(why, PROBLEM_MALFORMED, "", "the SHA-256 of '%s' is not %u hexadecimal digits", name,
                           2 * DIGEST_BYTES);
    strcpy(row->grant.name, name);
    return true;
}

static bool twice_check(const struct row *rows, unsigned n, struct problem *why) {
    const struct row *last = &rows[n];
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(rows[i].grant.name, last->grant.name) == 0)
            return problem_set(why, PROBLEM_MALFORMED, "", "line %u has the name '%s' already", rows[i].line,
                               last->grant.name);
        if (memcmp(rows[i].digest, last->digest, DIGEST_BYTES) == 0)
            return problem_set(why, PROBLEM_MALFORMED, "", "line %u has the same token", rows[i].line);
    }
    return true;
}

/* One line; *n grows where it has a token. */
static bool line_add(char *line, size_t bytes, unsigned number, struct row **rows, unsigned *n, struct problem *why) {
    if (strlen(line) != bytes)
        return problem_set(why, PROBLEM_MALFORMED, "", "has a NUL byte");
    line[strcspn(line, "#")] = '\0';
    if (line[strspn(line, " \t\r\n")] == '\0')
        return true;
    if (*n == TOKENS_MAX)
        return problem_set(why, PROBLEM_LIMIT, "", "a file has at most %d tokens", TOKENS_MAX);
    struct row *grown = realloc(*rows, (*n + 1) * sizeof *grown);
    if (!grown)
        return problem_set(why, PROBLEM_MEMORY, "", "no memory for the tokens");
    *rows = grown;
    grown[*n] = (struct row){.line = number};
    if (!line_read(line, &grown[*n], why) || !twice_check(grown, *n, why))
        return false;
    ++*n;
    return true;
}

static bool file_read(const char *name, struct row **rows, unsigned *n, struct problem *why) {
    struct problem inner = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t bytes;
    unsigned number = 0;
    bool good = true;
    FILE *file = fopen(name, "re");
    if (!file)
        return problem_set(why, PROBLEM_IO, "", "cannot read the tokens in %.300s: %s", name, strerror(errno));
    while (good && (bytes = getline(&line, &room, file)) >= 0) {
        good = line_add(line, (size_t)bytes, ++number, rows, n, &inner);
        if (!good)
            problem_set(why, inner.kind, "", "%.200s, line %u: %s", name, number, inner.detail);
    }
    if (good && ferror(file))
        good = problem_set(why, PROBLEM_IO, "", "cannot read the tokens in %.300s: %s", name, strerror(errno));
    if (good && *n == 0)
        good = problem_set(why, PROBLEM_MALFORMED, "", "%.300s has no tokens: nobody could ask", name);
    free(line);
    fclose(file);
    return good;
}

bool token_reread(struct token_file *file, struct problem *why) {
    struct row *rows = NULL, *old;
    unsigned n = 0;
    if (!file_read(file->name, &rows, &n, why)) {
        free(rows);
        return false;
    }
    pthread_rwlock_wrlock(&file->lock);
    old = file->rows;
    file->rows = rows;
    file->n = n;
    pthread_rwlock_unlock(&file->lock);
    free(old);
    return true;
}

struct token_file *token_open(const char *name, struct problem *why) {
    struct token_file *file = calloc(1, sizeof *file);
    if (!file || !(file->name = strdup(name))) {
        free(file);
        problem_set(why, PROBLEM_MEMORY, "", "no memory for the tokens");
        return NULL;
    }
    pthread_rwlock_init(&file->lock, NULL);
    if (token_reread(file, why))
        return file;
    token_close(file);
    return NULL;
}

void token_close(struct token_file *file) {
    if (!file)
        return;
    pthread_rwlock_destroy(&file->lock);
    free(file->rows);
    free(file->name);
    free(file);
}

unsigned token_count(struct token_file *file) {
    pthread_rwlock_rdlock(&file->lock);
    unsigned n = file->n;
    pthread_rwlock_unlock(&file->lock);
    return n;
}

/* ---- tokens ---- */

bool token_find(struct token_file *file, const char *token, size_t bytes, struct token_grant *grant) {
    unsigned char digest[DIGEST_BYTES];
    bool found = false;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, token, bytes, digest) != 0)
        return false;
    pthread_rwlock_rdlock(&file->lock);
    for (unsigned i = 0; i < file->n; i++)
        if (gnutls_memcmp(file->rows[i].digest, digest, DIGEST_BYTES) == 0) {
            *grant = file->rows[i].grant;
            found = true;
        }
    pthread_rwlock_unlock(&file->lock);
    return found;
}

bool token_make(char token[TOKEN_TEXT_BYTES], char hash[TOKEN_HASH_BYTES], struct problem *why) {
    unsigned char bytes[RANDOM_BYTES], digest[DIGEST_BYTES];
    if (gnutls_rnd(GNUTLS_RND_KEY, bytes, sizeof bytes) != 0)
        return problem_set(why, PROBLEM_IO, "", "the machine gives no random bytes");
    strcpy(token, TOKEN_PREFIX);
    hex_write(bytes, sizeof bytes, token + sizeof TOKEN_PREFIX - 1);
    gnutls_memset(bytes, 0, sizeof bytes);
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, token, strlen(token), digest) != 0)
        return problem_set(why, PROBLEM_INTERNAL, "", "SHA-256 cannot be computed");
    strcpy(hash, DIGEST_PREFIX);
    hex_write(digest, sizeof digest, hash + sizeof DIGEST_PREFIX - 1);
    return true;
}
