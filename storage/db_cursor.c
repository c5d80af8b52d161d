/*
 * What a user iterates: each key's newest entry at or below the view's
 * sequence, delete marks hidden, both ways (contract: ldb.h).
 *
 * Forwards the internal iterator stands on the entry shown. Backwards it
 * stands before the entries of the key shown, which is kept in buffers: a
 * key's entries come newest first, so going back they are met oldest first
 * and all must be seen.
 *
 * Bounds are held to here, at the entry; that the iterators below know them
 * spares the blocks and tables outside (struct ldb_key_bounds).
 */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/cursor_bounds.h"
#include "storage/read.h"
#include "storage/table/common_prefix.h"

struct ldb_cursor {
    struct ldb_db *db;
    bool is_bytewise; /* the comparator, asked once */
    struct ldb_read read;
    struct ldb_iterator *it; /* over internal keys */
    bool valid;
    bool is_forward; /* where `it` stands, see above */
    /* Seek compaction: bytes to read until tables are looked at. */
    bool is_sampling;
    uint64_t sample_left;
    ldb_sequence sequence;
    struct ldb_slice key; /* shown */
    struct ldb_slice value;
    struct ldb_buf saved_key; /* forwards: the key to skip; backwards: shown */
    struct ldb_buf saved_value;
    struct ldb_buf target;        /* internal key of a seek */
    struct ldb_key_bounds bounds; /* in bound_bytes */
    struct ldb_buf bound_bytes;
    enum ldb_status status;
    struct ldb_error error;
};

static void fail(struct ldb_cursor *cursor, enum ldb_status status)
{
    cursor->valid = false;
    cursor->status = status;
}

static void out_of_memory(struct ldb_cursor *cursor)
{
    fail(cursor, ldb_error_no_memory(&cursor->error));
}

/* <0, 0, >0 by user key; without a call where keys order by their bytes. */
static inline int compare_keys(const struct ldb_cursor *cursor,
                               struct ldb_slice a, struct ldb_slice b)
{
    size_t most = a.len < b.len ? a.len : b.len;
    size_t i;

    if (LDB_UNLIKELY(!cursor->is_bytewise))
        return ldb_compare(cursor->db->options.comparator, a, b);
    i = ldb_common_prefix(a.data, b.data, most);
    if (i < most)
        return a.data[i] < b.data[i] ? -1 : 1;
    return (a.len > b.len) - (a.len < b.len);
}

/* ldb_buf_assign() where the room is there, as it is but for a few times. */
static inline enum ldb_status assign(struct ldb_buf *buf,
                                     struct ldb_slice bytes)
{
    if (LDB_UNLIKELY(bytes.len == 0 || bytes.len > buf->capacity))
        return ldb_buf_assign(buf, bytes);
    memcpy(buf->data, bytes.data, bytes.len);
    buf->len = bytes.len;
    return LDB_OK;
}

/* bound, which is set, against key: <0, 0, >0. */
static int compare_bound(const struct ldb_cursor *cursor,
                         struct ldb_slice bound, struct ldb_slice key)
{
    return compare_keys(cursor, ldb_internal_user_key(bound), key);
}

static bool is_below_lower(const struct ldb_cursor *cursor,
                           struct ldb_slice key)
{
    return cursor->bounds.lower.len > 0 &&
           compare_bound(cursor, cursor->bounds.lower, key) > 0;
}

static bool is_above_upper(const struct ldb_cursor *cursor,
                           struct ldb_slice key)
{
    return cursor->bounds.upper.len > 0 &&
           compare_bound(cursor, cursor->bounds.upper, key) <= 0;
}

/* Counts what was read; now and then asks how many tables hold such a key. */
static void sample(struct ldb_cursor *cursor)
{
    struct ldb_slice key = cursor->it->key;
    uint64_t bytes = (uint64_t)key.len + cursor->it->value.len;

    if (bytes < cursor->sample_left) {
        cursor->sample_left -= bytes;
        return;
    }
    cursor->sample_left = cursor->db->options.iterator_sampling_bytes;
    ldb_version_sample_seek(cursor->read.view->version, key);
}

/*
 * The entry under `it`; false at the end, or that of the bounds in the
 * direction of the cursor, or on an error. *out_visible tells whether the view
 * sees it.
 */
static inline LDB_ALWAYS_INLINE bool
read_entry(struct ldb_cursor *cursor, bool is_forward, bool has_bounds,
           struct ldb_parsed_key *out, bool *out_visible)
{
    if (!cursor->it->valid) {
        if (cursor->it->status != LDB_OK) {
            cursor->error = cursor->it->error;
            fail(cursor, cursor->it->status);
        }
        return false;
    }
    if (!ldb_internal_key_parse(cursor->it->key, out)) {
        *out_visible = false;
        if (cursor->read.table.skip_damage)
            return true;
        fail(cursor, ldb_error_set(&cursor->error, LDB_CORRUPTION,
                                   "an internal key of %zu bytes cannot be "
                                   "read",
                                   cursor->it->key.len));
        return false;
    }
    *out_visible = out->sequence <= cursor->read.sequence;
    if (LDB_UNLIKELY(cursor->is_sampling))
        sample(cursor);
    if (!has_bounds)
        return true;
    return is_forward ? !is_above_upper(cursor, out->user_key)
                      : !is_below_lower(cursor, out->user_key);
}

static bool is_bounded(const struct ldb_cursor *cursor)
{
    return LDB_UNLIKELY(cursor->read.table.bounds != NULL);
}

/* find_next(), compiled for each: a cursor without bounds looks for none. */
static inline LDB_ALWAYS_INLINE void
find_next_within(struct ldb_cursor *cursor, bool is_skipping, bool has_bounds)
{
    struct ldb_parsed_key entry;
    bool visible;

    cursor->valid = false;
    cursor->is_forward = true;
    for (; read_entry(cursor, true, has_bounds, &entry, &visible);
         ldb_iterator_next(cursor->it)) {
        if (!visible)
            continue;
        if (is_skipping &&
            compare_keys(cursor, entry.user_key,
                         ldb_slice_of_buf(&cursor->saved_key)) <= 0)
            continue;
        if (entry.kind == LDB_KIND_PUT) {
            cursor->valid = true;
            cursor->key = entry.user_key;
            cursor->value = cursor->it->value;
            cursor->sequence = entry.sequence;
            return;
        }
        if (assign(&cursor->saved_key, entry.user_key) != LDB_OK) {
            out_of_memory(cursor);
            return;
        }
        is_skipping = true;
    }
}

static LDB_NEVER_INLINE void find_next_bounded(struct ldb_cursor *cursor,
                                               bool is_skipping)
{
    find_next_within(cursor, is_skipping, true);
}

/*
 * From `it` on forwards to the first entry to show. is_skipping: entries of
 * saved_key are not shown (shown before, or deleted).
 */
static void find_next(struct ldb_cursor *cursor, bool is_skipping)
{
    if (is_bounded(cursor))
        find_next_bounded(cursor, is_skipping);
    else
        find_next_within(cursor, is_skipping, false);
}

/* find_previous(), likewise. */
static inline LDB_ALWAYS_INLINE void
find_previous_within(struct ldb_cursor *cursor, bool has_bounds)
{
    struct ldb_parsed_key entry;
    bool has_put = false;
    bool visible;

    cursor->valid = false;
    cursor->is_forward = false;
    for (; read_entry(cursor, false, has_bounds, &entry, &visible);
         ldb_iterator_prev(cursor->it)) {
        if (!visible)
            continue;
        if (has_put && compare_keys(cursor, entry.user_key,
                                    ldb_slice_of_buf(&cursor->saved_key)) < 0)
            break;
        has_put = entry.kind == LDB_KIND_PUT;
        if (!has_put)
            continue;
        cursor->sequence = entry.sequence;
        if (assign(&cursor->saved_key, entry.user_key) != LDB_OK ||
            assign(&cursor->saved_value, cursor->it->value) != LDB_OK) {
            out_of_memory(cursor);
            return;
        }
    }
    if (!has_put || cursor->status != LDB_OK)
        return;
    cursor->valid = true;
    cursor->key = ldb_slice_of_buf(&cursor->saved_key);
    cursor->value = ldb_slice_of_buf(&cursor->saved_value);
}

static LDB_NEVER_INLINE void find_previous_bounded(struct ldb_cursor *cursor)
{
    find_previous_within(cursor, true);
}

/*
 * From `it` on backwards: collects the entries of one key until the key
 * changes; the last visible one met is the newest. Deleted keys are passed.
 */
static void find_previous(struct ldb_cursor *cursor)
{
    if (is_bounded(cursor))
        find_previous_bounded(cursor);
    else
        find_previous_within(cursor, false);
}

static void forget_error(struct ldb_cursor *cursor)
{
    cursor->status = LDB_OK;
    cursor->valid = false;
}

/* `it` to the first entry at or after (key, sequence); false: no memory. */
static bool seek_internal(struct ldb_cursor *cursor, struct ldb_slice key,
                          ldb_sequence sequence)
{
    ldb_buf_clear(&cursor->target);
    if (ldb_internal_key_append(&cursor->target, key,
                                ldb_tag_make(sequence, LDB_KIND_SEEK)) !=
        LDB_OK) {
        out_of_memory(cursor);
        return false;
    }
    ldb_iterator_seek(cursor->it, ldb_slice_of_buf(&cursor->target));
    return true;
}

void ldb_cursor_seek(struct ldb_cursor *cursor, struct ldb_slice key)
{
    forget_error(cursor);
    if (is_below_lower(cursor, key))
        key = ldb_internal_user_key(cursor->bounds.lower);
    if (is_above_upper(cursor, key))
        return;
    if (seek_internal(cursor, key, cursor->read.sequence))
        find_next(cursor, false);
}

/* `it` to the first entry that may be within the bounds; false: no memory. */
static bool seek_internal_first(struct ldb_cursor *cursor)
{
    if (cursor->bounds.lower.len > 0)
        return seek_internal(cursor,
                             ldb_internal_user_key(cursor->bounds.lower),
                             LDB_SEQUENCE_MAX);
    ldb_iterator_seek_first(cursor->it);
    return true;
}

void ldb_cursor_seek_first(struct ldb_cursor *cursor)
{
    forget_error(cursor);
    if (seek_internal_first(cursor))
        find_next(cursor, false);
}

/* `it` to the last entry of a key below key. */
static bool seek_internal_before(struct ldb_cursor *cursor,
                                 struct ldb_slice key)
{
    if (!seek_internal(cursor, key, LDB_SEQUENCE_MAX))
        return false;
    if (cursor->it->valid)
        ldb_iterator_prev(cursor->it);
    else if (cursor->it->status == LDB_OK)
        ldb_iterator_seek_last(cursor->it);
    return true;
}

void ldb_cursor_seek_before(struct ldb_cursor *cursor, struct ldb_slice key)
{
    forget_error(cursor);
    if (is_above_upper(cursor, key))
        key = ldb_internal_user_key(cursor->bounds.upper);
    if (is_below_lower(cursor, key))
        return;
    if (seek_internal_before(cursor, key))
        find_previous(cursor);
}

void ldb_cursor_seek_last(struct ldb_cursor *cursor)
{
    if (cursor->bounds.upper.len > 0) {
        ldb_cursor_seek_before(cursor,
                               ldb_internal_user_key(cursor->bounds.upper));
        return;
    }
    forget_error(cursor);
    ldb_iterator_seek_last(cursor->it);
    find_previous(cursor);
}

void ldb_cursor_next(struct ldb_cursor *cursor)
{
    assert(cursor->valid);
    if (cursor->is_forward) {
        if (assign(&cursor->saved_key, cursor->key) != LDB_OK) {
            out_of_memory(cursor);
            return;
        }
        ldb_iterator_next(cursor->it);
    } else if (!cursor->it->valid) {
        /* Before the first entry of all. */
        if (!seek_internal_first(cursor))
            return;
    } else {
        ldb_iterator_next(cursor->it);
    }
    find_next(cursor, true);
}

void ldb_cursor_prev(struct ldb_cursor *cursor)
{
    assert(cursor->valid);
    if (cursor->is_forward) {
        struct ldb_slice key = cursor->key;

        /* The key's newer entries, which the view does not see, lie before. */
        if (assign(&cursor->saved_key, key) != LDB_OK) {
            out_of_memory(cursor);
            return;
        }
        key = ldb_slice_of_buf(&cursor->saved_key);
        if (!seek_internal_before(cursor, key))
            return;
    }
    find_previous(cursor);
}

enum ldb_status ldb_cursor_open(struct ldb_db *db,
                                const struct ldb_read_options *options,
                                struct ldb_error *err, struct ldb_cursor **out)
{
    struct ldb_cursor *cursor = ldb_mem_zalloc(1, sizeof(*cursor));
    enum ldb_status s;

    if (cursor == NULL)
        return ldb_error_no_memory(err);
    cursor->db = db;
    cursor->is_bytewise = db->options.comparator == ldb_comparator_bytewise();
    cursor->saved_key.limit = SIZE_MAX;
    cursor->saved_value.limit = SIZE_MAX;
    cursor->target.limit = SIZE_MAX;
    cursor->bound_bytes.limit = SIZE_MAX;
    ldb_read_begin(db, options, &cursor->read);
    s = options == NULL
            ? LDB_OK
            : ldb_cursor_bounds_make(db->options.comparator, options, err,
                                     &cursor->bound_bytes, &cursor->bounds);
    if (cursor->bound_bytes.len > 0)
        cursor->read.table.bounds = &cursor->bounds;
    if (s == LDB_OK)
        s = ldb_view_iterator(cursor->read.view, db->tables,
                              &cursor->read.table, err, &cursor->it);
    if (s != LDB_OK) {
        ldb_read_end(db, &cursor->read);
        ldb_buf_release(&cursor->bound_bytes);
        ldb_mem_free(cursor);
        return s;
    }
    cursor->is_sampling = cursor->read.view->version->counts_seeks;
    if (cursor->is_sampling)
        cursor->sample_left =
            atomic_load_explicit(&db->sample_left, memory_order_relaxed);
    atomic_fetch_add_explicit(&db->counters.live_cursors, 1,
                              memory_order_relaxed);
    *out = cursor;
    return LDB_OK;
}

void ldb_cursor_close(struct ldb_cursor *cursor)
{
    if (cursor == NULL)
        return;
    atomic_fetch_sub_explicit(&cursor->db->counters.live_cursors, 1,
                              memory_order_relaxed);
    if (cursor->is_sampling)
        atomic_store_explicit(&cursor->db->sample_left, cursor->sample_left,
                              memory_order_relaxed);
    ldb_iterator_destroy(cursor->it);
    ldb_read_end(cursor->db, &cursor->read);
    ldb_buf_release(&cursor->saved_key);
    ldb_buf_release(&cursor->saved_value);
    ldb_buf_release(&cursor->target);
    ldb_buf_release(&cursor->bound_bytes);
    ldb_mem_free(cursor);
}

bool ldb_cursor_valid(const struct ldb_cursor *cursor)
{
    return cursor->valid;
}

struct ldb_slice ldb_cursor_key(const struct ldb_cursor *cursor)
{
    assert(cursor->valid);
    return cursor->key;
}

struct ldb_slice ldb_cursor_value(const struct ldb_cursor *cursor)
{
    assert(cursor->valid);
    return cursor->value;
}

ldb_sequence ldb_cursor_sequence(const struct ldb_cursor *cursor)
{
    assert(cursor->valid);
    return cursor->sequence;
}

ldb_sequence ldb_cursor_view_sequence(const struct ldb_cursor *cursor)
{
    return cursor->read.sequence;
}

enum ldb_status ldb_cursor_status(const struct ldb_cursor *cursor,
                                  struct ldb_error *err)
{
    if (cursor->status != LDB_OK && err != NULL)
        *err = cursor->error;
    return cursor->status;
}
