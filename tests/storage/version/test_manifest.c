#include "storage/version/manifest.h"

#include <errno.h>

#include "storage/version/current_file.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/env_fault.h"

#define DIR      "/db"
#define NAME     "/db/MANIFEST-000003"
#define FILE_MAX ((size_t)1 << 16)

/* Two records: log number 1; sequence 5. */
#define RECORD_1 "02 01"
#define RECORD_2 "04 05"

struct fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.fault = env_fault_create(NULL)};
    f.env = env_fault_env(f.fault);
    assert_ldb_ok(f.env->ops->create_dir(f.env, DIR, &f.err), &f.err);
    assert_ldb_ok(f.env->ops->sync_dir(f.env, "/", &f.err), &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    env_fault_destroy(f->fault);
    return 0;
}

static enum ldb_status create(struct fixture *f, uint64_t number,
                              struct ldb_manifest **out)
{
    struct ldb_buf record = LDB_BUF_INIT(FILE_MAX);
    enum ldb_status s;

    bytes_from_hex(RECORD_1, &record);
    s = ldb_manifest_create(f->env, DIR, number, ldb_slice_of_buf(&record),
                            &f->err, out);
    ldb_buf_release(&record);
    return s;
}

static struct ldb_manifest *open_manifest(struct fixture *f)
{
    struct ldb_manifest *manifest = NULL;

    assert_ldb_ok(create(f, 3, &manifest), &f->err);
    return manifest;
}

static enum ldb_status append(struct fixture *f, struct ldb_manifest *manifest,
                              bool *out_is_unknown)
{
    struct ldb_buf record = LDB_BUF_INIT(FILE_MAX);
    enum ldb_status s;

    bytes_from_hex(RECORD_2, &record);
    s = ldb_manifest_append(manifest, ldb_slice_of_buf(&record), &f->err,
                            out_is_unknown);
    ldb_buf_release(&record);
    return s;
}

/* What the edits said last; how many there were. */
struct seen {
    uint64_t log_number;
    ldb_sequence last_sequence;
    unsigned count;
    enum ldb_status status; /* given back */
};

static enum ldb_status see(void *context, const struct ldb_version_edit *edit,
                           struct ldb_error *err)
{
    struct seen *seen = context;

    if (edit->has_log_number)
        seen->log_number = edit->log_number;
    if (edit->has_last_sequence)
        seen->last_sequence = edit->last_sequence;
    seen->count++;
    if (seen->status != LDB_OK)
        return ldb_error_set(err, seen->status, "seen enough");
    return LDB_OK;
}

static enum ldb_status read_all(struct fixture *f, struct seen *seen,
                                uint64_t *out_len)
{
    return ldb_manifest_read(f->env, DIR, 3, see, seen, &f->err, out_len);
}

static bool has_file(struct fixture *f, const char *path)
{
    uint64_t size = 0;

    return f->env->ops->file_size(f->env, path, NULL, &size) == LDB_OK;
}

static void what_is_written_is_read(void **state)
{
    struct fixture *f = *state;
    struct ldb_manifest *manifest = open_manifest(f);
    struct seen seen = {0};
    bool is_unknown = false;
    uint64_t len = 0;

    assert_int_equal(9, ldb_manifest_len(manifest));
    assert_ldb_ok(append(f, manifest, &is_unknown), &f->err);
    assert_int_equal(18, ldb_manifest_len(manifest));
    assert_int_equal(3, ldb_manifest_number(manifest));
    ldb_manifest_close(manifest);
    assert_ldb_ok(read_all(f, &seen, &len), &f->err);
    assert_int_equal(18, len);
    assert_int_equal(2, seen.count);
    assert_int_equal(1, seen.log_number);
    assert_int_equal(5, seen.last_sequence);
}

static void what_is_written_survives_a_power_cut(void **state)
{
    struct fixture *f = *state;
    struct ldb_manifest *manifest = open_manifest(f);
    struct seen seen = {0};
    bool is_unknown = false;
    uint64_t len = 0;

    assert_ldb_ok(append(f, manifest, &is_unknown), &f->err);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    ldb_manifest_close(manifest);
    f->env = env_fault_env(f->fault);
    assert_ldb_ok(read_all(f, &seen, &len), &f->err);
    assert_int_equal(2, seen.count);
}

static void a_visitor_stops_the_reading(void **state)
{
    struct fixture *f = *state;
    struct ldb_manifest *manifest = open_manifest(f);
    struct seen seen = {.status = LDB_CORRUPTION};
    uint64_t len = 77;

    ldb_manifest_close(manifest);
    assert_ldb_status(LDB_CORRUPTION, read_all(f, &seen, &len), &f->err);
    assert_ldb_message("MANIFEST-000003: record at 0: seen enough", &f->err);
    assert_int_equal(77, len);
}

static void a_failed_beginning_leaves_no_file(void **state)
{
    struct fixture *f = *state;
    static const enum env_fault_kind kinds[] = {
        ENV_FAULT_OPEN_WRITABLE, ENV_FAULT_APPEND, ENV_FAULT_SYNC,
        ENV_FAULT_SYNC_DIR};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_BIT(kinds[i]), .nth = 1, .sys_errno = EIO};
        struct ldb_manifest *manifest = NULL;

        env_fault_fail(f->fault, &rule);
        assert_ldb_status(LDB_IO, create(f, 3, &manifest), &f->err);
        assert_null(manifest);
        assert_false(has_file(f, NAME));
    }
}

static void a_failed_append_that_was_cut_off_is_known(void **state)
{
    struct fixture *f = *state;
    const struct env_fault_rule rule = {.kinds =
                                            ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                        .nth = 1,
                                        .sys_errno = ENOSPC,
                                        .torn = true};
    struct ldb_manifest *manifest = open_manifest(f);
    struct seen seen = {0};
    bool is_unknown = true;
    uint64_t len = 0;

    env_fault_fail(f->fault, &rule);
    assert_ldb_status(LDB_NO_SPACE, append(f, manifest, &is_unknown), &f->err);
    assert_false(is_unknown);
    assert_int_equal(9, ldb_manifest_len(manifest));
    assert_ldb_ok(append(f, manifest, &is_unknown), &f->err);
    ldb_manifest_close(manifest);
    assert_ldb_ok(read_all(f, &seen, &len), &f->err);
    assert_int_equal(2, seen.count);
    assert_int_equal(18, len);
}

static void a_failed_sync_or_cut_is_unknown(void **state)
{
    struct fixture *f = *state;
    static const struct env_fault_rule rules[] = {
        {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC), .nth = 1, .sys_errno = EIO},
        {.kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND) |
                  ENV_FAULT_BIT(ENV_FAULT_TRUNCATE),
         .nth = 1,
         .from_then_on = true,
         .sys_errno = EIO},
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct ldb_manifest *manifest = open_manifest(f);
        bool is_unknown = false;

        env_fault_fail(f->fault, &rules[i]);
        assert_ldb_status(LDB_IO, append(f, manifest, &is_unknown), &f->err);
        assert_true(is_unknown);
        env_fault_fail(f->fault, NULL);
        ldb_manifest_close(manifest);
    }
}

static void
only_a_manifest_that_current_does_not_name_is_withdrawn(void **state)
{
    struct fixture *f = *state;
    struct ldb_manifest *manifest = NULL;

    ldb_manifest_close(open_manifest(f));
    assert_ldb_ok(ldb_current_set(f->env, DIR, 3, &f->err), &f->err);
    assert_ldb_ok(create(f, 4, &manifest), &f->err);
    ldb_manifest_close(manifest);
    assert_false(ldb_manifest_withdraw(f->env, DIR, 3));
    assert_true(has_file(f, NAME));
    assert_true(ldb_manifest_withdraw(f->env, DIR, 4));
    assert_false(has_file(f, "/db/MANIFEST-000004"));
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    f->env = env_fault_env(f->fault);
    assert_false(has_file(f, "/db/MANIFEST-000004"));
    assert_true(has_file(f, NAME));
}

/* The bytes of RECORD_2 as they stand behind those of RECORD_1. */
static struct ldb_buf second_record(struct fixture *f)
{
    struct ldb_manifest *manifest = NULL;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    bool is_unknown = false;
    size_t first;

    assert_ldb_ok(create(f, 9, &manifest), &f->err);
    first = (size_t)ldb_manifest_len(manifest);
    assert_ldb_ok(append(f, manifest, &is_unknown), &f->err);
    ldb_manifest_close(manifest);
    assert_ldb_ok(
        ldb_env_read_file(f->env, "/db/MANIFEST-000009", &f->err, &bytes),
        &f->err);
    bytes.len -= first;
    memmove(bytes.data, bytes.data + first, bytes.len);
    return bytes;
}

static void a_manifest_is_gone_on_with_after_its_last_record(void **state)
{
    struct fixture *f = *state;
    struct ldb_manifest *manifest = open_manifest(f);
    struct ldb_writable_file *file = NULL;
    struct ldb_buf record = second_record(f);
    struct seen seen = {0};
    bool is_unknown = false;
    uint64_t whole = ldb_manifest_len(manifest);
    uint64_t len = 0;

    ldb_manifest_close(manifest);
    assert_ldb_ok(f->env->ops->open_writable(f->env, NAME, LDB_OPEN_APPEND,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str("torn"), &f->err),
                  &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    assert_ldb_ok(ldb_manifest_open(f->env, DIR, 3, whole, &f->err, &manifest),
                  &f->err);
    assert_int_equal(whole, ldb_manifest_len(manifest));
    assert_int_equal(3, ldb_manifest_number(manifest));
    assert_ldb_ok(ldb_manifest_append_framed(manifest,
                                             ldb_slice_of_buf(&record), &f->err,
                                             &is_unknown),
                  &f->err);
    ldb_manifest_close(manifest);
    assert_ldb_ok(f->env->ops->sync_dir(f->env, DIR, &f->err), &f->err);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    f->env = env_fault_env(f->fault);
    assert_ldb_ok(read_all(f, &seen, &len), &f->err);
    assert_int_equal(2, seen.count);
    assert_int_equal(5, seen.last_sequence);
    assert_int_equal(whole + record.len, len);
    ldb_buf_release(&record);
}

static void a_manifest_is_replaced_at_one_stroke(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf record = second_record(f);
    unsigned failures = 0;

    for (uint64_t n = 1;; n++) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_ANY, .nth = n, .sys_errno = EIO};
        struct ldb_manifest *manifest = open_manifest(f);
        uint64_t whole = ldb_manifest_len(manifest);
        struct seen seen = {0};
        uint64_t len = 0;
        bool is_unknown = false;
        enum ldb_status s;

        ldb_manifest_close(manifest);
        env_fault_fail(f->fault, &rule);
        s = ldb_manifest_replace(f->env, DIR, 3, whole,
                                 ldb_slice_of_buf(&record), &f->err, &manifest,
                                 &is_unknown);
        env_fault_fail(f->fault, NULL);
        if (s != LDB_OK) {
            failures++;
            assert_ldb_status(LDB_IO, s, &f->err);
            assert_ldb_ok(read_all(f, &seen, &len), &f->err);
            assert_int_equal(seen.count, is_unknown ? 2 : 1);
            continue;
        }
        assert_int_equal(ldb_manifest_len(manifest), whole + record.len);
        ldb_manifest_close(manifest);
        env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
        f->env = env_fault_env(f->fault);
        assert_ldb_ok(read_all(f, &seen, &len), &f->err);
        assert_int_equal(2, seen.count);
        break;
    }
    assert_true(failures > 10);
    ldb_buf_release(&record);
}

/* A power cut can undo the half of a rename that takes the old name away. */
static void a_second_name_of_what_is_in_force_is_not_written_to(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf record = second_record(f);
    struct ldb_manifest *manifest = open_manifest(f);
    uint64_t whole = ldb_manifest_len(manifest);
    struct seen seen = {0};
    bool is_unknown = false;
    uint64_t len = 0;

    ldb_manifest_close(manifest);
    assert_ldb_ok(f->env->ops->create_dir(f->env, DIR "/leveld", &f->err),
                  &f->err);
    assert_ldb_ok(
        f->env->ops->create_dir(f->env, DIR "/leveld/incoming", &f->err),
        &f->err);
    assert_ldb_ok(f->env->ops->link_file(f->env, NAME,
                                         DIR "/leveld/incoming/MANIFEST-000003",
                                         &f->err),
                  &f->err);
    env_fault_fail(f->fault, &(struct env_fault_rule){
                                 .kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                 .nth = 1,
                                 .sys_errno = EIO});
    assert_ldb_status(LDB_IO,
                      ldb_manifest_replace(f->env, DIR, 3, whole,
                                           ldb_slice_of_buf(&record), &f->err,
                                           &manifest, &is_unknown),
                      &f->err);
    env_fault_fail(f->fault, NULL);
    assert_false(is_unknown);
    assert_ldb_ok(read_all(f, &seen, &len), &f->err);
    assert_int_equal(len, whole);
    ldb_buf_release(&record);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(what_is_written_survives_a_power_cut),
        TEST(a_visitor_stops_the_reading),
        TEST(a_failed_beginning_leaves_no_file),
        TEST(a_failed_append_that_was_cut_off_is_known),
        TEST(a_failed_sync_or_cut_is_unknown),
        TEST(only_a_manifest_that_current_does_not_name_is_withdrawn),
        TEST(a_manifest_is_gone_on_with_after_its_last_record),
        TEST(a_manifest_is_replaced_at_one_stroke),
        TEST(a_second_name_of_what_is_in_force_is_not_written_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
