/* wire_calibration.c - see wire_calibration.h */
#include "server/wire_calibration.h"

#include <math.h>
#include <string.h>

static bool is_arithmetic(unsigned row) {
    return row < COST_ROWS && cost_row_is_arithmetic(row);
}

static bool is_narrow(enum dtype d) {
    return d == DTYPE_BFLOAT16;
}

/* ---- writing ---- */

double wire_calibration_rate(const struct wire_calibration_line *line) {
    return (double)(is_arithmetic(line->row) ? line->flops : line->bytes) / line->seconds;
}

void wire_calibration_sum(struct wire_calibration *c) {
    for (unsigned i = 0; i < c->n; i++) {
        const struct wire_calibration_line *line = &c->lines[i];
        double *best = line->row == MEASURE_COPY ? c->copy : line->row == OP_LINEAR ? c->peak : NULL;
        if (best)
            best[is_narrow(line->dtype)] = fmax(best[is_narrow(line->dtype)], wire_calibration_rate(line));
    }
}

void wire_calibration_line_put(struct wire_out *o, const struct wire_calibration *c,
                               const struct wire_calibration_line *line) {
    const bool arithmetic = is_arithmetic(line->row);
    const double rate = wire_calibration_rate(line), most = (arithmetic ? c->peak : c->copy)[is_narrow(line->dtype)];
    wire_open(o, NULL, '{');
    wire_put_string(o, "op", measure_row_name(line->row));
    wire_put_string(o, "dtype", dtype_name(line->dtype));
    wire_put_string(o, "phase", line->backward ? "backward" : "forward");
    wire_put_string(o, "shape", line->shape);
    wire_put_uint(o, "flops", line->flops);
    wire_put_uint(o, "bytes", line->bytes);
    wire_put_uint(o, "rounds", line->rounds);
    wire_put_real(o, "seconds", line->seconds);
    wire_put_string(o, "bound_by", arithmetic ? "flops" : "bytes");
    wire_put_real(o, "per_second", rate);
    if (most > 0)
        wire_put_real(o, "efficiency", rate / most);
    wire_close(o, '}');
}

void wire_calibration_put(struct wire_out *o, const struct wire_calibration *c) {
    const struct {
        const char *name;
        const double *of;
    } pairs[] = {{"peak_flops_per_second", c->peak}, {"copy_bytes_per_second", c->copy}};
    for (unsigned i = 0; i < 2; i++) {
        wire_open(o, pairs[i].name, '{');
        wire_put_real(o, "float32", pairs[i].of[0]);
        wire_put_real(o, "bfloat16", pairs[i].of[1]);
        wire_close(o, '}');
    }
    wire_open(o, "ops", '[');
    for (unsigned i = 0; i < c->n; i++)
        wire_calibration_line_put(o, c, &c->lines[i]);
    wire_close(o, ']');
}

/* ---- reading ---- */

/* Work and time of all cases of one row. */
struct sums {
    double work, seconds;
};
struct table {
    struct sums of[2][COST_ROWS][2]; /* by dtype, row, phase */
};

static bool line_read(const struct wire_value *v, struct table *t, struct problem *why) {
    const char *op = "", *dtype = "", *phase = "";
    uint64_t flops = 0, bytes = 0;
    double seconds = 0;
    unsigned row;
    enum dtype d;
    if (!wire_string_of(v, "op", &op, why) || !wire_string_of(v, "dtype", &dtype, why) ||
        !wire_string_of(v, "phase", &phase, why) || !wire_real_of(v, "seconds", 1e-12, 1e12, &seconds, why) ||
        !wire_uint_of(v, "flops", 0, WIRE_INTEGER_MAX, &flops, why) ||
        !wire_uint_of(v, "bytes", 0, WIRE_INTEGER_MAX, &bytes, why))
        return false;
    if (!cost_row_find(op, &row))
        return true; /* copy, update; or what a later release measures */
    if (!dtype_find(dtype, &d) || (d != DTYPE_FLOAT32 && d != DTYPE_BFLOAT16))
        return true;
    struct sums *s = &t->of[is_narrow(d)][row][strcmp(phase, "backward") == 0];
    s->work += (double)(is_arithmetic(row) ? flops : bytes);
    s->seconds += seconds;
    return true;
}

static bool pair_read(const struct wire_value *v, const char *key, double out[2], struct problem *why) {
    struct wire_value pair;
    return wire_need(v, key, &pair, why) && wire_real_of(&pair, "float32", 1, 1e300, &out[0], why) &&
           wire_real_of(&pair, "bfloat16", 1, 1e300, &out[1], why) &&
           ((out[0] > 0 && out[1] > 0) ||
            wire_fail(&pair, why, PROBLEM_MALFORMED, "has no float32 and bfloat16 above 0"));
}

static double rate_of(const struct sums *s, double otherwise) {
    return s->work > 0 && s->seconds > 0 ? s->work / s->seconds : otherwise;
}

static void rates_fill(const struct sums of[COST_ROWS][2], double peak, double copy, struct cost_measured *m) {
    for (unsigned row = 0; row < COST_ROWS; row++)
        for (unsigned phase = 0; phase < 2; phase++) {
            const double product = rate_of(&of[OP_LINEAR][phase], peak);
            m->of[row][phase] = is_arithmetic(row)
                                    ? (struct cost_rate){rate_of(&of[row][phase], product), copy}
                                    : (struct cost_rate){(double)INFINITY, rate_of(&of[row][phase], copy)};
        }
}

static bool read(const struct wire_value *root, struct arena *a, struct device *out, struct problem *why) {
    struct cost_measured *measured = arena_new(a, struct cost_measured, 2, why);
    struct table *table = arena_new(a, struct table, 1, why);
    struct wire_value ops;
    double peak[2] = {0}, copy[2] = {0};
    if (!measured || !table || !pair_read(root, "peak_flops_per_second", peak, why) ||
        !pair_read(root, "copy_bytes_per_second", copy, why) || !wire_need(root, "ops", &ops, why) ||
        !wire_array(&ops, 1, 10000, why))
        return false;
    *table = (struct table){0};
    for (size_t i = 0; i < wire_length(&ops); i++) {
        const struct wire_value line = wire_at(&ops, i);
        if (!line_read(&line, table, why))
            return false;
    }
    out->float32 = out->float16 = peak[0];
    out->bfloat16 = peak[1];
    out->bandwidth = copy[0];
    for (unsigned narrow = 0; narrow < 2; narrow++) {
        rates_fill(table->of[narrow], peak[narrow], copy[narrow], &measured[narrow]);
        out->measured[narrow] = &measured[narrow];
    }
    return true;
}

bool wire_calibration_read(const char *text, struct arena *a, struct device *out, struct problem *why) {
    struct wire_document *d = wire_parse(text, strlen(text), why);
    const struct wire_value root = d ? wire_root(d) : (struct wire_value){0};
    const bool ok = d && read(&root, a, out, why);
    wire_document_free(d);
    return ok;
}
