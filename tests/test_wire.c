/* test_wire.c - JSON in and out: what is refused before and while parsing, getters, the writer; and every request under
 * tests/wire/{ok,bad}, read and planned. A case is a folder: request.json and expect.json (what the plan must say at
 * least) or problem.json (kind and pointer of the refusal). */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/job.h"
#include "server/route.h"
#include "server/wire.h"

#define MEMORY_LIMIT ((uint64_t)1 << 30)

static char *file_text(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = malloc(1 << 21);
    *bytes = fread(text, 1, (1 << 21) - 1, file);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

static void file_upload(struct blob_store *blobs, const char *path) {
    struct problem why = {0};
    char digest[BLOB_DIGEST_SIZE];
    size_t bytes;
    char *text = file_text(path, &bytes);
    cr_assert(text, "%s", path);
    struct blob_upload *upload = blob_upload_new(blobs, &why);
    cr_assert(upload && blob_upload_write(upload, text, bytes, &why) && blob_upload_commit(upload, digest, &why), "%s",
              why.detail);
    free(text);
}

static struct blob_store *blobs_make(char directory[32]) {
    struct problem why = {0};
    strcpy(directory, "/tmp/rematd-wire-XXXXXX");
    cr_assert(mkdtemp(directory));
    struct blob_store *blobs = blob_open(directory, &why);
    cr_assert(blobs, "%s", why.detail);
    file_upload(blobs, "tests/wire/tensors/qkv.safetensors");
    file_upload(blobs, "tests/wire/tensors/one.safetensors");
    file_upload(blobs, "tests/wire/tensors/bytes.npy");
    file_upload(blobs, "tests/wire/tensors/ids.safetensors");
    return blobs;
}

static void blobs_drop(struct blob_store *blobs, const char *directory) {
    char command[64];
    blob_close(blobs);
    snprintf(command, sizeof command, "rm -r %s", directory);
    cr_assert(system(command) == 0);
}

/* Every field of `least` is in `whole` with the same value. */
static bool contains(const struct wire_value *whole, const struct wire_value *least, struct arena *a) {
    struct problem why = {0};
    struct wire_value field, same;
    if (wire_type(least) != WIRE_OBJECT)
        return strcmp(wire_json(whole, a, &why), wire_json(least, a, &why)) == 0;
    if (wire_type(whole) != WIRE_OBJECT)
        return false;
    for (size_t i = 0; wire_member(least, i, &field); i++)
        if (!wire_get(whole, field.key, &same) || !contains(&same, &field, a))
            return false;
    return true;
}

static void case_ok(const char *name, const struct job *job, const char *expect, size_t bytes, struct arena *a) {
    struct problem why = {0};
    const char *made = arena_printf(a, &why, "{\"kind\":\"%s\",\"planned\":%s}", job->kind->name, job->planned);
    struct wire_document *whole = wire_parse(made, strlen(made), &why), *least = wire_parse(expect, bytes, &why);
    cr_assert(whole && least, "%s: %s", name, why.detail);
    struct wire_value w = wire_root(whole), l = wire_root(least);
    cr_expect(contains(&w, &l, a), "%s: %s is not in %s", name, expect, made);
    wire_document_free(whole);
    wire_document_free(least);
}

static void case_bad(const char *name, const struct problem *got, const char *expect, size_t bytes) {
    static const char *const fields[] = {"status", "slug", "pointer", NULL};
    struct problem why = {0};
    struct wire_document *d = wire_parse(expect, bytes, &why);
    cr_assert(d, "%s: %s", name, why.detail);
    struct wire_value root = wire_root(d);
    uint64_t status;
    const char *slug, *pointer;
    cr_assert(wire_object(&root, fields, &why) && wire_uint_of(&root, "status", 0, 999, &status, &why) &&
              wire_string_of(&root, "slug", &slug, &why) && wire_string_of(&root, "pointer", &pointer, &why));
    cr_expect_str_eq(problem_slug(got->kind), slug, "%s: %s at %s: %s", name, problem_slug(got->kind), got->where,
                     got->detail);
    cr_expect_str_eq(got->where, pointer, "%s: at '%s', not '%s': %s", name, got->where, pointer, got->detail);
    cr_expect_eq(route_problem_status(got->kind), status, "%s: status %u", name, route_problem_status(got->kind));
    cr_expect(got->detail[0], "%s: says nothing", name);
    cr_expect((got->kind == PROBLEM_BUDGET) == (got->minimum_budget_bytes > 0), "%s: minimum_budget_bytes", name);
    wire_document_free(d);
}

static void case_run(const char *kind, const char *name, struct blob_store *blobs) {
    char path[512];
    size_t bytes, expect_bytes;
    snprintf(path, sizeof path, "tests/wire/%s/%.200s/request.json", kind, name);
    char *request = file_text(path, &bytes);
    snprintf(path, sizeof path, "tests/wire/%s/%.200s/%s.json", kind, name, *kind == 'o' ? "expect" : "problem");
    char *expect = file_text(path, &expect_bytes);
    cr_assert(request && expect, "%s: a file lacks", name);
    struct arena a;
    struct job job;
    struct problem why = {0};
    arena_init(&a, 0);
    struct job_context context = {.arena = &a, .blobs = blobs, .threads = 2, .memory_limit_bytes = MEMORY_LIMIT};
    bool ok = job_make(&job, request, bytes, &context, &why);
    cr_expect_eq(ok, *kind == 'o', "%s: %s at %s: %s", name, ok ? "taken" : "refused", why.where, why.detail);
    if (ok && *kind == 'o')
        case_ok(name, &job, expect, expect_bytes, &a);
    else if (!ok && *kind == 'b')
        case_bad(name, &why, expect, expect_bytes);
    arena_free(&a);
    free(request);
    free(expect);
}

static unsigned cases_run(const char *kind) {
    char directory[32], path[64];
    unsigned n = 0;
    struct blob_store *blobs = blobs_make(directory);
    snprintf(path, sizeof path, "tests/wire/%s", kind);
    DIR *dir = opendir(path);
    cr_assert(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            case_run(kind, entry->d_name, blobs);
            n++;
        }
    closedir(dir);
    blobs_drop(blobs, directory);
    return n;
}

Test(Wire, takes_every_good_request) {
    cr_expect_gt(cases_run("ok"), 60);
}

Test(Wire, refuses_every_bad_request_where_it_is_bad) {
    cr_expect_gt(cases_run("bad"), 100);
}

/* ---- before and while parsing ---- */

static enum problem_kind parsed(const char *text, size_t bytes) {
    struct problem why = {0};
    struct wire_document *d = wire_parse(text, bytes, &why);
    wire_document_free(d);
    cr_expect_eq(d == NULL, why.kind != PROBLEM_NONE);
    return why.kind;
}

static char *repeated(const char *head, const char *piece, size_t n, const char *tail) {
    size_t length = strlen(piece);
    char *text = malloc(strlen(head) + n * length + strlen(tail) + 1), *at = stpcpy(text, head);
    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, piece);
    strcpy(at, tail);
    return text;
}

static enum problem_kind parsed_repeated(const char *head, const char *piece, size_t n, const char *tail) {
    char *text = repeated(head, piece, n, tail);
    enum problem_kind kind = parsed(text, strlen(text));
    free(text);
    return kind;
}

Test(Wire, bounds_what_is_parsed) {
    cr_expect_eq(parsed("[1\0]", 4), PROBLEM_MALFORMED);
    cr_expect_eq(parsed("[\"a\0b\"]", 7), PROBLEM_MALFORMED);
    cr_expect_eq(parsed("[\"a\\u0000b\"]", 12), PROBLEM_MALFORMED);
    cr_expect_eq(parsed("[\"\xff\"]", 5), PROBLEM_MALFORMED);
    cr_expect_eq(parsed("{\"a\":1,\"a\":1}", 13), PROBLEM_MALFORMED);
    cr_expect_eq(parsed("[1e400]", 7), PROBLEM_MALFORMED);
    cr_expect_eq(parsed("[\"never ends", 12), PROBLEM_MALFORMED);
    cr_expect_eq(parsed("[\"[[[[\\\"{{{{\"]", 14), PROBLEM_NONE);
    cr_expect_eq(parsed_repeated("", "[", WIRE_DEPTH_MAX, "]"), PROBLEM_MALFORMED); /* 32 open, one closed */
    cr_expect_eq(parsed("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 64), PROBLEM_NONE);
    cr_expect_eq(parsed("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 66), PROBLEM_MALFORMED);
    cr_expect_eq(parsed_repeated("[{}", ",{}", WIRE_NODES_MAX - 2, "]"), PROBLEM_NONE);
    cr_expect_eq(parsed_repeated("[{}", ",{}", WIRE_NODES_MAX - 1, "]"), PROBLEM_TOO_LARGE);
    cr_expect_eq(parsed_repeated("[\"\"", ",\"\"", WIRE_NODES_MAX, "]"), PROBLEM_TOO_LARGE);
    cr_expect_eq(parsed_repeated("[1", ",1", 500000, "]"), PROBLEM_NONE);
    cr_expect_eq(parsed_repeated("[1", ",1", WIRE_NUMBERS_MAX, "]"), PROBLEM_TOO_LARGE);
}

static const struct {
    const char *head, *piece;
    size_t count;
} heavy[] = {
    {"[{}", ",{}", WIRE_NODES_MAX - 2},
    {"[[]", ",[]", WIRE_NODES_MAX - 2},
    {"[\"\"", ",\"\"", WIRE_NODES_MAX - 2},
    {"[1", ",1", 520000},
    {"[1.5", ",2.5", 260000},
    {"[{}", ",{\"a\":1}", WIRE_NODES_MAX / 2 - 2},
    {"[[1]", ",[1]", 2 * WIRE_NODES_MAX / 3},
    {"[\"\"", ",\"0123456\"", 90000},
};
#define HEAVY (sizeof heavy / sizeof heavy[0])

/* What the heap gives for a document is what it is counted for, or less. (Sanitizers' heaps say nothing.) */
Test(Wire, documents_take_no_more_than_they_are_counted_for) {
    wire_start();
    for (size_t i = 0; i < HEAVY; i++) {
        struct problem why = {0};
        char *text = repeated(heavy[i].head, heavy[i].piece, heavy[i].count, "]");
        const uint64_t before = mallinfo2().uordblks;
        struct wire_document *d = wire_parse(text, strlen(text), &why);
        const uint64_t taken = mallinfo2().uordblks - before;
        cr_assert_not_null(d, "%zu: %s", i, why.detail);
        cr_expect_leq(taken, wire_document_heap(d), "%zu: %zu bytes of %s", i, strlen(text), heavy[i].piece);
        wire_document_free(d);
        free(text);
    }
}

/* As many as have room, then a word; whoever leaves makes room. */
Test(Wire, documents_together_have_a_budget) {
    struct wire_document *held[64];
    struct problem why = {0};
    size_t n = 0;
    char *text = repeated(heavy[0].head, heavy[0].piece, heavy[0].count, "]");
    wire_start();
    while (n < 64 && (held[n] = wire_parse(text, strlen(text), &why)))
        n++;
    cr_expect(n >= 2 && n < 16, "%zu", n);
    cr_expect_eq(why.kind, PROBLEM_BUSY, "%s", why.detail);
    why = (struct problem){0};
    struct wire_document *small = wire_parse("{\"a\": [1]}", 10, &why);
    cr_expect_not_null(small, "a small one still fits: %s", why.detail);
    wire_document_free(small);
    wire_document_free(held[--n]);
    cr_assert_not_null(held[n] = wire_parse(text, strlen(text), &why), "%s", why.detail);
    for (n++; n > 0;)
        wire_document_free(held[--n]);
    free(text);
}

Test(Wire, getters_say_what_and_where) {
    const char *text = "{\"a\":{\"b\":[0,9007199254740992,9007199254740993,-1,1.5,true,\"x\",null]}}";
    struct problem why = {0};
    struct wire_document *d = wire_parse(text, strlen(text), &why);
    cr_assert(d);
    struct wire_value root = wire_root(d), a, b;
    cr_assert(wire_need(&root, "a", &a, &why) && wire_need(&a, "b", &b, &why) && wire_array(&b, 8, 8, &why));
    static const enum problem_kind as_uint[] = {PROBLEM_NONE,      PROBLEM_NONE,      PROBLEM_LIMIT,
                                                PROBLEM_LIMIT,     PROBLEM_MALFORMED, PROBLEM_MALFORMED,
                                                PROBLEM_MALFORMED, PROBLEM_MALFORMED};
    for (size_t i = 0; i < 8; i++) {
        struct wire_value v = wire_at(&b, i);
        uint64_t number = 7;
        char where[16];
        why = (struct problem){0};
        cr_expect_eq(wire_uint(&v, 0, UINT64_MAX, &number, &why), as_uint[i] == PROBLEM_NONE);
        cr_expect_eq(why.kind, as_uint[i], "%zu", i);
        snprintf(where, sizeof where, "/a/b/%zu", i);
        cr_expect(why.kind == PROBLEM_NONE || (strcmp(why.where, where) == 0 && number == 7), "%s", why.where);
    }
    struct wire_value missing;
    why = (struct problem){0};
    cr_expect(!wire_need(&a, "c/~", &missing, &why));
    cr_expect_str_eq(why.where, "/a/c~1~0");
    wire_document_free(d);
}

Test(Wire, pointers_longer_than_their_room_are_cut) {
    char *key = repeated("{\"", "k/", 200, "\":1}");
    struct problem why = {0};
    static const char *const none[] = {NULL};
    struct wire_document *d = wire_parse(key, strlen(key), &why);
    cr_assert(d);
    struct wire_value root = wire_root(d);
    cr_expect(!wire_object(&root, none, &why));
    cr_expect_eq(why.kind, PROBLEM_UNKNOWN_FIELD);
    cr_expect_lt(strlen(why.where), sizeof why.where);
    wire_document_free(d);
    free(key);
}

/* ---- writing ---- */

Test(Wire, writes_numbers_short_and_exact) {
    struct arena a;
    struct problem why = {0};
    struct wire_out o;
    arena_init(&a, 0);
    wire_out_init(&o, &a, &why);
    wire_open(&o, NULL, '[');
    static const double reals[] = {0.1, 336, 1e300, 100.0 / 3, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        wire_put_real(&o, NULL, reals[i]);
    wire_put_real(&o, NULL, NAN);
    wire_put_real(&o, NULL, INFINITY);
    wire_put_uint(&o, NULL, UINT64_MAX);
    wire_close(&o, ']');
    cr_expect_str_eq(wire_text(&o, NULL),
                     "[0.1,336.0,1e+300,33.333333333333336,-0.0,4.94065645841247e-324,"
                     "1.7976931348623157e+308,0.30000000000000004,null,null,18446744073709551615]");
    arena_free(&a);
}

Test(Wire, writes_structure_and_text) {
    struct arena a;
    struct problem why = {0};
    struct wire_out o;
    size_t bytes;
    arena_init(&a, 0);
    wire_out_init(&o, &a, &why);
    wire_open(&o, NULL, '{');
    wire_put_string(&o, "a\"", "line\n\\ \xc3\xa9 \xff");
    wire_put_string(&o, "none", NULL);
    wire_open(&o, "list", '[');
    wire_open(&o, NULL, '{');
    wire_close(&o, '}');
    wire_put_bool(&o, NULL, true);
    wire_close(&o, ']');
    wire_put_time(&o, "at", 1700000000123);
    wire_put_time(&o, "never", 0);
    wire_put_json(&o, "raw", "{\"x\":1}");
    wire_close(&o, '}');
    const char *text = wire_text(&o, &bytes);
    cr_expect_str_eq(text, "{\"a\\\"\":\"line\\u000a\\\\ \xc3\xa9 \\ufffd\",\"none\":null,\"list\":[{},true],"
                           "\"at\":\"2023-11-14T22:13:20.123Z\",\"never\":null,\"raw\":{\"x\":1}}");
    cr_expect_eq(bytes, strlen(text));
    cr_expect_eq(parsed(text, bytes), PROBLEM_NONE);
    arena_free(&a);
}

/* Too long an answer is the request's fault, not a shortage. */
Test(Wire, writes_within_its_limit) {
    struct arena a;
    struct problem why = {0};
    struct wire_out o;
    arena_init(&a, 65536);
    wire_out_init(&o, &a, &why);
    wire_open(&o, NULL, '[');
    for (unsigned i = 0; i < 1000; i++)
        wire_put_string(&o, NULL, "a name");
    cr_expect(wire_text(&o, NULL), "%s", why.detail); /* names cost nothing beside their text */
    for (unsigned i = 0; i < 10000; i++)
        wire_put_string(&o, NULL, "a name");
    cr_expect_null(wire_text(&o, NULL));
    cr_expect_eq(why.kind, PROBLEM_LIMIT);
    cr_expect(strstr(why.detail, "65536"), "%s", why.detail);
    arena_free(&a);
}

Test(Wire, canonical_texts_of_equal_requests_are_equal) {
    static const char *const texts[] = {"{\"b\" : 0.1, \"a\":[1, 2]}", "{\"a\":[1,2],\n\"b\":0.1}"};
    struct arena a;
    const char *canonical[2];
    arena_init(&a, 0);
    for (int i = 0; i < 2; i++) {
        struct problem why = {0};
        struct wire_document *d = wire_parse(texts[i], strlen(texts[i]), &why);
        canonical[i] = wire_canonical(d, &a, &why);
        wire_document_free(d);
    }
    cr_expect_str_eq(canonical[0], canonical[1]);
    arena_free(&a);
}

/* Fails every take of memory in turn: a problem each time, never a crash, and in the end a plan. */
static void memory_fails(const char *path, struct blob_store *blobs) {
    size_t bytes;
    char *request = file_text(path, &bytes);
    cr_assert(request, "%s", path);
    bool ok = false;
    for (uint64_t fail = 0; !ok; fail += fail < 64 ? 1 : 7) {
        struct arena a;
        struct job job;
        struct problem why = {0};
        arena_init(&a, 0);
        a.fail_at = fail;
        struct job_context context = {.arena = &a, .blobs = blobs, .threads = 2, .memory_limit_bytes = MEMORY_LIMIT};
        ok = job_make(&job, request, bytes, &context, &why);
        cr_expect(ok || why.kind == PROBLEM_MEMORY, "%s, take %llu: %s", path, (unsigned long long)fail, why.detail);
        arena_free(&a);
        cr_assert_lt(fail, 100000);
    }
    free(request);
}

Test(Wire, memory_may_fail_anywhere) {
    static const char *const names[] = {"attention-compare", "attention-mask-stored", "attention-strategy-auto",
                                        "sequential-custom", "sequential-auto",       "function-attention-masked",
                                        "savings",           "training-auto-budget",  "training-tokens-stored",
                                        "calibrate"};
    char directory[32], path[128];
    struct blob_store *blobs = blobs_make(directory);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "tests/wire/ok/%s/request.json", names[i]);
        memory_fails(path, blobs);
    }
    blobs_drop(blobs, directory);
}
