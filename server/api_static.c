/* api_static.c - see api_static.h. */
#include "server/api_static.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "server/plan_cache.h"

#define FILES_MAX   32u
#define GZIP_WINDOW (15 + 16) /* zlib's word for a gzip wrapper */
#define GZIP_LEVEL  9
#define GZIP_MEMORY 9

struct file {
    const char *body;
    char *gzip; /* NULL: not compressed, for it would be no smaller */
    size_t bytes, gzip_bytes;
    char tag[PLAN_TAG_SIZE], gzip_tag[PLAN_TAG_SIZE + 8];
};

static struct file files[FILES_MAX];
static unsigned n_files;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Without memory for it, it goes out as it is. */
static void file_compress(struct file *file) {
    z_stream z = {0};
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    char *to = malloc(file->bytes);
    z.next_in = (Bytef *)(uintptr_t)file->body;
    z.avail_in = (uInt)file->bytes;
    z.next_out = (Bytef *)to;
    z.avail_out = (uInt)file->bytes;
    bool smaller = to && deflate(&z, Z_FINISH) == Z_STREAM_END;
    file->gzip_bytes = z.total_out;
    deflateEnd(&z);
    file->gzip = smaller ? to : NULL;
    if (!smaller)
        free(to);
}

/* NULL: there are too many. */
static const struct file *file_find(const char *body, size_t bytes) {
    struct file *file = NULL;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < n_files && !file; i++)
        if (files[i].body == body && files[i].bytes == bytes)
            file = &files[i];
    if (!file && n_files < FILES_MAX) {
        file = &files[n_files++];
        file->body = body;
        file->bytes = bytes;
        plan_answer_tag(file->tag, body, bytes);
        memcpy(file->gzip_tag, file->tag, sizeof file->tag);
        strcpy(strrchr(file->gzip_tag, '"'), "-gzip\"");
        file_compress(file);
    }
    pthread_mutex_unlock(&lock);
    return file;
}

/* Whether a coding of "gzip;q=0.5, *;q=0" is named, and wanted; -1: it is not named. */
static int is_wanted(const char *list, const char *coding) {
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        size_t item = strcspn(at, ","), name = strcspn(at, ",; \t");
        if (name == strlen(coding) && strncasecmp(at, coding, name) == 0) {
            const char *weight = memmem(at, item, "q=", 2);
            return !weight || strtod(weight + 2, NULL) > 0;
        }
        at += item;
    }
    return -1;
}

static bool takes_gzip(const struct request *request) {
    const char *list = request_header(request, "Accept-Encoding");
    int gzip = list ? is_wanted(list, "gzip") : 0;
    return gzip < 0 ? is_wanted(list, "*") > 0 : gzip > 0;
}

bool api_static_answer(const struct request *request, struct response *response, const char *type, const char *body,
                       size_t bytes, struct problem *why) {
    const struct file *file = file_find(body, bytes);
    const char *known = request_header(request, "If-None-Match");
    if (!file)
        return problem_set(why, PROBLEM_INTERNAL, "", "more than %u files are answered with", FILES_MAX);
    const bool small = file->gzip && takes_gzip(request);
    const char *tag = small ? file->gzip_tag : file->tag;
    response->content_type = type;
    if (known && (strstr(known, tag) || strcmp(known, "*") == 0)) {
        response->status = 304;
    } else {
        response->body = small ? file->gzip : file->body;
        response->body_bytes = small ? file->gzip_bytes : file->bytes;
        if (small && !response_header(response, "Content-Encoding", "gzip"))
            return false;
    }
    return response_header(response, "ETag", tag) && response_header(response, "Vary", "Accept-Encoding") &&
           response_header(response, "Cache-Control", "no-cache");
}
