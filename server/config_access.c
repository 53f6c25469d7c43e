/* config_access.c - who may ask, as the settings say it together: tokens, rate and origins depend on the address. */
#include "server/config.h"

#include <stdlib.h>
#include <string.h>

#define RATE_AUTO "500:1000"
#define RATE_MAX  1000000u

static bool number_parse(const char *text, uint64_t *value) {
    size_t length = strlen(text);
    *value = length > 0 && length < 9 && strspn(text, "0123456789") == length ? strtoull(text, NULL, 10) : RATE_MAX + 1;
    return *value <= RATE_MAX;
}

/* What --rate comes to: N requests a second, and BURST (2 N) of them at once after a pause. */
static bool rate_settle(struct config *config, struct problem *why) {
    bool is_auto = strcmp(config->rate, "auto") == 0, is_ours = !*config->tokens && config_is_loopback(config->address);
    char text[40], *burst;
    snprintf(text, sizeof text, "%.39s", !is_auto ? config->rate : is_ours ? "0" : RATE_AUTO);
    if ((burst = strchr(text, ':')))
        *burst++ = '\0';
    bool good = number_parse(text, &config->rate_per_second);
    config->rate_burst = 2 * config->rate_per_second;
    if (good && burst)
        good = number_parse(burst, &config->rate_burst) && config->rate_burst > 0 && config->rate_per_second > 0;
    return good || problem_set(why, PROBLEM_MALFORMED, "",
                               "--rate: '%.60s' is not N or N:BURST, each up to %u, 0 or auto", config->rate, RATE_MAX);
}

/* An origin as browsers send it: https://host or https://host:port, nothing behind. */
static bool origin_check(const char *origin, size_t length, struct problem *why) {
    size_t scheme = strncmp(origin, "https://", 8) == 0 ? 8 : strncmp(origin, "http://", 7) == 0 ? 7 : 0;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-:[]_";
    if (scheme && length > scheme && scheme + strspn(origin + scheme, letters) >= length)
        return true;
    return problem_set(
        why, PROBLEM_MALFORMED, "",
        "--allowed-origins: '%.*s' is not http:// or https://, a host in small letters and at most a port",
        (int)(length < 80 ? length : 80), origin);
}

bool config_access(struct config *config, struct problem *why) {
    if (!config_is_loopback(config->address) && !config->insecure && !*config->tokens)
        return problem_set(
            why, PROBLEM_STATE, "",
            "--listen %s: other machines reach this address and there are no tokens (--tokens); if that is meant, add "
            "--insecure or REMATD_INSECURE=1",
            config->address);
    for (const char *at = config->origins + strspn(config->origins, ", "); *at; at += strspn(at, ", ")) {
        size_t length = strcspn(at, ", ");
        if (!origin_check(at, length, why))
            return false;
        at += length;
    }
    return rate_settle(config, why);
}
