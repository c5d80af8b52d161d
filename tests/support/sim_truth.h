/*
 * What is true in a simulated cluster: each epoch that a leader has begun, with
 * the files it had and every write that stands in its journals, in order. Taken
 * from the disk of whoever leads, step by step, and never from what anybody
 * says; held against followers, copies of disks, answers and feeds.
 *
 * Nothing here waits: it is called while all stands still (sim_hush()).
 */
#ifndef TESTS_SUPPORT_SIM_TRUTH_H
#define TESTS_SUPPORT_SIM_TRUTH_H

#include "replication/epoch_history.h"
#include "storage/base/digest.h"
#include "storage/version/file_names.h"
#include "tests/support/sim_folder.h"

/* ---- histories ---- */

struct sim_op {
    ldb_sequence sequence;
    unsigned key;
    uint32_t value; /* 0: deleted */
};

/* A record of a journal: all of it is seen, or nothing. */
struct sim_record {
    ldb_sequence first;
    ldb_sequence last;
    uint64_t journal;
    uint64_t end; /* offset in it */
    size_t op;    /* its first, in ops */
};

struct sim_file {
    enum ldb_file_type type;
    uint64_t number;
    struct ldb_buf bytes;
    size_t parsed; /* bytes whose records are known */
};

/* A table that the leader's versions had. */
struct sim_known_table {
    uint64_t number;
    uint64_t size;
    struct ldb_digest digest;
};

struct sim_history {
    struct repl_epoch epoch;
    unsigned author;            /* node that began it */
    bool is_seen;               /* its files were, at least once */
    struct sim_history *parent; /* NULL: the first */
    struct sim_record *records; /* those of parents that stand, too */
    size_t record_count;
    size_t record_room;
    struct sim_op *ops;
    size_t op_count;
    size_t op_room;
    struct sim_file *files; /* journals and MANIFESTs, gone ones too */
    size_t file_count;
    size_t file_room;
    struct sim_known_table *tables;
    size_t table_count;
    size_t table_room;
};

void sim_truth_begin(void);
void sim_truth_end(void);

/*
 * Looks at a node's folder. leads: as a leader's, or of one until its power
 * went: the epochs there are known from now on. The last one's files and
 * records, when the node has begun it, are what is there.
 */
void sim_truth_note(unsigned node, bool leads, struct ldb_env *env,
                    const char *dir);

/* NULL: nobody was seen to begin it. */
struct sim_history *sim_truth_find(uint64_t number, uint64_t id);
/* All there are, in the order in which they were seen. */
size_t sim_truth_count(void);
struct sim_history *sim_truth_at(size_t index);

/* How often a file of a leader has become shorter. */
uint64_t sim_truth_losses(void);

/* The file as that epoch's leader had it, or where it never saw it one of an
 * epoch before. NULL: none had. */
const struct sim_file *sim_truth_file(const struct sim_history *history,
                                      enum ldb_file_type type, uint64_t number);

/* The same of a table: other histories may have others of its number. */
const struct sim_known_table *sim_truth_table(const struct sim_history *history,
                                              uint64_t number);

/* What the history's database had when its last sequence was that. False: the
 * sequence lies inside a record. */
bool sim_truth_content(const struct sim_history *history, ldb_sequence sequence,
                       struct sim_content *out);

/* The operation of that sequence; NULL: there is none. */
const struct sim_op *sim_truth_op(const struct sim_history *history,
                                  ldb_sequence sequence);

/* The last sequence of the records in journals below that number; 0: none. */
ldb_sequence sim_truth_last_below(const struct sim_history *history,
                                  uint64_t journal);

/* Bytes of all its journals. */
uint64_t sim_truth_bytes(const struct sim_history *history);

#endif
