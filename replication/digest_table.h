/*
 * Files whose digests are known or wanted, in memory: looked up by name and
 * bytes, those wanted in two queues, what somebody waits for before the rest.
 * The inner part of digest_index.h, without its lock, files and thread.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_DIGEST_TABLE_H
#define REPLICATION_DIGEST_TABLE_H

#include "replication/digest_store.h"

struct repl_digest_ask;

enum repl_digest_state {
    REPL_DIGEST_NEW,     /* in no queue */
    REPL_DIGEST_QUEUED,  /* wanted */
    REPL_DIGEST_READING, /* taken off its queue, to be found out */
    REPL_DIGEST_KNOWN,
};

/* Of other bytes under the same name there may be another one. */
struct repl_digest_entry {
    struct repl_digest_file file;
    enum repl_digest_state state;
    struct ldb_digest digest; /* KNOWN */
    struct repl_digest_ask
        *asks;       /* not KNOWN: who waits, the owner's to keep */
    bool is_held;    /* stays in memory when it is removed, until let go of */
    bool is_removed; /* held, and in no table any more */
    bool is_urgent;  /* the table's own, as are the rest */
    struct repl_digest_entry *next_in_bucket;
    struct repl_digest_entry *next_queued;
    struct repl_digest_entry *prev_queued;
};

struct repl_digest_queue {
    struct repl_digest_entry *first;
    struct repl_digest_entry *last;
};

struct repl_digest_table {
    struct repl_digest_entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    size_t known;
    size_t queued;
    struct repl_digest_queue urgent;
    struct repl_digest_queue wanted;
};

/* False: no memory; release is fine then, too. */
LDB_MUST_CHECK bool repl_digest_table_init(struct repl_digest_table *table);
/* Nobody waits for any, and none is held. */
void repl_digest_table_release(struct repl_digest_table *table);

/* NULL: there is none. */
struct repl_digest_entry *
repl_digest_table_find(struct repl_digest_table *table,
                       const struct repl_digest_file *file);
/* One with that name, whatever its bytes; NULL: there is none. */
struct repl_digest_entry *
repl_digest_table_find_name(struct repl_digest_table *table,
                            enum ldb_file_type type, uint64_t number);
/* NEW; there is none like it. NULL: no memory. */
struct repl_digest_entry *
repl_digest_table_add(struct repl_digest_table *table,
                      const struct repl_digest_file *file);

/* NEW or QUEUED: it is the last of its queue now, or stays where it is in the
 * urgent one. */
void repl_digest_table_queue(struct repl_digest_table *table,
                             struct repl_digest_entry *entry, bool is_urgent);
/* The first of the urgent ones, or else of the others, READING from now on.
 * NULL: none is queued. */
struct repl_digest_entry *
repl_digest_table_take(struct repl_digest_table *table);
/* In whatever state: it is KNOWN; nobody waits for it. Those known of other
 * bytes under the same name go: they are of a file that was. */
void repl_digest_table_set(struct repl_digest_table *table,
                           struct repl_digest_entry *entry,
                           const struct ldb_digest *digest);
/* In whatever state; nobody waits for it. Freed, unless it is held. */
void repl_digest_table_remove(struct repl_digest_table *table,
                              struct repl_digest_entry *entry);
/* No more held; freed if it was removed: false then. */
bool repl_digest_table_let_go(struct repl_digest_entry *entry);

/* All entries in turn; after NULL the first. Nothing is added or removed
 * between two calls. NULL: that was the last. */
struct repl_digest_entry *
repl_digest_table_next(struct repl_digest_table *table,
                       const struct repl_digest_entry *after);

#endif
