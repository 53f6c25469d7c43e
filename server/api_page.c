/* api_page.c - the page at /: static files of server/web. They ask for nothing outside this daemon, and the policy sent
 * with them forbids it. */
#include <string.h>

#include "server/api.h"
#include "server/api_static.h"

API_STATIC_FILE(api_page_html, "server/web/page.html");
API_STATIC_FILE(api_page_css, "server/web/page.css");
API_STATIC_FILE(api_page_js, "server/web/page.js");
API_STATIC_FILE(api_page_svg, "server/web/page.svg");

static const struct file {
    const char *path, *type, *begin, *end;
} files[] = {
    {"/", "text/html; charset=utf-8", api_page_html_begin, api_page_html_end},
    {"/page.css", "text/css; charset=utf-8", api_page_css_begin, api_page_css_end},
    {"/page.js", "text/javascript; charset=utf-8", api_page_js_begin, api_page_js_end},
    {"/page.svg", "image/svg+xml", api_page_svg_begin, api_page_svg_end},
};

static const char policy[] = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static bool page(struct request *request, struct response *response, struct problem *why) {
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].path, request->path) == 0)
            return response_header(response, "Content-Security-Policy", policy) &&
                   api_static_answer(request, response, files[i].type, files[i].begin,
                                     (size_t)(files[i].end - files[i].begin), why);
    return problem_set(why, PROBLEM_INTERNAL, "", "%s has a route and no file", request->path);
}

const struct route api_page_routes[] = {
    {"GET", "/", BODY_NONE, page, SCOPE_OPEN},
    {"GET", "/page.css", BODY_NONE, page, SCOPE_OPEN},
    {"GET", "/page.js", BODY_NONE, page, SCOPE_OPEN},
    {"GET", "/page.svg", BODY_NONE, page, SCOPE_OPEN},
    {0},
};
