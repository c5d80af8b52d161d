/*
 * An env that records what a run does to the disk, so that every state which a
 * power cut could have left at any moment of it can be made afterwards:
 *
 *     struct env_crash *crash = env_crash_create(memory_env, NULL);
 *     ... use env_crash_env(crash); env_crash_position() tells how far the
 *     record has come, e.g. when a write is answered ...
 *     struct env_crash_disk *disk = env_crash_disk_create(crash, NONE);
 *     for (uint64_t p = 0; p <= env_crash_position(crash); p++) {
 *         env_crash_disk_advance(disk, p);
 *         state = env_crash_disk_state(disk, keep, seed, &hash);
 *         ... open it, check it ...
 *         ldb_env_memory_destroy(state);
 *     }
 *
 * One run gives all states: nothing is run again for each. The rule is that of
 * env_fault.h: bytes are durable by the sync of their file, names by that of
 * their directory, and by nothing else. What was not may be there or not: of
 * a file any part, of a directory any set of its changes, whatever their order;
 * of a mapped file, whose window is durable once it is open, any pages.
 *
 * Below an env_fault, failed calls never come here, and a failed sync makes
 * nothing durable.
 *
 * Thread-safety: the env and env_crash_position() any thread; the rest while
 * no thread uses the env. Aborts without memory.
 */
#ifndef TESTS_SUPPORT_ENV_CRASH_H
#define TESTS_SUPPORT_ENV_CRASH_H

#include "storage/base/env.h"

struct env_crash;
struct env_crash_disk;

/*
 * Over base, a memory env (borrowed). What folder dir (NULL: none) holds in it,
 * without its subfolders, counts as durable.
 */
struct env_crash *env_crash_create(struct ldb_env *base, const char *dir);
void env_crash_destroy(struct env_crash *crash);
struct ldb_env *env_crash_env(struct env_crash *crash);

/* Events recorded so far. What is answered at position p is answered in each
 * state of p and later. */
uint64_t env_crash_position(struct env_crash *crash);

/* What the states of a record leave out or move, as a wrong engine would: does
 * the test that looks at them find it? */
enum env_crash_mistake {
    ENV_CRASH_NO_MISTAKE,
    ENV_CRASH_JOURNAL_NOT_SYNCED,
    ENV_CRASH_TABLE_NOT_SYNCED,
    ENV_CRASH_MANIFEST_NOT_SYNCED,
    ENV_CRASH_DIRECTORY_NOT_SYNCED,
    /* A journal goes before the MANIFEST's next sync, not after it. */
    ENV_CRASH_JOURNAL_REMOVED_EARLY,
    /* The length of a window is lost with its zeros: nothing tells that the
     * file was mapped, and its readers go on behind a gap. */
    ENV_CRASH_WINDOW_NOT_SYNCED,
};

/* The disk at position 0 of the record. */
struct env_crash_disk *env_crash_disk_create(struct env_crash *crash,
                                             enum env_crash_mistake mistake);
void env_crash_disk_destroy(struct env_crash_disk *disk);

/* Goes on to position, which is not before the one it has. */
void env_crash_disk_advance(struct env_crash_disk *disk, uint64_t position);

/* What survives of bytes and of names without a sync: X(code, text). */
#define ENV_CRASH_KEEP_LIST(X)                                                 \
    X(ENV_CRASH_KEEP_NONE, "nothing unsynced")                                 \
    X(ENV_CRASH_KEEP_NAMES, "names, no bytes")                                 \
    X(ENV_CRASH_KEEP_BYTES, "bytes, no names")                                 \
    X(ENV_CRASH_KEEP_ALL, "everything")                                        \
    /* By chance: of a file a prefix of what was done to it, of a directory a  \
     * prefix or any set of its changes. */                                    \
    X(ENV_CRASH_KEEP_TORN, "a part")                                           \
    /* Files have all their length, but unsynced bytes are zeros. */           \
    X(ENV_CRASH_KEEP_ZEROS, "names, zeros for bytes")                          \
    /* As a part, but from there on zeros, or (no MANIFEST) garbage. */        \
    X(ENV_CRASH_KEEP_GARBLED, "a part, then garbage")                          \
    /* Of a mapped file each page or sector by itself, as it was at any moment \
     * since the sync; else as a part. */                                      \
    X(ENV_CRASH_KEEP_PAGES, "pages by themselves")

enum env_crash_keep {
#define ENV_CRASH_ENUM(code, text) code,
    ENV_CRASH_KEEP_LIST(ENV_CRASH_ENUM)
#undef ENV_CRASH_ENUM
    ENV_CRASH_KEEP_COUNT
};

const char *env_crash_keep_text(enum env_crash_keep keep);

/*
 * A memory env with what a cut here leaves; the caller destroys it. The same
 * seed gives the same choices. *out_hash is that of all names and bytes.
 */
struct ldb_env *env_crash_disk_state(const struct env_crash_disk *disk,
                                     enum env_crash_keep keep, uint64_t seed,
                                     uint64_t *out_hash);

#endif
