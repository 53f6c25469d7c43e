/* rematctl_completion.c - `rematctl completion SHELL`: a script for the shell, from the tables of commands and options.
 * In bash:  eval "$(rematctl completion bash)" */
#include "clients/c/rematctl.h"

#include <string.h>

/* "a b c", of commands or (with two dashes) options; taking: only of options that take a value. */
static void names_put(bool options, bool taking) {
    const char *name, *before = "", *summary = "";
    bool takes;
    for (size_t i = 0; (name = options ? rematctl_option_name(i, &takes) : rematctl_command_name(i, &summary)); i++) {
        if (!*name || (taking && !takes))
            continue;
        printf("%s%s%s", before, options ? "--" : "", name);
        before = " ";
    }
}

/* Words after the command are files, or names of jobs that nobody can guess. */
static void bash_put(void) {
    fputs("# bash completion for rematctl\n"
          "_rematctl() {\n"
          "  local word=${COMP_WORDS[COMP_CWORD]} commands options taking i seen=\n"
          "  commands='",
          stdout);
    names_put(false, false);
    fputs("'\n  options='", stdout);
    names_put(true, false);
    fputs("'\n  taking=' ", stdout);
    names_put(true, true);
    fputs(" -o -O '\n"
          "  COMPREPLY=()\n"
          "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "    if [[ $taking == *\" ${COMP_WORDS[i]} \"* ]]; then\n"
          "      ((++i == COMP_CWORD)) && return\n"
          "    elif [[ ${COMP_WORDS[i]} != -* ]]; then\n"
          "      seen=1\n"
          "    fi\n"
          "  done\n"
          "  if [[ $word == -* ]]; then\n"
          "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "  elif [[ -z $seen ]]; then\n"
          "    COMPREPLY=($(compgen -W \"$commands\" -- \"$word\"))\n"
          "  fi\n"
          "}\n"
          "complete -o default -F _rematctl rematctl\n",
          stdout);
}

/* In single quotes, with what the shell's own grammar gives a meaning to behind a backslash. */
static void quoted_put(const char *text, const char *special) {
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            printf("%s%c", strchr(special, *text) ? "\\" : "", *text);
}

static void zsh_put(void) {
    const char *name, *summary, *last = "";
    bool takes;
    fputs("#compdef rematctl\n_rematctl() {\n  local -a commands=(\n", stdout);
    for (size_t i = 0; (name = rematctl_command_name(i, &summary)); last = name, i++)
        if (strcmp(name, last) != 0) {
            printf("    '%s:", name);
            quoted_put(summary, ":");
            fputs("'\n", stdout);
        }
    fputs("  )\n  _arguments", stdout);
    for (size_t i = 0; (name = rematctl_option_name(i, &takes)); i++)
        if (*name)
            printf(" \\\n    '--%s%s'", name, takes ? ":value:_files" : "");
    fputs(" \\\n    '1:command:{_describe command commands}' '*:file:_files'\n}\n"
          "if [ \"$funcstack[1]\" = _rematctl ]; then _rematctl \"$@\"; else compdef _rematctl rematctl; fi\n",
          stdout);
}

static void fish_put(void) {
    const char *name, *summary, *last = "";
    bool takes;
    puts("# fish completion for rematctl");
    for (size_t i = 0; (name = rematctl_command_name(i, &summary)); last = name, i++)
        if (strcmp(name, last) != 0) {
            printf("complete -c rematctl -n __fish_use_subcommand -a %s -d '", name);
            quoted_put(summary, "\\");
            puts("'");
        }
    for (size_t i = 0; (name = rematctl_option_name(i, &takes)); i++)
        if (*name)
            printf("complete -c rematctl -l %s%s\n", name, takes ? " -r" : "");
}

int rematctl_completion(const struct rematctl *ctl) {
    static const struct {
        const char *shell;
        void (*put)(void);
    } shells[] = {{"bash", bash_put}, {"zsh", zsh_put}, {"fish", fish_put}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shells[i].shell, ctl->words[0]) == 0)
            return shells[i].put(), EXIT_DONE;
    fprintf(stderr, "rematctl: completion is for bash, zsh or fish, not %s\n", ctl->words[0]);
    return EXIT_USAGE;
}
