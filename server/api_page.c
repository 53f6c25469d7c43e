/* api_page.c - the page at /: static files of server/web, as they are when this file is compiled (from the root of the
 * sources). They ask for nothing outside this daemon, and the policy sent with them forbids it. */
#include <string.h>

#include "server/api.h"
#include "server/plan_cache.h"

#define EMBED(NAME, FILE)                                                                                              \
    __asm__(".section .rodata\n"                                                                                       \
            ".global api_page_" NAME "_begin\n"                                                                        \
            "api_page_" NAME "_begin:\n"                                                                               \
            ".incbin \"server/web/" FILE "\"\n"                                                                        \
            ".global api_page_" NAME "_end\n"                                                                          \
            "api_page_" NAME "_end:\n"                                                                                 \
            ".byte 0\n"                                                                                                \
            ".previous\n")
EMBED("html", "page.html");
EMBED("css", "page.css");
EMBED("js", "page.js");
EMBED("svg", "page.svg");
extern const char api_page_html_begin[], api_page_html_end[], api_page_css_begin[], api_page_css_end[],
    api_page_js_begin[], api_page_js_end[], api_page_svg_begin[], api_page_svg_end[];

static const struct file {
    const char *path, *type, *begin, *end;
} files[] = {
    {"/", "text/html; charset=utf-8", api_page_html_begin, api_page_html_end},
    {"/page.css", "text/css; charset=utf-8", api_page_css_begin, api_page_css_end},
    {"/page.js", "text/javascript; charset=utf-8", api_page_js_begin, api_page_js_end},
    {"/page.svg", "image/svg+xml", api_page_svg_begin, api_page_svg_end},
};

static const struct file *file_find(const char *path) {
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    return NULL;
}

static bool page(struct request *request, struct response *response, struct problem *why) {
    const struct file *file = file_find(request->path);
    if (!file)
        return problem_set(why, PROBLEM_INTERNAL, "", "%s has a route and no file", request->path);
    return api_page_answer(request, response, file->type, file->begin, (size_t)(file->end - file->begin),
                           "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", why);
}

bool api_page_answer(struct request *request, struct response *response, const char *type, const char *body,
                     size_t bytes, const char *policy, struct problem *why) {
    const char *known = request_header(request, "If-None-Match");
    char *tag = arena_take(request->arena, PLAN_TAG_SIZE, 1, why);
    if (!tag)
        return false;
    plan_answer_tag(tag, body, bytes);
    response->content_type = type;
    response->body = body;
    response->body_bytes = bytes;
    if (known && (strstr(known, tag) || strcmp(known, "*") == 0)) {
        response->status = 304;
        response->body = NULL;
        response->body_bytes = 0;
    }
    return response_header(response, "ETag", tag) && response_header(response, "Cache-Control", "no-cache") &&
           response_header(response, "Content-Security-Policy", policy);
}

const struct route api_page_routes[] = {
    {"GET", "/", BODY_NONE, page, SCOPE_OPEN},
    {"GET", "/page.css", BODY_NONE, page, SCOPE_OPEN},
    {"GET", "/page.js", BODY_NONE, page, SCOPE_OPEN},
    {"GET", "/page.svg", BODY_NONE, page, SCOPE_OPEN},
    {0},
};
