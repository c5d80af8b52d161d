/*
 * What of a file is asked for by a GET or HEAD: its entity tag, If-None-Match
 * (RFC 9110 section 13.1.2), and one range (14.2) of a GET, with If-Range.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_FILE_PART_H
#define API_FILE_PART_H

#include "api/exchange.h"

struct api_file_part {
    unsigned status; /* 200, or 206 */
    uint64_t start;
    uint64_t len;
};

/* Of a file whose name means the same bytes for ever, as far as they go: name
 * and length, in quotes, in the arena. NULL: no memory. */
const char *api_file_tag(struct api_exchange *x, const char *name,
                         uint64_t len);

/* Whether the client has it: 304. tag: NULL: it has none. */
bool api_file_is_unchanged(struct api_exchange *x, const char *tag);

/* 416, with the bytes that there are. */
void api_file_answer_outside(struct api_exchange *x, uint64_t len);

/*
 * The range that Range asks for of a file of len bytes, with Content-Range
 * added to the answer; all of it where there is none, or one of a file that has
 * changed since (If-Range). False: answered 416, or 503.
 */
LDB_MUST_CHECK bool api_file_part_find(struct api_exchange *x, const char *tag,
                                       uint64_t len, struct api_file_part *out);

#endif
