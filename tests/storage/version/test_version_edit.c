#include "storage/version/version_edit.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Room for the records here. */
#define LIMIT 65536

/* "leveldb.BytewiseComparator", 26 bytes, as field 1. */
#define COMPARATOR "01 1a 6c6576656c64622e4279746577697365436f6d70617261746f72 "

/* Internal keys with their lengths: key0001@3:put and key0002@2:put. */
#define KEY1 "0f 6b657930303031 01 03000000000000 "
#define KEY2 "0f 6b657930303032 01 02000000000000 "

static void decode_hex(const char *hex, struct ldb_version_edit *edit)
{
    struct ldb_buf record = LDB_BUF_INIT(LIMIT);
    struct ldb_error err = {0};

    bytes_from_hex(hex, &record);
    assert_ldb_ok(
        ldb_version_edit_decode(edit, ldb_slice_of_buf(&record), &err), &err);
    ldb_buf_release(&record);
}

static void assert_description(const char *expected,
                               const struct ldb_version_edit *edit)
{
    struct ldb_buf line = LDB_BUF_INIT(LIMIT);

    assert_ldb_ok(ldb_version_edit_describe(edit, &line), NULL);
    assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(&line));
    ldb_buf_release(&line);
}

/* ---- records of both libraries ---- */

static const struct sound {
    const char *what;
    const char *hex;
    const char *description;
    const char *encoded; /* NULL: the same bytes */
} sound[] = {
    {"an empty record", "", "edit", NULL},
    {"goleveldb's first record of a database (22.1)",
     COMPARATOR "0200 0301 0400",
     "edit comparator=leveldb.BytewiseComparator log=0 next=1 sequence=0",
     NULL},
    {"goleveldb's second record (22.1)", "0201 0302 0400",
     "edit log=1 next=2 sequence=0", NULL},
    {"goleveldb's after a replay: the table twice (22.2)",
     COMPARATOR "0203 0305 0404 070002e901" KEY1 KEY2 "070002e901" KEY1 KEY2,
     "edit comparator=leveldb.BytewiseComparator log=3 next=5 sequence=4 "
     "add=0:2:233:\"key0001\"@3:put-\"key0002\"@2:put "
     "add=0:2:233:\"key0001\"@3:put-\"key0002\"@2:put",
     NULL},
    {"LevelDB's first manifest (22.3)", COMPARATOR "0200 0302 0400",
     "edit comparator=leveldb.BytewiseComparator log=0 next=2 sequence=0",
     NULL},
    {"LevelDB's snapshot (22.3)", COMPARATOR,
     "edit comparator=leveldb.BytewiseComparator", NULL},
    {"LevelDB's edit, with field 9, which we do not write (22.3)",
     "0203 0900 0304 0400", "edit log=3 prev_log=0 next=4 sequence=0",
     "0203 0304 0400"},
    {"LevelDB's flush (22.3)", "0206 0900 0307 0403 070005f101" KEY1 KEY2,
     "edit log=6 prev_log=0 next=7 sequence=3 "
     "add=0:5:241:\"key0001\"@3:put-\"key0002\"@2:put",
     "0206 0307 0403 070005f101" KEY1 KEY2},
    {"a compaction", "0309 0501" KEY1 "060007 060108 070109e901" KEY1 KEY2,
     "edit next=9 pointer=1:\"key0001\"@3:put delete=0:7 delete=1:8 "
     "add=1:9:233:\"key0001\"@3:put-\"key0002\"@2:put",
     NULL},
    {"fields in another order, the last of a kind wins",
     "060107 0407 0309 0408 020c" COMPARATOR,
     "edit comparator=leveldb.BytewiseComparator log=12 next=9 sequence=8 "
     "delete=1:7",
     COMPARATOR "020c 0309 0408 060107"},
    {"an empty comparator name", "0100", "edit comparator=", NULL},
    {"the largest numbers",
     "02 ffffffffffffffff7f 03 ffffffffffffffff7f 04 ffffffffffffff7f"
     "06 06 ffffffffffffffff7f",
     "edit log=9223372036854775807 next=9223372036854775807 "
     "sequence=72057594037927935 delete=6:9223372036854775807",
     NULL},
    {"a delete mark as a bound, and an empty user key",
     "07 06 09 00 08 0005000000000000 08 0104000000000000",
     "edit add=6:9:0:\"\"@5:delete-\"\"@4:put", NULL},
};

static void sound_records_are_read_described_and_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sound); i++) {
        struct ldb_version_edit edit = {0};
        struct ldb_buf written = LDB_BUF_INIT(LIMIT);

        print_message("%s\n", sound[i].what);
        decode_hex(sound[i].hex, &edit);
        assert_description(sound[i].description, &edit);
        assert_ldb_ok(ldb_version_edit_encode(&edit, &written), NULL);
        assert_ldb_hex(sound[i].encoded != NULL ? sound[i].encoded
                                                : sound[i].hex,
                       ldb_slice_of_buf(&written));
        ldb_buf_release(&written);
        ldb_version_edit_release(&edit);
    }
}

static void fields_of_a_record_are_where_they_belong(void **state)
{
    struct ldb_version_edit edit = {0};

    (void)state;
    decode_hex("0203 0900 0304 0405 0501" KEY1 "060007 070109e901" KEY1 KEY2,
               &edit);
    assert_false(edit.has_comparator);
    assert_true(edit.has_log_number && edit.log_number == 3);
    assert_true(edit.has_prev_log_number && edit.prev_log_number == 0);
    assert_true(edit.has_next_file_number && edit.next_file_number == 4);
    assert_true(edit.has_last_sequence && edit.last_sequence == 5);
    assert_int_equal(edit.pointer_count, 1);
    assert_int_equal(edit.pointers[0].level, 1);
    assert_ldb_bytes("key0001\x01\x03\0\0\0\0\0\0", edit.pointers[0].key);
    assert_int_equal(edit.deleted_count, 1);
    assert_int_equal(edit.deleted[0].level, 0);
    assert_int_equal(edit.deleted[0].number, 7);
    assert_int_equal(edit.added_count, 1);
    assert_int_equal(edit.added[0].level, 1);
    assert_int_equal(edit.added[0].meta->number, 9);
    assert_int_equal(edit.added[0].meta->size, 233);
    assert_ldb_bytes("key0001\x01\x03\0\0\0\0\0\0",
                     edit.added[0].meta->smallest);
    assert_ldb_bytes("key0002\x01\x02\0\0\0\0\0\0",
                     edit.added[0].meta->largest);
    /* What an edit held before is gone. */
    decode_hex("0302", &edit);
    assert_description("edit next=2", &edit);
    ldb_version_edit_release(&edit);
}

/* ---- damaged records ---- */

static const struct damaged {
    const char *what;
    const char *hex;
    const char *message;
} damaged[] = {
    {"tag 0", "00", "byte 0 of 1 (tag 0, no field of ours): unknown tag"},
    {"tag 8, retired", "0302 0801", "byte 2 of 4 (tag 8, no field of ours)"},
    {"tag 10", "0a01", "(tag 10, no field of ours): unknown tag"},
    {"a tag cut short", "0302 80", "tag is cut short"},
    {"a tag over 32 bits", "ffffffff1f", "tag is cut short or too long"},
    {"a comparator without its length", "01", "comparator): name is cut"},
    {"a comparator cut short", "0105 616263", "name is cut short"},
    {"a comparator with a zero byte", "0103 610062", "name with a zero byte"},
    {"a log number missing", "02", "log number): number is cut short"},
    {"a log number cut short", "02 80", "number is cut short"},
    {"a log number over 64 bits", "02 ffffffffffffffffff02",
     "number is cut short or too long"},
    {"a log number over an int64", "02 80808080808080808001",
     "log number): number too large"},
    {"a next file number over an int64", "03 ffffffffffffffffff01",
     "next file number): number too large"},
    {"a previous log number over an int64", "09 ffffffffffffffffff01",
     "previous log number): number too large"},
    {"a sequence over 56 bits", "04 808080808080808001",
     "last sequence): number too large"},
    {"a pointer at level 7", "0507" KEY1, "pointer): level over 6"},
    {"a pointer without a key", "0501", "key is cut short"},
    {"a pointer's key cut short", "0501 0f 6b6579", "key is cut short"},
    {"a pointer's key without a tag", "0501 07 6b657930303031",
     "not an internal key"},
    {"a pointer's key of an unknown kind", "0501 08 0203000000000000",
     "not an internal key"},
    {"a table deleted at level 7", "0607 01", "table deleted): level over 6"},
    {"a table deleted at no level", "06", "level is cut short"},
    {"a table deleted without a number", "0600", "number is cut short"},
    {"a table added at level 7", "0707 02 e901" KEY1 KEY2,
     "table added): level over 6"},
    {"a table added at level 2^32 - 1", "07ffffffff0f 02 e901" KEY1 KEY2,
     "level over 6"},
    {"a table's number over an int64",
     "0700 ffffffffffffffffff01 e901" KEY1 KEY2, "number too large"},
    {"a table's size over an int64", "0700 02 ffffffffffffffffff01" KEY1 KEY2,
     "number too large"},
    {"a table's smallest key empty", "0700 02 e901 00" KEY2,
     "not an internal key"},
    {"a table's largest key missing", "0700 02 e901" KEY1, "key is cut short"},
    {"a table's largest key of seven bytes",
     "0700 02 e901" KEY1 "07 01030000000000", "not an internal key"},
    {"a key's length over the record", "0700 02 e901 ffffffff0f 61",
     "key is cut short"},
    {"damage after sound fields", "0302 0400 060007 63",
     "byte 7 of 8 (tag 99, no field of ours)"},
};

static void damage_is_told_by_field_and_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(damaged); i++) {
        struct ldb_buf record = LDB_BUF_INIT(LIMIT);
        struct ldb_version_edit edit = {0};
        struct ldb_error err = {0};

        print_message("%s\n", damaged[i].what);
        bytes_from_hex(damaged[i].hex, &record);
        assert_ldb_status(
            LDB_CORRUPTION,
            ldb_version_edit_decode(&edit, ldb_slice_of_buf(&record), &err),
            &err);
        assert_ldb_message(damaged[i].message, &err);
        assert_description("edit", &edit);
        assert_ldb_status(
            LDB_CORRUPTION,
            ldb_version_edit_decode(&edit, ldb_slice_of_buf(&record), NULL),
            NULL);
        ldb_buf_release(&record);
    }
}

/* Cut at any byte, a record is damaged or the sum of its first fields. */
static void a_cut_record_never_gains_a_field(void **state)
{
    struct ldb_buf record = LDB_BUF_INIT(LIMIT);

    (void)state;
    bytes_from_hex(COMPARATOR "0203 0305 0404 0501" KEY1
                              "060007 070002e901" KEY1 KEY2,
                   &record);
    for (size_t len = 0; len < record.len; len++) {
        struct ldb_version_edit edit = {0};
        enum ldb_status s = ldb_version_edit_decode(
            &edit, ldb_slice_make(record.data, len), NULL);

        assert_true(s == LDB_OK || s == LDB_CORRUPTION);
        if (s == LDB_OK) {
            struct ldb_buf written = LDB_BUF_INIT(LIMIT);

            assert_ldb_ok(ldb_version_edit_encode(&edit, &written), NULL);
            assert_ldb_slice(ldb_slice_make(record.data, len),
                             ldb_slice_of_buf(&written));
            ldb_buf_release(&written);
        }
        ldb_version_edit_release(&edit);
    }
    ldb_buf_release(&record);
}

/* ---- building ---- */

static enum ldb_status fill(struct ldb_version_edit *edit)
{
    const struct ldb_slice key =
        ldb_slice_make("key0001\x01\x03\0\0\0\0\0\0", 15);
    struct ldb_file_meta *meta = ldb_file_meta_create(2, 233, key, key);
    enum ldb_status s = LDB_NO_MEMORY;

    if (meta == NULL)
        return s;
    s = ldb_version_edit_set_comparator(edit, "first");
    if (s == LDB_OK)
        s = ldb_version_edit_set_comparator(edit, "c");
    ldb_version_edit_set_log_number(edit, 3);
    ldb_version_edit_set_next_file_number(edit, 4);
    ldb_version_edit_set_last_sequence(edit, 5);
    for (uint32_t i = 0; i < 3 && s == LDB_OK; i++) {
        s = ldb_version_edit_set_pointer(edit, i, key);
        if (s == LDB_OK)
            s = ldb_version_edit_delete_file(edit, i, 10 + i);
        if (s == LDB_OK)
            s = ldb_version_edit_add_file(edit, i, meta);
    }
    ldb_file_meta_unref(meta);
    return s;
}

static void an_edit_is_built_field_by_field(void **state)
{
    struct ldb_version_edit edit;

    (void)state;
    ldb_version_edit_init(&edit);
    assert_ldb_ok(fill(&edit), NULL);
    assert_int_equal(edit.added[2].meta->refs, 3);
    assert_description(
        "edit comparator=c log=3 next=4 sequence=5 "
        "pointer=0:\"key0001\"@3:put pointer=1:\"key0001\"@3:put "
        "pointer=2:\"key0001\"@3:put delete=0:10 delete=1:11 delete=2:12 "
        "add=0:2:233:\"key0001\"@3:put-\"key0001\"@3:put "
        "add=1:2:233:\"key0001\"@3:put-\"key0001\"@3:put "
        "add=2:2:233:\"key0001\"@3:put-\"key0001\"@3:put",
        &edit);
    ldb_version_edit_clear(&edit);
    assert_description("edit", &edit);
    ldb_version_edit_release(&edit);
    ldb_version_edit_release(NULL);
}

static enum ldb_status build_write_and_read(void)
{
    struct ldb_buf record = LDB_BUF_INIT(LIMIT);
    struct ldb_version_edit edit = {0};
    struct ldb_version_edit copy = {0};
    enum ldb_status s = fill(&edit);

    if (s == LDB_OK)
        s = ldb_version_edit_encode(&edit, &record);
    if (s == LDB_OK)
        s = ldb_version_edit_decode(&copy, ldb_slice_of_buf(&record), NULL);
    if (s != LDB_OK)
        assert_int_equal(copy.added_count, 0);
    ldb_version_edit_release(&edit);
    ldb_version_edit_release(&copy);
    ldb_buf_release(&record);
    return s;
}

static void every_failed_allocation_is_told(void **state)
{
    uint64_t failures = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = build_write_and_read();
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, NULL);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, NULL);
        failures++;
    }
    assert_true(failures > 20);
}

static void a_buffer_too_small_stays_as_it_was(void **state)
{
    struct ldb_version_edit edit = {0};
    struct ldb_buf small = LDB_BUF_INIT(40);

    (void)state;
    assert_ldb_ok(fill(&edit), NULL);
    assert_ldb_ok(ldb_buf_append_byte(&small, 'x'), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_version_edit_encode(&edit, &small),
                      NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_version_edit_describe(&edit, &small),
                      NULL);
    assert_ldb_bytes("x", ldb_slice_of_buf(&small));
    ldb_buf_release(&small);
    ldb_version_edit_release(&edit);
}

/* ---- file metas ---- */

static void a_meta_copies_its_keys_and_counts_references(void **state)
{
    char key[] = "ab345678";
    struct ldb_file_meta *meta =
        ldb_file_meta_create(7, 100, ldb_slice_str(key), ldb_slice_str(""));

    (void)state;
    assert_non_null(meta);
    key[0] = 'x';
    assert_ldb_bytes("ab345678", meta->smallest);
    assert_int_equal(meta->largest.len, 0);
    assert_ptr_equal(ldb_file_meta_ref(meta), meta);
    assert_int_equal(meta->refs, 2);
    ldb_file_meta_unref(meta);
    assert_int_equal(meta->refs, 1);
    ldb_file_meta_unref(meta);
    ldb_file_meta_unref(NULL);
}

static void a_tables_seeks_are_by_its_size(void **state)
{
    static const struct {
        uint64_t size;
        int32_t seeks;
    } rows[] = {
        {0, 100},
        {100 * 16384, 100},
        {101 * 16384, 101},
        {UINT64_C(2) << 20, 128},
        {UINT64_MAX, INT32_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ldb_file_meta *meta = ldb_file_meta_create(
            1, rows[i].size, ldb_slice_str(""), ldb_slice_str(""));

        assert_non_null(meta);
        assert_int_equal(meta->seeks_left, rows[i].seeks);
        ldb_file_meta_unref(meta);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_records_are_read_described_and_written),
        cmocka_unit_test(fields_of_a_record_are_where_they_belong),
        cmocka_unit_test(damage_is_told_by_field_and_byte),
        cmocka_unit_test(a_cut_record_never_gains_a_field),
        cmocka_unit_test(an_edit_is_built_field_by_field),
        cmocka_unit_test(every_failed_allocation_is_told),
        cmocka_unit_test(a_buffer_too_small_stays_as_it_was),
        cmocka_unit_test(a_meta_copies_its_keys_and_counts_references),
        cmocka_unit_test(a_tables_seeks_are_by_its_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
