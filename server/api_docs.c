/* api_docs.c - /docs: the contract to read and to try, by Swagger UI where `make swagger` has fetched it before the
 * build; where not, a page that says so. Nothing is loaded from elsewhere. */
#include <string.h>

#include "server/api.h"

#define EMBED(NAME, FILE)                                                                                              \
    __asm__(".section .rodata\n"                                                                                       \
            ".global api_docs_" NAME "_begin\n"                                                                        \
            "api_docs_" NAME "_begin:\n"                                                                               \
            ".incbin \"" FILE "\"\n"                                                                                   \
            ".global api_docs_" NAME "_end\n"                                                                          \
            "api_docs_" NAME "_end:\n"                                                                                 \
            ".byte 0\n"                                                                                                \
            ".previous\n")

/* Relative to the root of the sources, like the files of .incbin. */
#if __has_include("build/swagger/swagger-ui-bundle.js") && __has_include("build/swagger/swagger-ui.css")
EMBED("html", "server/web/docs.html");
EMBED("bundle", "build/swagger/swagger-ui-bundle.js");
EMBED("css", "build/swagger/swagger-ui.css");
EMBED("start", "server/web/docs.js");
extern const char api_docs_bundle_begin[], api_docs_bundle_end[], api_docs_css_begin[], api_docs_css_end[],
    api_docs_start_begin[], api_docs_start_end[];
#define ASSETS 1
#else
EMBED("html", "server/web/docs-absent.html");
#define ASSETS 0
#endif
extern const char api_docs_html_begin[], api_docs_html_end[];

static const struct file {
    const char *path, *type, *begin, *end;
} files[] = {
    {"/docs", "text/html; charset=utf-8", api_docs_html_begin, api_docs_html_end},
#if ASSETS
    {"/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8", api_docs_bundle_begin, api_docs_bundle_end},
    {"/docs/swagger-ui.css", "text/css; charset=utf-8", api_docs_css_begin, api_docs_css_end},
    {"/docs/docs.js", "text/javascript; charset=utf-8", api_docs_start_begin, api_docs_start_end},
#endif
};

/* Swagger UI sets styles of elements and has its pictures in its style sheet. */
static const char policy[] = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static bool docs(struct request *request, struct response *response, struct problem *why) {
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].path, request->path) == 0)
            return api_page_answer(request, response, files[i].type, files[i].begin,
                                   (size_t)(files[i].end - files[i].begin), policy, why);
    return problem_set(why, PROBLEM_NOT_FOUND, "", "there is no %s: `make swagger` before `make` brings Swagger UI",
                       request->path);
}

const struct route api_docs_routes[] = {
    {"GET", "/docs", BODY_NONE, docs, SCOPE_OPEN},
    {"GET", "/docs/{file}", BODY_NONE, docs, SCOPE_OPEN},
    {0},
};
