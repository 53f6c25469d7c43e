/* test_megatron.c - the 24 values of Korthikanti et al. 2022, Figure 1, to the printed digit. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "engine/models/megatron.h"

static const struct {
    const char *name;
    uint64_t hidden, heads, layers, batch, tensor, pipeline, chunks;
    const char *states, *none, *sequence, *selective, *both, *full; /* GiB, first pipeline stage */
} rows[] = {
    {"22B", 6144, 64, 48, 4, 8, 1, 1, "45.5625", "59.2500", "39.5625", "29.2500", "9.5625", "4.5000"},
    {"175B", 12288, 96, 96, 1, 8, 8, 3, "45.5625", "66.8438", "41.4141", "37.7812", "12.3516", "5.8125"},
    {"530B", 20480, 128, 105, 1, 8, 35, 3, "31.6406", "114.0234", "66.5137", "70.5859", "23.0762", "10.8594"},
    {"1T", 25600, 160, 128, 1, 8, 64, 1, "32.9590", "131.2500", "76.5625", "81.2500", "26.5625", "12.5000"},
};

static struct workload workload_of(size_t i) {
    struct workload w = {.seq_len = 2048, .batch = rows[i].batch, .dtype = DTYPE_BFLOAT16, .dropout = 0.1};
    w.model = (struct model){
        .layers = rows[i].layers, .d_model = rows[i].hidden, .heads = rows[i].heads, .max_positions = 2048};
    model_defaults(&w.model);
    w.attention = &attn_table[ATTN_STANDARD];
    w.optimizer = optimizer_find("adamw");
    return w;
}

static void gib_assert(const char *name, const char *what, uint64_t bytes, const char *printed) {
    char text[32];
    snprintf(text, sizeof text, "%.4f", (double)bytes / 1073741824.0);
    cr_assert_str_eq(text, printed, "%s, %s: %s, not %s", name, what, text, printed);
}

Test(megatron, the_papers_figures_to_the_printed_digit) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct {
            const char *what, *printed;
            struct megatron p;
        } columns[] = {{"none", rows[i].none, {.recompute = MEGATRON_NONE}},
                       {"sequence", rows[i].sequence, {.sequence = true}},
                       {"selective", rows[i].selective, {.recompute = MEGATRON_SELECTIVE}},
                       {"both", rows[i].both, {.sequence = true, .recompute = MEGATRON_SELECTIVE}},
                       {"full", rows[i].full, {.recompute = MEGATRON_FULL}}};
        for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) {
            struct workload w = workload_of(i);
            struct megatron p = columns[c].p;
            struct megatron_bytes bytes;
            struct problem why = {0};
            p.tensor = rows[i].tensor, p.pipeline = rows[i].pipeline, p.pipeline_chunks = rows[i].chunks;
            cr_assert(megatron_measure(&w, &p, &bytes, &why), "%s %s", why.where, why.detail);
            gib_assert(rows[i].name, columns[c].what, bytes.saved_activations_bytes, columns[c].printed);
            gib_assert(rows[i].name, "states", bytes.parameters_bytes + bytes.gradients_bytes + bytes.optimizer_bytes,
                       rows[i].states);
        }
    }
}

Test(megatron, what_the_paper_does_not_count_is_refused_by_field) {
    struct megatron_bytes bytes;
    const struct megatron one = {0}, seven = {.tensor = 7}, five = {.pipeline = 5};
    for (int i = 0; i < 7; i++) {
        struct workload w = workload_of(0);
        struct problem why = {0};
        static const char *const wheres[] = {"/model/norm", "/model/mlp",          "/model/d_ff",          "/dtype",
                                             "/attention",  "/parallelism/tensor", "/parallelism/pipeline"};
        if (i == 0)
            w.model.norm = MODEL_RMSNORM;
        if (i == 1)
            w.model.mlp = MODEL_SWIGLU;
        if (i == 2)
            w.model.d_ff = 100;
        if (i == 3)
            w.dtype = DTYPE_FLOAT32;
        if (i == 4)
            w.attention = &attn_table[ATTN_FLASH];
        cr_assert_not(megatron_measure(&w, i == 5 ? &seven : i == 6 ? &five : &one, &bytes, &why));
        cr_assert_str_eq(why.where, wheres[i]);
    }
}
