/* dag_best.h - the cheapest plans known of generated graphs (seed 1, in the given order), found by long searches. */
#ifndef REMATD_TESTS_DATA_DAG_BEST_H
#define REMATD_TESTS_DATA_DAG_BEST_H

#include "tests/dag_graphs.h"

static const struct dag_best {
    enum dag_family family;
    uint32_t nodes, percent; /* of the given order's peak */
    uint64_t cost;
    double tolerance; /* what 30000 rounds may miss, in part */
} dag_best[] = {
    {DAG_VGG, 80, 50, 26739, 0.003},         {DAG_UNET, 60, 50, 19318, 0.004},
    {DAG_UNET, 100, 50, 25595, 0.015},       {DAG_RESNET, 100, 50, 18275, 0.008},
    {DAG_LAYERED, 60, 80, 4298, 0.006},      {DAG_LAYERED, 100, 80, 6004, 0.12},
    {DAG_VGG, 350, 50, 116032, 0.006},       {DAG_UNET, 350, 50, 87610, 0.014},
    {DAG_RESNET, 200, 50, 33034, 0.014},     {DAG_RESNET, 350, 50, 54952, 0.014},
    {DAG_TRANSFORMER, 60, 50, 14025, 0.003}, {DAG_TRANSFORMER, 340, 40, 80369, 0.006},
};

#endif
