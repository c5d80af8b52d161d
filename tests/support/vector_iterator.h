/*
 * An iterator over entries that a test lists, and the model that walks beside
 * it: for tests of what combines iterators.
 */
#ifndef TESTS_SUPPORT_VECTOR_ITERATOR_H
#define TESTS_SUPPORT_VECTOR_ITERATOR_H

#include "storage/table/iterator.h"

#define VECTOR_KEY_SIZE   48
#define VECTOR_VALUE_SIZE 32

/* Its key is internal. */
struct vector_entry {
    uint8_t key[VECTOR_KEY_SIZE];
    size_t key_len;
    char value[VECTOR_VALUE_SIZE];
};

/* user and value are texts that fit. kind: enum ldb_kind. */
struct vector_entry vector_entry_make(const char *user, uint64_t sequence,
                                      int kind, const char *value);
struct ldb_slice vector_entry_key(const struct vector_entry *entry);

/* By internal key, then by place (stable). */
void vector_sort(struct vector_entry *entries, size_t count);

/* No entry fails. */
#define VECTOR_NO_FAILURE SIZE_MAX

/*
 * entries are borrowed, ascending. Arriving at entry fail_at makes it stop with
 * LDB_IO and the message "entry failed". A failure to create fails the test.
 */
struct ldb_iterator *vector_iterator_create(const struct vector_entry *entries,
                                            size_t count, size_t fail_at);

/* Vector iterators that were created and not destroyed. */
size_t vector_iterator_live(void);

/*
 * steps random moves (first, last, seek to an entry or beside one, next, prev)
 * of it; after each it must stand where the sorted entries say.
 */
void vector_walk(struct ldb_iterator *it, const struct vector_entry *sorted,
                 size_t count, uint64_t seed, size_t steps);

#endif
