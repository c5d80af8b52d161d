/*
 * Digests of the files that do not change any more: tables, and sealed
 * journals wherever they lie. Kept in memory, and in leveld/digests over
 * restarts. They are found out by reading the files, on a thread of the index's
 * own, or told by who has just done so.
 *
 * A file is named by its type, its number and its bytes. It is given here once
 * its name can mean nothing else any more: a table that a durable version
 * names, a journal that is sealed. What is remembered of other bytes is as
 * good as nothing, and of a file that is gone it is forgotten.
 *
 * Thread-safety: any thread, but for open and close. mu guards all; done is
 * called under it.
 */
#ifndef REPLICATION_DIGEST_INDEX_H
#define REPLICATION_DIGEST_INDEX_H

#include "replication/digest_store.h"

struct repl_digest_index;

/* Somebody who waits for a digest. Zeroed at first, the upper half set. */
struct repl_digest_ask {
    struct repl_digest_file file;
    /*
     * Called once: s is OK, and digest set; or it is not, and err says why:
     * NOT_FOUND: the file is gone; CORRUPTION: it has other bytes than size
     * says; IO; NO_MEMORY; CLOSED: the index closes.
     * Must not block, nor call the index; ask may be freed in it.
     */
    void (*done)(struct repl_digest_ask *ask, enum ldb_status s,
                 const struct ldb_digest *digest, const struct ldb_error *err);
    void *context;

    struct repl_digest_ask *next; /* the index's own */
};

/*
 * Reads what is stored for the database in dir and starts the thread. DIR and
 * DIR/leveld are there. Damage of the stored digests is no error: they are
 * found out again.
 *
 * Errors: NOT_SUPPORTED: a newer format; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_digest_index_open(struct ldb_env *env, const char *dir,
                       struct ldb_error *err, struct repl_digest_index **out);

/*
 * Ends the thread, soon, in the middle of a file too; who waits gets CLOSED;
 * stores what is known. NULL is fine. Errors: what storing failed with: those
 * digests have to be found out again.
 */
LDB_MUST_CHECK enum ldb_status
repl_digest_index_close(struct repl_digest_index *index, struct ldb_error *err);

/* True: *out is its digest. False: it is not known; nothing is done about it.
 */
LDB_MUST_CHECK bool repl_digest_index_get(struct repl_digest_index *index,
                                          const struct repl_digest_file *file,
                                          struct ldb_digest *out);

/*
 * It is to be found out, when nothing more urgent is to be done; known already
 * is fine. False: no memory for that.
 */
bool repl_digest_index_want(struct repl_digest_index *index,
                            const struct repl_digest_file *file);

/*
 * OK: known, *out is the digest of ask->file, and ask is the caller's.
 * STALLED: it is found out as soon as can be, and ask->done called, maybe
 * before this returns. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_digest_index_ask(struct repl_digest_index *index,
                      struct repl_digest_ask *ask, struct ldb_error *err,
                      struct ldb_digest *out);

/* Somebody has read or written the file, and says so: a follower that built or
 * fetched it, once it is installed. False: no memory to remember it. */
bool repl_digest_index_put(struct repl_digest_index *index,
                           const struct repl_digest_file *file,
                           const struct ldb_digest *digest);

/* The file goes, or went; whoever waits for it gets NOT_FOUND. Not known is
 * fine. Files that go untold are noticed too, later. */
void repl_digest_index_drop(struct repl_digest_index *index,
                            enum ldb_file_type type, uint64_t number);

struct repl_digest_index_figures {
    uint64_t known;
    uint64_t wanted;     /* waiting to be read, or being read */
    uint64_t files_read; /* since open, as are the rest */
    uint64_t bytes_read;
    uint64_t failures; /* files that could not be read, but for those gone */
    uint64_t store_failures; /* of leveld/digests */
};
void repl_digest_index_figures(struct repl_digest_index *index,
                               struct repl_digest_index_figures *out);

#endif
