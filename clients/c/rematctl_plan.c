/* rematctl_plan.c - plan and capacity: options become the daemon's request; the verdict is printed first. */
#include "clients/c/rematctl.h"

#include <stdlib.h>
#include <string.h>

/* ---- the request ---- */

/* "85899345920", "80GiB", "80GB"; -1 if it is none of these or past 2^53. */
static json_int_t budget(const char *text) {
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"", 1},      {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
                 {"kB", 1000}, {"MB", 1e6},     {"GB", 1e9},        {"TB", 1e12}};
    char *end;
    double value = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    for (size_t i = 0; value >= 0 && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(units[i].suffix, end) == 0 && value * units[i].factor <= 9007199254740992.0)
            return (json_int_t)(value * units[i].factor);
    return -1;
}

json_t *rematctl_strategy(const char *text) {
    json_error_t error;
    return text[0] == '{' ? json_loads(text, 0, &error) : json_string(text);
}

/* A preset's name; a file (whatever has a slash or ends in .json) is a config.json, or a model in the daemon's words.
 */
static json_t *model(const char *word) {
    size_t length = strlen(word);
    json_error_t error;
    bool file = strchr(word, '/') || (length > 5 && strcmp(word + length - 5, ".json") == 0) || strcmp(word, "-") == 0;
    if (!file)
        return json_string(word);
    json_t *config = word[0] == '-' ? json_loadf(stdin, 0, &error) : json_load_file(word, 0, &error);
    if (!config)
        fprintf(stderr, "rematctl: %s: %s\n", word, error.text);
    if (!config || json_object_get(config, "family") || json_object_get(config, "hf_config"))
        return config;
    return json_pack("{s:o}", "hf_config", config);
}

static void put_text(json_t *object, const char *key, const char *text) {
    if (text)
        json_object_set_new(object, key, json_string(text));
}

static void put_number(json_t *object, const char *key, unsigned number) {
    if (number)
        json_object_set_new(object, key, json_integer((json_int_t)number));
}

json_t *rematctl_request(const struct rematctl *ctl, const char *word, int *code) {
    json_t *m = model(word), *workload = json_object(), *body = json_object();
    json_int_t bytes = ctl->budget ? budget(ctl->budget) : 0;
    json_t *how = ctl->strategy ? rematctl_strategy(ctl->strategy) : NULL;
    json_object_set_new(body, "workload", workload);
    *code = !m ? EXIT_LOCAL : EXIT_USAGE;
    if (m && bytes >= 0 && (how || !ctl->strategy)) {
        json_object_set_new(workload, "model", m);
        put_number(workload, "seq_len", ctl->seq_len);
        put_number(workload, "batch", ctl->batch);
        put_number(workload, "gradient_accumulation", ctl->accumulate);
        put_text(workload, "dtype", ctl->dtype);
        put_text(workload, "attention", ctl->attention);
        put_text(workload, "optimizer", ctl->optimizer);
        if (ctl->dropout)
            json_object_set_new(workload, "dropout", json_real(strtod(ctl->dropout, NULL)));
        if (how)
            json_object_set_new(body, "strategy", how);
        if (ctl->budget)
            json_object_set_new(body, "budget_bytes", json_integer(bytes));
        put_text(body, "device", ctl->device);
        if (ctl->explain)
            json_object_set_new(body, "include", json_pack("[s]", "explain"));
        return body;
    }
    if (bytes < 0)
        fprintf(stderr, "rematctl: --budget is bytes, or a number with KiB, MiB, GiB, GB ..., not %s\n", ctl->budget);
    else if (m)
        fprintf(stderr, "rematctl: --strategy is a name or a JSON object, not %s\n", ctl->strategy);
    json_decref(m);
    json_decref(how);
    json_decref(body);
    return NULL;
}

/* ---- what is printed ---- */

static double gib(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key)) / 1073741824.0;
}

static void verdict(const json_t *plan) {
    const json_t *limit = json_object_get(plan, "budget_bytes");
    double peak = gib(plan, "peak_bytes"), room = json_number_value(limit) / 1073741824.0;
    double more = json_number_value(json_object_get(plan, "compute_overhead_pct"));
    if (!json_is_integer(limit))
        printf("needs %.1f GiB, +%.0f %% compute\n", peak, more);
    else if (json_is_true(json_object_get(plan, "feasible")))
        printf("fits: %.1f of %.1f GiB, %.1f GiB spare, +%.0f %% compute\n", peak, room, room - peak, more);
    else
        printf("does not fit: needs %.1f of %.1f GiB, %.1f GiB short\n", peak, room, peak - room);
}

static void bytes_line(const char *name, const json_t *object, const char *key) {
    char text[64];
    const json_t *bytes = json_object_get(object, key);
    if (json_integer_value(bytes) > 0)
        printf("  %-22s%s\n", name, rematctl_bytes_text(json_integer_value(bytes), text));
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
    printf("At the peak, in the %s of %s", phase ? phase : "?", op ? op : "?");
    if (json_is_integer(layer))
        printf(" of layer %lld", json_integer_value(layer));
    puts(":");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        bytes_line(rows[i][0], json_object_get(peak, "memory"), rows[i][1]);
}

static void plan_print(const json_t *plan) {
    const json_t *memory = json_object_get(plan, "memory"), *field, *standard = json_object_get(plan, "standard");
    char text[64];
    size_t i;
    verdict(plan);
    printf("%lld parameters; peak %s\n",
           json_integer_value(json_object_get(json_object_get(plan, "model"), "parameters")),
           rematctl_bytes_text(json_integer_value(json_object_get(plan, "peak_bytes")), text));
    bytes_line("parameters", memory, "parameters_bytes");
    bytes_line("gradients", memory, "gradients_bytes");
    bytes_line("optimizer", memory, "optimizer_bytes");
    bytes_line("slab", plan, "slab_bytes");
    peak_lines(plan);
    printf("Without recomputation %s: %.1f %% saved\n",
           rematctl_bytes_text(json_integer_value(json_object_get(standard, "peak_bytes")), text),
           json_number_value(json_object_get(plan, "memory_saved_pct")));
    if (json_is_number(json_object_get(plan, "step_seconds")))
        printf("A step of %lld tokens takes at least %.4g s at the device's peak rates\n",
               json_integer_value(json_object_get(plan, "tokens_per_step")),
               json_number_value(json_object_get(plan, "step_seconds")));
    const json_t *ignored = json_object_get(json_object_get(plan, "model"), "ignored_fields");
    if (json_array_size(ignored))
        printf("Fields of the config that change nothing here:");
    json_array_foreach(ignored, i, field) printf(" %s", json_string_value(field));
    if (json_array_size(ignored))
        putchar('\n');
    const json_t *sentences = json_object_get(json_object_get(plan, "explain"), "sentences");
    if (json_array_size(sentences))
        puts("In words:");
    json_array_foreach(sentences, i, field) puts(json_string_value(field) ? json_string_value(field) : "");
}

static void capacity_print(const json_t *answer, const char *find) {
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
        plan_print(plan);
}

/* ---- the commands ---- */

/* Asks, and shows the answer; body is ours. */
static int ask(const struct rematctl *ctl, json_t *body,
               json_t *(*question)(struct rematc *, const json_t *, struct rematc_error *),
               void (*print)(const struct rematctl *, const json_t *)) {
    struct rematc_error why = {0};
    json_t *answer = question(ctl->client, body, &why);
    json_decref(body);
    if (!answer)
        return rematctl_fail(&why);
    if (ctl->json)
        rematctl_print_json(answer);
    else
        print(ctl, answer);
    json_decref(answer);
    return EXIT_DONE;
}

static void plan_show(const struct rematctl *ctl, const json_t *answer) {
    (void)ctl;
    plan_print(answer);
}

static const char *find_of(const struct rematctl *ctl) {
    return ctl->find ? ctl->find : "batch";
}

static void capacity_show(const struct rematctl *ctl, const json_t *answer) {
    capacity_print(answer, find_of(ctl));
}

int rematctl_plan(const struct rematctl *ctl) {
    int code;
    json_t *body = rematctl_request(ctl, ctl->words[0], &code);
    return body ? ask(ctl, body, rematc_plan, plan_show) : code;
}

int rematctl_capacity(const struct rematctl *ctl) {
    int code;
    json_t *body = rematctl_request(ctl, ctl->words[0], &code);
    if (!body)
        return code;
    put_text(body, "find", find_of(ctl));
    return ask(ctl, body, rematc_capacity, capacity_show);
}
