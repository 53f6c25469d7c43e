/* rematctl_plan.c - plan and capacity. */
#include "clients/c/rematctl.h"

#define AT_ONCE_SECONDS 60.0 /* a search of more is a job */

/* Asks, and shows the answer; body is ours. */
static int ask(const struct rematctl *ctl, json_t *body,
               json_t *(*question)(struct rematc *, const json_t *, struct rematc_error *),
               void (*print)(const struct rematctl *, const json_t *)) {
    struct rematc_error why = {0};
    json_t *answer = question(ctl->client, body, &why);
    json_decref(body);
    if (!answer)
        return rematctl_fail(&why);
    if (ctl->json)
        rematctl_print_json(answer);
    else
        print(ctl, answer);
    json_decref(answer);
    return EXIT_DONE;
}

static void plan_show(const struct rematctl *ctl, const json_t *answer) {
    (void)ctl;
    rematctl_print_plan(answer);
}

static const char *find_of(const struct rematctl *ctl) {
    return ctl->find ? ctl->find : "batch";
}

static void capacity_show(const struct rematctl *ctl, const json_t *answer) {
    rematctl_print_capacity(answer, find_of(ctl));
}

static const char *word_of(const struct rematctl *ctl) {
    return ctl->n_words ? ctl->words[0] : NULL;
}

int rematctl_plan(const struct rematctl *ctl) {
    int code;
    json_t *body = rematctl_request(ctl, word_of(ctl), &code);
    if (!body)
        return code;
    const json_t *limit = json_object_get(json_object_get(body, "strategy"), "time_limit_seconds");
    return json_number_value(limit) > AT_ONCE_SECONDS ? rematctl_search(ctl, body)
                                                      : ask(ctl, body, rematc_plan, plan_show);
}

int rematctl_capacity(const struct rematctl *ctl) {
    int code;
    json_t *body = rematctl_request(ctl, word_of(ctl), &code);
    if (!body)
        return code;
    json_object_set_new(body, "find", json_string(find_of(ctl)));
    return ask(ctl, body, rematc_capacity, capacity_show);
}
