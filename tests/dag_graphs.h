/* dag_graphs.h - graphs to recompute over: training steps of nets of several shapes, and random ones. Seeded. */
#ifndef REMATD_TESTS_DAG_GRAPHS_H
#define REMATD_TESTS_DAG_GRAPHS_H

#include "engine/plan/dag.h"

enum dag_family { DAG_VGG, DAG_UNET, DAG_RESNET, DAG_TRANSFORMER, DAG_LAYERED, DAG_TINY, DAG_FAMILIES };
extern const char *const dag_graphs_names[DAG_FAMILIES];

/* About `nodes` nodes. TINY: at most 8 nodes and 8 values, with everything a graph may have. False: out of memory. */
bool dag_graphs_make(enum dag_family family, uint32_t nodes, uint64_t seed, struct arena *a, struct dag *out);
/* Peak of the given order, nothing run again. */
uint64_t dag_graphs_peak(const struct dag *d);

#endif
