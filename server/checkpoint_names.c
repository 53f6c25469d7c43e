/* checkpoint_names.c - see checkpoint_names.h */
#include "server/checkpoint_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/checkpoint_tables.h"

enum { NAME_MAX_BYTES = 256 };

const struct checkpoint_names *checkpoint_names_find(const char *model_type) {
    for (unsigned i = 0; i < checkpoint_tables_length; i++)
        if (strcmp(checkpoint_tables[i].model_type, model_type) == 0)
            return &checkpoint_tables[i];
    return NULL;
}

const struct checkpoint_names *checkpoint_names_at(unsigned i) {
    return i < checkpoint_tables_length ? &checkpoint_tables[i] : NULL;
}

/* ---- the names of the file, sorted ---- */

struct listed {
    const char *name;
    unsigned entry;
    bool used;
};

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

struct search {
    const struct checkpoint_names *names;
    const struct graph *g;
    bool tied, scaled;
    uint32_t *layers;  /* of the op that reads a tensor; GRAPH_NONE outside every layer */
    uint32_t encoding; /* so many layers are an encoder's before a decoder's */
    uint64_t kv_heads;
    struct listed *list;
    unsigned n;
    struct checkpoint_map *out;
};

static struct listed *look_up(struct search *s, const char *name) {
    return bsearch(&(struct listed){.name = name}, s->list, s->n, sizeof *s->list, by_name);
}

static bool ends(const char *name, const char *with) {
    const size_t n = strlen(name), w = strlen(with);
    return n >= w && strcmp(name + n - w, with) == 0;
}

/* As it is called, or without the prefix; and what the first published files call a norm's weight and bias. */
static struct listed *look_up_any(struct search *s, char *name, bool prefixed) {
    static const struct {
        const char *now, *then;
    } norms[] = {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}};
    const size_t skip = prefixed ? strlen(s->names->prefix) + 1 : 0;
    struct listed *found = look_up(s, name);
    if (!found && prefixed)
        found = look_up(s, name + skip);
    for (size_t i = 0; !found && i < sizeof norms / sizeof norms[0]; i++)
        if (ends(name, norms[i].now)) {
            memcpy(name + strlen(name) - strlen(norms[i].now), norms[i].then, strlen(norms[i].then) + 1);
            found = look_up(s, name);
            if (!found && prefixed)
                found = look_up(s, name + skip);
            return found;
        }
    return found;
}

static bool is_when(const struct search *s, enum checkpoint_when when) {
    return when == CHECKPOINT_ALWAYS || (when == CHECKPOINT_SCALED ? s->scaled : s->tied == (when == CHECKPOINT_TIED));
}

/* ---- one parameter ---- */

/* Whether the row says something of the name; `suffix` is what of it comes behind the row's stem. */
static bool row_says(const struct search *s, const struct checkpoint_row *row, const char *name, const char **suffix) {
    const size_t stem = strlen(row->ours);
    if (!is_when(s, row->when) || strncmp(row->ours, name, stem) != 0)
        return false;
    *suffix = name + stem;
    return **suffix == '\0' || strcmp(*suffix, ".weight") == 0 || strcmp(*suffix, ".bias") == 0;
}

/* The next row behind `last` (NULL: the first) that says something of the name; NULL: none. */
static const struct checkpoint_row *row_next(const struct search *s, const struct checkpoint_row *last,
                                             const char *name, const char **suffix) {
    bool behind = last == NULL;
    for (size_t list = 0; list < sizeof s->names->rows / sizeof s->names->rows[0] && s->names->rows[list]; list++)
        for (const struct checkpoint_row *row = s->names->rows[list]; row->ours; row++) {
            if (behind && row_says(s, row, name, suffix))
                return row;
            behind = behind || row == last;
        }
    return NULL;
}

/* theirs with the stack, the layer, the expert, prefix and suffix put in. */
static void write_name(const struct search *s, char *to, const char *theirs, const char *suffix, uint32_t layer,
                       uint64_t expert) {
    const bool encodes = layer < s->encoding;
    size_t n = theirs[0] == '.' ? (size_t)snprintf(to, NAME_MAX_BYTES, "%s", s->names->prefix) : 0;
    if (layer != GRAPH_NONE && !encodes)
        layer -= s->encoding;
    for (; *theirs && n + 24 < NAME_MAX_BYTES; theirs++) {
        if (theirs[0] == '%')
            n += (size_t)snprintf(to + n, NAME_MAX_BYTES - n, "%llu",
                                  (unsigned long long)(*++theirs == 'u' ? layer : expert));
        else if (theirs[0] == '@')
            n += (size_t)snprintf(to + n, NAME_MAX_BYTES - n, "%s", encodes ? "encoder" : "decoder");
        else
            to[n++] = *theirs;
    }
    snprintf(to + n, NAME_MAX_BYTES - n, "%s", suffix);
}

static uint64_t rows_of(const struct search *s, uint32_t layer, const char *name) {
    for (uint32_t t = 0; t < s->g->n_tensors; t++)
        if (s->layers[t] == layer && s->g->tensors[t].role == TENSOR_PARAMETER && !strcmp(s->g->tensors[t].name, name))
            return s->g->tensors[t].shape[0];
    return 0;
}

/* Where the rows of queries, keys or values are among all three; how many those are. */
static uint64_t shape_qkv(const struct search *s, struct checkpoint_slice *slice, const struct checkpoint_row *row) {
    const uint32_t layer = s->layers[slice->tensor];
    const uint64_t q = rows_of(s, layer, "attention.q.weight"), k = rows_of(s, layer, "attention.k.weight");
    const uint64_t groups = row->fused == CHECKPOINT_QKV ? 1 : s->kv_heads;
    slice->every = (q + 2 * k) / groups;
    slice->run = (row->part == 0 ? q : k) / groups;
    slice->first = row->part == 0 ? 0 : (q + (row->part - 1) * k) / groups;
    return q + 2 * k;
}

static void shape_slice(const struct search *search, struct checkpoint_slice *s, const struct checkpoint_row *row) {
    const struct tensor *t = &search->g->tensors[s->tensor];
    const unsigned skip = s->is_expert ? 1 : 0, rank = t->rank - skip;
    const uint64_t *own = t->shape + skip, parts = row->parts ? row->parts : 1;
    uint64_t all = own[0] * parts;
    s->layout = rank > 1 ? row->layout : CHECKPOINT_PLAIN;
    s->rows = own[0];
    s->first = row->part * own[0];
    if (row->fused != CHECKPOINT_PARTS)
        all = shape_qkv(search, s, row);
    for (unsigned i = 0; i < row->ones; i++)
        s->shape[s->rank++] = 1;
    for (unsigned i = 0; i < rank; i++)
        s->shape[s->rank++] = i == 0 ? all : own[i];
    if (s->layout == CHECKPOINT_TRANSPOSED) {
        s->shape[0] = own[1];
        s->shape[1] = all;
    }
    if (s->layout == CHECKPOINT_CHANNELS_FIRST)
        for (unsigned i = 1; i < rank; i++)
            s->shape[i] = own[i == 1 ? rank - 1 : i - 1];
}

static bool has_experts(const struct checkpoint_row *row) {
    return strstr(row->theirs, "%e") != NULL;
}

/* The tensor of the file, or NULL; `name` is as it should be called. */
static struct listed *find(struct search *s, uint32_t tensor, const struct checkpoint_row *row, const char *suffix,
                           uint64_t expert, char name[NAME_MAX_BYTES]) {
    char written[NAME_MAX_BYTES];
    write_name(s, name, row->theirs, suffix, s->layers[tensor], expert);
    memcpy(written, name, sizeof written);
    return look_up_any(s, written, row->theirs[0] == '.');
}

static bool place_as(struct search *s, uint32_t tensor, const struct checkpoint_row *row, const char *suffix,
                     struct problem *why) {
    char name[NAME_MAX_BYTES];
    for (uint64_t e = 0; e < (has_experts(row) ? s->g->tensors[tensor].shape[0] : 1); e++) {
        struct listed *found = find(s, tensor, row, suffix, e, name);
        if (!found)
            return problem_set(why, PROBLEM_NOT_FOUND, "", "%.160s is not there", name);
        found->used = true;
        struct checkpoint_slice *slice = &s->out->slices[s->out->n_slices++];
        *slice = (struct checkpoint_slice){
            .tensor = tensor, .entry = found->entry, .is_expert = has_experts(row), .expert = e};
        shape_slice(s, slice, row);
    }
    return true;
}

static bool place(struct search *s, uint32_t tensor, struct problem *why) {
    const char *suffix = "", *ours = s->g->tensors[tensor].name;
    char name[NAME_MAX_BYTES];
    const struct checkpoint_row *row = row_next(s, NULL, ours, &suffix);
    if (!row)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "%s has no known name in files of %s", ours,
                           s->names->model_type);
    for (; row; row = row_next(s, row, ours, &suffix))
        if (find(s, tensor, row, suffix, 0, name))
            return place_as(s, tensor, row, suffix, why);
    row = row_next(s, NULL, ours, &suffix);
    return place_as(s, tensor, row, suffix, why);
}

/* ---- what is left ---- */

static bool fits(const char *pattern, const char *name) {
    for (; *pattern && *pattern != '*'; pattern++) {
        if (*pattern == '%') {
            if (*name < '0' || *name > '9')
                return false;
            name += strspn(name, "0123456789");
            pattern++;
        } else if (*pattern != *name++) {
            return false;
        }
    }
    return *pattern == '*' || *name == '\0';
}

static bool is_leftover(const struct search *s, const char *name) {
    const size_t prefix = strlen(s->names->prefix);
    const bool prefixed = strncmp(name, s->names->prefix, prefix) == 0 && name[prefix] == '.';
    for (const struct checkpoint_leftover *l = s->names->leftovers; l->theirs; l++) {
        if (!is_when(s, l->when))
            continue;
        if (l->theirs[0] != '.' ? fits(l->theirs, name)
                                : fits(l->theirs + 1, name) || (prefixed && fits(l->theirs, name + prefix)))
            return true;
    }
    return false;
}

/* ---- all of them ---- */

/* The layer of every tensor is that of the last op that reads it: parameters are read in one. */
static void layers_find(struct search *s) {
    const struct graph *g = s->g;
    s->encoding = GRAPH_NONE;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        s->layers[t] = GRAPH_NONE;
    for (uint32_t op = 0; op < g->n_ops; op++) {
        for (uint32_t i = 0; i < g->ops[op].n_inputs; i++)
            s->layers[g->ops[op].inputs[i]] = g->ops[op].layer;
        if (g->ops[op].kind == OP_ATTENTION && !s->kv_heads)
            s->kv_heads = g->ops[op].attention.kv_heads;
        s->scaled = s->scaled || (g->ops[op].name && strcmp(g->ops[op].name, "head.scale") == 0);
        if (s->encoding == GRAPH_NONE && g->ops[op].name && strcmp(g->ops[op].name, "cross") == 0)
            s->encoding = g->ops[op].layer;
    }
    if (s->encoding == GRAPH_NONE)
        s->encoding = 0;
}

/* How many tensors of files a parameter may be. */
static uint64_t most_slices(const struct search *s, const struct tensor *p) {
    const char *suffix;
    for (const struct checkpoint_row *row = NULL; (row = row_next(s, row, p->name, &suffix));)
        if (has_experts(row))
            return p->shape[0];
    return 1;
}

static bool search_init(struct search *s, const char *const *names, unsigned n_names, struct arena *a,
                        struct problem *why) {
    const struct graph *g = s->g;
    uint64_t slices = 0;
    s->n = n_names;
    s->tied = true;
    s->layers = arena_new(a, uint32_t, g->n_tensors, why);
    s->list = arena_new(a, struct listed, n_names, why);
    s->out->strangers = arena_new(a, unsigned, n_names, why);
    if (!s->layers || !s->list || !s->out->strangers)
        return false;
    layers_find(s);
    for (uint32_t t = 0; t < g->n_tensors; t++)
        s->tied = s->tied && (g->tensors[t].role != TENSOR_PARAMETER || strcmp(g->tensors[t].name, "head.weight") != 0);
    for (uint32_t t = 0; t < g->n_tensors; t++)
        slices += g->tensors[t].role == TENSOR_PARAMETER ? most_slices(s, &g->tensors[t]) : 0;
    for (unsigned i = 0; i < n_names; i++)
        s->list[i] = (struct listed){names[i], i, false};
    qsort(s->list, n_names, sizeof *s->list, by_name);
    s->out->slices = arena_new(a, struct checkpoint_slice, slices, why);
    return s->out->slices != NULL;
}

bool checkpoint_names_map(const struct checkpoint_names *n, const struct graph *g, const char *const *names,
                          unsigned n_names, struct arena *a, struct checkpoint_map *out, struct problem *why) {
    struct search s = {.names = n, .g = g, .out = out};
    *out = (struct checkpoint_map){0};
    if (!search_init(&s, names, n_names, a, why))
        return false;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].role == TENSOR_PARAMETER && !place(&s, t, why))
            return false;
    for (unsigned i = 0; i < n_names; i++)
        if (!s.list[i].used && !is_leftover(&s, s.list[i].name))
            out->strangers[out->n_strangers++] = s.list[i].entry;
    return true;
}

uint64_t checkpoint_names_row(const struct checkpoint_slice *s, uint64_t i) {
    return s->first + (s->run ? i / s->run * s->every + i % s->run : i);
}

uint64_t checkpoint_names_index(const struct graph *g, const struct checkpoint_slice *s, uint64_t i) {
    const struct tensor *t = &g->tensors[s->tensor];
    const uint64_t row = t->elements / (s->is_expert ? t->shape[0] : 1) / s->rows;
    const uint64_t at = checkpoint_names_row(s, i / row), within = i % row;
    if (s->layout == CHECKPOINT_TRANSPOSED)
        return within * s->shape[1] + at;
    if (s->layout == CHECKPOINT_CHANNELS_FIRST) {
        const uint64_t channels = t->shape[t->rank - 1], area = row / channels;
        return at * row + within % channels * area + within / channels;
    }
    return at * row + within;
}
