/* op_table.c - every op there is, one line each. */
#include "engine/graph/op.h"

const struct op_row *const op_table[OP_KINDS] = {
    [OP_ATTENTION] = &op_attention_row,
    [OP_LINEAR] = &op_linear_row,
    [OP_GELU] = &op_gelu_row,
    [OP_RELU] = &op_relu_row,
    [OP_SILU] = &op_silu_row,
    [OP_LAYER_NORM] = &op_layer_norm_row,
    [OP_RMS_NORM] = &op_rms_norm_row,
    [OP_DROPOUT] = &op_dropout_row,
    [OP_ADD] = &op_add_row,
    [OP_SCALE] = &op_scale_row,
    [OP_EMBEDDING] = &op_embedding_row,
    [OP_POSITIONS] = &op_positions_row,
    [OP_ROTARY] = &op_rotary_row,
    [OP_GATED] = &op_gated_row,
    [OP_SOFTCAP] = &op_softcap_row,
    [OP_CROSS_ENTROPY] = &op_cross_entropy_row,
    [OP_ROUTE] = &op_route_row,
    [OP_DISPATCH] = &op_dispatch_row,
    [OP_EXPERT_LINEAR] = &op_expert_linear_row,
    [OP_COMBINE] = &op_combine_row,
    [OP_FUNCTION] = &op_function_row,
};
