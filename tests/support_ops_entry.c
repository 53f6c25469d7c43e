/* support_ops_entry.c - cases of support_ops.h */
#include "tests/support_ops.h"

const struct op_case_list op_cases_entry = {NULL, 0};
