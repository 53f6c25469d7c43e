/* api_static.h - answers that never change: files that are compiled in, sent with an ETag, and gzipped to who takes
 * that. */
#ifndef REMATD_SERVER_API_STATIC_H
#define REMATD_SERVER_API_STATIC_H

#include "server/route.h"

/* SYMBOL_begin up to SYMBOL_end, const char[], are the file as it is when this is compiled, from the root of the
 * sources; a zero follows. */
#define API_STATIC_FILE(SYMBOL, FILE)                                                                                  \
    __asm__(".section .rodata\n"                                                                                       \
            ".global " #SYMBOL "_begin\n" #SYMBOL "_begin:\n"                                                          \
            ".incbin \"" FILE "\"\n"                                                                                   \
            ".global " #SYMBOL "_end\n" #SYMBOL "_end:\n"                                                              \
            ".byte 0\n"                                                                                                \
            ".previous\n");                                                                                            \
    extern const char SYMBOL##_begin[], SYMBOL##_end[]

/* body[bytes] stays as it is for ever. It is compressed once, when it is first asked for. Adds ETag, Vary,
 * Cache-Control and where it fits Content-Encoding; 304 for an If-None-Match that knows it. Any thread. */
PROBLEM_MUST_CHECK bool api_static_answer(const struct request *request, struct response *response, const char *type,
                                          const char *body, size_t bytes, struct problem *why);

#endif
