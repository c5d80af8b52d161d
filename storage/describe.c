#include "storage/describe.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/journal/journal_reader.h"
#include "storage/table/table_scan.h"

/* Chosen: bytes of a value that a line shows. */
#define VALUE_SHOWN 32

struct listing {
    struct ldb_options options; /* completed */
    const char *name;           /* of the file, in its folder */
    ldb_describe_line line;
    void *context;
    struct ldb_buf text; /* the line being made */
    struct ldb_buf key;  /* scratch */
    uint64_t damages;
    enum ldb_status status; /* of lines made where none can be returned */
};

/* Hands the line over and begins the next one. */
static enum ldb_status end_line(struct listing *list, enum ldb_status made,
                                struct ldb_error *err)
{
    enum ldb_status s;

    if (made != LDB_OK)
        return ldb_error_set(err, made, "line: %s", ldb_status_text(made));
    s = list->line(list->context, ldb_slice_of_buf(&list->text));
    ldb_buf_clear(&list->text);
    if (s != LDB_OK)
        return ldb_error_set(err, s, "line: %s", ldb_status_text(s));
    return LDB_OK;
}

static enum ldb_status print_damage(struct listing *list, const char *message,
                                    struct ldb_error *err)
{
    list->damages++;
    return end_line(list, ldb_buf_printf(&list->text, "! %s", message), err);
}

/* " = "text..." (N bytes)" */
static enum ldb_status add_value(struct ldb_buf *text, struct ldb_slice value)
{
    size_t shown = value.len < VALUE_SHOWN ? value.len : VALUE_SHOWN;
    enum ldb_status s = ldb_buf_append(text, ldb_slice_str(" = \""));

    for (size_t i = 0; s == LDB_OK && i < shown; i++) {
        uint8_t c = value.data[i];

        s = c < 0x20 || c > 0x7e || c == '"' || c == '\\'
                ? ldb_buf_printf(text, "\\x%02x", (unsigned)c)
                : ldb_buf_append_byte(text, c);
    }
    if (s != LDB_OK)
        return s;
    return ldb_buf_printf(text, "%s\" (%zu bytes)",
                          shown < value.len ? "..." : "", value.len);
}

/* ---- journal ---- */

static enum ldb_status print_op(struct listing *list,
                                const struct ldb_batch_op *op,
                                ldb_sequence sequence, struct ldb_error *err)
{
    enum ldb_status s = ldb_buf_append(&list->text, ldb_slice_str("  "));

    ldb_buf_clear(&list->key);
    if (s == LDB_OK)
        s = ldb_internal_key_append(&list->key, op->key,
                                    ldb_tag_make(sequence, op->kind));
    if (s == LDB_OK)
        s = ldb_internal_key_describe(&list->text,
                                      ldb_slice_of_buf(&list->key));
    if (s == LDB_OK && op->kind == LDB_KIND_PUT)
        s = add_value(&list->text, op->value);
    return end_line(list, s, err);
}

static enum ldb_status print_batch(struct listing *list, uint64_t offset,
                                   struct ldb_slice record,
                                   struct ldb_error *err)
{
    struct ldb_error why = {0};
    ldb_sequence sequence = 0;
    uint32_t count = 0;
    struct ldb_batch_cursor cursor;
    struct ldb_batch_op op;
    enum ldb_status s;

    if (ldb_batch_check(record, &why, &sequence, &count) != LDB_OK) {
        struct ldb_error text = {0};

        LDB_IGNORE(ldb_error_set(&text, LDB_CORRUPTION,
                                 "batch at %" PRIu64 ": %.180s", offset,
                                 why.message));
        return print_damage(list, text.message, err);
    }
    s = end_line(list,
                 ldb_buf_printf(&list->text,
                                "%" PRIu64 ": batch of %zu bytes, sequence "
                                "%" PRIu64 ", count %" PRIu32,
                                offset, record.len, sequence, count),
                 err);
    cursor = ldb_batch_cursor_make(record);
    while (s == LDB_OK && ldb_batch_cursor_next(&cursor, &op))
        s = print_op(list, &op, sequence++, err);
    return s;
}

/* ---- MANIFEST ---- */

static enum ldb_status print_edit(struct listing *list, uint64_t offset,
                                  struct ldb_slice record,
                                  struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    struct ldb_error why = {0};
    enum ldb_status s = ldb_version_edit_decode(&edit, record, &why);

    if (s == LDB_NO_MEMORY) {
        s = ldb_error_no_memory(err);
    } else if (s != LDB_OK) {
        struct ldb_error text = {0};

        LDB_IGNORE(ldb_error_set(&text, LDB_CORRUPTION,
                                 "edit at %" PRIu64 ": %.180s", offset,
                                 why.message));
        s = print_damage(list, text.message, err);
    } else {
        s = ldb_buf_printf(&list->text, "%" PRIu64 ": ", offset);
        if (s == LDB_OK)
            s = ldb_version_edit_describe(&edit, &list->text);
        s = end_line(list, s, err);
    }
    ldb_version_edit_release(&edit);
    return s;
}

/* ---- both are journals ---- */

static void on_drop(void *context, uint64_t offset, uint64_t bytes,
                    const char *reason)
{
    struct listing *list = context;
    struct ldb_error text = {0};

    LDB_IGNORE(ldb_error_set(&text, LDB_CORRUPTION,
                             "%" PRIu64 ": %" PRIu64
                             " bytes cannot be used: %s",
                             offset, bytes, reason));
    if (list->status == LDB_OK)
        list->status = print_damage(list, text.message, NULL);
}

static enum ldb_status print_records(struct listing *list,
                                     struct ldb_journal_reader *reader,
                                     bool is_manifest, struct ldb_error *err)
{
    struct ldb_slice record = {0};
    uint64_t tail;
    enum ldb_status s;

    while ((s = ldb_journal_reader_next(reader, err, &record)) == LDB_OK) {
        uint64_t offset = ldb_journal_reader_record_offset(reader);

        s = list->status;
        if (s == LDB_OK)
            s = is_manifest ? print_edit(list, offset, record, err)
                            : print_batch(list, offset, record, err);
        if (s != LDB_OK)
            return s;
    }
    if (s != LDB_NOT_FOUND)
        return s;
    tail = ldb_journal_reader_tail_bytes(reader);
    s = list->status;
    if (s == LDB_OK && tail > 0)
        s = end_line(list,
                     ldb_buf_printf(&list->text,
                                    "# %" PRIu64
                                    " bytes at the end are no whole record",
                                    tail),
                     err);
    return s;
}

static enum ldb_status list_journal(struct listing *list, const char *path,
                                    bool is_manifest, struct ldb_error *err)
{
    const struct ldb_journal_reader_options options = {.on_drop = on_drop,
                                                       .context = list};
    struct ldb_env *env = list->options.env;
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    enum ldb_status s = env->ops->open_sequential(env, path, err, &file);

    if (s != LDB_OK)
        return s;
    s = ldb_journal_reader_create(file, list->name, &options, err, &reader);
    if (s == LDB_OK)
        s = print_records(list, reader, is_manifest, err);
    ldb_journal_reader_destroy(reader);
    ldb_sequential_close(file);
    return s;
}

/* ---- table ---- */

static const char *part_name(enum ldb_table_part part)
{
    switch (part) {
    case LDB_TABLE_DATA:
        return "data block";
    case LDB_TABLE_FILTER:
        return "filter block";
    case LDB_TABLE_METAINDEX:
        return "metaindex block";
    case LDB_TABLE_INDEX:
        return "index block";
    }
    return "block";
}

static enum ldb_status print_block(void *context, enum ldb_table_part part,
                                   struct ldb_block_handle handle,
                                   struct ldb_error *err)
{
    struct listing *list = context;

    return end_line(list,
                    ldb_buf_printf(&list->text,
                                   "%" PRIu64 ": %s of %" PRIu64 " bytes",
                                   handle.offset, part_name(part), handle.size),
                    err);
}

static enum ldb_status print_entry(void *context, uint64_t block_offset,
                                   struct ldb_slice key, struct ldb_slice value,
                                   struct ldb_error *err)
{
    struct listing *list = context;
    enum ldb_status s = ldb_buf_append(&list->text, ldb_slice_str("  "));

    (void)block_offset;
    if (s == LDB_OK)
        s = ldb_internal_key_describe(&list->text, key);
    if (s == LDB_OK && ldb_tag_kind(ldb_internal_tag(key)) == LDB_KIND_PUT)
        s = add_value(&list->text, value);
    return end_line(list, s, err);
}

static enum ldb_status print_table_damage(void *context,
                                          const struct ldb_table_damage *damage,
                                          struct ldb_error *err)
{
    return print_damage(context, damage->message, err);
}

static enum ldb_status list_table(struct listing *list, const char *path,
                                  struct ldb_error *err)
{
    const struct ldb_filter_policy bloom = {.name = LDB_BLOOM_NAME_GOLEVELDB,
                                            .bloom_bits_per_key = 10};
    const struct ldb_table_options options = {
        .comparator = list->options.comparator,
        .filter = list->options.filter != NULL ? list->options.filter : &bloom,
    };
    const struct ldb_table_visitor visitor = {
        .context = list,
        .on_block = print_block,
        .on_entry = print_entry,
        .on_damage = print_table_damage,
    };
    struct ldb_env *env = list->options.env;
    struct ldb_random_file *file = NULL;
    uint64_t size = 0;
    enum ldb_status s = env->ops->file_size(env, path, err, &size);

    if (s == LDB_OK)
        s = env->ops->open_random(env, path, err, &file);
    if (s != LDB_OK)
        return s;
    s = ldb_table_scan(file, size, list->name, &options, &visitor, err, NULL);
    ldb_random_close(file);
    return s;
}

/* ---- any ---- */

static enum ldb_status list_file(struct listing *list, const char *path,
                                 struct ldb_error *err)
{
    uint64_t number;

    switch (ldb_file_name_parse(list->name, &number)) {
    case LDB_FILE_JOURNAL:
        return list_journal(list, path, false, err);
    case LDB_FILE_MANIFEST:
        return list_journal(list, path, true, err);
    case LDB_FILE_TABLE:
    case LDB_FILE_TABLE_SST:
        return list_table(list, path, err);
    case LDB_FILE_FOREIGN:
    case LDB_FILE_CURRENT:
    case LDB_FILE_CURRENT_BAK:
    case LDB_FILE_CURRENT_NEXT:
    case LDB_FILE_DBTMP:
    case LDB_FILE_TMP:
    case LDB_FILE_LOCK:
    case LDB_FILE_LOG:
        break;
    }
    return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                         "%s: not the name of a journal, a MANIFEST or a table",
                         path);
}

enum ldb_status ldb_describe_file(const char *path,
                                  const struct ldb_options *options,
                                  ldb_describe_line line, void *context,
                                  struct ldb_error *err, uint64_t *out_damages)
{
    const char *slash = strrchr(path, '/');
    struct listing list = {
        .name = slash == NULL ? path : slash + 1,
        .line = line,
        .context = context,
        .text = LDB_BUF_INIT(SIZE_MAX),
        .key = LDB_BUF_INIT(SIZE_MAX),
    };
    enum ldb_status s = ldb_options_complete(options, err, &list.options);

    if (s == LDB_OK)
        s = list_file(&list, path, err);
    ldb_buf_release(&list.text);
    ldb_buf_release(&list.key);
    if (s == LDB_OK)
        *out_damages = list.damages;
    return s;
}
