/* wire_config_unrun.c - what a config.json can say that changes numbers and no plan, and that no op knows: running is
 * refused by name (model_runs), planning is not. */
#include <string.h>

#include "server/wire_config.h"

static const struct {
    const char *type; /* NULL: of every */
    const char *key;  /* true, or more than 0 */
    const char *missing;
} rows[] = {
    {NULL, "output_router_logits", "a loss with a part for the balance of experts"},
    {NULL, "router_jitter_noise", "noise at the router"},
    {NULL, "add_router_probs", "a loss with a part for the balance of experts"},
    {"bert", "is_decoder", "an encoder that is used as a decoder"},
    {"roberta", "is_decoder", "an encoder that is used as a decoder"},
    {"electra", "is_decoder", "an encoder that is used as a decoder"},
    {"falcon", "alibi", "Falcon's ALiBi, which is in bfloat16 and divided by the root of the head size"},
    {"gemma3_text", "use_bidirectional_attention", "a decoder that sees ahead"},
    {"whisper", "apply_spec_augment", "masks on what is heard"},
    {"deepseek_v2", "norm_topk_prob", "DeepSeek-V2's normalised routing"},
};

static bool applies(size_t i, const struct wire_config_type *type) {
    return rows[i].type == NULL || strcmp(rows[i].type, type->name) == 0;
}

bool wire_config_unrun_key(const struct wire_config_type *type, const char *key) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (applies(i, type) && strcmp(rows[i].key, key) == 0)
            return true;
    return false;
}

/* Whatever its type: it was never looked at before a run. */
static bool says_yes(const struct wire_value *v) {
    struct problem unused = {0};
    double number = 0;
    bool flag = false;
    if (wire_type(v) == WIRE_BOOL)
        return wire_bool(v, &flag, &unused) && flag;
    return (wire_type(v) == WIRE_INTEGER || wire_type(v) == WIRE_REAL) &&
           wire_real(v, -1e300, 1e300, &number, &unused) && number > 0;
}

void wire_config_unrun(const struct wire_config_type *type, const struct wire_value *config, struct model *m) {
    struct wire_value v;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!m->missing && applies(i, type) && wire_get(config, rows[i].key, &v) && says_yes(&v))
            m->missing = rows[i].missing;
}
