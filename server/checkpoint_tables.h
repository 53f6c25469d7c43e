/* checkpoint_tables.h - the tables that checkpoint_names.c reads: one row a name. For the two of them alone. */
#ifndef REMATD_SERVER_CHECKPOINT_TABLES_H
#define REMATD_SERVER_CHECKPOINT_TABLES_H

#include "server/checkpoint_names.h"

enum checkpoint_when {
    CHECKPOINT_ALWAYS,
    CHECKPOINT_TIED,
    CHECKPOINT_UNTIED,
    CHECKPOINT_SCALED /* what enters the head is: where T5's is not, files have a head that is not the embeddings */
};

/* What one tensor of a file has of several parameters. */
enum checkpoint_fused {
    CHECKPOINT_PARTS,     /* equal ones */
    CHECKPOINT_QKV,       /* the rows of queries, of keys, of values: part 0, 1, 2 */
    CHECKPOINT_QKV_MIXED, /* the same of every head of the keys and the queries that use it, one after another */
};

/* `ours` is a parameter's whole name, or the stem of NAME.weight and NAME.bias, which `theirs` gets too. In `theirs`, a
 * dot at the beginning stands for the type's prefix, which some files leave out; %u is the layer, %e the expert (or
 * whatever the parameter has first), @ "encoder" or "decoder", whose layers are counted apart. Of several rows that say
 * something of a parameter the first that names what is there is taken. */
struct checkpoint_row {
    const char *ours, *theirs;
    enum checkpoint_layout layout;
    enum checkpoint_fused fused;
    unsigned part, parts; /* parts 0: all of it */
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
