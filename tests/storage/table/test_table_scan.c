/* All of a table is read, and all that is wrong with it is told, with what is
 * around it read all the same. */
#include "storage/table/table_scan.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/base/internal_key.h"
#include "storage/table/block_builder.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/table_file.h"

#define NAME "000007.ldb"

/* Chosen: several blocks of the size below. */
#define COUNT      60
#define BLOCK_SIZE 256
#define BLOCKS_MAX 32

static const struct ldb_filter_policy bloom = {.name = LDB_BLOOM_NAME_GOLEVELDB,
                                               .bloom_bits_per_key = 10};

/* What a scan told. */
struct told {
    struct ldb_block_handle handles[BLOCKS_MAX]; /* of data blocks */
    size_t data_blocks;
    size_t blocks[LDB_TABLE_INDEX + 1];  /* of each part */
    const struct vector_entry *expected; /* the entries; NULL: any */
    size_t entries;
    size_t damages;
    uint64_t offset; /* of the first damage, as all below */
    char message[256];
    char after[VECTOR_KEY_SIZE]; /* its user key */
    char until[VECTOR_KEY_SIZE];
    /* The call that many from now returns LDB_LOCKED; 0: none does. */
    size_t stop_at;
    size_t calls;
};

static enum ldb_status count_call(struct told *told, struct ldb_error *err)
{
    if (++told->calls == told->stop_at)
        return ldb_error_set(err, LDB_LOCKED, "stopped");
    assert_true(told->stop_at == 0 || told->calls < told->stop_at);
    return LDB_OK;
}

static enum ldb_status on_block(void *context, enum ldb_table_part part,
                                struct ldb_block_handle handle,
                                struct ldb_error *err)
{
    struct told *told = context;

    told->blocks[part]++;
    if (part == LDB_TABLE_DATA) {
        assert_true(told->data_blocks < BLOCKS_MAX);
        told->handles[told->data_blocks++] = handle;
    }
    return count_call(told, err);
}

static enum ldb_status on_entry(void *context, uint64_t block_offset,
                                struct ldb_slice key, struct ldb_slice value,
                                struct ldb_error *err)
{
    struct told *told = context;

    assert_true(key.len >= LDB_TAG_SIZE);
    assert_true(told->data_blocks > 0);
    assert_int_equal(block_offset, told->handles[told->data_blocks - 1].offset);
    if (told->expected != NULL) {
        const struct vector_entry *entry = &told->expected[told->entries];

        assert_ldb_slice(vector_entry_key(entry), key);
        assert_ldb_slice(ldb_slice_str(entry->value), value);
    }
    told->entries++;
    return count_call(told, err);
}

static void copy_user_key(struct ldb_slice key, char out[VECTOR_KEY_SIZE])
{
    if (key.len == 0)
        return;
    assert_in_range(key.len, LDB_TAG_SIZE, VECTOR_KEY_SIZE);
    memcpy(out, key.data, key.len - LDB_TAG_SIZE);
}

static enum ldb_status on_damage(void *context,
                                 const struct ldb_table_damage *damage,
                                 struct ldb_error *err)
{
    struct told *told = context;

    assert_non_null(strstr(damage->message, NAME));
    if (told->damages++ == 0) {
        told->offset = damage->offset;
        (void)snprintf(told->message, sizeof(told->message), "%s",
                       damage->message);
        copy_user_key(damage->after, told->after);
        copy_user_key(damage->until, told->until);
    }
    return count_call(told, err);
}

static enum ldb_status scan_file(struct ldb_random_file *file, uint64_t size,
                                 struct told *told, struct ldb_error *err,
                                 struct ldb_table_scan_result *out)
{
    struct ldb_table_options options = table_file_options();
    const struct ldb_table_visitor visitor = {
        .context = told,
        .on_block = on_block,
        .on_entry = on_entry,
        .on_damage = on_damage,
    };

    options.filter = &bloom;
    return ldb_table_scan(file, size, NAME, &options, &visitor, err, out);
}

/* Scans bytes; the result's counts must be those told. */
static struct ldb_table_scan_result scan(struct ldb_slice bytes, bool mapped,
                                         struct told *told)
{
    struct ldb_table_scan_result result = {0};
    struct table_source source;
    struct ldb_error err = {0};

    table_source_init(&source, bytes, mapped);
    assert_ldb_ok(scan_file(&source.base, bytes.len, told, &err, &result),
                  &err);
    assert_int_equal(result.damages, told->damages);
    assert_int_equal(result.entries, told->entries);
    assert_true(result.blocks == told->data_blocks || told->damages > 0);
    return result;
}

struct fixture {
    struct vector_entry entries[COUNT];
    struct ldb_buf file;
    struct told sound; /* what a scan of it told */
};

static int setup(void **state)
{
    struct ldb_table_options options = table_file_options();
    static struct fixture f;

    f = (struct fixture){.file = LDB_BUF_INIT(TABLE_FILE_MAX)};
    options.filter = &bloom;
    options.block_size = BLOCK_SIZE;
    table_file_entries(f.entries, COUNT);
    table_file_build(&options, f.entries, COUNT, &f.file);
    (void)scan(ldb_slice_of_buf(&f.file), true, &f.sound);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_buf_release(&f->file);
    return 0;
}

static struct ldb_footer footer_of(const struct fixture *f)
{
    struct ldb_slice bytes = ldb_slice_of_buf(&f->file);
    struct ldb_footer footer;

    bytes.data += bytes.len - LDB_FOOTER_SIZE;
    bytes.len = LDB_FOOTER_SIZE;
    assert_true(ldb_footer_read(bytes, &footer));
    return footer;
}

/* ---- a sound table ---- */

static void a_sound_table_is_told_whole_and_in_order(void **state)
{
    struct fixture *f = *state;

    for (int mapped = 0; mapped < 2; mapped++) {
        struct told told = {.expected = f->entries};
        struct ldb_table_scan_result result =
            scan(ldb_slice_of_buf(&f->file), mapped != 0, &told);

        assert_int_equal(result.damages, 0);
        assert_int_equal(result.entries, COUNT);
        assert_false(result.is_index_lost);
        assert_true(result.blocks > 3);
        assert_int_equal(told.blocks[LDB_TABLE_DATA], result.blocks);
        assert_int_equal(told.blocks[LDB_TABLE_INDEX], 1);
        assert_int_equal(told.blocks[LDB_TABLE_METAINDEX], 1);
        assert_true(told.blocks[LDB_TABLE_FILTER] > 0);
    }
}

static void a_scan_needs_no_visitor_and_no_result(void **state)
{
    const struct ldb_table_visitor nobody = {0};
    struct ldb_table_options options = table_file_options();
    struct ldb_table_scan_result result = {0};
    struct fixture *f = *state;
    struct table_source source;
    struct ldb_error err = {0};

    table_source_init(&source, ldb_slice_of_buf(&f->file), false);
    f->file.data[0] ^= 1;
    assert_ldb_ok(ldb_table_scan(&source.base, f->file.len, NAME, &options,
                                 &nobody, &err, &result),
                  &err);
    assert_int_equal(result.damages, 1);
    assert_ldb_ok(ldb_table_scan(&source.base, f->file.len, NAME, &options,
                                 &nobody, &err, NULL),
                  &err);
}

/* ---- damaged bytes ---- */

static void damage_in_a_data_block_costs_that_block_alone(void **state)
{
    struct fixture *f = *state;
    size_t lost = 0;

    for (size_t i = 0; i < f->sound.data_blocks; i++) {
        uint64_t offset = f->sound.handles[i].offset;
        struct told told = {0};
        struct ldb_table_scan_result result;

        f->file.data[offset + 3] ^= 0x20;
        result = scan(ldb_slice_of_buf(&f->file), i % 2 == 0, &told);
        f->file.data[offset + 3] ^= 0x20;
        assert_int_equal(result.damages, 1);
        assert_int_equal(result.blocks, f->sound.data_blocks - 1);
        assert_false(result.is_index_lost);
        assert_int_equal(told.offset, offset);
        assert_non_null(strstr(told.message, "checksum"));
        /* What is lost lies in (after, until]. */
        if (i == 0)
            assert_string_equal(told.after, "");
        else
            assert_true(strcmp(told.after, f->entries[lost].value) < 0);
        lost += COUNT - (size_t)result.entries;
        assert_true(strcmp(f->entries[lost - 1].value, told.until) <= 0);
        if (lost < COUNT)
            assert_true(strcmp(told.until, f->entries[lost].value) < 0);
    }
    assert_int_equal(lost, COUNT);
}

static void only_the_index_is_needed_to_find_the_entries(void **state)
{
    struct fixture *f = *state;
    struct ldb_footer footer = footer_of(f);
    const struct {
        const char *name;
        uint64_t offset;
        bool is_index_lost;
    } rows[] = {
        {"index", footer.index.offset, true},
        {"metaindex", footer.metaindex.offset, false},
        {"filter", footer.metaindex.offset - LDB_BLOCK_TRAILER_SIZE - 1, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct told told = {0};
        struct ldb_table_scan_result result;

        f->file.data[rows[i].offset] ^= 1;
        result = scan(ldb_slice_of_buf(&f->file), true, &told);
        f->file.data[rows[i].offset] ^= 1;
        if (result.damages == 0)
            fail_msg("damage of the %s was not told", rows[i].name);
        assert_int_equal(result.is_index_lost, rows[i].is_index_lost);
        assert_int_equal(result.entries, rows[i].is_index_lost ? 0 : COUNT);
        assert_string_equal(told.after, "");
        assert_string_equal(told.until, "");
    }
}

static void a_footer_that_is_none_loses_the_index(void **state)
{
    static const struct {
        const char *message;
        size_t at; /* of the footer, overwritten from there by 0xff */
        size_t len;
    } rows[] = {
        {"bad magic number", LDB_FOOTER_HANDLES_SIZE, 1},
        {"bad magic number", LDB_FOOTER_SIZE - 1, 1},
        {"bad block handle", 0, LDB_FOOTER_HANDLES_SIZE},
    };
    struct fixture *f = *state;
    uint64_t at = f->file.len - LDB_FOOTER_SIZE;
    uint8_t kept[LDB_FOOTER_SIZE];

    memcpy(kept, f->file.data + at, sizeof(kept));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct told told = {0};
        struct ldb_table_scan_result result;

        memset(f->file.data + at + rows[i].at, 0xff, rows[i].len);
        result = scan(ldb_slice_of_buf(&f->file), true, &told);
        memcpy(f->file.data + at, kept, sizeof(kept));
        assert_int_equal(result.damages, 1);
        assert_true(result.is_index_lost);
        assert_int_equal(told.offset, at);
        if (strstr(told.message, rows[i].message) == NULL)
            fail_msg("%s, not %s", told.message, rows[i].message);
    }
}

static void each_cut_is_told(void **state)
{
    struct fixture *f = *state;

    for (size_t len = 0; len < f->file.len; len++) {
        struct told told = {0};
        struct ldb_table_scan_result result =
            scan(ldb_slice_make(f->file.data, len), false, &told);

        assert_true(result.damages > 0);
        assert_true(result.is_index_lost);
        assert_true((len < LDB_FOOTER_SIZE) ==
                    (strstr(told.message, "too short") != NULL));
    }
}

static void each_flipped_byte_is_told(void **state)
{
    struct fixture *f = *state;
    size_t magic = f->file.len - LDB_FOOTER_SIZE + LDB_FOOTER_HANDLES_SIZE;
    uint8_t handles[LDB_FOOTER_HANDLES_SIZE];
    struct ldb_footer footer = footer_of(f);
    size_t padding = f->file.len - LDB_FOOTER_SIZE;

    /* Nobody reads the zeros behind the handles. */
    padding += (size_t)(ldb_block_handle_store(
                            ldb_block_handle_store(handles, footer.metaindex),
                            footer.index) -
                        handles);
    for (size_t at = 0; at < f->file.len; at++) {
        struct told told = {0};

        if (at >= padding && at < magic)
            continue;
        f->file.data[at] ^= 0x41;
        (void)scan(ldb_slice_of_buf(&f->file), true, &told);
        f->file.data[at] ^= 0x41;
        if (told.damages == 0)
            fail_msg("flip at %zu was not told", at);
    }
}

/* ---- sound bytes that say nonsense ---- */

static struct ldb_block_handle add_block(struct ldb_buf *file,
                                         struct ldb_slice contents)
{
    struct ldb_block_handle handle = {.offset = file->len,
                                      .size = contents.len};
    uint8_t trailer[LDB_BLOCK_TRAILER_SIZE] = {LDB_BLOCK_PLAIN};
    uint32_t crc =
        ldb_crc32c_extend(ldb_crc32c(contents), ldb_slice_make(trailer, 1));

    ldb_store_fixed32(trailer + 1, ldb_crc_mask(crc));
    assert_ldb_ok(ldb_buf_append(file, contents), NULL);
    assert_ldb_ok(
        ldb_buf_append(file, ldb_slice_make(trailer, sizeof(trailer))), NULL);
    return handle;
}

/* A block of count entries, all restarts. */
static struct ldb_block_handle
add_entries(struct ldb_buf *file, struct ldb_slice (*pairs)[2], size_t count)
{
    struct ldb_block_builder builder;
    struct ldb_block_handle handle;
    struct ldb_slice contents;

    ldb_block_builder_init(&builder, 1);
    for (size_t i = 0; i < count; i++)
        assert_ldb_ok(ldb_block_builder_add(&builder, pairs[i][0], pairs[i][1]),
                      NULL);
    assert_ldb_ok(ldb_block_builder_finish(&builder, &contents), NULL);
    handle = add_block(file, contents);
    ldb_block_builder_release(&builder);
    return handle;
}

struct key {
    const char *user;
    uint64_t sequence;
    int kind;
};

struct nonsense {
    const char *message;
    struct key keys[2]; /* of the entries */
    struct key index_key;
    const char *index_value; /* NULL: the block's handle */
    size_t key_cut;          /* bytes cut off the second key */
    size_t damages;
    size_t visited;
};

static struct vector_entry make_key(const struct key *key)
{
    return vector_entry_make(key->user, key->sequence, key->kind, "v");
}

/* One data block, an empty metaindex, an index of one entry. */
static void make_nonsense(const struct nonsense *row, struct ldb_buf *file)
{
    struct vector_entry index_key = make_key(&row->index_key);
    struct vector_entry entries[2];
    struct ldb_slice pairs[2][2];
    uint8_t value[LDB_BLOCK_HANDLE_MAX];
    uint8_t bytes[LDB_FOOTER_SIZE];
    struct ldb_footer footer;
    struct ldb_block_handle data;

    for (size_t i = 0; i < 2; i++) {
        entries[i] = make_key(&row->keys[i]);
        pairs[i][0] = vector_entry_key(&entries[i]);
        pairs[i][1] = ldb_slice_str("v");
    }
    pairs[1][0].len -= row->key_cut;
    data = add_entries(file, pairs, 2);
    footer.metaindex = add_entries(file, NULL, 0);
    pairs[0][0] = vector_entry_key(&index_key);
    pairs[0][1] = ldb_slice_make(
        value, (size_t)(ldb_block_handle_store(value, data) - value));
    if (row->index_value != NULL)
        pairs[0][1] = ldb_slice_str(row->index_value);
    footer.index = add_entries(file, pairs, 1);
    ldb_footer_store(bytes, &footer);
    assert_ldb_ok(ldb_buf_append(file, ldb_slice_make(bytes, sizeof(bytes))),
                  NULL);
}

static const struct nonsense nonsense_rows[] = {
    {NULL, {{"a", 2, 1}, {"b", 1, 1}}, {"b", 1, 1}, NULL, 0, 0, 2},
    {"not above the one before",
     {{"b", 2, 1}, {"a", 1, 1}},
     {"c", 1, 1},
     NULL,
     0,
     1,
     2},
    {"not above the one before",
     {{"a", 1, 1}, {"a", 1, 1}},
     {"c", 1, 1},
     NULL,
     0,
     1,
     2},
    {"not above the one before",
     {{"a", 1, 1}, {"a", 2, 1}},
     {"c", 1, 1},
     NULL,
     0,
     1,
     2},
    {"above the block's index key",
     {{"a", 2, 1}, {"c", 1, 1}},
     {"b", 1, 1},
     NULL,
     0,
     1,
     2},
    {"unknown kind of entry",
     {{"a", 2, 2}, {"b", 1, 1}},
     {"b", 1, 1},
     NULL,
     0,
     1,
     1},
    {"entry at", {{"a", 2, 1}, {"b", 1, 1}}, {"b", 1, 1}, NULL, 2, 1, 1},
    {"bad block handle",
     {{"a", 2, 1}, {"b", 1, 1}},
     {"b", 1, 1},
     "\xff\xff",
     0,
     1,
     0},
    {"passes",
     {{"a", 2, 1}, {"b", 1, 1}},
     {"b", 1, 1},
     "\x01\xff\xff\xff\x7f",
     0,
     1,
     0},
};

static void nonsense_with_good_checksums_is_told(void **state)
{

    (void)state;
    for (size_t i = 0; i < sizeof(nonsense_rows) / sizeof(nonsense_rows[0]);
         i++) {
        struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
        const struct nonsense *row = &nonsense_rows[i];
        struct told told = {0};

        make_nonsense(row, &file);
        (void)scan(ldb_slice_of_buf(&file), true, &told);
        ldb_buf_release(&file);
        if (told.damages != row->damages || told.entries != row->visited)
            fail_msg("row %zu: %zu damages, %zu entries: %s", i, told.damages,
                     told.entries, told.message);
        if (row->message != NULL && strstr(told.message, row->message) == NULL)
            fail_msg("row %zu: %s", i, told.message);
    }
}

/* A filter with a bit cleared says of keys that they are not there. */
static void a_key_that_its_filter_denies_is_told_once_a_block(void **state)
{
    struct fixture *f = *state;
    struct ldb_footer footer = footer_of(f);
    const struct ldb_block_handle *last =
        &f->sound.handles[f->sound.data_blocks - 1];
    size_t begin = (size_t)(last->offset + last->size) + LDB_BLOCK_TRAILER_SIZE;
    size_t len = (size_t)footer.metaindex.offset - begin;
    struct ldb_buf filter = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct told told = {0};

    len -= LDB_BLOCK_TRAILER_SIZE;
    memset(f->file.data + begin, 0, 16);
    (void)add_block(&filter, ldb_slice_make(f->file.data + begin, len));
    memcpy(f->file.data + begin, filter.data, filter.len);
    ldb_buf_release(&filter);
    (void)scan(ldb_slice_of_buf(&f->file), true, &told);
    assert_in_range(told.damages, 1, f->sound.data_blocks);
    assert_non_null(strstr(told.message, "not in the filter"));
    assert_int_equal(told.entries, COUNT);
}

/* ---- what stops a scan, and what does not ---- */

struct failing_source {
    struct table_source source;
    size_t fail_at;
};

static enum ldb_status failing_read_at(struct ldb_random_file *file,
                                       uint64_t offset, size_t n,
                                       uint8_t *scratch, struct ldb_slice *out,
                                       struct ldb_error *err)
{
    struct failing_source *failing = (struct failing_source *)file;
    struct table_source plain;

    if (++failing->source.reads == failing->fail_at)
        return ldb_error_set(err, LDB_IO, "read fails on purpose");
    table_source_init(&plain, failing->source.bytes, false);
    return ldb_random_read_at(&plain.base, offset, n, scratch, out, err);
}

static const struct ldb_random_file_ops failing_ops = {.read_at =
                                                           failing_read_at};

static void a_failed_read_is_told_and_no_error(void **state)
{
    struct fixture *f = *state;

    for (size_t n = 1;; n++) {
        struct ldb_table_scan_result result = {0};
        struct failing_source failing = {.fail_at = n};
        struct ldb_error err = {0};
        struct told told = {0};

        table_source_init(&failing.source, ldb_slice_of_buf(&f->file), false);
        failing.source.base.ops = &failing_ops;
        assert_ldb_ok(
            scan_file(&failing.source.base, f->file.len, &told, &err, &result),
            &err);
        if (failing.source.reads < n)
            break;
        assert_int_equal(result.damages, 1);
        assert_int_equal(told.damages, 1);
    }
}

static void what_a_visitor_returns_stops_the_scan(void **state)
{
    struct fixture *f = *state;
    size_t stopped = 0;

    f->file.data[0] ^= 1; /* so that damage is told, too */
    for (size_t n = 1;; n++) {
        struct ldb_table_scan_result result = {.entries = 4711};
        struct told told = {.stop_at = n};
        struct table_source source;
        struct ldb_error err = {0};
        enum ldb_status s;

        table_source_init(&source, ldb_slice_of_buf(&f->file), false);
        s = scan_file(&source.base, f->file.len, &told, &err, &result);
        if (told.calls < n)
            break;
        assert_ldb_status(LDB_LOCKED, s, &err);
        assert_int_equal(told.calls, n);
        assert_int_equal(result.entries, 4711);
        stopped++;
    }
    assert_true(stopped > f->sound.data_blocks + 1);
}

static void no_memory_is_an_error_and_no_damage(void **state)
{
    struct fixture *f = *state;
    size_t failed = 0;

    for (uint64_t n = 1;; n++) {
        struct ldb_table_scan_result result = {0};
        struct table_source source;
        struct ldb_error err = {0};
        struct told told = {0};
        enum ldb_status s;

        table_source_init(&source, ldb_slice_of_buf(&f->file), false);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = scan_file(&source.base, f->file.len, &told, &err, &result);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_int_equal(told.damages, 0);
        failed++;
    }
    assert_true(failed > f->sound.data_blocks);
}

static enum ldb_status read_without_memory(struct ldb_random_file *file,
                                           uint64_t offset, size_t n,
                                           uint8_t *scratch,
                                           struct ldb_slice *out,
                                           struct ldb_error *err)
{
    (void)file, (void)offset, (void)n, (void)scratch, (void)out;
    return ldb_error_no_memory(err);
}

static void no_memory_for_the_footer_is_no_damage_either(void **state)
{
    static const struct ldb_random_file_ops ops = {.read_at =
                                                       read_without_memory};
    struct fixture *f = *state;
    struct ldb_random_file file = {.ops = &ops};
    struct ldb_table_scan_result result = {0};
    struct ldb_error err = {0};
    struct told told = {0};

    assert_ldb_status(LDB_NO_MEMORY,
                      scan_file(&file, f->file.len, &told, &err, &result),
                      &err);
    assert_int_equal(told.damages, 0);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_sound_table_is_told_whole_and_in_order),
        CASE(a_scan_needs_no_visitor_and_no_result),
        CASE(damage_in_a_data_block_costs_that_block_alone),
        CASE(only_the_index_is_needed_to_find_the_entries),
        CASE(a_footer_that_is_none_loses_the_index),
        CASE(each_cut_is_told),
        CASE(each_flipped_byte_is_told),
        CASE(nonsense_with_good_checksums_is_told),
        CASE(a_key_that_its_filter_denies_is_told_once_a_block),
        CASE(a_failed_read_is_told_and_no_error),
        CASE(what_a_visitor_returns_stops_the_scan),
        CASE(no_memory_is_an_error_and_no_damage),
        CASE(no_memory_for_the_footer_is_no_damage_either),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
