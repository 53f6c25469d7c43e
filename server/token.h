/* token.h - who may ask: bearer tokens and what each allows, from a file.
 *
 *     # name   scopes        SHA-256 of the token
 *     ci       read,submit   sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *
 * The file has no secret in it: a token is random and long, so its plain SHA-256 gives nothing away. Tokens are looked
 * for while the file is read again; all functions may be called from any thread. */
#ifndef REMATD_SERVER_TOKEN_H
#define REMATD_SERVER_TOKEN_H

#include <stddef.h>

#include "engine/base/problem.h"
#include "server/route.h"

#define TOKEN_NAME_BYTES 64   /* with its NUL */
#define TOKEN_TEXT_BYTES 64   /* of a token that token_make makes, with its NUL */
#define TOKEN_HASH_BYTES 72   /* "sha256:", 64 hexadecimal digits, NUL */
#define TOKENS_MAX       1000 /* in a file */

/* What a token allows. */
struct token_grant {
    char name[TOKEN_NAME_BYTES];
    unsigned scopes; /* bits of enum route_scope; SCOPE_ADMIN comes with the others set */
};

struct token_file;

/* Reads the file. Problems (PROBLEM_MALFORMED, PROBLEM_UNKNOWN_FIELD, PROBLEM_LIMIT, PROBLEM_IO) name file and line;
 * two tokens of one name, or of one hash, are one, and so is a file without tokens. */
PROBLEM_MUST_CHECK struct token_file *token_open(const char *name, struct problem *why);
/* Reads it again. False: the tokens are those of before. */
PROBLEM_MUST_CHECK bool token_reread(struct token_file *file, struct problem *why);
void token_close(struct token_file *file); /* NULL is fine */
unsigned token_count(struct token_file *file);

/* Whether these bytes are a token of the file; fills grant. How long it takes does not depend on how much of it is
 * right. */
PROBLEM_MUST_CHECK bool token_find(struct token_file *file, const char *token, size_t bytes, struct token_grant *grant);

/* "read,submit" as bits. False: PROBLEM_UNKNOWN_FIELD or PROBLEM_MALFORMED. */
PROBLEM_MUST_CHECK bool token_scopes_read(const char *text, unsigned *scopes, struct problem *why);
/* "read": the name of the first scope that is in wanted and not in scopes; NULL: none is missing. */
const char *token_scope_missing(unsigned wanted, unsigned scopes);
/* 1 to 63 letters, digits, '.', '_' and '-'. */
bool token_name_is_good(const char *name);

/* A new random token, and its hash as it stands in a file. */
PROBLEM_MUST_CHECK bool token_make(char token[TOKEN_TEXT_BYTES], char hash[TOKEN_HASH_BYTES], struct problem *why);

/* `rematd token NAME [--scopes read,submit]`: prints a new token, and the line for the file. Returns the exit code. In
 * token_command.c. */
int token_command(int n_args, char *const args[]);

#endif
