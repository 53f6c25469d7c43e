/* support_ops_loss.c - cases of support_ops.h: the head and the loss. Ids past the vocabulary are not counted. */
#include "tests/support_ops.h"

#define LOSS(...)                                                                                                      \
    {                                                                                                                  \
        .kind = OP_LINEAR_CROSS_ENTROPY, .linear_cross_entropy = { __VA_ARGS__ }                                       \
    }

static const struct op_case cases[] = {
    {"loss", LOSS(0, 0), {{2, 3, 5}, {7, 5}, {2, 3}}, .ids = {0, 0, 7}},
    {"loss with a bias", LOSS(0, 0), {{9, 5}, {19, 5}, {9}, {19}}, .ids = {0, 0, 24}},
    {"loss, capped", LOSS(0, 3), {{9, 5}, {19, 5}, {9}, {19}}, .ids = {0, 0, 19}},
    {"loss, scaled", LOSS(0, 0, 0.25f), {{9, 5}, {19, 5}, {9}}, .ids = {0, 0, 19}},
    {"loss in chunks, scaled and capped", LOSS(128, 3, 1.5f), {{9, 5}, {19, 5}, {9}, {19}}, .ids = {0, 0, 19}},
    {"loss of a frozen head", LOSS(0, 0), {{9, 5}, {19, 5}, {9}}, .no_grad = {0, 1}, .ids = {0, 0, 19}},
    {"loss of frozen layers", LOSS(0, 0), {{9, 5}, {19, 5}, {9}}, .no_grad = {1}, .ids = {0, 0, 19}},
    {"loss in chunks", LOSS(128, 0), {{2, 3, 5}, {7, 5}, {2, 3}}, .ids = {0, 0, 7}},
    {"loss in chunks with a bias", LOSS(128, 2), {{9, 5}, {19, 5}, {9}, {19}}, .ids = {0, 0, 24}},
    {"loss in chunks of a frozen head", LOSS(256, 0), {{9, 5}, {19, 5}, {9}}, .no_grad = {0, 1}, .ids = {0, 0, 19}},
    {"loss in chunks of frozen layers", LOSS(256, 0), {{9, 5}, {19, 5}, {9}}, .no_grad = {1}, .ids = {0, 0, 19}},
};

const struct op_case_list op_cases_loss = {cases, sizeof cases / sizeof cases[0]};
