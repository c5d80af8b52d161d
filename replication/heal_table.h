/*
 * Puts a whole copy of a damaged table in its place, from another node that has
 * it, while the database serves. One table, step by step:
 *
 *     repl_heal_look     is it damaged, and what should it be?
 *     repl_heal_from     another node's copy, when it is sound, takes its place
 *     repl_heal_release
 *
 * A copy takes the place only when its size is the version's, its digest is the
 * one that the table had (where that is known, else that which the other node
 * tells), every block and entry of it can be read, and its first and last entry
 * are the version's. The damaged file gets a second name in lost/ before. So at
 * any moment, and after a crash at any, the table's name has the damaged bytes
 * or the right ones.
 *
 * Thread-safety: functions of their arguments; one caller a folder, and none
 * while the folder is rebuilt (twin_build.h), which uses leveld/incoming too.
 */
#ifndef REPLICATION_HEAL_TABLE_H
#define REPLICATION_HEAL_TABLE_H

#include "replication/file_fetch.h"
#include "replication/held_version.h"
#include "replication/scrub_file.h"
#include "replication/table_check.h"

struct repl_digest_index;

struct repl_heal_table {
    struct ldb_env *env; /* borrowed, as is the rest */
    const char *dir;
    struct ldb_db *db;
    struct repl_digest_index *digests;
    const struct ldb_comparator *comparator;
    const atomic_bool *is_cancelled; /* relaxed */
    struct repl_fetch_counts *counts;
};

enum repl_heal_found {
    REPL_HEAL_SOUND, /* nothing is wrong with the file */
    REPL_HEAL_GONE,  /* no version names it any more */
    REPL_HEAL_DAMAGED,
};

/* A damaged table, held by its version: its name is not used otherwise. */
struct repl_damaged_table {
    struct repl_held_version held;
    uint64_t number;
    struct repl_table_meta meta; /* the version's */
    struct repl_scrub_verdict verdict;
};

/*
 * Reads the table. DAMAGED: *out is to be released; else it is zeroed. Of one
 * that is SOUND the engine opens the file anew: what it has open may be another
 * one. Errors: CANCELLED, NO_MEMORY, IO.
 */
LDB_MUST_CHECK enum ldb_status
repl_heal_look(const struct repl_heal_table *heal, uint64_t number,
               struct ldb_error *err, enum repl_heal_found *out_found,
               struct repl_damaged_table *out);
/* Zeroed is fine. */
void repl_heal_release(struct repl_damaged_table *damaged);

/*
 * OK: the copy of the node behind the transport is in the table's place,
 * durably, and reads find it.
 *
 * Errors, after which nothing has changed but that the damaged file may have
 * its second name already:
 *   NOT_FOUND    that node does not have it
 *   CORRUPTION   its copy is damaged, too, or is another table
 *   STALLED      it does not know the digest yet
 *   CANCELLED, IO, NO_SPACE, NO_MEMORY
 */
LDB_MUST_CHECK enum ldb_status
repl_heal_from(const struct repl_heal_table *heal,
               const struct repl_damaged_table *damaged,
               struct repl_transport *transport, struct ldb_error *err);

#endif
