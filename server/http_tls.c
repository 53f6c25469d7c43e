/* http_tls.c - certificate and key of HTTPS, checked before anything is served: the library would only say that it
 * cannot start. */
#include "server/http_private.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)

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

static bool pair_check(const struct http_tls *tls, struct problem *why) {
    gnutls_datum_t certificate = datum(tls->certificate), key = datum(tls->key);
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

bool http_tls_read(const struct http_options *options, struct http_tls *tls, struct problem *why) {
    const char *certificate = options->tls_certificate, *key = options->tls_key;
    const bool has_certificate = certificate && *certificate, has_key = key && *key;
    if (has_certificate != has_key)
        return problem_set(why, PROBLEM_MISSING_FIELD, "", "%s is needed too",
                           has_key ? "--tls-key is given: --tls-cert" : "--tls-cert is given: --tls-key");
    if (!has_certificate)
        return true;
    errno = 0;
    return (tls->certificate = file_text("--tls-cert", certificate, why)) &&
           (tls->key = file_text("--tls-key", key, why)) && pair_check(tls, why);
}

void http_tls_free(struct http_tls *tls) {
    if (tls->key)
        explicit_bzero(tls->key, strlen(tls->key));
    free(tls->certificate);
    free(tls->key);
    *tls = (struct http_tls){0};
}
