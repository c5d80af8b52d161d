/* The edits of a MANIFEST, and where their records begin. */
#include "replication/edit_walk.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/manifest_text.h"
#include "tests/support/mem_fault.h"

#define MANIFEST 4

static struct manifest_text f;

struct seen {
    uint64_t at[4];
    uint64_t log_number[4];
    size_t count;
    size_t stop_at; /* edits; the next one is refused */
};

static enum ldb_status take(void *context, const struct ldb_version_edit *edit,
                            uint64_t at, struct ldb_error *err)
{
    struct seen *seen = context;

    if (seen->count == seen->stop_at)
        return ldb_error_set(err, LDB_STALLED, "enough");
    seen->at[seen->count] = at;
    seen->log_number[seen->count] = edit->log_number;
    seen->count++;
    return LDB_OK;
}

static enum ldb_status walk(size_t from, size_t cut, struct seen *seen,
                            uint64_t *out_end)
{
    return repl_edit_walk(
        MANIFEST, from,
        ldb_slice_make(f.file.bytes.data + from, f.file.bytes.len - from - cut),
        take, seen, &f.err, out_end);
}

static void each_edit_is_seen_with_its_place(void **state)
{
    struct seen seen = {.stop_at = 4};
    uint64_t end = 0;

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "l2 n s;l5 +0:7;l6");
    assert_ldb_ok(walk(0, 0, &seen, &end), &f.err);
    assert_int_equal(3, seen.count);
    assert_int_equal(6, seen.log_number[2]);
    assert_int_equal(0, seen.at[0]);
    assert_int_equal(f.ends[0], seen.at[1]);
    assert_int_equal(f.ends[2], end);
    seen = (struct seen){.stop_at = 4};
    assert_ldb_ok(walk(f.ends[0], 1, &seen, &end), &f.err);
    assert_int_equal(1, seen.count);
    assert_int_equal(f.ends[0], seen.at[0]);
    assert_int_equal(f.ends[1], end);
    manifest_text_close(&f);
}

static void who_looks_may_end_it(void **state)
{
    struct seen seen = {.stop_at = 1};
    uint64_t end = 0;

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "l2 n s;l5;l6");
    assert_ldb_status(LDB_STALLED, walk(0, 0, &seen, &end), &f.err);
    assert_ldb_message("enough", &f.err);
    assert_int_equal(1, seen.count);
    manifest_text_close(&f);
}

static void damage_and_no_memory_are_told(void **state)
{
    struct seen seen = {.stop_at = 4};
    uint64_t end = 0;

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "l2 n s");
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        seen.count = 0;
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = walk(0, 0, &seen, &end);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
    }
    manifest_text_write_record(&f, ldb_slice_str("\x63nothing"));
    assert_ldb_status(LDB_CORRUPTION, walk(0, 0, &seen, &end), &f.err);
    assert_ldb_message("MANIFEST-000004: edit at", &f.err);
    manifest_text_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_edit_is_seen_with_its_place),
        cmocka_unit_test(who_looks_may_end_it),
        cmocka_unit_test(damage_and_no_memory_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
