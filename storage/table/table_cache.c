/*
 * Open tables by number in shards, each a hash table with a list in order of
 * use. A table is closed by whoever gives back the last reference; the cache
 * itself holds one while the table is in it.
 *
 * Only a lookup takes the shard's lock; giving back is one atomic decrement,
 * but where the shard holds more than its share. References are added under
 * the lock alone, so a table with one reference there is used by nobody.
 */
#include "storage/table/table_cache.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"
#include "storage/table/table_reader_internal.h"

/* Chosen: enough that two dozen threads seldom meet; a small cache has one
 * shard, as splitting it would bound each part too tightly. */
#define SHARDS_MAX              16
#define SHARDED_CAPACITY_TABLES 128

struct shard;

/*
 * Locking
 *   constant after insertion: shard, number, table, memory_bytes
 *   atomics: refs (release on giving back, acquire before closing)
 *   guarded by shard->mu: next_in_bucket, newer, older
 */
struct open_table {
    struct shard *shard;
    uint64_t number;
    struct ldb_table *table;
    size_t memory_bytes;
    _Atomic(size_t) refs;
    struct open_table *next_in_bucket;
    struct open_table *newer; /* NULL: most recently used */
    struct open_table *older;
};

/*
 * Locking
 *   constant after creation: capacity, bucket_count
 *   own synchronisation: mu
 *   atomics: count (written under mu; read without it as a hint)
 *   guarded by mu: all else
 */
struct shard {
    size_t capacity;
    size_t bucket_count; /* a power of two */
    struct ldb_mutex mu;
    _Atomic(size_t) count;
    struct open_table **buckets;
    struct open_table *newest;
    struct open_table *oldest;
    size_t memory_bytes;
    uint64_t hits;
    uint64_t misses;
};

/* Constant after creation, but for what the shards hold. */
struct ldb_table_cache {
    struct ldb_env *env;
    char *dir;
    struct ldb_table_options options;
    size_t capacity;
    size_t shard_count; /* a power of two */
    struct shard *shards;
};

/* ---- one shard ---- */

static struct open_table **bucket_of(struct shard *shard, uint64_t number)
{
    /* Fibonacci hashing: numbers of one shard differ in their upper bits. */
    uint64_t hash = number * UINT64_C(0x9e3779b97f4a7c15) >> 32;

    return &shard->buckets[hash & (shard->bucket_count - 1)];
}

static void unlink_use_locked(struct shard *shard, struct open_table *entry)
    LDB_REQUIRES(shard->mu)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        shard->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        shard->oldest = entry->newer;
}

static void link_newest_locked(struct shard *shard, struct open_table *entry)
    LDB_REQUIRES(shard->mu)
{
    entry->newer = NULL;
    entry->older = shard->newest;
    if (shard->newest != NULL)
        shard->newest->newer = entry;
    else
        shard->oldest = entry;
    shard->newest = entry;
}

static struct open_table *find_locked(struct shard *shard, uint64_t number)
    LDB_REQUIRES(shard->mu)
{
    struct open_table *entry = *bucket_of(shard, number);

    while (entry != NULL && entry->number != number)
        entry = entry->next_in_bucket;
    return entry;
}

/* Adds a reference and makes entry the most recently used. */
static void use_locked(struct shard *shard, struct open_table *entry)
    LDB_REQUIRES(shard->mu)
{
    (void)atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    if (shard->newest != entry) {
        unlink_use_locked(shard, entry);
        link_newest_locked(shard, entry);
    }
}

static void insert_locked(struct shard *shard, struct open_table *entry)
    LDB_REQUIRES(shard->mu)
{
    struct open_table **bucket = bucket_of(shard, entry->number);

    entry->next_in_bucket = *bucket;
    *bucket = entry;
    link_newest_locked(shard, entry);
    shard->memory_bytes += entry->memory_bytes;
    (void)atomic_fetch_add_explicit(&shard->count, 1, memory_order_relaxed);
}

/* Takes entry out; the cache's reference goes over to the caller. */
static void remove_locked(struct shard *shard, struct open_table *entry)
    LDB_REQUIRES(shard->mu)
{
    struct open_table **at = bucket_of(shard, entry->number);

    while (*at != entry)
        at = &(*at)->next_in_bucket;
    *at = entry->next_in_bucket;
    unlink_use_locked(shard, entry);
    shard->memory_bytes -= entry->memory_bytes;
    (void)atomic_fetch_sub_explicit(&shard->count, 1, memory_order_relaxed);
}

/*
 * Takes out what is over the capacity and used by nobody, oldest first;
 * returns them chained by next_in_bucket, to be closed without the lock.
 */
static struct open_table *trim_locked(struct shard *shard)
    LDB_REQUIRES(shard->mu)
{
    struct open_table *removed = NULL;
    struct open_table *entry = shard->oldest;

    while (entry != NULL &&
           atomic_load_explicit(&shard->count, memory_order_relaxed) >
               shard->capacity) {
        struct open_table *newer = entry->newer;

        /* Acquire: what its last user read was read before the close. */
        if (atomic_load_explicit(&entry->refs, memory_order_acquire) == 1) {
            remove_locked(shard, entry);
            entry->next_in_bucket = removed;
            removed = entry;
        }
        entry = newer;
    }
    return removed;
}

static void close_entry(struct open_table *entry)
{
    ldb_table_close(entry->table);
    ldb_mem_free(entry);
}

static void close_chain(struct open_table *entry)
{
    while (entry != NULL) {
        struct open_table *next = entry->next_in_bucket;

        close_entry(entry);
        entry = next;
    }
}

/* Gives a reference back. */
static void unref(void *context)
{
    struct open_table *entry = context;
    struct shard *shard = entry->shard;
    struct open_table *removed;
    size_t before =
        atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel);

    /* From here on entry may be gone, unless this was the last reference. */
    if (before == 1) {
        close_entry(entry);
        return;
    }
    if (LDB_LIKELY(before > 2 ||
                   atomic_load_explicit(&shard->count, memory_order_relaxed) <=
                       shard->capacity))
        return;
    ldb_mutex_lock(&shard->mu);
    removed = trim_locked(shard);
    ldb_mutex_unlock(&shard->mu);
    close_chain(removed);
}

/* ---- the cache ---- */

static enum ldb_status init_shard(struct shard *shard, size_t capacity)
{
    size_t buckets = 8;

    while (buckets < capacity && buckets <= SIZE_MAX / 4)
        buckets *= 2;
    shard->capacity = capacity;
    shard->bucket_count = buckets;
    shard->buckets = ldb_mem_zalloc(buckets, sizeof(struct open_table *));
    return shard->buckets == NULL ? LDB_NO_MEMORY : LDB_OK;
}

enum ldb_status ldb_table_cache_create(struct ldb_env *env, const char *dir,
                                       const struct ldb_table_options *options,
                                       size_t capacity_tables,
                                       struct ldb_error *err,
                                       struct ldb_table_cache **out)
{
    struct ldb_table_cache *cache = ldb_mem_zalloc(1, sizeof(*cache));
    size_t count = capacity_tables < SHARDED_CAPACITY_TABLES ? 1 : SHARDS_MAX;
    enum ldb_status s = LDB_OK;

    if (cache == NULL)
        return ldb_error_no_memory(err);
    cache->env = env;
    cache->options = *options;
    cache->capacity = capacity_tables;
    cache->dir = ldb_mem_strdup(dir);
    cache->shards = ldb_mem_zalloc(count, sizeof(struct shard));
    if (cache->dir == NULL || cache->shards == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    for (; cache->shard_count < count && s == LDB_OK; cache->shard_count++) {
        ldb_mutex_init(&cache->shards[cache->shard_count].mu);
        s = init_shard(&cache->shards[cache->shard_count],
                       capacity_tables / count);
    }
    if (s != LDB_OK) {
        (void)ldb_error_no_memory(err);
        goto out;
    }
    *out = cache;
out:
    if (s != LDB_OK)
        ldb_table_cache_destroy(cache);
    return s;
}

void ldb_table_cache_destroy(struct ldb_table_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; cache->shards != NULL && i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        struct open_table *entry = shard->newest;

        while (entry != NULL) {
            struct open_table *older = entry->older;

            assert(atomic_load_explicit(&entry->refs, memory_order_acquire) ==
                   1);
            close_entry(entry);
            entry = older;
        }
        ldb_mem_free(shard->buckets);
        ldb_mutex_release(&shard->mu);
    }
    ldb_mem_free(cache->shards);
    ldb_mem_free(cache->dir);
    ldb_mem_free(cache);
}

static struct shard *shard_of(const struct ldb_table_cache *cache,
                              uint64_t number)
{
    return &cache->shards[number & (cache->shard_count - 1)];
}

/* The file of that extension; *out_name is its name within the folder. */
static enum ldb_status open_file(const struct ldb_table_cache *cache,
                                 uint64_t number, const char *extension,
                                 struct ldb_error *err, char **out_name,
                                 struct ldb_random_file **out_file)
{
    char *name = ldb_mem_printf("%06" PRIu64 "%s", number, extension);
    char *path = NULL;
    enum ldb_status s;

    if (name != NULL)
        path = ldb_mem_printf("%s/%s", cache->dir, name);
    if (path == NULL)
        s = ldb_error_no_memory(err);
    else
        s = cache->env->ops->open_random(cache->env, path, err, out_file);
    ldb_mem_free(path);
    if (s == LDB_OK)
        *out_name = name;
    else
        ldb_mem_free(name);
    return s;
}

static enum ldb_status open_table(const struct ldb_table_cache *cache,
                                  uint64_t number, uint64_t file_size,
                                  struct ldb_error *err, struct ldb_table **out)
{
    struct ldb_random_file *file = NULL;
    char *name = NULL;
    enum ldb_status s = open_file(cache, number, ".ldb", err, &name, &file);

    if (s == LDB_NOT_FOUND)
        s = open_file(cache, number, ".sst", err, &name, &file);
    /* Not found would read as "no such key". */
    if (s == LDB_NOT_FOUND)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s/%06" PRIu64 ".ldb: table is missing",
                             cache->dir, number);
    if (s != LDB_OK)
        return s;
    s = ldb_table_open(file, file_size, name, &cache->options, err, out);
    if (s != LDB_OK)
        ldb_random_close(file);
    ldb_mem_free(name);
    return s;
}

/*
 * Puts a freshly opened table in, with a reference for the caller. Where
 * another thread was faster, its table is used and this one closed.
 */
static struct open_table *admit(struct shard *shard, struct open_table *fresh)
{
    struct open_table *removed = NULL;
    struct open_table *entry;

    ldb_mutex_lock(&shard->mu);
    entry = find_locked(shard, fresh->number);
    if (entry != NULL) {
        use_locked(shard, entry);
    } else {
        entry = fresh;
        insert_locked(shard, entry);
        removed = trim_locked(shard);
    }
    ldb_mutex_unlock(&shard->mu);
    close_chain(removed);
    if (entry != fresh)
        close_entry(fresh);
    return entry;
}

/* The open table, with a reference for the caller. */
static enum ldb_status hold(struct ldb_table_cache *cache, uint64_t number,
                            uint64_t file_size, struct ldb_error *err,
                            struct open_table **out)
{
    struct shard *shard = shard_of(cache, number);
    struct open_table *entry;
    enum ldb_status s;

    ldb_mutex_lock(&shard->mu);
    entry = find_locked(shard, number);
    if (LDB_LIKELY(entry != NULL)) {
        use_locked(shard, entry);
        shard->hits++;
    } else {
        shard->misses++;
    }
    ldb_mutex_unlock(&shard->mu);
    if (LDB_LIKELY(entry != NULL)) {
        *out = entry;
        return LDB_OK;
    }

    entry = ldb_mem_zalloc(1, sizeof(*entry));
    if (entry == NULL)
        return ldb_error_no_memory(err);
    s = open_table(cache, number, file_size, err, &entry->table);
    if (s != LDB_OK) {
        ldb_mem_free(entry);
        return s;
    }
    entry->shard = shard;
    entry->number = number;
    entry->memory_bytes = sizeof(*entry) + ldb_table_memory_bytes(entry->table);
    atomic_init(&entry->refs, 2); /* the cache's and the caller's */
    *out = admit(shard, entry);
    return LDB_OK;
}

enum ldb_status
ldb_table_cache_get(struct ldb_table_cache *cache, uint64_t number,
                    uint64_t file_size, const struct ldb_table_read *read,
                    struct ldb_slice target, struct ldb_error *err,
                    struct ldb_buf *out_value, uint64_t *out_tag)
{
    struct open_table *entry;
    enum ldb_status s = hold(cache, number, file_size, err, &entry);

    if (s != LDB_OK)
        return s;
    s = ldb_table_get(entry->table, read, target, err, out_value, out_tag);
    unref(entry);
    return s;
}

enum ldb_status ldb_table_cache_iterator(struct ldb_table_cache *cache,
                                         uint64_t number, uint64_t file_size,
                                         const struct ldb_table_read *read,
                                         struct ldb_error *err,
                                         struct ldb_iterator **out)
{
    struct open_table *entry;
    enum ldb_status s = hold(cache, number, file_size, err, &entry);

    if (s != LDB_OK)
        return s;
    s = ldb_table_iterator_create_with(entry->table, read, unref, entry, err,
                                       out);
    if (s != LDB_OK)
        unref(entry);
    return s;
}

enum ldb_status ldb_table_cache_approximate_offset(
    struct ldb_table_cache *cache, uint64_t number, uint64_t file_size,
    struct ldb_slice internal_key, struct ldb_error *err, uint64_t *out_offset)
{
    struct open_table *entry;
    enum ldb_status s = hold(cache, number, file_size, err, &entry);

    if (s != LDB_OK)
        return s;
    *out_offset = ldb_table_approximate_offset(entry->table, internal_key);
    unref(entry);
    return LDB_OK;
}

enum ldb_status ldb_table_cache_sample(struct ldb_table_cache *cache,
                                       uint64_t number, uint64_t file_size,
                                       const struct ldb_table_read *read,
                                       uint64_t blocks_max,
                                       struct ldb_error *err,
                                       struct ldb_table_counts *out)
{
    struct open_table *entry;
    enum ldb_status s = hold(cache, number, file_size, err, &entry);

    if (s != LDB_OK)
        return s;
    s = ldb_table_sample(entry->table, read, blocks_max, err, out);
    unref(entry);
    return s;
}

void ldb_table_cache_evict(struct ldb_table_cache *cache, uint64_t number)
{
    struct shard *shard = shard_of(cache, number);
    struct open_table *entry;

    ldb_mutex_lock(&shard->mu);
    entry = find_locked(shard, number);
    if (entry != NULL)
        remove_locked(shard, entry);
    ldb_mutex_unlock(&shard->mu);
    if (entry != NULL)
        unref(entry);
}

void ldb_table_cache_stats(const struct ldb_table_cache *cache,
                           struct ldb_table_cache_stats *out)
{
    *out = (struct ldb_table_cache_stats){.capacity_tables = cache->capacity};
    for (size_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];

        ldb_mutex_lock(&shard->mu);
        out->open_tables +=
            atomic_load_explicit(&shard->count, memory_order_relaxed);
        out->memory_bytes += shard->memory_bytes;
        out->hits += shard->hits;
        out->misses += shard->misses;
        ldb_mutex_unlock(&shard->mu);
    }
}
