/* wire_calibration.h - what a job of kind `calibrate` found, as JSON and as the device that plans ask for. */
#ifndef REMATD_SERVER_WIRE_CALIBRATION_H
#define REMATD_SERVER_WIRE_CALIBRATION_H

#include "engine/exec/measure.h"
#include "engine/models/devices.h"
#include "server/wire.h"

/* One phase of one case. */
struct wire_calibration_line {
    unsigned row; /* measure.h */
    enum dtype dtype;
    bool backward;
    const char *shape;
    unsigned rounds;
    uint64_t flops, bytes;
    double seconds;
};

struct wire_calibration {
    const struct wire_calibration_line *lines;
    unsigned n;
    double peak[2], copy[2]; /* FLOP/s and bytes/s, of float32 and of bfloat16: the best product, the copy */
};

/* FLOP/s, or bytes/s where that is what bounds it. */
double wire_calibration_rate(const struct wire_calibration_line *line);
/* Peaks from lines. */
void wire_calibration_sum(struct wire_calibration *c);
/* "peak_flops_per_second", "copy_bytes_per_second", "ops", into an open object. */
void wire_calibration_put(struct wire_out *o, const struct wire_calibration *c);
void wire_calibration_line_put(struct wire_out *o, const struct wire_calibration *c,
                               const struct wire_calibration_line *line);

/* A result of such a job -> rates of a device, all but its name, memory and source. Rates of one row are those of all
 * its cases together; a row without any has those of linear, or of the copy. PROBLEM_MALFORMED where it is no such
 * result. */
PROBLEM_MUST_CHECK bool wire_calibration_read(const char *text, struct arena *a, struct device *out,
                                              struct problem *why);

#endif
