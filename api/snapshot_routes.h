/*
 * /v1/snapshots and /v1/snapshots/{id}, and how the other resources come by
 * the snapshot that a request names.
 *
 * Functions that take x and return bool answer a problem when they return
 * false. Thread-safety: the exchange's loop.
 */
#ifndef API_SNAPSHOT_ROUTES_H
#define API_SNAPSHOT_ROUTES_H

#include "api/params.h"
#include "api/snapshots.h"

void api_snapshot_body_begin(struct api_exchange *x); /* of both POSTs */
void api_snapshot_take_finish(struct api_exchange *x);
void api_snapshot_list_finish(struct api_exchange *x);
void api_snapshot_renew_finish(struct api_exchange *x);
void api_snapshot_drop_finish(struct api_exchange *x);

/* Which snapshot a request reads from. */
struct api_snapshot_choice {
    bool is_given; /* false: now */
    struct api_snapshot_id id;
};

/* The text of an id; false: answered 400. */
LDB_MUST_CHECK bool api_snapshot_choose(struct api_exchange *x,
                                        struct ldb_slice text,
                                        struct api_snapshot_choice *out);

/* snapshot= of the query; *out is untouched when it was not sent. */
LDB_MUST_CHECK bool api_snapshot_param(struct api_exchange *x,
                                       const struct api_params *params,
                                       struct api_snapshot_choice *out);

/*
 * Takes the snapshot into use, to be released with api_snapshots_release();
 * *out is NULL when none is given. False: answered 410 expired.
 */
LDB_MUST_CHECK bool api_snapshot_open(struct api_exchange *x,
                                      const struct api_snapshot_choice *choice,
                                      struct api_snapshot **out);

/* Its view, or NULL for NULL. */
const struct ldb_snapshot *
api_snapshot_view_or_now(const struct api_snapshot *snapshot);

#endif
