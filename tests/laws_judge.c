/* laws_judge.c - a plan's figures counted again: what is there at each step, as a table of steps by values.
 *
 * Only the steps and the graph are read. One pass forwards says what is there; one backwards says what the backward
 * still reads. The words are those of docs/memory-model.md: a tensor is saved from its making until the backward (or a
 * recomputation, which stands for it) has read it for the last time; what a second run makes is recomputed. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/laws.h"

enum {
    HERE = 1,
    AGAIN = 2, /* made by a second run */
    WRITTEN =
        4, /* an output of the graph that stayed, and a second run wrote it again: it is there as an output alone */
    AWAITED = 8 /* the backward reads it at this step or later */
};

struct table {
    const struct plan *p;
    const struct graph *g;
    uint32_t n_values;
    unsigned char *cell; /* [step][value] */
    bool *ran;           /* by op */
    bool *second;        /* by step: runs an op that ran before */
    uint32_t needless;   /* the first second run that made nothing that was missing; n_steps: none */
    uint32_t turn;
};

static unsigned char *row(const struct table *t, uint32_t step) {
    return t->cell + (size_t)step * t->n_values;
}

static const struct tensor *tensor_of(const struct table *t, uint32_t value) {
    return &t->g->tensors[value % t->g->n_tensors];
}

static uint64_t in_slab(uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static uint64_t work_bytes(const struct table *t, uint32_t step) {
    const struct step s = t->p->steps[step];
    if (s.op == STEP_FREE)
        return 0;
    return in_slab(s.op == STEP_RUN ? t->g->ops[s.of].forward_work_bytes : t->g->ops[s.of].backward_work_bytes);
}

/* ---- forwards ---- */

static void appear(const struct table *t, unsigned char *now, uint32_t value, bool again) {
    if (tensor_of(t, value)->role == TENSOR_PARAMETER)
        return;
    if (now[value] & HERE)
        now[value] |= again ? WRITTEN : 0;
    else
        now[value] = HERE | (again ? AGAIN : 0);
}

static void forwards(struct table *t) {
    unsigned char *now = calloc(t->n_values, 1);
    t->turn = t->needless = t->p->n_steps;
    for (uint32_t v = 0; v < t->g->n_tensors; v++)
        now[v] = t->g->tensors[v].role == TENSOR_INPUT ? HERE : 0;
    for (uint32_t i = 0; i < t->p->n_steps; i++) {
        const struct step s = t->p->steps[i];
        const struct op *op = s.op == STEP_FREE ? NULL : &t->g->ops[s.of];
        if (s.op == STEP_RUN) {
            t->second[i] = t->ran[s.of];
            t->ran[s.of] = true;
            bool missing = !t->second[i] || op->kind == OP_FUNCTION; /* those leave things in their context */
            for (uint32_t o = 0; o < op->n_outputs; o++) {
                missing |= !(now[op->outputs[o]] & HERE);
                appear(t, now, op->outputs[o], t->second[i]);
            }
            if (!missing && t->needless == t->p->n_steps)
                t->needless = i;
        }
        if (s.op == STEP_GRAD) {
            for (uint32_t o = 0; o < op->n_results; o++)
                if (t->g->tensors[op->outputs[o]].needs_grad)
                    appear(t, now, t->g->n_tensors + op->outputs[o], false);
            for (uint32_t o = 0; o < op->n_inputs; o++)
                if (t->g->tensors[op->reads[o]].needs_grad)
                    appear(t, now, t->g->n_tensors + op->reads[o], false);
        }
        if (t->turn == t->p->n_steps && (s.op == STEP_GRAD || t->second[i]))
            t->turn = i;
        for (uint32_t v = 0; v < t->n_values; v++)
            row(t, i)[v] = now[v];
        if (s.op == STEP_FREE)
            now[s.of] = 0;
    }
    free(now);
}

/* ---- backwards ---- */

static void backwards(struct table *t) {
    bool *awaited = calloc(t->n_values, sizeof *awaited);
    for (uint32_t i = t->p->n_steps; i-- > 0;) {
        const struct step s = t->p->steps[i];
        const struct op *op = s.op == STEP_FREE ? NULL : &t->g->ops[s.of];
        if (s.op == STEP_FREE)
            awaited[s.of] = false; /* what is read further on is another life of it */
        for (uint32_t o = 0; s.op == STEP_RUN && o < op->n_outputs; o++)
            awaited[op->outputs[o]] &= !t->second[i]; /* what is read further on is what this run makes */
        for (uint32_t o = 0; t->second[i] && o < op->n_inputs; o++)
            awaited[op->reads[o]] = true;
        for (uint32_t o = 0; s.op == STEP_GRAD && o < op->n_saved; o++)
            awaited[op->saved[o]] = true;
        for (uint32_t v = 0; v < t->n_values; v++)
            row(t, i)[v] |= awaited[v] && (row(t, i)[v] & (HERE | WRITTEN)) == HERE ? AWAITED : 0;
    }
    free(awaited);
}

/* ---- figures ---- */

static struct plan_moment moment(const struct table *t, uint32_t step) {
    struct plan_moment m = {0};
    for (uint32_t v = 0; v < t->n_values; v++) {
        const struct tensor *tensor = tensor_of(t, v);
        const unsigned char c = row(t, step)[v];
        const bool gradient = v >= t->g->n_tensors;
        const bool outside = gradient ? tensor->grad_requested : tensor->requested || tensor->role == TENSOR_INPUT;
        if (!(c & HERE))
            continue;
        if (c & AGAIN)
            m.recomputed_bytes += in_slab(tensor->bytes);
        else if (c & AWAITED)
            m.saved_activations_bytes += in_slab(tensor->bytes);
        else if (outside)
            m.inputs_outputs_bytes += in_slab(tensor->bytes);
        else if (gradient)
            m.activation_gradients_bytes += in_slab(tensor->bytes);
        else
            m.transient_bytes += in_slab(tensor->bytes);
        m.retained_bytes += c & (AGAIN | AWAITED) ? tensor->bytes : 0;
        m.live_bytes += in_slab(tensor->bytes);
    }
    m.workspace_bytes = work_bytes(t, step);
    m.live_bytes += m.workspace_bytes;
    return m;
}

static bool same(const char *what, uint32_t step, uint64_t plan, uint64_t counted, struct problem *why) {
    return plan == counted || problem_set(why, PROBLEM_PLAN, "", "step %u: %s are %llu in the plan, counted %llu", step,
                                          what, (unsigned long long)plan, (unsigned long long)counted);
}

static bool moments_same(uint32_t i, const struct plan_moment *a, const struct plan_moment *b, struct problem *why) {
    return same("live bytes", i, a->live_bytes, b->live_bytes, why) &&
           same("saved bytes", i, a->saved_activations_bytes, b->saved_activations_bytes, why) &&
           same("recomputed bytes", i, a->recomputed_bytes, b->recomputed_bytes, why) &&
           same("gradients", i, a->activation_gradients_bytes, b->activation_gradients_bytes, why) &&
           same("inputs and outputs", i, a->inputs_outputs_bytes, b->inputs_outputs_bytes, why) &&
           same("transient bytes", i, a->transient_bytes, b->transient_bytes, why) &&
           same("workspace bytes", i, a->workspace_bytes, b->workspace_bytes, why) &&
           same("retained bytes", i, a->retained_bytes, b->retained_bytes, why);
}

/* Every step, and the peaks over them; the first step that reaches the peak is the peak's. */
static bool moments_judge(const struct table *t, const struct plan_moment *told, struct problem *why) {
    const struct plan *p = t->p;
    uint64_t retained = 0;
    struct plan_moment peak = {0};
    uint32_t peak_step = 0;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct plan_moment m = moment(t, i);
        if (!moments_same(i, &told[i], &m, why))
            return false;
        if (m.live_bytes > peak.live_bytes) {
            peak = m;
            peak_step = i;
        }
        retained = m.retained_bytes > retained ? m.retained_bytes : retained;
    }
    return same("live peak bytes", peak_step, p->live_peak_bytes, peak.live_bytes, why) &&
           same("the peak's step", peak_step, p->peak_step, peak_step, why) &&
           moments_same(peak_step, &p->peak, &peak, why) &&
           same("retained peak bytes", peak_step, p->retained_peak_bytes, retained, why);
}

/* Held for the backward when the forward ends: there before the turn, and awaited at it. */
static uint64_t saved_at_turn(const struct table *t) {
    uint64_t bytes = 0;
    for (uint32_t v = 0; t->turn > 0 && t->turn < t->p->n_steps && v < t->n_values; v++)
        if (row(t, t->turn - 1)[v] & HERE && row(t, t->turn)[v] & AWAITED)
            bytes += tensor_of(t, v)->bytes;
    return bytes;
}

static bool sums_judge(const struct table *t, struct problem *why) {
    const struct plan *p = t->p;
    uint64_t forward = 0, again = 0, backward = 0, persistent = t->g->optimizer_bytes;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct op *op = p->steps[i].op == STEP_FREE ? NULL : &t->g->ops[p->steps[i].of];
        if (p->steps[i].op == STEP_RUN && t->second[i])
            again += op->forward_flops;
        else if (p->steps[i].op == STEP_RUN)
            forward += op->forward_flops;
        else if (op)
            backward += op->backward_flops;
    }
    for (uint32_t v = 0; v < t->g->n_tensors; v++) {
        const struct tensor *parameter = &t->g->tensors[v];
        if (parameter->role == TENSOR_PARAMETER && parameter->storage == v)
            persistent += parameter->bytes + (parameter->needs_grad ? parameter->bytes : 0);
    }
    return same("the first needless run", t->needless, p->n_steps, t->needless, why) &&
           same("the turn", t->turn, p->turn, t->turn, why) &&
           same("saved activations", t->turn, p->saved_activations_bytes, saved_at_turn(t), why) &&
           same("forward FLOPs", 0, p->forward_flops, forward, why) &&
           same("recompute FLOPs", 0, p->recompute_flops, again, why) &&
           same("backward FLOPs", 0, p->backward_flops, backward, why) &&
           same("persistent bytes", 0, p->persistent_bytes, persistent, why) &&
           same("peak bytes", 0, p->peak_bytes, persistent + p->slab_bytes, why);
}

/* At the end there is what was asked for, nothing else. */
static bool end_judge(const struct table *t, struct problem *why) {
    for (uint32_t v = 0; v < t->n_values; v++) {
        const struct step last = t->p->steps[t->p->n_steps - 1];
        const struct tensor *tensor = tensor_of(t, v);
        bool here = row(t, t->p->n_steps - 1)[v] & HERE && !(last.op == STEP_FREE && last.of == v);
        bool asked = v < t->g->n_tensors ? tensor->requested : tensor->grad_requested;
        if (tensor->role != TENSOR_PARAMETER && here != asked)
            return problem_set(why, PROBLEM_PLAN, "", "value %u is %s at the end", v, here ? "left over" : "missing");
    }
    return true;
}

/* ---- places ---- */

/* Extents are exactly the lives: each step that has a value there has one extent of it, of its size; each life one. */
static bool extents_judge(const struct table *t, struct problem *why) {
    const struct plan *p = t->p;
    uint64_t cells = 0, covered = 0, works = 0;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        for (uint32_t v = 0; v < t->n_values; v++)
            cells += row(t, i)[v] & HERE;
        works += work_bytes(t, i) > 0;
    }
    for (uint32_t i = 0; i < p->n_extents; i++) {
        const struct extent *e = &p->extents[i];
        if (e->last < e->first || e->last >= p->n_steps || e->offset % 64 || e->offset + e->bytes > p->slab_bytes)
            return problem_set(why, PROBLEM_PLAN, "", "extent %u lies outside", i);
        if (e->value == EXTENT_WORK) {
            if (e->first != e->last || !same("extents of work", e->first, e->bytes, work_bytes(t, e->first), why))
                return problem_set(why, PROBLEM_PLAN, "", "workspace outlives its step %u", e->first);
            works--;
            continue;
        }
        for (uint32_t s = e->first; s <= e->last; s++)
            if (!(row(t, s)[e->value] & HERE) ||
                (s < e->last && p->steps[s].op == STEP_FREE && p->steps[s].of == e->value))
                return problem_set(why, PROBLEM_PLAN, "", "extent %u has value %u at step %u", i, e->value, s);
        if (!same("an extent's bytes", e->first, e->bytes, in_slab(tensor_of(t, e->value)->bytes), why))
            return false;
        covered += e->last - e->first + 1;
    }
    return same("steps times values in extents", 0, covered, cells, why) &&
           same("workspaces left out", 0, works, 0, why);
}

static bool layout_judge(const struct plan *p, struct problem *why) {
    for (uint32_t i = 0; i < p->n_extents; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct extent *a = &p->extents[i], *b = &p->extents[j];
            if (a->first <= b->last && b->first <= a->last && a->offset < b->offset + b->bytes &&
                b->offset < a->offset + a->bytes)
                return problem_set(why, PROBLEM_PLAN, "", "extents %u and %u overlap", j, i);
        }
    return p->slab_bytes >= p->live_peak_bytes ||
           problem_set(why, PROBLEM_PLAN, "", "the slab is smaller than the live peak");
}

bool laws_judge(const struct plan *plan, struct problem *why) {
    struct table t = {.p = plan, .g = plan->graph, .n_values = 2 * plan->graph->n_tensors};
    struct plan again = *plan; /* for its moments: simulated a second time */
    struct arena a;
    arena_init(&a, 0);
    struct plan_moment *told = arena_new(&a, struct plan_moment, (size_t)plan->n_steps + 1, why);
    t.cell = arena_new(&a, unsigned char, (size_t)plan->n_steps *t.n_values, why);
    t.ran = arena_new(&a, bool, t.g->n_ops, why);
    t.second = arena_new(&a, bool, plan->n_steps, why);
    bool ok = told && t.cell && t.ran && t.second && plan->n_steps > 0 && plan_check(plan, &a, why) &&
              plan_simulate(&again, &a, told, why);
    if (ok) {
        forwards(&t);
        backwards(&t);
        ok = moments_judge(&t, told, why) && sums_judge(&t, why) && end_judge(&t, why) && extents_judge(&t, why) &&
             layout_judge(plan, why);
    }
    arena_free(&a);
    return ok;
}
