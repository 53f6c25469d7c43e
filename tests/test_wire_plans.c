/* test_wire_plans.c - every request of tests/wire/plans, answered by its route.
 *
 * A file is a list of cases, two lines each, between them empty lines and # comments:
 *
 *   POST /v1/plans {"workload": {"model": "gpt2", "seq_len": 0}}
 *   422 limit /workload/seq_len | from 1 to 2147483648
 *
 * A refusal has its status, its slug, its pointer unless that is the whole request, and what its detail must say; a yes
 * is "200" and what the answer must hold at least. A case is added by adding its lines. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/wire.h"

#define DIRECTORY "tests/wire/plans"

struct case_file {
    FILE *file;
    const char *name;
    unsigned line;
};

/* The next line that says something, without its end; NULL at the end of the file. */
static char *next_line(struct case_file *f, char **line, size_t *room) {
    ssize_t n;
    while ((n = getline(line, room, f->file)) >= 0) {
        f->line++;
        (*line)[strcspn(*line, "\n")] = '\0';
        if (**line && **line != '#')
            return *line;
    }
    return NULL;
}

/* Every field of `least` is in `whole`; arrays and scalars are equal. */
static bool holds(const struct wire_value *whole, const struct wire_value *least, struct arena *a) {
    struct problem why = {0};
    struct wire_value field, same;
    if (wire_type(least) != WIRE_OBJECT)
        return strcmp(wire_json(whole, a, &why), wire_json(least, a, &why)) == 0;
    for (size_t i = 0; wire_member(least, i, &field); i++)
        if (wire_type(whole) != WIRE_OBJECT || !wire_get(whole, field.key, &same) || !holds(&same, &field, a))
            return false;
    return true;
}

static void yes_check(const struct case_file *f, const struct response *got, const char *wanted, struct arena *a) {
    struct problem why = {0};
    struct wire_document *answer = wire_parse(got->body, got->body_bytes, &why);
    struct wire_document *least = wire_parse(wanted, strlen(wanted), &why);
    cr_assert(answer && least, "%s:%u: %s", f->name, f->line, why.detail);
    struct wire_value whole = wire_root(answer), some = wire_root(least);
    cr_expect(holds(&whole, &some, a), "%s:%u: %.600s", f->name, f->line, (const char *)got->body);
    wire_document_free(answer);
    wire_document_free(least);
}

/* wanted is cut up. */
static void no_check(const struct case_file *f, const struct problem *got, char *wanted) {
    char said[512];
    char *at = wanted, *piece;
    snprintf(said, sizeof said, "%u %s%s%s", route_problem_status(got->kind), problem_slug(got->kind),
             got->where[0] ? " " : "", got->where);
    for (bool head = true; at; head = false) {
        piece = at;
        at = strstr(piece, " | ");
        if (at) {
            *at = '\0';
            at += 3;
        }
        if (head)
            cr_expect_str_eq(said, piece, "%s:%u: '%s', not '%s': %s", f->name, f->line, said, piece, got->detail);
        else
            cr_expect(strstr(got->detail, piece), "%s:%u: '%s' does not say '%s'", f->name, f->line, got->detail,
                      piece);
    }
}

static const struct route *route_of(const char *method, const char *path) {
    for (const struct route *r = api_plans_routes; r->method; r++)
        if (strcmp(r->method, method) == 0 && strcmp(r->pattern, path) == 0)
            return r;
    return NULL;
}

/* Cuts the line up: "METHOD PATH?QUERY BODY". */
static bool asked(const struct case_file *f, char *line, struct request *request, struct response *response,
                  struct problem *why) {
    char *method = strsep(&line, " "), *target = strsep(&line, " "), *path = strsep(&target, "?");
    const struct route *route = path ? route_of(method, path) : NULL;
    cr_assert(route, "%s:%u: there is no %s %s", f->name, f->line, method, path ? path : "");
    request->raw_query = target ? arena_printf(request->arena, why, "%s", target) : "";
    request->body = line ? line : "";
    request->body_bytes = strlen(request->body);
    return route_query_parse(target ? target : "", request->arena, &request->query, &request->n_query, why) &&
           route_parameters_check(route, request, why) && route->handle(request, response, why);
}

static void case_run(const struct case_file *f, char *question, char *wanted) {
    struct arena a;
    struct problem why = {0};
    struct response response = {.fd = -1};
    arena_init(&a, 0);
    struct request request = {.arena = &a};
    bool ok = asked(f, question, &request, &response, &why), yes = strncmp(wanted, "200", 3) == 0;
    cr_expect_eq(ok, yes, "%s:%u: %s: %s %s", f->name, f->line, ok ? "taken" : "refused", why.where, why.detail);
    if (ok && yes)
        yes_check(f, &response, wanted + 3, &a);
    else if (!ok && !yes)
        no_check(f, &why, wanted);
    arena_free(&a);
}

static unsigned file_run(const char *name) {
    char path[300];
    char *question = NULL, *wanted = NULL;
    size_t question_room = 0, wanted_room = 0;
    unsigned n = 0;
    snprintf(path, sizeof path, DIRECTORY "/%.200s", name);
    struct case_file f = {fopen(path, "r"), name, 0};
    cr_assert(f.file, "%s", path);
    for (; next_line(&f, &question, &question_room); n++) {
        cr_assert(next_line(&f, &wanted, &wanted_room), "%s:%u: a question without an answer", name, f.line);
        case_run(&f, question, wanted);
    }
    free(question);
    free(wanted);
    fclose(f.file);
    return n;
}

Test(Wire, plans_are_answered_as_the_files_say) {
    unsigned n = 0;
    DIR *dir = opendir(DIRECTORY);
    cr_assert(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            n += file_run(entry->d_name);
    closedir(dir);
    cr_expect_gt(n, 500);
}
