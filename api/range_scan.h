/*
 * What a range request asks for, and a cursor that walks it: bounds from
 * start, end, prefix and a page's cursor, in either direction.
 *
 * A page's cursor is opaque to clients: base64url of one byte (the direction,
 * and whether a snapshot follows), the id of the snapshot the page was read
 * from, and the page's last key. Without a snapshot two pages are two reads.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef API_RANGE_SCAN_H
#define API_RANGE_SCAN_H

#include "api/params.h"
#include "api/snapshot_routes.h"

struct api_range_query {
    struct ldb_slice lower; /* inclusive */
    bool has_upper;
    struct ldb_slice upper; /* exclusive */
    bool has_prefix;
    struct ldb_slice prefix;
    bool is_reverse;
    bool with_values;
    enum api_encoding encoding;
    bool has_limit;
    uint64_t limit;
    struct api_snapshot_choice snapshot; /* of the query or the cursor */
};

/*
 * Parses x's query; what it points to lies in x's arena. is_page: limit= is
 * held to the page's maximum. False: answered 400, 413 or 503.
 */
LDB_MUST_CHECK bool api_range_query_parse(struct api_exchange *x, bool is_page,
                                          struct api_range_query *out);

/*
 * start, end, prefix and enc of a request's parameters into the bounds and the
 * prefix of query, the rest of which is left as it is. False: answered 400,
 * 413 or 503.
 */
LDB_MUST_CHECK bool api_range_bounds_parse(struct api_exchange *x,
                                           const struct api_params *params,
                                           struct api_range_query *query);

/* An open walk. */
struct api_range_scan {
    struct ldb_cursor *cursor; /* holds to the range by itself */
    bool is_reverse;
};

/*
 * Pins the view (snapshot's, or with NULL that of now; query->snapshot is not
 * looked at) and goes to the first entry. What query points to is copied.
 * Errors: the engine's.
 */
LDB_MUST_CHECK enum ldb_status
api_range_scan_open(struct ldb_db *db, const struct api_range_query *query,
                    const struct ldb_snapshot *snapshot, bool skip_cache,
                    struct ldb_error *err, struct api_range_scan *out);
void api_range_scan_close(struct api_range_scan *scan);

/* Whether the cursor is on an entry of the range. */
bool api_range_scan_valid(const struct api_range_scan *scan);
/* Valid on entry. */
void api_range_scan_next(struct api_range_scan *scan);

/* Appends the cursor text that goes on after last_key. */
LDB_MUST_CHECK enum ldb_status
api_range_cursor_write(bool is_reverse,
                       const struct api_snapshot_choice *snapshot,
                       struct ldb_slice last_key, struct ldb_buf *out);

#endif
