/*
 * A binary heap of the children that stand on an entry; the root is the
 * current position. Forwards the least entry is the root, backwards the
 * greatest; entries order by internal key, then by the child's place, so that
 * equal keys keep the order of the inputs in both directions.
 *
 * Invariant while valid: forwards every other child stands on its first entry
 * after the root's, backwards on its last entry before it. A change of
 * direction re-seeks every child but the root to restore that.
 */
#include "storage/table/merging_iterator.h"

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

struct child {
    struct ldb_iterator *it;
    size_t place; /* among the inputs */
};

struct merging_iterator {
    struct ldb_iterator base;
    const struct ldb_comparator *comparator;
    bool is_bytewise; /* the comparator, asked once */
    bool is_reverse;
    size_t heap_count;
    size_t child_count;
    struct child *heap; /* child_count elements; the first heap_count valid */
    struct child children[]; /* in the order of the inputs; then the heap */
};

static struct merging_iterator *merging_of(struct ldb_iterator *it)
{
    return (struct merging_iterator *)it;
}

/* <0, 0, >0 by internal key. */
static inline int compare_keys(const struct merging_iterator *m,
                               struct ldb_slice a, struct ldb_slice b)
{
    if (LDB_LIKELY(m->is_bytewise))
        return ldb_internal_compare_bytewise(a, b);
    return ldb_internal_compare(m->comparator, a, b);
}

/* Whether a comes out before b in the present direction. */
static inline bool is_before(const struct merging_iterator *m,
                             const struct child *a, const struct child *b)
{
    int order = compare_keys(m, a->it->key, b->it->key);

    if (order == 0)
        order = a->place < b->place ? -1 : 1;
    return m->is_reverse ? order > 0 : order < 0;
}

static void sift_down(struct merging_iterator *m, size_t hole)
{
    struct child moving = m->heap[hole];

    for (;;) {
        size_t next = 2 * hole + 1;

        if (next >= m->heap_count)
            break;
        if (next + 1 < m->heap_count &&
            is_before(m, &m->heap[next + 1], &m->heap[next]))
            next++;
        if (!is_before(m, &m->heap[next], &moving))
            break;
        m->heap[hole] = m->heap[next];
        hole = next;
    }
    m->heap[hole] = moving;
}

static void fail(struct merging_iterator *m, const struct ldb_iterator *child)
{
    m->base.valid = false;
    m->base.status = child->status;
    m->base.error = child->error;
}

static inline void publish_root(struct merging_iterator *m)
{
    if (m->heap_count == 0) {
        m->base.valid = false;
        return;
    }
    m->base.valid = true;
    m->base.key = m->heap[0].it->key;
    m->base.value = m->heap[0].it->value;
}

/* All children have been positioned for the present direction. */
static void rebuild(struct merging_iterator *m)
{
    m->base.status = LDB_OK;
    m->heap_count = 0;
    for (size_t i = 0; i < m->child_count; i++) {
        if (m->children[i].it->valid) {
            m->heap[m->heap_count++] = m->children[i];
        } else if (m->children[i].it->status != LDB_OK) {
            fail(m, m->children[i].it);
            return;
        }
    }
    for (size_t i = m->heap_count / 2; i-- > 0;)
        sift_down(m, i);
    publish_root(m);
}

/* The root has moved: puts it where it belongs. */
static inline void settle_root(struct merging_iterator *m)
{
    const struct ldb_iterator *moved = m->heap[0].it;

    if (LDB_UNLIKELY(!moved->valid)) {
        if (moved->status != LDB_OK) {
            fail(m, moved);
            return;
        }
        m->heap[0] = m->heap[--m->heap_count];
    }
    if (m->heap_count > 1)
        sift_down(m, 0);
    publish_root(m);
}

static void merging_seek_first(struct ldb_iterator *it)
{
    struct merging_iterator *m = merging_of(it);

    m->is_reverse = false;
    for (size_t i = 0; i < m->child_count; i++)
        ldb_iterator_seek_first(m->children[i].it);
    rebuild(m);
}

static void merging_seek_last(struct ldb_iterator *it)
{
    struct merging_iterator *m = merging_of(it);

    m->is_reverse = true;
    for (size_t i = 0; i < m->child_count; i++)
        ldb_iterator_seek_last(m->children[i].it);
    rebuild(m);
}

static void merging_seek(struct ldb_iterator *it, struct ldb_slice target)
{
    struct merging_iterator *m = merging_of(it);

    m->is_reverse = false;
    for (size_t i = 0; i < m->child_count; i++)
        ldb_iterator_seek(m->children[i].it, target);
    rebuild(m);
}

/* Puts child on its first entry after the root's position. */
static void seek_after(const struct merging_iterator *m,
                       const struct child *root, const struct child *child)
{
    ldb_iterator_seek(child->it, root->it->key);
    if (child->it->valid && child->place < root->place &&
        compare_keys(m, child->it->key, root->it->key) == 0)
        ldb_iterator_next(child->it);
}

/* Puts child on its last entry before the root's position. */
static void seek_before(const struct merging_iterator *m,
                        const struct child *root, const struct child *child)
{
    ldb_iterator_seek(child->it, root->it->key);
    if (!child->it->valid) {
        if (child->it->status == LDB_OK)
            ldb_iterator_seek_last(child->it);
        return;
    }
    if (child->place < root->place &&
        compare_keys(m, child->it->key, root->it->key) == 0)
        return;
    ldb_iterator_prev(child->it);
}

static void turn(struct merging_iterator *m, bool reverse)
{
    struct child root = m->heap[0];

    for (size_t i = 0; i < m->child_count; i++) {
        if (m->children[i].it == root.it)
            continue;
        if (reverse)
            seek_before(m, &root, &m->children[i]);
        else
            seek_after(m, &root, &m->children[i]);
    }
    m->is_reverse = reverse;
    if (reverse)
        ldb_iterator_prev(root.it);
    else
        ldb_iterator_next(root.it);
    rebuild(m);
}

static void merging_next(struct ldb_iterator *it)
{
    struct merging_iterator *m = merging_of(it);

    if (LDB_UNLIKELY(m->is_reverse)) {
        turn(m, false);
        return;
    }
    ldb_iterator_next(m->heap[0].it);
    settle_root(m);
}

static void merging_prev(struct ldb_iterator *it)
{
    struct merging_iterator *m = merging_of(it);

    if (LDB_UNLIKELY(!m->is_reverse)) {
        turn(m, true);
        return;
    }
    ldb_iterator_prev(m->heap[0].it);
    settle_root(m);
}

static bool merging_stored(struct ldb_iterator *it, struct ldb_slice *out)
{
    return ldb_iterator_stored(merging_of(it)->heap[0].it, out);
}

static void merging_destroy(struct ldb_iterator *it)
{
    struct merging_iterator *m = merging_of(it);

    for (size_t i = 0; i < m->child_count; i++)
        ldb_iterator_destroy(m->children[i].it);
    ldb_mem_free(m);
}

static const struct ldb_iterator_ops merging_ops = {
    .seek_first = merging_seek_first,
    .seek_last = merging_seek_last,
    .seek = merging_seek,
    .next = merging_next,
    .prev = merging_prev,
    .stored = merging_stored,
    .destroy = merging_destroy,
};

enum ldb_status
ldb_merging_iterator_create(const struct ldb_comparator *user_comparator,
                            struct ldb_iterator *const *children, size_t count,
                            struct ldb_error *err, struct ldb_iterator **out)
{
    struct merging_iterator *m;

    if (count == 0)
        return ldb_empty_iterator_create(LDB_OK, NULL, err, out);
    if (count == 1) {
        *out = children[0];
        return LDB_OK;
    }
    assert(count < SIZE_MAX / (4 * sizeof(struct child)));
    m = ldb_mem_zalloc(1, sizeof(*m) + 2 * count * sizeof(struct child));
    if (m == NULL) {
        for (size_t i = 0; i < count; i++)
            ldb_iterator_destroy(children[i]);
        return ldb_error_no_memory(err);
    }
    m->base.ops = &merging_ops;
    m->comparator = user_comparator;
    m->is_bytewise = user_comparator == ldb_comparator_bytewise();
    m->child_count = count;
    m->heap = m->children + count;
    for (size_t i = 0; i < count; i++)
        m->children[i] = (struct child){.it = children[i], .place = i};
    *out = &m->base;
    return LDB_OK;
}
