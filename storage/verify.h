/*
 * Checks every byte that a database rests on: each block and entry of each
 * table (checksums, order, ranges and sizes against the MANIFEST, the filter
 * has every key), each record of the MANIFEST and of the journals. Nothing is
 * written and no cache is touched.
 *
 * Thread-safety: ldb_verify_db() on any thread, beside anything.
 */
#ifndef STORAGE_VERIFY_H
#define STORAGE_VERIFY_H

#include "storage/include/ldb.h"

enum ldb_finding_kind {
    LDB_FINDING_NOTE,   /* nothing is lost: a torn tail, a file left over */
    LDB_FINDING_DAMAGE, /* data is lost, or the folder cannot be opened */
};

/* What is wrong where. Borrowed until the visit returns. */
struct ldb_finding {
    enum ldb_finding_kind kind;
    const char *file; /* its name in the folder */
    bool has_offset;
    uint64_t offset;
    /* Internal keys: lost is what is above after, at or below until; len 0:
     * not known. */
    struct ldb_slice after;
    struct ldb_slice until;
    const char *message;
    const char *advice; /* what to do */
};

/* Not OK ends the check, which returns it. */
typedef enum ldb_status (*ldb_verify_visit)(void *context,
                                            const struct ldb_finding *finding);

struct ldb_verify_summary {
    uint64_t tables;
    uint64_t blocks;
    uint64_t entries;
    uint64_t table_bytes;
    uint64_t manifest_records;
    uint64_t journals;
    uint64_t journal_records;
    uint64_t damages;
    uint64_t notes;
};

/*
 * Checks the closed database in folder path, with the shared lock held where
 * there is a LOCK. options: env, comparator and filter are used; NULL: the
 * defaults. OK whatever was found.
 *
 * Errors: LOCKED: a writer has it open; NOT_FOUND: no database;
 * INVALID_ARGUMENT: another comparator; IO, NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_verify_folder(const char *path, const struct ldb_options *options,
                  ldb_verify_visit visit, void *context, struct ldb_error *err,
                  struct ldb_verify_summary *out);

/*
 * The same for an open database as it is now; writing goes on. progress may be
 * NULL; it counts bytes of tables. CANCELLED: by it.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_verify_db(struct ldb_db *db, ldb_verify_visit visit, void *context,
              const struct ldb_progress *progress, struct ldb_error *err,
              struct ldb_verify_summary *out);

/*
 * Appends "kind: FILE at OFFSET: message; keys ...; advice" to out, one line
 * without its newline.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_finding_describe(const struct ldb_finding *finding, struct ldb_buf *out);

#endif
