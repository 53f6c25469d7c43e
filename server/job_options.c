/* job_options.c - see job_options.h */
#include "server/job_options.h"

#include <string.h>

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@";

/* Keys have no colon: "KEY:VALUE" is read in one way. */
static bool key_is_good(const char *key, size_t length) {
    return length > 0 && length <= JOB_LABEL_BYTES_MAX && strspn(key, letters) >= length;
}

static bool value_is_good(const char *value) {
    for (const char *at = value; *at; at++)
        if (*at != ':' && !strchr(letters, *at))
            return false;
    return strlen(value) <= JOB_LABEL_BYTES_MAX;
}

#define GOOD_LABEL "a label's key has from 1 to 63, its value up to 63 letters, digits and - _ . / @ (a value : too)"

bool job_label_check(const char *text, const char *where, struct problem *why) {
    size_t key = strcspn(text, ":");
    if (!text[key])
        return problem_set(why, PROBLEM_MALFORMED, where, "is KEY:VALUE");
    return (key_is_good(text, key) && value_is_good(text + key + 1)) ||
           problem_set(why, PROBLEM_LIMIT, where, GOOD_LABEL);
}

static bool labels_read(const struct wire_value *request, struct arena *a, const char **out, struct problem *why) {
    struct wire_value labels, label;
    const char *value;
    size_t n = 0;
    *out = "{}";
    if (!wire_get(request, "labels", &labels))
        return true;
    if (wire_type(&labels) != WIRE_OBJECT)
        return wire_fail(&labels, why, PROBLEM_MALFORMED, "is an object of strings");
    for (; wire_member(&labels, n, &label); n++) {
        if (n == JOB_LABELS_MAX)
            return wire_fail(&labels, why, PROBLEM_LIMIT, "has more than %u labels", JOB_LABELS_MAX);
        if (!wire_string(&label, &value, why))
            return false;
        if (!key_is_good(label.key, strlen(label.key)) || !value_is_good(value))
            return wire_fail(&label, why, PROBLEM_LIMIT, GOOD_LABEL);
    }
    return (*out = wire_json(&labels, a, why)) != NULL;
}

bool job_options_take(struct wire_document *document, struct arena *a, struct job_options *out, struct problem *why) {
    static const char *const fields[] = {"timeout_seconds", "queue_timeout_seconds", "labels"};
    struct wire_value request = wire_root(document);
    *out = (struct job_options){0};
    if (!wire_uint_of(&request, fields[0], 1, JOB_TIMEOUT_SECONDS_MAX, &out->timeout_seconds, why) ||
        !wire_uint_of(&request, fields[1], 1, JOB_TIMEOUT_SECONDS_MAX, &out->queue_timeout_seconds, why) ||
        !labels_read(&request, a, &out->labels, why))
        return false;
    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++)
        wire_remove(document, fields[i]);
    return true;
}
