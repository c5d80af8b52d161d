/*
 * The journals of an open database as other nodes are told of them: oldest
 * first, each following on the one before, with what of them is durable.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_JOURNAL_LIST_H
#define REPLICATION_JOURNAL_LIST_H

#include "replication/protocol.h"

/* The newest, where there are more: what is beyond is too far behind for any
 * follower that compares. Chosen; a document has room for them. */
#define REPL_JOURNALS_LISTED_MAX 16384

struct repl_digest_index;

struct repl_journal_list {
    struct repl_journal_entry *entries; /* owned (ldb_mem) */
    size_t count;
    /* As the lengths have it: in one of them, the open one's as far. */
    struct ldb_position durable;
};

/*
 * Those from number on into a zeroed *out. digests (NULL: none): entries have
 * theirs as far as they are known, and the others are asked for.
 *
 * Errors: READ_ONLY: the database keeps no list of its journals; STALLED: it is
 * being reopened; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_journal_list_take(struct ldb_db *db, struct repl_digest_index *digests,
                       uint64_t number, struct ldb_error *err,
                       struct repl_journal_list *out);
/* Zeroed is fine. */
void repl_journal_list_release(struct repl_journal_list *list);

#endif
