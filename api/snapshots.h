/*
 * Named views of this node, for clients that read in several requests. Each
 * has a random id and a time to live, which every use renews, up to a largest
 * age. They live in memory: a restart ends them all.
 *
 * Thread-safety: any thread. An entry that is in use stays until it is
 * released, also when it expires or is dropped meanwhile.
 */
#ifndef API_SNAPSHOTS_H
#define API_SNAPSHOTS_H

#include "storage/base/env.h"
#include "storage/include/ldb.h"

struct api_snapshots; /* all of them */
struct api_snapshot;  /* one, in use */

#define API_SNAPSHOT_TTL_US     (UINT64_C(60) * 1000000)
#define API_SNAPSHOT_TTL_MAX_US (UINT64_C(3600) * 1000000)
#define API_SNAPSHOT_AGE_MAX_US (UINT64_C(24) * 3600 * 1000000)

/* Random, so that nobody comes upon another client's. */
#define API_SNAPSHOT_ID_BYTES 16
struct api_snapshot_id {
    uint8_t bytes[API_SNAPSHOT_ID_BYTES];
};

/* As text: two hex digits a byte, and a NUL. */
#define API_SNAPSHOT_ID_SIZE (2 * API_SNAPSHOT_ID_BYTES + 1)
void api_snapshot_id_text(const struct api_snapshot_id *id,
                          char out[API_SNAPSHOT_ID_SIZE]);
LDB_MUST_CHECK bool api_snapshot_id_parse(struct ldb_slice text,
                                          struct api_snapshot_id *out);

/* What a client is told of one. */
struct api_snapshot_info {
    struct api_snapshot_id id;
    ldb_sequence sequence;
    uint64_t expires_us; /* wall clock, since 1970; when it is not used */
};

/* db (NULL: none yet) and env are borrowed. NULL: no memory. */
LDB_MUST_CHECK struct api_snapshots *api_snapshots_create(struct ldb_db *db,
                                                          struct ldb_env *env);

/* Another one, borrowed; there is no snapshot. */
void api_snapshots_set_db(struct api_snapshots *all, struct ldb_db *db);

/* Drops all; none is in use. NULL is fine. */
void api_snapshots_destroy(struct api_snapshots *all);

/*
 * A view of now. ttl_us: 1 to API_SNAPSHOT_TTL_MAX_US.
 *
 * Errors: STALLED: there are max already; NO_MEMORY; IO (random numbers).
 */
LDB_MUST_CHECK enum ldb_status
api_snapshots_take(struct api_snapshots *all, size_t max, uint64_t ttl_us,
                   struct ldb_error *err, struct api_snapshot_info *out);

/*
 * Renews the one of that id: for ttl_us, or with 0 for what it was asked for
 * before. False: it is gone.
 */
LDB_MUST_CHECK bool api_snapshots_renew(struct api_snapshots *all,
                                        const struct api_snapshot_id *id,
                                        uint64_t ttl_us,
                                        struct api_snapshot_info *out);

/* False: it is gone already. */
LDB_MUST_CHECK bool api_snapshots_drop(struct api_snapshots *all,
                                       const struct api_snapshot_id *id);
void api_snapshots_drop_all(struct api_snapshots *all);

/* Drops those whose time is over; a few times a second. */
void api_snapshots_expire(struct api_snapshots *all);

/* Renews and returns the one of that id, to be released; NULL: it is gone. */
struct api_snapshot *api_snapshots_use(struct api_snapshots *all,
                                       const struct api_snapshot_id *id);
void api_snapshots_release(struct api_snapshots *all,
                           struct api_snapshot *snapshot);
/* The view; the caller's until release. */
const struct ldb_snapshot *
api_snapshot_view(const struct api_snapshot *snapshot);

/*
 * Up to max of them into out, those that expire first before the others;
 * returns how many.
 */
size_t api_snapshots_list(struct api_snapshots *all,
                          struct api_snapshot_info *out, size_t max);

/* Alive now. */
size_t api_snapshots_count(struct api_snapshots *all);

#endif
