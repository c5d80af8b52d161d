/* Every figure of the configuration reaches the engine. */
#include "service/engine_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/base/env.h"

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void fill(const char *first, const char *second, struct ldb_options *out)
{
    static char data_flag[] = "--data=db";
    char flags[2][64];
    char *argv[] = {data_flag, flags[0], flags[1]};
    static struct svc_config config;
    struct ldb_error err = {0};

    (void)snprintf(flags[0], sizeof flags[0], "%s", first);
    (void)snprintf(flags[1], sizeof flags[1], "%s", second);
    assert_int_equal(LDB_OK,
                     svc_config_parse(3, argv, no_environment, &err, &config));
    svc_engine_options(&config, ldb_env_posix(), out);
}

static void each_flag_moves_its_field(void **state)
{
    static const struct {
        const char *flag;
        size_t offset;
        size_t size;
        uint64_t value;
    } rows[] = {
#define ROW(flag, field, value)                                                \
    {flag, offsetof(struct ldb_options, field),                                \
     sizeof(((struct ldb_options *)NULL)->field), value}
        ROW("--strict-journal=yes", strict_journal, 1),
        ROW("--verify-checksums=no", verify_checksums, 0),
        ROW("--compress=no", compress, 0),
        ROW("--bloom-bits=7", bloom_bits, 7),
        ROW("--write-buffer=1MiB", write_buffer_bytes, 1 << 20),
        ROW("--immutable-memtables=9", immutable_memtables_max, 9),
        ROW("--table-size=1MiB", table_bytes, 1 << 20),
        ROW("--compaction-rate=1MiB", compaction_rate_bytes, 1 << 20),
        ROW("--pending-slowdown=1MiB", pending_slowdown_bytes, 1 << 20),
        ROW("--pending-limit=8GiB", pending_limit_bytes, UINT64_C(8) << 30),
        ROW("--compaction-threads=3", compaction_threads, 3),
        ROW("--block-size=1KiB", block_bytes, 1 << 10),
        ROW("--block-cache=1MiB", block_cache_bytes, 1 << 20),
        ROW("--row-cache=0", row_cache_bytes, 0),
        ROW("--open-tables=17", open_tables_max, 17),
        ROW("--l0-compaction=3", l0_compaction_trigger, 3),
        ROW("--l0-slowdown=9", l0_slowdown_trigger, 9),
        ROW("--l0-stop=99", l0_stop_trigger, 99),
        ROW("--level1-size=1MiB", level1_bytes, 1 << 20),
        ROW("--seek-compaction=yes", seek_compaction, 1),
        ROW("--journal=mapped", journal, LDB_JOURNAL_MAPPED),
        ROW("--batch-max=80MiB", batch_bytes_max, 80 << 20),
        ROW("--write-queue=99MiB", write_queue_bytes_max, 99 << 20),
        ROW("--sync-interval=7ms", sync_interval_us, 7000),
        ROW("--archive-bytes=1MiB", archive_bytes, 1 << 20),
        ROW("--archive-min-age=7s", archive_age_us, 7000000),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ldb_options options;
        uint64_t value = 0;

        fill(rows[i].flag, "--create=yes", &options);
        memcpy(&value, (const char *)&options + rows[i].offset, rows[i].size);
        if (value != rows[i].value)
            fail_msg("%s: %llu", rows[i].flag, (unsigned long long)value);
    }
}

static void what_only_reads_makes_nothing(void **state)
{
    struct ldb_options options;

    (void)state;
    fill("--create=yes", "--read-only=no", &options);
    assert_true(options.create_if_missing);
    assert_false(options.read_only);
    assert_null(options.on_durable);
    fill("--create=yes", "--read-only=yes", &options);
    assert_false(options.create_if_missing);
    assert_true(options.read_only);
    fill("--create=no", "--read-only=no", &options);
    assert_false(options.create_if_missing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_flag_moves_its_field),
        cmocka_unit_test(what_only_reads_makes_nothing),
    };

    return cmocka_run_group_tests_name("engine_options", tests, NULL, NULL);
}
