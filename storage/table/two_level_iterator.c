#include "storage/table/two_level_iterator.h"

#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Of the outer value that is kept to see whether the inner one still fits.
 * Chosen: over any block handle or file entry; longer ones are just reopened.
 */
#define OUTER_VALUE_KEPT_MAX 4096

struct two_level_iterator {
    struct ldb_iterator base;
    struct ldb_iterator *outer;
    struct ldb_iterator *inner;  /* NULL: none open */
    struct ldb_buf inner_source; /* the outer value inner was opened from */
    bool is_source_known;        /* inner_source is that value */
    ldb_open_inner open;
    void *context;
    void (*release)(void *context);
};

static struct two_level_iterator *two_level_of(struct ldb_iterator *it)
{
    return (struct two_level_iterator *)it;
}

static void stop(struct two_level_iterator *t, const struct ldb_iterator *why)
{
    t->base.valid = false;
    t->base.status = why->status;
    if (why->status != LDB_OK)
        t->base.error = why->error;
}

static inline void publish(struct two_level_iterator *t)
{
    t->base.valid = true;
    t->base.key = t->inner->key;
    t->base.value = t->inner->value;
}

static void close_inner(struct two_level_iterator *t)
{
    ldb_iterator_destroy(t->inner);
    t->inner = NULL;
    t->is_source_known = false;
}

/* Opens the inner iterator of the outer's entry; false ends the iteration. */
static bool open_inner(struct two_level_iterator *t)
{
    struct ldb_slice source = t->outer->value;
    enum ldb_status s;

    if (t->inner != NULL && t->is_source_known &&
        ldb_slice_equal(source, ldb_slice_of_buf(&t->inner_source)))
        return true;
    close_inner(t);
    s = t->open(t->context, source, &t->base.error, &t->inner);
    if (s != LDB_OK) {
        t->inner = NULL;
        t->base.valid = false;
        t->base.status = s;
        return false;
    }
    t->is_source_known = ldb_buf_assign(&t->inner_source, source) == LDB_OK;
    return true;
}

/* From an inner iterator at its end to the first entry behind it. */
static void skip_forward(struct two_level_iterator *t)
{
    while (!t->inner->valid) {
        if (t->inner->status != LDB_OK) {
            stop(t, t->inner);
            return;
        }
        ldb_iterator_next(t->outer);
        if (!t->outer->valid) {
            stop(t, t->outer);
            return;
        }
        if (!open_inner(t))
            return;
        ldb_iterator_seek_first(t->inner);
    }
    publish(t);
}

static void skip_backward(struct two_level_iterator *t)
{
    while (!t->inner->valid) {
        if (t->inner->status != LDB_OK) {
            stop(t, t->inner);
            return;
        }
        ldb_iterator_prev(t->outer);
        if (!t->outer->valid) {
            stop(t, t->outer);
            return;
        }
        if (!open_inner(t))
            return;
        ldb_iterator_seek_last(t->inner);
    }
    publish(t);
}

/* After the outer iterator was positioned anew; false: nothing there. */
static bool enter(struct two_level_iterator *t)
{
    t->base.status = LDB_OK;
    if (!t->outer->valid) {
        stop(t, t->outer);
        return false;
    }
    return open_inner(t);
}

static void two_level_seek_first(struct ldb_iterator *it)
{
    struct two_level_iterator *t = two_level_of(it);

    ldb_iterator_seek_first(t->outer);
    if (enter(t)) {
        ldb_iterator_seek_first(t->inner);
        skip_forward(t);
    }
}

static void two_level_seek_last(struct ldb_iterator *it)
{
    struct two_level_iterator *t = two_level_of(it);

    ldb_iterator_seek_last(t->outer);
    if (enter(t)) {
        ldb_iterator_seek_last(t->inner);
        skip_backward(t);
    }
}

static void two_level_seek(struct ldb_iterator *it, struct ldb_slice target)
{
    struct two_level_iterator *t = two_level_of(it);

    ldb_iterator_seek(t->outer, target);
    if (enter(t)) {
        ldb_iterator_seek(t->inner, target);
        skip_forward(t);
    }
}

static void two_level_next(struct ldb_iterator *it)
{
    struct two_level_iterator *t = two_level_of(it);

    ldb_iterator_next(t->inner);
    if (LDB_LIKELY(t->inner->valid))
        publish(t);
    else
        skip_forward(t);
}

static void two_level_prev(struct ldb_iterator *it)
{
    struct two_level_iterator *t = two_level_of(it);

    ldb_iterator_prev(t->inner);
    if (LDB_LIKELY(t->inner->valid))
        publish(t);
    else
        skip_backward(t);
}

static void two_level_destroy(struct ldb_iterator *it)
{
    struct two_level_iterator *t = two_level_of(it);

    close_inner(t);
    ldb_iterator_destroy(t->outer);
    ldb_buf_release(&t->inner_source);
    if (t->release != NULL)
        t->release(t->context);
    ldb_mem_free(t);
}

static const struct ldb_iterator_ops two_level_ops = {
    .seek_first = two_level_seek_first,
    .seek_last = two_level_seek_last,
    .seek = two_level_seek,
    .next = two_level_next,
    .prev = two_level_prev,
    .destroy = two_level_destroy,
};

enum ldb_status
ldb_two_level_iterator_create(struct ldb_iterator *outer, ldb_open_inner open,
                              void *context, void (*release)(void *context),
                              struct ldb_error *err, struct ldb_iterator **out)
{
    struct two_level_iterator *t = ldb_mem_zalloc(1, sizeof(*t));

    if (t == NULL) {
        ldb_iterator_destroy(outer);
        if (release != NULL)
            release(context);
        return ldb_error_no_memory(err);
    }
    t->base.ops = &two_level_ops;
    t->outer = outer;
    t->inner_source = (struct ldb_buf)LDB_BUF_INIT(OUTER_VALUE_KEPT_MAX);
    t->open = open;
    t->context = context;
    t->release = release;
    *out = &t->base;
    return LDB_OK;
}
