/* test_tensor_file.c - safetensors and npy: what is written reads back, what is hostile is refused in words. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/units.h"
#include "server/tensor_file.h"

#define DATA_ROOM 4096u

static struct arena arena;
static struct problem why;

static void start(void) {
    arena_init(&arena, 0);
    why = (struct problem){0};
}

static void stop(void) {
    arena_free(&arena);
}

static int file_of(const void *bytes, size_t n) {
    int fd = memfd_create("tensor", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
    return fd;
}

static bool read_bytes(const void *bytes, size_t n, struct tensor_file *file) {
    int fd = file_of(bytes, n);
    why = (struct problem){0};
    bool good = tensor_file_read(fd, n, &arena, file, &why);
    cr_expect_eq(good, why.kind == PROBLEM_NONE);
    close(fd);
    return good;
}

/* A safetensors file of a header and n zero bytes of data. */
static bool read_safetensors(const char *header, size_t n, struct tensor_file *file) {
    static char bytes[DATA_ROOM + TENSOR_FILE_HEADER_MAX + 64];
    uint64_t length = strlen(header);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 0, n);
    return read_bytes(bytes, 8 + length + n, file);
}

static bool read_npy(const char *header, size_t n, struct tensor_file *file) {
    char bytes[DATA_ROOM] = "\x93NUMPY\x01";
    size_t length = strlen(header);
    bytes[8] = (char)(length & 0xff);
    bytes[9] = (char)(length >> 8);
    memcpy(bytes + 10, header, length);
    return read_bytes(bytes, 10 + length + n, file);
}

/* ---- what is good ---- */

Test(tensor_file, safetensors_reads, .init = start, .fini = stop) {
    static const char header[] =
        "{\"__metadata__\":{\"made by\":\"a \\\"test\\\"\"}, "
        "\"k\":{\"shape\":[2,3],\"dtype\":\"F32\",\"data_offsets\":[4,28]},"
        "\n\t\"s\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2]},\"m\\u00e9\\ud83d\\ude00\":"
        "{\"dtype\":\"BOOL\",\"shape\":[1,2,1],\"data_offsets\":[2,4]},\"none\":{\"dtype\":\"F64\",\"shape\":[0,7],"
        "\"data_offsets\":[28,28]}}   ";
    struct tensor_file file;
    cr_assert(read_safetensors(header, 28, &file), "%s", why.detail);
    cr_expect_eq(file.format, TENSOR_FILE_SAFETENSORS);
    cr_assert_eq(file.n_entries, 4);
    const struct tensor_entry *k = tensor_file_find(&file, "k", &why),
                              *m = tensor_file_find(&file, "m\u00e9\U0001f600", &why);
    cr_assert(k && m, "%s", why.detail);
    cr_expect(k->dtype == DTYPE_FLOAT32 && k->rank == 2 && k->shape[0] == 2 && k->shape[1] == 3 && k->bytes == 24);
    cr_expect_eq(k->offset, 8 + strlen(header) + 4);
    cr_expect(m->boolean && m->dtype == DTYPE_UINT8 && m->rank == 3 && tensor_file_elements(m) == 2);
    cr_expect_eq(tensor_file_elements(tensor_file_find(&file, "s", &why)), 1);
    cr_expect_eq(tensor_file_elements(tensor_file_find(&file, "none", &why)), 0);
    cr_expect_null(tensor_file_find(&file, NULL, &why));
    cr_expect_eq(why.kind, PROBLEM_MISSING_FIELD);
    why = (struct problem){0};
    cr_expect_null(tensor_file_find(&file, "q", &why));
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND);
    cr_expect(read_safetensors("{}", 0, &file) && file.n_entries == 0);
}

Test(tensor_file, npy_reads, .init = start, .fini = stop) {
    static const struct {
        const char *header;
        size_t bytes;
        unsigned rank;
        enum dtype dtype;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n", 24, 2, DTYPE_FLOAT32},
        {"{\"shape\": (3,), \"fortran_order\": False, \"descr\": \"<f8\"}", 24, 1, DTYPE_FLOAT64},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (), }\n", 2, 0, DTYPE_FLOAT16},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (2, 3, 1,), }\n", 6, 3, DTYPE_UINT8},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (0, 5), }\n", 0, 2, DTYPE_INT64},
    };
    struct tensor_file file;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert(read_npy(rows[i].header, rows[i].bytes, &file), "%zu: %s", i, why.detail);
        cr_expect(file.format == TENSOR_FILE_NPY && file.n_entries == 1 && file.entries[0].rank == rows[i].rank);
        cr_expect(file.entries[0].dtype == rows[i].dtype && file.entries[0].bytes == rows[i].bytes, "%zu", i);
        cr_expect_str_eq(tensor_file_find(&file, NULL, &why)->name, "");
    }
}

static const struct {
    enum dtype dtype;
    bool boolean, npy;
} kinds[] = {
    {DTYPE_FLOAT32, false, true}, {DTYPE_BFLOAT16, false, false}, {DTYPE_FLOAT16, false, true},
    {DTYPE_FLOAT64, false, true}, {DTYPE_INT64, false, true},     {DTYPE_INT32, false, true},
    {DTYPE_UINT8, false, true},   {DTYPE_UINT8, true, true},
};

/* Every dtype and rank through both writers and back. */
Test(tensor_file, what_is_written_reads_back, .init = start, .fini = stop) {
    for (unsigned rank = 0; rank <= TENSOR_FILE_RANK_MAX; rank++)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            struct tensor_entry e[2] = {
                {.name = "a \"b\"\n\u00e9", .dtype = kinds[i].dtype, .boolean = kinds[i].boolean, .rank = rank}};
            for (unsigned d = 0; d < rank; d++)
                e[0].shape[d] = 1 + d % 3;
            cr_assert(units_product(e[0].shape, rank, &e[0].bytes) &&
                      units_mul(e[0].bytes, dtype_bytes(e[0].dtype), &e[0].bytes));
            e[1] = e[0];
            e[1].name = "second";
            for (int npy = 0; npy < 2; npy++) {
                size_t header_bytes, data = (size_t)e[0].bytes * (npy ? 1 : 2);
                char *header = npy ? tensor_file_npy_header(&arena, e, &header_bytes, &why)
                                   : tensor_file_safetensors_header(&arena, e, 2, &header_bytes, &why);
                if (npy && !kinds[i].npy) {
                    cr_expect(!header && why.kind == PROBLEM_UNSUPPORTED);
                    continue;
                }
                cr_assert_not_null(header, "%s", why.detail);
                cr_expect_eq(header_bytes % (npy ? 64 : 8), 0);
                char *whole = arena_take(&arena, header_bytes + data, 1, &why);
                memcpy(whole, header, header_bytes);
                struct tensor_file file;
                cr_assert(read_bytes(whole, header_bytes + data, &file), "%s", why.detail);
                const struct tensor_entry *back = &file.entries[0];
                cr_expect_str_eq(back->name, npy ? "" : e[0].name);
                cr_expect(back->dtype == e[0].dtype && back->boolean == e[0].boolean && back->rank == rank);
                cr_expect_eq(memcmp(back->shape, e[0].shape, sizeof e[0].shape), 0);
                cr_expect_eq(back->offset, header_bytes);
            }
        }
}

Test(tensor_file, loads_convert, .init = start, .fini = stop) {
    static const double f64[] = {1.5, -0.0, 1e300, 1e-300};
    static const uint16_t f16[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x8001, 0x7c00, 0xfe00, 0x0400, 0x8000};
    static const float f16_is[] = {1, -2, 65504, 0x1p-24f, -0x1p-24f, INFINITY, NAN, 0x1p-14f, -0.0f};
    static const uint16_t bf16[] = {0x3f80, 0xc040, 0x7f80};
    static const int64_t i64[] = {-3, 1ll << 40};
    static const unsigned char flags[] = {0, 1}, bad[] = {0, 2};
    const struct {
        enum dtype dtype;
        bool boolean;
        const void *bytes;
        size_t size, n;
        const float *is;
    } rows[] = {
        {DTYPE_FLOAT64, false, f64, sizeof f64, 4, (const float[]){1.5f, -0.0f, INFINITY, 0}},
        {DTYPE_FLOAT16, false, f16, sizeof f16, 9, f16_is},
        {DTYPE_BFLOAT16, false, bf16, sizeof bf16, 3, (const float[]){1, -3, INFINITY}},
        {DTYPE_INT64, false, i64, sizeof i64, 2, (const float[]){-3, 0x1p40f}},
        {DTYPE_UINT8, true, flags, 2, 2, (const float[]){0, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tensor_entry e = {.name = "x",
                                 .dtype = rows[i].dtype,
                                 .boolean = rows[i].boolean,
                                 .rank = 1,
                                 .shape = {rows[i].n},
                                 .bytes = rows[i].size};
        float dst[16];
        int fd = file_of(rows[i].bytes, rows[i].size);
        cr_assert(tensor_file_load(fd, &e, dst, &why), "%s", why.detail);
        for (size_t k = 0; k < rows[i].n; k++)
            cr_expect((isnan(rows[i].is[k]) && isnan(dst[k])) || memcmp(&dst[k], &rows[i].is[k], 4) == 0,
                      "row %zu element %zu: %g", i, k, (double)dst[k]);
        close(fd);
    }
    int fd = file_of(bad, 2);
    float dst[2];
    cr_expect_not(tensor_file_load(
        fd, &(struct tensor_entry){.name = "x", .dtype = DTYPE_UINT8, .boolean = true, .bytes = 2}, dst, &why));
    close(fd);
    why = (struct problem){0};
    fd = file_of(bad, 2); /* a file that became shorter than its header said */
    cr_expect_not(
        tensor_file_load(fd, &(struct tensor_entry){.name = "x", .dtype = DTYPE_FLOAT32, .bytes = 8}, dst, &why));
    close(fd);
}

/* Larger than one conversion buffer, read at an odd offset. */
Test(tensor_file, loads_in_pieces, .init = start, .fini = stop) {
    enum { N = 50001 };
    static double from[N + 1];
    static float to[N];
    for (int i = 0; i < N; i++)
        memcpy((char *)from + 3 + 8 * i, &(double){i}, 8);
    int fd = file_of(from, sizeof from);
    cr_assert(tensor_file_load(
        fd, &(struct tensor_entry){.name = "x", .dtype = DTYPE_FLOAT64, .offset = 3, .bytes = 8 * N}, to, &why));
    for (int i = 0; i < N; i++)
        cr_assert_eq(to[i], (float)i);
    close(fd);
}

/* ---- what is hostile ---- */

#define T(DTYPE, SHAPE, OFFSETS) "{\"dtype\":\"" DTYPE "\",\"shape\":[" SHAPE "],\"data_offsets\":[" OFFSETS "]}"

/* clang-format off */
static const struct {
    const char *header;
    size_t bytes;
    enum problem_kind kind;
} bad_safetensors[] = {
    {"", 0, PROBLEM_MALFORMED},
    {"[]", 0, PROBLEM_MALFORMED},
    {" {}", 0, PROBLEM_MALFORMED},
    {"{} x", 0, PROBLEM_MALFORMED},
    {"{}", 1, PROBLEM_MALFORMED},                                        /* data of no tensor */
    {"{\"a\"", 0, PROBLEM_MALFORMED},
    {"{\"a", 0, PROBLEM_MALFORMED},
    {"{\"a\\", 0, PROBLEM_MALFORMED},
    {"{\"a\\\"", 0, PROBLEM_MALFORMED},
    {"{\"a\":1}", 0, PROBLEM_MALFORMED},
    {"{\"a\":{}}", 0, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1", "0,4") ",}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1", "0,4"), 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "2", "0,4") "}", 4, PROBLEM_MALFORMED},          /* shape and range differ */
    {"{\"a\":" T("F32", "1", "4,0") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1", "0,4") "}", 3, PROBLEM_MALFORMED},          /* beyond the file */
    {"{\"a\":" T("F32", "1", "0,4") "}", 8, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1", "4,8") "}", 8, PROBLEM_MALFORMED},          /* a hole */
    {"{\"a\":" T("F32", "1", "0,4") ",\"b\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED}, /* an overlap */
    {"{\"a\":" T("F32", "2", "0,8") ",\"b\":" T("F32", "2", "4,12") "}", 12, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1", "0,4") ",\"a\":" T("F32", "1", "4,8") "}", 8, PROBLEM_MALFORMED}, /* a name twice */
    {"{\"a\":" T("F32", "1", "0,4") ",\"\\u0061\":" T("F32", "1", "4,8") "}", 8, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "4611686018427387904", "0,0") "}", 0, PROBLEM_LIMIT},  /* 2^62 * 4 = 2^64 */
    {"{\"a\":" T("F32", "4294967296,4294967296", "0,0") "}", 0, PROBLEM_LIMIT},
    {"{\"a\":" T("F32", "4294967297,4294967297", "0,4") "}", 4, PROBLEM_LIMIT},
    {"{\"a\":" T("F32", "18446744073709551616", "0,4") "}", 4, PROBLEM_LIMIT},
    {"{\"a\":" T("U8", "18446744073709551615", "0,18446744073709551615") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1,1,1,1,1,1,1,1,1", "0,4") "}", 4, PROBLEM_LIMIT},
    {"{\"a\":" T("F32", "-1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1.0", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1e0", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "01", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1,", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F32", "1", "0,4,8") "}", 4, PROBLEM_LIMIT},
    {"{\"a\":" T("F32", "1", "0") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\":" T("F8_E4M3", "1", "0,1") "}", 1, PROBLEM_UNSUPPORTED},
    {"{\"a\":" T("f32", "1", "0,4") "}", 4, PROBLEM_UNSUPPORTED},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, PROBLEM_MALFORMED},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, PROBLEM_MALFORMED},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, PROBLEM_MALFORMED},
    {"{\"a\\u0000b\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\\ud800\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\\ud800\\u0041\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\xff\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\\x\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\\u00\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"a\nb\":" T("F32", "1", "0,4") "}", 4, PROBLEM_MALFORMED},
    {"{\"__metadata__\":{\"a\":1}}", 0, PROBLEM_MALFORMED},
    {"{\"__metadata__\":[]}", 0, PROBLEM_MALFORMED},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, PROBLEM_MALFORMED},
    {"{\"a\":[[[[[[[[[[[[[[[[", 0, PROBLEM_MALFORMED},
};

static const struct {
    const char *header;
    size_t bytes;
    enum problem_kind kind;
} bad_npy[] = {
    {"", 0, PROBLEM_MALFORMED},
    {"{}", 0, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", 4, PROBLEM_UNSUPPORTED},
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4, PROBLEM_UNSUPPORTED},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, PROBLEM_UNSUPPORTED},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, PROBLEM_UNSUPPORTED},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, PROBLEM_UNSUPPORTED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 8, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, PROBLEM_LIMIT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0, PROBLEM_LIMIT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, PROBLEM_LIMIT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (,), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': [1], }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } + evil()", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4' 'fortran_order': False, 'shape': (1,), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4\\'', 'fortran_order': False, 'shape': (1,), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'fortran_order': False, 'shape': (1,), }", 4, PROBLEM_MALFORMED},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", 4, PROBLEM_MALFORMED},
    {"{'descr", 4, PROBLEM_MALFORMED},
};
/* clang-format on */

Test(tensor_file, hostile_headers_are_refused, .init = start, .fini = stop) {
    struct tensor_file file;
    for (size_t i = 0; i < sizeof bad_safetensors / sizeof bad_safetensors[0]; i++) {
        cr_expect_not(read_safetensors(bad_safetensors[i].header, bad_safetensors[i].bytes, &file), "%s",
                      bad_safetensors[i].header);
        cr_expect_eq(why.kind, bad_safetensors[i].kind, "%s: %s", bad_safetensors[i].header, why.detail);
        cr_expect_neq(why.detail[0], '\0');
    }
    for (size_t i = 0; i < sizeof bad_npy / sizeof bad_npy[0]; i++) {
        cr_expect_not(read_npy(bad_npy[i].header, bad_npy[i].bytes, &file), "%s", bad_npy[i].header);
        cr_expect_eq(why.kind, bad_npy[i].kind, "%s: %s", bad_npy[i].header, why.detail);
    }
}

Test(tensor_file, hostile_lengths_are_refused, .init = start, .fini = stop) {
    static char bytes[64];
    struct tensor_file file;
    static const uint64_t lengths[] = {57, 1u << 20, (1u << 20) + 1, UINT64_MAX, UINT64_MAX - 7, 1ull << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(bytes, &lengths[i], 8);
        cr_expect_not(read_bytes(bytes, sizeof bytes, &file));
        cr_expect_eq(why.kind, PROBLEM_MALFORMED, "%s", why.detail);
    }
    for (size_t n = 0; n < 8; n++)
        cr_expect_not(read_bytes(bytes, n, &file));
    memcpy(bytes, "\x93NUMPY\x02\x00\xff\xff\xff\xff", 12);
    cr_expect_not(read_bytes(bytes, sizeof bytes, &file));
    for (size_t n = 6; n < 12; n++)
        cr_expect_not(read_bytes(bytes, n, &file));
    memcpy(bytes, "\x93NUMPY\x03\x00", 8);
    cr_expect_not(read_bytes(bytes, sizeof bytes, &file));
    cr_expect_eq(why.kind, PROBLEM_UNSUPPORTED);
}

Test(tensor_file, too_many_tensors, .init = start, .fini = stop) {
    static char header[TENSOR_FILE_HEADER_MAX + 64];
    struct tensor_file file;
    for (unsigned n = TENSOR_FILE_ENTRIES_MAX; n <= TENSOR_FILE_ENTRIES_MAX + 1; n++) {
        char *at = header;
        for (unsigned i = 0; i < n; i++)
            at += sprintf(at, "%c\"%x\":" T("U8", "0", "0,0"), i ? ',' : '{', i);
        strcpy(at, "}");
        cr_expect_eq(read_safetensors(header, 0, &file), n == TENSOR_FILE_ENTRIES_MAX, "%s", why.detail);
    }
    cr_expect_eq(why.kind, PROBLEM_LIMIT);
}

/* Fails take 0, 1, 2, ... until the call succeeds: every failure is a problem, none a crash. */
Test(tensor_file, out_of_memory) {
    static const char header[] = "{\"a\":" T("F32", "1", "0,4") ",\"b\":" T("F32", "1", "4,8") "}";
    struct tensor_file file;
    bool good = false;
    for (uint64_t fail = 0; !good; fail++) {
        cr_assert_lt(fail, 50);
        start();
        arena.fail_at = fail;
        good = read_safetensors(header, 8, &file);
        cr_expect(good || why.kind == PROBLEM_MEMORY);
        stop();
    }
}

/* What the fuzzer once found worth keeping. */
Test(tensor_file, corpus, .init = start, .fini = stop) {
    static char bytes[1 << 16];
    unsigned n = 0;
    DIR *directory = opendir("tests/fuzz/corpus_tensor_file");
    cr_assert_not_null(directory, "run from the root of the sources");
    for (struct dirent *entry; (entry = readdir(directory));) {
        int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC);
        ssize_t got = entry->d_name[0] == '.' ? -1 : read(fd, bytes, sizeof bytes);
        struct tensor_file file;
        if (got >= 0) {
            bool good = read_bytes(bytes, (size_t)got, &file);
            cr_expect_eq(good, strncmp(entry->d_name, "good", 4) == 0, "%s: %s", entry->d_name, why.detail);
            n++;
        }
        close(fd);
    }
    closedir(directory);
    cr_expect_geq(n, 8);
}
