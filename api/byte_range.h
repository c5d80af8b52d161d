/*
 * One byte range of a Range header (RFC 9110 section 14.1.2). Other units,
 * several ranges and what does not parse count as none, as the section lets a
 * server do: the whole is then the answer.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef API_BYTE_RANGE_H
#define API_BYTE_RANGE_H

#include "storage/include/ldb.h"

enum api_byte_range {
    API_RANGE_WHOLE, /* none, or one to ignore */
    API_RANGE_PART,
    API_RANGE_OUTSIDE, /* nothing of it is there: 416 */
};

/* Of a representation of total bytes. PART: *out_len, at least 1, bytes from
 * *out_start on. */
enum api_byte_range api_byte_range_parse(struct ldb_slice text, uint64_t total,
                                         uint64_t *out_start,
                                         uint64_t *out_len);

#endif
