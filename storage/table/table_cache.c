/*
 * Open tables by number in shards, each a hash table with a list, about in
 * order of use. A table is closed by whoever gives back the last reference;
 * the cache itself holds one while the table is in it.
 *
 * A lookup of a table that was looked up before takes no lock: a hint, found by
 * the number, points to its entry. Hints may be out of date, so the memory of
 * an entry stays an entry until the cache is destroyed, to be used for another
 * table, and a reader
 *
 * 1. adds a reference where there is one already, never to none. An entry
 *    without references is nobody's but its closer's and the next opener's;
 * 2. looks whether the entry is of its table's number, which stands still while
 *    there are references. If not, it gives the reference back.
 *
 * Giving back is one atomic decrement, but where the shard holds more than its
 * share. Instead of moving an entry in the list, a use marks it; whoever looks
 * for the oldest one passes by the marked ones once.
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

/* Chosen: tables whose numbers lie close together seldom share a hint. */
#define HINTS_PER_TABLE 4
#define HINTS_MAX       65536

struct shard;

/*
 * Locking
 *   constant: shard
 *   constant while refs > 0: number, table, memory_bytes
 *   atomics: refs (release on giving back and at insertion, acquire on adding
 *     and before closing); hits, is_used: relaxed
 *   guarded by shard->mu: next_in_bucket, newer, older
 */
struct open_table {
    _Atomic(size_t) refs;
    _Atomic(uint64_t) hits;
    _Atomic(bool) is_used; /* since it was passed by */
    uint64_t number;
    struct ldb_table *table;
    struct shard *shard;
    size_t memory_bytes;
    struct open_table *next_in_bucket; /* or in a chain of closed ones */
    struct open_table *newer;          /* NULL: most recently used */
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
    struct open_table *spare; /* a chain; no references */
    size_t memory_bytes;
    uint64_t hits; /* of entries that are closed */
    uint64_t misses;
};

/* Constant after creation, but for what the shards hold and the budget. */
struct ldb_table_cache {
    struct ldb_env *env;
    char *dir;
    struct ldb_table_options options;
    size_t capacity;
    size_t shard_count; /* a power of two */
    struct shard *shards;
    struct ldb_read_ahead_budget ahead_budget;
    size_t hint_count;                   /* a power of two */
    _Atomic(struct open_table *) *hints; /* by number; NULL: none */
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

/* Adds a reference, if there is one. */
static bool try_ref(struct open_table *entry)
{
    size_t refs = atomic_load_explicit(&entry->refs, memory_order_relaxed);

    do {
        if (refs == 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &entry->refs, &refs, refs + 1, memory_order_acquire,
        memory_order_relaxed));
    return true;
}

static void note_use(struct open_table *entry)
{
    (void)atomic_fetch_add_explicit(&entry->hits, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&entry->is_used, memory_order_relaxed))
        atomic_store_explicit(&entry->is_used, true, memory_order_relaxed);
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

/* Takes the cache's reference, if that is the only one: nobody can add to it
 * then. Acquire: what its last user read was read before the close. */
static bool try_claim(struct open_table *entry)
{
    size_t refs = 1;

    return atomic_compare_exchange_strong_explicit(
        &entry->refs, &refs, 0, memory_order_acquire, memory_order_relaxed);
}

/*
 * Takes out what is over the capacity and used by nobody, oldest first;
 * returns them chained by next_in_bucket, to be closed without the lock.
 */
static struct open_table *trim_locked(struct shard *shard)
    LDB_REQUIRES(shard->mu)
{
    size_t count = atomic_load_explicit(&shard->count, memory_order_relaxed);
    struct open_table *removed = NULL;

    /* Once round for the marks, once more for what was marked. */
    for (size_t looks = 2 * count; looks > 0 && count > shard->capacity;
         looks--) {
        struct open_table *entry = shard->oldest;

        if (!atomic_exchange_explicit(&entry->is_used, false,
                                      memory_order_relaxed) &&
            try_claim(entry)) {
            remove_locked(shard, entry);
            entry->next_in_bucket = removed;
            removed = entry;
            count--;
        } else {
            unlink_use_locked(shard, entry);
            link_newest_locked(shard, entry);
        }
    }
    return removed;
}

/* Closes an entry without references, or one that never had any. */
static void close_entry(struct open_table *entry)
{
    struct shard *shard = entry->shard;

    ldb_table_close(entry->table);
    entry->table = NULL;
    ldb_mutex_lock(&shard->mu);
    shard->hits +=
        atomic_exchange_explicit(&entry->hits, 0, memory_order_relaxed);
    entry->next_in_bucket = shard->spare;
    shard->spare = entry;
    ldb_mutex_unlock(&shard->mu);
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
    atomic_init(&cache->ahead_budget.left, LDB_READ_AHEADS_MAX);
    cache->hint_count = HINTS_PER_TABLE;
    while (cache->hint_count / HINTS_PER_TABLE < capacity_tables &&
           cache->hint_count < HINTS_MAX)
        cache->hint_count *= 2;
    cache->dir = ldb_mem_strdup(dir);
    cache->shards = ldb_mem_zalloc(count, sizeof(struct shard));
    cache->hints = ldb_mem_zalloc(cache->hint_count, sizeof(cache->hints[0]));
    if (cache->dir == NULL || cache->shards == NULL || cache->hints == NULL) {
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

/* Nothing is in use. */
static void release_shard(struct shard *shard)
{
    struct open_table *entry = shard->newest;

    while (entry != NULL) {
        struct open_table *older = entry->older;
        bool is_unused = try_claim(entry);

        assert(is_unused);
        (void)is_unused;
        close_entry(entry);
        entry = older;
    }
    entry = shard->spare;
    while (entry != NULL) {
        struct open_table *next = entry->next_in_bucket;

        ldb_mem_free(entry);
        entry = next;
    }
    ldb_mem_free(shard->buckets);
    ldb_mutex_release(&shard->mu);
}

void ldb_table_cache_destroy(struct ldb_table_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; cache->shards != NULL && i < cache->shard_count; i++)
        release_shard(&cache->shards[i]);
    ldb_mem_free(cache->shards);
    ldb_mem_free(cache->hints);
    ldb_mem_free(cache->dir);
    ldb_mem_free(cache);
}

static struct shard *shard_of(const struct ldb_table_cache *cache,
                              uint64_t number)
{
    return &cache->shards[number & (cache->shard_count - 1)];
}

static _Atomic(struct open_table *) *
hint_of(const struct ldb_table_cache *cache, uint64_t number)
{
    return &cache->hints[number & (cache->hint_count - 1)];
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

/* An entry without references, a spare one if there is one. */
static struct open_table *take_entry(struct shard *shard)
{
    struct open_table *entry;

    ldb_mutex_lock(&shard->mu);
    entry = shard->spare;
    if (entry != NULL)
        shard->spare = entry->next_in_bucket;
    ldb_mutex_unlock(&shard->mu);
    if (entry == NULL)
        entry = ldb_mem_zalloc(1, sizeof(*entry));
    if (entry != NULL)
        entry->shard = shard;
    return entry;
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
    /* The cache's own reference is there, so one can be added. */
    if (entry == NULL || !try_ref(entry)) {
        entry = fresh;
        atomic_store_explicit(&entry->is_used, false, memory_order_relaxed);
        insert_locked(shard, entry);
        /* The cache's and the caller's. */
        atomic_store_explicit(&entry->refs, 2, memory_order_release);
        removed = trim_locked(shard);
    }
    ldb_mutex_unlock(&shard->mu);
    close_chain(removed);
    if (entry != fresh)
        close_entry(fresh);
    return entry;
}

/* The open table, if there is one; without a lock where a hint leads to it. */
static struct open_table *find(struct ldb_table_cache *cache,
                               struct shard *shard, uint64_t number)
{
    _Atomic(struct open_table *) *hint = hint_of(cache, number);
    struct open_table *entry = atomic_load_explicit(hint, memory_order_acquire);

    if (LDB_LIKELY(entry != NULL && try_ref(entry))) {
        if (LDB_LIKELY(entry->number == number)) {
            note_use(entry);
            return entry;
        }
        unref(entry);
    }
    ldb_mutex_lock(&shard->mu);
    entry = find_locked(shard, number);
    if (entry != NULL && try_ref(entry)) {
        note_use(entry);
        atomic_store_explicit(hint, entry, memory_order_release);
    } else {
        entry = NULL;
        shard->misses++;
    }
    ldb_mutex_unlock(&shard->mu);
    return entry;
}

/* The open table, with a reference for the caller. */
static enum ldb_status hold(struct ldb_table_cache *cache, uint64_t number,
                            uint64_t file_size, struct ldb_error *err,
                            struct open_table **out)
{
    struct shard *shard = shard_of(cache, number);
    struct open_table *entry = find(cache, shard, number);
    enum ldb_status s;

    if (LDB_LIKELY(entry != NULL)) {
        *out = entry;
        return LDB_OK;
    }
    entry = take_entry(shard);
    if (entry == NULL)
        return ldb_error_no_memory(err);
    s = open_table(cache, number, file_size, err, &entry->table);
    if (s != LDB_OK) {
        close_entry(entry);
        return s;
    }
    entry->number = number;
    entry->memory_bytes = sizeof(*entry) + ldb_table_memory_bytes(entry->table);
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

/* NULL: the table is to be read without. */
static struct ldb_read_ahead *open_ahead(struct ldb_table_cache *cache,
                                         const struct ldb_table *table,
                                         uint64_t file_size)
{
    char *path = ldb_mem_printf("%s/%s", cache->dir, table->name);
    struct ldb_read_ahead *ahead = NULL;

    if (path != NULL)
        ahead = ldb_read_ahead_open(cache->env, path, file_size,
                                    &cache->ahead_budget);
    ldb_mem_free(path);
    return ahead;
}

enum ldb_status ldb_table_cache_iterator(struct ldb_table_cache *cache,
                                         uint64_t number, uint64_t file_size,
                                         const struct ldb_table_read *read,
                                         struct ldb_error *err,
                                         struct ldb_iterator **out)
{
    struct ldb_read_ahead *ahead = NULL;
    struct open_table *entry;
    enum ldb_status s = hold(cache, number, file_size, err, &entry);

    if (s != LDB_OK)
        return s;
    if (read->read_ahead)
        ahead = open_ahead(cache, entry->table, file_size);
    s = ldb_table_iterator_create_with(entry->table, read, ahead, unref, entry,
                                       err, out);
    if (s != LDB_OK) {
        ldb_read_ahead_close(ahead);
        unref(entry);
    }
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
    if (entry != NULL) {
        struct open_table *hinted = entry;

        remove_locked(shard, entry);
        /* Else readers might hand it on to each other. It comes back with the
         * lock held alone, and not once it is out. */
        (void)atomic_compare_exchange_strong_explicit(
            hint_of(cache, number), &hinted, NULL, memory_order_relaxed,
            memory_order_relaxed);
    }
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
        for (struct open_table *entry = shard->newest; entry != NULL;
             entry = entry->older)
            out->hits +=
                atomic_load_explicit(&entry->hits, memory_order_relaxed);
        out->misses += shard->misses;
        ldb_mutex_unlock(&shard->mu);
    }
}
