/* support_ops_plain.c - cases of support_ops.h: attention and what sequential jobs are made of */
#include "tests/support_ops.h"

#define ATTENTION(k, l, h, kv, b, a, p)                                                                                \
    {                                                                                                                  \
        .kind = OP_ATTENTION, .attention = { &attn_table[k], l, h, kv, b, a, 0, {p, 77} }                              \
    }

static const struct op_case cases[] = {
    {"attention standard",
     ATTENTION(ATTN_STANDARD, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, 1, 0),
     {{1, 2, 5, 4}, {1, 1, 7, 4}, {1, 1, 7, 4}},
     .no_grad = {0}},
    {"attention flash",
     ATTENTION(ATTN_FLASH, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, 1, 0.3),
     {{1, 2, 5, 4}, {1, 1, 7, 4}, {1, 1, 7, 4}},
     .no_grad = {0}},
    {"attention rows first",
     ATTENTION(ATTN_STANDARD, ATTN_ROWS_FIRST, 4, 2, 4, 1, 0.2),
     {{2, 5, 12}, {2, 6, 6}, {2, 6, 6}},
     .no_grad = {0}},
    {"attention flash rows first",
     ATTENTION(ATTN_FLASH, ATTN_ROWS_FIRST, 4, 2, 4, 4, 0),
     {{2, 5, 12}, {2, 6, 6}, {2, 6, 6}},
     .no_grad = {0}},
    {"attention bias",
     ATTENTION(ATTN_STANDARD, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, ATTN_FAR, 0),
     {{2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 4}, {2, 3, 5}},
     .no_grad = {0, 0, 0, 1}},
    {"attention flash bias",
     ATTENTION(ATTN_FLASH, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, ATTN_FAR, 0),
     {{2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 4}, {2, 1, 1, 5}},
     .no_grad = {0, 0, 0, 1}},
    {"attention of one tensor",
     ATTENTION(ATTN_STANDARD, ATTN_ROWS_FIRST, 2, 2, ATTN_FAR, 1, 0),
     {{1, 6, 8}, {1, 6, 8}, {1, 6, 8}},
     .same_inputs = true},
    {"attention flash of one tensor",
     ATTENTION(ATTN_FLASH, ATTN_ROWS_FIRST, 2, 2, ATTN_FAR, 1, 0),
     {{1, 6, 8}, {1, 6, 8}, {1, 6, 8}},
     .same_inputs = true},
    {"attention without grad_k",
     ATTENTION(ATTN_FLASH, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, 1, 0),
     {{1, 2, 5, 4}, {1, 1, 7, 4}, {1, 1, 7, 4}},
     .no_grad = {0, 1, 0}},
    {"linear", {.kind = OP_LINEAR}, {{2, 3, 5}, {7, 5}}, .no_grad = {0}},
    {"linear bias", {.kind = OP_LINEAR, .linear = {7}}, {{4, 5}, {7, 5}, {7}}, .no_grad = {0}},
    {"linear frozen weight", {.kind = OP_LINEAR}, {{4, 5}, {7, 5}, {7}}, .no_grad = {0, 1, 0}},
    {"linear first layer", {.kind = OP_LINEAR}, {{4, 5}, {7, 5}}, .no_grad = {1, 0}},
    {"gelu erf", {.kind = OP_GELU}, {{3, 50}}, .no_grad = {0}},
    {"gelu tanh", {.kind = OP_GELU, .gelu = {true}}, {{3, 50}}, .no_grad = {0}},
    {"relu", {.kind = OP_RELU}, {{151}}, .no_grad = {0}},
    {"silu", {.kind = OP_SILU}, {{3, 50}}, .no_grad = {0}},
    {"layer_norm", {.kind = OP_LAYER_NORM, .norm = {1e-5f}}, {{2, 3, 21}, {21}, {21}}, .no_grad = {0}},
    {"layer_norm of a vector", {.kind = OP_LAYER_NORM, .norm = {1e-3f}}, {{19}, {19}, {19}}, .no_grad = {0}},
    {"rms_norm", {.kind = OP_RMS_NORM, .norm = {1e-6f}}, {{2, 3, 21}, {21}}, .no_grad = {0}},
    {"dropout", {.kind = OP_DROPOUT, .dropout = {0.4, 12}}, {{7, 11}}, .no_grad = {0}},
    {"dropout off", {.kind = OP_DROPOUT, .dropout = {0, 12}}, {{7}}, .no_grad = {0}},
    {"add", {.kind = OP_ADD}, {{3, 4}, {3, 4}}, .no_grad = {0}},
    {"add of one tensor", {.kind = OP_ADD}, {{3, 4}, {3, 4}}, .same_inputs = true},
    {"scale", {.kind = OP_SCALE, .scale = {-2.5f}}, {{3, 4}}, .no_grad = {0}},
};

const struct op_case_list op_cases_plain = {cases, sizeof cases / sizeof cases[0]};
