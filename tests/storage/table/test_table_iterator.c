#include <stdio.h>

#include "storage/base/internal_key.h"
#include "storage/table/table_reader_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/table_file.h"
#include "tests/support/vector_iterator.h"

#define MANY 1000

static const struct ldb_table_read reading = {.verify_checksums = true,
                                              .fill_cache = true};

struct fixture {
    struct ldb_table_options options;
    struct ldb_buf file;
    struct table_source source;
    struct ldb_table *table;
    size_t released;
};

static void fixture_open(struct fixture *f)
{
    struct ldb_error err = {0};

    table_source_init(&f->source, ldb_slice_of_buf(&f->file), false);
    assert_ldb_ok(ldb_table_open(&f->source.base, f->file.len, "000009.ldb",
                                 &f->options, &err, &f->table),
                  &err);
}

static void fixture_build(struct fixture *f)
{
    static struct vector_entry entries[MANY];

    *f = (struct fixture){.options = table_file_options(),
                          .file = LDB_BUF_INIT(TABLE_FILE_MAX)};
    f->options.block_size = 500;
    table_file_entries(entries, MANY);
    table_file_build(&f->options, entries, MANY, &f->file);
    fixture_open(f);
}

static void fixture_release(struct fixture *f)
{
    ldb_table_close(f->table);
    ldb_buf_release(&f->file);
}

static void count_release(void *context)
{
    struct fixture *f = context;

    f->released++;
}

static struct ldb_iterator *iterate(struct fixture *f)
{
    struct ldb_error err = {0};
    struct ldb_iterator *it = NULL;

    assert_ldb_ok(ldb_table_iterator_create_with(f->table, &reading, NULL,
                                                 count_release, f, &err, &it),
                  &err);
    return it;
}

static void what_it_stands_on_is_released_once(void **state)
{
    struct fixture f;
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};

    (void)state;
    fixture_build(&f);
    it = iterate(&f);
    ldb_iterator_seek_last(it);
    assert_true(it->valid);
    assert_int_equal(f.released, 0);
    ldb_iterator_destroy(it);
    assert_int_equal(f.released, 1);

    /* Where there is no iterator, the caller still has it. */
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      ldb_table_iterator_create_with(f.table, &reading, NULL,
                                                     count_release, &f, &err,
                                                     &it),
                      &err);
    assert_true(mem_fault_stop());
    assert_int_equal(f.released, 1);
    fixture_release(&f);
}

static void a_pass_reads_each_block_once(void **state)
{
    struct fixture f;
    struct ldb_iterator *it;
    size_t at_open, forwards;

    (void)state;
    fixture_build(&f);
    at_open = f.source.reads;
    it = iterate(&f);
    assert_int_equal(f.source.reads, at_open);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it))
        continue;
    forwards = f.source.reads - at_open;
    assert_in_range(forwards, 20, MANY / 10);
    /* The last block is still held. */
    for (ldb_iterator_seek_last(it); it->valid; ldb_iterator_prev(it))
        continue;
    assert_int_equal(f.source.reads - at_open, 2 * forwards - 1);
    ldb_iterator_destroy(it);
    fixture_release(&f);
}

static void seeks_within_one_block_read_it_once(void **state)
{
    struct vector_entry target;
    struct fixture f;
    struct ldb_iterator *it;
    size_t reads;

    (void)state;
    fixture_build(&f);
    it = iterate(&f);
    target = vector_entry_make("key000500", 200, 1, "");
    ldb_iterator_seek(it, vector_entry_key(&target));
    reads = f.source.reads;
    for (int i = 0; i < 10; i++) {
        ldb_iterator_seek(it, vector_entry_key(&target));
        assert_ldb_bytes("key000500", it->value);
    }
    assert_int_equal(f.source.reads, reads);
    ldb_iterator_destroy(it);
    fixture_release(&f);
}

static void it_turns_round_at_the_edge_of_a_block(void **state)
{
    struct fixture f;
    struct ldb_iterator *it;
    size_t before, edges = 0;

    (void)state;
    fixture_build(&f);
    it = iterate(&f);
    ldb_iterator_seek_first(it);
    before = f.source.reads;
    for (size_t i = 1; i < MANY; i++) {
        char text[24];

        ldb_iterator_next(it);
        if (f.source.reads == before)
            continue;
        edges++;
        ldb_iterator_prev(it);
        (void)snprintf(text, sizeof(text), "key%06zu", i - 1);
        assert_ldb_slice(ldb_slice_str(text), it->value);
        ldb_iterator_next(it);
        (void)snprintf(text, sizeof(text), "key%06zu", i);
        assert_ldb_slice(ldb_slice_str(text), it->value);
        before = f.source.reads;
    }
    assert_true(edges > 20);
    ldb_iterator_destroy(it);
    fixture_release(&f);
}

/* goleveldb writes an empty data block into a table without entries. */
static void data_blocks_without_entries_are_passed_over(void **state)
{
    static const char table[] =
        /* 00: data block without entries (checksums are not looked at) */
        "00000000 01000000 00 c0f2a1b0"
        /* 0d: metaindex, 1a: index with "zzzzzzzzz" -> 0, 8 twice over */
        "00000000 01000000 00 c0f2a1b0"
        "00 09 02 7a7a7a7a7a7a7a7a61 00 08"
        "00 09 02 7a7a7a7a7a7a7a7a7a 00 08"
        "00000000 0e000000 02000000 00 00000000"
        "0d 08 1a 28 000000000000000000000000000000000000000000000000"
        "000000000000000000000000 57fb808b247547db";
    struct ldb_table_read unverified = {.fill_cache = true};
    struct ldb_iterator *it = NULL;
    struct fixture f = {.options = table_file_options(),
                        .file = LDB_BUF_INIT(TABLE_FILE_MAX)};

    (void)state;
    f.options.verify_index_checksums = false;
    bytes_from_hex(table, &f.file);
    fixture_open(&f);
    assert_ldb_ok(ldb_table_iterator_create(f.table, &unverified, NULL, &it),
                  NULL);
    ldb_iterator_seek_first(it);
    assert_false(it->valid);
    assert_ldb_ok(it->status, &it->error);
    ldb_iterator_seek_last(it);
    assert_false(it->valid);
    assert_ldb_ok(it->status, &it->error);
    ldb_iterator_seek(it, ldb_slice_str("aaaaaaaaa"));
    assert_false(it->valid);
    assert_ldb_ok(it->status, &it->error);
    ldb_iterator_destroy(it);
    fixture_release(&f);
}

/* The internal key that comes before all entries of a user key. */
static struct ldb_slice bound(const char *user_key, struct ldb_buf *out)
{
    ldb_buf_clear(out);
    assert_ldb_ok(
        ldb_internal_key_append(out, ldb_slice_str(user_key),
                                ldb_tag_make(LDB_SEQUENCE_MAX, LDB_KIND_SEEK)),
        NULL);
    return ldb_slice_of_buf(out);
}

static void no_move_leaves_the_blocks_within_the_bounds(void **state)
{
    struct ldb_buf lower = LDB_BUF_INIT(100);
    struct ldb_buf upper = LDB_BUF_INIT(100);
    struct ldb_buf target = LDB_BUF_INIT(100);
    struct ldb_key_bounds bounds = {.lower = bound("key000300", &lower),
                                    .upper = bound("key000400", &upper)};
    struct ldb_table_read bounded = {.bounds = &bounds};
    struct ldb_iterator *it = NULL;
    uint64_t first_block, last_block;
    struct fixture f;

    (void)state;
    fixture_build(&f);
    assert_ldb_ok(ldb_table_iterator_create(f.table, &bounded, NULL, &it),
                  NULL);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it))
        continue;
    last_block = f.source.last_read_offset;
    for (ldb_iterator_seek_last(it); it->valid; ldb_iterator_prev(it))
        continue;
    first_block = f.source.last_read_offset;
    assert_true(0 < first_block && first_block < last_block &&
                last_block < f.file.len / 2);
    ldb_iterator_seek(it, bound("key000900", &target));
    assert_false(it->valid);
    assert_ldb_ok(it->status, &it->error);
    assert_int_equal(f.source.last_read_offset, last_block);
    ldb_iterator_seek(it, bound("key000000", &target));
    assert_true(it->valid);
    assert_int_equal(f.source.last_read_offset, first_block);
    ldb_iterator_destroy(it);
    fixture_release(&f);
    ldb_buf_release(&lower);
    ldb_buf_release(&upper);
    ldb_buf_release(&target);
}

/* ---- reading ahead ---- */

#define AHEAD_PATH "/000009.ldb"

/* A file in memory of the first len bytes of f's table, to be read ahead. */
struct ahead_fixture {
    struct ldb_env *env;
    struct ldb_read_ahead_budget budget;
    struct ldb_iterator *it;
};

static void ahead_setup(struct ahead_fixture *a, struct fixture *f, size_t len,
                        const struct ldb_table_read *read)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_read_ahead *ahead;
    struct ldb_error err = {0};

    atomic_init(&a->budget.left, 1);
    assert_ldb_ok(ldb_env_memory_create(&err, &a->env), &err);
    assert_ldb_ok(a->env->ops->open_writable(a->env, AHEAD_PATH,
                                             LDB_OPEN_TRUNCATE, &err, &file),
                  &err);
    assert_ldb_ok(
        ldb_file_append(file, ldb_slice_make(f->file.data, len), &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    ahead = ldb_read_ahead_open(a->env, AHEAD_PATH, f->file.len, &a->budget);
    assert_non_null(ahead);
    assert_ldb_ok(ldb_table_iterator_create_with(f->table, read, ahead, NULL,
                                                 NULL, &err, &a->it),
                  &err);
}

static void ahead_teardown(struct ahead_fixture *a)
{
    ldb_iterator_destroy(a->it);
    assert_int_equal(atomic_load(&a->budget.left), 1);
    ldb_env_memory_destroy(a->env);
}

static void going_forward_reads_ahead_and_back_the_table_itself(void **state)
{
    struct ahead_fixture a;
    struct fixture f;
    struct ldb_iterator *plain;
    size_t at_open;
    size_t count = 0;

    (void)state;
    fixture_build(&f);
    plain = iterate(&f);
    ahead_setup(&a, &f, f.file.len, &reading);
    at_open = f.source.reads;
    for (ldb_iterator_seek_first(a.it); a.it->valid; ldb_iterator_next(a.it))
        count++;
    assert_int_equal(a.it->status, LDB_OK);
    assert_int_equal(count, MANY);
    assert_int_equal(f.source.reads, at_open);
    ldb_iterator_seek_last(plain);
    for (ldb_iterator_seek_last(a.it); a.it->valid; ldb_iterator_prev(a.it)) {
        assert_ldb_slice(plain->key, a.it->key);
        assert_ldb_slice(plain->value, a.it->value);
        ldb_iterator_prev(plain);
    }
    assert_false(plain->valid);
    assert_true(f.source.reads > at_open);
    ldb_iterator_seek_first(plain);
    for (ldb_iterator_seek_first(a.it); a.it->valid; ldb_iterator_next(a.it)) {
        assert_ldb_slice(plain->key, a.it->key);
        assert_ldb_slice(plain->value, a.it->value);
        ldb_iterator_next(plain);
    }
    assert_false(plain->valid);
    ldb_iterator_destroy(plain);
    ahead_teardown(&a);
    fixture_release(&f);
}

static void damage_in_what_is_read_ahead_is_told_and_may_be_passed(void **state)
{
    const struct ldb_table_read passing = {.verify_checksums = true,
                                           .skip_damage = true};
    struct ahead_fixture a;
    struct fixture f;
    size_t cut, count = 0;

    (void)state;
    fixture_build(&f);
    cut = f.file.len / 2;
    /* The first block's first byte, in the file of its own alone. */
    f.file.data[0] ^= 1;
    ahead_setup(&a, &f, cut, &reading);
    ldb_iterator_seek_first(a.it);
    assert_ldb_status(LDB_CORRUPTION, a.it->status, &a.it->error);
    assert_non_null(
        strstr(a.it->error.message, "000009.ldb: block at 0: checksum"));
    ahead_teardown(&a);

    /* All blocks but the first and those behind the cut. */
    ahead_setup(&a, &f, cut, &passing);
    for (ldb_iterator_seek_first(a.it); a.it->valid; ldb_iterator_next(a.it))
        count++;
    assert_int_equal(a.it->status, LDB_OK);
    assert_in_range(count, MANY / 4, MANY / 4 * 3);
    ahead_teardown(&a);

    f.file.data[0] ^= 1;
    ahead_setup(&a, &f, cut, &reading);
    for (ldb_iterator_seek_first(a.it); a.it->valid; ldb_iterator_next(a.it))
        continue;
    assert_ldb_status(LDB_CORRUPTION, a.it->status, &a.it->error);
    assert_non_null(strstr(a.it->error.message, "000009.ldb: block at "));
    assert_non_null(strstr(a.it->error.message, " bytes are in the file"));
    ahead_teardown(&a);
    fixture_release(&f);
}

/* Larger than what is read at once. */
static void a_block_out_of_reach_is_read_from_the_table(void **state)
{
    static struct vector_entry entries[LDB_READ_AHEAD_SIZE / 16];
    const size_t count = sizeof(entries) / sizeof(entries[0]);
    struct ahead_fixture a;
    struct fixture f = {.options = table_file_options(),
                        .file = LDB_BUF_INIT(TABLE_FILE_MAX)};
    size_t i = 0;

    (void)state;
    table_file_entries(entries, count);
    f.options.block_size = LDB_READ_AHEAD_SIZE + 1000;
    table_file_build(&f.options, entries, count, &f.file);
    assert_in_range(f.file.len, f.options.block_size + 10000,
                    2 * f.options.block_size);
    fixture_open(&f);
    ahead_setup(&a, &f, f.file.len, &reading);
    f.source.reads = 0;
    for (ldb_iterator_seek_first(a.it); a.it->valid; ldb_iterator_next(a.it))
        assert_ldb_slice(vector_entry_key(&entries[i++]), a.it->key);
    assert_int_equal(a.it->status, LDB_OK);
    assert_int_equal(i, count);
    /* The first of two blocks. */
    assert_int_equal(f.source.reads, 1);
    ahead_teardown(&a);
    fixture_release(&f);
}

static void a_block_that_was_read_ahead_is_given_as_it_is_stored(void **state)
{
    struct ahead_fixture a;
    struct fixture f = {.options = table_file_options(),
                        .file = LDB_BUF_INIT(TABLE_FILE_MAX)};
    struct vector_entry entries[3];
    struct ldb_slice stored = {0};
    size_t offset = 0;

    (void)state;
    table_file_entries(entries, 3);
    f.options.block_size = 1;
    table_file_build(&f.options, entries, 3, &f.file);
    fixture_open(&f); /* not mapped */
    ahead_setup(&a, &f, f.file.len, &reading);
    for (ldb_iterator_seek_first(a.it); a.it->valid; ldb_iterator_next(a.it)) {
        assert_true(ldb_iterator_stored(a.it, &stored));
        assert_ldb_slice(ldb_slice_make(f.file.data + offset, stored.len),
                         stored);
        offset += stored.len;
    }
    assert_true(offset > 0);
    ahead_teardown(&a);
    fixture_release(&f);
}

/* ---- stored blocks ---- */

/* Blocks of one entry where is_alone, else of two; read with `read`. */
static bool gives_stored(bool is_alone, bool is_mapped,
                         const struct ldb_table_read *read)
{
    struct fixture f = {.options = table_file_options(),
                        .file = LDB_BUF_INIT(TABLE_FILE_MAX)};
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};
    struct vector_entry entries[2];
    struct ldb_slice stored = {0};
    bool is_given;

    f.options.block_size = is_alone ? 1 : 500;
    table_file_entries(entries, 2);
    table_file_build(&f.options, entries, 2, &f.file);
    table_source_init(&f.source, ldb_slice_of_buf(&f.file), is_mapped);
    assert_ldb_ok(ldb_table_open(&f.source.base, f.file.len, "000009.ldb",
                                 &f.options, &err, &f.table),
                  &err);
    assert_ldb_ok(ldb_table_iterator_create(f.table, read, &err, &it), &err);
    ldb_iterator_seek_first(it);
    is_given = ldb_iterator_stored(it, &stored);
    if (is_given) {
        /* The first block with its trailer; the second begins behind it. */
        assert_ptr_equal(stored.data, f.file.data);
        ldb_iterator_next(it);
        assert_true(ldb_iterator_stored(it, &stored));
        assert_ptr_equal(stored.data, f.file.data + stored.len);
    }
    ldb_iterator_destroy(it);
    fixture_release(&f);
    return is_given;
}

static void a_block_of_one_entry_is_given_as_it_is_stored(void **state)
{
    static const struct ldb_table_read unchecked = {.verify_checksums = false};

    (void)state;
    assert_true(gives_stored(true, true, &reading));
    assert_false(gives_stored(false, true, &reading));
    assert_false(gives_stored(true, false, &reading));
    assert_false(gives_stored(true, true, &unchecked));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_stands_on_is_released_once),
        cmocka_unit_test(a_pass_reads_each_block_once),
        cmocka_unit_test(seeks_within_one_block_read_it_once),
        cmocka_unit_test(it_turns_round_at_the_edge_of_a_block),
        cmocka_unit_test(data_blocks_without_entries_are_passed_over),
        cmocka_unit_test(no_move_leaves_the_blocks_within_the_bounds),
        cmocka_unit_test(going_forward_reads_ahead_and_back_the_table_itself),
        cmocka_unit_test(
            damage_in_what_is_read_ahead_is_told_and_may_be_passed),
        cmocka_unit_test(a_block_out_of_reach_is_read_from_the_table),
        cmocka_unit_test(a_block_that_was_read_ahead_is_given_as_it_is_stored),
        cmocka_unit_test(a_block_of_one_entry_is_given_as_it_is_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
