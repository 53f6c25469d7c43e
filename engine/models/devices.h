/* devices.h - what a step may run on: memory, rates, and where the figures are from. A static table; any thread. */
#ifndef REMATD_MODELS_DEVICES_H
#define REMATD_MODELS_DEVICES_H

#include <stdint.h>

#include "engine/plan/cost.h"

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
    /* What ops reach, of float32 and of bfloat16; NULL: nobody has measured it, and the peaks stand for all. */
    const struct cost_measured *measured[2];
};
extern const struct device devices_table[];
extern const unsigned devices_table_length;
const struct device *devices_find(const char *name); /* NULL if unknown */
/* Of a dtype that has no kernels here, what float32 reaches. */
struct cost_rates devices_rates(const struct device *d, enum dtype dtype);

#endif
