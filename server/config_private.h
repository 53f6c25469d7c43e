/* config_private.h - what the config*.c files share; nobody else includes it. */
#ifndef REMATD_SERVER_CONFIG_PRIVATE_H
#define REMATD_SERVER_CONFIG_PRIVATE_H

#include "server/config.h"

/* ROW_CHOICE: one of the words of value ("info|warning|error"); its number is stored. */
enum row_kind { ROW_FLAG, ROW_COUNT, ROW_BYTES, ROW_TEXT, ROW_CHOICE, ROW_LISTEN, ROW_FILE };

struct row {
    const char *flag, *variable, *value; /* variable NULL: none. value: what follows the flag, for --help */
    enum row_kind kind;
    unsigned commands;
    size_t offset; /* in struct config */
    const char *fallback;
    uint64_t least, most;
    const char *help;
};

extern const struct row config_table[];
extern const size_t config_table_length;

/* What a row is to be set to, and who said so. */
struct setting {
    const char *text;
    char source[CONFIG_SOURCE_BYTES];
};

/* Reads the text into the row's field. Problems name the source. */
PROBLEM_MUST_CHECK bool config_apply(const struct row *row, const struct setting *setting, struct config *config,
                                     struct problem *why);
/* name: the flag without "--". NULL: none of these commands has such a row. */
const struct row *config_row_find(const char *name, size_t length, unsigned commands);

/* Applies an INI file line by line: its texts need not outlive it. config_file.c. */
PROBLEM_MUST_CHECK bool config_file_read(const char *name, enum config_command command, struct config *config,
                                         struct problem *why);

#endif
