/* rematc_jobs.c - rematc_jobs_labelled and rematc_retry. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/c/rematc.h"

/* "?name=value" or "&name=value"; value NULL: nothing. */
static void query_add(FILE *path, char *joint, const char *name, const char *value) {
    char *escaped = value ? curl_easy_escape(NULL, value, 0) : NULL;
    if (escaped)
        fprintf(path, "%c%s=%s", *joint, name, escaped);
    *joint = escaped ? '&' : *joint;
    curl_free(escaped);
}

static void *no_memory(struct rematc_error *why) {
    if (why)
        *why = (struct rematc_error){.kind = REMATC_LOCAL, .title = "No memory", .detail = "for an address"};
    return NULL;
}

json_t *rematc_jobs_labelled(struct rematc *client, const char *state, const char *kind, const char *const *labels,
                             unsigned n_labels, unsigned page_size, const char *page_token, struct rematc_error *why) {
    char *text = NULL, joint = '?', digits[24];
    size_t bytes;
    FILE *path = open_memstream(&text, &bytes);
    if (!path)
        return no_memory(why);
    fputs("/v1/jobs", path);
    query_add(path, &joint, "state", state);
    query_add(path, &joint, "kind", kind);
    for (unsigned i = 0; i < n_labels; i++)
        query_add(path, &joint, "label", labels[i]);
    snprintf(digits, sizeof digits, "%u", page_size);
    query_add(path, &joint, "page_size", page_size ? digits : NULL);
    query_add(path, &joint, "page_token", page_token);
    json_t *answer = fclose(path) == 0 ? rematc_get(client, text, why) : no_memory(why);
    free(text);
    return answer;
}

json_t *rematc_retry(struct rematc *client, const char *id, struct rematc_error *why) {
    char *escaped = curl_easy_escape(NULL, id, 0), *path = NULL;
    bool made = escaped && asprintf(&path, "/v1/jobs/%s/retry", escaped) >= 0;
    json_t *answer = made ? rematc_post(client, path, NULL, 0, why) : no_memory(why);
    curl_free(escaped);
    free(path);
    return answer;
}
