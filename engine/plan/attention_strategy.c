/* attention_strategy.c - the four ways to run one attention call. */
#include <string.h>

#include "engine/plan/planner.h"

const struct attention_strategy attention_strategy_table[] = {
    {"flash", "keeps Q, K, V, the output and one log-sum-exp a row; never the N x N weights", &attn_table[ATTN_FLASH],
     false},
    {"standard", "keeps Q, K, V and the N x N weights", &attn_table[ATTN_STANDARD], false},
    {"flash_checkpointed", "keeps Q, K, V only; never the N x N weights", &attn_table[ATTN_FLASH], true},
    {"checkpointed", "keeps Q, K, V only; the weights are made again for the backward", &attn_table[ATTN_STANDARD],
     true},
};
const unsigned attention_strategy_table_length = sizeof attention_strategy_table / sizeof attention_strategy_table[0];

const struct attention_strategy *attention_strategy_find(const char *name) {
    for (unsigned i = 0; i < attention_strategy_table_length; i++)
        if (strcmp(attention_strategy_table[i].name, name) == 0)
            return &attention_strategy_table[i];
    return NULL;
}

struct strategy attention_strategy_plan(const struct attention_strategy *row) {
    return (struct strategy){.planner = row->checkpointed ? &planner_every_layer : &planner_standard};
}
