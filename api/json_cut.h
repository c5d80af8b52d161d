/*
 * JSON cut into its values as they stand in the text, without making anything
 * of them: what reads long documents piece by piece, each through jansson, so
 * that memory is bounded by a piece. What is inside a value is not judged.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef API_JSON_CUT_H
#define API_JSON_CUT_H

#include "storage/base/reader.h"

/* The next byte that is no blank, not taken; 0 at the end. */
uint8_t api_json_peek(struct ldb_reader *r);

/* Takes c, blanks before it allowed; false: something else is next. */
LDB_MUST_CHECK bool api_json_take(struct ldb_reader *r, uint8_t c);

/* Takes one value; false: it is cut short, or there is none. */
LDB_MUST_CHECK bool api_json_take_value(struct ldb_reader *r,
                                        struct ldb_slice *out);

struct api_json_member {
    const char *name;       /* set by the caller; plain ASCII */
    struct ldb_slice value; /* len 0: not there */
};

/*
 * Cuts an object into its members; others than those named, and one twice,
 * are errors. False: why and at which byte.
 */
LDB_MUST_CHECK bool api_json_cut(struct ldb_slice text,
                                 struct api_json_member *members, size_t count,
                                 size_t *out_at, const char **out_why);

#endif
