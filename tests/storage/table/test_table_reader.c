#include "storage/table/table_reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/base/checksum.h"
#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/table/block_builder.h"
#include "storage/table/table_builder.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/table_file.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vector_iterator.h"

#define MANY 2000

static const struct ldb_filter_policy bloom = {.name = LDB_BLOOM_NAME_GOLEVELDB,
                                               .bloom_bits_per_key = 10};

static const struct ldb_table_read verified = {.verify_checksums = true,
                                               .fill_cache = true};
static const struct ldb_table_read unverified = {.verify_checksums = false,
                                                 .fill_cache = true};

/* A table and what it stands on. */
struct fixture {
    struct ldb_table_options options;
    struct ldb_buf file;
    struct table_source source;
    struct ldb_table *table;
};

static void open_table(struct fixture *f, bool mapped)
{
    struct ldb_error err = {0};

    table_source_init(&f->source, ldb_slice_of_buf(&f->file), mapped);
    f->table = NULL;
    assert_ldb_ok(ldb_table_open(&f->source.base, f->file.len, "000009.ldb",
                                 &f->options, &err, &f->table),
                  &err);
}

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.options = table_file_options(),
                          .file = LDB_BUF_INIT(TABLE_FILE_MAX)};
}

static void fixture_release(struct fixture *f)
{
    if (f->table != NULL) {
        ldb_table_close(f->table);
        assert_true(f->source.is_closed);
    }
    ldb_block_cache_destroy(f->options.block_cache);
    ldb_buf_release(&f->file);
}

static struct ldb_iterator *iterate(struct fixture *f,
                                    const struct ldb_table_read *read)
{
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_table_iterator_create(f->table, read, &err, &it), &err);
    return it;
}

/* Asks for user at sequence; "value", "-" for a delete, "" for nothing. */
static void assert_get(struct fixture *f, const char *user, uint64_t sequence,
                       const char *expected)
{
    struct vector_entry target =
        vector_entry_make(user, sequence, LDB_KIND_SEEK, "");
    struct ldb_buf value = LDB_BUF_INIT(1000);
    struct ldb_error err = {0};
    uint64_t tag = 0;
    enum ldb_status s = ldb_table_get(
        f->table, &verified, vector_entry_key(&target), &err, &value, &tag);

    if (expected[0] == '\0') {
        assert_ldb_status(LDB_NOT_FOUND, s, &err);
    } else if (expected[0] == '-') {
        assert_ldb_ok(s, &err);
        assert_int_equal(ldb_tag_kind(tag), LDB_KIND_DELETE);
    } else {
        assert_ldb_ok(s, &err);
        assert_int_equal(ldb_tag_kind(tag), LDB_KIND_PUT);
        assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(&value));
    }
    ldb_buf_release(&value);
}

/* ---- what is in it comes out ---- */

static void every_kind_of_table_reads_back(void **state)
{
    static struct vector_entry entries[MANY];

    (void)state;
    table_file_entries(entries, MANY);
    for (unsigned bits = 0; bits < 64; bits++) {
        struct ldb_error err = {0};
        struct fixture f;
        struct ldb_iterator *it;

        fixture_init(&f);
        f.options.compress = (bits & 1) != 0;
        f.options.filter = (bits & 2) != 0 ? &bloom : NULL;
        f.options.block_size = (bits & 4) != 0 ? 300 : 4096;
        f.options.restart_interval = (bits & 8) != 0 ? 1 : 16;
        if ((bits & 16) != 0)
            assert_ldb_ok(
                ldb_block_cache_create(20000, &err, &f.options.block_cache),
                &err);
        table_file_build(&f.options, entries, MANY, &f.file);
        open_table(&f, (bits & 32) != 0);
        it = iterate(&f, &verified);
        vector_walk(it, entries, MANY, bits, 200);
        ldb_iterator_destroy(it);
        for (size_t i = 0; i < MANY; i += 97) {
            char beside[32];

            assert_get(&f, entries[i].value, 100, entries[i].value);
            assert_get(&f, entries[i].value, 99, "");
            (void)snprintf(beside, sizeof(beside), "%sx", entries[i].value);
            assert_get(&f, beside, 1000, "");
        }
        fixture_release(&f);
    }
}

static void whole_passes_meet_every_entry_once(void **state)
{
    static struct vector_entry entries[MANY];
    struct fixture f;
    struct ldb_iterator *it;
    size_t at = 0;

    (void)state;
    table_file_entries(entries, MANY);
    fixture_init(&f);
    table_file_build(&f.options, entries, MANY, &f.file);
    open_table(&f, true);
    it = iterate(&f, &verified);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it))
        assert_ldb_slice(vector_entry_key(&entries[at++]), it->key);
    assert_ldb_ok(it->status, &it->error);
    assert_int_equal(at, MANY);
    for (ldb_iterator_seek_last(it); it->valid; ldb_iterator_prev(it))
        assert_ldb_slice(vector_entry_key(&entries[--at]), it->key);
    assert_ldb_ok(it->status, &it->error);
    assert_int_equal(at, 0);
    ldb_iterator_destroy(it);
    fixture_release(&f);
}

static void get_finds_the_newest_at_or_below_the_sequence(void **state)
{
    static const size_t block_sizes[] = {1, 60, 4096};
    const struct vector_entry entries[] = {
        vector_entry_make("a", 7, 1, "a7"), vector_entry_make("a", 5, 0, ""),
        vector_entry_make("a", 3, 1, "a3"), vector_entry_make("b", 9, 0, ""),
        vector_entry_make("b", 2, 1, "b2"), vector_entry_make("d", 4, 1, "d4"),
    };
    static const struct {
        const char *user;
        uint64_t sequence;
        const char *expected;
    } rows[] = {
        {"a", 100, "a7"}, {"a", 7, "a7"}, {"a", 6, "-"},  {"a", 5, "-"},
        {"a", 4, "a3"},   {"a", 3, "a3"}, {"a", 2, ""},   {"b", 9, "-"},
        {"b", 8, "b2"},   {"b", 1, ""},   {"c", 100, ""}, {"d", 4, "d4"},
        {"d", 3, ""},     {"e", 100, ""}, {"", 100, ""},
    };

    (void)state;
    /* With blocks of one entry, the answer is often in the next block. */
    for (size_t b = 0; b < 3; b++) {
        struct fixture f;

        fixture_init(&f);
        f.options.block_size = block_sizes[b];
        f.options.filter = &bloom;
        table_file_build(&f.options, entries, 6, &f.file);
        open_table(&f, true);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            assert_get(&f, rows[i].user, rows[i].sequence, rows[i].expected);
        fixture_release(&f);
    }
}

static void get_without_a_value_buffer_tells_the_tag(void **state)
{
    const struct vector_entry entry = vector_entry_make("a", 7, 1, "value");
    struct vector_entry target = vector_entry_make("a", 9, 1, "");
    struct ldb_buf small = LDB_BUF_INIT(4);
    struct ldb_error err = {0};
    struct fixture f;
    uint64_t tag = 0;

    (void)state;
    fixture_init(&f);
    table_file_build(&f.options, &entry, 1, &f.file);
    open_table(&f, false);
    assert_ldb_ok(ldb_table_get(f.table, &verified, vector_entry_key(&target),
                                &err, NULL, &tag),
                  &err);
    assert_true(tag == ldb_tag_make(7, LDB_KIND_PUT));
    /* A buffer too small for the value is the caller's limit. */
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_table_get(f.table, &verified,
                                    vector_entry_key(&target), &err, &small,
                                    &tag),
                      &err);
    assert_ldb_message("value of 5 bytes", &err);
    ldb_buf_release(&small);
    fixture_release(&f);
}

static void a_table_without_entries_has_none(void **state)
{
    struct fixture f;
    struct ldb_iterator *it;

    (void)state;
    fixture_init(&f);
    f.options.filter = &bloom;
    table_file_build(&f.options, NULL, 0, &f.file);
    open_table(&f, false);
    it = iterate(&f, &verified);
    ldb_iterator_seek_first(it);
    assert_false(it->valid);
    ldb_iterator_seek_last(it);
    assert_false(it->valid);
    assert_ldb_ok(it->status, &it->error);
    ldb_iterator_destroy(it);
    assert_get(&f, "key", 5, "");
    fixture_release(&f);
}

static void values_of_all_sizes_read_back(void **state)
{
    static uint8_t value[300000];
    static const size_t lens[] = {0, 1, 127, 128, 16383, 16384, 70000, 300000};
    struct ldb_table_builder *builder = NULL;
    struct ldb_error err = {0};
    struct table_sink sink;
    struct fixture f;
    struct ldb_iterator *it;
    uint64_t seed = 3;
    size_t at = 0;

    (void)state;
    bytes_fill(&seed, value, sizeof(value));
    fixture_init(&f);
    f.options.compress = true;
    table_sink_init(&sink);
    assert_ldb_ok(
        ldb_table_builder_create(&sink.base, &f.options, &err, &builder), &err);
    for (size_t i = 0; i < 8; i++) {
        char user[2] = {(char)('a' + (int)i), '\0'};
        struct vector_entry key = vector_entry_make(user, 1, 1, "");

        assert_ldb_ok(ldb_table_builder_add(builder, vector_entry_key(&key),
                                            ldb_slice_make(value, lens[i]),
                                            &err),
                      &err);
    }
    assert_ldb_ok(ldb_table_builder_finish(builder, &err), &err);
    ldb_table_builder_destroy(builder);
    f.file = sink.bytes;
    open_table(&f, false);
    it = iterate(&f, &verified);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
        assert_ldb_slice(ldb_slice_make(value, lens[at]), it->value);
        at++;
    }
    assert_ldb_ok(it->status, &it->error);
    assert_int_equal(at, 8);
    ldb_iterator_destroy(it);
    fixture_release(&f);
}

/* ---- memory, cache, filter ---- */

static void get_allocates_nothing_for_blocks_it_need_not_keep(void **state)
{
    static struct vector_entry entries[MANY];
    static const struct {
        const char *name;
        bool mapped;
        bool compress;
        size_t cache_bytes; /* 0: it wants nothing at the first miss */
    } rows[] = {
        {"plain, mapped", true, false, 1 << 20},
        {"compressed, cached", true, true, 1 << 20},
        {"plain, cached", false, false, 1 << 20},
        {"compressed, mapped, not wanted", true, true, 0},
        {"compressed, read, not wanted", false, true, 0},
        {"plain, read, not wanted", false, false, 0},
    };

    (void)state;
    table_file_entries(entries, MANY);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vector_entry target = vector_entry_make("key000777", 999, 1, "");
        struct ldb_buf value = LDB_BUF_INIT(1000);
        struct fixture f;
        uint64_t tag;

        fixture_init(&f);
        f.options.compress = rows[i].compress;
        f.options.filter = &bloom;
        assert_ldb_ok(ldb_block_cache_create(rows[i].cache_bytes, NULL,
                                             &f.options.block_cache),
                      NULL);
        table_file_build(&f.options, entries, MANY, &f.file);
        open_table(&f, rows[i].mapped);
        assert_ldb_ok(ldb_buf_reserve(&value, 100), NULL);
        if (rows[i].cache_bytes > 0)
            assert_get(&f, "key000777", 999, "key000777");
        mem_fault_start(1, MEM_FAULT_FOREVER);
        assert_ldb_ok(ldb_table_get(f.table, &verified,
                                    vector_entry_key(&target), NULL, &value,
                                    &tag),
                      NULL);
        if (mem_fault_stop())
            fail_msg("%s", rows[i].name);
        ldb_buf_release(&value);
        fixture_release(&f);
    }
}

/* A block whose end is missing, unverified: its first key is read, its last
 * one is not. */
static void a_block_is_decoded_no_further_than_to_the_key(void **state)
{
    static struct vector_entry entries[MANY];
    struct ldb_buf value = LDB_BUF_INIT(1000);
    struct ldb_block_handle handle;
    struct ldb_block_iter index;
    struct vector_entry last;
    struct ldb_reader r;
    struct fixture f;
    uint64_t tag;

    (void)state;
    table_file_entries(entries, MANY);
    fixture_init(&f);
    f.options.compress = true;
    f.options.block_size = 900; /* half of it is one part */
    table_file_build(&f.options, entries, MANY, &f.file);
    open_table(&f, true);
    ldb_block_iter_init(&index, ldb_comparator_bytewise());
    ldb_block_iter_set(&index, &f.table->index);
    ldb_block_iter_seek_first(&index);
    last = entries[0];
    for (size_t i = 0; i < MANY; i++) {
        if (ldb_slice_compare(vector_entry_key(&entries[i]), index.key) <= 0)
            last = entries[i];
    }
    r = ldb_reader_make(index.value);
    assert_true(ldb_block_handle_read(&r, &handle));
    ldb_block_iter_release(&index);
    /* It claims a byte that is not there. */
    assert_true((f.file.data[handle.offset] & 0x7f) < 0x7f);
    f.file.data[handle.offset]++;

    assert_ldb_ok(ldb_table_get(f.table, &unverified,
                                vector_entry_key(&entries[0]), NULL, &value,
                                &tag),
                  NULL);
    assert_ldb_slice(ldb_slice_str(entries[0].value), ldb_slice_of_buf(&value));
    assert_int_equal(ldb_table_get(f.table, &unverified,
                                   vector_entry_key(&last), NULL, &value, &tag),
                     LDB_CORRUPTION);
    assert_int_equal(ldb_table_get(f.table, &verified,
                                   vector_entry_key(&entries[0]), NULL, &value,
                                   &tag),
                     LDB_CORRUPTION);
    ldb_buf_release(&value);
    fixture_release(&f);
}

static void blocks_are_read_once_while_the_cache_holds_them(void **state)
{
    static struct vector_entry entries[MANY];
    static const struct ldb_table_read passing = {.verify_checksums = true,
                                                  .fill_cache = false};
    struct ldb_cache_stats stats;
    struct ldb_iterator *it;
    struct fixture f;
    size_t reads;

    (void)state;
    table_file_entries(entries, MANY);
    fixture_init(&f);
    assert_ldb_ok(
        ldb_block_cache_create((size_t)1 << 20, NULL, &f.options.block_cache),
        NULL);
    table_file_build(&f.options, entries, MANY, &f.file);
    open_table(&f, false);

    /* A pass that shall not fill the cache leaves nothing in it. */
    it = iterate(&f, &passing);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it))
        continue;
    ldb_iterator_destroy(it);
    ldb_block_cache_stats(f.options.block_cache, &stats);
    assert_int_equal(stats.used_bytes, 0);

    reads = f.source.reads;
    for (size_t i = 0; i < MANY; i++)
        assert_get(&f, entries[i].value, 100, entries[i].value);
    assert_in_range(f.source.reads - reads, 5, MANY / 50);
    reads = f.source.reads;
    for (size_t i = 0; i < MANY; i++)
        assert_get(&f, entries[i].value, 100, entries[i].value);
    assert_int_equal(f.source.reads, reads);
    ldb_block_cache_stats(f.options.block_cache, &stats);
    /* What is charged is about the size of the data. */
    assert_in_range(stats.used_bytes, f.file.len * 3 / 4, f.file.len * 5 / 4);
    fixture_release(&f);
}

static void a_filter_spares_the_data_blocks(void **state)
{
    static struct vector_entry entries[MANY];
    struct fixture f;
    size_t reads;

    (void)state;
    table_file_entries(entries, MANY);
    fixture_init(&f);
    f.options.filter = &bloom;
    table_file_build(&f.options, entries, MANY, &f.file);
    open_table(&f, false);
    reads = f.source.reads;
    for (size_t i = 0; i < MANY; i++) {
        char beside[32];

        (void)snprintf(beside, sizeof(beside), "%sx", entries[i].value);
        assert_get(&f, beside, 1000, "");
    }
    /* One in a hundred is let through; hashes are fixed. */
    assert_true(f.source.reads - reads < MANY / 25);
    fixture_release(&f);
}

/* ---- tables of other writers ---- */

/* docs/formats.md, 000002.ldb of goleveldb. */
static const char goleveldb_table[] =
    "5630000f0d6b65793030303101030005011c333563316264646605080c08070c"
    "0105162000353631653261656301081406090d32010209185034336233646135"
    "3234336233640000000001000000015d8ed0af00042000415d41800600000000"
    "090000000b00a1685c0f2eb400210266696c7465722e6c6576656c64622e4275"
    "696c74696e426c6f6f6d46696c74657253120000000001000000016ccf172e16"
    "140009026c01ff090124004e000000000100000001b4f165ac6a309f01150000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0057fb808b247547db";

/* Section 22.3, 000005.ldb of LevelDB. */
static const char leveldb_table[] =
    "000f0d6b65793030303101030000000000003335633162646466333563316208"
    "070c0100000000000035363165326165633536316506090d3201020000000000"
    "0034336233646135323433623364000000000100000000e04044e60004200041"
    "5d41800600000000090000000b00a1685c0f00220266696c7465722e6c657665"
    "6c64622e4275696c74696e426c6f6f6d46696c746572325b1200000000010000"
    "0000c557d87e0009026c01ffffffffffffff00560000000001000000003e22e2"
    "e3722fa601160000000000000000000000000000000000000000000000000000"
    "00000000000000000057fb808b247547db";

static void tables_of_both_libraries_read_and_their_filters_work(void **state)
{
    static const char *const tables[] = {goleveldb_table, leveldb_table};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ldb_iterator *it;
        struct fixture f;
        size_t reads;

        fixture_init(&f);
        f.options.filter = &bloom;
        bytes_from_hex(tables[i], &f.file);
        open_table(&f, false);
        it = iterate(&f, &verified);
        ldb_iterator_seek_first(it);
        assert_ldb_hex("6b657930303031 0103000000000000", it->key);
        assert_ldb_bytes("35c1bddf35c1b", it->value);
        ldb_iterator_next(it);
        assert_ldb_bytes("561e2aec561e", it->value);
        ldb_iterator_next(it);
        assert_ldb_hex("6b657930303032 0102000000000000", it->key);
        assert_ldb_bytes("43b3da5243b3d", it->value);
        ldb_iterator_next(it);
        assert_false(it->valid);
        assert_ldb_ok(it->status, &it->error);
        ldb_iterator_destroy(it);

        assert_get(&f, "key0001", 2, "561e2aec561e");
        reads = f.source.reads;
        assert_get(&f, "key0000", 9, "");
        assert_get(&f, "key00015", 9, "");
        assert_int_equal(f.source.reads, reads);
        fixture_release(&f);
    }
}

/* Entries that `ldbcpp dumpfile` lists in the table at path. */
static size_t listed_entries(const char *oracles, const char *path)
{
    char command[1024];
    FILE *stream;
    size_t entries = 0;
    bool at_start = true;
    int c;

    (void)snprintf(command, sizeof(command), "%s/ldbcpp dumpfile %s", oracles,
                   path);
    stream = popen(command, "r"); /* NOLINT(cert-env33-c): our own paths */
    assert_non_null(stream);
    while ((c = fgetc(stream)) != EOF) {
        entries += at_start && c == '\'';
        at_start = c == '\n';
    }
    assert_int_equal(pclose(stream), 0);
    return entries;
}

struct table_scan {
    const char *oracles;
    const char *dir;
    size_t tables;
};

/* Reads a whole table of another writer: both ways, and by get. */
static enum ldb_status scan_table(void *context, const char *name)
{
    struct table_scan *scan = context;
    struct ldb_env *env = ldb_env_posix();
    struct ldb_buf value = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct ldb_random_file *file = NULL;
    struct ldb_iterator *it;
    struct ldb_error err = {0};
    struct fixture f;
    char path[TEMP_DIR_PATH_SIZE + 64];
    uint64_t size = 0;
    size_t entries = 0;
    size_t back = 0;

    if (strstr(name, ".ldb") == NULL)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", scan->dir, name);
    assert_ldb_ok(env->ops->file_size(env, path, &err, &size), &err);
    assert_ldb_ok(env->ops->open_random(env, path, &err, &file), &err);
    fixture_init(&f);
    f.options.filter = &bloom;
    assert_ldb_ok(ldb_table_open(file, size, name, &f.options, &err, &f.table),
                  &err);
    it = iterate(&f, &verified);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
        uint64_t tag = 0;

        entries++;
        assert_ldb_ok(
            ldb_table_get(f.table, &verified, it->key, &err, &value, &tag),
            &err);
        assert_true(tag == ldb_internal_tag(it->key));
        if (ldb_tag_kind(tag) == LDB_KIND_PUT)
            assert_ldb_slice(it->value, ldb_slice_of_buf(&value));
    }
    assert_ldb_ok(it->status, &it->error);
    for (ldb_iterator_seek_last(it); it->valid; ldb_iterator_prev(it))
        back++;
    assert_ldb_ok(it->status, &it->error);
    assert_int_equal(back, entries);
    assert_int_equal(listed_entries(scan->oracles, path), entries);
    scan->tables++;
    ldb_iterator_destroy(it);
    ldb_table_close(f.table);
    ldb_buf_release(&value);
    return LDB_OK;
}

/* Skipped without the oracles (tests/interop/oracle/build.sh builds them). */
static void whole_databases_of_both_libraries_read_back(void **state)
{
    static const char *const writers[] = {"ldbgo", "ldbcpp"};
    static const char *const profiles[] = {"mixed", "large-values"};
    const char *oracles = getenv("LEVELD_ORACLE_DIR");
    char command[2048];
    FILE *there;

    (void)state;
    (void)snprintf(command, sizeof(command), "%s/ldbgo",
                   oracles == NULL ? "" : oracles);
    there = fopen(command, "r");
    if (there == NULL)
        skip();
    (void)fclose(there);
    for (size_t i = 0; i < 4; i++) {
        const char *writer = writers[i % 2];
        struct ldb_error err = {0};
        struct table_scan scan = {.oracles = oracles};
        struct temp_dir dir;
        char db[TEMP_DIR_PATH_SIZE];

        temp_dir_create(&dir);
        scan.dir = temp_dir_join(&dir, "db", db);
        /* Opening again makes tables of the journal. */
        (void)snprintf(command, sizeof(command),
                       "%s/%s fill %s --profile %s --n 300 --seed 5 "
                       "--write-buffer 65536 >%s/out && "
                       "%s/%s open %s >%s/out",
                       oracles, writer, db, profiles[i / 2], dir.path, oracles,
                       writer, db, dir.path);
        /* NOLINTNEXTLINE(cert-env33-c): our own paths */
        assert_int_equal(system(command), 0);
        assert_ldb_ok(ldb_env_posix()->ops->list_dir(ldb_env_posix(), db,
                                                     scan_table, &scan, &err),
                      &err);
        assert_true(scan.tables > 0);
        temp_dir_remove(&dir);
    }
}

static void a_filter_of_another_name_is_ignored(void **state)
{
    struct ldb_filter_policy foreign = {
        .name = "foreign.Filter", .create = NULL, .may_match = NULL};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.options.filter = &foreign; /* its may_match would crash */
    bytes_from_hex(leveldb_table, &f.file);
    open_table(&f, false);
    assert_get(&f, "key0001", 9, "35c1bddf35c1b");
    assert_get(&f, "key0003", 9, "");
    fixture_release(&f);
}

/* ---- sizes ---- */

static void offsets_grow_with_the_keys_up_to_the_end_of_the_data(void **state)
{
    static struct vector_entry entries[MANY];
    struct vector_entry last = vector_entry_make("z", 1, 1, "");
    struct fixture f;
    uint64_t before = 0;

    (void)state;
    table_file_entries(entries, MANY);
    fixture_init(&f);
    f.options.filter = &bloom;
    table_file_build(&f.options, entries, MANY, &f.file);
    open_table(&f, false);
    for (size_t i = 0; i < MANY; i++) {
        uint64_t offset = ldb_table_approximate_offset(
            f.table, vector_entry_key(&entries[i]));

        assert_true(offset >= before && offset - before < 5000);
        before = offset;
    }
    /* Behind the last key: where the filter block begins. */
    before =
        ldb_table_approximate_offset(f.table, vector_entry_key(&last)) - before;
    assert_in_range(before, 1, 4200);
    assert_in_range(ldb_table_memory_bytes(f.table), 2500, 20000);
    fixture_release(&f);
}

/* ---- damage ---- */

/* Opens, iterates both ways, gets; the first status that is not OK. */
static enum ldb_status use_file(struct fixture *f,
                                const struct ldb_table_read *read,
                                struct ldb_error *err)
{
    struct vector_entry target = vector_entry_make("key0001", 9, 1, "");
    struct ldb_buf value = LDB_BUF_INIT(1000);
    struct ldb_iterator *it = NULL;
    uint64_t tag;
    enum ldb_status s;

    table_source_init(&f->source, ldb_slice_of_buf(&f->file), false);
    f->table = NULL;
    s = ldb_table_open(&f->source.base, f->file.len, "000009.ldb", &f->options,
                       err, &f->table);
    if (s != LDB_OK)
        return s;
    assert_ldb_ok(ldb_table_iterator_create(f->table, read, NULL, &it), NULL);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it))
        continue;
    s = it->status;
    *err = it->error;
    for (ldb_iterator_seek_last(it); it->valid; ldb_iterator_prev(it))
        continue;
    if (s == LDB_OK) {
        s = it->status;
        *err = it->error;
    }
    ldb_iterator_destroy(it);
    if (s == LDB_OK) {
        s = ldb_table_get(f->table, read, vector_entry_key(&target), err,
                          &value, &tag);
        if (s == LDB_NOT_FOUND)
            s = LDB_OK;
    }
    ldb_buf_release(&value);
    ldb_table_close(f->table);
    f->table = NULL;
    return s;
}

/*
 * Whether a bit of the footer may change unnoticed: the zeros behind the two
 * handles (5 bytes in both tables), and the upper bit of their last byte,
 * which makes the next zero a part of the same number.
 */
static bool is_padding(size_t bit, size_t file_len)
{
    size_t first = 8 * (file_len - LDB_FOOTER_SIZE + 5);

    return bit == first - 1 || (bit >= first && bit < 8 * (file_len - 8));
}

static void each_flipped_bit_is_corruption_with_file_and_offset(void **state)
{
    static const char *const tables[] = {goleveldb_table, leveldb_table};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ldb_error err = {0};
        struct fixture f;

        fixture_init(&f);
        f.options.filter = &bloom;
        bytes_from_hex(tables[i], &f.file);
        assert_ldb_ok(use_file(&f, &verified, &err), &err);
        for (size_t bit = 0; bit < 8 * f.file.len; bit++) {
            f.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            err = (struct ldb_error){0};
            if (is_padding(bit, f.file.len)) {
                assert_ldb_ok(use_file(&f, &verified, &err), &err);
            } else {
                assert_ldb_status(LDB_CORRUPTION, use_file(&f, &verified, &err),
                                  &err);
                assert_ldb_message("000009.ldb: ", &err);
                assert_ldb_message(" at ", &err);
            }
            f.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        fixture_release(&f);
    }
}

static void without_verification_flipped_bits_do_no_more_than_lie(void **state)
{
    static const char *const tables[] = {goleveldb_table, leveldb_table};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;

        fixture_init(&f);
        f.options.filter = &bloom;
        f.options.verify_index_checksums = false;
        bytes_from_hex(tables[i], &f.file);
        for (size_t bit = 0; bit < 8 * f.file.len; bit++) {
            struct ldb_error err = {0};
            enum ldb_status s;

            f.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            s = use_file(&f, &unverified, &err);
            if (s != LDB_OK)
                assert_ldb_status(LDB_CORRUPTION, s, &err);
            f.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        fixture_release(&f);
    }
}

static void the_message_names_the_damaged_block(void **state)
{
    static const struct {
        const char *name;
        size_t at;
        const char *message;
    } rows[] = {
        {"data", 10, "000009.ldb: block at 0: checksum 0x"},
        {"data's type", 86, "000009.ldb: block at 0: checksum 0x"},
        {"data's checksum", 87, "000009.ldb: block at 0: checksum 0x"},
        {"filter", 91, "000009.ldb: block at 91: checksum 0x"},
        {"metaindex", 120, "000009.ldb: block at 114: checksum 0x"},
        {"index", 170, "000009.ldb: block at 166: checksum 0x"},
        {"magic", 240, "000009.ldb: footer at 193: bad magic number"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error err = {0};
        struct fixture f;

        fixture_init(&f);
        f.options.filter = &bloom;
        bytes_from_hex(leveldb_table, &f.file);
        f.file.data[rows[i].at] ^= 0x10;
        assert_ldb_status(LDB_CORRUPTION, use_file(&f, &verified, &err), &err);
        assert_ldb_message(rows[i].message, &err);
        fixture_release(&f);
    }
}

static void every_length_but_the_right_one_is_refused(void **state)
{
    struct fixture f;
    size_t whole;

    (void)state;
    fixture_init(&f);
    bytes_from_hex(leveldb_table, &f.file);
    whole = f.file.len;
    for (size_t len = 0; len < whole; len++) {
        struct ldb_error err = {0};

        f.file.len = len;
        assert_ldb_status(LDB_CORRUPTION, use_file(&f, &verified, &err), &err);
        assert_ldb_message("000009.ldb", &err);
    }
    f.file.len = whole;
    fixture_release(&f);
}

static void a_size_beyond_the_file_is_refused(void **state)
{
    static const bool mapped[] = {false, true};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ldb_error err = {0};
        struct fixture f;

        fixture_init(&f);
        bytes_from_hex(leveldb_table, &f.file);
        table_source_init(&f.source, ldb_slice_of_buf(&f.file), mapped[i]);
        assert_ldb_status(LDB_CORRUPTION,
                          ldb_table_open(&f.source.base, f.file.len + 1,
                                         "000009.ldb", &f.options, &err,
                                         &f.table),
                          &err);
        assert_ldb_message("file ends at", &err);
        assert_false(f.source.is_closed); /* still the caller's */
        fixture_release(&f);
    }
}

/* Appends a block with its trailer; where it is. */
static struct ldb_block_handle put_block(struct ldb_buf *file, uint8_t type,
                                         struct ldb_slice stored)
{
    struct ldb_block_handle handle = {.offset = file->len, .size = stored.len};
    uint32_t crc = ldb_crc32c(stored);

    assert_ldb_ok(ldb_buf_append(file, stored), NULL);
    assert_ldb_ok(ldb_buf_append_byte(file, type), NULL);
    crc = ldb_crc32c_extend(crc, ldb_slice_make(&type, 1));
    assert_ldb_ok(ldb_put_fixed32(file, ldb_crc_mask(crc)), NULL);
    return handle;
}

/* A table around one stored data block, or one given handle; all sums right. */
static void forge(struct fixture *f, uint8_t type, const char *block_hex,
                  const struct ldb_block_handle *wrong_handle)
{
    struct ldb_buf stored = LDB_BUF_INIT(1000);
    struct ldb_block_builder index;
    struct ldb_footer footer;
    struct ldb_block_handle handle;
    struct ldb_slice contents;
    uint8_t bytes[LDB_FOOTER_SIZE];
    uint8_t *end;

    bytes_from_hex(block_hex, &stored);
    handle = put_block(&f->file, type, ldb_slice_of_buf(&stored));
    if (wrong_handle != NULL)
        handle = *wrong_handle;
    ldb_block_builder_init(&index, 1);
    assert_ldb_ok(ldb_block_builder_finish(&index, &contents), NULL);
    footer.metaindex = put_block(&f->file, 0, contents);
    ldb_block_builder_clear(&index);
    end = ldb_block_handle_store(bytes, handle);
    assert_ldb_ok(
        ldb_block_builder_add(&index, ldb_slice_str("zzzzzzzzz"),
                              ldb_slice_make(bytes, (size_t)(end - bytes))),
        NULL);
    assert_ldb_ok(ldb_block_builder_finish(&index, &contents), NULL);
    footer.index = put_block(&f->file, 0, contents);
    ldb_footer_store(bytes, &footer);
    assert_ldb_ok(
        ldb_buf_append(&f->file, ldb_slice_make(bytes, sizeof(bytes))), NULL);
    ldb_block_builder_release(&index);
    ldb_buf_release(&stored);
}

static void blocks_no_writer_makes_are_corruption_at_their_offset(void **state)
{
    static const struct {
        const char *name;
        uint8_t type;
        const char *hex;
        const char *message;
    } rows[] = {
        {"zero bytes", 0, "", "block at 0: block too short"},
        {"four bytes", 0, "00000000", "block at 0: block too short"},
        {"zstd", 2, "00000000 01000000", "unknown compression type 2"},
        {"type 255", 255, "00000000 01000000", "unknown compression type 255"},
        {"zero bytes of snappy", 1, "", "impossible uncompressed length"},
        {"snappy of 4 GiB", 1, "ffffffff0f 00 61",
         "impossible uncompressed length"},
        {"snappy to nothing", 1, "00", "block too short"},
        {"broken snappy", 1, "0a 04 61 62 11 03", "does not uncompress"},
        {"short internal key", 0, "00 07 00 61616161616161 00000000 01000000",
         "block at 0: entry at 0: internal key shorter than 8 bytes"},
        {"value that passes the end", 0,
         "00 08 09 6161616161616161 00000000 01000000",
         "block at 0: entry at 0: entry passes the end"},
        {"restart points that pass the block", 0, "00000000 00000001",
         "bad number of restart points"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error err = {0};
        struct fixture f;

        fixture_init(&f);
        forge(&f, rows[i].type, rows[i].hex, NULL);
        if (use_file(&f, &verified, &err) != LDB_CORRUPTION)
            fail_msg("%s", rows[i].name);
        assert_ldb_message("000009.ldb", &err);
        assert_ldb_message(rows[i].message, &err);
        fixture_release(&f);
    }
}

static void handles_out_of_the_file_are_corruption(void **state)
{
    static const struct ldb_block_handle handles[] = {
        {0, 1000},
        {1000, 8},
        {UINT64_MAX, 8},
        {8, UINT64_MAX},
        {UINT64_MAX - 7, 8},
        {UINT64_MAX, UINT64_MAX},
        {0, UINT64_C(1) << 40},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        struct ldb_error err = {0};
        struct fixture f;

        fixture_init(&f);
        forge(&f, 0, "00000000 01000000", &handles[i]);
        if (use_file(&f, &unverified, &err) != LDB_CORRUPTION)
            fail_msg("row %zu", i);
        assert_ldb_message("000009.ldb: block at ", &err);
        fixture_release(&f);
    }
}

static void an_unknown_kind_of_entry_is_corruption(void **state)
{
    struct vector_entry target = vector_entry_make("a", 9, 1, "");
    struct ldb_error err = {0};
    struct fixture f;
    uint64_t tag;

    (void)state;
    fixture_init(&f);
    forge(&f, 0, "00 09 00 61 0209000000000000 00000000 01000000", NULL);
    ldb_store_fixed64(target.key + 1, UINT64_MAX);
    open_table(&f, false);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_table_get(f.table, &verified,
                                    vector_entry_key(&target), &err, NULL,
                                    &tag),
                      &err);
    assert_ldb_message("unknown kind", &err);
    fixture_release(&f);
}

static void damage(struct ldb_buf *file, size_t at)
{
    if (file->data == NULL || at >= file->len)
        fail();
    else
        file->data[at] ^= 1;
}

static void an_iterator_goes_on_after_a_seek_past_damage(void **state)
{
    static struct vector_entry entries[MANY];
    struct ldb_iterator *it;
    struct fixture f;

    (void)state;
    table_file_entries(entries, MANY);
    fixture_init(&f);
    table_file_build(&f.options, entries, MANY, &f.file);
    damage(&f.file, 10); /* in the first block */
    open_table(&f, false);
    it = iterate(&f, &verified);
    ldb_iterator_seek_first(it);
    assert_false(it->valid);
    assert_ldb_status(LDB_CORRUPTION, it->status, &it->error);
    ldb_iterator_seek(it, vector_entry_key(&entries[MANY - 1]));
    assert_true(it->valid);
    assert_ldb_ok(it->status, &it->error);
    while (it->valid)
        ldb_iterator_prev(it);
    assert_ldb_status(LDB_CORRUPTION, it->status, &it->error);
    ldb_iterator_destroy(it);
    fixture_release(&f);
}

static void no_memory_is_reported_and_nothing_leaks(void **state)
{
    static struct vector_entry entries[200];
    struct fixture f;

    (void)state;
    table_file_entries(entries, 200);
    fixture_init(&f);
    f.options.filter = &bloom;
    f.options.compress = true;
    f.options.block_size = 500;
    table_file_build(&f.options, entries, 200, &f.file);
    for (uint64_t n = 1;; n++) {
        struct vector_entry target = vector_entry_make("key000150", 100, 1, "");
        struct ldb_iterator *it = NULL;
        struct ldb_table *table = NULL;
        struct ldb_error err = {0};
        enum ldb_status s;
        uint64_t tag;

        table_source_init(&f.source, ldb_slice_of_buf(&f.file), false);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_table_open(&f.source.base, f.file.len, "000009.ldb", &f.options,
                           &err, &table);
        if (s == LDB_OK)
            s = ldb_table_get(table, &verified, vector_entry_key(&target), &err,
                              NULL, &tag);
        if (s == LDB_OK)
            s = ldb_table_iterator_create(table, &verified, &err, &it);
        if (s == LDB_OK) {
            ldb_iterator_seek_first(it);
            while (it->valid)
                ldb_iterator_next(it);
            s = it->status;
            err = it->error;
        }
        ldb_iterator_destroy(it);
        ldb_table_close(table);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_table_reads_back),
        cmocka_unit_test(whole_passes_meet_every_entry_once),
        cmocka_unit_test(get_finds_the_newest_at_or_below_the_sequence),
        cmocka_unit_test(get_without_a_value_buffer_tells_the_tag),
        cmocka_unit_test(a_table_without_entries_has_none),
        cmocka_unit_test(values_of_all_sizes_read_back),
        cmocka_unit_test(get_allocates_nothing_for_blocks_it_need_not_keep),
        cmocka_unit_test(a_block_is_decoded_no_further_than_to_the_key),
        cmocka_unit_test(blocks_are_read_once_while_the_cache_holds_them),
        cmocka_unit_test(a_filter_spares_the_data_blocks),
        cmocka_unit_test(tables_of_both_libraries_read_and_their_filters_work),
        cmocka_unit_test(whole_databases_of_both_libraries_read_back),
        cmocka_unit_test(a_filter_of_another_name_is_ignored),
        cmocka_unit_test(offsets_grow_with_the_keys_up_to_the_end_of_the_data),
        cmocka_unit_test(each_flipped_bit_is_corruption_with_file_and_offset),
        cmocka_unit_test(without_verification_flipped_bits_do_no_more_than_lie),
        cmocka_unit_test(the_message_names_the_damaged_block),
        cmocka_unit_test(every_length_but_the_right_one_is_refused),
        cmocka_unit_test(a_size_beyond_the_file_is_refused),
        cmocka_unit_test(blocks_no_writer_makes_are_corruption_at_their_offset),
        cmocka_unit_test(handles_out_of_the_file_are_corruption),
        cmocka_unit_test(an_unknown_kind_of_entry_is_corruption),
        cmocka_unit_test(an_iterator_goes_on_after_a_seek_past_damage),
        cmocka_unit_test(no_memory_is_reported_and_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
