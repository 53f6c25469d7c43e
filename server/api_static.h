/* api_static.h - answers that never change: sent with an ETag, and gzipped to who takes that. */
#ifndef REMATD_SERVER_API_STATIC_H
#define REMATD_SERVER_API_STATIC_H

#include "server/route.h"

/* body[bytes] stays as it is for ever. It is compressed once, when it is first asked for. Adds ETag, Vary,
 * Cache-Control and where it fits Content-Encoding; 304 for an If-None-Match that knows it. Any thread. */
PROBLEM_MUST_CHECK bool api_static_answer(const struct request *request, struct response *response, const char *type,
                                          const char *body, size_t bytes, struct problem *why);

#endif
