/* trace.h - what ties a request to its lines in the log: X-Request-Id, and traceparent (W3C Trace Context). */
#ifndef REMATD_SERVER_TRACE_H
#define REMATD_SERVER_TRACE_H

#include <stdbool.h>

#define TRACE_REQUEST_ID_MAX 128 /* characters of a client's */
#define TRACE_ID_SIZE        33  /* 32 hexadecimal digits and the end: a made id, and a trace's */

/* Whether a client's X-Request-Id is taken: 1 to 128 letters, digits and any of -._:/=+@~ */
bool trace_request_id_valid(const char *text);
/* A new one, of 128 bits: no two of this process are alike, nor, likely, of any two. Any thread. */
void trace_request_id_make(char out[TRACE_ID_SIZE]);

/* The trace's id of a traceparent, strictly as in the recommendation: version 00 has nothing behind its flags, later
 * ones may; zeros, capitals and version ff are none. False: it counts as absent. */
bool trace_parent_read(const char *header, char trace_id[TRACE_ID_SIZE]);

#endif
