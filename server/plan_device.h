/* plan_device.h - the device a request names: a row of devices_table, or `host`, the machine the daemon runs on, as the
 * newest job of kind `calibrate` measured it. */
#ifndef REMATD_SERVER_PLAN_DEVICE_H
#define REMATD_SERVER_PLAN_DEVICE_H

#include "engine/models/devices.h"
#include "server/store.h"
#include "server/wire.h"

#define PLAN_DEVICE_HOST "host"

/* Where the host is known from. */
struct plan_host {
    struct store *store;   /* NULL: it is not known */
    uint64_t memory_bytes; /* that the daemon's jobs may take */
    bool asked;            /* a request named it: its answer holds until the next calibration */
    /* Where it is kept once it was read, so that all plans of a request are on the same; NULL: read for each. */
    struct arena *arena;
    bool read;
    const struct device *device;
};

/* *out: in a, or NULL where there was no calibration yet, or none that this release can read. host NULL: none is known.
 */
PROBLEM_MUST_CHECK bool plan_device_host(struct plan_host *host, struct arena *a, const struct device **out,
                                         struct problem *why);
/* "device" of a request, *out NULL where it has none. */
PROBLEM_MUST_CHECK bool plan_device_read(const struct wire_value *request, struct plan_host *host, struct arena *a,
                                         const struct device **out, struct problem *why);

#endif
