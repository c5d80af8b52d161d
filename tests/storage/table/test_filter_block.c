#include "storage/table/filter_block.h"

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

static const struct ldb_filter_policy bloom = {.name = LDB_BLOOM_NAME_GOLEVELDB,
                                               .bloom_bits_per_key = 10};

/* A policy of a user: the keys joined by '|'; matches a key that is a part. */
static enum ldb_status join_keys(void *context, const struct ldb_slice *keys,
                                 size_t count, struct ldb_buf *out)
{
    enum ldb_status s = LDB_OK;

    (void)context;
    for (size_t i = 0; i < count && s == LDB_OK; i++) {
        s = ldb_buf_append(out, keys[i]);
        if (s == LDB_OK)
            s = ldb_buf_append_byte(out, '|');
    }
    return s;
}

static bool find_key(void *context, struct ldb_slice key,
                     struct ldb_slice filter)
{
    (void)context;
    return memmem(filter.data, filter.len, key.data, key.len) != NULL;
}

static const struct ldb_filter_policy joining = {
    .name = "test.Joining", .create = join_keys, .may_match = find_key};

static void add(struct ldb_filter_block_builder *builder, const char *key)
{
    assert_ldb_ok(ldb_filter_block_builder_add(builder, ldb_slice_str(key)),
                  NULL);
}

static void start(struct ldb_filter_block_builder *builder, uint64_t offset)
{
    assert_ldb_ok(ldb_filter_block_builder_start_block(builder, offset), NULL);
}

static bool may_match(struct ldb_slice block,
                      const struct ldb_filter_policy *policy, uint64_t offset,
                      const char *key)
{
    struct ldb_filter_block filter;

    ldb_filter_block_init(&filter, policy, block);
    return ldb_filter_block_may_match(&filter, offset, ldb_slice_str(key));
}

/* docs/formats.md. */
static void the_filter_block_of_the_dump_comes_out_byte_for_byte(void **state)
{
    struct ldb_filter_block_builder builder;
    struct ldb_slice block;

    (void)state;
    ldb_filter_block_builder_init(&builder, &bloom, LDB_FILTER_BASE_LG);
    add(&builder, "key0001");
    add(&builder, "key0001");
    add(&builder, "key0002");
    start(&builder, 83);
    assert_ldb_ok(ldb_filter_block_builder_finish(&builder, &block), NULL);
    assert_ldb_hex("00 04 20 00 41 5d 41 80 06 00000000 09000000 0b", block);
    assert_true(may_match(block, &bloom, 0, "key0001"));
    assert_true(may_match(block, &bloom, 0, "key0002"));
    assert_false(may_match(block, &bloom, 0, "key0003"));
    ldb_filter_block_builder_release(&builder);
}

static void a_block_without_keys_has_no_filter(void **state)
{
    struct ldb_filter_block_builder builder;
    struct ldb_slice block;

    (void)state;
    ldb_filter_block_builder_init(&builder, &bloom, LDB_FILTER_BASE_LG);
    assert_ldb_ok(ldb_filter_block_builder_finish(&builder, &block), NULL);
    assert_ldb_hex("00000000 0b", block);
    assert_true(may_match(block, &bloom, 0, "any"));
    assert_true(may_match(block, &bloom, 100000, "any"));
    ldb_filter_block_builder_release(&builder);
}

static void each_2048_bytes_of_the_file_have_a_filter(void **state)
{
    struct ldb_filter_block_builder builder;
    struct ldb_slice block;

    (void)state;
    ldb_filter_block_builder_init(&builder, &joining, LDB_FILTER_BASE_LG);
    /* Data blocks start at 0, 1000, 2048, 9000. */
    start(&builder, 0);
    add(&builder, "foo");
    start(&builder, 1000);
    add(&builder, "");
    add(&builder, "bar");
    start(&builder, 2048);
    add(&builder, "box");
    start(&builder, 9000);
    add(&builder, "hello");
    assert_ldb_ok(ldb_filter_block_builder_finish(&builder, &block), NULL);
    assert_ldb_bytes("foo||bar|box|hello|"
                     "\0\0\0\0\x09\0\0\0\x0d\0\0\0\x0d\0\0\0\x0d\0\0\0"
                     "\x13\0\0\0\x0b",
                     block);

    assert_true(may_match(block, &joining, 0, "foo"));
    assert_true(may_match(block, &joining, 1000, "bar"));
    assert_false(may_match(block, &joining, 1000, "box"));
    assert_true(may_match(block, &joining, 2048, "box"));
    assert_false(may_match(block, &joining, 2048, "foo"));
    /* Empty filters match nothing. */
    assert_false(may_match(block, &joining, 4096, "box"));
    assert_false(may_match(block, &joining, 6144, "hello"));
    assert_true(may_match(block, &joining, 9000, "hello"));
    assert_false(may_match(block, &joining, 9000, "box"));
    /* Behind the last one all may be. */
    assert_true(may_match(block, &joining, 10240, "foo"));
    ldb_filter_block_builder_release(&builder);
}

static void a_block_that_cannot_be_matches_everything(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
    } rows[] = {
        {"nothing", ""},
        {"four bytes", "000000 0b"},
        {"array behind the end", "61 00000000 06000000 0b"},
        {"array offset that would wrap", "61 00000000 ffffffff 0b"},
        {"offset behind the filters", "61 02000000 01000000 0b"},
        {"filter passes the filters", "61 00000000 09000000 01000000 0b"},
        {"base 64", "00000000 00000000 40"},
        {"base 255", "00000000 00000000 ff"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf bytes = LDB_BUF_INIT(100);
        uint8_t *exact;

        bytes_from_hex(rows[i].hex, &bytes);
        exact = ldb_mem_dup(bytes.data, bytes.len);
        assert_non_null(exact);
        if (!may_match(ldb_slice_make(exact, bytes.len), &joining, 0, "key"))
            fail_msg("%s", rows[i].name);
        (void)may_match(ldb_slice_make(exact, bytes.len), &joining, UINT64_MAX,
                        "key");
        ldb_mem_free(exact);
        ldb_buf_release(&bytes);
    }
}

static void no_memory_is_reported(void **state)
{
    const struct ldb_filter_policy *policies[] = {&bloom, &joining};

    (void)state;
    for (size_t p = 0; p < 2; p++) {
        for (uint64_t n = 1;; n++) {
            struct ldb_filter_block_builder builder;
            struct ldb_slice block;
            enum ldb_status s;

            ldb_filter_block_builder_init(&builder, policies[p],
                                          LDB_FILTER_BASE_LG);
            mem_fault_start(n, MEM_FAULT_ONCE);
            s = ldb_filter_block_builder_add(&builder, ldb_slice_str("key"));
            if (s == LDB_OK)
                s = ldb_filter_block_builder_start_block(&builder, 5000);
            if (s == LDB_OK)
                s = ldb_filter_block_builder_finish(&builder, &block);
            ldb_filter_block_builder_release(&builder);
            if (!mem_fault_stop()) {
                assert_ldb_ok(s, NULL);
                break;
            }
            assert_ldb_status(LDB_NO_MEMORY, s, NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_filter_block_of_the_dump_comes_out_byte_for_byte),
        cmocka_unit_test(a_block_without_keys_has_no_filter),
        cmocka_unit_test(each_2048_bytes_of_the_file_have_a_filter),
        cmocka_unit_test(a_block_that_cannot_be_matches_everything),
        cmocka_unit_test(no_memory_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
