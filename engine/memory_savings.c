/* memory_savings.c - measure_memory_savings: the lab's figures in closed form, and the same by execution.
 *
 * The closed form is memory-model.md section 4; that plans and runs of the same layers agree with it is tested. */
#include <stdio.h>

#include "engine/base/digest.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/checkpoint_run.h"

#define LAYERS_MAX          1000000u
#define LAYERS_EXECUTED_MAX 4096u

struct lab {
    uint64_t seq_len, d_model, layers, heads, batch, element_bytes;
    bool checkpointed;
    const struct remat_savings_options *options;
};

/* ---- predicted ---- */

static bool lab_check(const struct lab *lab, struct problem *why) {
    const struct {
        const char *where;
        uint64_t value, most;
    } rows[] = {{"/seq_len", lab->seq_len, (uint64_t)1 << 32},
                {"/d_model", lab->d_model, (uint64_t)1 << 32},
                {"/num_layers", lab->layers, LAYERS_MAX},
                {"/heads", lab->heads, (uint64_t)1 << 32},
                {"/batch", lab->batch, (uint64_t)1 << 32}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value == 0 || rows[i].value > rows[i].most)
            return problem_set(why, PROBLEM_LIMIT, rows[i].where, "is %llu; it lies between 1 and %llu",
                               (unsigned long long)rows[i].value, (unsigned long long)rows[i].most);
    if (lab->d_model % lab->heads)
        return problem_set(why, PROBLEM_SHAPE, "/heads", "is %llu, which does not divide d_model, %llu",
                           (unsigned long long)lab->heads, (unsigned long long)lab->d_model);
    return true;
}

static bool predict(const struct lab *lab, struct remat_memory_savings *s, struct problem *why) {
    const uint64_t qkv[] = {3, lab->batch, lab->seq_len, lab->d_model, lab->element_bytes, lab->layers};
    const uint64_t weights[] = {lab->batch, lab->heads, lab->seq_len, lab->seq_len, lab->element_bytes};
    uint64_t inputs, one, all;
    if (!units_product(qkv, 6, &inputs) || !units_product(weights, 5, &one) || !units_mul(one, lab->layers, &all) ||
        !units_add(inputs, all, &s->standard_memory_bytes) || !units_add(inputs, one, &s->checkpointed_memory_bytes))
        return problem_set(why, PROBLEM_LIMIT, "/seq_len", "makes more bytes than 64 bits can count");
    const struct attn_kernel *kernel = &attn_table[ATTN_STANDARD];
    s->standard_memory_mb = (double)s->standard_memory_bytes / 1048576;
    s->checkpointed_memory_mb = (double)s->checkpointed_memory_bytes / 1048576;
    s->memory_saved_pct = 100 * (1 - (double)s->checkpointed_memory_bytes / (double)s->standard_memory_bytes);
    s->compute_overhead_pct = 100.0 * kernel->forward_flops / (kernel->forward_flops + kernel->backward_flops);
    return true;
}

/* ---- executed ---- */

static bool layer_add(struct graph *g, const struct lab *lab, uint32_t layer, struct problem *why) {
    static const char *const names[] = {"q", "k", "v"};
    const uint64_t shape[] = {lab->batch, lab->heads, lab->seq_len, lab->d_model / lab->heads};
    uint32_t qkv[3];
    char name[32];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%u.%s", layer, names[i]);
        qkv[i] = graph_tensor(g, TENSOR_INPUT, name, DTYPE_FLOAT32, 4, shape, true, why);
        if (qkv[i] == GRAPH_NONE)
            return false;
        graph_request_grad(g, qkv[i]);
    }
    snprintf(name, sizeof name, "%u.attention", layer);
    const struct op op = {
        .kind = OP_ATTENTION,
        .name = name,
        .inputs = qkv,
        .n_inputs = 3,
        .layer = layer,
        .parts = PART_ATTENTION | PART_ATTENTION_CORE,
        .attention = {
            .kernel = &attn_table[ATTN_STANDARD], .layout = ATTN_HEADS_FIRST, .behind = ATTN_FAR, .ahead = ATTN_FAR}};
    uint32_t o = graph_op(g, &op, why);
    if (o != GRAPH_NONE)
        graph_request(g, graph_result(g, o, 0));
    return o != GRAPH_NONE;
}

struct watch { /* the executor's user: the run, and what the caller wants asked */
    const struct remat_run *run;
    const struct remat_savings_options *options;
};

/* Every value a run is given comes from its own number, so both runs are given the same. */
static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct watch *w = user;
    (void)why;
    rng_fill_uniform(dst, plan_value_bytes(&w->run->graph, value) / sizeof(float), value, RNG_TENSOR, -1, 1);
    return true;
}

static bool cancelled(void *user) {
    const struct watch *w = user;
    return w->options->cancelled && w->options->cancelled(w->options->user);
}

static void progress(void *user, uint32_t done, uint32_t total) {
    const struct watch *w = user;
    if (w->options->progress)
        w->options->progress(w->options->user, done, total);
}

static bool lab_plan(struct remat_run *r, const struct lab *lab, struct problem *why) {
    const struct strategy strategy = {.planner = lab->checkpointed ? &planner_every_layer : &planner_standard};
    if (!checkpoint_run_start(r, why))
        return false;
    for (uint32_t layer = 0; layer < lab->layers; layer++)
        if (!layer_add(&r->graph, lab, layer, why))
            return false;
    return graph_finish(&r->graph, why) && planner_plan(&r->graph, &strategy, &r->arena, &r->plan, why);
}

/* Runs what was planned. */
static bool lab_execute(struct remat_run *r, const struct lab *lab, struct exec_report *report, struct digest *digest,
                        struct problem *why) {
    struct watch watch = {r, lab->options};
    const struct exec_options options = {.pool = r->pool,
                                         .load = load,
                                         .user = &watch,
                                         .now_ns = r->options.now_ns,
                                         .cancelled = cancelled,
                                         .progress = progress,
                                         .witness = r->options.witness};
    r->exec = exec_new(&r->plan, r->slab, r->persistent, &options, why);
    if (!r->exec || !exec_run(r->exec, r->plan.n_steps, why) || !exec_finish(r->exec, report, why))
        return false;
    *digest = (struct digest){0};
    for (uint32_t value = 0; value < 2 * r->graph.n_tensors; value++)
        if (exec_value(r->exec, value)) /* what is left at the end are the outputs and the gradients of the inputs */
            *digest = digest_add(*digest, exec_value(r->exec, value), plan_value_bytes(&r->graph, value));
    return true;
}

static uint64_t total_ns(const struct exec_report *e) {
    return e->forward_ns + e->recompute_ns + e->backward_ns;
}

/* A short pair is run again: the first run of a process is slower, and machines are shared. */
#define PAIR_AGAIN_BELOW_NS 10000000000u

struct side { /* standard or checkpointed */
    struct exec_report report;
    struct digest digest;
    uint64_t predicted_peak_bytes, least_ns;
};

static bool side_run(struct remat_run *r, struct lab *lab, bool checkpointed, struct side *side, struct problem *why) {
    lab->checkpointed = checkpointed;
    if (!lab_plan(r, lab, why))
        return false;
    side->predicted_peak_bytes = r->plan.peak_bytes;
    if (!lab->options->execute)
        return true;
    if (!lab_execute(r, lab, &side->report, &side->digest, why))
        return false;
    uint64_t ns = total_ns(&side->report);
    side->least_ns = side->least_ns ? units_min(side->least_ns, ns) : ns;
    return true;
}

static void measured_fill(const struct side *standard, const struct side *checkpointed,
                          struct remat_memory_savings *s) {
    s->measured.standard_memory_bytes = standard->report.retained_peak_bytes;
    s->measured.checkpointed_memory_bytes = checkpointed->report.retained_peak_bytes;
    s->measured.standard_peak_bytes = standard->report.measured_peak_bytes;
    s->measured.checkpointed_peak_bytes = checkpointed->report.measured_peak_bytes;
    s->measured.compute_overhead_pct = 100.0 * (double)checkpointed->report.recompute_flops /
                                       (double)(standard->report.forward_flops + standard->report.backward_flops);
    s->measured.standard_ns = standard->least_ns;
    s->measured.checkpointed_ns = checkpointed->least_ns;
    if (standard->least_ns)
        s->measured.time_overhead_pct = 100 * ((double)checkpointed->least_ns / (double)standard->least_ns - 1);
    s->measured.identical = digest_same(standard->digest, checkpointed->digest);
}

static bool measure(struct remat_run *r, struct lab *lab, struct remat_memory_savings *s, struct problem *why) {
    struct side standard = {0}, checkpointed = {0};
    if (!side_run(r, lab, false, &standard, why) || !side_run(r, lab, true, &checkpointed, why))
        return false;
    uint64_t pair_ns =
        standard.least_ns + checkpointed.least_ns; /* 0 without a clock, or where only plans are asked for */
    if (pair_ns > 0 && pair_ns < PAIR_AGAIN_BELOW_NS &&
        (!side_run(r, lab, false, &standard, why) || !side_run(r, lab, true, &checkpointed, why)))
        return false;
    s->measured.standard_predicted_peak_bytes = standard.predicted_peak_bytes;
    s->measured.checkpointed_predicted_peak_bytes = checkpointed.predicted_peak_bytes;
    if (lab->options->execute)
        measured_fill(&standard, &checkpointed, s);
    return true;
}

static bool run_both(struct lab *lab, struct remat_memory_savings *s, struct problem *why) {
    if (lab->element_bytes != sizeof(float))
        return problem_set(why, PROBLEM_UNSUPPORTED, "/dtype", "only float32 is executed");
    if (lab->layers > LAYERS_EXECUTED_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/num_layers", "is %llu; at most %u layers are executed",
                           (unsigned long long)lab->layers, LAYERS_EXECUTED_MAX);
    struct remat_run *r = checkpoint_run_new(&lab->options->run, why);
    bool ok = r && measure(r, lab, s, why);
    checkpoint_run_free(r);
    return ok;
}

bool remat_measure_memory_savings(uint64_t seq_len, uint64_t d_model, uint64_t num_layers,
                                  const struct remat_savings_options *options, struct remat_memory_savings *savings,
                                  struct remat_problem *why) {
    static const struct remat_savings_options none;
    struct problem inner = {0};
    struct lab lab = {.seq_len = seq_len, .d_model = d_model, .layers = num_layers};
    lab.options = options ? options : &none;
    lab.heads = lab.options->heads ? lab.options->heads : 1;
    lab.batch = lab.options->batch ? lab.options->batch : 1;
    lab.element_bytes = lab.options->element_bytes ? lab.options->element_bytes : sizeof(float);
    *savings = (struct remat_memory_savings){0};
    bool ok = lab_check(&lab, &inner) && predict(&lab, savings, &inner) &&
              ((!lab.options->execute && !lab.options->plan) || run_both(&lab, savings, &inner));
    return checkpoint_tell(ok, &inner, why);
}
