/* wire_functions.h - the functions of a sequential job: names and fields on the wire, struct stack_function behind it.
 */
#ifndef REMATD_SERVER_WIRE_FUNCTIONS_H
#define REMATD_SERVER_WIRE_FUNCTIONS_H

#include "engine/models/stack.h"
#include "server/wire_tensor.h"

/* v: an array of functions. given, where not NULL, is told every tensor the functions name. Everything lives in the
 * rules' arena; stack_given.source is a struct wire_tensor. */
PROBLEM_MUST_CHECK bool wire_functions_read(const struct wire_value *v, const struct wire_tensor_rules *rules,
                                            bool (*given)(void *user, const struct wire_tensor *t, struct problem *why),
                                            void *user, const struct stack_function **functions, uint64_t *n,
                                            struct problem *why);

#endif
