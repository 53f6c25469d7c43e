/* test_blob.c - content-addressed files: named by what they hold, whole or not there. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "server/blob.h"

#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC   "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* FIPS 180-2 */

static char directory[64];
static struct blob_store *store;
static struct problem why;

static void start(void) {
    char nested[96];
    why = (struct problem){0};
    snprintf(directory, sizeof directory, "/tmp/rematd-blob-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(nested, sizeof nested, "%s/a/b", directory); /* made as needed */
    store = blob_open(nested, &why);
    cr_assert_not_null(store, "%s", why.detail);
}

static void stop(void) {
    char command[128];
    blob_close(store);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

static void put(const char *text, char digest[BLOB_DIGEST_SIZE]) {
    struct problem mine = {0};
    struct blob_upload *upload = blob_upload_new(store, &mine);
    cr_assert_not_null(upload);
    for (; *text; text++)
        cr_assert(blob_upload_write(upload, text, 1, &mine));
    cr_assert(blob_upload_commit(upload, digest, &mine), "%s", mine.detail);
}

static unsigned files_in_tmp(void) {
    char name[96];
    unsigned n = 0;
    snprintf(name, sizeof name, "%s/a/b/tmp", directory);
    DIR *d = opendir(name);
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

Test(blob, is_named_by_what_it_holds, .init = start, .fini = stop) {
    char digest[BLOB_DIGEST_SIZE], text[8] = "";
    uint64_t bytes;
    put("", digest);
    cr_expect_str_eq(digest, EMPTY);
    put("abc", digest);
    cr_expect_str_eq(digest, ABC);
    put("abc", digest); /* again is fine */
    cr_expect_str_eq(digest, ABC);
    int fd = blob_read_open(store, ABC, &bytes, &why);
    cr_assert_geq(fd, 0);
    cr_expect_eq(bytes, 3);
    cr_expect_eq(read(fd, text, sizeof text), 3);
    cr_expect_str_eq(text, "abc");
    cr_expect_eq(write(fd, "x", 1), -1);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_expect(blob_remove(store, ABC, &why)); /* who has it open reads on */
    cr_expect_eq(pread(fd, text, 1, 0), 1);
    close(fd);
    cr_expect_eq(blob_read_open(store, ABC, &bytes, &why), -1);
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND);
    why = (struct problem){0};
    cr_expect_not(blob_remove(store, ABC, &why));
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND);
    cr_expect_eq(files_in_tmp(), 0);
}

Test(blob, uploads_can_be_read_and_given_up, .init = start, .fini = stop) {
    char digest[BLOB_DIGEST_SIZE], text[4] = "";
    struct blob_upload *upload = blob_upload_new(store, &why);
    cr_assert(blob_upload_write(upload, "a", 1, &why) && blob_upload_write(upload, "bc", 2, &why));
    cr_expect_eq(blob_upload_bytes(upload), 3);
    cr_expect_eq(pread(blob_upload_fd(upload), text, 3, 0), 3);
    cr_expect_str_eq(text, "abc");
    cr_expect(blob_upload_digest(upload, digest, &why) && strcmp(digest, ABC) == 0);
    cr_expect_eq(files_in_tmp(), 1);
    uint64_t bytes;
    cr_expect_eq(blob_read_open(store, ABC, &bytes, &why), -1); /* not before it is whole */
    blob_upload_discard(upload);
    blob_upload_discard(NULL);
    cr_expect_eq(files_in_tmp(), 0);
}

Test(blob, several_become_files_together, .init = start, .fini = stop) {
    static const char *const texts[] = {"abc", "d", "abc", "e"};
    struct blob_upload *uploads[4];
    char digests[4][BLOB_DIGEST_SIZE];
    uint64_t bytes;
    for (unsigned i = 0; i < 4; i++) {
        uploads[i] = blob_upload_new(store, &why);
        cr_assert(uploads[i] && blob_upload_write(uploads[i], texts[i], strlen(texts[i]), &why) &&
                  blob_upload_digest(uploads[i], digests[i], &why));
    }
    cr_expect_lt(blob_read_open(store, digests[0], &bytes, &(struct problem){0}), 0, "it has no name yet");
    cr_assert(blob_uploads_commit(uploads, 4, &why), "%s", why.detail);
    cr_expect_eq(files_in_tmp(), 0);
    for (unsigned i = 0; i < 4; i++) {
        int fd = blob_read_open(store, digests[i], &bytes, &why);
        cr_expect(fd >= 0 && bytes == strlen(texts[i]));
        close(fd);
    }
    cr_expect_eq(blob_bytes(store), 5, "what is there twice counts once");
    cr_expect(blob_uploads_commit(uploads, 0, &why));
}

Test(blob, digests_are_digests, .init = start, .fini = stop) {
    static const char *const bad[] = {
        "",
        "sha256:",
        "abc",
        "sha256:../../../../../../../../../../etc/passwd",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ada",
        "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f2001/ad",
    };
    uint64_t bytes;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why = (struct problem){0};
        cr_expect_not(blob_digest_valid(bad[i]), "%s", bad[i]);
        cr_expect_eq(blob_read_open(store, bad[i], &bytes, &why), -1);
        cr_expect_eq(why.kind, PROBLEM_MALFORMED);
        why = (struct problem){0};
        cr_expect_not(blob_remove(store, bad[i], &why));
        cr_expect_eq(why.kind, PROBLEM_MALFORMED);
    }
    cr_expect(blob_digest_valid(ABC));
}

Test(blob, old_uploads_go_at_a_start, .init = start, .fini = stop) {
    char name[128], fresh[128], nested[96];
    snprintf(nested, sizeof nested, "%s/a/b", directory);
    snprintf(name, sizeof name, "%s/tmp/upload-abcdef", nested);
    snprintf(fresh, sizeof fresh, "%s/tmp/upload-ghijkl", nested);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    close(open(fresh, O_CREAT | O_WRONLY, 0600));
    utime(name, &(struct utimbuf){1, 1});
    struct blob_store *second = blob_open(nested, &why);
    cr_assert_not_null(second);
    cr_expect_neq(access(name, F_OK), 0);
    cr_expect_eq(access(fresh, F_OK), 0);
    blob_close(second);
}

/* A job stages its inputs when it begins and names them when it ends. */
Test(blob, who_takes_longer_than_an_hour_keeps_the_upload, .init = start, .fini = stop) {
    const struct timespec long_ago[2] = {{1, 0}, {1, 0}};
    char digest[BLOB_DIGEST_SIZE];
    uint64_t bytes;
    struct blob_upload *upload = blob_upload_new(store, &why);
    cr_assert(upload && blob_upload_write(upload, "abc", 3, &why) && futimens(blob_upload_fd(upload), long_ago) == 0);
    blob_stale_remove(store);
    cr_expect_eq(blob_bytes(store), 3);
    cr_assert(blob_upload_commit(upload, digest, &why), "%s", why.detail);
    int fd = blob_read_open(store, digest, &bytes, &why);
    cr_expect(fd >= 0 && bytes == 3, "%s", why.detail);
    close(fd);
}

Test(blob, what_it_holds_is_counted_and_bounded, .init = start, .fini = stop) {
    char digest[BLOB_DIGEST_SIZE], nested[96], block[1000] = "";
    snprintf(nested, sizeof nested, "%s/a/b", directory);
    cr_expect_eq(blob_bytes(store), 0);
    put("abc", digest);
    put("abc", digest); /* the same file */
    put("", digest);
    cr_expect_eq(blob_bytes(store), 3);
    struct blob_store *second = blob_open(nested, &why); /* as another process */
    cr_assert_not_null(second);
    cr_expect_eq(blob_bytes(second), 3);
    blob_limit(store, 1500, 0);
    struct blob_upload *upload = blob_upload_new(second, &why);
    cr_assert(blob_upload_write(upload, block, sizeof block, &why));
    cr_expect_eq(blob_bytes(store), 1003, "what is under way counts");
    cr_expect_not(blob_upload_write(upload, block, sizeof block, &why));
    cr_expect_eq(why.kind, PROBLEM_FULL);
    cr_expect(strstr(why.detail, "1500 bytes") && strstr(why.detail, "--data-limit"), "%s", why.detail);
    why = (struct problem){0};
    cr_expect(blob_room(store, &why));
    cr_expect(blob_upload_write(upload, block, 497, &why), "to the last byte");
    cr_expect_not(blob_room(store, &why));
    blob_upload_discard(upload);
    why = (struct problem){0};
    cr_expect_eq(blob_bytes(store), 3);
    cr_expect(blob_remove(second, ABC, &why));
    cr_expect_eq(blob_bytes(store), 0);
    blob_close(second);
}

Test(blob, the_disks_last_bytes_are_kept, .init = start, .fini = stop) {
    blob_limit(store, 0, 1);
    cr_expect(blob_room(store, &why), "%s", why.detail);
    struct blob_upload *upload = blob_upload_new(store, &why);
    cr_expect(blob_upload_write(upload, "abc", 3, &why));
    blob_upload_discard(upload);
}

static bool is_abc(void *context, const char *digest, struct problem *problem) {
    ++*(unsigned *)context;
    return problem->kind == PROBLEM_NONE && strcmp(digest, ABC) == 0;
}

static bool is_unknown(void *context, const char *digest, struct problem *problem) {
    (void)context;
    return problem_set(problem, PROBLEM_IO, "", "%s", digest);
}

Test(blob, what_a_crash_left_goes_at_a_start, .init = start, .fini = stop) {
    char digest[BLOB_DIGEST_SIZE], name[128];
    unsigned asked = 0;
    uint64_t bytes;
    put("abc", digest);
    put("orphan", digest);
    snprintf(name, sizeof name, "%s/a/b/tmp/upload-ghijkl", directory);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    cr_assert(write(fd, "left", 4) == 4 && close(fd) == 0);
    snprintf(name, sizeof name, "%s/a/b/blobs/ba/other", directory);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    cr_assert(blob_tidy(store, is_abc, &asked, &why), "%s", why.detail);
    cr_expect_eq(asked, 2);
    cr_expect_eq(files_in_tmp(), 0);
    cr_expect_neq(access(name, F_OK), 0);
    cr_expect_eq(blob_bytes(store), 3, "counted anew");
    cr_expect_eq(blob_read_open(store, digest, &bytes, &why), -1);
    why = (struct problem){0};
    fd = blob_read_open(store, ABC, &bytes, &why);
    cr_expect_geq(fd, 0);
    close(fd);
    cr_expect_not(blob_tidy(store, is_unknown, NULL, &why));
    why = (struct problem){0};
    fd = blob_read_open(store, ABC, &bytes, &why); /* who cannot say has not said no */
    cr_expect_geq(fd, 0);
    close(fd);
}

Test(blob, a_place_that_is_none) {
    struct problem mine = {0};
    char name[2000];
    cr_expect_null(blob_open("/proc/nothing/here", &mine));
    cr_expect_eq(mine.kind, PROBLEM_IO);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    mine = (struct problem){0};
    cr_expect_null(blob_open(name, &mine));
    cr_expect_eq(mine.kind, PROBLEM_LIMIT);
}

static void *put_and_read(void *arg) {
    (void)arg;
    for (int i = 0; i < 50; i++) {
        char digest[BLOB_DIGEST_SIZE];
        uint64_t bytes;
        struct problem mine = {0};
        put("abc", digest);
        int fd = blob_read_open(store, digest, &bytes, &mine);
        cr_assert(fd >= 0 && bytes == 3);
        close(fd);
    }
    return NULL;
}

Test(blob, many_at_once, .init = start, .fini = stop) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, put_and_read, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(files_in_tmp(), 0);
}
