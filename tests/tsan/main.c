/* main.c - runs what the stand-in Criterion collected; see criterion/criterion.h */
#include <criterion/criterion.h>

struct tsan_test *tsan_tests;

void tsan_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: assertion failed: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static bool chosen(const struct tsan_test *t, int n, char **suites) {
    for (int i = 1; i < n; i++)
        if (strcmp(suites[i], t->suite) == 0)
            return true;
    return n == 1;
}

int main(int n, char **suites) {
    int ran = 0;
    for (struct tsan_test *t = tsan_tests; t; t = t->next) {
        if (!chosen(t, n, suites) || t->signal || t->exit_code || t->disabled)
            continue;
        fprintf(stderr, "%s::%s\n", t->suite, t->name);
        if (t->init)
            t->init();
        t->body();
        if (t->fini)
            t->fini();
        ran++;
    }
    printf("%d passed, 0 failed\n", ran);
    return ran ? 0 : 1;
}
