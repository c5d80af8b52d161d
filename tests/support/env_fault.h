/*
 * An env that fails, fills up, or loses power when a test says so.
 *
 * It wraps any env, or one in memory of its own; only over its own can the
 * power be cut. All its calls may be counted, logged, made to fail, or hooked:
 *
 *     struct env_fault *fault = env_fault_create(NULL);
 *     struct ldb_env *env = env_fault_env(fault);
 *
 *     env_fault_fail(fault, &(struct env_fault_rule){
 *                               .kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
 *                               .path = ".log", .nth = 3, .sys_errno = EIO});
 *     ... use env; the third sync of a journal fails ...
 *     env_fault_fail(fault, NULL);
 *     env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 0);
 *     ... env is dead: all its calls and open files give LDB_IO; close them ...
 *     env = env_fault_env(fault);
 *     ... what had been synced, files and names, is there ...
 *     env_fault_destroy(fault);
 *
 * Power loss is strict: bytes are durable by the sync of their file, names
 * (made, renamed, removed) by sync_dir() of their directory and by nothing
 * else; a new directory's own name by sync_dir() of its parent. What else may
 * survive: enum ldb_crash_keep in storage/base/memory_node.h.
 *
 * To try every moment of a scenario, either run it again and again, with a
 * hook that cuts the power at call 1, 2, ..., or once, with a hook that takes
 * env_fault_after_cut() at each call and checks the copy.
 *
 * Thread-safety: any thread may call anything at any time, the hook is called
 * from whichever thread makes the call, at times once more after another was
 * set; but create and destroy are for when no other thread uses it. Files are
 * shared as env.h says. A call that the cut overtakes has failed, whatever it
 * did: no thread is told of a success that the cut does not know.
 *
 * Allocates outside ldb_mem (mem_fault.h does not count what it needs; the
 * memory env below it does), and aborts when there is no memory.
 */
#ifndef TESTS_SUPPORT_ENV_FAULT_H
#define TESTS_SUPPORT_ENV_FAULT_H

#include "storage/base/env.h"
#include "storage/base/env_memory_internal.h"

/* Every call that can fail: X(code, name in the log). */
#define ENV_FAULT_KIND_LIST(X)                                                 \
    X(ENV_FAULT_OPEN_WRITABLE, "open_writable")                                \
    X(ENV_FAULT_APPEND, "append")                                              \
    X(ENV_FAULT_SYNC, "sync")                                                  \
    X(ENV_FAULT_TRUNCATE, "truncate")                                          \
    X(ENV_FAULT_CLOSE, "close") /* of a writable file */                       \
    X(ENV_FAULT_OPEN_RANDOM, "open_random")                                    \
    X(ENV_FAULT_READ_AT, "read_at")                                            \
    X(ENV_FAULT_OPEN_SEQUENTIAL, "open_sequential")                            \
    X(ENV_FAULT_READ, "read")                                                  \
    X(ENV_FAULT_SKIP, "skip")                                                  \
    X(ENV_FAULT_FILE_SIZE, "file_size")                                        \
    X(ENV_FAULT_LIST_DIR, "list_dir")                                          \
    X(ENV_FAULT_CREATE_DIR, "create_dir")                                      \
    X(ENV_FAULT_REMOVE_DIR, "remove_dir")                                      \
    X(ENV_FAULT_REMOVE_FILE, "remove_file")                                    \
    X(ENV_FAULT_RENAME_FILE, "rename_file")                                    \
    X(ENV_FAULT_LINK_FILE, "link_file")                                        \
    X(ENV_FAULT_SYNC_DIR, "sync_dir")                                          \
    X(ENV_FAULT_LOCK_FILE, "lock_file")                                        \
    X(ENV_FAULT_FREE_SPACE, "free_space")                                      \
    X(ENV_FAULT_RANDOM_BYTES, "random_bytes")                                  \
    X(ENV_FAULT_THREAD_START, "thread_start")

enum env_fault_kind {
#define ENV_FAULT_ENUM(code, name) code,
    ENV_FAULT_KIND_LIST(ENV_FAULT_ENUM)
#undef ENV_FAULT_ENUM
    ENV_FAULT_KIND_COUNT
};

/* Sets of kinds. */
#define ENV_FAULT_BIT(kind) (1u << (kind))
#define ENV_FAULT_ANY       (ENV_FAULT_BIT(ENV_FAULT_KIND_COUNT) - 1)
/* Those that change what is on disk, or make it durable. */
#define ENV_FAULT_WRITES                                                       \
    (ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE) |                                  \
     ENV_FAULT_BIT(ENV_FAULT_APPEND) | ENV_FAULT_BIT(ENV_FAULT_SYNC) |         \
     ENV_FAULT_BIT(ENV_FAULT_TRUNCATE) | ENV_FAULT_BIT(ENV_FAULT_CREATE_DIR) | \
     ENV_FAULT_BIT(ENV_FAULT_REMOVE_DIR) |                                     \
     ENV_FAULT_BIT(ENV_FAULT_REMOVE_FILE) |                                    \
     ENV_FAULT_BIT(ENV_FAULT_RENAME_FILE) |                                    \
     ENV_FAULT_BIT(ENV_FAULT_LINK_FILE) | ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR))

struct env_fault;

/* Over base (borrowed), or over an empty file system in memory for NULL. */
struct env_fault *env_fault_create(struct ldb_env *base);

/* Every file, lock and thread of every env of it is closed. NULL is fine. */
void env_fault_destroy(struct env_fault *fault);

/* The env to use; another one after each power cut. Owned by fault. */
struct ldb_env *env_fault_env(struct env_fault *fault);

/* What lies below it now, until the next power cut: calls there fail never, and
 * are not counted. */
struct ldb_env *env_fault_below(struct env_fault *fault);

/* ---- failing calls ---- */

struct env_fault_rule {
    unsigned kinds;    /* ENV_FAULT_BIT()s; 0: any */
    const char *path;  /* part of the path (of rename, link: of from); NULL:
                        * any. Copied. */
    uint64_t nth;      /* which of the calls that match; 1 is the next */
    bool from_then_on; /* it and all later ones; else it alone */
    int sys_errno;     /* EIO, ENOSPC, ... */
    bool torn;         /* an append writes the first half of its bytes */
};

/*
 * The one rule in force; NULL: none. A failed call does nothing else (close
 * still frees its file). After a failed sync, later syncs through that file
 * succeed and make nothing durable, as on Linux, where the failure is told
 * once and the pages count as clean.
 */
void env_fault_fail(struct env_fault *fault, const struct env_fault_rule *rule);

/* Calls that the rule in force, or the last one, has failed. */
uint64_t env_fault_failed(struct env_fault *fault);

/*
 * A disk with budget bytes left: appends take from it, and one that wants more
 * writes what is left and fails with ENOSPC; once it is 0 new files, links and
 * directories fail so too. free_space() tells the budget. Nothing gives space
 * back but env_fault_disk_free().
 */
void env_fault_disk_full(struct env_fault *fault, uint64_t budget);
void env_fault_disk_free(struct env_fault *fault);

/*
 * Syncs of files whose path has this text say OK and make nothing durable, as
 * a disk that lies; NULL: they are honest. Copied.
 */
void env_fault_lie_about_syncs(struct env_fault *fault, const char *path);

/* ---- watching calls ---- */

/* Calls made of these kinds (0: any), failed ones too. */
uint64_t env_fault_count(struct env_fault *fault, unsigned kinds);

/* Counts begin at 0 again. */
void env_fault_forget_counts(struct env_fault *fault);

/* Keeps a log from here on; an older one is gone. Without it none is kept. */
void env_fault_start_log(struct env_fault *fault);

/*
 * The log so far, a line for each call: "append /db/000003.log 117" (bytes),
 * "rename_file /db/a /db/b", "truncate PATH LENGTH", "read_at PATH OFFSET N";
 * one that was made to fail ends in " = EIO". A copy: free() it.
 */
char *env_fault_log(struct env_fault *fault);

/*
 * Called before each call, with no lock held; it may use every function here.
 * NULL: none. Path is that of the rule above.
 */
typedef void (*env_fault_hook)(void *context, enum env_fault_kind kind,
                               const char *path);
void env_fault_set_call_hook(struct env_fault *fault, env_fault_hook hook,
                             void *context);

/* ---- time ---- */

/* The monotonic clock stands at us; 0: it is the system's again, as at first.
 * Waits take the time that they take. */
void env_fault_set_clock(struct env_fault *fault, uint64_t us);

/* ---- losing power ---- */

/*
 * The env of env_fault_env() dies; the next one has what survived. Rule, full
 * disk, counts, log and hook stay. Locks of the dead env are free in the next.
 */
void env_fault_power_cut(struct env_fault *fault, enum ldb_crash_keep keep,
                         uint64_t seed);

/*
 * Another fault env, without rule or hook, over what a power cut now would
 * leave; fault goes on untouched. The caller destroys it.
 */
struct env_fault *env_fault_after_cut(struct env_fault *fault,
                                      enum ldb_crash_keep keep, uint64_t seed);

#endif
