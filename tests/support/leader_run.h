/*
 * A database that lives at random under a seed, for tests of what follows it:
 * it remembers every file that it ever had, and every write. One thread calls
 * it. Anything that fails fails the test.
 */
#ifndef TESTS_SUPPORT_LEADER_RUN_H
#define TESTS_SUPPORT_LEADER_RUN_H

#include "storage/base/mutex.h"
#include "storage/include/ldb.h"
#include "storage/version/file_names.h"
#include "tests/support/env_fault.h"

#define LEADER_DIR  "/leader"
#define LEADER_KEYS 300 /* "k0000" to "k0299" */

/* Bytes of one of its files at most. */
#define LEADER_FILE_MAX ((size_t)64 << 20)

struct leader_file {
    enum ldb_file_type type;
    uint64_t number;
    struct ldb_buf bytes;
};

struct leader_op {
    ldb_sequence sequence;
    uint32_t key;
    bool is_put;
    uint64_t value_seed;
    size_t value_len;
};

struct leader_batch {
    ldb_sequence first;
    ldb_sequence last;
};

/*
 * Locking: guarded by mu: removed, removed_count; the rest is the caller's.
 */
struct leader_run {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db; /* NULL: closed */
    uint64_t seed;
    bool is_quiet;
    struct ldb_mutex mu;
    struct leader_file *removed;
    size_t removed_count;
    struct leader_op *ops;
    size_t op_count;
    struct leader_batch *batches;
    size_t batch_count;
    struct ldb_error err;
};

/* Small buffers, so that little work makes many files; for the twin as well. */
void leader_run_options(struct ldb_env *env, struct ldb_options *out);

/* Open and empty. quiet: no value is long, and nothing is compacted unless it
 * is asked for; half a dozen writes fit into a memtable. */
struct leader_run *leader_run_create(uint64_t seed, bool quiet);
void leader_run_destroy(struct leader_run *leader);

/* One batch; a few are longer than a block of the journal. */
void leader_run_write(struct leader_run *leader);
void leader_run_flush(struct leader_run *leader);
void leader_run_compact(struct leader_run *leader);
void leader_run_reopen(struct leader_run *leader);
void leader_run_close(struct leader_run *leader);
/* One of these, or an epoch's jump of the sequence; most are writes. */
void leader_run_step(struct leader_run *leader);

/* The file as it is, or was when it went, into out (cleared); false: there
 * never was one. A table is found under either name. */
bool leader_run_file(struct leader_run *leader, enum ldb_file_type type,
                     uint64_t number, struct ldb_buf *out);
/* The smallest number above `after` of a file of that type that there ever was;
 * 0: none. MANIFEST 0 is asked for by its number. */
uint64_t leader_run_next_file(struct leader_run *leader,
                              enum ldb_file_type type, uint64_t after);

/* db holds what was written up to the sequence it shows, which lies in no
 * batch. */
void leader_run_assert_state(struct leader_run *leader, struct ldb_db *db);

#endif
