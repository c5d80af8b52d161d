#include "storage/table/stored_block.h"

#include "storage/base/mem.h"
#include "storage/table/compression.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/table_file.h"

/* docs/formats.md: the filter block, plain, and the index block, snappy,
 * each with its trailer. */
#define PLAIN_HEX  "00 04 20 00 41 5d 41 80 06 00000000 09000000 0b  00 a1685c0f"
#define SNAPPY_HEX "16 14 0009026c01ff09 0124004e0000000001000000 01 b4f165ac"

/* Reads the block of size bytes at offset of a file of those bytes. */
static enum ldb_status read_hex(const char *hex, struct ldb_block_handle handle,
                                bool mapped, bool verify, struct ldb_error *err,
                                struct ldb_buf *out, bool *out_in_memory)
{
    struct ldb_buf file = LDB_BUF_INIT(1000);
    struct ldb_stored_block block = {0};
    struct table_source source;
    enum ldb_status s;

    bytes_from_hex(hex, &file);
    table_source_init(&source, ldb_slice_of_buf(&file), mapped);
    s = ldb_stored_block_read(&source.base, "000002.ldb", file.len, handle,
                              verify, (struct ldb_block_scratch){0}, err,
                              &block);
    if (s == LDB_OK) {
        assert_ldb_ok(ldb_buf_assign(out, block.contents), NULL);
        *out_in_memory = block.memory != NULL;
        if (block.memory != NULL) {
            assert_ptr_equal(block.contents.data, block.memory->bytes);
            assert_int_equal(block.contents.len, block.memory->len);
        }
        ldb_mem_free(block.memory);
    }
    ldb_buf_release(&file);
    return s;
}

static void blocks_of_the_dump_come_out_plain(void **state)
{
    static const struct {
        const char *hex;
        struct ldb_block_handle handle;
        bool mapped;
        const char *plain;
        bool in_memory;
    } rows[] = {
        {PLAIN_HEX,
         {0, 18},
         true,
         "0004200041 5d418006 00000000 09000000 0b",
         false},
        {PLAIN_HEX,
         {0, 18},
         false,
         "0004200041 5d418006 00000000 09000000 0b",
         true},
        {SNAPPY_HEX,
         {0, 21},
         true,
         "00 09 02 6c 01ffffffffffffff 00 4e 00000000 01000000",
         true},
        {SNAPPY_HEX,
         {0, 21},
         false,
         "00 09 02 6c 01ffffffffffffff 00 4e 00000000 01000000",
         true},
        {"aabb" PLAIN_HEX "cc",
         {2, 18},
         true,
         "0004200041 5d418006 00000000 09000000 0b",
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf out = LDB_BUF_INIT(1000);
        struct ldb_error err = {0};
        bool in_memory = false;

        assert_ldb_ok(read_hex(rows[i].hex, rows[i].handle, rows[i].mapped,
                               true, &err, &out, &in_memory),
                      &err);
        assert_ldb_hex(rows[i].plain, ldb_slice_of_buf(&out));
        assert_int_equal(in_memory, rows[i].in_memory);
        ldb_buf_release(&out);
    }
}

static void damage_is_told_with_file_and_offset(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
        struct ldb_block_handle handle;
        bool verify;
        const char *message;
    } rows[] = {
        {"trailer cut off",
         PLAIN_HEX,
         {0, 19},
         true,
         "000002.ldb: block at 0 of 19 bytes passes 23"},
        {"offset behind the file",
         PLAIN_HEX,
         {100, 1},
         true,
         "000002.ldb: block at 100 of 1 bytes passes 23"},
        {"size that wraps",
         PLAIN_HEX,
         {1, UINT64_MAX},
         true,
         "000002.ldb: block at 1 of 18446744073709551615 bytes passes 23"},
        {"one byte off",
         "00" PLAIN_HEX,
         {0, 19},
         true,
         "000002.ldb: block at 0: checksum 0x"},
        {"type changed",
         "0000000000000000 01 00000000",
         {0, 8},
         true,
         "000002.ldb: block at 0: checksum 0x"},
        {"unknown type",
         "0000000000000000 02 00000000",
         {0, 8},
         false,
         "000002.ldb: block at 0: unknown compression type 2"},
        {"no snappy",
         "ffffffffffffffff 01 00000000",
         {0, 8},
         false,
         "000002.ldb: block at 0: impossible uncompressed length"},
        {"broken snappy",
         "0806616161616161 01 00000000",
         {0, 8},
         false,
         "000002.ldb: block at 0: does not uncompress"},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf out = LDB_BUF_INIT(1000);
        struct ldb_error err = {0};
        bool in_memory = false;

        assert_ldb_status(LDB_CORRUPTION,
                          read_hex(rows[i / 2].hex, rows[i / 2].handle,
                                   i % 2 != 0, rows[i / 2].verify, &err, &out,
                                   &in_memory),
                          &err);
        assert_ldb_message(rows[i / 2].message, &err);
        ldb_buf_release(&out);
    }
}

static void without_verification_the_checksum_is_not_looked_at(void **state)
{
    struct ldb_buf out = LDB_BUF_INIT(1000);
    struct ldb_error err = {0};
    bool in_memory = false;

    (void)state;
    assert_ldb_ok(read_hex("616263 00 00000000",
                           (struct ldb_block_handle){0, 3}, true, false, &err,
                           &out, &in_memory),
                  &err);
    assert_ldb_bytes("abc", ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

static void a_block_of_no_bytes_is_a_block(void **state)
{
    struct ldb_buf out = LDB_BUF_INIT(1000);
    struct ldb_error err = {0};
    bool in_memory = false;

    (void)state;
    assert_ldb_ok(read_hex("00 00000000", (struct ldb_block_handle){0, 0},
                           false, false, &err, &out, &in_memory),
                  &err);
    assert_int_equal(out.len, 0);
    ldb_buf_release(&out);
}

static void a_scratch_that_is_large_enough_is_used(void **state)
{
    static const struct {
        const char *hex;
        uint64_t size;
        size_t scratch_size;
        bool mapped;
        bool in_scratch;
    } rows[] = {
        /* As stored 23 bytes and 26, as plain 18 and 22. */
        {PLAIN_HEX, 18, 23, false, true},  {PLAIN_HEX, 18, 22, false, false},
        {SNAPPY_HEX, 21, 48, false, true}, {SNAPPY_HEX, 21, 46, false, false},
        {SNAPPY_HEX, 21, 22, true, true},  {SNAPPY_HEX, 21, 21, true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf file = LDB_BUF_INIT(1000);
        uint8_t *room = ldb_mem_alloc(rows[i].scratch_size, 1);
        struct ldb_stored_block block = {0};
        struct ldb_error err = {0};
        struct table_source source;

        assert_non_null(room);
        bytes_from_hex(rows[i].hex, &file);
        table_source_init(&source, ldb_slice_of_buf(&file), rows[i].mapped);
        assert_ldb_ok(
            ldb_stored_block_read(
                &source.base, "000002.ldb", file.len,
                (struct ldb_block_handle){0, rows[i].size}, true,
                (struct ldb_block_scratch){room, rows[i].scratch_size}, &err,
                &block),
            &err);
        if ((block.memory == NULL) != rows[i].in_scratch)
            fail_msg("row %zu", i);
        if (rows[i].in_scratch)
            assert_in_range((uintptr_t)block.contents.data, (uintptr_t)room,
                            (uintptr_t)room + rows[i].scratch_size);
        ldb_mem_free(block.memory);
        ldb_mem_free(room);
        ldb_buf_release(&file);
    }
}

static void a_block_is_decoded_as_far_as_asked(void **state)
{
    static uint8_t plain[1000];
    struct ldb_buf file = LDB_BUF_INIT(2000);
    struct ldb_block_handle handle = {0};
    static const uint8_t trailer[5] = {LDB_BLOCK_SNAPPY};
    uint64_t seed = 3;

    (void)state;
    bytes_fill(&seed, plain, sizeof(plain) / 2);
    assert_ldb_ok(
        ldb_snappy_compress(ldb_slice_make(plain, sizeof(plain)), &file), NULL);
    handle.size = file.len;
    assert_ldb_ok(
        ldb_buf_append(&file, ldb_slice_make(trailer, sizeof(trailer))), NULL);
    for (unsigned way = 0; way < 4; way++) {
        uint8_t room[4000];
        const struct ldb_block_scratch scratch = {
            .bytes = room, .size = (way & 1) != 0 ? sizeof(room) : 0};
        struct ldb_stored_block block;
        struct table_source source;

        table_source_init(&source, ldb_slice_of_buf(&file), (way & 2) != 0);
        assert_ldb_ok(ldb_stored_block_begin(&source.base, "000002.ldb",
                                             file.len, handle, false, scratch,
                                             NULL, &block),
                      NULL);
        assert_int_equal(ldb_stored_block_plain_len(&block), 0);
        assert_int_equal(block.contents.len, sizeof(plain));
        for (size_t len = 0; len <= sizeof(plain); len += 100) {
            assert_ldb_ok(
                ldb_stored_block_decode(&block, "000002.ldb", 0, len, NULL),
                NULL);
            assert_true(ldb_stored_block_plain_len(&block) >= len);
            assert_memory_equal(block.contents.data, plain, len);
        }
        ldb_stored_block_release(&block);
    }
    ldb_buf_release(&file);
}

/* As a file of it reads; only what is compressed leaves where it stands. */
static void a_raw_block_reads_as_one_of_a_file(void **state)
{
    static const char *const blocks[] = {PLAIN_HEX, SNAPPY_HEX};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ldb_buf file = LDB_BUF_INIT(1000);
        struct ldb_stored_block from_file = {0};
        struct ldb_stored_block block = {0};
        struct table_source source;
        struct ldb_error err = {0};
        struct ldb_block_handle handle = {0};

        bytes_from_hex(blocks[i], &file);
        handle.size = file.len - LDB_BLOCK_TRAILER_SIZE;
        table_source_init(&source, ldb_slice_of_buf(&file), true);
        assert_ldb_ok(ldb_stored_block_read(
                          &source.base, "000002.ldb", file.len, handle, true,
                          (struct ldb_block_scratch){0}, &err, &from_file),
                      &err);
        assert_ldb_ok(ldb_stored_block_read_raw(
                          ldb_slice_of_buf(&file), "000002.ldb", 77, true,
                          (struct ldb_block_scratch){0}, &err, &block),
                      &err);
        assert_ldb_slice(from_file.contents, block.contents);
        assert_int_equal(block.memory == NULL, i == 0);
        ldb_mem_free(from_file.memory);
        ldb_mem_free(block.memory);
        for (size_t at = 0; at < file.len; at++) {
            file.data[at] ^= 0x40;
            assert_ldb_status(LDB_CORRUPTION,
                              ldb_stored_block_read_raw(
                                  ldb_slice_of_buf(&file), "000002.ldb", 77,
                                  true, (struct ldb_block_scratch){0}, &err,
                                  &block),
                              &err);
            assert_non_null(strstr(err.message, "000002.ldb: block at 77: "));
            /* The checksum left alone, nothing may leak or crash. */
            if (ldb_stored_block_read_raw(
                    ldb_slice_of_buf(&file), "000002.ldb", 77, false,
                    (struct ldb_block_scratch){0}, &err, &block) == LDB_OK)
                ldb_mem_free(block.memory);
            file.data[at] ^= 0x40;
        }
        ldb_buf_release(&file);
    }
}

static void no_memory_is_reported(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ldb_buf file = LDB_BUF_INIT(1000);
        struct ldb_stored_block block = {0};
        struct ldb_error err = {0};
        struct table_source source;
        enum ldb_status s;

        bytes_from_hex(SNAPPY_HEX, &file);
        table_source_init(&source, ldb_slice_of_buf(&file), false);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_stored_block_read(&source.base, "000002.ldb", file.len,
                                  (struct ldb_block_handle){0, 21}, true,
                                  (struct ldb_block_scratch){0}, &err, &block);
        ldb_mem_free(block.memory);
        ldb_buf_release(&file);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            assert_int_equal(n, 3); /* as stored, and as plain */
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_the_dump_come_out_plain),
        cmocka_unit_test(damage_is_told_with_file_and_offset),
        cmocka_unit_test(without_verification_the_checksum_is_not_looked_at),
        cmocka_unit_test(a_block_of_no_bytes_is_a_block),
        cmocka_unit_test(a_scratch_that_is_large_enough_is_used),
        cmocka_unit_test(a_block_is_decoded_as_far_as_asked),
        cmocka_unit_test(a_raw_block_reads_as_one_of_a_file),
        cmocka_unit_test(no_memory_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
