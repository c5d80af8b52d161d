#include "storage/version/version_edit.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/reader.h"
#include "storage/base/status.h"
#include "storage/version/file_names.h"

/* On disk: do not change. Tags of fields; docs/formats.md. 8 is retired. */
enum field_tag {
    TAG_COMPARATOR = 1,
    TAG_LOG_NUMBER = 2,
    TAG_NEXT_FILE_NUMBER = 3,
    TAG_LAST_SEQUENCE = 4,
    TAG_POINTER = 5,
    TAG_DELETED = 6,
    TAG_ADDED = 7,
    TAG_PREV_LOG_NUMBER = 9,
};

/*
 * A seek costs about as much as compacting 16 KiB, and a table gets at least
 * 100: LevelDB's arithmetic and goleveldb's, docs/formats.md.
 */
#define SEEK_BYTES 16384
#define SEEKS_MIN  100

/* ---- file metas ---- */

static int32_t seeks_for(uint64_t size)
{
    uint64_t seeks = size / SEEK_BYTES;

    if (seeks < SEEKS_MIN)
        return SEEKS_MIN;
    return seeks > INT32_MAX ? INT32_MAX : (int32_t)seeks;
}

struct ldb_file_meta *ldb_file_meta_create(uint64_t number, uint64_t size,
                                           struct ldb_slice smallest,
                                           struct ldb_slice largest)
{
    struct ldb_file_meta *meta;
    size_t bytes = sizeof(*meta);
    uint8_t *keys;

    if (!ldb_size_add(bytes, smallest.len, &bytes) ||
        !ldb_size_add(bytes, largest.len, &bytes))
        return NULL;
    meta = ldb_mem_alloc(bytes, 1);
    if (meta == NULL)
        return NULL;
    /* The keys lie behind the struct, in the same block. */
    keys = (uint8_t *)(meta + 1);
    if (smallest.len != 0)
        memcpy(keys, smallest.data, smallest.len);
    if (largest.len != 0)
        memcpy(keys + smallest.len, largest.data, largest.len);
    meta->number = number;
    meta->size = size;
    meta->entry_count = 0;
    meta->delete_count = 0;
    meta->smallest = ldb_slice_make(keys, smallest.len);
    meta->largest = ldb_slice_make(keys + smallest.len, largest.len);
    atomic_init(&meta->refs, 1);
    atomic_init(&meta->seeks_left, seeks_for(size));
    return meta;
}

struct ldb_file_meta *ldb_file_meta_ref(struct ldb_file_meta *meta)
{
    uint32_t before =
        atomic_fetch_add_explicit(&meta->refs, 1, memory_order_relaxed);

    assert(before != 0);
    assert(before != UINT32_MAX);
    return meta;
}

void ldb_file_meta_reset_seeks(struct ldb_file_meta *meta)
{
    atomic_store_explicit(&meta->seeks_left, seeks_for(meta->size),
                          memory_order_relaxed);
}

void ldb_file_meta_unref(struct ldb_file_meta *meta)
{
    uint32_t before;

    if (meta == NULL)
        return;
    before = atomic_fetch_sub_explicit(&meta->refs, 1, memory_order_acq_rel);
    assert(before != 0);
    if (before == 1)
        ldb_mem_free(meta);
}

/* ---- an edit's content ---- */

void ldb_version_edit_init(struct ldb_version_edit *edit)
{
    *edit = (struct ldb_version_edit){0};
}

void ldb_version_edit_release(struct ldb_version_edit *edit)
{
    if (edit == NULL)
        return;
    for (size_t i = 0; i < edit->pointer_count; i++)
        ldb_mem_free(edit->pointers[i].owned_key);
    for (size_t i = 0; i < edit->added_count; i++)
        ldb_file_meta_unref(edit->added[i].meta);
    ldb_mem_free(edit->comparator);
    ldb_mem_free(edit->pointers);
    ldb_mem_free(edit->deleted);
    ldb_mem_free(edit->added);
    ldb_version_edit_init(edit);
}

void ldb_version_edit_clear(struct ldb_version_edit *edit)
{
    ldb_version_edit_release(edit);
}

enum ldb_status ldb_version_edit_set_comparator(struct ldb_version_edit *edit,
                                                const char *name)
{
    char *copy = ldb_mem_strdup(name);

    if (copy == NULL)
        return LDB_NO_MEMORY;
    ldb_mem_free(edit->comparator);
    edit->comparator = copy;
    edit->has_comparator = true;
    return LDB_OK;
}

void ldb_version_edit_set_log_number(struct ldb_version_edit *edit,
                                     uint64_t number)
{
    assert(number <= LDB_FILE_NUMBER_MAX);
    edit->log_number = number;
    edit->has_log_number = true;
}

void ldb_version_edit_set_next_file_number(struct ldb_version_edit *edit,
                                           uint64_t number)
{
    assert(number <= LDB_FILE_NUMBER_MAX);
    edit->next_file_number = number;
    edit->has_next_file_number = true;
}

void ldb_version_edit_set_last_sequence(struct ldb_version_edit *edit,
                                        ldb_sequence sequence)
{
    assert(sequence <= LDB_SEQUENCE_MAX);
    edit->last_sequence = sequence;
    edit->has_last_sequence = true;
}

/*
 * Room for one item more in a list of count, which has no field for its
 * capacity: that is the least power of two that holds count. NULL: no memory,
 * the list stands.
 */
static void *grow(void *list, size_t count, size_t item_size)
{
    size_t capacity;

    if (count != 0 && (count & (count - 1)) != 0)
        return list;
    if (count == 0)
        return ldb_mem_alloc(1, item_size);
    if (!ldb_size_mul(count, 2, &capacity))
        return NULL;
    return ldb_mem_realloc(list, capacity, item_size);
}

enum ldb_status ldb_version_edit_set_pointer(struct ldb_version_edit *edit,
                                             uint32_t level,
                                             struct ldb_slice internal_key)
{
    struct ldb_edit_pointer *list;
    uint8_t *copy;

    assert(level < LDB_LEVEL_COUNT);
    assert(internal_key.len >= LDB_TAG_SIZE);
    copy = ldb_mem_dup(internal_key.data, internal_key.len);
    if (copy == NULL)
        return LDB_NO_MEMORY;
    list = grow(edit->pointers, edit->pointer_count, sizeof(*list));
    if (list == NULL) {
        ldb_mem_free(copy);
        return LDB_NO_MEMORY;
    }
    edit->pointers = list;
    list[edit->pointer_count++] = (struct ldb_edit_pointer){
        .level = level,
        .key = ldb_slice_make(copy, internal_key.len),
        .owned_key = copy,
    };
    return LDB_OK;
}

enum ldb_status ldb_version_edit_delete_file(struct ldb_version_edit *edit,
                                             uint32_t level, uint64_t number)
{
    struct ldb_edit_deleted *list;

    assert(level < LDB_LEVEL_COUNT);
    assert(number <= LDB_FILE_NUMBER_MAX);
    list = grow(edit->deleted, edit->deleted_count, sizeof(*list));
    if (list == NULL)
        return LDB_NO_MEMORY;
    edit->deleted = list;
    list[edit->deleted_count++] =
        (struct ldb_edit_deleted){.level = level, .number = number};
    return LDB_OK;
}

enum ldb_status ldb_version_edit_add_file(struct ldb_version_edit *edit,
                                          uint32_t level,
                                          struct ldb_file_meta *meta)
{
    struct ldb_edit_added *list;

    assert(level < LDB_LEVEL_COUNT);
    assert(meta->number <= LDB_FILE_NUMBER_MAX);
    assert(meta->smallest.len >= LDB_TAG_SIZE);
    assert(meta->largest.len >= LDB_TAG_SIZE);
    list = grow(edit->added, edit->added_count, sizeof(*list));
    if (list == NULL)
        return LDB_NO_MEMORY;
    edit->added = list;
    list[edit->added_count++] = (struct ldb_edit_added){
        .level = level, .meta = ldb_file_meta_ref(meta)};
    return LDB_OK;
}

/* ---- encoding ---- */

/* tag and one number; nothing after an earlier failure. */
static enum ldb_status put_number(struct ldb_buf *out, enum ldb_status s,
                                  enum field_tag tag, uint64_t value)
{
    if (s == LDB_OK)
        s = ldb_put_varint64(out, (uint64_t)tag);
    if (s == LDB_OK)
        s = ldb_put_varint64(out, value);
    return s;
}

static enum ldb_status put_bytes(struct ldb_buf *out, enum ldb_status s,
                                 struct ldb_slice bytes)
{
    return s == LDB_OK ? ldb_put_length_prefixed(out, bytes) : s;
}

static enum ldb_status put_scalars(const struct ldb_version_edit *edit,
                                   struct ldb_buf *out)
{
    enum ldb_status s = LDB_OK;

    if (edit->has_comparator) {
        s = ldb_put_varint64(out, TAG_COMPARATOR);
        s = put_bytes(out, s, ldb_slice_str(edit->comparator));
    }
    if (edit->has_log_number)
        s = put_number(out, s, TAG_LOG_NUMBER, edit->log_number);
    if (edit->has_next_file_number)
        s = put_number(out, s, TAG_NEXT_FILE_NUMBER, edit->next_file_number);
    if (edit->has_last_sequence)
        s = put_number(out, s, TAG_LAST_SEQUENCE, edit->last_sequence);
    return s;
}

static enum ldb_status put_lists(const struct ldb_version_edit *edit,
                                 struct ldb_buf *out)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; i < edit->pointer_count && s == LDB_OK; i++) {
        s = put_number(out, s, TAG_POINTER, edit->pointers[i].level);
        s = put_bytes(out, s, edit->pointers[i].key);
    }
    for (size_t i = 0; i < edit->deleted_count && s == LDB_OK; i++) {
        s = put_number(out, s, TAG_DELETED, edit->deleted[i].level);
        if (s == LDB_OK)
            s = ldb_put_varint64(out, edit->deleted[i].number);
    }
    for (size_t i = 0; i < edit->added_count && s == LDB_OK; i++) {
        const struct ldb_file_meta *meta = edit->added[i].meta;

        s = put_number(out, s, TAG_ADDED, edit->added[i].level);
        if (s == LDB_OK)
            s = ldb_put_varint64(out, meta->number);
        if (s == LDB_OK)
            s = ldb_put_varint64(out, meta->size);
        s = put_bytes(out, s, meta->smallest);
        s = put_bytes(out, s, meta->largest);
    }
    return s;
}

enum ldb_status ldb_version_edit_encode(const struct ldb_version_edit *edit,
                                        struct ldb_buf *out)
{
    size_t start = out->len;
    enum ldb_status s = put_scalars(edit, out);

    if (s == LDB_OK)
        s = put_lists(edit, out);
    if (s != LDB_OK)
        out->len = start;
    return s;
}

/* ---- decoding ---- */

/*
 * Reads one field. The first thing wrong with it is in fault (static text);
 * LDB_OK and a fault is corruption, any other status an allocation.
 */
struct decoder {
    struct ldb_version_edit *edit;
    struct ldb_reader bytes;
    const char *fault;
};

/* Notes what is wrong, unless something was before. */
static void find(struct decoder *d, const char *fault)
{
    if (d->fault == NULL)
        d->fault = fault;
}

static uint32_t read_level(struct decoder *d)
{
    uint32_t level;

    if (!ldb_reader_varint32(&d->bytes, &level))
        find(d, "level is cut short");
    else if (level >= LDB_LEVEL_COUNT)
        find(d, "level over 6");
    return level;
}

/* At most max; file numbers and sizes are int64 to goleveldb. */
static uint64_t read_number(struct decoder *d, uint64_t max)
{
    uint64_t value;

    if (!ldb_reader_varint64(&d->bytes, &value))
        find(d, "number is cut short or too long");
    else if (value > max)
        find(d, "number too large");
    return value;
}

static struct ldb_slice read_key(struct decoder *d)
{
    struct ldb_parsed_key parsed;
    struct ldb_slice key;

    if (!ldb_reader_length_prefixed(&d->bytes, &key))
        find(d, "key is cut short");
    else if (!ldb_internal_key_parse(key, &parsed))
        find(d, "not an internal key");
    return key;
}

static enum ldb_status read_comparator(struct decoder *d)
{
    struct ldb_slice name;
    char *copy;

    if (!ldb_reader_length_prefixed(&d->bytes, &name)) {
        find(d, "name is cut short");
        return LDB_OK;
    }
    if (name.len != 0 && memchr(name.data, 0, name.len) != NULL) {
        find(d, "name with a zero byte");
        return LDB_OK;
    }
    copy = ldb_mem_zalloc(name.len + 1, 1);
    if (copy == NULL)
        return LDB_NO_MEMORY;
    if (name.len != 0)
        memcpy(copy, name.data, name.len);
    ldb_mem_free(d->edit->comparator);
    d->edit->comparator = copy;
    d->edit->has_comparator = true;
    return LDB_OK;
}

static enum ldb_status read_pointer(struct decoder *d)
{
    uint32_t level = read_level(d);
    struct ldb_slice key = read_key(d);

    if (d->fault != NULL)
        return LDB_OK;
    return ldb_version_edit_set_pointer(d->edit, level, key);
}

static enum ldb_status read_deleted(struct decoder *d)
{
    uint32_t level = read_level(d);
    uint64_t number = read_number(d, LDB_FILE_NUMBER_MAX);

    if (d->fault != NULL)
        return LDB_OK;
    return ldb_version_edit_delete_file(d->edit, level, number);
}

static enum ldb_status read_added(struct decoder *d)
{
    uint32_t level = read_level(d);
    uint64_t number = read_number(d, LDB_FILE_NUMBER_MAX);
    uint64_t size = read_number(d, INT64_MAX);
    struct ldb_slice smallest = read_key(d);
    struct ldb_slice largest = read_key(d);
    struct ldb_file_meta *meta;
    enum ldb_status s;

    if (d->fault != NULL)
        return LDB_OK;
    meta = ldb_file_meta_create(number, size, smallest, largest);
    if (meta == NULL)
        return LDB_NO_MEMORY;
    s = ldb_version_edit_add_file(d->edit, level, meta);
    ldb_file_meta_unref(meta);
    return s;
}

/* What messages call the field of a tag; NULL: there is no such field. */
static const char *field_name(uint32_t tag)
{
    switch (tag) {
    case TAG_COMPARATOR:
        return "comparator";
    case TAG_LOG_NUMBER:
        return "log number";
    case TAG_NEXT_FILE_NUMBER:
        return "next file number";
    case TAG_LAST_SEQUENCE:
        return "last sequence";
    case TAG_POINTER:
        return "compaction pointer";
    case TAG_DELETED:
        return "table deleted";
    case TAG_ADDED:
        return "table added";
    case TAG_PREV_LOG_NUMBER:
        return "previous log number";
    default:
        return NULL;
    }
}

/* Reads what follows a tag that has a name. */
static enum ldb_status read_field(struct decoder *d, uint32_t tag)
{
    struct ldb_version_edit *edit = d->edit;

    switch (tag) {
    case TAG_COMPARATOR:
        return read_comparator(d);
    case TAG_LOG_NUMBER:
        edit->log_number = read_number(d, LDB_FILE_NUMBER_MAX);
        edit->has_log_number = true;
        return LDB_OK;
    case TAG_NEXT_FILE_NUMBER:
        edit->next_file_number = read_number(d, LDB_FILE_NUMBER_MAX);
        edit->has_next_file_number = true;
        return LDB_OK;
    case TAG_LAST_SEQUENCE:
        edit->last_sequence = read_number(d, LDB_SEQUENCE_MAX);
        edit->has_last_sequence = true;
        return LDB_OK;
    case TAG_POINTER:
        return read_pointer(d);
    case TAG_DELETED:
        return read_deleted(d);
    case TAG_ADDED:
        return read_added(d);
    case TAG_PREV_LOG_NUMBER:
        edit->prev_log_number = read_number(d, LDB_FILE_NUMBER_MAX);
        edit->has_prev_log_number = true;
        return LDB_OK;
    default:
        d->fault = "unknown tag";
        return LDB_OK;
    }
}

enum ldb_status ldb_version_edit_decode(struct ldb_version_edit *edit,
                                        struct ldb_slice record,
                                        struct ldb_error *err)
{
    struct decoder d = {.edit = edit, .bytes = ldb_reader_make(record)};
    size_t offset = 0;
    uint32_t tag = 0;
    enum ldb_status s = LDB_OK;

    ldb_version_edit_clear(edit);
    while (s == LDB_OK && d.fault == NULL && ldb_reader_left(&d.bytes) != 0) {
        offset = record.len - ldb_reader_left(&d.bytes);
        if (ldb_reader_varint32(&d.bytes, &tag))
            s = read_field(&d, tag);
        else
            d.fault = "tag is cut short or too long";
    }
    if (s == LDB_OK && d.fault == NULL)
        return LDB_OK;
    ldb_version_edit_clear(edit);
    if (s != LDB_OK)
        return ldb_error_no_memory(err);
    return ldb_error_set(err, LDB_CORRUPTION,
                         "field at byte %zu of %zu (tag %" PRIu32 ", %s): %s",
                         offset, record.len, tag,
                         field_name(tag) != NULL ? field_name(tag)
                                                 : "no field of ours",
                         d.fault);
}

/* ---- describing ---- */

static enum ldb_status describe_number(struct ldb_buf *out, enum ldb_status s,
                                       bool has, const char *name,
                                       uint64_t value)
{
    if (s != LDB_OK || !has)
        return s;
    return ldb_buf_printf(out, " %s=%" PRIu64, name, value);
}

static enum ldb_status describe_added(const struct ldb_edit_added *added,
                                      struct ldb_buf *out)
{
    enum ldb_status s;

    s = ldb_buf_printf(out, " add=%" PRIu32 ":%" PRIu64 ":%" PRIu64 ":",
                       added->level, added->meta->number, added->meta->size);
    if (s == LDB_OK)
        s = ldb_internal_key_describe(out, added->meta->smallest);
    if (s == LDB_OK)
        s = ldb_buf_append_byte(out, '-');
    if (s == LDB_OK)
        s = ldb_internal_key_describe(out, added->meta->largest);
    return s;
}

enum ldb_status ldb_version_edit_describe(const struct ldb_version_edit *edit,
                                          struct ldb_buf *out)
{
    size_t start = out->len;
    enum ldb_status s = ldb_buf_printf(out, "edit");

    if (s == LDB_OK && edit->has_comparator)
        s = ldb_buf_printf(out, " comparator=%s", edit->comparator);
    s = describe_number(out, s, edit->has_log_number, "log", edit->log_number);
    s = describe_number(out, s, edit->has_prev_log_number, "prev_log",
                        edit->prev_log_number);
    s = describe_number(out, s, edit->has_next_file_number, "next",
                        edit->next_file_number);
    s = describe_number(out, s, edit->has_last_sequence, "sequence",
                        edit->last_sequence);
    for (size_t i = 0; i < edit->pointer_count && s == LDB_OK; i++) {
        s = ldb_buf_printf(out, " pointer=%" PRIu32 ":",
                           edit->pointers[i].level);
        if (s == LDB_OK)
            s = ldb_internal_key_describe(out, edit->pointers[i].key);
    }
    for (size_t i = 0; i < edit->deleted_count && s == LDB_OK; i++)
        s = ldb_buf_printf(out, " delete=%" PRIu32 ":%" PRIu64,
                           edit->deleted[i].level, edit->deleted[i].number);
    for (size_t i = 0; i < edit->added_count && s == LDB_OK; i++)
        s = describe_added(&edit->added[i], out);
    if (s != LDB_OK)
        out->len = start;
    return s;
}
