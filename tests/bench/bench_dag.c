/* bench_dag.c - recomputation over any graph: what is paid at half the peak (random: 4/5), and how much of it is
 * proven, by time. usage: bench_dag [seconds [nodes [family]]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/dag_graphs.h"
#include "tests/bench/bench.h"

struct watch {
    double begin, end, first; /* first: when a plan was there */
};

static bool out_of_time(void *user, const struct dag_progress *p) {
    struct watch *w = user;
    double t = bench_now();
    if (w->first <= 0 && p->cost != UINT64_MAX)
        w->first = t - w->begin;
    return t > w->end;
}

static void row(enum dag_family family, uint32_t nodes, double seconds) {
    struct arena a;
    struct dag d;
    struct dag_solution s;
    struct problem why = {0};
    double begin = bench_now();
    struct watch w = {begin, begin + seconds, 0};
    uint64_t sum = 0, cost, peak;
    arena_init(&a, 0);
    if (!dag_graphs_make(family, nodes, 1, &a, &d) || !dag_check(&d, &why))
        exit(fprintf(stderr, "bench_dag: %s %s\n", why.where, why.detail));
    /* random graphs have no long idle lives: half their peak is out of reach */
    const uint64_t percent = family == DAG_LAYERED ? 80 : 50;
    struct dag_limits l = {.budget_bytes = dag_graphs_peak(&d) * percent / 100,
                           .exact_states = 1000000,
                           .memory_bytes = 2ull << 30,
                           .rounds = UINT64_MAX / 4,
                           .ask = out_of_time,
                           .user = &w};
    for (uint32_t v = 0; v < d.n_nodes; v++)
        sum += d.nodes[v].cost;
    if (!dag_solve(&d, &l, &a, &s, &why))
        exit(fprintf(stderr, "bench_dag: %s %s\n", why.where, why.detail));
    printf("%-12s %5u nodes %5u values %5.0f s  ", dag_graphs_names[family], d.n_nodes, d.n_values,
           bench_now() - begin);
    if (!s.sequence) {
        printf("%s\n", s.exact ? "no plan" : "none found");
    } else {
        if (!dag_judge(&d, s.sequence, s.n, &cost, &peak, &a, &why) || cost != s.cost || peak > l.budget_bytes)
            exit(fprintf(stderr, "bench_dag: judged otherwise: %s\n", why.detail));
        printf("cost %.4f of the sum  gap %.4f  first plan after %.2f s  %s %llu%s\n", (double)s.cost / (double)sum,
               (double)(s.cost - s.lower_bound) / (double)s.cost, w.first, s.solver, (unsigned long long)s.states,
               s.exact ? " exact" : "");
    }
    fflush(stdout);
    arena_free(&a);
}

int main(int argc, char **argv) {
    static const uint32_t sizes[] = {60, 100, 350, 1000};
    double seconds = argc > 1 ? atof(argv[1]) : 10;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (enum dag_family f = 0; f < DAG_TINY; f++)
            if ((argc < 3 || (uint32_t)atoi(argv[2]) == sizes[i]) &&
                (argc < 4 || !strcmp(argv[3], dag_graphs_names[f])))
                row(f, sizes[i], seconds);
    return 0;
}
