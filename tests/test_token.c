/* test_token.c - who may ask: what a file of tokens may say, who is found in it, and reading it again. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/token.h"

/* of "test", "alpha", "beta" */
#define TEST  "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define ALPHA "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define BETA  "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"

static char name[32];
static struct problem why;

static void start(void) {
    strcpy(name, "/tmp/rematd-tokens-XXXXXX");
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    close(fd);
    why = (struct problem){0};
}

static void stop(void) {
    remove(name);
}

static void put(const char *text, size_t bytes) {
    FILE *file = fopen(name, "w");
    cr_assert_not_null(file);
    fwrite(text, 1, bytes, file);
    fclose(file);
}

static void write_text(const char *text) {
    put(text, strlen(text));
}

static bool found(struct token_file *file, const char *token, struct token_grant *grant) {
    return token_find(file, token, strlen(token), grant);
}

Test(token, files_are_read, .init = start, .fini = stop) {
    struct token_grant grant;
    write_text("# who may ask\n\n"
               "ci\tread,submit   sha256:" TEST "\r\n"
               "  ops admin " ALPHA " # the on-call desk\n"
               "Dash-board_2.b read sha256:" BETA);
    struct token_file *file = token_open(name, &why);
    cr_assert_not_null(file, "%s", why.detail);
    cr_expect_eq(token_count(file), 3);
    cr_assert(found(file, "test", &grant));
    cr_expect(strcmp(grant.name, "ci") == 0 && grant.scopes == (SCOPE_READ | SCOPE_SUBMIT));
    cr_assert(found(file, "alpha", &grant));
    cr_expect(strcmp(grant.name, "ops") == 0 && grant.scopes == (SCOPE_READ | SCOPE_SUBMIT | SCOPE_ADMIN));
    cr_assert(found(file, "beta", &grant));
    cr_expect(strcmp(grant.name, "Dash-board_2.b") == 0 && grant.scopes == SCOPE_READ);
    static const char *const strangers[] = {"", "Test", "test ", "tes", TEST, ("sha256:" TEST), "ci"};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        cr_expect_not(found(file, strangers[i], &grant), "'%s'", strangers[i]);
    token_close(file);
}

Test(token, hashes_may_have_large_letters, .init = start, .fini = stop) {
    struct token_grant grant;
    write_text("a read 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08\n");
    struct token_file *file = token_open(name, &why);
    cr_expect(file && found(file, "test", &grant), "%s", why.detail);
    token_close(file);
}

Test(token, every_digit_counts, .init = start, .fini = stop) {
    struct token_grant grant;
    FILE *out = fopen(name, "w");
    for (size_t i = 0; i < 64; i++) {
        char digest[] = TEST;
        digest[i] = digest[i] == '0' ? '1' : '0';
        fprintf(out, "t%zu read %s\n", i, digest);
    }
    fclose(out);
    struct token_file *file = token_open(name, &why);
    cr_assert_not_null(file, "%s", why.detail);
    cr_expect_not(found(file, "test", &grant), "%s", grant.name);
    token_close(file);
}

/* Each is refused with the file's name, its line and what is wrong. */
Test(token, faults_name_their_line, .init = start, .fini = stop) {
    static const struct {
        const char *text, *line, *says;
        enum problem_kind kind;
    } rows[] = {
        {"a read " TEST "\n\na read " ALPHA "\n", "line 3", "line 1 has the name 'a'", PROBLEM_MALFORMED},
        {"a read " TEST "\n# b\nb read sha256:" TEST "\n", "line 3", "line 1 has the same token", PROBLEM_MALFORMED},
        {"a read,write " TEST "\n", "line 1", "'write' is not a scope", PROBLEM_UNKNOWN_FIELD},
        {"a READ " TEST "\n", "line 1", "'READ' is not a scope", PROBLEM_UNKNOWN_FIELD},
        {"a read, " TEST "\n", "line 1", "'' is not a scope", PROBLEM_UNKNOWN_FIELD},
        {"a read 9f86d081\n", "line 1", "not 64 hexadecimal digits", PROBLEM_MALFORMED},
        {"a read " TEST "0\n", "line 1", "not 64 hexadecimal digits", PROBLEM_MALFORMED},
        {"a read g" ALPHA "\n", "line 1", "not 64 hexadecimal digits", PROBLEM_MALFORMED},
        {"a read sha1:" TEST "\n", "line 1", "not 64 hexadecimal digits", PROBLEM_MALFORMED},
        {"# a\na read\n", "line 2", "a line is a name, scopes and", PROBLEM_MALFORMED},
        {"a read " TEST " more\n", "line 1", "a line is a name, scopes and", PROBLEM_MALFORMED},
        {"a/b read " TEST "\n", "line 1", "a name has", PROBLEM_MALFORMED},
        {"0123456789012345678901234567890123456789012345678901234567890123 read " TEST "\n", "line 1", "a name has",
         PROBLEM_MALFORMED},
        {"\n# nobody\n", NULL, "has no tokens", PROBLEM_MALFORMED},
        {"", NULL, "has no tokens", PROBLEM_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_text(rows[i].text);
        why = (struct problem){0};
        cr_expect_null(token_open(name, &why), "%s", rows[i].text);
        cr_expect_eq(why.kind, rows[i].kind, "%s: %s", rows[i].text, why.detail);
        cr_expect(strstr(why.detail, name) && strstr(why.detail, rows[i].says), "%s: %s", rows[i].text, why.detail);
        cr_expect(!rows[i].line || strstr(why.detail, rows[i].line), "%s: %s", rows[i].text, why.detail);
    }
    static const char zero[] = "a read " TEST "\0\n";
    put(zero, sizeof zero - 1);
    why = (struct problem){0};
    cr_expect(token_open(name, &why) == NULL && strstr(why.detail, "NUL"), "%s", why.detail);
    why = (struct problem){0};
    cr_expect(token_open("/nonexistent/tokens", &why) == NULL && why.kind == PROBLEM_IO, "%s", why.detail);
    why = (struct problem){0};
    cr_expect(token_open("/", &why) == NULL && why.kind == PROBLEM_IO, "%s", why.detail);
}

Test(token, so_many_and_no_more, .init = start, .fini = stop) {
    struct token_grant grant;
    FILE *out = fopen(name, "w");
    for (int i = 0; i < TOKENS_MAX; i++)
        fprintf(out, "t%d read %064x\n", i, i);
    fclose(out);
    struct token_file *file = token_open(name, &why);
    cr_assert_not_null(file, "%s", why.detail);
    cr_expect_eq(token_count(file), TOKENS_MAX);
    cr_expect_not(found(file, "test", &grant));
    out = fopen(name, "a");
    fprintf(out, "last read " TEST "\n");
    fclose(out);
    cr_expect_not(token_reread(file, &why));
    cr_expect(why.kind == PROBLEM_LIMIT && strstr(why.detail, "line 1001"), "%s", why.detail);
    token_close(file);
}

Test(token, a_bad_new_file_leaves_the_old, .init = start, .fini = stop) {
    struct token_grant grant;
    write_text("a read " TEST "\n");
    struct token_file *file = token_open(name, &why);
    cr_assert_not_null(file, "%s", why.detail);
    write_text("b read " ALPHA "\nc nothing " BETA "\n");
    cr_expect_not(token_reread(file, &why));
    cr_expect(strstr(why.detail, "line 2"), "%s", why.detail);
    cr_expect(found(file, "test", &grant) && !found(file, "alpha", &grant));
    why = (struct problem){0};
    remove(name);
    cr_expect_not(token_reread(file, &why));
    cr_expect(found(file, "test", &grant));
    write_text("b read,submit " ALPHA "\n");
    why = (struct problem){0};
    cr_expect(token_reread(file, &why), "%s", why.detail);
    cr_expect(found(file, "alpha", &grant) && !found(file, "test", &grant));
    cr_expect_eq(grant.scopes, SCOPE_READ | SCOPE_SUBMIT);
    token_close(file);
}

static struct token_file *shared;
static atomic_bool enough;

static void *finder(void *lost) {
    struct token_grant grant;
    while (!enough)
        if (!found(shared, "test", &grant) || strcmp(grant.name, "a") != 0)
            ++*(atomic_uint *)lost;
    return NULL;
}

Test(token, found_while_the_file_is_read_again, .init = start, .fini = stop) {
    pthread_t threads[2];
    atomic_uint lost = 0;
    write_text("a read " TEST "\nb read " ALPHA "\n");
    shared = token_open(name, &why);
    cr_assert_not_null(shared);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, finder, &lost);
    for (int i = 0; i < 200; i++)
        cr_expect(token_reread(shared, &why), "%s", why.detail);
    enough = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(lost, 0);
    token_close(shared);
}

Test(token, new_ones_are_found_by_their_hash, .init = start, .fini = stop) {
    char first[TOKEN_TEXT_BYTES], second[TOKEN_TEXT_BYTES], hash[TOKEN_HASH_BYTES], other[TOKEN_HASH_BYTES], text[200];
    struct token_grant grant;
    cr_assert(token_make(first, hash, &why) && token_make(second, other, &why), "%s", why.detail);
    cr_expect(strncmp(first, "rematd_", 7) == 0 && strlen(first) == 55, "%s", first);
    cr_expect(strcmp(first, second) != 0 && strcmp(hash, other) != 0);
    snprintf(text, sizeof text, "new submit %s\n", hash);
    write_text(text);
    struct token_file *file = token_open(name, &why);
    cr_assert_not_null(file, "%s", why.detail);
    cr_expect(found(file, first, &grant) && !found(file, second, &grant));
    token_close(file);
}

Test(token, missing_scopes_are_named) {
    cr_expect_null(token_scope_missing(SCOPE_OPEN, 0));
    cr_expect_null(token_scope_missing(SCOPE_READ, SCOPE_READ));
    cr_expect_str_eq(token_scope_missing(SCOPE_READ, SCOPE_SUBMIT), "read");
    cr_expect_str_eq(token_scope_missing(SCOPE_SUBMIT, SCOPE_READ), "submit");
    cr_expect_str_eq(token_scope_missing(SCOPE_ADMIN, SCOPE_READ | SCOPE_SUBMIT), "admin");
}
