/* devices.h - what a step may run on: memory, rates, and where the figures are from. A static table; any thread. */
#ifndef REMATD_MODELS_DEVICES_H
#define REMATD_MODELS_DEVICES_H

#include <stdint.h>

#include "engine/graph/op.h"

struct device {
    const char *name;
    uint64_t memory_bytes;             /* all of it, as the driver reports it */
    double float32, bfloat16, float16; /* peak FLOP/s, dense, float32 sums; a type without units of its own has
                                          the float32 rate */
    double bandwidth;                  /* bytes a second */
    const char *source, *memory_source;
};
extern const struct device devices_table[];
extern const unsigned devices_table_length;
const struct device *devices_find(const char *name); /* NULL if unknown */
double devices_flops(const struct device *d, enum dtype dtype);

#endif
