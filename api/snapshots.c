#include "api/snapshots.h"

#include <stdlib.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

/* A power of two; ids are random, so their first bytes are a hash. */
#define BUCKETS 1024

/*
 * Locking: id, view and created_us are constant after creation; the rest is
 * guarded by the mu of all.
 */
struct api_snapshot {
    struct api_snapshot_id id;
    struct ldb_snapshot *view;
    uint64_t created_us; /* monotonic */
    uint64_t ttl_us;
    uint64_t expires_us; /* monotonic */
    unsigned refs;       /* one for the table, one for each use */
    struct api_snapshot *next;
};

/*
 * Locking: env is constant, and so is db to who is inside the gate; the rest is
 * guarded by mu, which is the innermost: nothing is called under it.
 */
struct api_snapshots {
    struct ldb_db *db;
    struct ldb_env *env;
    struct ldb_mutex mu;
    struct api_snapshot *buckets[BUCKETS]; /* guarded by mu */
    size_t count;                          /* guarded by mu */
};

/* ---- ids ---- */

void api_snapshot_id_text(const struct api_snapshot_id *id,
                          char out[API_SNAPSHOT_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < API_SNAPSHOT_ID_BYTES; i++) {
        out[2 * i] = digits[id->bytes[i] >> 4];
        out[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    out[API_SNAPSHOT_ID_SIZE - 1] = '\0';
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool api_snapshot_id_parse(struct ldb_slice text, struct api_snapshot_id *out)
{
    struct api_snapshot_id id;

    if (text.len != API_SNAPSHOT_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < API_SNAPSHOT_ID_BYTES; i++) {
        int high = digit(text.data[2 * i]);
        int low = digit(text.data[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        id.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = id;
    return true;
}

/* ---- the table ---- */

struct api_snapshots *api_snapshots_create(struct ldb_db *db,
                                           struct ldb_env *env)
{
    struct api_snapshots *all = ldb_mem_zalloc(1, sizeof(*all));

    if (all == NULL)
        return NULL;
    all->db = db;
    all->env = env;
    ldb_mutex_init(&all->mu);
    return all;
}

void api_snapshots_set_db(struct api_snapshots *all, struct ldb_db *db)
{
    ldb_mutex_lock(&all->mu);
    assert(all->count == 0);
    all->db = db;
    ldb_mutex_unlock(&all->mu);
}

void api_snapshots_destroy(struct api_snapshots *all)
{
    if (all == NULL)
        return;
    api_snapshots_drop_all(all);
    ldb_mutex_release(&all->mu);
    ldb_mem_free(all);
}

static uint64_t now_us(const struct api_snapshots *all)
{
    return all->env->ops->monotonic_us(all->env);
}

static size_t bucket_of(const struct api_snapshot_id *id)
{
    return ((size_t)id->bytes[0] << 8 | id->bytes[1]) % BUCKETS;
}

/* Where the entry hangs; NULL in there: it is gone. An entry whose time is
 * over is gone too, though it is still there. */
static struct api_snapshot **find(struct api_snapshots *all,
                                  const struct api_snapshot_id *id)
    LDB_REQUIRES(all->mu)
{
    struct api_snapshot **place = &all->buckets[bucket_of(id)];

    while (*place != NULL &&
           memcmp((*place)->id.bytes, id->bytes, API_SNAPSHOT_ID_BYTES) != 0)
        place = &(*place)->next;
    return place;
}

/* entry may be NULL. */
static bool is_alive(const struct api_snapshot *entry, uint64_t now)
{
    return entry != NULL && entry->expires_us > now;
}

static struct api_snapshot *find_alive(struct api_snapshots *all,
                                       const struct api_snapshot_id *id,
                                       uint64_t now) LDB_REQUIRES(all->mu)
{
    struct api_snapshot *entry = *find(all, id);

    return is_alive(entry, now) ? entry : NULL;
}

static void renew(struct api_snapshot *entry, uint64_t now)
{
    uint64_t last = entry->created_us + API_SNAPSHOT_AGE_MAX_US;

    entry->expires_us = now + entry->ttl_us < last ? now + entry->ttl_us : last;
}

static void describe(const struct api_snapshot *entry, uint64_t now,
                     uint64_t wall_us, struct api_snapshot_info *out)
{
    out->id = entry->id;
    out->sequence = ldb_snapshot_sequence(entry->view);
    out->expires_us = wall_us + (entry->expires_us - now);
}

static void destroy_entry(struct api_snapshot *entry)
{
    ldb_snapshot_release(entry->view);
    ldb_mem_free(entry);
}

/* Takes the entry off the table; what is left to destroy goes on *dead. */
static void unlink_entry(struct api_snapshots *all, struct api_snapshot **place,
                         struct api_snapshot **dead) LDB_REQUIRES(all->mu)
{
    struct api_snapshot *entry = *place;

    *place = entry->next;
    all->count--;
    if (--entry->refs > 0)
        return; /* the last use destroys it */
    entry->next = *dead;
    *dead = entry;
}

static void destroy_list(struct api_snapshot *dead)
{
    while (dead != NULL) {
        struct api_snapshot *next = dead->next;

        destroy_entry(dead);
        dead = next;
    }
}

/* ---- taking ---- */

/* False: there are max already. */
static bool insert(struct api_snapshots *all, struct api_snapshot *entry,
                   size_t max)
{
    struct api_snapshot **place = &all->buckets[bucket_of(&entry->id)];
    bool has_room;

    ldb_mutex_lock(&all->mu);
    has_room = all->count < max;
    if (has_room) {
        entry->next = *place;
        *place = entry;
        all->count++;
    }
    ldb_mutex_unlock(&all->mu);
    return has_room;
}

enum ldb_status api_snapshots_take(struct api_snapshots *all, size_t max,
                                   uint64_t ttl_us, struct ldb_error *err,
                                   struct api_snapshot_info *out)
{
    struct api_snapshot *entry = ldb_mem_zalloc(1, sizeof(*entry));
    uint64_t now = now_us(all);
    enum ldb_status s;

    assert(ttl_us > 0 && ttl_us <= API_SNAPSHOT_TTL_MAX_US);
    if (entry == NULL)
        return ldb_error_no_memory(err);
    s = all->env->ops->random_bytes(all->env, entry->id.bytes,
                                    API_SNAPSHOT_ID_BYTES, err);
    if (s == LDB_OK)
        s = ldb_snapshot_acquire(all->db, err, &entry->view);
    if (s != LDB_OK) {
        ldb_mem_free(entry);
        return s;
    }
    entry->created_us = now;
    entry->ttl_us = ttl_us;
    entry->refs = 1;
    renew(entry, now);
    /* Once it is in the table it may go at any time. */
    describe(entry, now, all->env->ops->wall_us(all->env), out);
    if (insert(all, entry, max))
        return LDB_OK;
    destroy_entry(entry);
    return ldb_error_set(err, LDB_STALLED, "there are %zu snapshots already",
                         max);
}

/* ---- using ---- */

bool api_snapshots_renew(struct api_snapshots *all,
                         const struct api_snapshot_id *id, uint64_t ttl_us,
                         struct api_snapshot_info *out)
{
    uint64_t now = now_us(all);
    uint64_t wall_us = all->env->ops->wall_us(all->env);
    struct api_snapshot *entry;

    assert(ttl_us <= API_SNAPSHOT_TTL_MAX_US);
    ldb_mutex_lock(&all->mu);
    entry = find_alive(all, id, now);
    if (entry != NULL) {
        if (ttl_us != 0)
            entry->ttl_us = ttl_us;
        renew(entry, now);
        describe(entry, now, wall_us, out);
    }
    ldb_mutex_unlock(&all->mu);
    return entry != NULL;
}

struct api_snapshot *api_snapshots_use(struct api_snapshots *all,
                                       const struct api_snapshot_id *id)
{
    uint64_t now = now_us(all);
    struct api_snapshot *entry;

    ldb_mutex_lock(&all->mu);
    entry = find_alive(all, id, now);
    if (entry != NULL) {
        entry->refs++;
        renew(entry, now);
    }
    ldb_mutex_unlock(&all->mu);
    return entry;
}

void api_snapshots_release(struct api_snapshots *all,
                           struct api_snapshot *snapshot)
{
    bool is_last;

    if (snapshot == NULL)
        return;
    ldb_mutex_lock(&all->mu);
    assert(snapshot->refs > 0);
    is_last = --snapshot->refs == 0;
    ldb_mutex_unlock(&all->mu);
    if (is_last)
        destroy_entry(snapshot);
}

const struct ldb_snapshot *
api_snapshot_view(const struct api_snapshot *snapshot)
{
    return snapshot->view;
}

/* ---- dropping ---- */

bool api_snapshots_drop(struct api_snapshots *all,
                        const struct api_snapshot_id *id)
{
    struct api_snapshot *dead = NULL;
    struct api_snapshot **place;
    uint64_t now = now_us(all);
    bool is_there;

    ldb_mutex_lock(&all->mu);
    place = find(all, id);
    is_there = is_alive(*place, now);
    if (is_there)
        unlink_entry(all, place, &dead);
    ldb_mutex_unlock(&all->mu);
    destroy_list(dead);
    return is_there;
}

/* Drops what expires at or before limit_us (monotonic). */
static void drop_until(struct api_snapshots *all, uint64_t limit_us)
{
    struct api_snapshot *dead = NULL;

    ldb_mutex_lock(&all->mu);
    for (size_t i = 0; all->count > 0 && i < BUCKETS; i++) {
        struct api_snapshot **place = &all->buckets[i];

        while (*place != NULL) {
            if ((*place)->expires_us <= limit_us)
                unlink_entry(all, place, &dead);
            else
                place = &(*place)->next;
        }
    }
    ldb_mutex_unlock(&all->mu);
    destroy_list(dead);
}

void api_snapshots_drop_all(struct api_snapshots *all)
{
    drop_until(all, UINT64_MAX);
}

void api_snapshots_expire(struct api_snapshots *all)
{
    drop_until(all, now_us(all));
}

/* ---- listing ---- */

static int compare_infos(const void *left, const void *right)
{
    const struct api_snapshot_info *a = left;
    const struct api_snapshot_info *b = right;

    if (a->expires_us != b->expires_us)
        return a->expires_us < b->expires_us ? -1 : 1;
    return memcmp(a->id.bytes, b->id.bytes, API_SNAPSHOT_ID_BYTES);
}

size_t api_snapshots_list(struct api_snapshots *all,
                          struct api_snapshot_info *out, size_t max)
{
    uint64_t now = now_us(all);
    uint64_t wall_us = all->env->ops->wall_us(all->env);
    size_t count = 0;

    ldb_mutex_lock(&all->mu);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct api_snapshot *entry = all->buckets[i];
             entry != NULL && count < max; entry = entry->next) {
            if (entry->expires_us > now)
                describe(entry, now, wall_us, &out[count++]);
        }
    }
    ldb_mutex_unlock(&all->mu);
    if (count > 1)
        qsort(out, count, sizeof(*out), compare_infos);
    return count;
}

size_t api_snapshots_count(struct api_snapshots *all)
{
    size_t count;

    ldb_mutex_lock(&all->mu);
    count = all->count;
    ldb_mutex_unlock(&all->mu);
    return count;
}
