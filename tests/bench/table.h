/* table.h - lines of bench_kernels: work on one and on two threads beside a yardstick, all in turns, round by round.
 *
 * A round is: yardstick and work on one thread, yardstick and work on two; each ratio is of one round, with the
 * yardstick's rate before and after the work, and what is printed is the median over the rounds. Targets stand beside
 * what they are for; what misses its `must` is marked with a star. */
#ifndef REMATD_TESTS_BENCH_TABLE_H
#define REMATD_TESTS_BENCH_TABLE_H

#include "tests/bench/cases.h"

struct target {
    double must, stretch; /* 0: none */
};

struct table_options {
    unsigned rounds;     /* wanted of every line */
    unsigned least;      /* rounds of lines that would take longer than so many */
    double line_seconds; /* seconds */
    bool ratios;         /* "name <tab> value <tab> least or most" for bench-check, in place of the table */
    char *const *names;  /* beginnings of names; lines that begin with none of them are left out */
    int n_names;         /* 0: every line */
};

/* Whether a line of this name, or lines that begin so, are wanted. */
bool table_wants(const struct table_options *o, const char *name);

/* Work beside a yardstick that counts the same unit. work[c].run NULL: not on so many threads. */
struct line {
    const char *name;
    struct bench_work work[CASE_THREADS], beside[CASE_THREADS];
    struct target ratio, speedup; /* of work to yardstick; of two threads to one */
    double unit;                  /* the printed rate is the rate times this */
    const char *note;             /* printed at the end; may be NULL */
};
/* Stands above the next line, if there is one. */
void table_head(const char *title, const char *unit, const char *yardstick);
void table_line(const struct table_options *o, const struct line *l);

/* How much longer one work takes than another, at most `most`. */
void table_overhead(const struct table_options *o, const char *name, const struct bench_work *longer,
                    const struct bench_work *plain, struct target most);

/* How many values missed their `must`, so far. */
unsigned table_missed(void);

#endif
