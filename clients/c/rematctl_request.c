/* rematctl_request.c - options become the daemon's request: a model or a posted graph, how, and within what. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clients/c/rematctl.h"

/* ---- how, and within what ---- */

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

json_t *rematctl_strategy(const char *option, const char *text) {
    json_error_t error;
    json_t *strategy = text[0] == '{' ? json_loads(text, JSON_REJECT_DUPLICATES, &error) : json_string(text);
    if (!strategy)
        fprintf(stderr, "rematctl: %s is a name or a JSON object, not %s\n", option, text);
    return strategy;
}

double rematctl_time_limit(const struct rematctl *ctl) {
    char *end = NULL;
    const double seconds = ctl->time_limit ? strtod(ctl->time_limit, &end) : 0;
    if (!ctl->time_limit || (end != ctl->time_limit && !*end && isfinite(seconds) && seconds >= 0))
        return seconds;
    fprintf(stderr, "rematctl: --time-limit is a number of seconds, not %s\n", ctl->time_limit);
    return -1;
}

/* What --strategy names, with what the other options add to it; without it, the optimum these are about: of a graph or
 * with a search's options that of all plans. True with *how NULL: the daemon's own choice. */
static bool strategy_make(const struct rematctl *ctl, json_t **how) {
    const bool search = ctl->time_limit || ctl->reorder, extended = search || ctl->objective;
    const double seconds = rematctl_time_limit(ctl);
    const char *otherwise = search || ctl->graph ? "optimal_dag" : ctl->objective || ctl->chain ? "optimal" : NULL;
    const char *text = ctl->strategy ? ctl->strategy : otherwise;
    *how = NULL;
    if (seconds < 0)
        return false;
    if (!text)
        return true;
    if (!(*how = rematctl_strategy("--strategy", text)))
        return false;
    if (extended && json_is_string(*how))
        *how = json_pack("{s:o}", "name", *how);
    if (ctl->objective)
        json_object_set_new(*how, "objective", json_string(ctl->objective));
    if (ctl->time_limit)
        json_object_set_new(*how, "time_limit_seconds", json_real(seconds));
    if (ctl->reorder)
        json_object_set_new(*how, "reorder", json_true());
    return true;
}

/* ---- of what ---- */

static json_t *file_read(const char *name) {
    json_error_t error;
    json_t *value = strcmp(name, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
                                           : json_load_file(name, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        fprintf(stderr, "rematctl: %s: %s\n", name, error.text);
    return value;
}

/* A preset's name; a file (whatever has a slash or ends in .json) is a config.json, or a model in the daemon's words.
 */
static json_t *model(const char *word) {
    size_t length = strlen(word);
    bool file = strchr(word, '/') || (length > 5 && strcmp(word + length - 5, ".json") == 0) || strcmp(word, "-") == 0;
    if (!file)
        return json_string(word);
    json_t *config = file_read(word);
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

static json_t *workload(const struct rematctl *ctl, json_t *m) {
    json_t *w = json_pack("{s:o}", "model", m);
    put_number(w, "seq_len", ctl->seq_len);
    put_number(w, "batch", ctl->batch);
    put_number(w, "gradient_accumulation", ctl->accumulate);
    put_text(w, "dtype", ctl->dtype);
    put_text(w, "attention", ctl->attention);
    put_text(w, "optimizer", ctl->optimizer);
    if (ctl->dropout)
        json_object_set_new(w, "dropout", json_real(strtod(ctl->dropout, NULL)));
    return w;
}

json_t *rematctl_subject(const struct rematctl *ctl, const char *word, int *code) {
    const char *file = ctl->graph ? ctl->graph : ctl->chain;
    json_t *of, *body;
    *code = EXIT_USAGE;
    if ((word != NULL) + (ctl->graph != NULL) + (ctl->chain != NULL) != 1) {
        fputs("rematctl: one thing is planned: MODEL, --graph FILE or --chain FILE (rematctl --help)\n", stderr);
        return NULL;
    }
    if (!(of = word ? model(word) : file_read(file))) {
        *code = EXIT_LOCAL;
        return NULL;
    }
    body = json_object();
    json_object_set_new(body, word ? "workload" : ctl->graph ? "graph" : "chain", word ? workload(ctl, of) : of);
    put_text(body, "device", ctl->device);
    return body;
}

json_t *rematctl_request(const struct rematctl *ctl, const char *word, int *code) {
    const json_int_t bytes = ctl->budget ? budget(ctl->budget) : 0;
    json_t *how, *body;
    *code = EXIT_USAGE;
    if (bytes < 0) {
        fprintf(stderr, "rematctl: --budget is bytes, or a number with KiB, MiB, GiB, GB ..., not %s\n", ctl->budget);
        return NULL;
    }
    if (!strategy_make(ctl, &how))
        return NULL;
    if (!(body = rematctl_subject(ctl, word, code))) {
        json_decref(how);
        return NULL;
    }
    if (how)
        json_object_set_new(body, "strategy", how);
    if (ctl->budget)
        json_object_set_new(body, "budget_bytes", json_integer(bytes));
    if (ctl->explain)
        json_object_set_new(body, "include", json_pack("[s]", "explain"));
    return body;
}
