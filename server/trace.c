/* trace.c - see trace.h */
#include "server/trace.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define HEX "0123456789abcdef"

bool trace_request_id_valid(const char *text) {
    static const char taken[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/=+@~";
    size_t length = strnlen(text, TRACE_REQUEST_ID_MAX + 1);
    return length > 0 && length <= TRACE_REQUEST_ID_MAX && strspn(text, taken) == length;
}

static uint64_t seed_make(void) {
    uint64_t seed = 0;
    struct timespec now;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed && seed)
        return seed;
    clock_gettime(CLOCK_REALTIME, &now); /* ids are names, not secrets */
    return ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) | 1;
}

/* The last step of splitmix64: one number for each number. */
static uint64_t scatter(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void digits_put(char *out, uint64_t value) {
    for (int i = 15; i >= 0; i--, value >>= 4)
        out[i] = HEX[value & 15];
}

/* The process's number, and a count that does not look like one. */
void trace_request_id_make(char out[TRACE_ID_SIZE]) {
    static _Atomic uint64_t seed, count;
    uint64_t mine = seed, none = 0;
    if (mine == 0) {
        mine = seed_make();
        if (!atomic_compare_exchange_strong(&seed, &none, mine))
            mine = none; /* another thread was first */
    }
    digits_put(out, mine);
    digits_put(out + 16, scatter(mine + atomic_fetch_add_explicit(&count, 1, memory_order_relaxed)));
    out[TRACE_ID_SIZE - 1] = '\0';
}

static bool field_is(const char *at, size_t digits, bool zero_too) {
    return strspn(at, HEX) >= digits && (zero_too || strspn(at, "0") < digits);
}

/* 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 */
bool trace_parent_read(const char *header, char trace_id[TRACE_ID_SIZE]) {
    size_t length = strlen(header);
    if (length < 55 || !field_is(header, 2, true) || strncmp(header, "ff", 2) == 0 || header[2] != '-' ||
        !field_is(header + 3, 32, false) || header[35] != '-' || !field_is(header + 36, 16, false) ||
        header[52] != '-' || !field_is(header + 53, 2, true))
        return false;
    if (length > 55 && (strncmp(header, "00", 2) == 0 || header[55] != '-'))
        return false;
    memcpy(trace_id, header + 3, 32);
    trace_id[32] = '\0';
    return true;
}
