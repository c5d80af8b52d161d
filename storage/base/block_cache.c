#include "storage/base/block_cache.h"

#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * Sixteen shards (LevelDB's figure), chosen by the top bits of the key's hash,
 * so that readers rarely meet at a lock. A shard is a chained hash table of
 * all its entries and a ring of those that nobody holds, oldest first.
 *
 * An entry's references are the cache's own (while it is in the table) and one
 * per holder. It is in the ring exactly when the cache's is the only one:
 * looking it up takes it out, releasing it puts it back at the young end.
 *
 * No value is destroyed under a shard's lock: what is dropped is chained and
 * destroyed after unlocking.
 */

#define SHARD_BITS  4
#define SHARD_COUNT (1U << SHARD_BITS)

/* Chosen: buckets of an empty shard; the table doubles when it is full. */
#define FIRST_BUCKETS 64

/* The block size by default: one miss is remembered for so many bytes of
 * capacity, and a shard has room while two more such blocks fit. */
#define TYPICAL_BLOCK_BYTES 4096
#define ROOM_BYTES          (2 * TYPICAL_BLOCK_BYTES)

struct ldb_cache_entry {
    /* Constant after creation. */
    uint64_t id;
    uint64_t offset;
    uint64_t hash;
    size_t charge_bytes; /* the value's and the entry's own */
    void *value;
    void (*destroy)(void *value);
    /* Guarded by the shard's mu. */
    unsigned refs;
    bool in_table;
    struct ldb_cache_entry *chain; /* same bucket; or next to be destroyed */
    struct ldb_cache_entry *older; /* ring */
    struct ldb_cache_entry *younger;
};

/*
 * Locking
 *
 * constant after creation: capacity_bytes, missed_count
 * protected by mu:         all else, and the guarded fields of its entries
 */
struct shard {
    struct ldb_mutex mu;
    size_t capacity_bytes;
    size_t used_bytes;
    size_t count;
    size_t bucket_count; /* a power of two */
    struct ldb_cache_entry **buckets;
    struct ldb_cache_entry ring; /* only older and younger are used */
    size_t missed_count;         /* a power of two */
    uint32_t *missed; /* low halves of the hashes of late misses, by hash */
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
};

struct ldb_block_cache {
    struct shard *shards; /* constant after creation */
    size_t capacity_bytes;
    _Atomic(uint64_t) last_id; /* relaxed: a number nobody else gets */
};

/* clang takes the requirement on declarations alone. */
static struct ldb_cache_entry **find_locked(struct shard *shard, uint64_t hash,
                                            uint64_t id, uint64_t offset)
    LDB_REQUIRES(shard->mu);
static void grow_locked(struct shard *shard) LDB_REQUIRES(shard->mu);
static void remove_locked(struct shard *shard, struct ldb_cache_entry **link,
                          struct ldb_cache_entry **dead)
    LDB_REQUIRES(shard->mu);
static void evict_locked(struct shard *shard, struct ldb_cache_entry *entry,
                         struct ldb_cache_entry **dead) LDB_REQUIRES(shard->mu);
static void shrink_locked(struct shard *shard, struct ldb_cache_entry **dead)
    LDB_REQUIRES(shard->mu);
static bool note_miss_locked(struct shard *shard, uint64_t hash)
    LDB_REQUIRES(shard->mu);

/* The 64-bit finaliser of MurmurHash3 (Appleby), over both halves. */
static uint64_t hash_key(uint64_t id, uint64_t offset)
{
    uint64_t h = id * UINT64_C(0x9e3779b97f4a7c15) + offset;

    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

static struct shard *shard_of(const struct ldb_block_cache *cache,
                              uint64_t hash)
{
    return &cache->shards[hash >> (64 - SHARD_BITS)];
}

/* ---- the ring ---- */

static void ring_remove(struct ldb_cache_entry *entry)
{
    entry->older->younger = entry->younger;
    entry->younger->older = entry->older;
    entry->older = NULL;
    entry->younger = NULL;
}

static void ring_add_youngest(struct shard *shard,
                              struct ldb_cache_entry *entry)
{
    struct ldb_cache_entry *ring = &shard->ring;

    assert(entry->older == NULL);
    entry->younger = ring;
    entry->older = ring->older;
    entry->older->younger = entry;
    ring->older = entry;
}

/* The oldest that nobody holds, or NULL. */
static struct ldb_cache_entry *ring_oldest(struct shard *shard)
{
    return shard->ring.younger == &shard->ring ? NULL : shard->ring.younger;
}

/* ---- the table ---- */

/* Where the pointer to the entry of the key is, or the chain's end. */
static struct ldb_cache_entry **find_locked(struct shard *shard, uint64_t hash,
                                            uint64_t id, uint64_t offset)
{
    struct ldb_cache_entry **link =
        &shard->buckets[hash & (shard->bucket_count - 1)];

    while (*link != NULL && ((*link)->hash != hash || (*link)->id != id ||
                             (*link)->offset != offset))
        link = &(*link)->chain;
    return link;
}

/* Doubles the buckets; without memory the chains just get longer. */
static void grow_locked(struct shard *shard)
{
    size_t count = shard->bucket_count * 2;
    struct ldb_cache_entry **buckets =
        ldb_mem_zalloc(count, sizeof(struct ldb_cache_entry *));

    if (buckets == NULL)
        return;
    for (size_t i = 0; i < shard->bucket_count; i++) {
        struct ldb_cache_entry *entry = shard->buckets[i];

        while (entry != NULL) {
            struct ldb_cache_entry *next = entry->chain;
            struct ldb_cache_entry **head = &buckets[entry->hash & (count - 1)];

            entry->chain = *head;
            *head = entry;
            entry = next;
        }
    }
    ldb_mem_free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
}

/* ---- references ---- */

/* Drops one reference; the last one chains the entry into *dead. */
static void unref_locked(struct ldb_cache_entry *entry,
                         struct ldb_cache_entry **dead)
{
    assert(entry->refs > 0);
    entry->refs--;
    if (entry->refs > 0)
        return;
    assert(!entry->in_table);
    entry->chain = *dead;
    *dead = entry;
}

/* Takes the entry at link out of the table and drops the cache's reference. */
static void remove_locked(struct shard *shard, struct ldb_cache_entry **link,
                          struct ldb_cache_entry **dead)
{
    struct ldb_cache_entry *entry = *link;

    assert(entry->in_table);
    *link = entry->chain;
    entry->in_table = false;
    shard->count--;
    shard->used_bytes -= entry->charge_bytes;
    if (entry->older != NULL)
        ring_remove(entry);
    unref_locked(entry, dead);
}

static void evict_locked(struct shard *shard, struct ldb_cache_entry *entry,
                         struct ldb_cache_entry **dead)
{
    remove_locked(
        shard, find_locked(shard, entry->hash, entry->id, entry->offset), dead);
}

/* Drops the oldest that nobody holds until the rest fits. */
static void shrink_locked(struct shard *shard, struct ldb_cache_entry **dead)
{
    struct ldb_cache_entry *entry = ring_oldest(shard);

    while (shard->used_bytes > shard->capacity_bytes && entry != NULL) {
        evict_locked(shard, entry, dead);
        shard->evictions++;
        entry = ring_oldest(shard);
    }
}

/* With no lock held. */
static void destroy_all(struct ldb_cache_entry *dead)
{
    while (dead != NULL) {
        struct ldb_cache_entry *next = dead->chain;

        dead->destroy(dead->value);
        ldb_mem_free(dead);
        dead = next;
    }
}

/* ---- the contract ---- */

static bool init_tables(struct shard *shard)
{
    size_t missed = 1;

    while (missed < shard->capacity_bytes / TYPICAL_BLOCK_BYTES)
        missed *= 2;
    shard->buckets =
        ldb_mem_zalloc(FIRST_BUCKETS, sizeof(struct ldb_cache_entry *));
    shard->missed = ldb_mem_zalloc(missed, sizeof(*shard->missed));
    if (shard->buckets == NULL || shard->missed == NULL)
        return false;
    shard->bucket_count = FIRST_BUCKETS;
    shard->missed_count = missed;
    return true;
}

enum ldb_status ldb_block_cache_create(size_t capacity_bytes,
                                       struct ldb_error *err,
                                       struct ldb_block_cache **out)
{
    size_t per_shard = capacity_bytes / SHARD_COUNT +
                       (capacity_bytes % SHARD_COUNT == 0 ? 0 : 1);
    struct ldb_block_cache *cache = ldb_mem_zalloc(1, sizeof(*cache));

    if (cache == NULL)
        return ldb_error_no_memory(err);
    cache->capacity_bytes = capacity_bytes;
    cache->shards = ldb_mem_zalloc(SHARD_COUNT, sizeof(*cache->shards));
    if (cache->shards == NULL) {
        ldb_mem_free(cache);
        return ldb_error_no_memory(err);
    }
    atomic_init(&cache->last_id, 0);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];

        ldb_mutex_init(&shard->mu);
        shard->capacity_bytes = per_shard;
        shard->ring.older = &shard->ring;
        shard->ring.younger = &shard->ring;
    }
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        if (!init_tables(&cache->shards[i])) {
            ldb_block_cache_destroy(cache);
            return ldb_error_no_memory(err);
        }
    }
    *out = cache;
    return LDB_OK;
}

void ldb_block_cache_destroy(struct ldb_block_cache *cache)
{
    if (cache == NULL)
        return;
    ldb_block_cache_prune(cache);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];

        assert(shard->count == 0);
        ldb_mem_free(shard->buckets);
        ldb_mem_free(shard->missed);
        ldb_mutex_release(&shard->mu);
    }
    ldb_mem_free(cache->shards);
    ldb_mem_free(cache);
}

uint64_t ldb_block_cache_new_id(struct ldb_block_cache *cache)
{
    return atomic_fetch_add_explicit(&cache->last_id, 1, memory_order_relaxed) +
           1;
}

/* Whether what was missed is wanted; the miss is remembered. */
static bool note_miss_locked(struct shard *shard, uint64_t hash)
{
    /* The top bits have chosen the shard. */
    uint32_t *slot = &shard->missed[hash >> 32 & (shard->missed_count - 1)];
    bool was_missed = *slot == (uint32_t)hash;

    *slot = (uint32_t)hash;
    return was_missed ||
           shard->used_bytes + ROOM_BYTES <= shard->capacity_bytes;
}

struct ldb_cache_entry *
ldb_block_cache_lookup_or_want(struct ldb_block_cache *cache, uint64_t id,
                               uint64_t offset, bool *out_is_wanted)
{
    uint64_t hash = hash_key(id, offset);
    struct shard *shard = shard_of(cache, hash);
    struct ldb_cache_entry *entry;

    ldb_mutex_lock(&shard->mu);
    entry = *find_locked(shard, hash, id, offset);
    if (entry != NULL) {
        shard->hits++;
        entry->refs++;
        if (entry->older != NULL)
            ring_remove(entry);
    } else {
        shard->misses++;
        *out_is_wanted = note_miss_locked(shard, hash);
    }
    ldb_mutex_unlock(&shard->mu);
    return entry;
}

struct ldb_cache_entry *ldb_block_cache_lookup(struct ldb_block_cache *cache,
                                               uint64_t id, uint64_t offset)
{
    bool is_wanted;

    return ldb_block_cache_lookup_or_want(cache, id, offset, &is_wanted);
}

struct ldb_cache_entry *ldb_block_cache_insert(struct ldb_block_cache *cache,
                                               uint64_t id, uint64_t offset,
                                               void *value, size_t charge_bytes,
                                               void (*destroy)(void *value))
{
    uint64_t hash = hash_key(id, offset);
    struct shard *shard = shard_of(cache, hash);
    struct ldb_cache_entry *dead = NULL;
    struct ldb_cache_entry **link;
    struct ldb_cache_entry *entry = ldb_mem_zalloc(1, sizeof(*entry));

    if (entry == NULL)
        return NULL;
    entry->id = id;
    entry->offset = offset;
    entry->hash = hash;
    entry->charge_bytes = charge_bytes + sizeof(*entry);
    entry->value = value;
    entry->destroy = destroy;
    entry->refs = 2; /* the cache's and the caller's */
    entry->in_table = true;

    ldb_mutex_lock(&shard->mu);
    link = find_locked(shard, hash, id, offset);
    if (*link != NULL)
        remove_locked(shard, link, &dead);
    if (shard->count >= shard->bucket_count)
        grow_locked(shard);
    link = &shard->buckets[hash & (shard->bucket_count - 1)];
    entry->chain = *link;
    *link = entry;
    shard->count++;
    shard->used_bytes += entry->charge_bytes;
    shrink_locked(shard, &dead);
    ldb_mutex_unlock(&shard->mu);
    destroy_all(dead);
    return entry;
}

void *ldb_cache_entry_value(const struct ldb_cache_entry *entry)
{
    return entry->value;
}

void ldb_block_cache_release(struct ldb_block_cache *cache,
                             struct ldb_cache_entry *entry)
{
    struct shard *shard = shard_of(cache, entry->hash);
    struct ldb_cache_entry *dead = NULL;

    ldb_mutex_lock(&shard->mu);
    if (entry->in_table && entry->refs == 2) {
        entry->refs = 1;
        ring_add_youngest(shard, entry);
        shrink_locked(shard, &dead);
    } else {
        unref_locked(entry, &dead);
    }
    ldb_mutex_unlock(&shard->mu);
    destroy_all(dead);
}

void ldb_block_cache_erase(struct ldb_block_cache *cache, uint64_t id,
                           uint64_t offset)
{
    uint64_t hash = hash_key(id, offset);
    struct shard *shard = shard_of(cache, hash);
    struct ldb_cache_entry *dead = NULL;
    struct ldb_cache_entry **link;

    ldb_mutex_lock(&shard->mu);
    link = find_locked(shard, hash, id, offset);
    if (*link != NULL)
        remove_locked(shard, link, &dead);
    ldb_mutex_unlock(&shard->mu);
    destroy_all(dead);
}

void ldb_block_cache_prune(struct ldb_block_cache *cache)
{
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        struct ldb_cache_entry *dead = NULL;
        struct ldb_cache_entry *entry;

        ldb_mutex_lock(&shard->mu);
        entry = ring_oldest(shard);
        while (entry != NULL) {
            evict_locked(shard, entry, &dead);
            entry = ring_oldest(shard);
        }
        ldb_mutex_unlock(&shard->mu);
        destroy_all(dead);
    }
}

void ldb_block_cache_stats(const struct ldb_block_cache *cache,
                           struct ldb_cache_stats *out)
{
    *out = (struct ldb_cache_stats){.capacity_bytes = cache->capacity_bytes};
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];

        ldb_mutex_lock(&shard->mu);
        out->hits += shard->hits;
        out->misses += shard->misses;
        out->evictions += shard->evictions;
        out->used_bytes += shard->used_bytes;
        ldb_mutex_unlock(&shard->mu);
    }
}
