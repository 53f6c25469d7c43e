/* http_tls.c - certificate and key of HTTPS, checked before anything is served: the library would only say that it
 * cannot start. Each handshake is given the pair that was read last, so that a new one needs no restart. */
#include "server/http_private.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define CHAIN_MAX      16u

/* A certificate with those that signed it, and its key. Read-only once it is served; sessions use it as long as they
 * last, so it stays until the front closes. */
struct http_tls_pair {
    struct http_tls_pair *older;
    char *certificate; /* as it was read */
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n_chain;
    gnutls_privkey_t key;
};

struct texts {
    char *certificate, *key; /* PEM */
};

/* What is served: the library's callback is told nothing that leads to a front, so there is one that has TLS. */
static struct http_tls_pair *_Atomic serving;

/* The whole of a file as a text; NULL with a problem that names the flag. */
static char *file_text(const char *flag, const char *name, struct problem *why) {
    FILE *file = fopen(name, "re");
    char *text = file ? calloc(1, FILE_BYTES_MAX + 1) : NULL;
    size_t n = text ? fread(text, 1, FILE_BYTES_MAX + 1, file) : 0;
    bool good = text && !ferror(file) && n > 0 && n <= FILE_BYTES_MAX;
    if (!good)
        problem_set(why, PROBLEM_IO, "", "%s: cannot read %.200s: %s", flag, name,
                    errno ? strerror(errno) : "it is empty, or larger than 1 MiB");
    if (file)
        fclose(file);
    char *fitting = good ? realloc(text, n + 1) : NULL;
    if (!fitting)
        free(text);
    return fitting;
}

static gnutls_datum_t datum(char *text) {
    return (gnutls_datum_t){(unsigned char *)text, (unsigned)strlen(text)};
}

static bool texts_check(const struct texts *texts, struct problem *why) {
    gnutls_datum_t certificate = datum(texts->certificate), key = datum(texts->key);
    gnutls_x509_crt_t *chain = NULL;
    unsigned n = 0;
    gnutls_x509_privkey_t private_key = NULL;
    gnutls_certificate_credentials_t both = NULL;
    int code = gnutls_x509_crt_list_import2(&chain, &n, &certificate, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        problem_set(why, PROBLEM_MALFORMED, "", "--tls-cert: is no PEM certificate: %s", gnutls_strerror(code));
    for (unsigned i = 0; i < n && code >= 0; i++)
        gnutls_x509_crt_deinit(chain[i]);
    if (code >= 0)
        gnutls_free(chain);
    if (code >= 0 && (code = gnutls_x509_privkey_init(&private_key)) >= 0 &&
        (code = gnutls_x509_privkey_import2(private_key, &key, GNUTLS_X509_FMT_PEM, NULL, 0)) < 0)
        problem_set(why, PROBLEM_MALFORMED, "", "--tls-key: is no PEM key without a password: %s",
                    gnutls_strerror(code));
    if (code >= 0 && (code = gnutls_certificate_allocate_credentials(&both)) >= 0 &&
        (code = gnutls_certificate_set_x509_key_mem(both, &certificate, &key, GNUTLS_X509_FMT_PEM)) < 0)
        problem_set(why, PROBLEM_STATE, "", "--tls-key: is not the key of the certificate of --tls-cert: %s",
                    gnutls_strerror(code));
    gnutls_x509_privkey_deinit(private_key);
    if (both)
        gnutls_certificate_free_credentials(both);
    return code >= 0 || problem_set(why, PROBLEM_MEMORY, "", "--tls-cert: %s", gnutls_strerror(code));
}

static void texts_free(struct texts *texts) {
    if (texts->key)
        explicit_bzero(texts->key, strlen(texts->key));
    free(texts->certificate);
    free(texts->key);
}

static void pair_free(struct http_tls_pair *pair) {
    for (unsigned i = 0; i < pair->n_chain; i++)
        gnutls_pcert_deinit(&pair->chain[i]);
    gnutls_privkey_deinit(pair->key);
    free(pair->certificate);
    free(pair);
}

static struct http_tls_pair *pair_new(const struct texts *texts, struct problem *why) {
    const gnutls_datum_t certificate = datum(texts->certificate), key = datum(texts->key);
    struct http_tls_pair *pair = calloc(1, sizeof *pair);
    unsigned n = CHAIN_MAX;
    int code = pair ? gnutls_pcert_list_import_x509_raw(pair->chain, &n, &certificate, GNUTLS_X509_FMT_PEM,
                                                        GNUTLS_X509_CRT_LIST_SORT)
                    : GNUTLS_E_MEMORY_ERROR;
    if (code >= 0) {
        pair->n_chain = n;
        code = gnutls_privkey_init(&pair->key);
    }
    if (code >= 0)
        code = gnutls_privkey_import_x509_raw(pair->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code >= 0)
        return pair;
    problem_set(why, PROBLEM_MALFORMED, "", "--tls-cert: %s (a chain has at most %u certificates)",
                gnutls_strerror(code), CHAIN_MAX);
    if (pair)
        pair_free(pair);
    return NULL;
}

/* The pair that handshakes are given from now on. */
static bool pair_serve(struct http *http, struct problem *why) {
    struct texts texts = {0};
    errno = 0;
    const bool good = (texts.certificate = file_text("--tls-cert", http->options.tls_certificate, why)) &&
                      (texts.key = file_text("--tls-key", http->options.tls_key, why)) && texts_check(&texts, why);
    const bool known = good && http->tls && strcmp(http->tls->certificate, texts.certificate) == 0;
    struct http_tls_pair *pair = good && !known ? pair_new(&texts, why) : NULL;
    if (pair) {
        pair->certificate = texts.certificate;
        texts.certificate = NULL;
        pair->older = http->tls;
        serving = pair;
        http->tls = pair;
    }
    texts_free(&texts);
    return known || pair;
}

bool http_tls_open(struct http *http, struct problem *why) {
    const char *certificate = http->options.tls_certificate, *key = http->options.tls_key;
    const bool has_certificate = certificate && *certificate, has_key = key && *key;
    if (has_certificate != has_key)
        return problem_set(why, PROBLEM_MISSING_FIELD, "", "%s is needed too",
                           has_key ? "--tls-key is given: --tls-cert" : "--tls-cert is given: --tls-key");
    return !has_certificate || pair_serve(http, why);
}

bool http_tls_reread(struct http *http, struct problem *why) {
    return pair_serve(http, why);
}

int http_tls_find(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
                  const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **chain, unsigned *n_chain,
                  gnutls_privkey_t *key) {
    struct http_tls_pair *pair = serving;
    (void)session, (void)authorities, (void)n_authorities, (void)algorithms, (void)n_algorithms;
    *chain = pair->chain;
    *n_chain = pair->n_chain;
    *key = pair->key;
    return 0;
}

void http_tls_close(struct http *http) {
    while (http->tls) {
        struct http_tls_pair *pair = http->tls;
        http->tls = pair->older;
        pair_free(pair);
    }
}
