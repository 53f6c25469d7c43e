/* rematctl_print.c - tables for people, and JSON for programs. A field that is not there prints as nothing. */
#include "clients/c/rematctl.h"

#include <stdarg.h>
#include <string.h>

static const json_t *at(const json_t *value, const char *outer, const char *inner) {
    return json_object_get(json_object_get(value, outer), inner);
}

static const char *text_of(const json_t *value, const char *key) {
    const char *text = json_string_value(json_object_get(value, key));
    return text ? text : "";
}

static double number_of(const json_t *value, const char *key) {
    return json_number_value(json_object_get(value, key));
}

const char *rematctl_bytes_text(json_int_t bytes, char *text) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    char digits[24], *to = text;
    double scaled = (double)bytes / 1024;
    size_t unit = 0;
    int n = snprintf(digits, sizeof digits, "%lld", (long long)bytes);
    for (int i = 0; i < n; i++) {
        *to++ = digits[i];
        if (i + 1 < n && digits[i] != '-' && (n - i - 1) % 3 == 0)
            *to++ = ',';
    }
    *to = '\0';
    for (; scaled >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        scaled /= 1024;
    if (bytes >= 1024)
        snprintf(to, 24, " (%.1f %s)", scaled, units[unit]);
    return text;
}

static void label(const char *name) {
    printf("%-18s", name);
}

static void line(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *name, const char *format, ...) {
    va_list args;
    label(name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* A line of bytes, where there is such a number. */
static void bytes_line(const char *name, const json_t *value) {
    char text[64];
    if (json_is_integer(value))
        line(name, "%s", rematctl_bytes_text(json_integer_value(value), text));
}

/* Files and tables of rows of keys: which JSON keys become which lines. */
struct bytes_row {
    const char *key, *name;
};
static const struct bytes_row memory_rows[] = {
    {"predicted_peak_bytes", "Predicted peak"}, {"measured_peak_bytes", "Measured peak"},
    {"saved_bytes", "Held for backward"},       {"retained_peak_bytes", "Retained peak"},
    {"outside_slab_bytes", "Outside the slab"}, {"rss_growth_bytes", "RSS growth"},
};
static const struct bytes_row savings_rows[] = {
    {"standard_memory_bytes", "Standard"},
    {"checkpointed_memory_bytes", "Checkpointed"},
    {"standard_peak_bytes", "Standard peak"},
    {"checkpointed_peak_bytes", "Checkpointed peak"},
};

static void bytes_lines(const json_t *object, const struct bytes_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++)
        bytes_line(rows[i].name, json_object_get(object, rows[i].key));
}

void rematctl_print_json(const json_t *value) {
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    putchar('\n');
}

/* "attention", or {"name": "every_n", "n": 2} as it is. */
static void strategy_print(const json_t *strategy) {
    if (json_is_string(strategy))
        fputs(json_string_value(strategy), stdout);
    else if (strategy)
        json_dumpf(strategy, stdout, JSON_COMPACT);
}

static void problem_print(const json_t *problem) {
    if (json_is_object(problem))
        line("Problem", "%s%s%s", text_of(problem, "detail"), text_of(problem, "pointer")[0] ? " at " : "",
             text_of(problem, "pointer"));
}

static void comparison_print(const json_t *comparison) {
    if (!json_is_object(comparison))
        return;
    label("Compared with");
    strategy_print(json_object_get(comparison, "strategy"));
    printf(": %s, %.1f %% less peak, %.1f %% less held, %.1f %% more compute\n",
           json_is_true(json_object_get(comparison, "identical")) ? "identical" : "NOT IDENTICAL",
           number_of(comparison, "memory_saved_pct"), number_of(comparison, "saved_bytes_saved_pct"),
           number_of(comparison, "compute_overhead_pct"));
}

static void shape_print(const json_t *shape) {
    size_t i;
    json_t *n;
    putchar('[');
    json_array_foreach(shape, i, n) printf("%s%lld", i ? ", " : "", json_integer_value(n));
    putchar(']');
}

static void outputs_print(const json_t *outputs) {
    const char *name;
    json_t *tensor;
    json_object_foreach((json_t *)outputs, name, tensor) {
        if (!json_object_get(tensor, "shape"))
            continue;
        label(name);
        printf("%s ", text_of(tensor, "dtype"));
        shape_print(json_object_get(tensor, "shape"));
        putchar('\n');
    }
}

static void result_print(const json_t *result) {
    const json_t *time = json_object_get(result, "time"), *measured = json_object_get(result, "measured");
    if (json_object_get(result, "feasible")) {
        rematctl_print_plan(result);
        return;
    }
    bytes_lines(json_object_get(result, "memory"), memory_rows, sizeof memory_rows / sizeof memory_rows[0]);
    if (time)
        line("Seconds", "%.4f forward, %.4f recompute, %.4f backward", number_of(time, "forward_seconds"),
             number_of(time, "recompute_seconds"), number_of(time, "backward_seconds"));
    comparison_print(json_object_get(result, "comparison"));
    outputs_print(json_object_get(result, "outputs"));
    if (!measured)
        return;
    bytes_lines(result, savings_rows, sizeof savings_rows / sizeof savings_rows[0]);
    line("Memory saved", "%.1f %%", number_of(result, "memory_saved_pct"));
    line("Compute overhead", "%.1f %%", number_of(result, "compute_overhead_pct"));
    puts("Executed:");
    bytes_lines(measured, savings_rows, sizeof savings_rows / sizeof savings_rows[0]);
    line("Compute overhead", "%.1f %%", number_of(measured, "compute_overhead_pct"));
    line("Time overhead", "%.1f %%", number_of(measured, "time_overhead_pct"));
}

void rematctl_print_job(const json_t *job) {
    const json_t *done = at(job, "progress", "done"), *total = at(job, "progress", "total");
    line("Job", "%s", text_of(job, "id"));
    line("Kind", "%s", text_of(job, "kind"));
    line("State", "%s, attempts %lld", text_of(job, "state"), json_integer_value(json_object_get(job, "attempts")));
    if (json_integer_value(total) > 0 && !rematc_job_finished(job))
        line("Progress", "%lld of %lld", json_integer_value(done), json_integer_value(total));
    bytes_line("Planned peak", at(job, "planned", "peak_bytes"));
    problem_print(json_object_get(job, "problem"));
    if (json_is_object(json_object_get(job, "result")))
        result_print(json_object_get(job, "result"));
}

void rematctl_print_jobs(const json_t *list) {
    size_t i;
    json_t *job;
    const char *next = text_of(list, "next_page_token");
    printf("%-38s%-16s%-11s%-26s%s\n", "ID", "KIND", "STATE", "CREATED", "PLANNED PEAK");
    json_array_foreach(json_object_get(list, "jobs"), i, job) {
        char text[64] = "";
        const json_t *peak = at(job, "planned", "peak_bytes");
        if (json_is_integer(peak))
            rematctl_bytes_text(json_integer_value(peak), text);
        printf("%-38s%-16s%-11s%-26s%s\n", text_of(job, "id"), text_of(job, "kind"), text_of(job, "state"),
               text_of(job, "created_at"), text);
    }
    if (next[0])
        printf("more: the same command with --page-token %s\n", next);
}

void rematctl_print_explanation(const json_t *explanation) {
    size_t i;
    json_t *step;
    bytes_line("Peak", at(explanation, "planned", "peak_bytes"));
    bytes_line("Slab", at(explanation, "planned", "slab_bytes"));
    printf("%6s  %-6s%15s  %s\n", "STEP", "DO", "LIVE BYTES", "OF");
    json_array_foreach(json_object_get(explanation, "steps"), i, step) {
        const char *note = text_of(step, "note");
        printf("%6zu  %-6s%15lld  %s%s%s%s\n", i, text_of(step, "do"),
               json_integer_value(json_object_get(step, "live_bytes")), text_of(step, "of"), note[0] ? " (" : "", note,
               note[0] ? ")" : "");
    }
}

void rematctl_print_upload(const json_t *upload) {
    size_t i;
    json_t *tensor;
    printf("%s\n", text_of(upload, "tensor"));
    json_array_foreach(json_object_get(upload, "tensors"), i, tensor) {
        printf("  %-20s%-10s", text_of(tensor, "name"), text_of(tensor, "dtype"));
        shape_print(json_object_get(tensor, "shape"));
        putchar('\n');
    }
}

/* "step 3, loss 2.51", behind what is there already */
static void report_print(const json_t *report, const char *joint) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)report, key, value) {
        printf("%s%s ", joint, key);
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        joint = ", ";
    }
}

void rematctl_print_event(uint64_t id, const char *event, const json_t *data) {
    const char *job = text_of(data, "job"); /* where there are many */
    printf("%6llu  %s%s%-10s", (unsigned long long)id, job, job[0] ? "  " : "", event);
    if (strcmp(event, "state") == 0)
        printf("%s, attempt %lld", text_of(data, "state"), json_integer_value(json_object_get(data, "attempt")));
    else {
        bool counts = number_of(data, "total") > 0;
        if (counts)
            printf("%.0f of %.0f", number_of(data, "done"), number_of(data, "total"));
        report_print(json_object_get(data, "report"), counts ? ": " : "");
    }
    putchar('\n');
}

static void row_print(const json_t *row) {
    const char *key;
    json_t *value;
    printf("%-20s", text_of(row, "name"));
    json_object_foreach((json_t *)row, key, value) {
        if (json_is_string(value) && strcmp(key, "name") != 0)
            printf("  %s", json_string_value(value));
    }
    putchar('\n');
}

void rematctl_print_rows(const json_t *answer) {
    const char *key;
    json_t *value, *row;
    size_t i;
    json_object_foreach((json_t *)answer, key, value) {
        if (json_is_array(value)) {
            printf("%s:\n", key);
            json_array_foreach(value, i, row) row_print(row);
        } else if (json_is_string(value))
            line(key, "%s", json_string_value(value));
    }
}
