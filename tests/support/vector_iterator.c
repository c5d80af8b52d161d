#include "tests/support/vector_iterator.h"

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

struct vector_iterator {
    struct ldb_iterator base;
    const struct vector_entry *entries;
    size_t count;
    size_t at;
    size_t fail_at;
};

static size_t live_iterators;

struct vector_entry vector_entry_make(const char *user, uint64_t sequence,
                                      int kind, const char *value)
{
    struct vector_entry entry = {.key_len = strlen(user) + LDB_TAG_SIZE};

    assert_true(entry.key_len <= sizeof(entry.key));
    assert_true(strlen(value) < sizeof(entry.value));
    memcpy(entry.key, user, strlen(user));
    ldb_store_fixed64(entry.key + strlen(user),
                      ldb_tag_make(sequence, (enum ldb_kind)kind));
    memcpy(entry.value, value, strlen(value));
    return entry;
}

struct ldb_slice vector_entry_key(const struct vector_entry *entry)
{
    return ldb_slice_make(entry->key, entry->key_len);
}

static int compare(const struct vector_entry *a, const struct vector_entry *b)
{
    return ldb_internal_compare(ldb_comparator_bytewise(), vector_entry_key(a),
                                vector_entry_key(b));
}

void vector_sort(struct vector_entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct vector_entry moving = entries[i];
        size_t j = i;

        for (; j > 0 && compare(&entries[j - 1], &moving) > 0; j--)
            entries[j] = entries[j - 1];
        entries[j] = moving;
    }
}

static struct vector_iterator *vector_of(struct ldb_iterator *it)
{
    return (struct vector_iterator *)it;
}

/* at may be one past either end (SIZE_MAX in front). */
static void arrive(struct vector_iterator *v, size_t at)
{
    v->at = at;
    v->base.valid = at < v->count && at != v->fail_at;
    v->base.status = LDB_OK;
    if (at < v->count && at == v->fail_at)
        v->base.status = ldb_error_set(&v->base.error, LDB_IO, "entry failed");
    if (!v->base.valid)
        return;
    v->base.key = vector_entry_key(&v->entries[at]);
    v->base.value = ldb_slice_str(v->entries[at].value);
}

static void vector_seek_first(struct ldb_iterator *it)
{
    arrive(vector_of(it), 0);
}

static void vector_seek_last(struct ldb_iterator *it)
{
    arrive(vector_of(it), vector_of(it)->count - 1);
}

static size_t lower_bound(const struct vector_entry *entries, size_t count,
                          struct ldb_slice target)
{
    size_t at = 0;

    while (at < count &&
           ldb_internal_compare(ldb_comparator_bytewise(),
                                vector_entry_key(&entries[at]), target) < 0)
        at++;
    return at;
}

static void vector_seek(struct ldb_iterator *it, struct ldb_slice target)
{
    struct vector_iterator *v = vector_of(it);

    arrive(v, lower_bound(v->entries, v->count, target));
}

static void vector_next(struct ldb_iterator *it)
{
    assert_true(it->valid);
    arrive(vector_of(it), vector_of(it)->at + 1);
}

static void vector_prev(struct ldb_iterator *it)
{
    assert_true(it->valid);
    arrive(vector_of(it), vector_of(it)->at - 1);
}

static void vector_destroy(struct ldb_iterator *it)
{
    assert_true(live_iterators > 0);
    live_iterators--;
    ldb_mem_free(it);
}

static const struct ldb_iterator_ops vector_ops = {
    .seek_first = vector_seek_first,
    .seek_last = vector_seek_last,
    .seek = vector_seek,
    .next = vector_next,
    .prev = vector_prev,
    .destroy = vector_destroy,
};

struct ldb_iterator *vector_iterator_create(const struct vector_entry *entries,
                                            size_t count, size_t fail_at)
{
    struct vector_iterator *v = ldb_mem_zalloc(1, sizeof(*v));

    assert_non_null(v);
    v->base.ops = &vector_ops;
    v->entries = entries;
    v->count = count;
    v->fail_at = fail_at;
    live_iterators++;
    return &v->base;
}

size_t vector_iterator_live(void)
{
    return live_iterators;
}

/* A target at, just before or just after some entry. */
static struct vector_entry near_entry(const struct vector_entry *sorted,
                                      size_t count, uint64_t *seed)
{
    struct vector_entry target = sorted[bytes_next(seed) % count];
    uint64_t tag = ldb_internal_tag(vector_entry_key(&target));

    switch (bytes_next(seed) % 3) {
    case 0:
        tag += 256;
        break;
    case 1:
        tag = tag < 256 ? 0 : tag - 256;
        break;
    }
    ldb_store_fixed64(target.key + target.key_len - LDB_TAG_SIZE, tag);
    return target;
}

void vector_walk(struct ldb_iterator *it, const struct vector_entry *sorted,
                 size_t count, uint64_t seed, size_t steps)
{
    size_t at = count;

    for (size_t i = 0; i < steps; i++) {
        uint64_t choice = bytes_next(&seed) % 16;

        if (at >= count || choice < 2) {
            struct vector_entry target = near_entry(sorted, count, &seed);

            at = lower_bound(sorted, count, vector_entry_key(&target));
            ldb_iterator_seek(it, vector_entry_key(&target));
        } else if (choice == 2) {
            at = 0;
            ldb_iterator_seek_first(it);
        } else if (choice == 3) {
            at = count - 1;
            ldb_iterator_seek_last(it);
        } else if (choice < 10) {
            at++;
            ldb_iterator_next(it);
        } else {
            at--; /* SIZE_MAX in front of the first */
            ldb_iterator_prev(it);
        }
        assert_ldb_ok(it->status, &it->error);
        assert_int_equal(it->valid, at < count);
        if (it->valid) {
            assert_ldb_slice(vector_entry_key(&sorted[at]), it->key);
            assert_ldb_slice(ldb_slice_str(sorted[at].value), it->value);
        }
    }
}
