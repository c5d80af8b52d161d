#include "storage/version/recovered.h"

#include "storage/version/manifest.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"

#define DIR             "/db"
#define COUNT(array)    (sizeof(array) / sizeof((array)[0]))
#define RECORD_MAX      ((size_t)1 << 16)
#define COMPARATOR_NAME "leveldb.BytewiseComparator"

/* Fields of records in hex: tag 1; tags 2, 3, 4; internal keys. */
#define COMPARATOR                                                             \
    "01 1a 6c 65 76 65 6c 64 62 2e 42 79 74 65 77 69"                          \
    "73 65 43 6f 6d 70 61 72 61 74 6f 72"
#define SCALARS "02 03 03 09 04 04"
#define KEY_A   "09 61 01 05 00 00 00 00 00 00"
#define KEY_C   "09 63 01 06 00 00 00 00 00 00"
#define KEY_D   "09 64 01 07 00 00 00 00 00 00"

struct fixture {
    struct ldb_env *env;
    struct ldb_recovered recovered;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    assert_ldb_ok(ldb_env_memory_create(&f.err, &f.env), &f.err);
    assert_ldb_ok(f.env->ops->create_dir(f.env, DIR, &f.err), &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_recovered_release(&f->recovered);
    ldb_env_memory_destroy(f->env);
    return 0;
}

/* MANIFEST-000005 of these records; NULL ends them. */
static void write_manifest(struct fixture *f, const char *const *records)
{
    struct ldb_manifest *manifest = NULL;
    bool is_unknown = false;

    for (size_t i = 0; records[i] != NULL; i++) {
        struct ldb_buf record = LDB_BUF_INIT(RECORD_MAX);

        bytes_from_hex(records[i], &record);
        if (i == 0)
            assert_ldb_ok(ldb_manifest_create(f->env, DIR, 5,
                                              ldb_slice_of_buf(&record),
                                              &f->err, &manifest),
                          &f->err);
        else
            assert_ldb_ok(ldb_manifest_append(manifest,
                                              ldb_slice_of_buf(&record),
                                              &f->err, &is_unknown),
                          &f->err);
        ldb_buf_release(&record);
    }
    ldb_manifest_close(manifest);
}

static enum ldb_status read_manifest(struct fixture *f)
{
    return ldb_recovered_read(&f->recovered, f->env, DIR, 5,
                              ldb_comparator_bytewise(), &f->err);
}

static void assert_level(struct fixture *f, uint32_t level, const char *numbers)
{
    const struct ldb_level *found = &f->recovered.version->levels[level];

    assert_file_numbers(numbers, found->files, found->count);
}

static void records_add_up(void **state)
{
    struct fixture *f = *state;
    static const char *const records[] = {
        COMPARATOR SCALARS "05 01" KEY_A "07 01 06 0a" KEY_A KEY_C,
        "04 08 05 01" KEY_C "05 02" KEY_D "07 00 07 0b" KEY_A KEY_D,
        "03 0c 06 01 06 07 02 06 0a" KEY_A KEY_C, "02 0a", NULL};
    struct ldb_buf key = version_rows_key("c@6");

    write_manifest(f, records);
    assert_ldb_ok(read_manifest(f), &f->err);
    assert_level(f, 0, "7");
    assert_level(f, 1, "");
    assert_level(f, 2, "6");
    assert_int_equal(10, f->recovered.log_number);
    assert_int_equal(0, f->recovered.prev_log_number);
    assert_int_equal(12, f->recovered.next_file_number);
    assert_int_equal(8, f->recovered.last_sequence);
    assert_ldb_slice(ldb_slice_of_buf(&key),
                     ldb_slice_of_buf(&f->recovered.pointers[1]));
    assert_int_equal(9, f->recovered.pointers[2].len);
    assert_int_equal(0, f->recovered.pointers[3].len);
    ldb_buf_release(&key);
}

static void a_missing_manifest_is_corruption(void **state)
{
    struct fixture *f = *state;

    assert_ldb_status(LDB_CORRUPTION, read_manifest(f), &f->err);
    assert_ldb_message("MANIFEST-000005", &f->err);
}

static void unsound_manifests_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        const char *hex;
        enum ldb_status status;
        const char *message;
    } rows[] = {
        {"sound", COMPARATOR SCALARS, LDB_OK, ""},
        {"no comparator", SCALARS, LDB_CORRUPTION, "comparator"},
        {"other comparator", "01 03 61 62 63" SCALARS, LDB_INVALID_ARGUMENT,
         "\"abc\""},
        {"other comparator, ours named", "01 03 61 62 63" SCALARS,
         LDB_INVALID_ARGUMENT, COMPARATOR_NAME},
        {"no log number", COMPARATOR "03 09 04 04", LDB_CORRUPTION,
         "log number"},
        {"no next file number", COMPARATOR "02 03 04 04", LDB_CORRUPTION,
         "next file number"},
        {"no last sequence", COMPARATOR "02 03 03 09", LDB_CORRUPTION,
         "last sequence"},
        {"unknown tag", COMPARATOR SCALARS "0a 01", LDB_CORRUPTION,
         "MANIFEST-000005"},
        {"level 7", COMPARATOR SCALARS "07 07 06 0a" KEY_A KEY_C,
         LDB_CORRUPTION, "level"},
        {"level 6", COMPARATOR SCALARS "07 06 06 0a" KEY_A KEY_C, LDB_OK, ""},
        {"overlap",
         COMPARATOR SCALARS "07 01 06 0a" KEY_A KEY_C "07 01 07 0a" KEY_C KEY_D,
         LDB_CORRUPTION, "overlap"},
        {"keys out of order", COMPARATOR SCALARS "07 01 06 0a" KEY_C KEY_A,
         LDB_CORRUPTION, "000006"},
        {"a table twice",
         COMPARATOR SCALARS "07 01 06 0a" KEY_A KEY_C "07 01 06 0a" KEY_A KEY_C,
         LDB_OK, ""},
        {"a number of 64 bits",
         COMPARATOR "02 03 03 ff ff ff ff ff ff ff ff ff 01 04 04",
         LDB_CORRUPTION, "next file number"},
        {"a sequence of 57 bits",
         COMPARATOR "02 03 03 09 04 80 80 80 80 80 80 80 80 01", LDB_CORRUPTION,
         "sequence"},
        {"empty", COMPARATOR, LDB_CORRUPTION, "log number"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        enum ldb_status s;

        write_manifest(f, (const char *const[]){rows[i].hex, NULL});
        f->err = (struct ldb_error){0};
        s = read_manifest(f);
        if (s != rows[i].status ||
            strstr(f->err.message, rows[i].message) == NULL)
            fail_msg("%s: %s, \"%s\"", rows[i].name, ldb_status_text(s),
                     f->err.message);
        if (s == LDB_OK)
            ldb_recovered_release(&f->recovered);
    }
}

static void counters_are_over_all_that_the_manifest_names(void **state)
{
    static const struct {
        const char *name;
        const char *fields;
        uint64_t next_file_number;
        ldb_sequence last_sequence;
    } rows[] = {
        {"as written", "02 03 03 09 04 09", 9, 9},
        {"the largest key of a table",
         "02 03 03 0e 04 06"
         "07 01 0c 0a" KEY_A KEY_D,
         14, 7},
        {"the number of a table",
         "02 03 03 07 04 08"
         "07 01 0c 0a" KEY_A KEY_D,
         13, 8},
        {"the MANIFEST itself", "02 03 03 04 04 00", 6, 0},
        {"the journal", "02 09 03 04 04 00", 10, 0},
        {"the previous journal", "02 07 03 04 04 00 09 08", 9, 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        write_manifest(f,
                       (const char *const[]){COMPARATOR, rows[i].fields, NULL});
        assert_ldb_ok(read_manifest(f), &f->err);
        if (f->recovered.next_file_number != rows[i].next_file_number ||
            f->recovered.last_sequence != rows[i].last_sequence)
            fail_msg("%s", rows[i].name);
        ldb_recovered_release(&f->recovered);
    }
}

static void every_failed_allocation_is_survived(void **state)
{
    struct fixture *f = *state;
    static const char *const records[] = {
        COMPARATOR SCALARS "05 01" KEY_A "07 01 06 0a" KEY_A KEY_C,
        "05 02" KEY_D "07 00 07 0b" KEY_A KEY_D "06 01 06", NULL};

    write_manifest(f, records);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = read_manifest(f);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
    assert_level(f, 0, "7");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(records_add_up),
        TEST(a_missing_manifest_is_corruption),
        TEST(unsound_manifests_are_refused),
        TEST(counters_are_over_all_that_the_manifest_names),
        TEST(every_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
