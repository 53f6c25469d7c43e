/* fuzz_tensor_file.c - any bytes as a tensor file: refused in words, or read, loaded and written back the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/tensor_file.h"

#define LOAD_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "fuzz_tensor_file: %s\n", what);
        abort();
    }
}

/* A header made from what was read reads the same. */
static void write_back(struct arena *arena, const struct tensor_file *file) {
    struct problem why = {0};
    size_t bytes;
    uint64_t data = 0;
    char *header = tensor_file_safetensors_header(arena, file->entries, file->n_entries, &bytes, &why);
    for (unsigned i = 0; i < file->n_entries; i++)
        data += file->entries[i].bytes;
    check(header != NULL, "what was read cannot be written");
    int fd = memfd_create("again", MFD_CLOEXEC);
    check(write(fd, header, bytes) == (ssize_t)bytes && ftruncate(fd, (off_t)(bytes + data)) == 0, "no memory file");
    struct tensor_file again;
    if (bytes - 8 <= TENSOR_FILE_HEADER_MAX) {
        check(tensor_file_read(fd, bytes + data, arena, &again, &why), "what was written cannot be read");
        check(again.n_entries == file->n_entries, "tensors were lost");
        for (unsigned i = 0; i < again.n_entries; i++)
            check(again.entries[i].bytes == file->entries[i].bytes && again.entries[i].rank == file->entries[i].rank &&
                      strcmp(again.entries[i].name, file->entries[i].name) == 0,
                  "a tensor changed");
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static float loaded[LOAD_MAX];
    struct arena arena;
    struct problem why = {0};
    struct tensor_file file;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    check(write(fd, bytes, n) == (ssize_t)n, "no memory file");
    arena_init(&arena, 64u << 20);
    if (tensor_file_read(fd, n, &arena, &file, &why)) {
        uint64_t total = 0;
        for (unsigned i = 0; i < file.n_entries; i++) {
            const struct tensor_entry *entry = &file.entries[i];
            check(entry->offset <= n && entry->bytes <= n - entry->offset, "a tensor lies beyond the file");
            total += entry->bytes;
            struct problem load = {0};
            if (tensor_file_elements(entry) <= LOAD_MAX)
                check(tensor_file_load(fd, entry, loaded, &load) || entry->boolean,
                      "a tensor that was read cannot be loaded");
        }
        check(total <= n, "tensors overlap");
        write_back(&arena, &file);
    } else {
        check(why.kind != PROBLEM_NONE && why.detail[0], "refused without a word");
    }
    arena_free(&arena);
    close(fd);
    return 0;
}
