/*
 * What a node had written, or taken, that is not in the history which went on:
 * kept in leveld/diverged/ when its folder becomes another leader's twin, until
 * somebody removes it. Each time is a *rewind*, with a number, told in
 * leveld/rewinds; its files are
 *
 *     leveld/diverged/R-NNNNNN.log    a journal of rewind R, as it was
 *     leveld/diverged/R-entries.log   entries that were in tables alone, in the
 *                                     order of their sequences, a batch each
 *     leveld/diverged/R-NNNNNN.ldb    a table, of a folder of which nothing is
 *                                     known (.sst alike)
 *
 * so every file is one that `leveld dump` reads, and both libraries do once it
 * is called NNNNNN.log or NNNNNN.ldb. Entries up to the rewind's fork are the
 * other history's too. A file there is whole, and does not change.
 *
 * Thread-safety: functions of their arguments. What sets aside has one caller
 * at a time; what lists, opens and removes may go on beside it.
 */
#ifndef REPLICATION_DIVERGED_H
#define REPLICATION_DIVERGED_H

#include "storage/base/env.h"
#include "storage/version/file_names.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_REWINDS_FILE    "rewinds"
#define REPL_REWINDS_VERSION 1

#define REPL_DIVERGED_FOLDER LDB_OWN_FOLDER "/diverged"

/* Behind "R-", of the journal of entries. */
#define REPL_DIVERGED_ENTRIES "entries.log"

/* Of a name with its NUL: 20 digits, "-", a file's name. */
#define REPL_DIVERGED_NAME_SIZE (21 + LDB_FILE_NAME_SIZE)

/* Rewinds that are told; chosen: the sidecar's file stays small. */
#define REPL_REWINDS_MAX 1000

struct repl_rewind {
    uint64_t id;           /* from 1 */
    uint64_t epoch_number; /* the last one of what was given up; 0: unknown */
    uint64_t epoch_id;
    ldb_sequence fork; /* up to here both are the same */
    ldb_sequence last; /* the last sequence there was */
    uint64_t wall_us;  /* when */
};

struct repl_diverged_file {
    char name[REPL_DIVERGED_NAME_SIZE];
    uint64_t rewind; /* its id */
    uint64_t bytes;
};

struct repl_diverged {
    struct repl_rewind *rewinds; /* owned; ascending */
    size_t rewind_count;
    struct repl_diverged_file *files; /* owned; by rewind, then name */
    size_t file_count;
    uint64_t bytes; /* of all files */
};

/* ---- setting aside ---- */

/*
 * Makes a rewind known, durably; its id, which is *out_id, is above all that
 * there are. rewind->id is not looked at. DIR/leveld is there.
 *
 * Errors: TOO_LARGE: REPL_REWINDS_MAX of them are there; those of the sidecar's
 * files; IO, NO_SPACE, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_diverged_begin(struct ldb_env *env, const char *dir,
                    const struct repl_rewind *rewind, struct ldb_error *err,
                    uint64_t *out_id);

/*
 * Gives the file path, which does not change any more, a second name among the
 * rewind's: R-name, durably; the first stays. OK too when it was there with the
 * same bytes.
 *
 * Errors: EXISTS: with other bytes: take it for another rewind; NOT_FOUND,
 * NO_SPACE, IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_diverged_take(struct ldb_env *env, const char *dir, uint64_t rewind,
                   const char *path, const char *name, struct ldb_error *err);

/* ---- what is there ---- */

/*
 * All of it, into a zeroed *out; also of a folder without any. A rewind without
 * a file, its last one being removed, is not told.
 *
 * Errors: those of the sidecar's files; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_diverged_list(struct ldb_env *env,
                                                  const char *dir,
                                                  struct ldb_error *err,
                                                  struct repl_diverged *out);
/* A zeroed one is fine. */
void repl_diverged_release(struct repl_diverged *diverged);

/* Of the first file behind name in their order, whether one of that name is
 * there or not. False: none can have that name. */
LDB_MUST_CHECK bool repl_diverged_after(const struct repl_diverged *diverged,
                                        const char *name, size_t *out_index);
/*
 * What a file of that name would be called in a database's folder, by which its
 * kind is told: what stands behind "R-", or of the journal of entries a
 * journal's name; borrowed from name, or static. NULL: no name of such a file.
 */
const char *repl_diverged_plain_name(const char *name);

/* NULL: nothing is known of it. */
const struct repl_rewind *
repl_diverged_rewind(const struct repl_diverged *diverged, uint64_t id);

/*
 * Opens a file for reading by its name, which may come from outside: any that
 * is not one of such a file is NOT_FOUND.
 */
LDB_MUST_CHECK enum ldb_status
repl_diverged_open(struct ldb_env *env, const char *dir, const char *name,
                   struct ldb_error *err, struct ldb_random_file **out,
                   uint64_t *out_size);

/* Removes one, durably: an operator says so. Errors: NOT_FOUND, IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_diverged_remove(struct ldb_env *env,
                                                    const char *dir,
                                                    const char *name,
                                                    struct ldb_error *err);

#endif
