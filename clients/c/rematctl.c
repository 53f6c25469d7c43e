/* rematctl.c - the command: rematd from a shell. One row per command and per exit code; --help prints both tables. */
#include "clients/c/rematctl.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct command {
    const char *name, *words, *summary;
    int least, most; /* words */
    rematctl_command *run;
} commands[] = {
    {"savings", "SEQ_LEN D_MODEL LAYERS", "what checkpointing saves [--heads N] [--batch N]", 3, 3, rematctl_savings},
    {"plan", "MODEL|CONFIG", "whether a training step fits --seq-len N [--batch --strategy --device --budget ...]", 0,
     1, rematctl_plan},
    {"plan", "--graph|--chain FILE", "the same of anything that is computed in steps [--budget --strategy ...]", 0, 1,
     rematctl_plan},
    {"frontier", "MODEL|CONFIG", "memory against recomputation --seq-len N [--points N --svg FILE ...]", 0, 1,
     rematctl_frontier},
    {"capacity", "MODEL|CONFIG", "the largest that fits --find seq_len|batch|layers, and the options of plan", 1, 1,
     rematctl_capacity},
    {"train", "[MODEL|CONFIG]", "train, and watch --seq-len N --text FILE --steps N [--strategy auto --budget ...]", 0,
     1, rematctl_train},
    {"calibrate", "", "measure this machine: what the device host is [--seconds N (10)] [--tokens N (512)]", 0, 0,
     rematctl_calibrate},
    {"explain", "FILE", "plan a job without running it, step by step", 1, 1, rematctl_explain},
    {"submit", "FILE",
     "queue a job [--wait] [--timeout SECONDS] [--key K] [--label KEY:VALUE]... [--job-timeout SECONDS]"
     " [--queue-timeout SECONDS]",
     1, 1, rematctl_submit},
    {"jobs", "",
     "list jobs, newest first [--state S] [--kind K] [--label KEY:VALUE]... [--page-size N] [--page-token T]", 0, 0,
     rematctl_jobs},
    {"job", "ID", "show one job", 1, 1, rematctl_job},
    {"wait", "ID", "wait for a job to end [--timeout SECONDS]", 1, 1, rematctl_wait},
    {"events", "[ID...]",
     "what happens to jobs, line by line, until they have ended [--label KEY:VALUE] [--last-event-id N]", 0, 40,
     rematctl_events},
    {"cancel", "ID", "cancel a queued or running job", 1, 1, rematctl_cancel},
    {"retry", "ID", "run one that failed or was cancelled again, as a new job", 1, 1, rematctl_retry},
    {"delete", "ID", "remove a finished job and its files", 1, 1, rematctl_delete},
    {"fetch", "ID [NAME]", "write its tensors, or one, to a file [-O FILE] [--npy]", 1, 2, rematctl_fetch},
    {"upload", "FILE", "send a safetensors or npy file", 1, 1, rematctl_upload},
    {"models", "", "list the models plan knows by name", 0, 0, rematctl_table},
    {"devices", "", "list the devices", 0, 0, rematctl_table},
    {"strategies", "", "list the strategies", 0, 0, rematctl_table},
    {"kernels", "", "list the kernels", 0, 0, rematctl_table},
    {"version", "", "which rematd answers", 0, 0, rematctl_table},
    {"health", "", "whether the daemon is alive and takes work", 0, 0, rematctl_health},
    {"get", "FILE POINTER...", "print fields of a JSON file, by JSON Pointer, with tabs between", 2, 64, rematctl_get},
    {"completion", "bash|zsh|fish", "print what completes rematctl's words in a shell", 1, 1, rematctl_completion},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static const char *const exit_texts[] = {
    "done",
    "the job failed or was cancelled",
    "wrong usage",
    "the daemon cannot be reached",
    "the daemon refused the request (4xx)",
    "the daemon cannot do it now (5xx): try again",
    "a local file cannot be read or written, or an answer makes no sense",
    "the job has not ended in time; it goes on",
};
_Static_assert(sizeof exit_texts / sizeof exit_texts[0] == EXIT_KINDS, "one text per exit code");

static const enum rematctl_exit exit_of_kind[] = {
    EXIT_DONE, EXIT_UNREACHABLE, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_LOCAL /* garbled */, EXIT_LOCAL, EXIT_TIMEOUT};
_Static_assert(sizeof exit_of_kind / sizeof exit_of_kind[0] == REMATC_TIMEOUT + 1, "one exit code per kind of error");

/* Every option: what it takes, and the field of struct rematctl that gets it. */
enum option_takes { TAKES_NOTHING, TAKES_NUMBER, TAKES_TEXT, TAKES_FORMAT, TAKES_LABEL, TAKES_HELP };
#define FIELD(NAME) offsetof(struct rematctl, NAME)
static const struct option_row {
    const char *name; /* NULL: it has its letter alone */
    enum option_takes takes;
    size_t field;
    char letter; /* 0: it has none */
} option_rows[] = {
    {"server", TAKES_TEXT, FIELD(server), 0},
    {"ca-file", TAKES_TEXT, FIELD(ca_file), 0},
    {"token-file", TAKES_TEXT, FIELD(token_file), 0},
    {"output", TAKES_FORMAT, FIELD(json), 'o'},
    {NULL, TAKES_TEXT, FIELD(output), 'O'},
    {"help", TAKES_HELP, 0, 'h'},
    {"wait", TAKES_NOTHING, FIELD(wait), 0},
    {"timeout", TAKES_NUMBER, FIELD(timeout_seconds), 0},
    {"job-timeout", TAKES_NUMBER, FIELD(job_timeout_seconds), 0},
    {"queue-timeout", TAKES_NUMBER, FIELD(queue_timeout_seconds), 0},
    {"label", TAKES_LABEL, 0, 0},
    {"last-event-id", TAKES_NUMBER, FIELD(last_event_id), 0},
    {"key", TAKES_TEXT, FIELD(key), 0},
    {"state", TAKES_TEXT, FIELD(state), 0},
    {"kind", TAKES_TEXT, FIELD(kind), 0},
    {"page-size", TAKES_NUMBER, FIELD(page_size), 0},
    {"page-token", TAKES_TEXT, FIELD(page_token), 0},
    {"npy", TAKES_NOTHING, FIELD(npy), 0},
    {"heads", TAKES_NUMBER, FIELD(heads), 0},
    {"batch", TAKES_NUMBER, FIELD(batch), 0},
    {"seq-len", TAKES_NUMBER, FIELD(seq_len), 0},
    {"accumulate", TAKES_NUMBER, FIELD(accumulate), 0},
    {"dtype", TAKES_TEXT, FIELD(dtype), 0},
    {"attention", TAKES_TEXT, FIELD(attention), 0},
    {"dropout", TAKES_TEXT, FIELD(dropout), 0},
    {"optimizer", TAKES_TEXT, FIELD(optimizer), 0},
    {"strategy", TAKES_TEXT, FIELD(strategy), 0},
    {"objective", TAKES_TEXT, FIELD(objective), 0},
    {"time-limit", TAKES_TEXT, FIELD(time_limit), 0},
    {"reorder", TAKES_NOTHING, FIELD(reorder), 0},
    {"budget", TAKES_TEXT, FIELD(budget), 0},
    {"device", TAKES_TEXT, FIELD(device), 0},
    {"find", TAKES_TEXT, FIELD(find), 0},
    {"explain", TAKES_NOTHING, FIELD(explain), 0},
    {"graph", TAKES_TEXT, FIELD(graph), 0},
    {"chain", TAKES_TEXT, FIELD(chain), 0},
    {"points", TAKES_NUMBER, FIELD(points), 0},
    {"svg", TAKES_TEXT, FIELD(svg), 0},
    {"model", TAKES_TEXT, FIELD(model), 0},
    {"text", TAKES_TEXT, FIELD(text), 0},
    {"weights", TAKES_TEXT, FIELD(weights), 0},
    {"compare-with", TAKES_TEXT, FIELD(compare), 0},
    {"seed", TAKES_TEXT, FIELD(seed), 0},
    {"learning-rate", TAKES_TEXT, FIELD(rate), 0},
    {"clip-norm", TAKES_TEXT, FIELD(clip), 0},
    {"steps", TAKES_NUMBER, FIELD(steps), 0},
    {"seconds", TAKES_NUMBER, FIELD(seconds), 0},
    {"tokens", TAKES_NUMBER, FIELD(tokens), 0},
};
#define N_OPTIONS    (sizeof option_rows / sizeof option_rows[0])
#define OPTION_FIRST 256 /* row i is OPTION_FIRST + i, beyond every letter */

const char *rematctl_command_name(size_t i, const char **summary) {
    *summary = i < N_COMMANDS ? commands[i].summary : NULL;
    return i < N_COMMANDS ? commands[i].name : NULL;
}

const char *rematctl_option_name(size_t i, bool *takes) {
    *takes = i < N_OPTIONS && option_rows[i].takes != TAKES_NOTHING && option_rows[i].takes != TAKES_HELP;
    return i == N_OPTIONS ? NULL : option_rows[i].name ? option_rows[i].name : "";
}

static void help(void) {
    printf("rematctl - rematd from a shell\n\n"
           "  rematctl [--server URL|unix:/path] [--token-file FILE] [--ca-file FILE] [-o table|json] COMMAND\n\n"
           "The daemon is --server, else $REMATD_URL, else " REMATC_DEFAULT_URL ". The token, where it wants one,\n"
           "is the first line of --token-file, else $REMATD_TOKEN. Of https:// what is in --ca-file or $REMATD_CA_FILE "
           "is\n"
           "trusted, else what the system trusts. FILE may be - for standard input (or output).\n"
           "Tables are for people; programs read -o json.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %-23s %s\n", commands[i].name, commands[i].words, commands[i].summary);
    puts("\nOptions of plan, frontier, capacity and train:\n"
         "  --seq-len N --batch N --accumulate N (batches a step) --dtype float32|bfloat16|float16\n"
         "  --attention standard|flash --dropout P --optimizer NAME\n"
         "  --strategy NAME|JSON, such as every_layer, optimal, '{\"name\": \"every_n\", \"n\": 2}' (not of frontier)\n"
         "  --objective flops|seconds (what optimal makes least) --budget BYTES|80GiB (not of frontier)\n"
         "Of plan, frontier and capacity alone: --device NAME; of plan and capacity --explain (in words: where the "
         "peak\n"
         "is, what to drop next, what would fit)\n"
         "Of plan and frontier alone:\n"
         "  --graph FILE|--chain FILE (in place of a model: docs/protocol.md) --time-limit SECONDS --reorder (of\n"
         "  optimal_dag; beyond 60 s plan is a job that is watched, and Ctrl-C ends it with the best so far)\n"
         "Of frontier alone: --points N (at most so many) --svg FILE (a plot in place of the table)\n"
         "Of train beside them:\n"
         "  --text FILE (its bytes are the tokens; without it they are drawn) --weights FILE.safetensors --steps N\n"
         "  --seed N --learning-rate X --clip-norm X --compare-with STRATEGY");
    printf("\nExit codes:\n");
    for (size_t i = 0; i < EXIT_KINDS; i++)
        printf("  %zu  %s\n", i, exit_texts[i]);
}

static int usage(const char *what, const char *which) {
    fprintf(stderr, "rematctl: %s%s%s (rematctl --help)\n", what, which ? ": " : "", which ? which : "");
    return EXIT_USAGE;
}

int rematctl_fail(const struct rematc_error *why) {
    fprintf(stderr, "rematctl: %s: %s", why->title, why->detail);
    if (why->pointer[0])
        fprintf(stderr, " (at %s)", why->pointer);
    if (why->minimum_budget_bytes)
        fprintf(stderr, "; the least budget that would do is %llu bytes",
                (unsigned long long)why->minimum_budget_bytes);
    fputc('\n', stderr);
    return (int)exit_of_kind[why->kind];
}

/* A whole number from 1 to 10^9; 0 if it is not one. */
static unsigned number(const char *text) {
    char *end;
    unsigned long value = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    return value && !*end && value <= 1000000000UL ? (unsigned)value : 0;
}

/* Puts what one option says where it belongs; -1 to go on, else the exit code. */
static int option_take(struct rematctl *ctl, const struct option_row *row, const char *value) {
    void *field = (char *)ctl + row->field;
    const bool json = value && strcmp(value, "json") == 0;
    unsigned n;
    switch (row->takes) {
    case TAKES_HELP:
        help();
        return EXIT_DONE;
    case TAKES_FORMAT:
        if (!json && strcmp(value, "table") != 0)
            return usage("-o is table or json, not", value);
        *(bool *)field = json;
        return -1;
    case TAKES_NUMBER:
        if (!(n = number(value)))
            return usage("a number from 1 to 1000000000 is needed, not", value);
        *(unsigned *)field = n;
        return -1;
    case TAKES_LABEL:
        if (!strchr(value, ':') || ctl->n_labels == REMATCTL_LABELS_MAX)
            return usage("up to 16 labels KEY:VALUE are possible, not", value);
        ctl->labels[ctl->n_labels++] = value;
        return -1;
    case TAKES_TEXT:
        *(const char **)field = value;
        return -1;
    case TAKES_NOTHING:
        *(bool *)field = true;
        return -1;
    }
    return EXIT_USAGE;
}

/* NULL: getopt has said that there is no such option. */
static const struct option_row *option_of(int id) {
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (id == OPTION_FIRST + (int)i || (option_rows[i].letter && id == option_rows[i].letter))
            return &option_rows[i];
    return NULL;
}

/* Reads the options; -1 to go on, else the exit code. */
static int options_read(struct rematctl *ctl, int argc, char **argv) {
    struct option options[N_OPTIONS + 1] = {0};
    size_t n = 0;
    int id, code = -1;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const bool alone = option_rows[i].takes == TAKES_NOTHING || option_rows[i].takes == TAKES_HELP;
        if (option_rows[i].name)
            options[n++] = (struct option){.name = option_rows[i].name,
                                           .has_arg = alone ? no_argument : required_argument,
                                           .val = OPTION_FIRST + (int)i};
    }
    while (code < 0 && (id = getopt_long(argc, argv, "o:O:h", options, NULL)) != -1) {
        const struct option_row *row = option_of(id);
        code = row ? option_take(ctl, row, optarg) : usage("see the options", NULL);
    }
    return code;
}

static const struct command *command_find(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Into a line of so many bytes. */
static bool token_read(const char *name, char *line, int size, struct rematc_error *why) {
    FILE *file = fopen(name, "r");
    const bool got = file && fgets(line, size, file);
    *why = (struct rematc_error){.kind = REMATC_LOCAL, .title = "Cannot read"};
    snprintf(why->detail, sizeof why->detail, "--token-file %s: %s", name, file ? "has no token" : strerror(errno));
    if (file)
        fclose(file);
    if (got)
        line[strcspn(line, "\r\n")] = '\0';
    return got && line[0];
}

struct rematc *rematctl_client(const struct rematctl *ctl, struct rematc_error *why) {
    char token[1024];
    struct rematc *client = rematc_new(ctl->server, why);
    if (!client || !ctl->token_file)
        return client;
    if (token_read(ctl->token_file, token, sizeof token, why) && rematc_token(client, token, why))
        return client;
    rematc_free(client);
    return NULL;
}

int main(int argc, char **argv) {
    struct rematctl ctl = {0};
    struct rematc_error why = {0};
    const struct command *command;
    int code = options_read(&ctl, argc, argv);
    if (code >= 0)
        return code;
    if (optind == argc)
        return usage("a command is needed", NULL);
    command = command_find(argv[optind]);
    if (!command)
        return usage("no such command", argv[optind]);
    ctl.words = argv + optind + 1;
    ctl.n_words = argc - optind - 1;
    if (ctl.n_words < command->least || ctl.n_words > command->most)
        return usage(command->name, command->words[0] ? command->words : "takes no words");
    if (command->run == rematctl_table) /* its word is its name */
        ctl.words = argv + optind;
    if (ctl.ca_file) /* of every client that is made */
        setenv("REMATD_CA_FILE", ctl.ca_file, 1);
    ctl.client = rematctl_client(&ctl, &why);
    if (!ctl.client)
        return rematctl_fail(&why);
    code = command->run(&ctl);
    rematc_free(ctl.client);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("rematctl: standard output");
        return EXIT_LOCAL;
    }
    return code;
}
