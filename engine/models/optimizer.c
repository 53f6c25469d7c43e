/* optimizer.c - what each optimizer keeps for one parameter tensor. */
#include "engine/models/optimizer.h"

#include <string.h>

#include "engine/base/units.h"

static uint64_t nothing(const struct tensor *t) {
    (void)t;
    return 0;
}
static uint64_t one_float(const struct tensor *t) {
    return 4 * t->elements;
}
static uint64_t two_floats(const struct tensor *t) {
    return 8 * t->elements;
}
/* Dettmers et al. 2022: two 8-bit states, and a float32 for each block of 2048 of either. */
static uint64_t two_bytes(const struct tensor *t) {
    return 2 * t->elements + 8 * units_ceil_div(t->elements, 2048);
}
/* Shazeer and Stern 2018: of a matrix, the sums of its rows and columns; of anything else, one number each. */
static uint64_t factored(const struct tensor *t) {
    if (t->rank < 2)
        return 4 * t->elements;
    uint64_t rows = t->shape[t->rank - 2], columns = t->shape[t->rank - 1];
    return 4 * (t->elements / rows + t->elements / columns);
}
/* Jordan et al. 2024: momentum of hidden matrices; AdamW for vectors and tables of embeddings. */
static uint64_t momentum_of_matrices(const struct tensor *t) {
    return t->rank >= 2 && strstr(t->name, "embed") == NULL && strcmp(t->name, "head.weight") != 0 ? one_float(t)
                                                                                                   : two_floats(t);
}

const struct optimizer optimizer_table[] = {
    {"none", "no optimizer: forward and backward alone", nothing, false},
    {"sgd", "no state", nothing, true},
    {"sgd_momentum", "momentum", one_float, true},
    {"adamw", "two moments", two_floats, true},
    {"adamw_8bit", "two moments of 8 bits, a scale for each 2048", two_bytes, true},
    {"adafactor", "row and column sums of the second moment", factored, true},
    {"lion", "momentum", one_float, true},
    {"muon", "momentum of hidden matrices, two moments of the rest", momentum_of_matrices, true},
};
const unsigned optimizer_table_length = sizeof optimizer_table / sizeof optimizer_table[0];

const struct optimizer *optimizer_find(const char *name) {
    for (unsigned i = 0; i < optimizer_table_length; i++)
        if (strcmp(optimizer_table[i].name, name) == 0)
            return &optimizer_table[i];
    return NULL;
}
