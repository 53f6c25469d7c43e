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
    bool tied;
    uint32_t *layers; /* of the op that reads a tensor; GRAPH_NONE outside every layer */
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

/* ---- one parameter ---- */

/* What row says of the name, or NULL; `suffix` is what of it comes behind the row's stem. */
static const struct checkpoint_row *row_of(const struct search *s, const char *name, const char **suffix) {
    for (size_t list = 0; list < sizeof s->names->rows / sizeof s->names->rows[0] && s->names->rows[list]; list++)
        for (const struct checkpoint_row *row = s->names->rows[list]; row->ours; row++) {
            const size_t stem = strlen(row->ours);
            if ((row->when == CHECKPOINT_TIED && !s->tied) || (row->when == CHECKPOINT_UNTIED && s->tied) ||
                strncmp(row->ours, name, stem) != 0)
                continue;
            *suffix = name + stem;
            if (**suffix == '\0' || strcmp(*suffix, ".weight") == 0 || strcmp(*suffix, ".bias") == 0)
                return row;
        }
    return NULL;
}

/* theirs with the layer, the expert, prefix and suffix put in. */
static void write_name(char *to, const char *prefix, const char *theirs, const char *suffix, uint32_t layer,
                       uint64_t expert) {
    size_t n = theirs[0] == '.' ? (size_t)snprintf(to, NAME_MAX_BYTES, "%s", prefix) : 0;
    for (; *theirs && n + 24 < NAME_MAX_BYTES; theirs++) {
        if (theirs[0] == '%')
            n += (size_t)snprintf(to + n, NAME_MAX_BYTES - n, "%llu",
                                  (unsigned long long)(*++theirs == 'u' ? layer : expert));
        else
            to[n++] = *theirs;
    }
    snprintf(to + n, NAME_MAX_BYTES - n, "%s", suffix);
}

static void shape_slice(struct checkpoint_slice *s, const struct tensor *t, const struct checkpoint_row *row) {
    const unsigned skip = s->is_expert ? 1 : 0, rank = t->rank - skip;
    const uint64_t *own = t->shape + skip, parts = row->parts ? row->parts : 1;
    s->layout = rank > 1 ? row->layout : CHECKPOINT_PLAIN;
    s->rows = own[0];
    s->first = row->part * own[0];
    for (unsigned i = 0; i < row->ones; i++)
        s->shape[s->rank++] = 1;
    for (unsigned i = 0; i < rank; i++)
        s->shape[s->rank++] = i == 0 ? own[0] * parts : own[i];
    if (s->layout == CHECKPOINT_TRANSPOSED) {
        s->shape[0] = own[1];
        s->shape[1] = own[0] * parts;
    }
    if (s->layout == CHECKPOINT_CHANNELS_FIRST)
        for (unsigned i = 1; i < rank; i++)
            s->shape[i] = own[i == 1 ? rank - 1 : i - 1];
}

static bool place(struct search *s, uint32_t tensor, struct problem *why) {
    const struct tensor *t = &s->g->tensors[tensor];
    const char *suffix = "";
    const struct checkpoint_row *row = row_of(s, t->name, &suffix);
    char name[NAME_MAX_BYTES], written[NAME_MAX_BYTES];
    if (!row)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "%s has no known name in files of %s", t->name,
                           s->names->model_type);
    const bool experts = strstr(row->theirs, "%e") != NULL;
    for (uint64_t e = 0; e < (experts ? t->shape[0] : 1); e++) {
        write_name(name, s->names->prefix, row->theirs, suffix, s->layers[tensor], e);
        memcpy(written, name, sizeof written);
        struct listed *found = look_up_any(s, written, row->theirs[0] == '.');
        if (!found)
            return problem_set(why, PROBLEM_NOT_FOUND, "", "%.160s is not there", name);
        found->used = true;
        struct checkpoint_slice *slice = &s->out->slices[s->out->n_slices++];
        *slice = (struct checkpoint_slice){.tensor = tensor, .entry = found->entry, .is_expert = experts, .expert = e};
        shape_slice(slice, t, row);
    }
    return true;
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
        if ((l->when == CHECKPOINT_TIED && !s->tied) || (l->when == CHECKPOINT_UNTIED && s->tied))
            continue;
        if (l->theirs[0] != '.' ? fits(l->theirs, name)
                                : fits(l->theirs + 1, name) || (prefixed && fits(l->theirs, name + prefix)))
            return true;
    }
    return false;
}

/* ---- all of them ---- */

/* The layer of every tensor is that of the last op that reads it: parameters are read in one. */
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
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        const struct tensor *p = &g->tensors[t];
        s->layers[t] = GRAPH_NONE;
        if (p->role != TENSOR_PARAMETER)
            continue;
        slices += p->rank > 1 && strncmp(p->name, "experts.", 8) == 0 ? p->shape[0] : 1;
        s->tied = s->tied && strcmp(p->name, "head.weight") != 0;
    }
    for (uint32_t op = 0; op < g->n_ops; op++)
        for (uint32_t i = 0; i < g->ops[op].n_inputs; i++)
            s->layers[g->ops[op].inputs[i]] = g->ops[op].layer;
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

uint64_t checkpoint_names_index(const struct graph *g, const struct checkpoint_slice *s, uint64_t i) {
    const struct tensor *t = &g->tensors[s->tensor];
    const unsigned skip = s->is_expert ? 1 : 0;
    uint64_t row = t->elements / s->rows;
    if (s->is_expert)
        row /= t->shape[0];
    if (s->layout == CHECKPOINT_TRANSPOSED)
        return i % row * s->shape[1] + s->first + i / row;
    if (s->layout == CHECKPOINT_CHANNELS_FIRST) {
        const uint64_t channels = t->shape[skip + 3], area = row / channels, within = i % row;
        return i / row * row + within % channels * area + within / channels;
    }
    return s->first * row + i;
}
