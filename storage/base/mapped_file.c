/*
 * The window's zeros are written, not only promised (posix_fallocate leaves
 * extents that a store would still have to convert), and synced before the
 * first store: its length and blocks are then durable. So a file that may have
 * lost pages in its middle always has the window's length, which tells readers
 * what it is (env.h). It gets another length only when nothing stored is
 * unsynced: at the end of the window, when it is cut, and at close.
 *
 * No store can meet a missing block. What is left are a disk that cannot read
 * back a page and somebody who cuts the file from outside: both are a SIGBUS,
 * as they are for a mapped table.
 */
#include "storage/base/mapped_file.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/*
 * Bytes that are written rather than stored: a first store to a page is a
 * fault, a system call costs the same whatever it copies. Measured in a virtual
 * machine: 11 and 2 us, so alike at 750 bytes; by itself a machine takes less
 * for both, and more bytes to make them alike.
 */
#define WRITE_MIN ((size_t)1024)

/* Zeros of one write. Chosen: 4 MiB take as long in one. */
#define ZEROS_SIZE ((size_t)256 * 1024)

/*
 * Locking: none.
 *   constant fd (below's own)
 *   append  window (NULL: left), window_len
 *   atomics len (release by append, acquire by sync), synced_len (release by
 *           sync, acquire by close), sync_failed (likewise)
 */
struct mapped_file {
    struct ldb_writable_file base;
    struct ldb_writable_file *below; /* its length: the window's at least */
    int fd;
    uint8_t *window;
    size_t window_len;
    _Atomic(uint64_t) len;
    _Atomic(uint64_t) synced_len;
    _Atomic(bool) sync_failed;
};

static struct mapped_file *mapped_of(struct ldb_writable_file *file)
{
    return (struct mapped_file *)(void *)file;
}

static enum ldb_status mapped_sync(struct ldb_writable_file *base,
                                   struct ldb_error *err)
{
    struct mapped_file *file = mapped_of(base);
    uint64_t len = atomic_load_explicit(&file->len, memory_order_acquire);
    enum ldb_status s;

    /* The pages that a failed sync could not write count as clean. */
    if (atomic_load_explicit(&file->sync_failed, memory_order_acquire))
        return ldb_error_set_errno(err, EIO, "sync after a sync that failed");
    s = ldb_file_sync(file->below, err);
    if (s == LDB_OK)
        atomic_store_explicit(&file->synced_len, len, memory_order_release);
    else
        atomic_store_explicit(&file->sync_failed, true, memory_order_release);
    return s;
}

static bool is_synced(struct mapped_file *file)
{
    return atomic_load_explicit(&file->len, memory_order_relaxed) ==
           atomic_load_explicit(&file->synced_len, memory_order_acquire);
}

static void unmap(struct mapped_file *file)
{
    if (file->window != NULL)
        (void)munmap(file->window, file->window_len);
    file->window = NULL;
}

/* From here on it is appended to as any file. */
static enum ldb_status leave_window(struct mapped_file *file,
                                    struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (file->window == NULL)
        return LDB_OK;
    if (!is_synced(file))
        s = mapped_sync(&file->base, err);
    if (s == LDB_OK)
        unmap(file);
    return s;
}

/* Writes into the window's pages: no block and no length changes. */
static enum ldb_status write_at(const struct mapped_file *file, uint64_t offset,
                                struct ldb_slice bytes, struct ldb_error *err)
{
    size_t done = 0;

    while (done < bytes.len) {
        ssize_t n = pwrite(file->fd, bytes.data + done, bytes.len - done,
                           (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* 0 cannot be for a file; never spin on it. */
            return ldb_error_set_errno(
                err, n < 0 ? errno : EIO, "write %zu bytes at %llu",
                bytes.len - done, (unsigned long long)offset);
        done += (size_t)n;
    }
    return LDB_OK;
}

/* What fits of bytes goes into the window. */
static enum ldb_status fill_window(struct mapped_file *file,
                                   struct ldb_slice bytes,
                                   struct ldb_error *err, size_t *out_stored)
{
    uint64_t len = atomic_load_explicit(&file->len, memory_order_relaxed);
    size_t room = file->window_len - (size_t)len;
    enum ldb_status s = LDB_OK;

    if (bytes.len > room)
        bytes.len = room;
    if (bytes.len >= WRITE_MIN)
        s = write_at(file, len, bytes, err);
    else if (bytes.len > 0)
        memcpy(file->window + len, bytes.data, bytes.len);
    if (s != LDB_OK)
        return s;
    atomic_store_explicit(&file->len, len + bytes.len, memory_order_release);
    *out_stored = bytes.len;
    return LDB_OK;
}

static enum ldb_status mapped_append(struct ldb_writable_file *base,
                                     struct ldb_slice bytes,
                                     struct ldb_error *err)
{
    struct mapped_file *file = mapped_of(base);
    size_t stored = 0;
    enum ldb_status s = LDB_OK;

    if (LDB_LIKELY(file->window != NULL))
        s = fill_window(file, bytes, err, &stored);
    if (LDB_LIKELY(s != LDB_OK || stored == bytes.len))
        return s;
    s = leave_window(file, err);
    if (s == LDB_OK)
        s = ldb_file_append(
            file->below,
            ldb_slice_make(bytes.data + stored, bytes.len - stored), err);
    if (s == LDB_OK)
        atomic_fetch_add_explicit(&file->len, bytes.len - stored,
                                  memory_order_release);
    return s;
}

static enum ldb_status mapped_truncate(struct ldb_writable_file *base,
                                       uint64_t len, struct ldb_error *err)
{
    struct mapped_file *file = mapped_of(base);
    enum ldb_status s = leave_window(file, err);

    if (s == LDB_OK)
        s = ldb_file_truncate(file->below, len, err);
    if (s == LDB_OK) {
        atomic_store_explicit(&file->len, len, memory_order_release);
        atomic_store_explicit(&file->synced_len, 0, memory_order_release);
    }
    return s;
}

static enum ldb_status mapped_close(struct ldb_writable_file *base,
                                    struct ldb_error *err)
{
    struct mapped_file *file = mapped_of(base);
    uint64_t len = atomic_load_explicit(&file->len, memory_order_relaxed);
    enum ldb_status s = LDB_OK;
    enum ldb_status closed;

    /* Not synced, it keeps the length that says so. */
    if (file->window != NULL && is_synced(file) && len < file->window_len)
        s = ldb_file_truncate(file->below, len, err);
    unmap(file);
    closed = ldb_file_close(file->below, s == LDB_OK ? err : NULL);
    ldb_mem_free(file);
    return s == LDB_OK ? closed : s;
}

static const struct ldb_writable_file_ops mapped_ops = {
    .append = mapped_append,
    .sync = mapped_sync,
    .truncate = mapped_truncate,
    .close = mapped_close,
};

/* ext2 to ext4 (one number) and memory; XFS may share blocks, btrfs does. */
bool ldb_mapped_file_is_safe(int fd)
{
    struct statfs fs;
    int rc;

    do
        rc = fstatfs(fd, &fs);
    while (rc != 0 && errno == EINTR);
    return rc == 0 &&
           (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC);
}

static enum ldb_status write_zeros(struct ldb_writable_file *file, uint64_t len,
                                   struct ldb_error *err)
{
    uint8_t *zeros = ldb_mem_zalloc(ZEROS_SIZE, 1);
    enum ldb_status s = LDB_OK;

    if (zeros == NULL)
        return ldb_error_no_memory(err);
    while (s == LDB_OK && len > 0) {
        size_t n = len < ZEROS_SIZE ? (size_t)len : ZEROS_SIZE;

        s = ldb_file_append(file, ldb_slice_make(zeros, n), err);
        len -= n;
    }
    ldb_mem_free(zeros);
    return s == LDB_OK ? ldb_file_sync(file, err) : s;
}

enum ldb_status ldb_mapped_file_create(struct ldb_writable_file *below, int fd,
                                       uint64_t window, struct ldb_error *err,
                                       struct ldb_writable_file **out)
{
    struct mapped_file *file = ldb_mem_zalloc(1, sizeof(*file));
    void *mapping;
    enum ldb_status s;

    assert(window > 0 && window % LDB_WINDOW_UNIT == 0);
    if (file == NULL)
        return ldb_error_no_memory(err);
    s = write_zeros(below, window, err);
    if (s != LDB_OK) {
        ldb_mem_free(file);
        return s;
    }
    mapping =
        mmap(NULL, (size_t)window, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED) {
        int saved = errno;

        ldb_mem_free(file);
        return ldb_error_set_errno(err, saved, "map %llu bytes",
                                   (unsigned long long)window);
    }
    file->base.ops = &mapped_ops;
    file->below = below;
    file->fd = fd;
    file->window = mapping;
    file->window_len = (size_t)window;
    *out = &file->base;
    return LDB_OK;
}
