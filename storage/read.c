#include "storage/read.h"

#include <stdatomic.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Keys up to this many bytes are looked up without an allocation. */
#define LOOKUP_INLINE_SIZE 512

static void begin(struct ldb_db *db, const struct ldb_read_options *options,
                  bool is_short, struct ldb_read *out)
{
    static const struct ldb_read_options none = {0};

    if (options == NULL)
        options = &none;
    out->is_short = is_short && options->snapshot == NULL;
    out->table.fill_cache = !options->skip_cache;
    out->table.verify_checksums = options->checksums == 0
                                      ? db->options.verify_checksums
                                      : options->checksums == 1;
    out->table.skip_damage = options->damage == 0 ? db->options.skip_read_damage
                                                  : options->damage == 2;
    out->table.bounds = NULL;
    if (options->snapshot != NULL) {
        assert(options->snapshot->db == db);
        out->view = ldb_view_ref(options->snapshot->view);
        out->sequence = options->snapshot->sequence;
    } else if (is_short) {
        ldb_db_view_hold(db, &out->hold, &out->sequence);
        out->view = out->hold.view;
    } else {
        out->view = ldb_db_view(db, &out->sequence);
    }
}

void ldb_read_begin(struct ldb_db *db, const struct ldb_read_options *options,
                    struct ldb_read *out)
{
    begin(db, options, false, out);
}

void ldb_read_begin_short(struct ldb_db *db,
                          const struct ldb_read_options *options,
                          struct ldb_read *out)
{
    begin(db, options, true, out);
}

/* Once for each table whose seeks are used up, so mu is seldom taken. */
static void wake_compaction(struct ldb_db *db)
{
    ldb_mutex_lock(&db->mu);
    ldb_cond_broadcast(&db->work);
    ldb_mutex_unlock(&db->mu);
}

void ldb_read_end(struct ldb_db *db, struct ldb_read *read)
{
    bool has_news = LDB_UNLIKELY(db->options.seek_compaction) &&
                    ldb_version_take_seek_news(read->view->version);

    if (read->is_short)
        ldb_db_view_drop(db, &read->hold);
    else
        ldb_db_view_release(db, read->view);
    read->view = NULL;
    if (LDB_UNLIKELY(has_news))
        wake_compaction(db);
}

enum ldb_status ldb_read_get(struct ldb_db *db, const struct ldb_read *read,
                             struct ldb_slice key, struct ldb_error *err,
                             struct ldb_buf *out_value,
                             ldb_sequence *out_sequence)
{
    uint8_t inline_bytes[LOOKUP_INLINE_SIZE];
    uint8_t *lookup = inline_bytes;
    uint64_t tag = 0;
    enum ldb_status s;

    if (key.len > LDB_BATCH_ITEM_MAX)
        return ldb_error_set(err, LDB_NOT_FOUND, "no key is that long");
    if (key.len + LDB_TAG_SIZE > sizeof(inline_bytes)) {
        lookup = ldb_mem_alloc(1, key.len + LDB_TAG_SIZE);
        if (lookup == NULL)
            return ldb_error_no_memory(err);
    }
    if (key.len > 0)
        memcpy(lookup, key.data, key.len);
    ldb_store_fixed64(lookup + key.len,
                      ldb_tag_make(read->sequence, LDB_KIND_SEEK));
    s = ldb_view_get(read->view, db->tables, &read->table,
                     ldb_slice_make(lookup, key.len + LDB_TAG_SIZE), err,
                     out_value, &tag);
    if (lookup != inline_bytes)
        ldb_mem_free(lookup);
    if (s != LDB_OK)
        return s;
    if (ldb_tag_kind(tag) != LDB_KIND_PUT)
        return LDB_NOT_FOUND;
    if (out_sequence != NULL)
        *out_sequence = ldb_tag_sequence(tag);
    return LDB_OK;
}

/* Rows hold what is newest, without a checksum to verify. */
static bool can_use_rows(const struct ldb_db *db,
                         const struct ldb_read_options *options)
{
    return db->rows != NULL && (options == NULL || (options->snapshot == NULL &&
                                                    options->checksums != 1 &&
                                                    options->damage == 0));
}

static bool get_row(struct ldb_db *db, struct ldb_slice key,
                    struct ldb_buf *out_value, ldb_sequence *out_sequence,
                    ldb_sequence *out_seen, struct ldb_row_hint *out_hint)
{
    ldb_sequence published =
        atomic_load_explicit(&db->last_sequence, memory_order_acquire);
    bool is_hit = ldb_row_cache_get(db->rows, key, published, out_value,
                                    out_sequence, out_seen, out_hint);

    ldb_view_slots_count_row(&db->view_slots, is_hit);
    return is_hit;
}

/* From the view; what is found becomes a row, where there is a hint. */
static enum ldb_status get_from_view(struct ldb_db *db, struct ldb_slice key,
                                     const struct ldb_read_options *options,
                                     const struct ldb_row_hint *hint,
                                     struct ldb_error *err,
                                     struct ldb_buf *out_value,
                                     ldb_sequence *out_sequence,
                                     ldb_sequence *out_seen)
{
    struct ldb_read read;
    enum ldb_status s;

    ldb_read_begin_short(db, options, &read);
    s = ldb_read_get(db, &read, key, err, out_value, out_sequence);
    if (s == LDB_OK || s == LDB_NOT_FOUND)
        *out_seen = read.sequence;
    if (s == LDB_OK && hint != NULL && out_value != NULL &&
        read.table.fill_cache && !read.table.skip_damage)
        ldb_row_cache_put(db->rows, *hint, key, ldb_slice_of_buf(out_value),
                          *out_sequence, read.sequence);
    ldb_read_end(db, &read);
    return s;
}

enum ldb_status ldb_get(struct ldb_db *db, struct ldb_slice key,
                        const struct ldb_read_options *options,
                        struct ldb_error *err, struct ldb_buf *out_value,
                        ldb_sequence *out_sequence, ldb_sequence *out_seen)
{
    bool uses_rows = can_use_rows(db, options);
    struct ldb_row_hint hint;
    ldb_sequence sequence = 0;
    ldb_sequence seen = 0;
    enum ldb_status s = LDB_OK;

    ldb_view_slots_count_get(&db->view_slots);
    if (!uses_rows || !get_row(db, key, out_value, &sequence, &seen, &hint))
        s = get_from_view(db, key, options, uses_rows ? &hint : NULL, err,
                          out_value, &sequence, &seen);
    if (s == LDB_OK && out_sequence != NULL)
        *out_sequence = sequence;
    if (out_seen != NULL && (s == LDB_OK || s == LDB_NOT_FOUND))
        *out_seen = seen;
    return s;
}
