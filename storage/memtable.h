/*
 * The newest writes, in memory: a sorted list of internal keys over an arena,
 * with an index into it (memtable_index.h). Multi-version: nothing is
 * overwritten.
 *
 * Inserting has two steps so that nothing can fail once the journal has the
 * write: prepare() copies an entry into the arena and may fail; link() makes
 * it visible and cannot.
 *
 * Locking: constant after creation: comparator, head. Atomics: refs; index and
 * the next pointers (release by link, acquire by readers); memory and count
 * figures (relaxed). The linking thread's: path to index_lacks. One thread at a
 * time prepares and links; readers take no lock and see each entry whole or not
 * at all. journal_number, first_sequence and last_sequence are written by the
 * commit's leader before the table is sealed and read after (both under
 * ldb_db's mu).
 */
#ifndef STORAGE_MEMTABLE_H
#define STORAGE_MEMTABLE_H

#include "storage/memtable_index.h"
#include "storage/table/iterator.h"

/* An entry; its key and value follow it in the arena. */
struct ldb_memtable_node;

struct ldb_memtable {
    _Atomic(uint32_t) refs;
    const struct ldb_comparator *comparator;
    struct ldb_arena arena;
    struct ldb_memtable_node *head; /* before the first */
    _Atomic(struct ldb_memtable_index *) index;
    struct ldb_memtable_path path; /* to the node linked last, if known */
    struct ldb_memtable_node *linked_last;
    uint64_t vague_hints; /* since the prefix was looked at; see link() */
    uint64_t look_at;     /* the entry count to look at it again */
    bool index_lacks;     /* entries, for want of memory */
    _Atomic(uint64_t) entry_count; /* relaxed */
    uint64_t journal_number;       /* the journal that holds its entries */
    ldb_sequence last_sequence;    /* last handed out when it was sealed */
};

/* Empty, one reference. */
LDB_MUST_CHECK enum ldb_status
ldb_memtable_create(const struct ldb_comparator *comparator,
                    uint64_t journal_number, struct ldb_error *err,
                    struct ldb_memtable **out);
struct ldb_memtable *ldb_memtable_ref(struct ldb_memtable *table);
/* NULL is fine. Any thread; no cursor of it lives at the last one. */
void ldb_memtable_unref(struct ldb_memtable *table);

/*
 * Copies key and value into a node that no reader sees yet; NULL on no memory
 * (also for a key or value of 4 GiB). The node may stay unlinked for ever.
 */
LDB_MUST_CHECK struct ldb_memtable_node *
ldb_memtable_prepare(struct ldb_memtable *table, uint64_t tag,
                     struct ldb_slice key, struct ldb_slice value);

/* A list of prepared nodes, through a link of their own. */
void ldb_memtable_node_chain(struct ldb_memtable_node *node,
                             struct ldb_memtable_node *next);
struct ldb_memtable_node *
ldb_memtable_node_chained(const struct ldb_memtable_node *node);

/* The node's internal key. */
struct ldb_slice ldb_memtable_node_key(const struct ldb_memtable_node *node);

/* Puts the node where it belongs; of equal internal keys the newest first. */
void ldb_memtable_link(struct ldb_memtable *table,
                       struct ldb_memtable_node *node);

/*
 * Prepares and links each operation of a journal record that holds a checked
 * batch, whose first sequence is first. Errors: NO_MEMORY: those before the one
 * that found none are linked.
 */
LDB_MUST_CHECK enum ldb_status
ldb_memtable_insert_batch(struct ldb_memtable *table, struct ldb_slice record,
                          ldb_sequence first, struct ldb_error *err);

/*
 * The newest entry of target's user key at or below its sequence (target: an
 * internal key): false when there is none. The value is borrowed while the
 * table is referenced.
 */
LDB_MUST_CHECK bool ldb_memtable_get(const struct ldb_memtable *table,
                                     struct ldb_slice target, uint64_t *out_tag,
                                     struct ldb_slice *out_value);

/* Takes a reference for its life. */
LDB_MUST_CHECK enum ldb_status
ldb_memtable_iterator_create(struct ldb_memtable *table, struct ldb_error *err,
                             struct ldb_iterator **out);

/* Bytes taken for entries. */
size_t ldb_memtable_memory_bytes(const struct ldb_memtable *table);
uint64_t ldb_memtable_entry_count(const struct ldb_memtable *table);

#endif
