/* token_command.c - `rematd token`: the one moment in which a token exists outside its owner's hands. */
#include "server/token.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  2

static const char usage[] =
    "usage: rematd token NAME [--scopes SCOPE,SCOPE]\n\n"
    "Makes a random token. The first line printed is the token itself, for who will use it; it is kept nowhere. The\n"
    "second goes into the file of rematd serve --tokens, which reads it again on SIGHUP.\n\n"
    "Scopes [read]: read (look and plan), submit (send and delete jobs and tensors), admin (everything).\n";

static int refuse(const char *what, const char *which) {
    fprintf(stderr, "rematd token: %s%.80s\n\n%s", what, which, usage);
    return EXIT_USAGE;
}

static int make(const char *name, const char *scopes) {
    char token[TOKEN_TEXT_BYTES], hash[TOKEN_HASH_BYTES];
    struct problem why = {0};
    unsigned bits;
    if (!token_name_is_good(name))
        return refuse("a name has 1 to 63 letters, digits, '.', '_' and '-', not ", name);
    if (!token_scopes_read(scopes, &bits, &why))
        return refuse("--scopes: ", why.detail);
    if (!token_make(token, hash, &why)) {
        fprintf(stderr, "rematd token: %s\n", why.detail);
        return EXIT_FAILED;
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "The token, shown this once, and the line for the file of --tokens:\n");
    printf("%s\n%s %s %s\n", token, name, scopes, hash);
    return fflush(stdout) == 0 ? 0 : EXIT_FAILED;
}

int token_command(int n_args, char *const args[]) {
    const char *name = NULL, *scopes = "read";
    for (int i = 0; i < n_args; i++) {
        if (strcmp(args[i], "--help") == 0)
            return fputs(usage, stdout) < 0;
        if (strncmp(args[i], "--scopes=", 9) == 0)
            scopes = args[i] + 9;
        else if (strcmp(args[i], "--scopes") == 0 && i + 1 < n_args)
            scopes = args[++i];
        else if (args[i][0] == '-' || name)
            return refuse("not understood: ", args[i]);
        else
            name = args[i];
    }
    return name ? make(name, scopes) : refuse("a name is needed", "");
}
