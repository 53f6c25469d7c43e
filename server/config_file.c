/* config_file.c - the INI file of --config, read by libinih. The keys are the flags without "--"; a key nobody knows, a
 * key that is given twice and a line that is too long refuse, with file and line. */
#include "server/config_private.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define SECTION "rematd" /* may head the settings; there is no other */

struct ini_file {
    const char *name;
    FILE *file;
    char *line;
    size_t room;
    unsigned number; /* of the line that was read last */
    enum config_command command;
    struct config *config;
    bool given[CONFIG_ROWS_MAX];
    bool good;
    struct problem *why;
};

static bool refuse(struct ini_file *f, enum problem_kind kind, const char *text, const char *what) {
    f->good = problem_set(f->why, kind, "", "%.180s:%u: '%.80s' %s", f->name, f->number, text, what);
    return false;
}

/* As fgets, for the library, which asks for one line at a time and would take the rest of a long one for the next. */
static char *line_read(char *to, int room, void *stream) {
    struct ini_file *f = stream;
    if (!f->good || getline(&f->line, &f->room, f->file) < 0)
        return NULL;
    f->number++;
    size_t length = strlen(f->line);
    if (length >= (size_t)room) {
        refuse(f, PROBLEM_LIMIT, f->line, "is too long a line; a flag or variable takes longer values");
        return NULL;
    }
    memcpy(to, f->line, length + 1);
    return to;
}

/* The library's word for a pair: 1 to go on. A line that begins with a space continues a value for it, and comes here
 * as the same key again. */
static int pair_take(void *user, const char *section, const char *key, const char *value) {
    struct ini_file *f = user;
    if (!f->good)
        return 0;
    if (*section && strcmp(section, SECTION) != 0)
        return refuse(f, PROBLEM_UNKNOWN_FIELD, section, "is not a section; [" SECTION "] is, and may be left out");
    const struct row *row = config_row_find(key, strlen(key), CONFIG_SERVE | CONFIG_WORK);
    if (!row || row->kind == ROW_FILE || !row->variable)
        return refuse(f, PROBLEM_UNKNOWN_FIELD, key, "is not a setting");
    if (f->given[row - config_table])
        return refuse(f, PROBLEM_MALFORMED, key, "is given twice, or its value goes on here");
    f->given[row - config_table] = true;
    if (!(row->commands & f->command))
        return 1; /* of the other command; both may read one file */
    struct setting setting = {.text = value};
    snprintf(setting.source, sizeof setting.source, "%.180s:%u", f->name, f->number);
    f->good = config_apply(row, &setting, f->config, f->why);
    return f->good;
}

bool config_file_read(const char *name, enum config_command command, struct config *config, struct problem *why) {
    struct ini_file f = {.name = name, .command = command, .config = config, .good = true, .why = why};
    f.file = fopen(name, "re");
    if (!f.file)
        return problem_set(why, PROBLEM_IO, "", "--config: cannot open %.200s: %s", name, strerror(errno));
    int bad = ini_parse_stream(line_read, &f, pair_take, &f);
    if (f.good && ferror(f.file))
        f.good = problem_set(why, PROBLEM_IO, "", "--config: cannot read %.200s", name);
    if (f.good && bad != 0)
        f.good = problem_set(why, PROBLEM_MALFORMED, "", "%.180s:%d: is not of the form  key = value", name, bad);
    free(f.line);
    fclose(f.file);
    return f.good;
}
