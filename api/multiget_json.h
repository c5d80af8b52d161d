/*
 * The body of a multiget:
 *
 *     {"keys":["a","b"],"values":false,"encoding":"utf8","snapshot":"..."}
 *
 * "keys" must be there, the rest may be left out. Judged whole at once, its
 * keys counted; they are decoded one by one when they are asked for, from where
 * they stand in the text.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef API_MULTIGET_JSON_H
#define API_MULTIGET_JSON_H

#include "api/context.h"
#include "api/json_reader.h"
#include "api/problem.h"

struct api_multiget_json {
    struct api_json_reader keys; /* before the next key; borrows the text */
    uint64_t key_count;          /* of all */
    uint64_t taken;              /* of them */
    bool with_values;
    enum api_encoding encoding;
    bool has_snapshot;
    struct api_json_string snapshot; /* what is said to be its id */
};

/*
 * False: problem says what is wrong (malformed, too-large for more keys than
 * limits->range_items_max), with index where it is a key.
 */
LDB_MUST_CHECK bool api_multiget_json_parse(const struct api_limits *limits,
                                            struct ldb_slice text,
                                            struct api_multiget_json *out,
                                            struct api_problem *problem);

/*
 * The next key, taken < key_count; it lies in the text or in room until the
 * next is taken. False: problem says why not (bad-key, too-large, overloaded).
 */
LDB_MUST_CHECK bool api_multiget_json_next(struct api_multiget_json *get,
                                           const struct api_limits *limits,
                                           struct ldb_buf *room,
                                           struct ldb_slice *out,
                                           struct api_problem *problem);

#endif
