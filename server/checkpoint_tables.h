/* checkpoint_tables.h - the tables that checkpoint_names.c reads: one row a name. For the two of them alone. */
#ifndef REMATD_SERVER_CHECKPOINT_TABLES_H
#define REMATD_SERVER_CHECKPOINT_TABLES_H

#include "server/checkpoint_names.h"

enum checkpoint_when { CHECKPOINT_ALWAYS, CHECKPOINT_TIED, CHECKPOINT_UNTIED };

/* `ours` is a parameter's whole name, or the stem of NAME.weight and NAME.bias, which `theirs` gets too. In `theirs`, a
 * dot at the beginning stands for the type's prefix, which some files leave out; %u is the layer, %e the expert. */
struct checkpoint_row {
    const char *ours, *theirs;
    enum checkpoint_layout layout;
    unsigned part, parts; /* of equal parts; parts 0: all of it */
    unsigned ones;        /* dimensions of 1 before the parameter's */
    enum checkpoint_when when;
};

/* Of names that are left where no parameter has them: * at the end is anything. */
struct checkpoint_leftover {
    const char *theirs;
    enum checkpoint_when when;
};

struct checkpoint_names {
    const char *model_type, *prefix;
    const struct checkpoint_row *rows[4]; /* each ends with a row without a name */
    const struct checkpoint_leftover *leftovers;
};

extern const struct checkpoint_names checkpoint_tables[];
extern const unsigned checkpoint_tables_length;

#endif
