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

/* A row that only keeps, and one that steps: by what, and by which rule unless another is given. */
#define KEEPS(name, description, bytes, steps)                                                                         \
    {                                                                                                                  \
        name, description, bytes, steps, NULL, {                                                                       \
            0, 0, 0, 0, 0, 0                                                                                           \
        }                                                                                                              \
    }
#define STEPS(name, description, bytes, update, ...)                                                                   \
    { name, description, bytes, true, update, __VA_ARGS__ }

const struct optimizer optimizer_table[] = {
    KEEPS("none", "no optimizer: forward and backward alone", nothing, false),
    STEPS("sgd", "no state", nothing, update_sgd, {1e-2f, 0, 0, 0, 0, 0}),
    STEPS("sgd_momentum", "momentum", one_float, update_sgd_momentum, {1e-2f, 0, 0, 0, 0, 0.9f}),
    STEPS("adamw", "two moments", two_floats, update_adamw, {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0}),
    KEEPS("adamw_8bit", "two moments of 8 bits, a scale for each 2048", two_bytes, true),
    KEEPS("adafactor", "row and column sums of the second moment", factored, true),
    STEPS("lion", "momentum", one_float, update_lion, {1e-4f, 0.9f, 0.99f, 0, 0, 0}),
    KEEPS("muon", "momentum of hidden matrices, two moments of the rest", momentum_of_matrices, true),
};
const unsigned optimizer_table_length = sizeof optimizer_table / sizeof optimizer_table[0];

const struct optimizer *optimizer_find(const char *name) {
    for (unsigned i = 0; i < optimizer_table_length; i++)
        if (strcmp(optimizer_table[i].name, name) == 0)
            return &optimizer_table[i];
    return NULL;
}
