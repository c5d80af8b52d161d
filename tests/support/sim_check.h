/*
 * The invariants of DESIGN.md, held against a node of a simulated cluster. Each
 * function fails the simulation with the invariant's name.
 */
#ifndef TESTS_SUPPORT_SIM_CHECK_H
#define TESTS_SUPPORT_SIM_CHECK_H

#include "tests/support/sim_node.h"
#include "tests/support/sim_truth.h"

/* What was seen of a node before. */
struct sim_watch {
    uint64_t looked_at;  /* changes of its disk then; UINT64_MAX: never */
    uint64_t epoch;      /* that it is in, the highest: R6 */
    uint64_t accepted;   /* of those: for sure, and durable */
    bool has_current;    /* it had a database */
    bool is_twin;        /* it has followed since it was to lead */
    bool has_log_number; /* its version then was a twin's: R8 */
    bool was_blank;      /* and had nothing, nor any journal */
    uint64_t log_number; /* of it */
    uint64_t *tables;    /* looked at already, by number */
    size_t table_count;
    size_t table_room;
    ldb_sequence synced; /* that it has said to have synced: R5 */
    uint64_t synced_epoch;
};

void sim_watch_init(struct sim_watch *watch);
void sim_watch_release(struct sim_watch *watch);
/* Its tables may be others now, and its epoch one before: the power went. */
void sim_watch_forget(struct sim_watch *watch);

/*
 * R1, R2, R3, R6, R7 and R8 of a folder, as it lies on the disk now; nobody
 * runs meanwhile. is_alive: by a process that runs, else as a power cut left
 * it.
 */
void sim_check_folder(struct sim_node *node, struct sim_watch *watch,
                      bool is_alive);

/* R8 of an open twin, and R5: what it says to have synced is remembered. */
void sim_check_twin(struct sim_node *node, struct sim_watch *watch);

/*
 * R4 and R5: a copy of the folder opens in our engine as one of its history's
 * past states, which has all that the node said to have synced. *out_sequence
 * is the state's; out_dump (NULL: not wanted) its entries, as oracles_dump_ours
 * prints them. False: there never was a database.
 */
bool sim_check_opens(struct sim_node *node, const struct sim_watch *watch,
                     ldb_sequence *out_sequence, struct ldb_buf *out_dump);

/* What is durable at the node at this moment: up to *out_sequence, of that
 * epoch. False: nothing. */
bool sim_check_durable(struct sim_node *node, ldb_sequence *out_sequence,
                       uint64_t *out_epoch);

/* An open database, read through a cursor, is what it was at its last sequence
 * (R8 and R9's scan). False: it is closed just now. */
bool sim_check_reads(struct sim_node *node);

/* The history that the folder's epochs end in; NULL: none, or not seen. */
struct sim_history *sim_check_history(struct sim_node *node);

#endif
