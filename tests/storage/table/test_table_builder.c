#include "storage/table/table_builder.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/base/internal_key.h"
#include "storage/table/block_reader.h"
#include "storage/table/table_format.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/table_file.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vector_iterator.h"

#define MANY 3000

static const struct ldb_filter_policy bloom = {.name = LDB_BLOOM_NAME_GOLEVELDB,
                                               .bloom_bits_per_key = 10};

/* The three writes of docs/formats.md, as a table has them. */
static void dump_entries(struct vector_entry entries[3])
{
    entries[0] = vector_entry_make("key0001", 3, 1, "35c1bddf35c1b");
    entries[1] = vector_entry_make("key0001", 1, 1, "561e2aec561e");
    entries[2] = vector_entry_make("key0002", 2, 1, "43b3da5243b3d");
}

/*
 * Stored plain, as snappy would save 8 of 86 bytes. All but the metaindex is
 * what LevelDB 1.23 writes for the same entries (its 000005.ldb of section
 * 22.3), checksums included.
 */
static void the_table_of_the_dump_comes_out_byte_for_byte(void **state)
{
    struct ldb_table_options options = table_file_options();
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct vector_entry entries[3];

    (void)state;
    options.filter = &bloom;
    options.compress = true;
    dump_entries(entries);
    table_file_build(&options, entries, 3, &file);
    assert_ldb_hex(
        /* 00: data block, 86 bytes */
        "00 0f 0d 6b657930303031 0103000000000000 33356331626464663335633162"
        "08 07 0c 01000000000000 353631653261656335363165"
        "06 09 0d 32 0102000000000000 34336233646135323433623364"
        "00000000 01000000"
        "00 e04044e6"
        /* 5b: filter block, 18 bytes; the dump's, checksum included */
        "00 04 20 00 41 5d 41 80 06 00000000 09000000 0b"
        "00 a1685c0f"
        /* 72: metaindex block, 52 bytes: one filter, two names */
        "00 21 02 66696c7465722e6c6576656c64622e4275696c74696e426c6f6f6d"
        "         46696c746572 5b12"
        "21 01 02 32 5b12"
        "00000000 01000000"
        "00 3500990a"
        /* ab: index block, 22 bytes */
        "00 09 02 6c 01ffffffffffffff 00 56 00000000 01000000"
        "00 3e22e2e3"
        /* footer */
        "72 34 ab01 16 00000000000000000000000000000000000000000000000000"
        "00000000000000000000 57fb808b247547db",
        ldb_slice_of_buf(&file));
    ldb_buf_release(&file);
}

/* What stands in a table, found without the reader under test. */
struct parts {
    struct ldb_footer footer;
    struct ldb_slice file;
};

static struct parts take_apart(const struct ldb_buf *file)
{
    struct parts parts = {.file = ldb_slice_of_buf(file)};
    struct ldb_slice footer = parts.file;

    assert_true(footer.len >= LDB_FOOTER_SIZE);
    footer.data += footer.len - LDB_FOOTER_SIZE;
    footer.len = LDB_FOOTER_SIZE;
    assert_true(ldb_footer_has_magic(footer));
    assert_true(ldb_footer_read(footer, &parts.footer));
    return parts;
}

static uint8_t type_at(const struct parts *parts,
                       struct ldb_block_handle handle)
{
    return parts->file.data[handle.offset + handle.size];
}

/* An iterator on the plain block at handle; at its first entry. */
static void enter(const struct parts *parts, struct ldb_block_handle handle,
                  struct ldb_block_iter *it)
{
    struct ldb_block block;
    const char *problem;

    assert_int_equal(type_at(parts, handle), LDB_BLOCK_PLAIN);
    assert_true(ldb_block_init(
        ldb_slice_make(parts->file.data + handle.offset, (size_t)handle.size),
        &block, &problem));
    ldb_block_iter_init(it, NULL);
    ldb_block_iter_set(it, &block);
    ldb_block_iter_seek_first(it);
}

static struct ldb_block_handle handle_of(struct ldb_slice value)
{
    struct ldb_reader r = ldb_reader_make(value);
    struct ldb_block_handle handle;

    assert_true(ldb_block_handle_read(&r, &handle));
    assert_int_equal(ldb_reader_left(&r), 0);
    return handle;
}

static void index_keys_separate_the_blocks(void **state)
{
    const struct vector_entry entries[] = {
        vector_entry_make("the quick brown fox", 9, 1, "v"),
        vector_entry_make("the who", 9, 1, "v"),
        vector_entry_make("the who", 8, 0, ""),
        vector_entry_make("thf", 7, 1, "v"),
        vector_entry_make("\xff\xff", 7, 1, "v"),
    };
    struct ldb_table_options options = table_file_options();
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct ldb_block_iter it;
    struct parts parts;
    uint64_t next_offset = 0;

    (void)state;
    options.block_size = 1; /* each entry a block */
    table_file_build(&options, entries, 5, &file);
    parts = take_apart(&file);
    enter(&parts, parts.footer.index, &it);
    for (size_t i = 0; i < 5; i++) {
        static const char *const keys[] = {
            /* "the r"; then one user key in both blocks; then 'f' + 1 */
            "746865207201ffffffffffffff",
            "7468652077686f 0109000000000000",
            "7468652077686f 0008000000000000",
            "7501ffffffffffffff",
            "ffff 0107000000000000",
        };
        struct ldb_block_handle handle;

        assert_true(it.valid);
        assert_ldb_hex(keys[i], it.key);
        handle = handle_of(it.value);
        assert_int_equal(handle.offset, next_offset);
        next_offset += handle.size + LDB_BLOCK_TRAILER_SIZE;
        ldb_block_iter_next(&it);
    }
    assert_false(it.valid);
    assert_int_equal(parts.footer.metaindex.offset, next_offset);
    ldb_block_iter_release(&it);
    ldb_buf_release(&file);
}

static void a_block_ends_at_the_first_entry_that_fills_it(void **state)
{
    static struct vector_entry entries[MANY];
    struct ldb_table_options options = table_file_options();
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct ldb_block_iter it;
    struct parts parts;
    size_t blocks = 0;

    (void)state;
    table_file_entries(entries, MANY);
    table_file_build(&options, entries, MANY, &file);
    parts = take_apart(&file);
    for (enter(&parts, parts.footer.index, &it); it.valid;
         ldb_block_iter_next(&it)) {
        struct ldb_block_handle handle = handle_of(it.value);

        blocks++;
        /* An entry of this table takes at most 3 + 17 + 9 bytes, and 4 where
         * it is a restart point. The last block is what is left. */
        if (handle.offset + handle.size + LDB_BLOCK_TRAILER_SIZE <
            parts.footer.metaindex.offset)
            assert_in_range(handle.size, 4096, 4096 + 32);
    }
    assert_true(blocks > 5);
    ldb_block_iter_release(&it);
    ldb_buf_release(&file);
}

static void snappy_is_stored_only_where_it_saves_an_eighth(void **state)
{
    enum {
        VALUE_LEN = 5000
    };
    static uint8_t value[VALUE_LEN];
    static const struct {
        const char *name;
        size_t random_len; /* of the value; zeros follow */
        bool compress;
        uint8_t type;
    } rows[] = {
        {"all zeros", 0, true, LDB_BLOCK_SNAPPY},
        {"a fifth is zeros", VALUE_LEN * 4 / 5, true, LDB_BLOCK_SNAPPY},
        {"a tenth is zeros", VALUE_LEN * 9 / 10, true, LDB_BLOCK_PLAIN},
        {"random", VALUE_LEN, true, LDB_BLOCK_PLAIN},
        {"all zeros, compression off", 0, false, LDB_BLOCK_PLAIN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_table_options options = table_file_options();
        struct vector_entry key = vector_entry_make("key", 1, 1, "");
        struct ldb_table_builder *builder = NULL;
        struct ldb_error err = {0};
        struct table_sink sink;
        uint64_t seed = 1;

        memset(value, 0, sizeof(value));
        bytes_fill(&seed, value, rows[i].random_len);
        options.compress = rows[i].compress;
        table_sink_init(&sink);
        assert_ldb_ok(
            ldb_table_builder_create(&sink.base, &options, &err, &builder),
            &err);
        assert_ldb_ok(ldb_table_builder_add(builder, vector_entry_key(&key),
                                            ldb_slice_make(value, VALUE_LEN),
                                            &err),
                      &err);
        assert_ldb_ok(ldb_table_builder_finish(builder, &err), &err);
        /* The metaindex comes right behind the one block. */
        {
            struct parts parts = take_apart(&sink.bytes);
            size_t end = (size_t)parts.footer.metaindex.offset;

            if (sink.bytes.data[end - LDB_BLOCK_TRAILER_SIZE] != rows[i].type)
                fail_msg("%s", rows[i].name);
        }
        ldb_table_builder_destroy(builder);
        ldb_buf_release(&sink.bytes);
    }
}

static enum ldb_status append_nothing(void *context,
                                      const struct ldb_slice *keys,
                                      size_t count, struct ldb_buf *out)
{
    (void)context;
    (void)keys;
    (void)count;
    return ldb_buf_append_byte(out, 'f');
}

static bool always_match(void *context, struct ldb_slice key,
                         struct ldb_slice filter)
{
    (void)context;
    (void)key;
    (void)filter;
    return true;
}

static void the_metaindex_lists_what_the_policy_is_called(void **state)
{
    static const struct ldb_filter_policy own = {
        .name = "own.Filter",
        .create = append_nothing,
        .may_match = always_match,
    };
    static const struct {
        const struct ldb_filter_policy *policy;
        const char *names[3];
    } rows[] = {
        {NULL, {NULL}},
        {&own, {"filter.own.Filter", NULL}},
        {&bloom,
         {"filter.leveldb.BuiltinBloomFilter",
          "filter.leveldb.BuiltinBloomFilter2", NULL}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_table_options options = table_file_options();
        struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
        struct vector_entry entries[3];
        struct ldb_block_iter it;
        struct parts parts;
        struct ldb_slice first_value = {0};

        dump_entries(entries);
        options.filter = rows[i].policy;
        table_file_build(&options, entries, 3, &file);
        parts = take_apart(&file);
        enter(&parts, parts.footer.metaindex, &it);
        for (size_t n = 0; rows[i].names[n] != NULL; n++) {
            assert_true(it.valid);
            assert_ldb_slice(ldb_slice_str(rows[i].names[n]), it.key);
            if (n > 0)
                assert_ldb_slice(first_value, it.value);
            first_value = it.value;
            ldb_block_iter_next(&it);
        }
        assert_false(it.valid);
        ldb_block_iter_release(&it);
        ldb_buf_release(&file);
    }
}

static void keys_out_of_order_are_refused_for_good(void **state)
{
    const struct {
        const char *name;
        struct vector_entry second;
    } rows[] = {
        {"the same key", vector_entry_make("k", 5, 1, "")},
        {"a newer version after an older", vector_entry_make("k", 6, 1, "")},
        {"a lesser user key", vector_entry_make("j", 1, 1, "")},
    };
    static const size_t block_sizes[] = {1, 4096}; /* over blocks, within */

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct vector_entry first = vector_entry_make("k", 5, 1, "");
        struct vector_entry good = vector_entry_make("l", 5, 1, "");
        struct ldb_table_options options = table_file_options();
        struct ldb_table_builder *builder = NULL;
        struct ldb_slice none = {0};
        struct ldb_error err = {0};
        struct table_sink sink;

        options.block_size = block_sizes[i % 2];
        table_sink_init(&sink);
        assert_ldb_ok(
            ldb_table_builder_create(&sink.base, &options, NULL, &builder),
            NULL);
        assert_ldb_ok(ldb_table_builder_add(builder, vector_entry_key(&first),
                                            none, NULL),
                      NULL);
        assert_ldb_status(
            LDB_CORRUPTION,
            ldb_table_builder_add(
                builder, vector_entry_key(&rows[i / 2].second), none, &err),
            &err);
        assert_ldb_message("not above", &err);
        err = (struct ldb_error){0};
        assert_ldb_status(
            LDB_CORRUPTION,
            ldb_table_builder_add(builder, vector_entry_key(&good), none, &err),
            &err);
        assert_ldb_message("not above", &err);
        assert_ldb_status(LDB_CORRUPTION,
                          ldb_table_builder_finish(builder, &err), &err);
        ldb_table_builder_destroy(builder);
        ldb_buf_release(&sink.bytes);
    }
}

static void a_short_internal_key_is_refused(void **state)
{
    struct ldb_table_options options = table_file_options();
    struct ldb_table_builder *builder = NULL;
    struct ldb_error err = {0};
    struct table_sink sink;

    (void)state;
    table_sink_init(&sink);
    assert_ldb_ok(
        ldb_table_builder_create(&sink.base, &options, NULL, &builder), NULL);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_table_builder_add(builder, ldb_slice_str("1234567"),
                                            ldb_slice_str(""), &err),
                      &err);
    ldb_table_builder_destroy(builder);
    ldb_buf_release(&sink.bytes);
}

static void writes_go_out_in_large_pieces(void **state)
{
    static struct vector_entry entries[MANY];
    struct ldb_table_options options = table_file_options();
    struct ldb_table_builder *builder = NULL;
    struct table_sink sink;

    (void)state;
    table_file_entries(entries, MANY);
    table_sink_init(&sink);
    assert_ldb_ok(
        ldb_table_builder_create(&sink.base, &options, NULL, &builder), NULL);
    for (size_t i = 0; i < MANY; i++)
        assert_ldb_ok(
            ldb_table_builder_add(builder, vector_entry_key(&entries[i]),
                                  ldb_slice_str(entries[i].value), NULL),
            NULL);
    assert_ldb_ok(ldb_table_builder_finish(builder, NULL), NULL);
    assert_true(sink.append_calls <= sink.bytes.len / 60000 + 1);
    ldb_table_builder_destroy(builder);
    ldb_buf_release(&sink.bytes);
}

static void a_failed_write_is_reported_from_then_on(void **state)
{
    static struct vector_entry entries[MANY];
    struct ldb_table_options options = table_file_options();

    (void)state;
    table_file_entries(entries, MANY);
    for (size_t n = 1;; n++) {
        struct ldb_table_builder *builder = NULL;
        struct ldb_error err = {0};
        enum ldb_status s = LDB_OK;
        struct table_sink sink;

        table_sink_init(&sink);
        sink.fail_append = n;
        assert_ldb_ok(
            ldb_table_builder_create(&sink.base, &options, NULL, &builder),
            NULL);
        for (size_t i = 0; i < MANY && s == LDB_OK; i++)
            s = ldb_table_builder_add(builder, vector_entry_key(&entries[i]),
                                      ldb_slice_str(entries[i].value), &err);
        if (s == LDB_OK)
            s = ldb_table_builder_finish(builder, &err);
        else
            assert_ldb_status(LDB_NO_SPACE,
                              ldb_table_builder_finish(builder, &err), &err);
        ldb_table_builder_destroy(builder);
        ldb_buf_release(&sink.bytes);
        if (sink.append_calls < n) {
            assert_ldb_ok(s, &err);
            assert_true(n > 1);
            break;
        }
        assert_ldb_status(LDB_NO_SPACE, s, &err);
        assert_ldb_message("sink is full", &err);
    }
}

static void no_memory_is_reported_from_then_on(void **state)
{
    static struct vector_entry entries[300];
    struct ldb_table_options options = table_file_options();

    (void)state;
    options.filter = &bloom;
    options.compress = true;
    options.block_size = 1000;
    table_file_entries(entries, 300);
    for (uint64_t n = 1;; n++) {
        struct ldb_table_builder *builder = NULL;
        struct ldb_error err = {0};
        struct table_sink sink;
        enum ldb_status s;

        table_sink_init(&sink);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_table_builder_create(&sink.base, &options, &err, &builder);
        for (size_t i = 0; i < 300 && s == LDB_OK; i++)
            s = ldb_table_builder_add(builder, vector_entry_key(&entries[i]),
                                      ldb_slice_str(entries[i].value), &err);
        if (s == LDB_OK)
            s = ldb_table_builder_finish(builder, &err);
        ldb_table_builder_destroy(builder);
        ldb_buf_release(&sink.bytes);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
}

/* LevelDB's listing of our table has each entry; skipped without the oracle
 * (tests/interop/oracle/build.sh builds it). */
static void leveldb_lists_our_tables(void **state)
{
    static struct vector_entry entries[MANY];
    const char *folder = getenv("LEVELD_ORACLE_DIR");
    struct ldb_table_options options = table_file_options();
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
    char path[TEMP_DIR_PATH_SIZE];
    char command[1024];
    char line[256];
    struct temp_dir dir;
    FILE *stream;
    size_t lines = 0;

    (void)state;
    (void)snprintf(command, sizeof(command), "%s/ldbcpp",
                   folder == NULL ? "" : folder);
    stream = fopen(command, "r");
    if (stream == NULL)
        skip();
    (void)fclose(stream);

    options.filter = &bloom;
    options.compress = true;
    table_file_entries(entries, MANY);
    table_file_build(&options, entries, MANY, &file);
    temp_dir_create(&dir);
    stream = fopen(temp_dir_join(&dir, "000009.ldb", path), "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(file.data, 1, file.len, stream), file.len);
    assert_int_equal(fclose(stream), 0);

    (void)snprintf(command, sizeof(command), "%s/ldbcpp dumpfile %s", folder,
                   path);
    stream = popen(command, "r"); /* NOLINT(cert-env33-c): our own paths */
    assert_non_null(stream);
    while (fgets(line, sizeof(line), stream) != NULL) {
        char expected[256];

        if (line[0] != '\'')
            continue;
        assert_true(lines < MANY);
        (void)snprintf(expected, sizeof(expected), "'%s' @ 100 : val => '%s'\n",
                       entries[lines].value, entries[lines].value);
        assert_string_equal(line, expected);
        lines++;
    }
    assert_int_equal(pclose(stream), 0);
    assert_int_equal(lines, MANY);
    temp_dir_remove(&dir);
    ldb_buf_release(&file);
}

/* As no builder would store an entry, so that copying shows. */
static struct ldb_slice foreign_block(enum ldb_block_type type)
{
    static uint8_t bytes[] = "foreign block?sums";

    bytes[13] = (uint8_t)type;
    return ldb_slice_make(bytes, sizeof(bytes) - 1);
}

static void build_stored(const struct ldb_table_options *options,
                         enum ldb_block_type type, size_t small_first,
                         size_t value_len, struct ldb_buf *out)
{
    static const uint8_t value[8192];
    const struct vector_entry keys[] = {vector_entry_make("a", 3, 1, ""),
                                        vector_entry_make("b", 2, 1, ""),
                                        vector_entry_make("c", 1, 1, "")};
    struct ldb_table_builder *builder = NULL;
    struct ldb_error err = {0};
    struct table_sink sink;

    table_sink_init(&sink);
    assert_ldb_ok(ldb_table_builder_create(&sink.base, options, &err, &builder),
                  &err);
    assert_ldb_ok(ldb_table_builder_add(builder, vector_entry_key(&keys[0]),
                                        ldb_slice_make(value, small_first),
                                        &err),
                  &err);
    assert_ldb_ok(ldb_table_builder_add_stored(builder,
                                               vector_entry_key(&keys[1]),
                                               ldb_slice_make(value, value_len),
                                               foreign_block(type), &err),
                  &err);
    assert_ldb_ok(ldb_table_builder_add(builder, vector_entry_key(&keys[2]),
                                        ldb_slice_make(value, 1), &err),
                  &err);
    assert_int_equal(ldb_table_builder_entry_count(builder), 3);
    assert_ldb_ok(ldb_table_builder_finish(builder, &err), &err);
    ldb_table_builder_destroy(builder);
    assert_ldb_ok(ldb_buf_assign(out, ldb_slice_of_buf(&sink.bytes)), NULL);
    ldb_buf_release(&sink.bytes);
}

static void a_block_of_one_large_entry_is_copied_as_it_is_stored(void **state)
{
    static const struct row {
        bool compress;
        enum ldb_block_type type;
        size_t small_first; /* a value before it */
        size_t value_len;
        bool is_copied;
    } rows[] = {
        {false, LDB_BLOCK_PLAIN, 5000, 5000, true},
        {true, LDB_BLOCK_SNAPPY, 5000, 5000, true},
        /* what is not stored so */
        {true, LDB_BLOCK_PLAIN, 5000, 5000, false},
        {false, LDB_BLOCK_SNAPPY, 5000, 5000, false},
        /* another entry's block goes on; the block would */
        {false, LDB_BLOCK_PLAIN, 1, 5000, false},
        {false, LDB_BLOCK_PLAIN, 5000, 4000, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice block = foreign_block(rows[i].type);
        struct ldb_table_options options = table_file_options();
        struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
        struct ldb_block_handle handle;
        struct ldb_block_iter it;
        struct parts parts;

        options.filter = &bloom;
        options.compress = rows[i].compress;
        build_stored(&options, rows[i].type, rows[i].small_first,
                     rows[i].value_len, &file);
        parts = take_apart(&file);
        assert_int_equal(memmem(file.data, file.len, block.data, block.len) !=
                             NULL,
                         rows[i].is_copied);
        if (rows[i].is_copied && !rows[i].compress) {
            enter(&parts, parts.footer.index, &it);
            ldb_block_iter_next(&it);
            assert_ldb_hex("62 0102000000000000", it.key);
            handle = handle_of(it.value);
            assert_ldb_slice(block, ldb_slice_make(file.data + handle.offset,
                                                   (size_t)handle.size +
                                                       LDB_BLOCK_TRAILER_SIZE));
            ldb_block_iter_release(&it);
        }
        ldb_buf_release(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_the_dump_comes_out_byte_for_byte),
        cmocka_unit_test(index_keys_separate_the_blocks),
        cmocka_unit_test(a_block_ends_at_the_first_entry_that_fills_it),
        cmocka_unit_test(snappy_is_stored_only_where_it_saves_an_eighth),
        cmocka_unit_test(the_metaindex_lists_what_the_policy_is_called),
        cmocka_unit_test(keys_out_of_order_are_refused_for_good),
        cmocka_unit_test(a_short_internal_key_is_refused),
        cmocka_unit_test(writes_go_out_in_large_pieces),
        cmocka_unit_test(a_failed_write_is_reported_from_then_on),
        cmocka_unit_test(no_memory_is_reported_from_then_on),
        cmocka_unit_test(leveldb_lists_our_tables),
        cmocka_unit_test(a_block_of_one_large_entry_is_copied_as_it_is_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
