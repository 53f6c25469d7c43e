/* support_ops_attention.c - cases of support_ops.h: attention's variants, each by both kernels */
#include "tests/support_ops.h"

#define ROWS  ATTN_ROWS_FIRST
#define HEADS ATTN_HEADS_FIRST

/* .attention of a case; more follows the reach: .sinks = true, ... */
#define ATTENTION(k, l, h, kv, b, a, ...)                                                                              \
    {                                                                                                                  \
        .kind = OP_ATTENTION, .attention = {                                                                           \
            .kernel = &attn_table[k],                                                                                  \
            .layout = l,                                                                                               \
            .heads = h,                                                                                                \
            .kv_heads = kv,                                                                                            \
            .behind = b,                                                                                               \
            .ahead = a,                                                                                                \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
/* The same by both kernels. */
#define BOTH(name, l, h, kv, b, a, more, shapes, ...)                                                                  \
    {name, ATTENTION(ATTN_STANDARD, l, h, kv, b, a, more), shapes, __VA_ARGS__}, {                                     \
        "flash " name, ATTENTION(ATTN_FLASH, l, h, kv, b, a, more), shapes, __VA_ARGS__                                \
    }
#define SHAPES(...)                                                                                                    \
    { __VA_ARGS__ }
#define FAR       ATTN_FAR
#define PLAIN     .scale = 0
#define DROP(p)   .dropout = {p, 31}
#define THREE     SHAPES({2, 4, 30, 5}, {2, 2, 27, 5}, {2, 2, 27, 5})
#define FOUR(...) SHAPES({2, 4, 30, 5}, {2, 2, 27, 5}, {2, 2, 27, 5}, __VA_ARGS__)

static const struct op_case cases[] = {
    BOTH("attention grouped", HEADS, 0, 0, FAR, 1, DROP(0.2), THREE, .no_grad = {0}),
    BOTH("attention grouped rows", ROWS, 4, 2, 9, 1, DROP(0.2), SHAPES({2, 30, 20}, {2, 28, 10}, {2, 28, 10}),
         .no_grad = {0}),
    BOTH("attention frozen queries", ROWS, 4, 2, FAR, FAR, PLAIN, SHAPES({2, 3, 20}, {2, 4, 10}, {2, 4, 10}),
         .no_grad = {1}),

    BOTH("attention wide values", HEADS, 0, 0, FAR, 1, DROP(0.1), SHAPES({2, 4, 30, 5}, {2, 2, 27, 5}, {2, 2, 27, 19}),
         .no_grad = {0}),
    BOTH("attention narrow values", ROWS, 4, 4, FAR, 1, PLAIN, SHAPES({2, 9, 96}, {2, 9, 96}, {2, 9, 64}),
         .no_grad = {0}),

    BOTH("attention bias of heads", HEADS, 0, 0, FAR, 1, PLAIN, FOUR({4, 30, 27}), .no_grad = {0}),
    BOTH("attention bias of batches", HEADS, 0, 0, FAR, FAR, DROP(0.2), FOUR({2, 1, 30, 27}), .no_grad = {0}),
    BOTH("attention bias of all", HEADS, 0, 0, FAR, FAR, PLAIN, FOUR({2, 4, 30, 27}), .no_grad = {0}),
    BOTH("attention bias of keys", HEADS, 0, 0, 7, 7, PLAIN, FOUR({1, 27}), .no_grad = {0}),
    BOTH("attention bias of pairs", ROWS, 4, 2, FAR, FAR, PLAIN,
         SHAPES({2, 30, 20}, {2, 28, 10}, {2, 28, 10}, {30, 28}), .no_grad = {0}),

    BOTH("attention sinks", HEADS, 0, 0, FAR, 1, .sinks = true, FOUR({4}), .no_grad = {0}),
    BOTH("attention sinks rows", ROWS, 4, 2, 5, 1, .sinks = true, SHAPES({3, 30, 20}, {3, 28, 10}, {3, 28, 10}, {4}),
         .spread = {0, 0, 0, 3}),
    BOTH("attention sinks bias", HEADS, 0, 0, FAR, FAR, .sinks = true, FOUR({4, 1, 27}, {4}), .no_grad = {0}),

    /* without a sink nothing would come of it: all scores of a row move together */
    BOTH("attention sinks bias of rows", HEADS, 0, 0, FAR, 4, .sinks = true, FOUR({2, 4, 30, 1}, {4}), .no_grad = {0}),
    BOTH("attention softcap", HEADS, 0, 0, FAR, 1, .softcap = 2, THREE, .spread = {2}),
    BOTH("attention softcap bias", HEADS, 0, 0, 11, 1, .softcap = 1.5f, FOUR({4, 1, 27}), .no_grad = {0}),
    BOTH("attention alibi", HEADS, 0, 0, FAR, 1, .alibi = true, THREE, .no_grad = {0}),
    BOTH("attention alibi of 6 heads", ROWS, 6, 3, FAR, FAR, .alibi = true,
         SHAPES({2, 9, 24}, {2, 11, 12}, {2, 11, 12}), .no_grad = {0}),
};

const struct op_case_list op_cases_attention = {cases, sizeof cases / sizeof cases[0]};
