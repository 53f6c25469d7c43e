/* api_savings.c - GET /v1/memory-savings: the lab's figures, from the engine's own closed form. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph/op.h"
#include "server/api.h"
#include "server/wire_savings.h"

/* A query parameter as a whole number; the engine says what it may be. */
static bool number_read(const char *name, const char *text, uint64_t *out, struct problem *why) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end)
        problem_set(why, PROBLEM_MALFORMED, "", "'%.40s' is not a whole number", text);
    else if (errno || value == 0 || value > WIRE_INTEGER_MAX)
        problem_set(why, PROBLEM_LIMIT, "", "is %.40s; it must be from 1 to 2^53", text);
    else {
        *out = value;
        return true;
    }
    return problem_nest(why, "/%s", name);
}

static bool dtype_read(const char *text, struct wire_savings *s, struct problem *why) {
    enum dtype dtype;
    if (!dtype_find(text, &dtype) || (dtype != DTYPE_FLOAT32 && dtype != DTYPE_BFLOAT16 && dtype != DTYPE_FLOAT16))
        return problem_set(why, PROBLEM_LIMIT, "/dtype", "must be float32, bfloat16 or float16");
    s->element_bytes = (unsigned)dtype_bytes(dtype);
    return true;
}

static bool query_read(const struct request *request, struct wire_savings *s, struct problem *why) {
    const struct {
        const char *name;
        uint64_t *to;
        bool required;
    } numbers[] = {{"seq_len", &s->seq_len, true},
                   {"d_model", &s->d_model, true},
                   {"num_layers", &s->num_layers, true},
                   {"heads", &s->heads, false},
                   {"batch", &s->batch, false}};
    enum { NUMBERS = sizeof numbers / sizeof numbers[0] };
    bool seen[NUMBERS + 1] = {0};
    for (unsigned i = 0; i < request_query_count(request); i++) {
        const char *name, *value;
        unsigned n = 0;
        request_query_at(request, i, &name, &value);
        while (n < NUMBERS && strcmp(numbers[n].name, name) != 0)
            n++;
        if (n == NUMBERS && strcmp(name, "dtype") != 0)
            return request_parameter_unknown(name, why);
        seen[n] = true;
        if (!(n == NUMBERS ? dtype_read(value, s, why) : number_read(name, value, numbers[n].to, why)))
            return false;
    }
    for (unsigned n = 0; n < NUMBERS; n++)
        if (numbers[n].required && !seen[n]) {
            problem_set(why, PROBLEM_MISSING_FIELD, "", "is required");
            return problem_nest(why, "/%s", numbers[n].name);
        }
    return true;
}

static bool get(struct request *request, struct response *response, struct problem *why) {
    struct remat_savings_options options = {0};
    struct remat_memory_savings figures;
    struct wire_savings s = {0};
    struct wire_out o;
    if (!query_read(request, &s, why) || !wire_savings_measure(&s, &options, &figures, why))
        return false;
    wire_out_init(&o, request->arena, why);
    wire_open(&o, NULL, '{');
    wire_savings_put(&o, &figures);
    wire_close(&o, '}');
    response->body = wire_text(&o, &response->body_bytes);
    return response->body != NULL;
}

const struct route api_savings_routes[] = {{"GET", "/v1/memory-savings", BODY_QUERY, get, SCOPE_READ}, {0}};
