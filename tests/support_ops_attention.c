/* support_ops_attention.c - cases of support_ops.h */
#include "tests/support_ops.h"

const struct op_case_list op_cases_attention = {NULL, 0};
