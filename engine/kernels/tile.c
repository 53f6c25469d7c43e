/* tile.c - which instruction set: the table, best first, and the choice. */
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/tile.h"

const struct tile *const tile_table[] = {
#if defined(__x86_64__)
    &tile_avx512,
    &tile_avx2,
#endif
    &tile_portable,
};
const unsigned tile_table_length = sizeof tile_table / sizeof tile_table[0];

bool tile_runs(const struct tile *tile) {
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (tile == &tile_avx512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (tile == &tile_avx2)
        return avx2;
#endif
    return tile == &tile_portable;
}

static const struct tile *asked_for(const char *name) {
    for (unsigned i = 0; i < tile_table_length; i++)
        if (strcmp(tile_table[i]->name, name) == 0 && tile_runs(tile_table[i]))
            return tile_table[i];
    return NULL;
}

const struct tile *tile_best(void) {
    const char *name = getenv(TILE_VARIABLE);
    const struct tile *tile = name ? asked_for(name) : NULL;
    for (unsigned i = 0; !tile; i++) /* the last row runs anywhere */
        tile = tile_runs(tile_table[i]) ? tile_table[i] : NULL;
    return tile;
}

bool tile_check(struct problem *why) {
    const char *name = getenv(TILE_VARIABLE);
    if (!name || !*name || asked_for(name))
        return true;
    for (unsigned i = 0; i < tile_table_length; i++)
        if (strcmp(tile_table[i]->name, name) == 0)
            return problem_set(why, PROBLEM_UNSUPPORTED, "", TILE_VARIABLE ": this processor does not run %s", name);
    return problem_set(why, PROBLEM_MALFORMED, "", TILE_VARIABLE ": '%.40s' is none of avx512, avx2 and portable",
                       name);
}
