#include <string.h>

#include "ldb.h"

#include "engine.h"

const char *const engine_name = "leveld";
const bool engine_tells = true;

static struct ldb_db *db;

static struct ldb_slice slice(const char *bytes, size_t len)
{
    return (struct ldb_slice){.data = (const uint8_t *)bytes, .len = len};
}

static void check(const char *what, enum ldb_status s,
                  const struct ldb_error *err)
{
    if (s != LDB_OK)
        soak_die(what, err->message);
}

void engine_open(const struct engine_options *options)
{
    struct ldb_options o;
    struct ldb_error err = {0};

    ldb_options_init(&o);
    o.create_if_missing = true;
    o.write_buffer_bytes = options->write_buffer_bytes;
    o.table_bytes = options->table_bytes;
    o.block_cache_bytes = options->block_cache_bytes;
    o.level1_bytes = options->level1_bytes;
    o.open_tables_max = options->open_tables_max;
    check("open", ldb_open(options->dir, &o, NULL, &err, &db), &err);
}

void engine_close(void)
{
    struct ldb_error err = {0};

    check("close", ldb_close(db, &err), &err);
}

void engine_put(const char *key, size_t key_len, const char *value,
                size_t value_len, bool sync)
{
    struct ldb_error err = {0};

    check("put",
          ldb_put(db, slice(key, key_len), slice(value, value_len), sync, &err,
                  NULL),
          &err);
}

void engine_delete(const char *key, size_t key_len)
{
    struct ldb_error err = {0};

    check("delete", ldb_delete(db, slice(key, key_len), false, &err, NULL),
          &err);
}

size_t engine_get(const char *key, size_t key_len)
{
    struct ldb_error err = {0};
    struct ldb_buf value = {.limit = SIZE_MAX};
    size_t len;
    enum ldb_status s =
        ldb_get(db, slice(key, key_len), NULL, &err, &value, NULL, NULL);

    if (s != LDB_NOT_FOUND)
        check("get", s, &err);
    len = s == LDB_OK ? value.len : 0;
    ldb_buf_release(&value);
    return len;
}

size_t engine_scan(const char *key, size_t key_len, size_t count)
{
    struct ldb_error err = {0};
    struct ldb_cursor *cursor = NULL;
    size_t n = 0;

    check("cursor", ldb_cursor_open(db, NULL, &err, &cursor), &err);
    for (ldb_cursor_seek(cursor, slice(key, key_len));
         n < count && ldb_cursor_valid(cursor); ldb_cursor_next(cursor))
        n++;
    check("scan", ldb_cursor_status(cursor, &err), &err);
    ldb_cursor_close(cursor);
    return n;
}

void engine_compact_all(void)
{
    struct ldb_error err = {0};

    check("compact", ldb_compact_range(db, NULL, NULL, &err), &err);
}

void engine_figures(struct engine_figures *out)
{
    struct ldb_stats stats;

    ldb_stats(db, &stats);
    *out = (struct engine_figures){
        .stop_us = stats.stop_us,
        .slowdown_us = stats.slowdown_us,
        .sync_us = stats.sync_us,
        .flushes = stats.flushes,
        .compactions = stats.compactions,
        .l0_tables = stats.levels[0].tables,
        .immutables = stats.immutable_memtables,
    };
}
