/* rematctl_verdict.c - what a plan says, for people: whether it fits, where its peak is, how good it is. */
#include "clients/c/rematctl.h"

#include <string.h>

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static bool has(const json_t *object, const char *key) {
    return json_is_number(json_object_get(object, key));
}

/* "1,234 (1.2 KiB)" of a field, into text of 64 bytes. */
static const char *bytes(const json_t *object, const char *key, char *text) {
    return rematctl_bytes_text(json_integer_value(json_object_get(object, key)), text);
}

/* Of a workload, in GiB: it is of models that one asks. */
static void verdict(const json_t *plan) {
    const double gib = 1073741824.0, room = number(plan, "budget_bytes") / gib, peak = number(plan, "peak_bytes") / gib;
    const double more = number(plan, "compute_overhead_pct");
    if (!has(plan, "budget_bytes"))
        printf("needs %.1f GiB, +%.0f %% compute\n", peak, more);
    else if (json_is_true(json_object_get(plan, "feasible")))
        printf("fits: %.1f of %.1f GiB, %.1f GiB spare, +%.0f %% compute\n", peak, room, room - peak, more);
    else
        printf("does not fit: needs %.1f of %.1f GiB, %.1f GiB short\n", peak, room, peak - room);
}

/* Of what has no plan: of a graph that was posted, or of an optimum that was looked for. */
static void verdict_none(const json_t *plan) {
    const bool known = json_is_false(json_object_get(plan, "feasible"));
    const bool exact = json_is_true(json_object_get(plan, "minimum_budget_exact"));
    char room[64], least[64];
    if (has(plan, "budget_bytes"))
        printf("%s %s", known ? "does not fit" : "no plan was found in the time given for",
               bytes(plan, "budget_bytes", room));
    else
        fputs("no plan was found", stdout);
    if (has(plan, "minimum_budget_bytes"))
        printf(": %s would do%s", bytes(plan, "minimum_budget_bytes", least), exact ? ", no fewer" : "");
    putchar('\n');
}

static void verdict_posted(const json_t *plan) {
    char peak[64], room[64];
    const bool limited = has(plan, "budget_bytes");
    printf("%s %s%s%s", limited ? "fits:" : "needs", bytes(plan, "peak_bytes", peak), limited ? " of " : "",
           limited ? bytes(plan, "budget_bytes", room) : "");
    if (has(plan, "compute_overhead_pct"))
        printf(", +%.4g %% compute", number(plan, "compute_overhead_pct"));
    putchar('\n');
}

static void bytes_line(const char *name, const json_t *object, const char *key) {
    char text[64];
    if (number(object, key) > 0)
        printf("  %-22s%s\n", name, bytes(object, key, text));
}

static void peak_lines(const json_t *plan) {
    static const char *const rows[][2] = {{"saved activations", "saved_activations_bytes"},
                                          {"recomputed", "recomputed_bytes"},
                                          {"their gradients", "activation_gradients_bytes"},
                                          {"inputs, outputs", "inputs_outputs_bytes"},
                                          {"in passing", "transient_bytes"},
                                          {"workspace", "workspace_bytes"}};
    const json_t *peak = json_object_get(plan, "peak_at"), *layer = json_object_get(peak, "layer");
    const char *phase = json_string_value(json_object_get(peak, "phase"));
    const char *op = json_string_value(json_object_get(peak, "op"));
    if (!op)
        return;
    printf("At the peak, in the %s of %s", phase ? phase : "?", op);
    if (json_is_integer(layer))
        printf(" of layer %lld", json_integer_value(layer));
    puts(":");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        bytes_line(rows[i][0], json_object_get(peak, "memory"), rows[i][1]);
}

/* Where a posted graph is fullest: "step 4 of its plan, in the backward of node b". */
static void peak_posted(const json_t *plan) {
    const json_t *peak = json_object_get(plan, "peak_at");
    const char *phase = json_string_value(json_object_get(peak, "phase"));
    const json_t *node = json_object_get(peak, "node"), *of = node ? node : json_object_get(peak, "stage");
    if (!of)
        return;
    printf(has(plan, "peak_bytes") ? "At the peak" : "What needs most");
    if (has(peak, "step"))
        printf(", step %.0f", number(peak, "step"));
    printf(", in the %s of %s ", phase ? phase : "?", node ? "node" : "stage");
    json_dumpf(of, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
    putchar('\n');
}

/* How near to the best that is possible: what an optimizing strategy proves. */
static void optimality_print(const json_t *optimality) {
    const char *class = json_string_value(json_object_get(optimality, "class"));
    const char *solver = json_string_value(json_object_get(optimality, "solver"));
    if (!json_is_object(optimality))
        return;
    if (json_is_true(json_object_get(optimality, "exact")))
        printf("Proven");
    else if (has(optimality, "gap_pct") && number(optimality, "gap_pct") <= 0)
        printf("At its lower bound");
    else if (has(optimality, "gap_pct"))
        printf("At most %.3g %% above the least there can be", number(optimality, "gap_pct"));
    else
        printf("Not proven");
    if (class)
        printf(", of %s plans", class);
    if (solver)
        printf("; solver %s", solver);
    if (has(optimality, "states"))
        printf(", %.0f states", number(optimality, "states"));
    putchar('\n');
}

static void ignored_print(const json_t *ignored) {
    const json_t *field;
    size_t i;
    if (!json_array_size(ignored))
        return;
    printf("Fields of the config that change nothing here:");
    json_array_foreach(ignored, i, field) printf(" %s", json_string_value(field));
    putchar('\n');
}

static void sentences_print(const json_t *sentences) {
    const json_t *line;
    size_t i;
    if (json_array_size(sentences))
        puts("In words:");
    json_array_foreach(sentences, i, line) puts(json_string_value(line) ? json_string_value(line) : "");
}

static void verdict_print(const json_t *plan, const json_t *model) {
    char text[64];
    if (!has(plan, "peak_bytes"))
        verdict_none(plan);
    else if (!model && json_is_false(json_object_get(plan, "feasible")))
        verdict_none(plan);
    else if (!model)
        verdict_posted(plan);
    else
        verdict(plan);
    if (model && has(plan, "peak_bytes"))
        printf("%lld parameters; peak %s\n", json_integer_value(json_object_get(model, "parameters")),
               bytes(plan, "peak_bytes", text));
}

/* Whose rates were measured, op by op. */
static bool is_host(const json_t *plan) {
    const char *device = json_string_value(json_object_get(plan, "device"));
    return device && strcmp(device, "host") == 0;
}

void rematctl_print_plan(const json_t *plan) {
    const json_t *memory = json_object_get(plan, "memory"), *standard = json_object_get(plan, "standard");
    const json_t *model = json_object_get(plan, "model");
    char text[64];
    verdict_print(plan, model);
    bytes_line("parameters", memory, "parameters_bytes");
    bytes_line("gradients", memory, "gradients_bytes");
    bytes_line("optimizer", memory, "optimizer_bytes");
    if (model)
        bytes_line("slab", plan, "slab_bytes");
    peak_lines(plan);
    peak_posted(plan);
    if (has(standard, "peak_bytes")) {
        printf("Without recomputation %s", bytes(standard, "peak_bytes", text));
        if (has(plan, "memory_saved_pct"))
            printf(": %.1f %% saved", number(plan, "memory_saved_pct"));
        putchar('\n');
    }
    if (has(plan, "step_seconds") && model)
        printf(is_host(plan) ? "A step of %lld tokens takes some %.4g s here, before its update\n"
                             : "A step of %lld tokens takes at least %.4g s at the device's peak rates\n",
               json_integer_value(json_object_get(plan, "tokens_per_step")), number(plan, "step_seconds"));
    else if (has(plan, "step_seconds"))
        printf("A step takes %.6g, as its parts were given\n", number(plan, "step_seconds"));
    optimality_print(json_object_get(plan, "optimality"));
    ignored_print(json_object_get(model, "ignored_fields"));
    sentences_print(json_object_get(json_object_get(plan, "explain"), "sentences"));
}

void rematctl_print_capacity(const json_t *answer, const char *find) {
    const json_t *next = json_object_get(answer, "next"), *plan = json_object_get(answer, "plan");
    const char *why = json_string_value(json_object_get(answer, "limited_by"));
    char text[64];
    printf("%s %lld", find, json_integer_value(json_object_get(answer, "value")));
    if (json_is_integer(json_object_get(next, "shortfall_bytes")))
        printf(": %lld would lack %s\n", json_integer_value(json_object_get(next, "value")),
               rematctl_bytes_text(json_integer_value(json_object_get(next, "shortfall_bytes")), text));
    else
        printf(": limited by %s\n", why ? why : "?");
    if (json_is_object(plan))
        rematctl_print_plan(plan);
}
