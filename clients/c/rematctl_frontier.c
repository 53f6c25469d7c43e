/* rematctl_frontier.c - memory against recomputation: the frontier and the named strategies in one table, or a plot. */
#include "clients/c/rematctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_POINTS 24u   /* what a screen has */
#define PLOT_POINTS  1000u /* the most that are answered */

/* ---- rows ---- */

static double number(const json_t *object, const char *key, double otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static void text_add(char *text, size_t room, const char *more) {
    const size_t used = strlen(text);
    if (used + strlen(more) < room)
        memcpy(text + used, more, strlen(more) + 1);
    else if (used >= 4)
        memcpy(text + used - 3, "...", 4);
}

/* "every_n n=2", "selective attention+mlp"; what asks for one point of the frontier (its budget) is left out. True if
 * the name is all. */
static bool strategy_text(const json_t *strategy, char *text, size_t room) {
    static const char *const shown[] = {"n", "k", "segments", "loss_chunk"};
    const json_t *op, *name = json_is_string(strategy) ? strategy : json_object_get(strategy, "name");
    char number_text[48];
    bool plain = true;
    size_t i;
    text[0] = '\0';
    text_add(text, room, json_is_string(name) ? json_string_value(name) : "?");
    for (i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        const json_t *value = json_object_get(strategy, shown[i]);
        if (!json_is_integer(value))
            continue;
        plain = false;
        snprintf(number_text, sizeof number_text, " %s=%lld", shown[i], json_integer_value(value));
        text_add(text, room, number_text);
    }
    json_array_foreach(json_object_get(strategy, "ops"), i, op) {
        plain = false;
        text_add(text, room, i ? "+" : " ");
        text_add(text, room, json_is_string(op) ? json_string_value(op) : "?");
    }
    return plain;
}

static struct frontier_row row_of(const json_t *value, bool point) {
    struct frontier_row row = {.peak_bytes = number(value, "peak_bytes", 0),
                               .overhead_pct = number(value, "compute_overhead_pct", 0),
                               .step_seconds = number(value, "step_seconds", -1),
                               .point = point,
                               .named = !point,
                               .knee = json_is_true(json_object_get(value, "knee"))};
    row.plain = strategy_text(json_object_get(value, "strategy"), row.strategies, sizeof row.strategies);
    if (!point)
        snprintf(row.label, sizeof row.label, "%.63s", row.strategies);
    return row;
}

/* Falling in memory; among equals the cheaper, what has a name first, above all a name alone. */
static int by_memory(const void *left, const void *right) {
    const struct frontier_row *a = left, *b = right;
    if (a->peak_bytes != b->peak_bytes)
        return a->peak_bytes > b->peak_bytes ? -1 : 1;
    if (a->overhead_pct != b->overhead_pct)
        return a->overhead_pct < b->overhead_pct ? -1 : 1;
    if (a->point != b->point)
        return a->point ? 1 : -1;
    return (int)b->plain - (int)a->plain;
}

/* What is one and the same in both is one row, with all its names. */
static void rows_join(struct frontier *f) {
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct frontier_row *row = &f->rows[i], *last = n ? &f->rows[n - 1] : NULL;
        if (!last || last->peak_bytes != row->peak_bytes || last->overhead_pct != row->overhead_pct) {
            f->rows[n++] = *row;
            continue;
        }
        if (strcmp(last->strategies, row->strategies) != 0) {
            text_add(last->strategies, sizeof last->strategies, ", ");
            text_add(last->strategies, sizeof last->strategies, row->strategies);
        }
        last->point |= row->point;
        last->knee |= row->knee;
        if (last->step_seconds < 0)
            last->step_seconds = row->step_seconds;
    }
    f->n = n;
}

/* False: no memory, or the answer has no points. The rows are the caller's to free. */
static bool frontier_read(const json_t *answer, struct frontier *f) {
    const json_t *points = json_object_get(answer, "points"), *named = json_object_get(answer, "named"), *value;
    size_t i;
    f->n = 0;
    f->rows = calloc(json_array_size(points) + json_array_size(named) + 1, sizeof *f->rows);
    if (!f->rows || !json_array_size(points))
        return false;
    json_array_foreach(points, i, value) f->rows[f->n++] = row_of(value, true);
    json_array_foreach(named, i, value) {
        f->rows[f->n] = row_of(value, false);
        if (strcmp(f->rows[f->n].label, "standard") == 0)
            f->standard_bytes = f->rows[f->n].peak_bytes;
        f->n++;
    }
    f->proven = !json_is_false(json_object_get(answer, "exact"));
    qsort(f->rows, f->n, sizeof *f->rows, by_memory);
    rows_join(f);
    if (f->standard_bytes <= 0)
        f->standard_bytes = f->rows[0].peak_bytes;
    return true;
}

/* ---- what is shown ---- */

/* "gpt2, sequences of 1024, batch 8, bfloat16, flash attention, h100-80gb": what was asked for. */
static void title_make(const struct rematctl *ctl, char *title, size_t room) {
    const char *word = ctl->n_words ? ctl->words[0] : ctl->graph ? ctl->graph : ctl->chain, *slash = strrchr(word, '/');
    const struct {
        const char *before, *text, *after;
    } parts[] = {{"", ctl->dtype, ""},
                 {"", ctl->attention, " attention"},
                 {"", ctl->optimizer, ""},
                 {"dropout ", ctl->dropout, ""},
                 {"", ctl->device, ""}};
    int n = snprintf(title, room, "%.100s", strcmp(word, "-") == 0 ? "standard input" : slash ? slash + 1 : word);
    if (ctl->seq_len)
        n += snprintf(title + n, room - (size_t)n, ", sequences of %u, batch %u", ctl->seq_len,
                      ctl->batch ? ctl->batch : 1);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && ctl->n_words; i++)
        if (parts[i].text && (size_t)n + 60 < room)
            n += snprintf(title + n, room - (size_t)n, ", %s%.24s%s", parts[i].before, parts[i].text, parts[i].after);
}

/* All rows in one unit, that of the most. */
static double unit_of(double most, const char **name) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    double bytes = 1;
    for (; most / bytes >= 2048 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        bytes *= 1024;
    *name = units[unit];
    return bytes;
}

static void table_print(const struct frontier *f) {
    const char *unit;
    const double unit_bytes = unit_of(f->rows[0].peak_bytes, &unit);
    bool timed = false, beside = false, knee = false;
    for (size_t i = 0; i < f->n; i++) {
        timed |= f->rows[i].step_seconds >= 0;
        beside |= !f->rows[i].point;
        knee |= f->rows[i].knee;
    }
    printf("%s\n%7s, %-5s%11s%11s%s  %s\n", f->title, "PEAK", unit, "STANDARD", "COMPUTE", timed ? "       STEP" : "",
           "STRATEGY");
    for (size_t i = 0; i < f->n; i++) {
        const struct frontier_row *row = &f->rows[i];
        printf("%c ", row->knee ? '>' : row->point ? '*' : ' ');
        printf("%12.*f", unit_bytes > 1 ? 3 : 0, row->peak_bytes / unit_bytes);
        printf("%9.1f %%%+9.*f %%", 100 * row->peak_bytes / f->standard_bytes, row->overhead_pct < 100 ? 2 : 1,
               row->overhead_pct);
        if (timed && row->step_seconds >= 0)
            printf("%11.4g", row->step_seconds);
        else if (timed)
            printf("%11s", "");
        printf("  %s%s\n", row->strategies, row->knee ? "  <- the knee" : "");
    }
    printf("* the frontier: %s%s\n", f->proven ? "nothing is lower in both" : "the best that was found",
           knee ? "; > its knee, past which memory gets dear" : "");
    if (beside)
        puts("  the unmarked: named strategies beside it");
}

/* Prints the file's name, as fetch does. */
static int plot_write(const struct frontier *f, const char *name, bool quiet) {
    const bool out = strcmp(name, "-") == 0;
    FILE *to = out ? stdout : fopen(name, "w");
    bool ok = to && rematctl_svg_write(f, to);
    if (to && !out)
        ok = (fclose(to) == 0) && ok;
    if (!ok) {
        fprintf(stderr, "rematctl: %s: %s\n", name, errno ? strerror(errno) : "cannot be written");
        return EXIT_LOCAL;
    }
    if (!out && !quiet)
        puts(name);
    return EXIT_DONE;
}

static int show(const struct rematctl *ctl, const json_t *answer) {
    struct frontier f = {0};
    int code = EXIT_LOCAL;
    title_make(ctl, f.title, sizeof f.title);
    if (!frontier_read(answer, &f))
        fputs("rematctl: the answer has no frontier\n", stderr);
    else if (ctl->svg)
        code = plot_write(&f, ctl->svg, ctl->json);
    else {
        table_print(&f);
        code = EXIT_DONE;
    }
    free(f.rows);
    return code;
}

int rematctl_frontier(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    const double seconds = rematctl_time_limit(ctl);
    int code = EXIT_USAGE;
    if (ctl->strategy || ctl->budget) {
        fputs("rematctl: a frontier is of all strategies and budgets: neither is given\n", stderr);
        return EXIT_USAGE;
    }
    json_t *body = seconds < 0 ? NULL : rematctl_subject(ctl, ctl->n_words ? ctl->words[0] : NULL, &code);
    if (!body)
        return code;
    if (ctl->points || !ctl->json) /* programs get every point, people what fits */
        json_object_set_new(body, "points",
                            json_integer((json_int_t)(ctl->points ? ctl->points
                                                      : ctl->svg  ? PLOT_POINTS
                                                                  : TABLE_POINTS)));
    if (ctl->objective)
        json_object_set_new(body, "objective", json_string(ctl->objective));
    if (ctl->time_limit)
        json_object_set_new(body, "time_limit_seconds", json_real(seconds));
    json_t *answer = rematc_frontier(ctl->client, body, &why);
    json_decref(body);
    if (!answer)
        return rematctl_fail(&why);
    if (ctl->json)
        rematctl_print_json(answer);
    code = ctl->json && !ctl->svg ? EXIT_DONE : show(ctl, answer);
    json_decref(answer);
    return code;
}
