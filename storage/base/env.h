/*
 * The world behind vtables: files, directories, locks, clock, random numbers,
 * threads. Everything in storage/ and replication/ reaches the system through
 * a struct ldb_env, so that a whole database runs in memory, a test can fail
 * or forget any call, and a cluster can run under one seed.
 *
 * Implementations: env_posix.c (the only file with open, write, fsync,
 * rename), env_memory.c, and in tests the fault env that wraps either.
 *
 * Paths are NUL-terminated. Errors: the statuses of ldb_error_set_errno(); the
 * message names call and path.
 * Thread-safety: env calls from any thread. One call at a time per file, but
 * read_at() of a random file, which any number of threads may call at once,
 * and sync() of a writable file, which may run beside append() of another
 * thread (it covers what was appended before it was called).
 */
#ifndef STORAGE_BASE_ENV_H
#define STORAGE_BASE_ENV_H

#include "storage/base/buf.h"
#include "storage/include/ldb_env.h"

struct ldb_writable_file;
struct ldb_random_file;
struct ldb_sequential_file;
struct ldb_file_lock; /* implementation's own */
struct ldb_thread;    /* implementation's own */

/* ---- files ---- */

struct ldb_writable_file_ops {
    /* All bytes, or an error and an unknown number of them. Unbuffered. */
    enum ldb_status (*append)(struct ldb_writable_file *file,
                              struct ldb_slice bytes, struct ldb_error *err);
    /* OK means: all bytes appended so far survive a power loss (fdatasync). */
    enum ldb_status (*sync)(struct ldb_writable_file *file,
                            struct ldb_error *err);
    /* Cuts to len bytes (<= current length); later appends go there. */
    enum ldb_status (*truncate)(struct ldb_writable_file *file, uint64_t len,
                                struct ldb_error *err);
    /* Frees the file even when it fails. */
    enum ldb_status (*close)(struct ldb_writable_file *file,
                             struct ldb_error *err);
};

struct ldb_writable_file {
    const struct ldb_writable_file_ops *ops;
};

struct ldb_random_file_ops {
    /*
     * Exactly n bytes at offset; fewer in the file, as long as it was when
     * opened, is LDB_CORRUPTION ("file ends at"). out->data points into scratch
     * (n bytes of room) or into the file's own mapping, which lives until
     * close.
     */
    enum ldb_status (*read_at)(struct ldb_random_file *file, uint64_t offset,
                               size_t n, uint8_t *scratch,
                               struct ldb_slice *out, struct ldb_error *err);
    /* Frees the file; cannot fail. */
    void (*close)(struct ldb_random_file *file);
};

struct ldb_random_file {
    const struct ldb_random_file_ops *ops;
    /* The whole file where it is mapped until close, so that reading it costs
     * no call and no buffer; len 0 where it is not. Set by open. */
    struct ldb_slice mapping;
};

struct ldb_sequential_file_ops {
    /* Up to n bytes into scratch; *out_len 0 is the end of the file. */
    enum ldb_status (*read)(struct ldb_sequential_file *file, size_t n,
                            uint8_t *scratch, size_t *out_len,
                            struct ldb_error *err);
    enum ldb_status (*skip)(struct ldb_sequential_file *file, uint64_t n,
                            struct ldb_error *err);
    void (*close)(struct ldb_sequential_file *file);
};

struct ldb_sequential_file {
    const struct ldb_sequential_file_ops *ops;
};

enum ldb_open_mode {
    LDB_OPEN_TRUNCATE, /* create, or cut to nothing */
    LDB_OPEN_APPEND,   /* create, or go on at the end */
};

/*
 * Windows of open_mapped() have a length of so many bytes times n. A file that
 * has such a length may have lost any page of what was not synced of it; one
 * of another length has lost none in its middle. 64 KiB: any page is smaller.
 */
#define LDB_WINDOW_UNIT (UINT64_C(64) * 1024)

/* ---- the environment ---- */

/*
 * Called for each name in a directory, but "." and "..". Not OK stops, and
 * list_dir() returns it, err untouched.
 */
typedef enum ldb_status (*ldb_list_visit)(void *context, const char *name);

struct ldb_env_ops {
    enum ldb_status (*open_writable)(struct ldb_env *env, const char *path,
                                     enum ldb_open_mode mode,
                                     struct ldb_error *err,
                                     struct ldb_writable_file **out);
    /*
     * A file of no bytes at path, whose first window bytes (a multiple of
     * LDB_WINDOW_UNIT) take appends without a system call. They are allocated,
     * zeros and durable when it returns: a full disk is NO_SPACE here, and
     * then there is no file. Until close, or until it is cut, the file has the
     * window's length at least, with zeros after what was appended; close cuts
     * it when all of it is synced. After a failed sync no other succeeds. An
     * environment that cannot do so gives a file of open_writable().
     */
    enum ldb_status (*open_mapped)(struct ldb_env *env, const char *path,
                                   uint64_t window, struct ldb_error *err,
                                   struct ldb_writable_file **out);
    enum ldb_status (*open_random)(struct ldb_env *env, const char *path,
                                   struct ldb_error *err,
                                   struct ldb_random_file **out);
    enum ldb_status (*open_sequential)(struct ldb_env *env, const char *path,
                                       struct ldb_error *err,
                                       struct ldb_sequential_file **out);
    /* NOT_FOUND when there is no such file. */
    enum ldb_status (*file_size)(struct ldb_env *env, const char *path,
                                 struct ldb_error *err, uint64_t *out_size);
    enum ldb_status (*list_dir)(struct ldb_env *env, const char *path,
                                ldb_list_visit visit, void *context,
                                struct ldb_error *err);
    /* Makes one directory (0755); OK when it is there already. */
    enum ldb_status (*create_dir)(struct ldb_env *env, const char *path,
                                  struct ldb_error *err);
    enum ldb_status (*remove_dir)(struct ldb_env *env, const char *path,
                                  struct ldb_error *err);
    enum ldb_status (*remove_file)(struct ldb_env *env, const char *path,
                                   struct ldb_error *err);
    /* Replaces to. Durable after sync_dir() of the directory. */
    enum ldb_status (*rename_file)(struct ldb_env *env, const char *from,
                                   const char *to, struct ldb_error *err);
    /* LDB_EXISTS when to is there. */
    enum ldb_status (*link_file)(struct ldb_env *env, const char *from,
                                 const char *to, struct ldb_error *err);
    /* OK means: names made, renamed or removed in it survive a power loss. */
    enum ldb_status (*sync_dir)(struct ldb_env *env, const char *path,
                                struct ldb_error *err);
    /*
     * Takes flock and an OFD write lock on path (made when absent unless
     * shared), both shared when shared. LDB_LOCKED names the holder where the
     * system tells. The file is never deleted.
     */
    enum ldb_status (*lock_file)(struct ldb_env *env, const char *path,
                                 bool shared, struct ldb_error *err,
                                 struct ldb_file_lock **out);
    void (*unlock_file)(struct ldb_env *env, struct ldb_file_lock *lock);
    /* Bytes that an unprivileged write could still take. */
    enum ldb_status (*free_space)(struct ldb_env *env, const char *path,
                                  struct ldb_error *err, uint64_t *out_bytes);

    /* Microseconds since 1970, UTC. */
    uint64_t (*wall_us)(struct ldb_env *env);
    /* Microseconds that only grow, asleep too, from an unknown start. */
    uint64_t (*monotonic_us)(struct ldb_env *env);
    /* Unpredictable bytes. */
    enum ldb_status (*random_bytes)(struct ldb_env *env, uint8_t *out, size_t n,
                                    struct ldb_error *err);

    /* Runs body(context) on a thread of that name (15 bytes are kept). */
    enum ldb_status (*thread_start)(struct ldb_env *env, const char *name,
                                    void (*body)(void *context), void *context,
                                    struct ldb_error *err,
                                    struct ldb_thread **out);
    /* Waits for its end and frees it. */
    void (*thread_join)(struct ldb_env *env, struct ldb_thread *thread);
};

struct ldb_env {
    const struct ldb_env_ops *ops;
};

/* ---- helpers built on the vtable (env.c) ---- */

/*
 * The whole file, appended to out; TOO_LARGE (message with the path) when it
 * would pass out's limit.
 */
LDB_MUST_CHECK enum ldb_status ldb_env_read_file(struct ldb_env *env,
                                                 const char *path,
                                                 struct ldb_error *err,
                                                 struct ldb_buf *out);

/*
 * Makes path hold exactly bytes, atomically and durably: write temporary,
 * sync, rename over path, sync dir (the directory of both).
 */
LDB_MUST_CHECK enum ldb_status
ldb_env_replace_file(struct ldb_env *env, const char *dir, const char *path,
                     const char *temporary, struct ldb_slice bytes,
                     struct ldb_error *err);

/* Makes what stands in a file durable, whoever wrote it; one that is not there
 * is made. Its name is durable after sync_dir() of its directory. */
LDB_MUST_CHECK enum ldb_status
ldb_env_sync_file(struct ldb_env *env, const char *path, struct ldb_error *err);

/*
 * Makes the folder, when it is not there, and its name in its parent durable:
 * without the name a power loss takes all that is in it.
 */
LDB_MUST_CHECK enum ldb_status ldb_env_create_folder(struct ldb_env *env,
                                                     const char *path,
                                                     struct ldb_error *err);

/*
 * Gives the file a second name, or where the file system cannot (or the names
 * lie on two of them) a synced copy. EXISTS when to is there. The name is
 * durable after sync_dir() of its directory. The file does not change any more.
 */
LDB_MUST_CHECK enum ldb_status ldb_env_link_or_copy(struct ldb_env *env,
                                                    const char *from,
                                                    const char *to,
                                                    struct ldb_error *err);

/* A synced copy of the first len bytes (all of them, when there are fewer);
 * to is replaced. */
LDB_MUST_CHECK enum ldb_status ldb_env_copy_file(struct ldb_env *env,
                                                 const char *from,
                                                 const char *to, uint64_t len,
                                                 struct ldb_error *err);

/* ops shorthands that read like functions. */
#define ldb_file_append(file, bytes, err)                                      \
    ((file)->ops->append(file, bytes, err))
#define ldb_file_sync(file, err) ((file)->ops->sync(file, err))
#define ldb_file_truncate(file, len, err)                                      \
    ((file)->ops->truncate(file, len, err))
#define ldb_file_close(file, err) ((file)->ops->close(file, err))
#define ldb_random_read_at(file, offset, n, scratch, out, err)                 \
    ((file)->ops->read_at(file, offset, n, scratch, out, err))
#define ldb_random_close(file) ((file)->ops->close(file))
#define ldb_sequential_read(file, n, scratch, out_len, err)                    \
    ((file)->ops->read(file, n, scratch, out_len, err))
#define ldb_sequential_close(file) ((file)->ops->close(file))

#endif
