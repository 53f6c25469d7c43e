/* rematctl.c - the command: rematd from a shell. One row per command and per exit code; --help prints both tables. */
#include "clients/c/rematctl.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const struct command {
    const char *name, *words, *summary;
    int least, most; /* words */
    rematctl_command *run;
} commands[] = {
    {"savings", "SEQ_LEN D_MODEL LAYERS", "what checkpointing saves [--heads N] [--batch N]", 3, 3, rematctl_savings},
    {"plan", "MODEL|CONFIG", "whether a training step fits --seq-len N [--batch --strategy --device --budget ...]", 1,
     1, rematctl_plan},
    {"capacity", "MODEL|CONFIG", "the largest that fits --find seq_len|batch|layers, and the options of plan", 1, 1,
     rematctl_capacity},
    {"train", "[MODEL|CONFIG]", "train, and watch --seq-len N --text FILE --steps N [--strategy auto --budget ...]", 0,
     1, rematctl_train},
    {"explain", "FILE", "plan a job without running it, step by step", 1, 1, rematctl_explain},
    {"submit", "FILE", "queue a job [--wait] [--timeout SECONDS] [--key K]", 1, 1, rematctl_submit},
    {"jobs", "", "list jobs, newest first [--state S] [--kind K] [--page-size N] [--page-token T]", 0, 0,
     rematctl_jobs},
    {"job", "ID", "show one job", 1, 1, rematctl_job},
    {"wait", "ID", "wait for a job to end [--timeout SECONDS]", 1, 1, rematctl_wait},
    {"events", "ID", "what happens to a job, line by line, until it has ended [--last-event-id N]", 1, 1,
     rematctl_events},
    {"cancel", "ID", "cancel a queued or running job", 1, 1, rematctl_cancel},
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

enum option_id {
    OPTION_WAIT = 256,
    OPTION_TIMEOUT,
    OPTION_LAST_EVENT_ID,
    OPTION_KEY,
    OPTION_STATE,
    OPTION_KIND,
    OPTION_PAGE_SIZE,
    OPTION_PAGE_TOKEN,
    OPTION_NPY,
    OPTION_HEADS,
    OPTION_BATCH,
    OPTION_SERVER,
    OPTION_SEQ_LEN,
    OPTION_ACCUMULATE,
    OPTION_DTYPE,
    OPTION_ATTENTION,
    OPTION_DROPOUT,
    OPTION_OPTIMIZER,
    OPTION_STRATEGY,
    OPTION_BUDGET,
    OPTION_DEVICE,
    OPTION_FIND,
    OPTION_EXPLAIN,
    OPTION_MODEL,
    OPTION_TEXT,
    OPTION_WEIGHTS,
    OPTION_COMPARE,
    OPTION_SEED,
    OPTION_RATE,
    OPTION_CLIP,
    OPTION_STEPS
};

static const struct option options[] = {
    {"server", required_argument, NULL, OPTION_SERVER},
    {"wait", no_argument, NULL, OPTION_WAIT},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"last-event-id", required_argument, NULL, OPTION_LAST_EVENT_ID},
    {"key", required_argument, NULL, OPTION_KEY},
    {"state", required_argument, NULL, OPTION_STATE},
    {"kind", required_argument, NULL, OPTION_KIND},
    {"page-size", required_argument, NULL, OPTION_PAGE_SIZE},
    {"page-token", required_argument, NULL, OPTION_PAGE_TOKEN},
    {"npy", no_argument, NULL, OPTION_NPY},
    {"heads", required_argument, NULL, OPTION_HEADS},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"seq-len", required_argument, NULL, OPTION_SEQ_LEN},
    {"accumulate", required_argument, NULL, OPTION_ACCUMULATE},
    {"dtype", required_argument, NULL, OPTION_DTYPE},
    {"attention", required_argument, NULL, OPTION_ATTENTION},
    {"dropout", required_argument, NULL, OPTION_DROPOUT},
    {"optimizer", required_argument, NULL, OPTION_OPTIMIZER},
    {"strategy", required_argument, NULL, OPTION_STRATEGY},
    {"budget", required_argument, NULL, OPTION_BUDGET},
    {"device", required_argument, NULL, OPTION_DEVICE},
    {"find", required_argument, NULL, OPTION_FIND},
    {"explain", no_argument, NULL, OPTION_EXPLAIN},
    {"model", required_argument, NULL, OPTION_MODEL},
    {"text", required_argument, NULL, OPTION_TEXT},
    {"weights", required_argument, NULL, OPTION_WEIGHTS},
    {"compare-with", required_argument, NULL, OPTION_COMPARE},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"learning-rate", required_argument, NULL, OPTION_RATE},
    {"clip-norm", required_argument, NULL, OPTION_CLIP},
    {"steps", required_argument, NULL, OPTION_STEPS},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void help(void) {
    printf("rematctl - rematd from a shell\n\n"
           "  rematctl [--server URL] [-o table|json] COMMAND\n\n"
           "The daemon is --server, else $REMATD_URL, else " REMATC_DEFAULT_URL ". FILE may be - for standard input\n"
           "(or output). Tables are for people; programs read -o json.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %-23s %s\n", commands[i].name, commands[i].words, commands[i].summary);
    printf("\nOptions of plan, capacity and train:\n"
           "  --seq-len N --batch N --accumulate N (batches a step) --dtype float32|bfloat16|float16 --attention "
           "standard|flash --dropout P\n"
           "  --optimizer NAME --strategy NAME|JSON --budget BYTES|80GiB\n"
           "Of plan and capacity alone: --device NAME --explain (in words: where the peak is, what to drop next, what "
           "would "
           "fit)\n"
           "Options of train beside them:\n"
           "  --text FILE (its bytes are the tokens; without it they are drawn) --weights FILE.safetensors --steps N\n"
           "  --seed N --learning-rate X --clip-norm X --compare-with STRATEGY\n");
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

/* Where a numeric option goes; NULL for others. */
static unsigned *number_of(struct rematctl *ctl, int id) {
    return id == OPTION_TIMEOUT         ? &ctl->timeout_seconds
           : id == OPTION_LAST_EVENT_ID ? &ctl->last_event_id
           : id == OPTION_PAGE_SIZE     ? &ctl->page_size
           : id == OPTION_HEADS         ? &ctl->heads
           : id == OPTION_BATCH         ? &ctl->batch
           : id == OPTION_SEQ_LEN       ? &ctl->seq_len
           : id == OPTION_ACCUMULATE    ? &ctl->accumulate
           : id == OPTION_STEPS         ? &ctl->steps
                                        : NULL;
}

/* Where an option's text goes; NULL for others. */
static const char **text_of(struct rematctl *ctl, int id) {
    return id == OPTION_SERVER       ? &ctl->server
           : id == OPTION_KEY        ? &ctl->key
           : id == OPTION_STATE      ? &ctl->state
           : id == OPTION_KIND       ? &ctl->kind
           : id == OPTION_PAGE_TOKEN ? &ctl->page_token
           : id == 'O'               ? &ctl->output
           : id == OPTION_DTYPE      ? &ctl->dtype
           : id == OPTION_ATTENTION  ? &ctl->attention
           : id == OPTION_DROPOUT    ? &ctl->dropout
           : id == OPTION_OPTIMIZER  ? &ctl->optimizer
           : id == OPTION_STRATEGY   ? &ctl->strategy
           : id == OPTION_BUDGET     ? &ctl->budget
           : id == OPTION_DEVICE     ? &ctl->device
           : id == OPTION_FIND       ? &ctl->find
           : id == OPTION_MODEL      ? &ctl->model
           : id == OPTION_TEXT       ? &ctl->text
           : id == OPTION_WEIGHTS    ? &ctl->weights
           : id == OPTION_COMPARE    ? &ctl->compare
           : id == OPTION_SEED       ? &ctl->seed
           : id == OPTION_RATE       ? &ctl->rate
           : id == OPTION_CLIP       ? &ctl->clip
                                     : NULL;
}

/* Reads the options; -1 to go on, else the exit code. */
static int options_read(struct rematctl *ctl, int argc, char **argv) {
    int id;
    while ((id = getopt_long(argc, argv, "o:O:h", options, NULL)) != -1) {
        unsigned *at_number = number_of(ctl, id);
        const char **at_text = text_of(ctl, id);
        if (id == 'h') {
            help();
            return EXIT_DONE;
        }
        if (id == OPTION_WAIT)
            ctl->wait = true;
        else if (id == OPTION_NPY)
            ctl->npy = true;
        else if (id == OPTION_EXPLAIN)
            ctl->explain = true;
        else if (id == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "table") == 0))
            ctl->json = optarg[0] == 'j';
        else if (id == 'o')
            return usage("-o is table or json, not", optarg);
        else if (at_text)
            *at_text = optarg;
        else if (at_number && !(*at_number = number(optarg)))
            return usage("a number from 1 to 1000000000 is needed, not", optarg);
        else if (!at_number)
            return usage("see the options", NULL); /* getopt has said which */
    }
    return -1;
}

static const struct command *command_find(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
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
    ctl.client = rematc_new(ctl.server, &why);
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
