/*
 * leveld/digests: digests of files that do not change any more, so that they
 * need not be read again after a restart (digest_index.h). A cache: losing it
 * costs time alone.
 *
 * A line each: "table NUMBER BYTES HEX32" or "journal NUMBER BYTES HEX32".
 *
 * Thread-safety: functions of their arguments; one writer.
 */
#ifndef REPLICATION_DIGEST_STORE_H
#define REPLICATION_DIGEST_STORE_H

#include "storage/base/digest.h"
#include "storage/version/file_names.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_DIGESTS_FILE    "digests"
#define REPL_DIGESTS_VERSION 1

/* Digests that are stored at most, those of the highest numbers. Chosen: as
 * many tables as a checkpoint may have; their file fits its limit. */
#define REPL_DIGESTS_STORED_MAX ((size_t)100000)

/* A file by its name and its bytes. */
struct repl_digest_file {
    enum ldb_file_type type; /* LDB_FILE_JOURNAL, LDB_FILE_TABLE, which stands
                                for LDB_FILE_TABLE_SST too */
    uint64_t number;
    /* A table: all of it. A journal: its sealed length; of what may lie behind
     * it in the file nothing counts. */
    uint64_t size;
};

struct repl_digest_record {
    struct repl_digest_file file;
    struct ldb_digest digest;
};

struct repl_digest_list {
    struct repl_digest_record *items; /* owned */
    size_t count;
};

/* A zeroed list is fine. */
void repl_digest_list_release(struct repl_digest_list *list);

/*
 * Fills a zeroed list. A file that is not there or is damaged is an empty one.
 * Errors: NOT_SUPPORTED: a newer format; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_digest_store_load(struct ldb_env *env, const char *dir,
                       struct ldb_error *err, struct repl_digest_list *out);

/*
 * Moves those whose file is neither in the folder nor in its archive behind the
 * others; *out_gone: how many. Errors: IO, NO_MEMORY: nothing has moved.
 */
LDB_MUST_CHECK enum ldb_status
repl_digest_store_sort_out(struct ldb_env *env, const char *dir,
                           struct repl_digest_list *list, struct ldb_error *err,
                           size_t *out_gone);

/*
 * Stores the first count of them, which are put in order of their numbers.
 * Durable when OK. Errors: those of repl_sidecar_write().
 */
LDB_MUST_CHECK enum ldb_status
repl_digest_store_save(struct ldb_env *env, const char *dir,
                       struct repl_digest_list *list, size_t count,
                       struct ldb_error *err);

#endif
