/* api_docs.c - /docs: the contract to read and to try, by Swagger UI where `make swagger` has fetched it before the
 * build; where not, a page that says so. Nothing is loaded from elsewhere. */
#include <string.h>

#include "server/api.h"
#include "server/api_static.h"

#if __has_include("build/swagger/swagger-ui-bundle.js") && __has_include("build/swagger/swagger-ui.css")
API_STATIC_FILE(api_docs_html, "server/web/docs.html");
API_STATIC_FILE(api_docs_bundle, "build/swagger/swagger-ui-bundle.js");
API_STATIC_FILE(api_docs_css, "build/swagger/swagger-ui.css");
API_STATIC_FILE(api_docs_start, "server/web/docs.js");
#define ASSETS 1
#else
API_STATIC_FILE(api_docs_html, "server/web/docs-absent.html");
#define ASSETS 0
#endif

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
            return response_header(response, "Content-Security-Policy", policy) &&
                   api_static_answer(request, response, files[i].type, files[i].begin,
                                     (size_t)(files[i].end - files[i].begin), why);
    return problem_set(why, PROBLEM_NOT_FOUND, "", "there is no %s: `make swagger` before `make` brings Swagger UI",
                       request->path);
}

const struct route api_docs_routes[] = {
    {"GET", "/docs", BODY_NONE, docs, SCOPE_OPEN},
    {"GET", "/docs/{file}", BODY_NONE, docs, SCOPE_OPEN},
    {0},
};
