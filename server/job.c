/* job.c - see job.h */
#include "server/job.h"

#include <string.h>

#include "server/wire_tensor.h"

const struct job_kind *const job_table[] = {
    &job_attention, &job_sequential, &job_memory_savings, &job_training, &job_plan, &job_calibrate, NULL};

const struct job_kind *job_kind_find(const char *name) {
    for (unsigned i = 0; job_table[i]; i++)
        if (strcmp(job_table[i]->name, name) == 0)
            return job_table[i];
    return NULL;
}

bool job_tensor_note(struct job *job, const struct wire_tensor *t, struct arena *a, struct problem *why) {
    if (!t || t->kind != WIRE_TENSOR_STORED)
        return true;
    if (job->n_blobs == job->blobs_room) {
        unsigned room = job->blobs_room ? job->blobs_room * 2 : 8;
        const char **larger = arena_new(a, const char *, room, why);
        if (!larger)
            return false;
        if (job->n_blobs)
            memcpy(larger, job->blobs, job->n_blobs * sizeof *larger);
        job->blobs = larger;
        job->blobs_room = room;
    }
    job->blobs[job->n_blobs++] = t->digest;
    return true;
}

bool job_common_read(const struct wire_value *request, struct job_common *out, struct problem *why) {
    struct wire_value dtype;
    const char *name = "float32";
    *out = (struct job_common){.backward = true};
    if (!wire_string_of(request, "dtype", &name, why))
        return false;
    if (strcmp(name, "float32") != 0 && wire_get(request, "dtype", &dtype))
        return wire_fail(&dtype, why, PROBLEM_UNSUPPORTED, "jobs compute in float32 so far");
    return wire_bool_of(request, "backward", &out->backward, why) &&
           wire_bool_of(request, "witness", &out->witness, why) &&
           wire_uint_of(request, "budget_bytes", 1, WIRE_INTEGER_MAX, &out->budget_bytes, why);
}

static bool read_request(struct job *job, struct wire_document *document, const struct job_context *c,
                         struct problem *why) {
    struct wire_value request = wire_root(document), kind;
    const char *name;
    if (wire_type(&request) != WIRE_OBJECT)
        return wire_fail(&request, why, PROBLEM_MALFORMED, "a job is a JSON object");
    if (!wire_need(&request, "kind", &kind, why) || !wire_string(&kind, &name, why))
        return false;
    job->kind = job_kind_find(name);
    if (!job->kind)
        return wire_fail(&kind, why, PROBLEM_LIMIT,
                         "is not a kind of job; there are attention, sequential, memory_savings,"
                         " training_step, plan, calibrate");
    job->request = wire_canonical(document, c->arena, why);
    return job->request && job_options_take(document, c->arena, &job->options, why) &&
           job->kind->read(job, &request, c, why);
}

bool job_make(struct job *job, const char *text, size_t bytes, const struct job_context *c, struct problem *why) {
    *job = (struct job){0};
    struct wire_document *document = wire_parse(text, bytes, why);
    if (!document)
        return false;
    bool ok = read_request(job, document, c, why);
    wire_document_free(document);
    return ok && job->kind->plan(job, c, why);
}
