/* presets.h - well-known models by name. A static table; any thread. */
#ifndef REMATD_MODELS_PRESETS_H
#define REMATD_MODELS_PRESETS_H

#include "engine/models/model.h"

struct preset {
    const char *name;
    struct model model; /* before model_defaults */
    const char *source; /* whose description it is */
};
extern const struct preset presets_table[];
extern const unsigned presets_table_length;
const struct preset *presets_find(const char *name); /* NULL if unknown */

#endif
