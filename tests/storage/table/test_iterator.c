#include "storage/table/iterator.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static void an_empty_iterator_stays_empty_and_keeps_its_status(void **state)
{
    struct ldb_error why = {0};
    struct ldb_iterator *it = NULL;

    (void)state;
    (void)ldb_error_set(&why, LDB_CORRUPTION, "000007.ldb: gone");
    assert_ldb_ok(ldb_empty_iterator_create(LDB_CORRUPTION, &why, NULL, &it),
                  NULL);
    assert_false(it->valid);
    ldb_iterator_seek_first(it);
    assert_false(it->valid);
    ldb_iterator_seek_last(it);
    assert_false(it->valid);
    ldb_iterator_seek(it, ldb_slice_str("key"));
    assert_false(it->valid);
    assert_ldb_status(LDB_CORRUPTION, it->status, &it->error);
    assert_ldb_message("000007.ldb: gone", &it->error);
    ldb_iterator_destroy(it);
    ldb_iterator_destroy(NULL);
}

static void an_empty_iterator_reports_no_memory(void **state)
{
    struct ldb_error err = {0};
    struct ldb_iterator *it = NULL;

    (void)state;
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      ldb_empty_iterator_create(LDB_OK, NULL, &err, &it), &err);
    assert_true(mem_fault_stop());
    assert_null(it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_iterator_stays_empty_and_keeps_its_status),
        cmocka_unit_test(an_empty_iterator_reports_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
