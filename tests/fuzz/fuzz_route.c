/* fuzz_route.c - any bytes as a request target: split, decoded and looked up as the front does it; problems as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "fuzz_route: %s\n", what);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    struct arena arena;
    struct problem why = {0};
    struct request request = {0};
    char *target = malloc(n + 1);
    check(target != NULL, "no memory");
    memcpy(target, bytes, n);
    target[n] = '\0';
    arena_init(&arena, 16u << 20);
    size_t length = strcspn(target, "?");
    const char *args[ROUTE_ARGS] = {NULL}, *allow = NULL, *path = route_decode(target, length, false, &arena, &why);
    if (path &&
        route_query_parse(target + length + (target[length] == '?'), &arena, &request.query, &request.n_query, &why)) {
        const struct route *row = route_find(route_tables, "GET", path, args, &allow, &arena, &why);
        check(row || why.kind == PROBLEM_NOT_FOUND || (why.kind == PROBLEM_STATE && allow), "lost without a word");
        for (unsigned i = 0; row && i < ROUTE_ARGS && args[i]; i++)
            check(args[i][0] && !strchr(args[i], '/'), "a parameter is no segment");
    }
    if (why.kind == PROBLEM_NONE)
        problem_set(&why, PROBLEM_LIMIT, target, "%s", target);
    size_t size;
    const char *body = route_problem_body(&why, 0, &arena, &size);
    check(body && route_text_is_utf8(body) && strlen(body) == size && body[size - 1] == '\n', "a problem is no text");
    for (size_t i = 0; i + 1 < size; i++)
        check((unsigned char)body[i] >= 0x20, "a problem has a control character");
    arena_free(&arena);
    free(target);
    return 0;
}
