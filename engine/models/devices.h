/* devices.h - what a step may run on: memory, rates, and where the figures are from. A static table; any thread. */
#ifndef REMATD_MODELS_DEVICES_H
#define REMATD_MODELS_DEVICES_H

#include <stdint.h>

#include "engine/graph/op.h"

struct device {
    const char *name;
    /* All of it as the driver shows it; where drivers differ, the least that one was seen to show. The memory that a
     * driver keeps for itself is in the figure of later ones: a process gets some hundred MiB less. */
    uint64_t memory_bytes;
    /* Peak FLOP/s: dense, no sparsity, sums in float32. float32 are products of whole float32 numbers, not TF32, which
     * frameworks leave off for matrix products unless asked. A type without units of its own has the float32 rate. */
    double float32, bfloat16, float16;
    double bandwidth; /* bytes a second */
    const char *source, *memory_source;
};
extern const struct device devices_table[];
extern const unsigned devices_table_length;
const struct device *devices_find(const char *name); /* NULL if unknown */
double devices_flops(const struct device *d, enum dtype dtype);

#endif
