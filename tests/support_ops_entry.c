/* support_ops_entry.c - cases of support_ops.h: what comes before the first layer, gates and rotations */
#include "tests/support_ops.h"

static const float frequencies[] = {1, 0.31622776f, 0.1f, 0.031622776f, 0.01f, 0.0031622776f};

#define ROTARY(...)                                                                                                    \
    {                                                                                                                  \
        .kind = OP_ROTARY, .rotary = { __VA_ARGS__, .frequencies = frequencies }                                       \
    }

static const struct op_case cases[] = {
    {"embedding", {.kind = OP_EMBEDDING}, .shapes = {{3, 7}, {5, 9}}, .ids = {5}},
    {"embedding of many columns", {.kind = OP_EMBEDDING}, .shapes = {{40}, {3, 150}}, .ids = {3}},
    {"embedding out of the table", {.kind = OP_EMBEDDING}, .shapes = {{3, 7}, {5, 9}}, .ids = {8}},
    {"embedding of a large vocabulary", {.kind = OP_EMBEDDING}, .shapes = {{2, 40}, {5000, 2}}, .ids = {5000}},
    {"positions", {.kind = OP_POSITIONS}, .shapes = {{2, 5, 6}, {5, 6}}},
    {"positions, later rows", {.kind = OP_POSITIONS, .positions = {2}}, .shapes = {{3, 11, 40}, {14, 40}}},
    {"positions, fixed", {.kind = OP_POSITIONS}, .shapes = {{3, 2, 4, 6}, {7, 6}}, .no_grad = {0, 1}},
    {"positions alone", {.kind = OP_POSITIONS}, .shapes = {{4, 6}, {4, 6}}, .no_grad = {1, 0}},
    {"gated silu", {.kind = OP_GATED, .gated = {GATE_SILU}}, .shapes = {{3, 50}, {3, 50}}},
    {"gated gelu", {.kind = OP_GATED, .gated = {GATE_GELU}}, .shapes = {{3, 50}, {3, 50}}},
    {"gated gelu tanh", {.kind = OP_GATED, .gated = {GATE_GELU_TANH}}, .shapes = {{3, 50}, {3, 50}}},
    {"gated relu", {.kind = OP_GATED, .gated = {GATE_RELU}}, .shapes = {{3, 50}, {3, 50}}},
    {"gated of one tensor", {.kind = OP_GATED}, .shapes = {{3, 50}, {3, 50}}, .same_inputs = true},
    {"gated, the gate alone", {.kind = OP_GATED}, .shapes = {{17}, {17}}, .no_grad = {0, 1}},
    {"gated, up alone", {.kind = OP_GATED}, .shapes = {{17}, {17}}, .no_grad = {1, 0}},
    {"rotary", ROTARY(.heads = 3), .shapes = {{2, 5, 24}}},
    {"rotary interleaved", ROTARY(.heads = 2, .interleaved = true), .shapes = {{2, 5, 24}}},
    {"rotary, first numbers", ROTARY(.heads = 2, .dim = 6, .factor = 1.3f), .shapes = {{2, 6, 20}}},
    {"rotary, last numbers", ROTARY(.heads = 2, .dim = 6, .last = true, .interleaved = true), .shapes = {{9, 20}}},
    {"prepend", {.kind = OP_PREPEND}, .shapes = {{3, 4, 70}, {70}}},
    {"prepend, a fixed token", {.kind = OP_PREPEND}, .shapes = {{3, 1, 5}, {5}}, .no_grad = {0, 1}},
    {"prepend to what is given", {.kind = OP_PREPEND}, .shapes = {{3, 4, 5}, {5}}, .no_grad = {1, 0}},
    {"take_token", {.kind = OP_TAKE_TOKEN}, .shapes = {{3, 4, 5}}},
    {"token_gate", {.kind = OP_TOKEN_GATE}, .shapes = {{3, 5, 21}, {3, 5, 1}}},
    {"token_gate, fixed gates", {.kind = OP_TOKEN_GATE}, .shapes = {{5, 3}, {5}}, .no_grad = {0, 1}},
    {"token_gate, gates alone", {.kind = OP_TOKEN_GATE}, .shapes = {{5, 3}, {5}}, .no_grad = {1, 0}},
    {"split", {.kind = OP_SPLIT, .split = {5}}, .shapes = {{2, 3, 12}}},
    {"latent_keys", {.kind = OP_LATENT_KEYS, .latent_keys = {3, 4}}, .shapes = {{2, 5, 27}, {2, 5, 6}}},
    {"latent_keys, rope given",
     {.kind = OP_LATENT_KEYS, .latent_keys = {2, 4}},
     .shapes = {{5, 18}, {5, 2}},
     .no_grad = {0, 1}},
    {"convolution, patches",
     {.kind = OP_CONVOLUTION, .convolution = {.stride = {2, 3}}},
     .shapes = {{2, 4, 7, 3}, {5, 2, 3, 3}, {5}}},
    {"convolution of given patches",
     {.kind = OP_CONVOLUTION, .convolution = {.stride = {2, 2}}},
     .shapes = {{2, 4, 4, 3}, {5, 2, 2, 3}, {5}},
     .no_grad = {1, 0, 0}},
    {"convolution, padded",
     {.kind = OP_CONVOLUTION, .convolution = {{1, 2}, {1, 2}}},
     .shapes = {{2, 5, 4, 2}, {3, 2, 3, 2}}},
    {"convolution of a sound",
     {.kind = OP_CONVOLUTION, .convolution = {{1}, {1}}},
     .shapes = {{2, 7, 5}, {4, 3, 5}, {4}}},
    {"convolution, every second frame",
     {.kind = OP_CONVOLUTION, .convolution = {{2}, {1}}},
     .shapes = {{2, 8, 5}, {70, 3, 5}, {70}}},
    {"convolution with gaps",
     {.kind = OP_CONVOLUTION, .convolution = {{3}, {0}}},
     .shapes = {{1, 9, 2}, {4, 2, 2}, {4}},
     .no_grad = {0, 1, 1}},
    {"convolution of many rows",
     {.kind = OP_CONVOLUTION, .convolution = {{1}, {1}}},
     .shapes = {{2, 140, 3}, {2, 3, 3}, {2}}},
    {"convolution of wide rows",
     {.kind = OP_CONVOLUTION, .convolution = {{1, 2}, {0, 1}}},
     .shapes = {{1, 3, 9, 60}, {3, 2, 3, 60}, {3}},
     .tolerance = 2e-5f},
};

const struct op_case_list op_cases_entry = {cases, sizeof cases / sizeof cases[0]};
