#include <stdlib.h>
#include <string.h>

#include "engine.h"

#ifdef USE_ROCKSDB
#include <rocksdb/c.h>
#define KV(name) rocksdb_##name
#define ENGINE   "rocksdb"
#else
#include <leveldb/c.h>
#define KV(name) leveldb_##name
#define ENGINE   "leveldb"
#endif

const char *const engine_name = ENGINE;
const bool engine_tells = false;

static KV(t) * db;
static KV(readoptions_t) * reading;
static KV(writeoptions_t) * writing;
static KV(writeoptions_t) * writing_sync;

static void check(const char *what, const char *err)
{
    if (err != NULL)
        soak_die(what, err);
}

void engine_open(const struct engine_options *options)
{
    KV(options_t) *o = KV(options_create)();
    char *err = NULL;

    KV(options_set_create_if_missing)(o, 1);
    KV(options_set_write_buffer_size)(o, options->write_buffer_bytes);
    KV(options_set_max_open_files)(o, (int)options->open_tables_max);
    KV(options_set_compression)(o, KV(snappy_compression));
#ifdef USE_ROCKSDB
    rocksdb_block_based_table_options_t *table =
        rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(
        table, rocksdb_cache_create_lru(options->block_cache_bytes));
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_options_set_target_file_size_base(o, options->table_bytes);
    rocksdb_options_set_max_bytes_for_level_base(o, options->level1_bytes);
#else
    leveldb_options_set_cache(
        o, leveldb_cache_create_lru(options->block_cache_bytes));
    leveldb_options_set_max_file_size(o, options->table_bytes);
    leveldb_options_set_filter_policy(o, leveldb_filterpolicy_create_bloom(10));
#endif
    reading = KV(readoptions_create)();
    writing = KV(writeoptions_create)();
    writing_sync = KV(writeoptions_create)();
    KV(writeoptions_set_sync)(writing_sync, 1);
    db = KV(open)(o, options->dir, &err);
    check("open", err);
}

void engine_close(void)
{
    KV(close)(db);
}

void engine_put(const char *key, size_t key_len, const char *value,
                size_t value_len, bool sync)
{
    char *err = NULL;

    KV(put)
    (db, sync ? writing_sync : writing, key, key_len, value, value_len, &err);
    check("put", err);
}

void engine_delete(const char *key, size_t key_len)
{
    char *err = NULL;

    KV(delete)(db, writing, key, key_len, &err);
    check("delete", err);
}

size_t engine_get(const char *key, size_t key_len)
{
    size_t len = 0;
    char *err = NULL;
    char *value = KV(get)(db, reading, key, key_len, &len, &err);

    check("get", err);
    KV(free)(value);
    return value == NULL ? 0 : len;
}

size_t engine_scan(const char *key, size_t key_len, size_t count)
{
    KV(iterator_t) *it = KV(create_iterator)(db, reading);
    char *err = NULL;
    size_t n = 0;

    for (KV(iter_seek)(it, key, key_len); n < count && KV(iter_valid)(it);
         KV(iter_next)(it))
        n++;
    KV(iter_get_error)(it, &err);
    check("scan", err);
    KV(iter_destroy)(it);
    return n;
}

void engine_compact_all(void)
{
    KV(compact_range)(db, NULL, 0, NULL, 0);
}

void engine_figures(struct engine_figures *out)
{
    memset(out, 0, sizeof(*out));
}
