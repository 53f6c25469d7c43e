/* job_report.c - see job_report.h */
#include "server/job_report.h"

#include <math.h>

#include "engine/base/units.h"
#include "server/witness.h"

void job_numerics_count(struct job_numerics *numerics, struct numbers x, uint64_t n) {
    float buffer[NUMBERS_BLOCK];
    for (uint64_t from = 0, some; from < n; from += some) {
        some = units_min(NUMBERS_BLOCK, n - from);
        const float *data = numbers_read(x, from, some, buffer);
        for (uint64_t i = 0; i < some; i++) {
            numerics->nan += isnan(data[i]) != 0;
            numerics->inf += isinf(data[i]) != 0;
        }
    }
}

static void seconds_put(struct wire_out *o, const char *key, uint64_t ns) {
    wire_put_real(o, key, (double)ns * 1e-9);
}

void job_memory_put(struct wire_out *o, const struct job_pair *pair, const struct job_run *run,
                    const struct exec_report *report, uint64_t rss_bytes) {
    uint64_t growth = rss_bytes > run->idle_rss_bytes ? rss_bytes - run->idle_rss_bytes : 0;
    uint64_t pages = slab_page_bytes(run->slab) + slab_page_bytes(run->persistent);
    wire_open(o, "memory", '{');
    wire_put_uint(o, "predicted_peak_bytes", pair->own.plan.peak_bytes);
    wire_put_uint(o, "measured_peak_bytes", report->measured_peak_bytes);
    wire_put_uint(o, "saved_bytes", report->saved_bytes);
    wire_put_uint(o, "retained_peak_bytes", report->retained_peak_bytes);
    wire_put_uint(o, "live_peak_bytes", report->live_peak_bytes);
    wire_put_uint(o, "slab_bytes", pair->own.plan.slab_bytes);
    wire_put_uint(o, "persistent_bytes", pair->own.plan.persistent_bytes);
    if (pair->witness)
        wire_put_uint(o, "scanned_peak_bytes", pair->own.plan.persistent_bytes + report->touched_bytes);
    wire_put_uint(o, "outside_slab_bytes", growth > pages ? growth - pages : 0);
    wire_put_uint(o, "rss_growth_bytes", growth);
    wire_close(o, '}');
}

void job_report_put(struct wire_out *o, const struct exec_report *report, const uint64_t *update_ns,
                    const struct job_numerics *numerics) {
    wire_open(o, "time", '{');
    seconds_put(o, "forward_seconds", report->forward_ns);
    seconds_put(o, "recompute_seconds", report->recompute_ns);
    seconds_put(o, "backward_seconds", report->backward_ns);
    if (update_ns)
        seconds_put(o, "update_seconds", *update_ns);
    wire_close(o, '}');
    wire_open(o, "flops", '{');
    wire_put_uint(o, "forward", report->forward_flops);
    wire_put_uint(o, "backward", report->backward_flops);
    wire_put_uint(o, "recompute", report->recompute_flops);
    wire_close(o, '}');
    wire_open(o, "numerics", '{');
    wire_put_uint(o, "nan", numerics->nan);
    wire_put_uint(o, "inf", numerics->inf);
    wire_close(o, '}');
}

static double saved_pct(uint64_t own, uint64_t other) {
    return other ? 100.0 * (1.0 - (double)own / (double)other) : 0.0;
}

/* What is run again and, where ops differ by how they are done, what they take in all. */
static double extra_flops(const struct job_pair *pair, const struct exec_report *r) {
    return (double)r->recompute_flops + (pair->ops_differ ? (double)r->forward_flops + (double)r->backward_flops : 0.0);
}

void job_comparison_put(struct wire_out *o, const struct job_pair *pair, const struct exec_report *own,
                        const struct exec_report *other, const struct job_difference *difference) {
    double flops = (double)(other->forward_flops + other->backward_flops);
    double own_ns = (double)(own->forward_ns + own->recompute_ns + own->backward_ns);
    double other_ns = (double)(other->forward_ns + other->recompute_ns + other->backward_ns);
    wire_open(o, "comparison", '{');
    wire_put_json(o, "strategy", pair->compare.strategy);
    wire_put_bool(o, "identical", difference->identical);
    wire_put_real(o, "max_abs_diff", difference->max_abs_diff);
    wire_put_real(o, "memory_saved_pct", saved_pct(own->measured_peak_bytes, other->measured_peak_bytes));
    wire_put_real(o, "saved_bytes_saved_pct", saved_pct(own->saved_bytes, other->saved_bytes));
    wire_put_real(o, "compute_overhead_pct",
                  flops > 0 ? 100.0 * (extra_flops(pair, own) - extra_flops(pair, other)) / flops : 0.0);
    wire_put_real(o, "time_overhead_pct", other_ns > 0 ? 100.0 * (own_ns / other_ns - 1.0) : NAN);
    wire_put_uint(o, "predicted_peak_bytes", pair->compare.plan.peak_bytes);
    wire_put_uint(o, "measured_peak_bytes", other->measured_peak_bytes);
    wire_put_uint(o, "saved_bytes", other->saved_bytes);
    wire_close(o, '}');
}
