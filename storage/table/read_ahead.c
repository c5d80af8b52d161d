#include "storage/table/read_ahead.h"

#include "storage/base/mem.h"
#include "storage/base/status.h"

struct ldb_read_ahead {
    struct ldb_read_ahead_budget *budget;
    struct ldb_sequential_file *file; /* stands at offset + len */
    bool has_failed;                  /* where the file stands is unknown */
    uint64_t offset;                  /* of bytes in the file */
    size_t len;                       /* of bytes that are read */
    size_t size;
    uint8_t bytes[];
};

static bool take_budget(struct ldb_read_ahead_budget *budget)
{
    if (atomic_fetch_sub_explicit(&budget->left, 1, memory_order_relaxed) > 0)
        return true;
    (void)atomic_fetch_add_explicit(&budget->left, 1, memory_order_relaxed);
    return false;
}

static void return_budget(struct ldb_read_ahead_budget *budget)
{
    (void)atomic_fetch_add_explicit(&budget->left, 1, memory_order_relaxed);
}

struct ldb_read_ahead *ldb_read_ahead_open(struct ldb_env *env,
                                           const char *path, uint64_t size,
                                           struct ldb_read_ahead_budget *budget)
{
    size_t room =
        size < LDB_READ_AHEAD_SIZE ? (size_t)size : LDB_READ_AHEAD_SIZE;
    struct ldb_sequential_file *file = NULL;
    struct ldb_read_ahead *ahead;

    if (!take_budget(budget))
        return NULL;
    ahead = ldb_mem_alloc(1, sizeof(*ahead) + room);
    if (ahead == NULL ||
        env->ops->open_sequential(env, path, NULL, &file) != LDB_OK) {
        ldb_mem_free(ahead);
        return_budget(budget);
        return NULL;
    }
    *ahead =
        (struct ldb_read_ahead){.budget = budget, .file = file, .size = room};
    return ahead;
}

void ldb_read_ahead_close(struct ldb_read_ahead *ahead)
{
    if (ahead == NULL)
        return;
    ldb_sequential_close(ahead->file);
    return_budget(ahead->budget);
    ldb_mem_free(ahead);
}

bool ldb_read_ahead_reaches(const struct ldb_read_ahead *ahead, uint64_t offset,
                            size_t len)
{
    return !ahead->has_failed && offset >= ahead->offset && len <= ahead->size;
}

/* Lets bytes begin at offset of the file. */
static enum ldb_status move_to(struct ldb_read_ahead *ahead, uint64_t offset,
                               struct ldb_error *err)
{
    uint64_t passed = offset - ahead->offset;
    enum ldb_status s = LDB_OK;

    if (passed < ahead->len) {
        ahead->len -= (size_t)passed;
        memmove(ahead->bytes, ahead->bytes + passed, ahead->len);
    } else {
        if (passed > ahead->len)
            s = ahead->file->ops->skip(ahead->file, passed - ahead->len, err);
        ahead->len = 0;
    }
    ahead->offset = offset;
    return s;
}

/* Until there are len bytes at least, with all that there is room for. */
static enum ldb_status fill(struct ldb_read_ahead *ahead, size_t len,
                            struct ldb_error *err)
{
    while (ahead->len < len) {
        size_t got = 0;
        enum ldb_status s =
            ldb_sequential_read(ahead->file, ahead->size - ahead->len,
                                ahead->bytes + ahead->len, &got, err);

        if (s != LDB_OK)
            return s;
        if (got == 0)
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "%zu of %zu bytes are in the file", ahead->len,
                                 len);
        ahead->len += got;
    }
    return LDB_OK;
}

enum ldb_status ldb_read_ahead_read(struct ldb_read_ahead *ahead,
                                    uint64_t offset, size_t len,
                                    struct ldb_error *err,
                                    struct ldb_slice *out)
{
    uint64_t passed = offset - ahead->offset;
    enum ldb_status s = LDB_OK;

    assert(ldb_read_ahead_reaches(ahead, offset, len));
    if (passed > ahead->len || len > ahead->len - (size_t)passed) {
        s = move_to(ahead, offset, err);
        if (s == LDB_OK)
            s = fill(ahead, len, err);
    }
    if (s != LDB_OK) {
        ahead->has_failed = s != LDB_CORRUPTION;
        return s;
    }
    *out = ldb_slice_make(ahead->bytes + (offset - ahead->offset), len);
    return LDB_OK;
}
