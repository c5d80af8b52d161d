#include "storage/row_cache.h"

#include <stdatomic.h>
#include <string.h>

#include "storage/base/hash.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

#define WAYS 4

/* Notes of writes of each set: what fits into its first cache line. */
#define NOTES 6

/* Bytes; of the usual processors. */
#define CACHE_LINE 64

#define WORDS_MAX (LDB_ROW_BYTES_MAX / sizeof(uint64_t))

#define HASH_SEED 0x726f7773 /* chosen: not that of bloom filters */

/*
 * Atomics: version, even at rest, odd while somebody writes; the words, stored
 * (release) by who made it odd, loaded (acquire) by anybody, and believed where
 * the version is even and the same before and after.
 */
struct slot {
    _Atomic(uint64_t) version;
    _Atomic(uint64_t) shape; /* of key and value: see make_shape() */
    _Atomic(uint64_t) sequence;
    _Atomic(uint64_t) seen;
    _Atomic(uint64_t) words[WORDS_MAX]; /* the key, then the value */
};

static_assert(sizeof(struct slot) == 3 * CACHE_LINE, "no more lines than said");

/*
 * All that a get looks at is side by side: mostly in one page. Atomics: notes
 * (relaxed stores before the sequence is published with release); the others,
 * relaxed, are hints to where a row may be, and to what may go: each wrong one
 * costs a look or a row.
 */
struct set {
    _Atomic(uint64_t) tags; /* 16 bits of each way's hash; 0: empty */
    _Atomic(uint32_t) used; /* a bit for each way: got since the hand passed */
    _Atomic(uint32_t) hand; /* the way that goes next, if it is not in use */
    _Atomic(uint64_t) notes[NOTES];
    struct slot slots[WAYS];
};

static_assert(sizeof(struct set) == (1 + 3 * WAYS) * CACHE_LINE,
              "sets begin with a line");

/*
 * Constant after creation: the pointers and counts. Atomics: generation (odd
 * while a change is made; release at its end, acquire); used_slots (relaxed).
 */
struct ldb_row_cache {
    struct set *sets; /* aligned to lines, in block */
    void *block;
    uint32_t set_count;
    size_t capacity_bytes;
    _Atomic(uint32_t) generation;
    _Atomic(size_t) used_slots;
};

enum ldb_status ldb_row_cache_create(size_t capacity_bytes,
                                     struct ldb_error *err,
                                     struct ldb_row_cache **out)
{
    size_t sets = capacity_bytes / sizeof(struct set);
    struct ldb_row_cache *cache = ldb_mem_zalloc(1, sizeof(*cache));

    if (cache == NULL)
        return ldb_error_no_memory(err);
    if (sets == 0)
        sets = 1;
    if (sets > UINT32_MAX)
        sets = UINT32_MAX;
    cache->capacity_bytes = capacity_bytes;
    cache->set_count = (uint32_t)sets;
    cache->block = ldb_mem_zalloc(sets + 1, sizeof(struct set));
    if (cache->block == NULL) {
        ldb_row_cache_destroy(cache);
        return ldb_error_no_memory(err);
    }
    cache->sets = (struct set *)(((uintptr_t)cache->block + CACHE_LINE - 1) /
                                 CACHE_LINE * CACHE_LINE);
    *out = cache;
    return LDB_OK;
}

void ldb_row_cache_destroy(struct ldb_row_cache *cache)
{
    if (cache == NULL)
        return;
    ldb_mem_free(cache->block);
    ldb_mem_free(cache);
}

/* ---- where a key belongs ---- */

/* By the top bits. */
static struct set *set_of(struct ldb_row_cache *cache, uint32_t hash)
{
    return &cache->sets[(uint64_t)hash * cache->set_count >> 32];
}

static _Atomic(uint64_t) *note_of(struct set *set, uint32_t hash)
{
    return &set->notes[hash % NOTES];
}

/* By the low bits; not 0. */
static uint64_t tag_of(uint32_t hash)
{
    return (hash & 0xffff) | 1;
}

static uint64_t tag_at(uint64_t tags, unsigned way)
{
    return tags >> (16 * way) & 0xffff;
}

/* ---- slots ---- */

/* Lengths that differ make words differ in meaning; a row of another generation
 * does not count. */
static uint64_t make_shape(size_t key_len, size_t value_len,
                           uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)key_len << 16 | value_len;
}

static size_t words_of(size_t bytes)
{
    return (bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

struct row {
    size_t value_len;
    ldb_sequence sequence;
    ldb_sequence seen;
    uint64_t words[WORDS_MAX];
};

/* False: it is another key's, of another generation, or being written. */
static bool read_slot(const struct slot *slot, struct ldb_slice key,
                      uint32_t generation, struct row *out)
{
    uint64_t version =
        atomic_load_explicit(&slot->version, memory_order_acquire);
    uint64_t shape = atomic_load_explicit(&slot->shape, memory_order_acquire);
    size_t value_len = shape & 0xffff;
    size_t count;

    if (version % 2 != 0 ||
        shape != make_shape(key.len, value_len, generation) ||
        value_len > LDB_ROW_BYTES_MAX - key.len)
        return false;
    count = words_of(key.len + value_len);
    for (size_t i = 0; i < count; i++)
        out->words[i] =
            atomic_load_explicit(&slot->words[i], memory_order_acquire);
    out->value_len = value_len;
    out->sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
    out->seen = atomic_load_explicit(&slot->seen, memory_order_acquire);
    return atomic_load_explicit(&slot->version, memory_order_relaxed) ==
               version &&
           (key.len == 0 || memcmp(out->words, key.data, key.len) == 0);
}

/* False: somebody else writes it now. */
static bool write_slot(struct slot *slot, size_t key_len, const struct row *row,
                       uint32_t generation)
{
    uint64_t version =
        atomic_load_explicit(&slot->version, memory_order_relaxed);
    size_t count = words_of(key_len + row->value_len);

    if (version % 2 != 0 || !atomic_compare_exchange_strong_explicit(
                                &slot->version, &version, version + 1,
                                memory_order_acquire, memory_order_relaxed))
        return false;
    /* Release: who sees one of these sees the odd version. */
    atomic_store_explicit(&slot->shape,
                          make_shape(key_len, row->value_len, generation),
                          memory_order_release);
    atomic_store_explicit(&slot->sequence, row->sequence, memory_order_release);
    atomic_store_explicit(&slot->seen, row->seen, memory_order_release);
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(&slot->words[i], row->words[i],
                              memory_order_release);
    atomic_store_explicit(&slot->version, version + 2, memory_order_release);
    return true;
}

/* ---- get ---- */

static bool find(struct set *set, struct ldb_slice key,
                 struct ldb_row_hint hint, struct row *out)
{
    uint64_t tags = atomic_load_explicit(&set->tags, memory_order_relaxed);
    uint32_t used;

    for (unsigned way = 0; way < WAYS; way++) {
        if (tag_at(tags, way) != tag_of(hint.hash) ||
            !read_slot(&set->slots[way], key, hint.generation, out))
            continue;
        used = atomic_load_explicit(&set->used, memory_order_relaxed);
        if ((used & 1U << way) == 0)
            atomic_store_explicit(&set->used, used | 1U << way,
                                  memory_order_relaxed);
        return true;
    }
    return false;
}

bool ldb_row_cache_get(struct ldb_row_cache *cache, struct ldb_slice key,
                       ldb_sequence published, struct ldb_buf *out_value,
                       ldb_sequence *out_sequence, ldb_sequence *out_seen,
                       struct ldb_row_hint *out_hint)
{
    uint32_t hash = ldb_hash(key, HASH_SEED);
    struct set *set = set_of(cache, hash);
    struct ldb_slice value;
    struct row row;

    *out_hint = (struct ldb_row_hint){
        .hash = hash,
        .generation =
            atomic_load_explicit(&cache->generation, memory_order_acquire),
    };
    if (key.len > LDB_ROW_BYTES_MAX || out_hint->generation % 2 != 0 ||
        !find(set, key, *out_hint, &row) ||
        atomic_load_explicit(note_of(set, hash), memory_order_relaxed) >
            row.seen)
        return false;
    value = ldb_slice_make((const uint8_t *)row.words + key.len, row.value_len);
    if (out_value != NULL && ldb_buf_assign(out_value, value) != LDB_OK)
        return false;
    *out_sequence = row.sequence;
    *out_seen = published > row.seen ? published : row.seen;
    return true;
}

/* ---- put ---- */

/* The way of this tag, an empty one, or the one that goes. */
static unsigned choose_way(struct set *set, uint64_t tags, uint64_t tag)
{
    uint32_t used = atomic_load_explicit(&set->used, memory_order_relaxed);
    unsigned hand = atomic_load_explicit(&set->hand, memory_order_relaxed);
    unsigned way;

    for (way = 0; way < WAYS; way++) {
        if (tag_at(tags, way) == tag)
            return way;
    }
    for (way = 0; way < WAYS; way++) {
        if (tag_at(tags, way) == 0)
            return way;
    }
    for (way = hand % WAYS; (used & 1U << way) != 0; way = (way + 1) % WAYS)
        used &= ~(1U << way);
    atomic_store_explicit(&set->used, used, memory_order_relaxed);
    atomic_store_explicit(&set->hand, way + 1, memory_order_relaxed);
    return way;
}

static void set_tag(struct ldb_row_cache *cache, struct set *set,
                    uint64_t old_tags, unsigned way, uint64_t tag)
{
    uint64_t tags =
        (old_tags & ~(UINT64_C(0xffff) << (16 * way))) | tag << (16 * way);

    if (tags == old_tags)
        return;
    /* Where another one came first this row is not found: no loss. */
    if (atomic_compare_exchange_strong_explicit(&set->tags, &old_tags, tags,
                                                memory_order_relaxed,
                                                memory_order_relaxed) &&
        tag_at(old_tags, way) == 0)
        atomic_fetch_add_explicit(&cache->used_slots, 1, memory_order_relaxed);
}

void ldb_row_cache_put(struct ldb_row_cache *cache, struct ldb_row_hint hint,
                       struct ldb_slice key, struct ldb_slice value,
                       ldb_sequence sequence, ldb_sequence seen)
{
    struct row row = {
        .value_len = value.len, .sequence = sequence, .seen = seen};
    struct set *set = set_of(cache, hint.hash);
    uint64_t tags = atomic_load_explicit(&set->tags, memory_order_relaxed);
    unsigned way;

    if (key.len > LDB_ROW_BYTES_MAX || value.len > LDB_ROW_BYTES_MAX - key.len)
        return;
    if (key.len > 0)
        memcpy(row.words, key.data, key.len);
    if (value.len > 0)
        memcpy((uint8_t *)row.words + key.len, value.data, value.len);
    way = choose_way(set, tags, tag_of(hint.hash));
    if (write_slot(&set->slots[way], key.len, &row, hint.generation))
        set_tag(cache, set, tags, way, tag_of(hint.hash));
}

/* ---- what ends rows ---- */

void ldb_row_cache_note_write(struct ldb_row_cache *cache, struct ldb_slice key,
                              ldb_sequence sequence)
{
    uint32_t hash = ldb_hash(key, HASH_SEED);

    atomic_store_explicit(note_of(set_of(cache, hash), hash), sequence,
                          memory_order_relaxed);
}

void ldb_row_cache_change_begin(struct ldb_row_cache *cache)
{
    uint32_t generation =
        atomic_fetch_add_explicit(&cache->generation, 1, memory_order_acq_rel);

    assert(generation % 2 == 0);
    (void)generation;
}

void ldb_row_cache_change_end(struct ldb_row_cache *cache)
{
    uint32_t generation =
        atomic_fetch_add_explicit(&cache->generation, 1, memory_order_acq_rel);

    assert(generation % 2 == 1);
    (void)generation;
}

void ldb_row_cache_stats(const struct ldb_row_cache *cache,
                         struct ldb_row_cache_stats *out)
{
    *out = (struct ldb_row_cache_stats){
        .used_bytes =
            atomic_load_explicit(&cache->used_slots, memory_order_relaxed) *
            sizeof(struct slot),
        .capacity_bytes = cache->capacity_bytes,
    };
}
