/* checkpoint_names.h - which tensor of a Hugging Face file is which parameter of a lowered graph. Tables, and no file
 * is read here: names and shapes go in, places come out. Any thread. */
#ifndef REMATD_SERVER_CHECKPOINT_NAMES_H
#define REMATD_SERVER_CHECKPOINT_NAMES_H

#include "engine/graph/graph.h"

/* How a file's tensor lies, beside the parameter's own order. */
enum checkpoint_layout {
    CHECKPOINT_PLAIN,
    CHECKPOINT_TRANSPOSED,    /* [in, out], where the parameter is [out, in] */
    CHECKPOINT_CHANNELS_FIRST /* [out, channels, height, width], where it is [out, height, width, channels] */
};

/* A parameter, or one expert of it, is rows first .. first + rows of a file's tensor; rows are counted along what the
 * parameter (or expert) has first, which a transposed tensor has last. Where queries, keys and values lie mixed, a
 * parameter has `run` rows of every `every`. */
struct checkpoint_slice {
    uint32_t tensor; /* of the graph */
    unsigned entry;  /* of the names given */
    enum checkpoint_layout layout;
    bool is_expert; /* the expert-th of the parameter's first dimension */
    uint64_t expert, first, rows;
    uint64_t run, every; /* run 0: all in one */
    unsigned rank;       /* what shape the file's tensor must have */
    uint64_t shape[GRAPH_RANK_MAX];
};

struct checkpoint_map {
    struct checkpoint_slice *slices; /* in the order of the graph's parameters; an expert has one of its own */
    uint32_t n_slices;
    unsigned *strangers; /* entries that are no parameter and no known leftover */
    unsigned n_strangers;
};

struct checkpoint_names;
/* By model_type; static, or NULL where the names of its files are not known. */
const struct checkpoint_names *checkpoint_names_find(const char *model_type);
/* The i-th there is, or NULL: for whoever has to try. */
const struct checkpoint_names *checkpoint_names_at(unsigned i);

/* Finds every parameter of g among the names. Everything in the arena. PROBLEM_NOT_FOUND names the tensor that is not
 * there. What a file says beside (buffers, heads of other tasks, a tied head once more) is known and left. */
PROBLEM_MUST_CHECK bool checkpoint_names_map(const struct checkpoint_names *n, const struct graph *g,
                                             const char *const *names, unsigned n_names, struct arena *a,
                                             struct checkpoint_map *out, struct problem *why);

/* Row i of the parameter (or expert) is this row of the file's tensor. */
uint64_t checkpoint_names_row(const struct checkpoint_slice *s, uint64_t i);
/* slice[i] of the parameter (or expert) is value `index` of the file's tensor. */
uint64_t checkpoint_names_index(const struct graph *g, const struct checkpoint_slice *s, uint64_t i);

#endif
