/* plan_device.c - see plan_device.h */
#include "server/plan_device.h"

#include <string.h>
#include <time.h>

#include "server/log.h"
#include "server/wire_calibration.h"

static const char *source_text(const struct store_calibration *c, struct arena *a, struct problem *why) {
    const time_t seconds = (time_t)(c->finished_ms / 1000);
    char date[32] = "";
    struct tm tm;
    if (gmtime_r(&seconds, &tm))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return arena_printf(a, why, "calibrated by job %s at %s", c->job, date);
}

static bool host_read(const struct plan_host *host, struct arena *a, const struct device **out, struct problem *why) {
    struct store_calibration stored;
    *out = NULL;
    if (!store_calibration(host->store, a, &stored, why))
        return false;
    if (!stored.result)
        return true;
    struct device *d = arena_new(a, struct device, 1, why);
    if (!d)
        return false;
    *d = (struct device){.name = PLAN_DEVICE_HOST,
                         .memory_bytes = host->memory_bytes,
                         .source = source_text(&stored, a, why),
                         .memory_source = "what the daemon's jobs may take together (--memory-limit)"};
    struct problem unreadable = {0};
    if (!d->source)
        return false;
    if (wire_calibration_read(stored.result, a, d, &unreadable)) {
        *out = d;
        return true;
    }
    if (unreadable.kind == PROBLEM_MEMORY || unreadable.kind == PROBLEM_CANCELLED)
        return problem_set(why, unreadable.kind, unreadable.where, "%s", unreadable.detail);
    log_event(LOG_WARNING, "calibration.unreadable", "the calibration of job %s: %s %s", stored.job, unreadable.where,
              unreadable.detail);
    return true;
}

bool plan_device_host(struct plan_host *host, struct arena *a, const struct device **out, struct problem *why) {
    *out = NULL;
    if (!host || !host->store)
        return true;
    if (!host->read && !host_read(host, host->arena ? host->arena : a, &host->device, why))
        return false;
    host->read = host->arena != NULL;
    *out = host->device;
    return true;
}

bool plan_device_read(const struct wire_value *request, struct plan_host *host, struct arena *a,
                      const struct device **out, struct problem *why) {
    struct wire_value field;
    const char *name;
    *out = NULL;
    if (!wire_get(request, "device", &field))
        return true;
    if (!wire_string(&field, &name, why))
        return false;
    if (strcmp(name, PLAN_DEVICE_HOST) != 0) {
        *out = devices_find(name);
        return *out || wire_fail(&field, why, PROBLEM_LIMIT,
                                 "is '%.60s', which is no device; GET /v1/devices lists them", name);
    }
    if (!plan_device_host(host, a, out, why))
        return false;
    if (host)
        host->asked = true;
    return *out || wire_fail(&field, why, PROBLEM_LIMIT,
                             "is this machine, which was not measured yet: POST /v1/jobs {\"kind\": \"calibrate\"}");
}
