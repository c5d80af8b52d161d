/*
 * What the files of an open database are at one moment: the version, and how
 * many bytes of MANIFEST and journals belong to it. Private to storage/: for
 * checking and copying a database that runs on.
 *
 * Thread-safety: any thread; the struct belongs to one.
 */
#ifndef STORAGE_PINNED_FILES_H
#define STORAGE_PINNED_FILES_H

#include "storage/db_internal.h"

/* Length of a file that does not change any more: all of it. */
#define LDB_PINNED_WHOLE UINT64_MAX

struct ldb_pinned_journal {
    uint64_t number;
    uint64_t len; /* or LDB_PINNED_WHOLE */
};

struct ldb_pinned_files {
    struct ldb_version *version; /* one reference: its tables stay */
    struct ldb_buf pointers[LDB_LEVEL_COUNT]; /* tag 5; len 0: none */
    uint64_t manifest_number;
    uint64_t manifest_len;
    uint64_t next_file_number;
    /* The oldest journal needed, and the last sequence before it. */
    uint64_t log_number;
    ldb_sequence last_sequence;
    /* Oldest first. Nothing holds these files: one may be gone once its
     * memtable is flushed; then pin again. */
    struct ldb_pinned_journal journals[LDB_IMMUTABLES_MAX + 1];
    size_t journal_count;
    /* A reopening in place has failed: there are journals that are needed, and
     * they are not listed. Not to be copied. */
    bool lacks_journals;
};

/*
 * All of it under one lock. A read-only database's journals are not listed:
 * nobody changes its folder. Release also after a failure. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_pinned_files_take(struct ldb_db *db, struct ldb_error *err,
                      struct ldb_pinned_files *out);
/* READ_ONLY where some are not listed. */
LDB_MUST_CHECK enum ldb_status
ldb_pinned_files_check(const struct ldb_pinned_files *pinned,
                       struct ldb_error *err);
void ldb_pinned_files_release(struct ldb_pinned_files *pinned);

/* The first len bytes of path, as a file of their own. */
LDB_MUST_CHECK enum ldb_status
ldb_pinned_open(struct ldb_env *env, const char *path, uint64_t len,
                struct ldb_error *err, struct ldb_sequential_file **out);

#endif
