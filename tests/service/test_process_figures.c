#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "service/process_figures.h"
#include "storage/base/mem.h"

static void memory_that_is_used_shows(void **state)
{
    const size_t len = (size_t)32 << 20;
    struct api_process_figures before = {0};
    struct api_process_figures after = {0};
    uint8_t *bytes;

    (void)state;
    svc_process_figures_read(&before);
    bytes = ldb_mem_alloc(1, len);
    assert_non_null(bytes);
    memset(bytes, 1, len);
    svc_process_figures_read(&after);
    assert_true(after.resident_bytes >= before.resident_bytes + len / 2);
    assert_true(after.resident_max_bytes >= len / 2);
    assert_true(after.cpu_user_us + after.cpu_system_us >=
                before.cpu_user_us + before.cpu_system_us);
    assert_int_equal(1, bytes[len - 1]);
    ldb_mem_free(bytes);
}

static void open_files_and_threads_are_counted(void **state)
{
    struct api_process_figures before = {0};
    struct api_process_figures after = {0};
    int ends[2];

    (void)state;
    svc_process_figures_read(&before);
    assert_true(before.threads >= 1);
    assert_true(before.open_files_max > before.open_files);
    assert_int_equal(0, pipe(ends));
    svc_process_figures_read(&after);
    assert_int_equal(before.open_files + 2, after.open_files);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_used_shows),
        cmocka_unit_test(open_files_and_threads_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
