#include "api/context.h"

#include <jansson.h>

#include "api/metrics.h"
#include "api/router.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static void limits_are_the_documented_ones(void **state)
{
    struct api_context context;

    (void)state;
    assert_ldb_ok(api_context_init(&context, NULL, ldb_env_posix(), NULL),
                  NULL);
    assert_int_equal(context.limits.key_bytes, 65536);
    assert_int_equal(context.limits.value_bytes, 67108864);
    assert_int_equal(context.limits.batch_bytes, 68157440);
    assert_int_equal(context.limits.json_batch_bytes, 100663296);
    assert_int_equal(context.limits.range_items_default, 100);
    assert_int_equal(context.limits.range_items_max, 10000);
    assert_int_equal(context.limits.page_bytes, 8388608);
    assert_true(context.sync_default);
    assert_false(context.read_only);
    assert_int_equal(api_metrics_route_count(context.metrics),
                     api_route_none() + 1);
    api_context_release(&context);
}

static void init_without_memory_leaves_nothing(void **state)
{
    struct api_context context;

    (void)state;
    mem_fault_start(1, MEM_FAULT_FOREVER);
    assert_int_equal(api_context_init(&context, NULL, ldb_env_posix(), NULL),
                     LDB_NO_MEMORY);
    assert_true(mem_fault_stop());
    api_context_release(&context);
}

static void jansson_takes_its_memory_from_us(void **state)
{
    struct api_context context;
    json_t *text;

    (void)state;
    assert_ldb_ok(api_context_init(&context, NULL, ldb_env_posix(), NULL),
                  NULL);
    mem_fault_start(1, MEM_FAULT_FOREVER);
    text = json_string("x");
    assert_true(mem_fault_stop());
    assert_null(text);
    api_context_release(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_the_documented_ones),
        cmocka_unit_test(init_without_memory_leaves_nothing),
        cmocka_unit_test(jansson_takes_its_memory_from_us),
    };

    return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
