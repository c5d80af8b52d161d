/*
 * The system's files. The only file of storage/ with open, write, fsync and
 * rename; nothing here knows what a file means.
 */
#include "storage/base/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "storage/base/lock_holder.h"
#include "storage/base/mapped_file.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Files mapped at once; the others are read with pread. LevelDB's figure. */
#define MAPPED_FILES_MAX 1000

/* Permissions of new files and directories, before the umask. */
#define FILE_MODE 0644
#define DIR_MODE  0755

/* What is read of /proc/locks: some 10,000 locks. Chosen. */
#define PROC_LOCKS_MAX ((size_t)1 << 20)

/* Bytes of a thread's or process's name with its NUL: Linux. */
#define TASK_NAME_SIZE 16

#define MICROS_PER_SECOND UINT64_C(1000000)
#define NANOS_PER_MICRO   1000

struct posix_env {
    struct ldb_env base;
    /* Relaxed: a budget; no other memory is published by it. */
    atomic_int maps_left;
};

static struct posix_env *posix_env_of(struct ldb_env *env)
{
    return (struct posix_env *)(void *)env;
}

/* open() that never leaks into a child and is not cut short by a signal. */
static int open_retry(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Nothing was written through fd, or its sync was asked for: no news. */
static void close_quietly(int fd)
{
    (void)close(fd);
}

/* Opens for reading; a directory, which open() takes, is EISDIR. */
static enum ldb_status open_to_read(const char *path, struct ldb_error *err,
                                    int *out_fd, uint64_t *out_size)
{
    struct stat st;
    int fd = open_retry(path, O_RDONLY);

    if (fd < 0)
        return ldb_error_set_errno(err, errno, "open %s", path);
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        int saved = S_ISDIR(st.st_mode) ? EISDIR : errno;

        close_quietly(fd);
        return ldb_error_set_errno(err, saved, "open %s", path);
    }
    *out_fd = fd;
    *out_size = (uint64_t)st.st_size;
    return LDB_OK;
}

/* ---- writable files ---- */

/*
 * Writes at its own offset, so that an append after truncate() continues at
 * the cut. sync() reads fd alone, which is constant: it may run beside append.
 */
struct posix_writable {
    struct ldb_writable_file base;
    int fd;
    uint64_t offset; /* the file's length */
    char *path;
};

static struct posix_writable *writable_of(struct ldb_writable_file *file)
{
    return (struct posix_writable *)(void *)file;
}

static enum ldb_status writable_append(struct ldb_writable_file *base,
                                       struct ldb_slice bytes,
                                       struct ldb_error *err)
{
    struct posix_writable *file = writable_of(base);
    const uint8_t *p = bytes.data;
    size_t left = bytes.len;

    while (left > 0) {
        ssize_t n = pwrite(file->fd, p, left, (off_t)file->offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* 0 cannot be for a file; never spin on it. */
            int saved = n < 0 ? errno : EIO;

            return ldb_error_set_errno(
                err, saved, "write %s: %zu bytes at %llu", file->path, left,
                (unsigned long long)file->offset);
        }
        p += n;
        left -= (size_t)n;
        file->offset += (uint64_t)n;
    }
    return LDB_OK;
}

static enum ldb_status writable_sync(struct ldb_writable_file *base,
                                     struct ldb_error *err)
{
    struct posix_writable *file = writable_of(base);
    int rc;

    /* EINTR reports no lost page, so asking again is safe; else it is not. */
    do
        rc = fdatasync(file->fd);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return ldb_error_set_errno(err, errno, "fdatasync %s", file->path);
    return LDB_OK;
}

static enum ldb_status writable_truncate(struct ldb_writable_file *base,
                                         uint64_t len, struct ldb_error *err)
{
    struct posix_writable *file = writable_of(base);
    int rc;

    assert(len <= file->offset);
    do
        rc = ftruncate(file->fd, (off_t)len);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return ldb_error_set_errno(err, errno, "truncate %s to %llu bytes",
                                   file->path, (unsigned long long)len);
    file->offset = len;
    return LDB_OK;
}

static enum ldb_status writable_close(struct ldb_writable_file *base,
                                      struct ldb_error *err)
{
    struct posix_writable *file = writable_of(base);
    enum ldb_status s = LDB_OK;

    /* On Linux the descriptor is gone even when close() says EINTR. */
    if (close(file->fd) != 0 && errno != EINTR)
        s = ldb_error_set_errno(err, errno, "close %s", file->path);
    ldb_mem_free(file->path);
    ldb_mem_free(file);
    return s;
}

static const struct ldb_writable_file_ops writable_ops = {
    .append = writable_append,
    .sync = writable_sync,
    .truncate = writable_truncate,
    .close = writable_close,
};

static enum ldb_status open_writable(const char *path, int flags,
                                     struct ldb_error *err,
                                     struct posix_writable **out)
{
    struct posix_writable *file = ldb_mem_zalloc(1, sizeof(*file));
    char *path_copy = ldb_mem_strdup(path);
    int fd = -1;
    off_t end = 0;
    enum ldb_status s;

    if (file == NULL || path_copy == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    fd = open_retry(path, flags | O_CREAT);
    if (fd >= 0 && (flags & O_TRUNC) == 0)
        end = lseek(fd, 0, SEEK_END);
    if (fd < 0 || end < 0) {
        s = ldb_error_set_errno(err, errno, "open %s for writing", path);
        goto out;
    }
    *file = (struct posix_writable){
        .base = {.ops = &writable_ops},
        .fd = fd,
        .offset = (uint64_t)end,
        .path = path_copy,
    };
    *out = file;
    return LDB_OK;
out:
    if (fd >= 0)
        close_quietly(fd);
    ldb_mem_free(path_copy);
    ldb_mem_free(file);
    return s;
}

static enum ldb_status posix_open_writable(struct ldb_env *env,
                                           const char *path,
                                           enum ldb_open_mode mode,
                                           struct ldb_error *err,
                                           struct ldb_writable_file **out)
{
    struct posix_writable *file = NULL;
    enum ldb_status s = open_writable(
        path, O_WRONLY | (mode == LDB_OPEN_TRUNCATE ? O_TRUNC : 0), err, &file);

    (void)env;
    if (s == LDB_OK)
        *out = &file->base;
    return s;
}

static enum ldb_status posix_open_mapped(struct ldb_env *env, const char *path,
                                         uint64_t window, struct ldb_error *err,
                                         struct ldb_writable_file **out)
{
    struct posix_writable *file = NULL;
    enum ldb_status s = open_writable(path, O_RDWR | O_TRUNC, err, &file);

    (void)env;
    if (s != LDB_OK)
        return s;
    if (!ldb_mapped_file_is_safe(file->fd)) {
        *out = &file->base;
        return LDB_OK;
    }
    s = ldb_mapped_file_create(&file->base, file->fd, window, err, out);
    if (s != LDB_OK) {
        (void)ldb_file_close(&file->base, NULL);
        (void)unlink(path);
        return ldb_error_prefix(err, s, "prepare %s", path);
    }
    return LDB_OK;
}

/* ---- random files ---- */

/*
 * The length is the one at open: tables never change, and no byte beyond it is
 * touched, so that a table cut short before it was opened is an error, not a
 * SIGBUS. All fields are constant after open.
 */
struct posix_random {
    struct ldb_random_file base; /* unmapped: read through fd */
    struct posix_env *env;
    int fd; /* -1 when mapped */
    uint64_t size;
    char *path;
};

static struct posix_random *random_of(struct ldb_random_file *file)
{
    return (struct posix_random *)(void *)file;
}

static enum ldb_status ends_early(const struct posix_random *file,
                                  uint64_t size, uint64_t offset, size_t n,
                                  struct ldb_error *err)
{
    return ldb_error_set(err, LDB_CORRUPTION,
                         "read %s: %zu bytes at %llu wanted, file ends at %llu",
                         file->path, n, (unsigned long long)offset,
                         (unsigned long long)size);
}

static enum ldb_status read_with_pread(struct posix_random *file,
                                       uint64_t offset, size_t n,
                                       uint8_t *scratch, struct ldb_error *err)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got =
            pread(file->fd, scratch + done, n - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ldb_error_set_errno(err, errno, "read %s: %zu bytes at %llu",
                                       file->path, n,
                                       (unsigned long long)offset);
        if (got == 0) /* cut since it was opened */
            return ends_early(file, offset + done, offset, n, err);
        done += (size_t)got;
    }
    return LDB_OK;
}

static enum ldb_status random_read_at(struct ldb_random_file *base,
                                      uint64_t offset, size_t n,
                                      uint8_t *scratch, struct ldb_slice *out,
                                      struct ldb_error *err)
{
    struct posix_random *file = random_of(base);
    const uint8_t *bytes = scratch;

    if (offset > file->size || n > file->size - offset)
        return ends_early(file, file->size, offset, n, err);
    if (base->mapping.len > 0) {
        bytes = base->mapping.data + offset;
    } else {
        enum ldb_status s = read_with_pread(file, offset, n, scratch, err);

        if (s != LDB_OK)
            return s;
    }
    *out = ldb_slice_make(bytes, n);
    return LDB_OK;
}

static void random_close(struct ldb_random_file *base)
{
    struct posix_random *file = random_of(base);

    if (base->mapping.len > 0) {
        union {
            const uint8_t *mapped;
            void *address;
        } region = {.mapped = base->mapping.data}; /* munmap takes no const */

        (void)munmap(region.address, base->mapping.len);
        (void)atomic_fetch_add_explicit(&file->env->maps_left, 1,
                                        memory_order_relaxed);
    } else {
        close_quietly(file->fd);
    }
    ldb_mem_free(file->path);
    ldb_mem_free(file);
}

static const struct ldb_random_file_ops random_ops = {
    .read_at = random_read_at,
    .close = random_close,
};

/* The whole file; of len 0 when it is empty, mapping fails or enough are. */
static struct ldb_slice map_file(struct posix_env *env, int fd, uint64_t size)
{
    void *address;

    if (size == 0)
        return (struct ldb_slice){0};
    if (atomic_fetch_sub_explicit(&env->maps_left, 1, memory_order_relaxed) >
        0) {
        address = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
        if (address != MAP_FAILED)
            return ldb_slice_make(address, (size_t)size);
    }
    (void)atomic_fetch_add_explicit(&env->maps_left, 1, memory_order_relaxed);
    return (struct ldb_slice){0};
}

static enum ldb_status posix_open_random(struct ldb_env *base, const char *path,
                                         struct ldb_error *err,
                                         struct ldb_random_file **out)
{
    struct posix_random *file = ldb_mem_zalloc(1, sizeof(*file));
    char *path_copy = ldb_mem_strdup(path);
    int fd = -1;
    uint64_t size = 0;
    enum ldb_status s;

    if (file == NULL || path_copy == NULL)
        s = ldb_error_no_memory(err);
    else
        s = open_to_read(path, err, &fd, &size);
    if (s != LDB_OK) {
        ldb_mem_free(path_copy);
        ldb_mem_free(file);
        return s;
    }
    *file = (struct posix_random){
        .base = {.ops = &random_ops,
                 .mapping = map_file(posix_env_of(base), fd, size)},
        .env = posix_env_of(base),
        .fd = fd,
        .size = size,
        .path = path_copy,
    };
    if (file->base.mapping.len > 0) { /* a mapping outlives its descriptor */
        close_quietly(fd);
        file->fd = -1;
    }
    *out = &file->base;
    return LDB_OK;
}

/* ---- sequential files ---- */

struct posix_sequential {
    struct ldb_sequential_file base;
    int fd;
    char *path;
};

static struct posix_sequential *sequential_of(struct ldb_sequential_file *file)
{
    return (struct posix_sequential *)(void *)file;
}

static enum ldb_status sequential_read(struct ldb_sequential_file *base,
                                       size_t n, uint8_t *scratch,
                                       size_t *out_len, struct ldb_error *err)
{
    struct posix_sequential *file = sequential_of(base);
    ssize_t got;

    do
        got = read(file->fd, scratch, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return ldb_error_set_errno(err, errno, "read %s", file->path);
    *out_len = (size_t)got;
    return LDB_OK;
}

static enum ldb_status sequential_skip(struct ldb_sequential_file *base,
                                       uint64_t n, struct ldb_error *err)
{
    struct posix_sequential *file = sequential_of(base);

    if (n > INT64_MAX)
        return ldb_error_set_errno(err, EINVAL, "skip %llu bytes of %s",
                                   (unsigned long long)n, file->path);
    if (lseek(file->fd, (off_t)n, SEEK_CUR) < 0)
        return ldb_error_set_errno(err, errno, "skip %llu bytes of %s",
                                   (unsigned long long)n, file->path);
    return LDB_OK;
}

static void sequential_close(struct ldb_sequential_file *base)
{
    struct posix_sequential *file = sequential_of(base);

    close_quietly(file->fd);
    ldb_mem_free(file->path);
    ldb_mem_free(file);
}

static const struct ldb_sequential_file_ops sequential_ops = {
    .read = sequential_read,
    .skip = sequential_skip,
    .close = sequential_close,
};

static enum ldb_status posix_open_sequential(struct ldb_env *env,
                                             const char *path,
                                             struct ldb_error *err,
                                             struct ldb_sequential_file **out)
{
    struct posix_sequential *file = ldb_mem_zalloc(1, sizeof(*file));
    char *path_copy = ldb_mem_strdup(path);
    int fd = -1;
    uint64_t size = 0;
    enum ldb_status s;

    (void)env;
    if (file == NULL || path_copy == NULL)
        s = ldb_error_no_memory(err);
    else
        s = open_to_read(path, err, &fd, &size);
    if (s != LDB_OK) {
        ldb_mem_free(path_copy);
        ldb_mem_free(file);
        return s;
    }
    *file = (struct posix_sequential){
        .base = {.ops = &sequential_ops},
        .fd = fd,
        .path = path_copy,
    };
    *out = &file->base;
    return LDB_OK;
}

/* ---- names ---- */

static enum ldb_status posix_file_size(struct ldb_env *env, const char *path,
                                       struct ldb_error *err,
                                       uint64_t *out_size)
{
    struct stat st;

    (void)env;
    if (stat(path, &st) != 0)
        return ldb_error_set_errno(err, errno, "stat %s", path);
    if (S_ISDIR(st.st_mode))
        return ldb_error_set_errno(err, EISDIR, "stat %s", path);
    *out_size = (uint64_t)st.st_size;
    return LDB_OK;
}

static enum ldb_status posix_list_dir(struct ldb_env *env, const char *path,
                                      ldb_list_visit visit, void *context,
                                      struct ldb_error *err)
{
    DIR *dir = opendir(path); /* sets O_CLOEXEC itself */
    enum ldb_status s = LDB_OK;

    (void)env;
    if (dir == NULL)
        return ldb_error_set_errno(err, errno, "list %s", path);
    while (s == LDB_OK) {
        const struct dirent *entry;

        errno = 0; /* readdir() tells an error from the end by it alone */
        entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0)
                s = ldb_error_set_errno(err, errno, "list %s", path);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            s = visit(context, entry->d_name);
    }
    (void)closedir(dir);
    return s;
}

static enum ldb_status posix_create_dir(struct ldb_env *env, const char *path,
                                        struct ldb_error *err)
{
    struct stat st;

    (void)env;
    if (mkdir(path, DIR_MODE) == 0)
        return LDB_OK;
    if (errno != EEXIST)
        return ldb_error_set_errno(err, errno, "mkdir %s", path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return LDB_OK;
    return ldb_error_set_errno(err, ENOTDIR, "mkdir %s", path);
}

static enum ldb_status posix_remove_dir(struct ldb_env *env, const char *path,
                                        struct ldb_error *err)
{
    (void)env;
    if (rmdir(path) != 0)
        return ldb_error_set_errno(err, errno, "rmdir %s", path);
    return LDB_OK;
}

static enum ldb_status posix_remove_file(struct ldb_env *env, const char *path,
                                         struct ldb_error *err)
{
    (void)env;
    if (unlink(path) != 0)
        return ldb_error_set_errno(err, errno, "remove %s", path);
    return LDB_OK;
}

static enum ldb_status posix_rename_file(struct ldb_env *env, const char *from,
                                         const char *to, struct ldb_error *err)
{
    (void)env;
    if (rename(from, to) != 0)
        return ldb_error_set_errno(err, errno, "rename %s to %s", from, to);
    return LDB_OK;
}

static enum ldb_status posix_link_file(struct ldb_env *env, const char *from,
                                       const char *to, struct ldb_error *err)
{
    (void)env;
    if (link(from, to) == 0)
        return LDB_OK;
    if (errno == EEXIST)
        return ldb_error_set(err, LDB_EXISTS, "link %s to %s: there already",
                             from, to);
    return ldb_error_set_errno(err, errno, "link %s to %s", from, to);
}

static enum ldb_status posix_sync_dir(struct ldb_env *env, const char *path,
                                      struct ldb_error *err)
{
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY);
    enum ldb_status s = LDB_OK;
    int rc;

    (void)env;
    if (fd < 0)
        return ldb_error_set_errno(err, errno, "open %s to sync it", path);
    do
        rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        s = ldb_error_set_errno(err, errno, "fsync %s", path);
    close_quietly(fd);
    return s;
}

static enum ldb_status posix_free_space(struct ldb_env *env, const char *path,
                                        struct ldb_error *err,
                                        uint64_t *out_bytes)
{
    struct statvfs fs;
    int rc;

    (void)env;
    do
        rc = statvfs(path, &fs);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return ldb_error_set_errno(err, errno, "statvfs %s", path);
    if (__builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize,
                               out_bytes))
        *out_bytes = UINT64_MAX;
    return LDB_OK;
}

/* ---- locks ---- */

/* The descriptor: closing it gives up both kinds of lock. */
struct ldb_file_lock {
    int fd;
};

/*
 * Who holds fd's file: of /proc/locks, else of the lock in our way, which
 * tells a process that took it with plain fcntl. 0 when neither tells.
 */
static uint64_t find_holder(struct ldb_env *env, int fd)
{
    struct ldb_buf locks = LDB_BUF_INIT(PROC_LOCKS_MAX);
    struct flock in_the_way = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    uint64_t pid = 0;

    if (fstat(fd, &st) == 0 &&
        ldb_env_read_file(env, "/proc/locks", NULL, &locks) == LDB_OK) {
        struct ldb_lock_file_id file = {.major = major(st.st_dev),
                                        .minor = minor(st.st_dev),
                                        .inode = st.st_ino};

        pid = ldb_lock_holder_find(ldb_slice_of_buf(&locks), &file);
    }
    if (pid == 0 && fcntl(fd, F_OFD_GETLK, &in_the_way) == 0 &&
        in_the_way.l_type != F_UNLCK && in_the_way.l_pid > 0)
        pid = (uint64_t)in_the_way.l_pid;
    ldb_buf_release(&locks);
    return pid;
}

/* Sets LDB_LOCKED and says who has the file. */
static enum ldb_status refuse_lock(struct ldb_env *env, const char *path,
                                   int fd, struct ldb_error *err)
{
    struct ldb_buf name = LDB_BUF_INIT(TASK_NAME_SIZE);
    char comm_path[sizeof("/proc//comm") + 20];
    uint64_t pid = find_holder(env, fd);
    int len = 0;

    if (pid == 0)
        return ldb_error_set(err, LDB_LOCKED,
                             "lock %s: held by another process", path);
    if (pid == (uint64_t)getpid())
        return ldb_error_set(err, LDB_LOCKED,
                             "lock %s: held by pid %llu (this process)", path,
                             (unsigned long long)pid);
    (void)snprintf(comm_path, sizeof(comm_path), "/proc/%llu/comm",
                   (unsigned long long)pid);
    if (ldb_env_read_file(env, comm_path, NULL, &name) == LDB_OK)
        while (len < (int)name.len && name.data[len] >= ' ' &&
               name.data[len] <= '~')
            len++;
    (void)ldb_error_set(err, LDB_LOCKED, "lock %s: held by pid %llu (%.*s)",
                        path, (unsigned long long)pid, len,
                        len == 0 ? "" : (const char *)name.data);
    ldb_buf_release(&name);
    return LDB_LOCKED;
}

/*
 * flock stops goleveldb, the fcntl lock stops LevelDB (docs/formats.md). The
 * kind that belongs to the open file description also stops a second opener
 * in this process, and does not vanish when someone else closes the file.
 */
static enum ldb_status posix_lock_file(struct ldb_env *env, const char *path,
                                       bool shared, struct ldb_error *err,
                                       struct ldb_file_lock **out)
{
    struct ldb_file_lock *lock = ldb_mem_zalloc(1, sizeof(*lock));
    struct flock whole = {.l_type = shared ? F_RDLCK : F_WRLCK,
                          .l_whence = SEEK_SET};
    int fd = -1;
    int rc;
    int saved = 0;
    enum ldb_status s;

    if (lock == NULL)
        return ldb_error_no_memory(err);
    fd = open_retry(path, shared ? O_RDONLY : O_RDWR | O_CREAT);
    if (fd < 0) {
        s = ldb_error_set_errno(err, errno, "open %s to lock it", path);
        goto out;
    }
    rc = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
    if (rc == 0) {
        rc = fcntl(fd, F_OFD_SETLK, &whole);
        saved = errno;
        if (rc != 0) /* else the search below finds us as the holder */
            (void)flock(fd, LOCK_UN);
    } else {
        saved = errno;
    }
    if (rc != 0) {
        if (saved == EAGAIN || saved == EACCES)
            s = refuse_lock(env, path, fd, err);
        else
            s = ldb_error_set_errno(err, saved, "lock %s", path);
        goto out;
    }
    lock->fd = fd;
    *out = lock;
    return LDB_OK;
out:
    if (fd >= 0)
        close_quietly(fd);
    ldb_mem_free(lock);
    return s;
}

static void posix_unlock_file(struct ldb_env *env, struct ldb_file_lock *lock)
{
    (void)env;
    close_quietly(lock->fd);
    ldb_mem_free(lock);
}

/* ---- clock, random, threads ---- */

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now = {0};
    int rc = clock_gettime(clock, &now);

    assert(rc == 0);
    (void)rc;
    return (uint64_t)now.tv_sec * MICROS_PER_SECOND +
           (uint64_t)now.tv_nsec / NANOS_PER_MICRO;
}

static uint64_t posix_wall_us(struct ldb_env *env)
{
    (void)env;
    return clock_us(CLOCK_REALTIME);
}

/* Counts the time asleep too: a lease runs out while the machine is. */
static uint64_t posix_monotonic_us(struct ldb_env *env)
{
    (void)env;
    return clock_us(CLOCK_BOOTTIME);
}

static enum ldb_status posix_random_bytes(struct ldb_env *env, uint8_t *out,
                                          size_t n, struct ldb_error *err)
{
    size_t done = 0;

    (void)env;
    while (done < n) {
        ssize_t got = getrandom(out + done, n - done, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ldb_error_set_errno(err, errno, "getrandom");
        done += (size_t)got;
    }
    return LDB_OK;
}

struct ldb_thread {
    pthread_t native;
    void (*body)(void *context);
    void *context;
    char name[TASK_NAME_SIZE];
};

static void *thread_main(void *argument)
{
    struct ldb_thread *thread = argument;

    /* A thread without its name still works. */
    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->body(thread->context);
    return NULL;
}

static enum ldb_status posix_thread_start(struct ldb_env *env, const char *name,
                                          void (*body)(void *context),
                                          void *context, struct ldb_error *err,
                                          struct ldb_thread **out)
{
    struct ldb_thread *thread = ldb_mem_zalloc(1, sizeof(*thread));
    int rc;

    (void)env;
    if (thread == NULL)
        return ldb_error_no_memory(err);
    thread->body = body;
    thread->context = context;
    (void)snprintf(thread->name, sizeof(thread->name), "%s", name);
    rc = pthread_create(&thread->native, NULL, thread_main, thread);
    if (rc != 0) {
        ldb_mem_free(thread);
        return ldb_error_set_errno(err, rc, "start thread %s", name);
    }
    *out = thread;
    return LDB_OK;
}

static void posix_thread_join(struct ldb_env *env, struct ldb_thread *thread)
{
    int rc = pthread_join(thread->native, NULL);

    (void)env;
    assert(rc == 0);
    (void)rc;
    ldb_mem_free(thread);
}

static const struct ldb_env_ops posix_ops = {
    .open_writable = posix_open_writable,
    .open_mapped = posix_open_mapped,
    .open_random = posix_open_random,
    .open_sequential = posix_open_sequential,
    .file_size = posix_file_size,
    .list_dir = posix_list_dir,
    .create_dir = posix_create_dir,
    .remove_dir = posix_remove_dir,
    .remove_file = posix_remove_file,
    .rename_file = posix_rename_file,
    .link_file = posix_link_file,
    .sync_dir = posix_sync_dir,
    .lock_file = posix_lock_file,
    .unlock_file = posix_unlock_file,
    .free_space = posix_free_space,
    .wall_us = posix_wall_us,
    .monotonic_us = posix_monotonic_us,
    .random_bytes = posix_random_bytes,
    .thread_start = posix_thread_start,
    .thread_join = posix_thread_join,
};

struct ldb_env *ldb_env_posix(void)
{
    static struct posix_env env = {
        .base = {.ops = &posix_ops},
        .maps_left = MAPPED_FILES_MAX,
    };

    return &env.base;
}
