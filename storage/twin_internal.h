/*
 * What the files of a twin share (twin.h is its contract; docs/decisions,
 * 0024, has the reasons). Private to storage/.
 *
 * A twin has no thread of its own. Its journals are taken by whoever has the
 * lead, as a leader's are written; its edits by one caller of plans. Its
 * memtables stand where a leader's do: the newest journal's is db->mem, the
 * others wait in db->immutables, one each, until an edit makes them needless.
 */
#ifndef STORAGE_TWIN_INTERNAL_H
#define STORAGE_TWIN_INTERNAL_H

#include "storage/db_internal.h"
#include "storage/journal/journal_feed.h"
#include "storage/twin.h"

static_assert(LDB_TWIN_JOURNALS_MAX == LDB_IMMUTABLES_MAX + 1,
              "a memtable for each journal");

/*
 * Locking. The lead's: feed. Protected by ldb_db.mu: all else; written with the
 * lead too, but for what an edit makes needless in journals.
 */
struct ldb_twin {
    /* Of the newest journal: what came for it and is not yet applied. NULL:
     * there is no journal. */
    struct ldb_journal_feed *feed;
    /* As in ldb_twin_state. db->immutables and db->mem are theirs, in order;
     * with no journal db->mem is an empty one of number 0. */
    struct ldb_twin_journal journals[LDB_TWIN_JOURNALS_MAX];
    size_t journal_count;
    struct ldb_twin_position written;
    struct ldb_twin_position synced;
    struct ldb_twin_position applied;
    uint64_t next_offset;
};

/* Replays into memtables and goes on with MANIFEST and newest journal. Called
 * by open, with the versions recovered or made; nobody else uses db. */
LDB_MUST_CHECK enum ldb_status ldb_twin_recover(struct ldb_db *db,
                                                struct ldb_recovery *recovery,
                                                struct ldb_error *err);

/* A feed for the journal's bytes from offset on. NULL on no memory. */
LDB_MUST_CHECK struct ldb_journal_feed *ldb_twin_make_feed(uint64_t number,
                                                           uint64_t offset);

/*
 * The lead's: begins journal number, empty, with a memtable of its own. Every
 * journal held is sealed, or to go unread. STALLED: no memtable is free.
 */
LDB_MUST_CHECK enum ldb_status ldb_twin_begin_journal(struct ldb_db *db,
                                                      uint64_t number,
                                                      struct ldb_error *err)
    LDB_EXCLUDES(db->mu);

/* The lead's: readers see what was written and is not applied yet. */
LDB_MUST_CHECK enum ldb_status ldb_twin_apply_written(struct ldb_db *db,
                                                      struct ldb_error *err)
    LDB_EXCLUDES(db->mu);

/*
 * Readers come to what was installed, and what that made needless goes:
 * memtables with their journals, tables, a MANIFEST. Takes the lead. NO_MEMORY:
 * the rest comes with the next call.
 */
LDB_MUST_CHECK enum ldb_status ldb_twin_tidy(struct ldb_db *db,
                                             struct ldb_error *err)
    LDB_EXCLUDES(db->mu);

/* NULL on no memory. destroy: NULL is fine. */
LDB_MUST_CHECK struct ldb_twin *ldb_twin_create(void);
void ldb_twin_destroy(struct ldb_twin *twin);

#endif
