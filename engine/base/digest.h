/* digest.h - a 128-bit fingerprint for telling whether two runs gave the same bits. Not for adversaries; never stored.
 */
#ifndef REMATD_BASE_DIGEST_H
#define REMATD_BASE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

struct digest {
    uint64_t a, b;
};

/* Of bytes[0..n), going on from d (start with a zeroed one). */
struct digest digest_add(struct digest d, const void *bytes, uint64_t n);

static inline bool digest_same(struct digest x, struct digest y) {
    return x.a == y.a && x.b == y.b;
}

#endif
