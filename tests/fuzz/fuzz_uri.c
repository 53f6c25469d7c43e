/* fuzz_uri.c - any bytes as a raw request target: what the guard lets through has one reading, and a harmless one. */
#include "tests/fuzz/ask.h"

#include "server/http_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    struct arena arena;
    struct problem why = {0};
    char *uri = text_of(bytes, n);
    arena_init(&arena, 16u << 20);
    if (!http_guard_uri(uri)) {
        size_t length = strcspn(uri, "?");
        const char *path = route_decode(uri, length, false, &arena, &why);
        check(path && path[0] == '/', "what was let through has no path");
        for (size_t i = 0, slashes = 0, raw = 0; i <= length && path[i]; i++) {
            slashes += path[i] == '/';
            raw += uri[i] == '/';
            check(path[i + 1] || slashes >= raw, "a slash was lost");
        }
        check(!strchr(path, '\\') && !strstr(path, "/../") && !strstr(path, "/./"), "a path that climbs");
        size_t end = strlen(path);
        check(end < 3 || strcmp(path + end - 3, "/..") != 0, "a path that climbs at its end");
        const struct route_pair *pairs;
        unsigned n_pairs;
        struct problem query = {0};
        if (uri[length] && !route_query_parse(uri + length + 1, &arena, &pairs, &n_pairs, &query))
            refused(&query);
    }
    arena_free(&arena);
    free(uri);
    return 0;
}
