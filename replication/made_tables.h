/*
 * Tables that lie in a twin's folder, verified, for edits that are not
 * installed yet.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_MADE_TABLES_H
#define REPLICATION_MADE_TABLES_H

#include "storage/twin.h"

/* A zeroed one is empty. */
struct repl_made_tables {
    struct repl_made_table {
        uint64_t number;
        uint64_t size;
    } * items; /* owned; by number */
    size_t count;
    size_t capacity;
    /* An install of some has failed, and a crash may find it done: what its
     * MANIFEST names must not go. Until another install. */
    bool may_be_named;
};

void repl_made_tables_release(struct repl_made_tables *made);

/* One of that number may be there already. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_made_tables_add(struct repl_made_tables *made, uint64_t number,
                     uint64_t size, struct ldb_error *err);

/* Of any size. */
bool repl_made_tables_has_number(const struct repl_made_tables *made,
                                 uint64_t number);
/* Of that size too. */
bool repl_made_tables_has(const struct repl_made_tables *made, uint64_t number,
                          uint64_t size);

/* It is in a version now, or has to be made again. */
void repl_made_tables_forget(struct repl_made_tables *made, uint64_t number);

/* Nobody needs those that are left: removes their files, and empties the list.
 * One that cannot be removed, or is in a version, stays on the disk, and all do
 * when they may be named; the twin's next open rids it of what is in none. */
void repl_made_tables_discard(struct repl_made_tables *made, struct ldb_db *db);

#endif
