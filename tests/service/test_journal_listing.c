/*
 * A journal listed as it comes is, line by line, the listing of the file; each
 * record is there as soon as its last byte is.
 */
#include "service/journal_listing.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/buf.h"
#include "storage/journal/journal_format.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/temp_dir.h"

#define JOURNAL_MAX ((size_t)1 << 20)
#define TEXT_MAX    ((size_t)1 << 20)
#define PATH_SIZE   (TEMP_DIR_PATH_SIZE + 32)

struct fixture {
    struct temp_dir dir;
    char path[PATH_SIZE]; /* of the journal */
    uint8_t bytes[JOURNAL_MAX];
    size_t len;
    struct ldb_buf file; /* the file's listing */
    struct ldb_buf came; /* that of the bytes */
    unsigned lines;      /* of came */
    enum ldb_status refusal;
};

static struct fixture f;

static void put(struct ldb_db *db, const char *key, size_t value_len)
{
    static uint8_t value[100000];
    struct ldb_error err = {0};

    assert_true(value_len <= sizeof(value));
    memset(value, key[0], value_len);
    assert_ldb_ok(ldb_put(db, ldb_slice_str(key),
                          ldb_slice_make(value, value_len), false, &err, NULL),
                  &err);
}

/* Records shorter and longer than a block, some of them with several
 * operations and bytes that are not printed as they are. */
static void write_journal(const char *folder)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    char key[32];

    ldb_options_init(&options);
    assert_ldb_ok(ldb_open(folder, &options, NULL, &err, &db), &err);
    put(db, "short", 3);
    put(db, "empty", 0);
    put(db, "long", 100000);
    assert_ldb_ok(ldb_delete(db, ldb_slice_str("short"), false, &err, NULL),
                  &err);
    put(db, "\x01\"\\", 40);
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof(key), "key%u", i);
        put(db, key, i);
    }
    assert_ldb_ok(ldb_close(db, &err), &err);
}

static void read_journal(void)
{
    FILE *file = fopen(f.path, "rb");

    assert_non_null(file);
    f.len = fread(f.bytes, 1, JOURNAL_MAX, file);
    assert_true(f.len > 3 * (size_t)LDB_JOURNAL_BLOCK_SIZE);
    assert_true(f.len < JOURNAL_MAX);
    assert_int_equal(fclose(file), 0);
}

static enum ldb_status add_line(void *context, struct ldb_slice line)
{
    struct ldb_buf *text = context;

    if (f.refusal != LDB_OK)
        return f.refusal;
    if (text == &f.came)
        f.lines++;
    assert_int_equal(LDB_OK, ldb_buf_append(text, line));
    assert_int_equal(LDB_OK, ldb_buf_append_byte(text, '\n'));
    return LDB_OK;
}

static int setup(void **state)
{
    char folder[TEMP_DIR_PATH_SIZE];
    uint64_t damages = 0;
    struct ldb_error err = {0};

    (void)state;
    memset(&f, 0, sizeof(f));
    f.file = (struct ldb_buf)LDB_BUF_INIT(TEXT_MAX);
    f.came = (struct ldb_buf)LDB_BUF_INIT(TEXT_MAX);
    temp_dir_create(&f.dir);
    (void)temp_dir_join(&f.dir, "db", folder);
    write_journal(folder);
    (void)snprintf(f.path, sizeof(f.path), "%s/000001.log", folder);
    read_journal();
    assert_ldb_ok(
        ldb_describe_file(f.path, NULL, add_line, &f.file, &err, &damages),
        &err);
    assert_int_equal(0, damages);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_buf_release(&f.file);
    ldb_buf_release(&f.came);
    temp_dir_remove(&f.dir);
    return 0;
}

static struct svc_journal_listing *begin(void)
{
    struct svc_journal_listing *listing =
        svc_journal_listing_create("it", add_line, &f.came);

    assert_non_null(listing);
    ldb_buf_clear(&f.came);
    f.lines = 0;
    return listing;
}

static void add(struct svc_journal_listing *listing, size_t from, size_t len)
{
    struct ldb_error err = {0};

    assert_ldb_ok(svc_journal_listing_add(
                      listing, ldb_slice_make(f.bytes + from, len), &err),
                  &err);
}

static uint64_t end(struct svc_journal_listing *listing)
{
    struct ldb_error err = {0};
    uint64_t damages = UINT64_MAX;

    assert_ldb_ok(svc_journal_listing_end(listing, &err, &damages), &err);
    svc_journal_listing_destroy(listing);
    return damages;
}

static void expect_same_text(void)
{
    assert_int_equal(f.file.len, f.came.len);
    assert_memory_equal(f.file.data, f.came.data, f.file.len);
}

static bool has_come(const char *part)
{
    assert_int_equal(LDB_OK, ldb_buf_append_byte(&f.came, '\0'));
    f.came.len--;
    return strstr((const char *)f.came.data, part) != NULL;
}

static void in_any_cuts_it_is_the_listing_of_the_file(void **state)
{
    static const size_t cuts[] = {1, 7, 1000, 32768, 65536, JOURNAL_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct svc_journal_listing *listing = begin();

        for (size_t at = 0; at < f.len; at += cuts[i])
            add(listing, at, f.len - at < cuts[i] ? f.len - at : cuts[i]);
        assert_int_equal(0, end(listing));
        expect_same_text();
    }
}

static void a_record_is_there_with_its_last_byte(void **state)
{
    /* Header, batch header, one put of "short" and three bytes. */
    size_t first = LDB_JOURNAL_HEADER_SIZE + 12 + 1 + 1 + 5 + 1 + 3;
    struct svc_journal_listing *listing = begin();

    (void)state;
    add(listing, 0, first - 1);
    assert_int_equal(0, f.lines);
    add(listing, first - 1, 1);
    assert_int_equal(2, f.lines);
    assert_true(has_come("\"short\"@1:put = \"sss\" (3 bytes)\n"));
    assert_int_equal(0, end(listing));
}

static void an_end_within_a_record_is_told(void **state)
{
    struct svc_journal_listing *listing = begin();

    (void)state;
    add(listing, 0, 10);
    assert_int_equal(0, end(listing));
    assert_int_equal(1, f.lines);
    assert_true(has_come("# 10 bytes at the end are no whole record\n"));
}

static void damage_ends_it_after_what_came_before(void **state)
{
    struct svc_journal_listing *listing = begin();
    struct ldb_error err = {0};

    (void)state;
    f.bytes[LDB_JOURNAL_BLOCK_SIZE + 9] ^= 1;
    assert_int_equal(
        LDB_CORRUPTION,
        svc_journal_listing_add(listing, ldb_slice_make(f.bytes, f.len), &err));
    assert_true(has_come("\"empty\"@2:put"));
    assert_true(has_come("! it: "));
    assert_int_equal(1, end(listing));
}

/* Frames a record of five bytes, which is no batch, before all others. */
static void a_record_that_is_no_batch_is_a_line_of_damage(void **state)
{
    static const uint8_t framed[] = {0x0b, 0xb9, 0x57, 0x58, 5,   0,
                                     1,    'h',  'e',  'l',  'l', 'o'};
    struct svc_journal_listing *listing = begin();
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(svc_journal_listing_add(
                      listing, ldb_slice_make(framed, sizeof(framed)), &err),
                  &err);
    assert_true(has_come("! batch at 0: "));
    assert_int_equal(1, end(listing));
}

static void who_prints_may_end_it(void **state)
{
    struct svc_journal_listing *listing = begin();
    struct ldb_error err = {0};

    (void)state;
    f.refusal = LDB_CANCELLED;
    assert_int_equal(
        LDB_CANCELLED,
        svc_journal_listing_add(listing, ldb_slice_make(f.bytes, f.len), &err));
    f.refusal = LDB_OK;
    svc_journal_listing_destroy(listing);
}

static enum ldb_status list_whole(struct ldb_error *err)
{
    struct svc_journal_listing *listing =
        svc_journal_listing_create("it", add_line, &f.came);
    uint64_t damages = 0;
    enum ldb_status s;

    if (listing == NULL)
        return LDB_NO_MEMORY;
    s = svc_journal_listing_add(listing, ldb_slice_make(f.bytes, f.len), err);
    if (s == LDB_OK)
        s = svc_journal_listing_end(listing, err, &damages);
    svc_journal_listing_destroy(listing);
    assert_int_equal(0, damages);
    return s;
}

static void without_memory_it_ends(void **state)
{
    (void)state;
    /* Their own memory is not what is to fail. */
    assert_int_equal(LDB_OK, ldb_buf_reserve(&f.came, f.file.len + 1));
    for (uint64_t n = 1;; n++) {
        struct ldb_error err = {0};
        enum ldb_status s;

        ldb_buf_clear(&f.came);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = list_whole(&err);
        if (!mem_fault_stop())
            break;
        assert_int_equal(LDB_NO_MEMORY, s);
    }
    expect_same_text();
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(in_any_cuts_it_is_the_listing_of_the_file),
        CASE(a_record_is_there_with_its_last_byte),
        CASE(an_end_within_a_record_is_told),
        CASE(damage_ends_it_after_what_came_before),
        CASE(a_record_that_is_no_batch_is_a_line_of_damage),
        CASE(who_prints_may_end_it),
        CASE(without_memory_it_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
