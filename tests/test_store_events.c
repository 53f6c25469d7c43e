/* test_store_events.c - what the store tells: a job's history, many jobs' events in one order, that something changed.
 */
#include <unistd.h>

#include "tests/store_case.h"

static void beat(const struct store_lease *lease, const char *first, const char *second) {
    const char *const texts[] = {first, second};
    bool cancel;
    OK(store_beat(store, lease, 90000,
                  &(struct store_progress){.done = 1, .total = 2, .events = texts, .n_events = second ? 2 : 1}, &cancel,
                  &why));
}

STORES(a_jobs_events_are_its_history) {
    static const char *const ending[] = {"{\"c\":3}"};
    struct store_lease lease;
    add("b", 1);
    add("a", 1);
    claim("w", 10, &lease);
    beat(&lease, "{\"a\":1}", "{\"b\":2}");
    release("w", false, true, 2500, 1);
    claim("w", 10, &lease);
    OK(store_finish(store, &lease, JOB_SUCCEEDED, 3000,
                    &(struct store_progress){.done = 2, .total = 2, .events = ending, .n_events = 1}, "{}", NULL,
                    &why));
    cr_expect_str_eq(events_after(store, "a", 0, true), "1 state {\"state\":\"queued\",\"attempt\":0}\n"
                                                        "2 state {\"state\":\"running\",\"attempt\":1}\n"
                                                        "3 progress {\"a\":1}\n"
                                                        "4 progress {\"b\":2}\n"
                                                        "5 state {\"state\":\"queued\",\"attempt\":0}\n"
                                                        "6 state {\"state\":\"running\",\"attempt\":1}\n"
                                                        "7 progress {\"c\":3}\n"
                                                        "8 state {\"state\":\"succeeded\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "a", 6, true), "7 progress {\"c\":3}\n"
                                                        "8 state {\"state\":\"succeeded\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "a", 8, true), "");
    cr_expect_str_eq(events_after(store, "a", UINT64_MAX, true), "");
    cr_expect_str_eq(events_after(store, "b", 0, false), "1 state {\"state\":\"queued\",\"attempt\":0}\n");
    cr_expect_str_eq(events_after(store, "nobody", 0, true), "");
    OK(store_remove(store, "a", gone, NULL, &why));
    cr_expect_str_eq(events_after(store, "a", 0, true), "");
}

STORES(every_way_a_job_ends_is_an_event) {
    struct store_lease lease;
    enum job_state state;
    add("a", 1), add("b", 500), add("c", 1), add("d", 1);
    OK(store_cancel(store, "a", 5, &state, &why));
    OK(store_cancel(store, "a", 5, &state, &why)); /* no second one */
    OK(store_refuse(store, 100, 9, "{\"no\":1}", &why));
    claim("w", 100, &lease);
    OK(store_cancel(store, "c", 5, &state, &why)); /* a flag alone */
    release("w", false, false, 3000, 1);
    for (int i = 0; i < 2; i++) {
        claim("w", 100, &lease);
        release("w", false, false, 3000, 1);
    }
    cr_expect_str_eq(events_after(store, "a", 1, true), "2 state {\"state\":\"cancelled\",\"attempt\":0}\n");
    cr_expect_str_eq(events_after(store, "b", 1, true), "2 state {\"state\":\"failed\",\"attempt\":0}\n");
    cr_expect_str_eq(events_after(store, "c", 2, true), "3 state {\"state\":\"cancelled\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "d", 2, true), "3 state {\"state\":\"queued\",\"attempt\":1}\n"
                                                        "4 state {\"state\":\"running\",\"attempt\":2}\n"
                                                        "5 state {\"state\":\"failed\",\"attempt\":2}\n");
}

STORES(a_lost_lease_says_nothing) {
    static const char *const late[] = {"{\"late\":1}"};
    struct store_progress progress = {.done = 1, .total = 2, .events = late, .n_events = 1};
    struct store_lease lease;
    bool cancel, any;
    add("a", 1);
    claim("w", 10, &lease);
    release("w", false, false, 2500, 1);
    REFUSED(store_beat(store, &lease, 90000, &progress, &cancel, &why), PROBLEM_STATE);
    REFUSED(store_finish(store, &lease, JOB_FAILED, 1, &progress, NULL, NULL, &why), PROBLEM_STATE);
    OK(store_events_any(store, "a", 3, &any, &why));
    cr_expect_not(any);
    OK(store_events_any(store, "a", 2, &any, &why));
    cr_expect(any);
    OK(store_events_any(store, "nobody", 0, &any, &why));
    cr_expect(any, "that it ended is something to say");
}

STORES(old_progress_is_forgotten_states_are_not) {
    struct store_lease lease;
    struct store_event *events;
    size_t n, states = 0;
    bool last;
    char texts[100][16];
    const char *list[100];
    add("a", 1);
    claim("w", 10, &lease);
    for (int round = 0; round < 25; round++) {
        bool cancel;
        for (int i = 0; i < 100; i++) {
            snprintf(texts[i], sizeof texts[i], "[%d]", round * 100 + i);
            list[i] = texts[i];
        }
        OK(store_beat(store, &lease, 90000, &(struct store_progress){.events = list, .n_events = 100}, &cancel, &why));
    }
    finish(&lease, JOB_SUCCEEDED);
    OK(store_events(store, "a", 0, 5000, &arena, &events, &n, &last, &why));
    cr_assert_eq(n, 3 + STORE_PROGRESS_MAX);
    for (size_t i = 0; i < n; i++) {
        states += strcmp(events[i].name, "state") == 0;
        cr_assert(i == 0 || events[i].number > events[i - 1].number);
    }
    cr_expect_eq(states, 3);
    cr_expect_str_eq(events[2].data, "[500]");
    cr_expect_str_eq(events[n - 2].data, "[2499]");
    cr_expect(last);
    OK(store_events(store, "a", 0, 10, &arena, &events, &n, &last, &why));
    cr_expect(n == 10 && !last, "there is more");
}

/* "1 a state\n2 b state\n" after a place, which moves. */
static const char *feed_after(const char *jobs, const char *labels, uint64_t *after, unsigned limit, bool more_wanted) {
    struct store_event *events;
    size_t n;
    bool more;
    const char *text = "";
    OK(store_feed(store, &(struct store_feed){.jobs = jobs, .labels = labels}, after, limit, &arena, &events, &n, &more,
                  &why));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&arena, &why, "%s%llu %s %s\n", text, (unsigned long long)events[i].number, events[i].job,
                            events[i].name);
    cr_expect_eq(more, more_wanted, "%s", text);
    return text;
}

STORES(many_jobs_events_have_one_order) {
    struct store_lease lease;
    enum job_state state;
    uint64_t after = 0, last, before;
    bool over;
    add_of("a", "", 1, "{\"team\":\"x\"}");
    add_of("b", "", 1, NULL);
    claim("w", 10, &lease); /* a */
    beat(&lease, "{\"p\":1}", NULL);
    OK(store_cancel(store, "b", 1, &state, &why));
    finish(&lease, JOB_SUCCEEDED);
    cr_expect_str_eq(feed_after(NULL, NULL, &after, 100, false),
                     "1 a state\n2 b state\n3 a state\n4 a progress\n5 b state\n6 a state\n");
    cr_expect_eq(after, 6);
    OK(store_feed_last(store, &last, &why));
    cr_expect_eq(last, 6);
    after = 2;
    cr_expect_str_eq(feed_after(NULL, NULL, &after, 2, true), "3 a state\n4 a progress\n");
    cr_expect_eq(after, 4);
    after = 0;
    cr_expect_str_eq(feed_after("[\"b\"]", NULL, &after, 100, false), "2 b state\n5 b state\n");
    cr_expect_eq(after, 6, "what is another's was looked at");
    after = 3;
    cr_expect_str_eq(feed_after(NULL, "[\"team:x\"]", &after, 100, false), "4 a progress\n6 a state\n");
    OK(store_feed_first(store, "[\"b\"]", &before, &why));
    cr_expect_eq(before, 1);
    OK(store_feed_over(store, "[\"a\",\"b\"]", &over, &why));
    cr_expect(over);
    OK(store_remove(store, "a", gone, NULL, &why));
    add("c", 1);
    after = 6;
    cr_expect_str_eq(feed_after(NULL, NULL, &after, 100, false), "7 c state\n", "places are not used again");
    OK(store_feed_over(store, "[\"a\",\"c\"]", &over, &why));
    cr_expect_not(over);
}

/* A store may tell of a change a moment after it. */
static bool moves(bool version(struct store *, uint64_t *, struct problem *), struct store *s, uint64_t before) {
    uint64_t after = before;
    for (int i = 0; i < 500 && after == before; i++) {
        OK(version(s, &after, &why));
        usleep(after == before ? 10000 : 0);
    }
    return after != before;
}

STORES(another_connection_sees_changes) {
    struct store *other = store_open(where, &why);
    cr_assert(other);
    uint64_t before, after;
    OK(store_version(other, &before, &why));
    OK(store_version(other, &after, &why));
    cr_expect_eq(before, after);
    add("a", 1);
    cr_expect(moves(store_version, other, before));
    OK(store_check(other, &why) && store_verify(other, &why));
    store_close(other);
}

STORES(own_changes_are_changes_too) {
    uint64_t before, after;
    OK(store_changes(store, &before, &why));
    OK(store_changes(store, &after, &why));
    cr_expect_eq(before, after);
    add("a", 1);
    cr_expect(moves(store_changes, store, before));
    OK(store_changes(store, &after, &why));
    struct store *other = store_open(where, &why);
    enum job_state state;
    cr_assert(other);
    before = after;
    OK(store_cancel(other, "a", 5, &state, &why));
    cr_expect(moves(store_changes, store, before));
    store_close(other);
}
