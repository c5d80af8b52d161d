#include "storage/table/block_builder.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

static void add_hex(struct ldb_block_builder *builder, const char *key_hex,
                    const char *value)
{
    struct ldb_buf key = LDB_BUF_INIT(100);

    bytes_from_hex(key_hex, &key);
    assert_ldb_ok(ldb_block_builder_add(builder, ldb_slice_of_buf(&key),
                                        ldb_slice_str(value)),
                  NULL);
    ldb_buf_release(&key);
}

static void assert_finished(struct ldb_block_builder *builder, const char *hex)
{
    size_t expected = ldb_block_builder_size(builder);
    struct ldb_slice block;

    assert_ldb_ok(ldb_block_builder_finish(builder, &block), NULL);
    assert_ldb_hex(hex, block);
    assert_int_equal(block.len, expected);
}

/* docs/formats.md: the data block of 000002.ldb, uncompressed. */
static void the_data_block_of_the_dump_comes_out_byte_for_byte(void **state)
{
    struct ldb_block_builder builder;

    (void)state;
    ldb_block_builder_init(&builder, 16);
    add_hex(&builder, "6b65793030303101 03000000000000", "35c1bddf35c1b");
    add_hex(&builder, "6b65793030303101 01000000000000", "561e2aec561e");
    add_hex(&builder, "6b65793030303201 02000000000000", "43b3da5243b3d");
    assert_finished(&builder,
                    "00 0f 0d 6b657930303031 0103000000000000"
                    "33356331626464663335633162"
                    "08 07 0c 01000000000000 353631653261656335363165"
                    "06 09 0d 32 0102000000000000 34336233646135323433623364"
                    "00000000 01000000");
    ldb_block_builder_release(&builder);
}

static void the_meta_and_index_blocks_of_the_dump_come_out_too(void **state)
{
    struct ldb_block_builder builder;

    (void)state;
    ldb_block_builder_init(&builder, 16);
    assert_ldb_ok(ldb_block_builder_add(
                      &builder,
                      ldb_slice_str("filter.leveldb.BuiltinBloomFilter"),
                      ldb_slice_make("\x53\x12", 2)),
                  NULL);
    assert_finished(&builder, "00 21 02 66696c7465722e 6c6576656c64622e"
                              "4275696c74696e 426c6f6f6d46696c746572 53 12"
                              "00000000 01000000");
    ldb_block_builder_release(&builder);

    ldb_block_builder_init(&builder, 1);
    add_hex(&builder, "6c 01ffffffffffffff", "");
    ldb_block_builder_clear(&builder);
    assert_true(ldb_block_builder_is_empty(&builder));
    assert_ldb_ok(ldb_block_builder_add(
                      &builder,
                      ldb_slice_make("l\x01\xff\xff\xff\xff\xff\xff\xff", 9),
                      ldb_slice_make("\0\x4e", 2)),
                  NULL);
    assert_finished(&builder, "00 09 02 6c 01ffffffffffffff 00 4e"
                              "00000000 01000000");
    ldb_block_builder_release(&builder);
}

static void an_empty_block_has_one_restart_point(void **state)
{
    struct ldb_block_builder builder;

    (void)state;
    ldb_block_builder_init(&builder, 16);
    assert_finished(&builder, "00000000 01000000");
    ldb_block_builder_release(&builder);
}

static void every_nth_entry_is_a_restart_point(void **state)
{
    struct ldb_block_builder builder;

    (void)state;
    ldb_block_builder_init(&builder, 2);
    add_hex(&builder, "6161", "1");
    add_hex(&builder, "6162", "2");
    add_hex(&builder, "6163", "3");
    add_hex(&builder, "6163 64", "4");
    add_hex(&builder, "6164", "");
    assert_int_equal(builder.entry_count, 5);
    assert_finished(&builder, "00 02 01 6161 31  01 01 01 62 32"
                              "00 02 01 6163 33  02 01 01 64 34"
                              "00 02 00 6164"
                              "00000000 0b000000 16000000 03000000");
    ldb_block_builder_release(&builder);
}

static void an_interval_of_one_shares_nothing(void **state)
{
    struct ldb_block_builder builder;

    (void)state;
    ldb_block_builder_init(&builder, 1);
    add_hex(&builder, "6161", "");
    add_hex(&builder, "6162", "");
    assert_finished(&builder, "00 02 00 6161  00 02 00 6162"
                              "00000000 05000000 02000000");
    ldb_block_builder_release(&builder);
}

static void keys_empty_long_and_prefixes_of_another_are_taken(void **state)
{
    struct ldb_block_builder builder;
    uint8_t key[300];
    struct ldb_slice block;

    (void)state;
    memset(key, 'k', sizeof(key));
    ldb_block_builder_init(&builder, 16);
    assert_ldb_ok(ldb_block_builder_add(&builder, ldb_slice_make(NULL, 0),
                                        ldb_slice_make(NULL, 0)),
                  NULL);
    assert_ldb_ok(ldb_block_builder_add(&builder, ldb_slice_make(key, 200),
                                        ldb_slice_str("v")),
                  NULL);
    assert_ldb_ok(ldb_block_builder_add(&builder, ldb_slice_make(key, 300),
                                        ldb_slice_str("w")),
                  NULL);
    assert_ldb_ok(ldb_block_builder_finish(&builder, &block), NULL);
    /* 00 00 00 | 00 c8 01, one byte value | c8 01, 64, 01 */
    assert_ldb_hex("00 00 00 00 c8 01 01 6b", ldb_slice_make(block.data, 8));
    assert_ldb_hex("76 c8 01 64 01 6b",
                   ldb_slice_make(block.data + 3 + 4 + 200, 6));
    ldb_block_builder_release(&builder);
}

static void no_memory_is_reported(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ldb_block_builder builder;
        struct ldb_slice block;
        enum ldb_status s;

        ldb_block_builder_init(&builder, 16);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_block_builder_add(&builder, ldb_slice_str("a"),
                                  ldb_slice_str("1"));
        if (s == LDB_OK)
            s = ldb_block_builder_finish(&builder, &block);
        ldb_block_builder_release(&builder);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, NULL);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_data_block_of_the_dump_comes_out_byte_for_byte),
        cmocka_unit_test(the_meta_and_index_blocks_of_the_dump_come_out_too),
        cmocka_unit_test(an_empty_block_has_one_restart_point),
        cmocka_unit_test(every_nth_entry_is_a_restart_point),
        cmocka_unit_test(an_interval_of_one_shares_nothing),
        cmocka_unit_test(keys_empty_long_and_prefixes_of_another_are_taken),
        cmocka_unit_test(no_memory_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
