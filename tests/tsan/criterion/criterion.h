/* criterion.h - a stand-in for Criterion where it does not start: under ThreadSanitizer. Runs the bodies one after
 * another in this process; arguments are the suites to run (none: all). Covers the macros our tests use. */
#ifndef REMATD_TSAN_CRITERION_H
#define REMATD_TSAN_CRITERION_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tsan_test {
    const char *suite, *name;
    void (*body)(void);
    int signal, exit_code;
    void (*init)(void), (*fini)(void);
    double timeout;
    const char *description;
    bool disabled;
    struct tsan_test *next;
};
extern struct tsan_test *tsan_tests;

__attribute__((format(printf, 3, 4), noreturn)) void tsan_fail(const char *file, int line, const char *format, ...);

/* clang-format off */
#define Test(suite_, name_, ...)                                                                                          \
    static void tsan_body_##suite_##_##name_(void);                                                                       \
    __attribute__((constructor)) static void tsan_add_##suite_##_##name_(void) {                                          \
        static struct tsan_test t = {.suite = #suite_, .name = #name_, .body = tsan_body_##suite_##_##name_, __VA_ARGS__}; \
        t.next = tsan_tests; tsan_tests = &t;                                                                             \
    }                                                                                                                     \
    static void tsan_body_##suite_##_##name_(void)
#define TestSuite(...) struct tsan_suite_unused

#define tsan_say(condition, ...) do { if (!(condition)) tsan_fail(__FILE__, __LINE__, "" __VA_ARGS__); } while (0)
#define cr_assert(c, ...)           tsan_say(c, __VA_ARGS__)
#define cr_assert_not(c, ...)       tsan_say(!(c), __VA_ARGS__)
#define cr_assert_eq(a, b, ...)     tsan_say((a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...)    tsan_say((a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...)     tsan_say((a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...)    tsan_say((a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...)     tsan_say((a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...)    tsan_say((a) >= (b), __VA_ARGS__)
#define cr_assert_null(a, ...)      tsan_say((a) == NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...)  tsan_say((a) != NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) tsan_say(strcmp(a, b) == 0, __VA_ARGS__)
#define cr_assert_str_empty(s, ...)  tsan_say(!*(s), __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) tsan_say(strcmp(a, b) != 0, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) tsan_say(memcmp(a, b, n) == 0, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) tsan_say(fabs((double)(a) - (double)(b)) <= (double)(e), __VA_ARGS__)
#define cr_assert_fail(...)         tsan_fail(__FILE__, __LINE__, "" __VA_ARGS__)
#define cr_fail(...)                tsan_fail(__FILE__, __LINE__, "" __VA_ARGS__)
#define cr_expect(...)           cr_assert(__VA_ARGS__)
#define cr_expect_not(...) cr_assert_not(__VA_ARGS__)
#define cr_expect_eq(...) cr_assert_eq(__VA_ARGS__)
#define cr_expect_neq(...) cr_assert_neq(__VA_ARGS__)
#define cr_expect_lt(...) cr_assert_lt(__VA_ARGS__)
#define cr_expect_leq(...) cr_assert_leq(__VA_ARGS__)
#define cr_expect_gt(...) cr_assert_gt(__VA_ARGS__)
#define cr_expect_geq(...) cr_assert_geq(__VA_ARGS__)
#define cr_expect_null(...) cr_assert_null(__VA_ARGS__)
#define cr_expect_not_null(...) cr_assert_not_null(__VA_ARGS__)
#define cr_expect_str_eq(...) cr_assert_str_eq(__VA_ARGS__)
#define cr_expect_str_empty(...) cr_assert_str_empty(__VA_ARGS__)
#define cr_expect_str_neq(...) cr_assert_str_neq(__VA_ARGS__)
#define cr_expect_arr_eq(...) cr_assert_arr_eq(__VA_ARGS__)
#define cr_expect_float_eq(...) cr_assert_float_eq(__VA_ARGS__)
#define cr_log_info(...)            ((void)fprintf(stderr, __VA_ARGS__))
#define cr_skip_test(...)           return
#define cr_skip(...)                return
/* clang-format on */

#endif
