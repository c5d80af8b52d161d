/*
 * Any folder as a database. The input is a list of steps that make its files:
 * literal bytes, records framed as our writers frame them, whole tables, the
 * files of a sound database; and then bits flipped, files cut or removed. That
 * folder, in memory, is opened, read both ways, verified and repaired.
 *
 * Reading, verifying and a dry run change no byte. What repair leaves behind
 * is clean, opens, reads alike both ways and takes a write; it is what the dry
 * run told, and a second repair has nothing to do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/reader.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_writer.h"
#include "storage/table/table_builder.h"
#include "storage/verify.h"
#include "storage/version/version_edit.h"

#define DIR "/db"

/* Bounds of one input, so that it stays fast and small. Chosen. */
#define FILES_MAX     24
#define FILE_BYTES    ((size_t)1 << 16)
#define STEPS_MAX     64
#define ENTRIES_MAX   64
#define FOLDER_BYTES  ((size_t)1 << 24)
#define NUMBERED_KEYS 256

/* Moves of a cursor in a folder that was not repaired. Chosen. */
#define MOVES_MAX 4000

struct file {
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_buf bytes;
};

struct folder {
    struct file files[FILES_MAX];
    size_t count;
};

/* Of the last table made, for a record that names it. */
struct made_table {
    uint64_t number;
    uint64_t size;
    unsigned first;
    unsigned count;
    ldb_sequence sequence;
};

enum option_bit {
    OPTION_STRICT_JOURNAL = 1,
    OPTION_SKIP_JOURNAL_CHECKSUMS = 2,
    OPTION_SKIP_READ_DAMAGE = 4,
    OPTION_SKIP_COMPACTION_DAMAGE = 8,
    OPTION_SKIP_MANIFEST_DAMAGE = 16,
    OPTION_STRICT_RECOVERY = 32,
    OPTION_COMPACT = 64,
};

/* Made by the engine, once. */
static struct folder sound;

/* ---- small things ---- */

/* What is OK, or says why not. */
static bool succeeds(enum ldb_status s, const struct ldb_error *err)
{
    assert(s == LDB_OK || err->message[0] != '\0');
    return s == LDB_OK;
}

/* What cannot fail in memory. */
static void must(enum ldb_status s)
{
    if (s != LDB_OK)
        abort();
}

static void set_options(struct ldb_env *env, unsigned bits,
                        struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env;
    out->block_bytes = 256;
    out->write_buffer_bytes = FILE_BYTES;
    out->block_cache_bytes = FILE_BYTES;
    out->strict_journal = (bits & OPTION_STRICT_JOURNAL) != 0;
    out->skip_journal_checksums = (bits & OPTION_SKIP_JOURNAL_CHECKSUMS) != 0;
    out->skip_read_damage = (bits & OPTION_SKIP_READ_DAMAGE) != 0;
    out->skip_compaction_damage = (bits & OPTION_SKIP_COMPACTION_DAMAGE) != 0;
    out->skip_manifest_damage = (bits & OPTION_SKIP_MANIFEST_DAMAGE) != 0;
}

static void print_key(char key[16], unsigned n)
{
    (void)snprintf(key, 16, "key%04u", n % NUMBERED_KEYS);
}

/* ---- folders ---- */

static void folder_release(struct folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        ldb_buf_release(&folder->files[i].bytes);
    folder->count = 0;
}

/* The file of that name, made empty when it is not there; NULL: no room. */
static struct file *folder_file(struct folder *folder, const char *name)
{
    struct file *file;

    for (size_t i = 0; i < folder->count; i++) {
        if (strcmp(folder->files[i].name, name) == 0)
            return &folder->files[i];
    }
    if (folder->count == FILES_MAX)
        return NULL;
    file = &folder->files[folder->count++];
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    file->bytes = (struct ldb_buf)LDB_BUF_INIT(FILE_BYTES);
    return file;
}

static void write_file(struct ldb_env *env, const struct file *file)
{
    struct ldb_writable_file *out = NULL;
    char path[64];

    (void)snprintf(path, sizeof(path), DIR "/%s", file->name);
    must(env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, NULL, &out));
    must(ldb_file_append(out, ldb_slice_of_buf(&file->bytes), NULL));
    must(ldb_file_close(out, NULL));
}

static struct ldb_env *folder_mount(const struct folder *folder)
{
    struct ldb_env *env = NULL;

    must(ldb_env_memory_create(NULL, &env));
    must(env->ops->create_dir(env, DIR, NULL));
    for (size_t i = 0; i < folder->count; i++)
        write_file(env, &folder->files[i]);
    return env;
}

struct listing {
    struct ldb_env *env;
    bool with_lock;
    struct ldb_buf bytes; /* name, NUL, size, content, for each file */
};

static enum ldb_status take_listed(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t size = 0;
    char path[300];

    if (!listing->with_lock && strcmp(name, "LOCK") == 0)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), DIR "/%s", name);
    must(ldb_buf_append(&listing->bytes,
                        ldb_slice_make(name, strlen(name) + 1)));
    if (listing->env->ops->file_size(listing->env, path, NULL, &size) != LDB_OK)
        return LDB_OK; /* lost/ */
    must(ldb_buf_append(&listing->bytes, ldb_slice_make(&size, sizeof(size))));
    return ldb_env_read_file(listing->env, path, NULL, &listing->bytes);
}

/* All names and bytes of the folder; what takes the lock may make LOCK. */
static struct ldb_buf list(struct ldb_env *env, bool with_lock)
{
    struct listing listing = {.env = env,
                              .with_lock = with_lock,
                              .bytes = LDB_BUF_INIT(FOLDER_BYTES)};

    must(env->ops->list_dir(env, DIR, take_listed, &listing, NULL));
    return listing.bytes;
}

/* The folder is still what *before tells, which is released. */
static void assert_unchanged(struct ldb_env *env, bool with_lock,
                             struct ldb_buf *before)
{
    struct ldb_buf after = list(env, with_lock);

    assert(ldb_slice_equal(ldb_slice_of_buf(before), ldb_slice_of_buf(&after)));
    ldb_buf_release(before);
    ldb_buf_release(&after);
}

/* ---- the sound database ---- */

static void put_keys(struct ldb_db *db, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        char key[16];

        print_key(key, n);
        must(ldb_put(db, ldb_slice_str(key), ldb_slice_str(key), false, NULL,
                     NULL));
    }
}

static enum ldb_status take_sound(void *context, const char *name)
{
    struct ldb_env *env = context;
    struct file *file = folder_file(&sound, name);
    char path[64];

    (void)snprintf(path, sizeof(path), DIR "/%s", name);
    return ldb_env_read_file(env, path, NULL, &file->bytes);
}

/* A table below level 0 of several blocks, one in level 0, a journal. */
static void make_sound(void)
{
    struct ldb_options options;
    struct ldb_env *env = NULL;
    struct ldb_db *db = NULL;

    must(ldb_env_memory_create(NULL, &env));
    set_options(env, 0, &options);
    options.create_if_missing = true;
    must(ldb_open(DIR, &options, NULL, NULL, &db));
    put_keys(db, 0, 60);
    must(ldb_compact_range(db, NULL, NULL, NULL));
    put_keys(db, 40, 60);
    must(ldb_flush(db, NULL));
    put_keys(db, 55, 70);
    must(ldb_delete(db, ldb_slice_str("key0003"), false, NULL, NULL));
    must(ldb_close(db, NULL));
    must(env->ops->list_dir(env, DIR, take_sound, env, NULL));
    ldb_env_memory_destroy(env);
}

/* ---- the steps ---- */

struct maker {
    struct ldb_reader in;
    struct folder folder;
    struct made_table table;
};

static uint8_t read_byte(struct maker *maker)
{
    uint8_t byte = 0;

    (void)ldb_reader_u8(&maker->in, &byte);
    return byte;
}

static uint64_t read_number(struct maker *maker)
{
    uint64_t number = 0;

    (void)ldb_reader_varint64(&maker->in, &number);
    return number;
}

/* A file by kind and number; NULL: no room. */
static struct file *read_file_name(struct maker *maker)
{
    static const enum ldb_file_type kinds[] = {
        LDB_FILE_JOURNAL,  LDB_FILE_TABLE,       LDB_FILE_TABLE_SST,
        LDB_FILE_MANIFEST, LDB_FILE_CURRENT,     LDB_FILE_CURRENT_BAK,
        LDB_FILE_DBTMP,    LDB_FILE_TMP,         LDB_FILE_LOCK,
        LDB_FILE_LOG,      LDB_FILE_CURRENT_NEXT};
    uint8_t kind = read_byte(maker);
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, kinds[kind % (sizeof(kinds) / sizeof(*kinds))],
                        read_number(maker));
    return folder_file(&maker->folder, name);
}

/* One that is there; NULL: none is. */
static struct file *read_file_index(struct maker *maker)
{
    size_t i = read_byte(maker);

    if (maker->folder.count == 0)
        return NULL;
    return &maker->folder.files[i % maker->folder.count];
}

static void add_bytes(struct maker *maker)
{
    struct file *file = read_file_name(maker);
    struct ldb_slice bytes = {0};

    if (ldb_reader_length_prefixed(&maker->in, &bytes) && file != NULL)
        (void)!ldb_buf_append(&file->bytes, bytes);
}

/* Bytes that a writer puts into a file of a folder. */
struct image_writer {
    struct ldb_writable_file base;
    struct ldb_buf *bytes;
};

static enum ldb_status image_append(struct ldb_writable_file *base,
                                    struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    (void)err;
    return ldb_buf_append(((struct image_writer *)(void *)base)->bytes, bytes);
}

static enum ldb_status image_sync(struct ldb_writable_file *base,
                                  struct ldb_error *err)
{
    (void)base;
    (void)err;
    return LDB_OK;
}

static const struct ldb_writable_file_ops image_ops = {
    .append = image_append, .sync = image_sync, .close = image_sync};

static void append_record(struct file *file, struct ldb_slice record)
{
    struct image_writer out = {.base = {.ops = &image_ops},
                               .bytes = &file->bytes};
    struct ldb_journal_writer *writer = NULL;

    must(ldb_journal_writer_create(&out.base, file->bytes.len, NULL, &writer));
    must(ldb_journal_writer_add(writer, &record, 1, NULL));
    (void)!ldb_journal_writer_flush(writer, NULL);
    must(ldb_journal_writer_close(writer, NULL));
}

static void add_record(struct maker *maker)
{
    struct file *file = read_file_name(maker);
    struct ldb_slice record = {0};

    if (ldb_reader_length_prefixed(&maker->in, &record) && file != NULL)
        append_record(file, record);
}

static struct ldb_buf table_key(const struct made_table *table, unsigned i)
{
    struct ldb_buf internal = LDB_BUF_INIT(64);
    char key[16];

    print_key(key, table->first + i);
    must(ldb_internal_key_append(
        &internal, ldb_slice_str(key),
        ldb_tag_make(table->sequence + i, LDB_KIND_PUT)));
    return internal;
}

static void build_table(struct made_table *table, struct file *file)
{
    static const struct ldb_filter_policy bloom = {
        .name = LDB_BLOOM_NAME_GOLEVELDB, .bloom_bits_per_key = 10};
    const struct ldb_table_options options = {.comparator =
                                                  ldb_comparator_bytewise(),
                                              .filter = &bloom,
                                              .block_size = 256,
                                              .restart_interval = 4};
    struct image_writer out = {.base = {.ops = &image_ops},
                               .bytes = &file->bytes};
    struct ldb_table_builder *builder = NULL;

    ldb_buf_clear(&file->bytes);
    must(ldb_table_builder_create(&out.base, &options, NULL, &builder));
    for (unsigned i = 0; i < table->count; i++) {
        struct ldb_buf key = table_key(table, i);

        must(ldb_table_builder_add(builder, ldb_slice_of_buf(&key),
                                   ldb_slice_str("value"), NULL));
        ldb_buf_release(&key);
    }
    must(ldb_table_builder_finish(builder, NULL));
    table->size = ldb_table_builder_file_size(builder);
    ldb_table_builder_destroy(builder);
}

static void add_table(struct maker *maker)
{
    struct made_table table = {.number = read_number(maker)};
    char name[LDB_FILE_NAME_SIZE];
    struct file *file;

    table.first = read_byte(maker) % (NUMBERED_KEYS - ENTRIES_MAX);
    table.count = 1 + read_byte(maker) % ENTRIES_MAX;
    table.sequence = read_number(maker) % (LDB_SEQUENCE_MAX - ENTRIES_MAX);
    ldb_file_name_print(name, LDB_FILE_TABLE, table.number);
    file = folder_file(&maker->folder, name);
    if (file == NULL)
        return;
    build_table(&table, file);
    maker->table = table;
}

/* A record that adds the table made last to a level. */
static void add_edit(struct maker *maker)
{
    const struct made_table *table = &maker->table;
    struct file *file = read_file_name(maker);
    uint32_t level = read_byte(maker) % LDB_LEVEL_COUNT;
    struct ldb_version_edit edit = {0};
    struct ldb_buf record = LDB_BUF_INIT(FILE_BYTES);
    struct ldb_buf smallest;
    struct ldb_buf largest;
    struct ldb_file_meta *meta;

    if (file == NULL || table->count == 0)
        return;
    smallest = table_key(table, 0);
    largest = table_key(table, table->count - 1);
    meta = ldb_file_meta_create(table->number & LDB_FILE_NUMBER_MAX,
                                table->size, ldb_slice_of_buf(&smallest),
                                ldb_slice_of_buf(&largest));
    must(ldb_version_edit_add_file(&edit, level, meta));
    must(ldb_version_edit_encode(&edit, &record));
    append_record(file, ldb_slice_of_buf(&record));
    ldb_file_meta_unref(meta);
    ldb_version_edit_release(&edit);
    ldb_buf_release(&smallest);
    ldb_buf_release(&largest);
    ldb_buf_release(&record);
}

/* The sound database, without the files whose bit is set. */
static void add_sound(struct maker *maker)
{
    uint8_t without = read_byte(maker);

    for (size_t i = 0; i < sound.count; i++) {
        struct file *file = NULL;

        if (i >= 8 || (without >> i & 1) == 0)
            file = folder_file(&maker->folder, sound.files[i].name);
        if (file != NULL)
            must(ldb_buf_assign(&file->bytes,
                                ldb_slice_of_buf(&sound.files[i].bytes)));
    }
}

static void flip(struct maker *maker)
{
    struct file *file = read_file_index(maker);
    uint64_t at = read_number(maker);
    uint8_t bits = read_byte(maker);

    if (file != NULL && file->bytes.len > 0)
        file->bytes.data[at % file->bytes.len] ^= bits;
}

static void cut(struct maker *maker)
{
    struct file *file = read_file_index(maker);
    uint64_t len = read_number(maker);

    if (file != NULL && len < file->bytes.len)
        file->bytes.len = (size_t)len;
}

static void drop(struct maker *maker)
{
    struct file *file = read_file_index(maker);

    if (file == NULL)
        return;
    ldb_buf_release(&file->bytes);
    *file = maker->folder.files[--maker->folder.count];
}

static void make_folder(struct maker *maker)
{
    static void (*const steps[])(struct maker * maker) = {
        add_bytes, add_record, add_table, add_edit, add_sound, flip, cut, drop};

    for (unsigned i = 0; i < STEPS_MAX && ldb_reader_left(&maker->in) > 0; i++)
        steps[read_byte(maker) % 8](maker);
}

/* ---- reading ---- */

/* Entries from the one end; the other end, or why not, is in *out_status. */
static uint64_t walk(struct ldb_cursor *cursor, bool is_forward,
                     uint64_t moves_max, enum ldb_status *out_status)
{
    struct ldb_error err = {0};
    uint64_t count = 0;

    if (is_forward)
        ldb_cursor_seek_first(cursor);
    else
        ldb_cursor_seek_last(cursor);
    for (; ldb_cursor_valid(cursor) && count < moves_max; count++) {
        assert(ldb_cursor_sequence(cursor) <= LDB_SEQUENCE_MAX);
        if (is_forward)
            ldb_cursor_next(cursor);
        else
            ldb_cursor_prev(cursor);
    }
    *out_status = ldb_cursor_status(cursor, &err);
    (void)succeeds(*out_status, &err);
    return count;
}

static void read_both_ways(struct ldb_db *db, bool is_repaired)
{
    uint64_t moves_max = is_repaired ? UINT64_MAX : MOVES_MAX;
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    enum ldb_status there;
    enum ldb_status back;
    uint64_t count;

    if (!succeeds(ldb_cursor_open(db, NULL, &err, &cursor), &err)) {
        assert(!is_repaired);
        return;
    }
    count = walk(cursor, true, moves_max, &there);
    assert(walk(cursor, false, moves_max, &back) == count || !is_repaired);
    assert((there == LDB_OK && back == LDB_OK) || !is_repaired);
    ldb_cursor_seek(cursor, ldb_slice_str("key0050"));
    if (ldb_cursor_valid(cursor))
        ldb_cursor_prev(cursor);
    ldb_cursor_close(cursor);
}

static void get_some(struct ldb_db *db, bool is_repaired)
{
    for (unsigned n = 0; n < NUMBERED_KEYS; n += 19) {
        struct ldb_buf value = LDB_BUF_INIT(FOLDER_BYTES);
        struct ldb_error err = {0};
        char key[16];
        enum ldb_status s;

        print_key(key, n);
        s = ldb_get(db, ldb_slice_str(key), NULL, &err, &value, NULL, NULL);
        assert(s == LDB_OK || s == LDB_NOT_FOUND || !is_repaired);
        ldb_buf_release(&value);
    }
}

static void write_some(struct ldb_db *db, unsigned bits)
{
    struct ldb_error err = {0};

    /* The folder may be such that no sequence or file number is left. */
    if (succeeds(ldb_put(db, ldb_slice_str("key0050"), ldb_slice_str("new"),
                         true, &err, NULL),
                 &err))
        get_some(db, false);
    (void)succeeds(ldb_flush(db, &err), &err);
    if ((bits & OPTION_COMPACT) != 0)
        (void)succeeds(ldb_compact_range(db, NULL, NULL, &err), &err);
}

static void open_and_read(struct ldb_env *env, unsigned bits, bool is_read_only,
                          bool is_repaired)
{
    struct ldb_verify_summary summary;
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    set_options(env, bits, &options);
    options.read_only = is_read_only;
    if (!succeeds(ldb_open(DIR, &options, NULL, &err, &db), &err)) {
        assert(!is_repaired);
        return;
    }
    read_both_ways(db, is_repaired);
    get_some(db, is_repaired);
    (void)succeeds(ldb_verify_db(db, NULL, NULL, NULL, &err, &summary), &err);
    if (!is_read_only)
        write_some(db, bits);
    (void)succeeds(ldb_close(db, &err), &err);
}

/* ---- repairing ---- */

static void hear(void *context, const char *text)
{
    (void)context;
    assert(text[0] != '\0');
}

/* Only what its contract names goes wrong in memory. */
static bool repair(struct ldb_env *env, unsigned bits, bool is_dry,
                   struct ldb_repair_report *out)
{
    const struct ldb_repair_options how = {
        .dry_run = is_dry,
        .strict_recovery = (bits & OPTION_STRICT_RECOVERY) != 0,
        .line = hear};
    struct ldb_options options;
    struct ldb_error err = {0};
    enum ldb_status s;

    set_options(env, 0, &options);
    s = ldb_repair(DIR, &options, &how, out, &err);
    assert(s == LDB_OK || s == LDB_NOT_FOUND || s == LDB_INVALID_ARGUMENT ||
           s == LDB_NOT_SUPPORTED);
    return succeeds(s, &err);
}

static void assert_clean(struct ldb_env *env)
{
    struct ldb_verify_summary summary = {0};
    struct ldb_options options;

    set_options(env, 0, &options);
    must(ldb_verify_folder(DIR, &options, NULL, NULL, NULL, &summary));
    assert(summary.damages == 0);
}

/* What the dry run told is what was done. */
static void assert_told(const struct ldb_repair_report *told,
                        const struct ldb_repair_report *done)
{
    assert(told->needed == done->needed);
    assert(told->damages == done->damages);
    assert(told->tables_kept == done->tables_kept);
    assert(told->tables_rewritten == done->tables_rewritten);
    assert(told->tables_lost == done->tables_lost);
    assert(told->tables_placed == done->tables_placed);
    assert(told->entries_salvaged == done->entries_salvaged);
    assert(told->journal_records == done->journal_records);
    assert(told->files_kept_in_lost == done->files_kept_in_lost);
    assert(told->last_sequence == done->last_sequence);
}

static void repair_and_read(struct ldb_env *env, unsigned bits)
{
    struct ldb_repair_report told = {0};
    struct ldb_repair_report done = {0};
    struct ldb_repair_report again = {0};
    struct ldb_buf before = list(env, true);
    bool is_told = repair(env, bits, true, &told);

    assert_unchanged(env, true, &before);
    before = list(env, false);
    assert(repair(env, bits, false, &done) == is_told);
    if (!is_told || !done.needed)
        assert_unchanged(env, false, &before);
    ldb_buf_release(&before);
    if (!is_told)
        return;
    assert_told(&told, &done);
    assert_clean(env);
    assert(repair(env, bits, false, &again) && !again.needed);
    open_and_read(env, 0, true, true);
    open_and_read(env, OPTION_COMPACT, false, true);
    assert_clean(env);
}

/* ---- the target ---- */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct maker maker = {.in = ldb_reader_make(ldb_slice_make(bytes, len))};
    struct ldb_verify_summary summary;
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_env *env;
    struct ldb_buf before;
    unsigned bits;

    if (sound.count == 0)
        make_sound();
    bits = read_byte(&maker);
    make_folder(&maker);

    env = folder_mount(&maker.folder);
    before = list(env, true);
    open_and_read(env, bits, true, false);
    set_options(env, 0, &options);
    (void)succeeds(ldb_verify_folder(DIR, &options, NULL, NULL, &err, &summary),
                   &err);
    assert_unchanged(env, true, &before);
    repair_and_read(env, bits);
    ldb_env_memory_destroy(env);

    env = folder_mount(&maker.folder);
    open_and_read(env, bits, false, false);
    ldb_env_memory_destroy(env);
    folder_release(&maker.folder);
    return 0;
}
