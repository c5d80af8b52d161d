#include "storage/table/iterator.h"

#include "storage/base/mem.h"
#include "storage/base/status.h"

static void empty_move(struct ldb_iterator *it)
{
    assert_slow(!it->valid);
    (void)it;
}

static void empty_seek(struct ldb_iterator *it, struct ldb_slice target)
{
    (void)target;
    empty_move(it);
}

static void empty_destroy(struct ldb_iterator *it)
{
    ldb_mem_free(it);
}

static const struct ldb_iterator_ops empty_ops = {
    .seek_first = empty_move,
    .seek_last = empty_move,
    .seek = empty_seek,
    .next = empty_move,
    .prev = empty_move,
    .destroy = empty_destroy,
};

enum ldb_status ldb_empty_iterator_create(enum ldb_status status,
                                          const struct ldb_error *why,
                                          struct ldb_error *err,
                                          struct ldb_iterator **out)
{
    struct ldb_iterator *it = ldb_mem_zalloc(1, sizeof(*it));

    if (it == NULL)
        return ldb_error_no_memory(err);
    it->ops = &empty_ops;
    it->status = status;
    if (why != NULL)
        it->error = *why;
    *out = it;
    return LDB_OK;
}
