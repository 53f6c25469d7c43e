/* table.c - see table.h */
#include "tests/bench/table.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/units.h"

enum { ROUNDS_MAX = 256 };
#define RUN_SECONDS 0.01 /* shorter work is repeated */

static unsigned missed;
static char head[512]; /* of lines that are still to come */

unsigned table_missed(void) {
    return missed;
}

bool table_wants(const struct table_options *o, const char *name) {
    bool wanted = o->n_names == 0;
    for (int i = 0; i < o->n_names; i++) {
        const size_t n = strlen(o->names[i]), m = strlen(name);
        wanted |= strncmp(o->names[i], name, n < m ? n : m) == 0;
    }
    return wanted;
}

/* The name itself, whole, begins as asked. */
static bool line_wanted(const struct table_options *o, const char *name) {
    bool wanted = o->n_names == 0;
    for (int i = 0; i < o->n_names; i++)
        wanted |= strncmp(o->names[i], name, strlen(o->names[i])) == 0;
    return wanted;
}

void table_head(const char *title, const char *unit, const char *yardstick) {
    snprintf(head, sizeof head, "\n%s: %s, and over those of %s\n%-49s %8s %-6s %8s %-6s %6s %6s  %-11s %s\n", title,
             unit, yardstick, "", "1 thread", " ratio", "2", " ratio", " 2 / 1", "rounds", "ratio must", "2 / 1 must");
}

static void print_name(const char *name) {
    printf("%s%-49s", head, name);
    head[0] = 0;
}

/* ---- one column: work beside its yardstick ---- */

struct column {
    const struct bench_work *work, *beside;
    unsigned runs, beside_runs;
    double seconds[ROUNDS_MAX], rate[ROUNDS_MAX], ratio[ROUNDS_MAX];
};

static void column_start(struct column *c, const struct bench_work *work, const struct bench_work *beside) {
    c->work = work;
    c->beside = beside;
    if (!work->run)
        return;
    c->runs = bench_runs(work, RUN_SECONDS);
    c->beside_runs = bench_runs(beside, RUN_SECONDS);
}

static void column_round(struct column *c, unsigned round) {
    if (!c->work->run)
        return;
    const double before = bench_seconds(c->beside, c->beside_runs);
    c->seconds[round] = bench_seconds(c->work, c->runs);
    const double after = bench_seconds(c->beside, c->beside_runs);
    c->rate[round] = c->work->amount / c->seconds[round];
    c->ratio[round] = c->rate[round] * (before + after) / (2 * c->beside->amount);
}

/* ---- rounds ---- */

static unsigned rounds_of(const struct table_options *o, double round_seconds) {
    const double fit = o->line_seconds / round_seconds;
    const unsigned rounds = fit < o->least ? o->least : fit > o->rounds ? o->rounds : (unsigned)fit;
    return (unsigned)units_min(rounds, ROUNDS_MAX);
}

/* ---- what is printed ---- */

static void print_value(double value, bool there, double must, bool most) {
    const bool misses = there && must > 0 && (most ? value > must : value < must);
    missed += misses;
    if (there)
        printf(" %5.2f%c", value, misses ? '*' : ' ');
    else
        printf(" %5s ", "-");
}

static void print_rate(struct column *c, unsigned rounds, double unit) {
    if (c->work->run)
        printf(" %8.1f", unit * bench_median(c->rate, rounds));
    else
        printf(" %8s", "-");
}

static void print_target(struct target t) {
    char text[32] = "-";
    if (t.must > 0)
        snprintf(text, sizeof text, "%.2f (%.2f)", t.must, t.stretch);
    printf(" %-11s", text);
}

static void print_ratio(const char *name, const char *of, double value, const char *better) {
    printf("%s%s\t%.4f\t%s\n", name, of, value, better);
}

void table_line(const struct table_options *o, const struct line *l) {
    static struct column column[CASE_THREADS];
    static double speedup[ROUNDS_MAX];
    const bool both = l->work[0].run && l->work[1].run;
    unsigned rounds = 1;
    if (!line_wanted(o, l->name))
        return;
    for (unsigned t = 0; t < CASE_THREADS; t++)
        column_start(&column[t], &l->work[t], &l->beside[t]);
    double first = bench_now();
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned t = 0; t < CASE_THREADS; t++)
            column_round(&column[t], r);
        if (r == 0)
            rounds = rounds_of(o, bench_now() - first);
        if (both)
            speedup[r] = column[0].seconds[r] / column[1].seconds[r];
    }
    const double gain = both ? bench_median(speedup, rounds) : 0;
    if (o->ratios) {
        for (unsigned t = 0; t < CASE_THREADS; t++)
            if (l->work[t].run)
                print_ratio(l->name, t ? ", 2 threads" : ", 1 thread", bench_median(column[t].ratio, rounds), "least");
        if (both && l->speedup.must > 0)
            print_ratio(l->name, ", 2 threads over 1", gain, "least");
    } else {
        print_name(l->name);
        for (unsigned t = 0; t < CASE_THREADS; t++) {
            print_rate(&column[t], rounds, l->unit);
            print_value(l->work[t].run ? bench_median(column[t].ratio, rounds) : 0, l->work[t].run, l->ratio.must,
                        false);
        }
        print_value(gain, both, l->speedup.must, false);
        printf(" %6u ", rounds);
        print_target(l->ratio);
        print_target(l->speedup);
        printf("%s\n", l->note ? l->note : "");
    }
    fflush(stdout);
}

void table_overhead(const struct table_options *o, const char *name, const struct bench_work *longer,
                    const struct bench_work *plain, struct target most) {
    static double ratio[ROUNDS_MAX];
    unsigned rounds = 1;
    if (!line_wanted(o, name))
        return;
    longer->run(longer->state);
    plain->run(plain->state);
    const double first = bench_now();
    for (unsigned r = 0; r < rounds; r++) {
        const double before = bench_seconds(plain, 1), with = bench_seconds(longer, 1);
        ratio[r] = 2 * with / (before + bench_seconds(plain, 1));
        if (r == 0)
            rounds = rounds_of(o, bench_now() - first);
    }
    const double times = bench_median(ratio, rounds);
    if (o->ratios) {
        print_ratio(name, "", times, "most");
    } else {
        print_name(name);
        printf(" %8s %5s  %8s", "", "", "");
        print_value(times, true, most.must, true);
        printf(" %5s  %6u  at most %.2f (%.2f)\n", "", rounds, most.must, most.stretch);
    }
    fflush(stdout);
}
