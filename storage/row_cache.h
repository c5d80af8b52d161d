/*
 * What the last gets found: keys with their newest values, for the next get of
 * the same key. One look here takes the place of filter, index and block, whose
 * bytes are cold when a get comes, and of the block's checksum.
 *
 * A row says at which sequence it was read. It counts as long as its key has
 * not been written since, and that is told by a note: the last sequence
 * written to any key that shares it, by the hash. So nothing has to be searched
 * for and taken out when a key is written, and a row that is put in late, by a
 * get that a write overtook, never counts:
 *
 * 1. A write's keys are noted before its sequence is published. Who loads the
 *    published sequence (acquire) therefore sees the notes of all up to it.
 * 2. A row of sequence R, whose key's note is at most R, has the newest value
 *    up to the published sequence: a later write of the key would have left a
 *    higher note.
 * 3. Where what is visible changes without a write, as ldb_reopen() takes
 *    unsynced ones back, the change lies between ldb_row_cache_change_begin()
 *    and _end(): no row counts meanwhile, and none from before counts
 *    afterwards. (A twin takes in entries by tables alone only while it is
 *    blank: there are no rows then.)
 *
 * A row is a slot of fixed size, four of which make a set, chosen by the key's
 * hash. The least recently used goes, nearly. Slots are read and written as
 * words, with a version that is odd while one is written: a get takes no lock,
 * and takes nothing of a slot that changed under its eyes.
 *
 * Thread-safety: any thread, but where it says otherwise.
 */
#ifndef STORAGE_ROW_CACHE_H
#define STORAGE_ROW_CACHE_H

#include "storage/base/buf.h"
#include "storage/base/internal_key.h"

/* Key and value together; longer ones are not kept. Chosen: a slot is three
 * cache lines with it. */
#define LDB_ROW_BYTES_MAX 160

struct ldb_row_cache;

struct ldb_row_cache_stats {
    size_t used_bytes; /* slots that have a row */
    size_t capacity_bytes;
};

/* What a get knows when it begins to look: for ldb_row_cache_put(). */
struct ldb_row_hint {
    uint32_t hash;
    uint32_t generation; /* odd: no row counts now */
};

/*
 * capacity_bytes are taken as they are used, a page at a time; at least one
 * set. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status ldb_row_cache_create(size_t capacity_bytes,
                                                    struct ldb_error *err,
                                                    struct ldb_row_cache **out);
/* NULL is fine. */
void ldb_row_cache_destroy(struct ldb_row_cache *cache);

/*
 * Does a row have the newest value of key? published: the sequence loaded
 * (acquire) before the call; *out_seen: up to which the value is known to be
 * the newest, published or higher. out_value may be NULL; false also where it
 * cannot take the value. *out_hint is set in any case.
 */
LDB_MUST_CHECK bool
ldb_row_cache_get(struct ldb_row_cache *cache, struct ldb_slice key,
                  ldb_sequence published, struct ldb_buf *out_value,
                  ldb_sequence *out_sequence, ldb_sequence *out_seen,
                  struct ldb_row_hint *out_hint);

/*
 * The get that began with hint read value, of sequence, as the newest up to
 * seen. It may not be kept.
 */
void ldb_row_cache_put(struct ldb_row_cache *cache, struct ldb_row_hint hint,
                       struct ldb_slice key, struct ldb_slice value,
                       ldb_sequence sequence, ldb_sequence seen);

/* key is being written with sequence, which is not published yet. One thread
 * at a time, with sequences that grow. */
void ldb_row_cache_note_write(struct ldb_row_cache *cache, struct ldb_slice key,
                              ldb_sequence sequence);

/* By who writes. */
void ldb_row_cache_change_begin(struct ldb_row_cache *cache);
void ldb_row_cache_change_end(struct ldb_row_cache *cache);

void ldb_row_cache_stats(const struct ldb_row_cache *cache,
                         struct ldb_row_cache_stats *out);

#endif
