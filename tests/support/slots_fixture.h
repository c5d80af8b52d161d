/*
 * Slots over journals that are made by hand: number N, sealed, has 1000 bytes
 * and the sequences up to 100 * N; the newest one is open. The clock stands
 * where the test sets it. Nothing is kept that is not pinned.
 */
#ifndef TESTS_SUPPORT_SLOTS_FIXTURE_H
#define TESTS_SUPPORT_SLOTS_FIXTURE_H

#include "replication/slots.h"
#include "tests/support/env_fault.h"

#define SLOTS_DIR         "db"
#define SLOTS_SECOND_US   UINT64_C(1000000)
#define SLOTS_JOURNAL_LEN UINT64_C(1000)

struct slots_fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_retained *retained;
    struct repl_slots *slots;
    uint64_t bytes_max; /* for the next open of the slots */
    uint64_t newest;    /* the open journal */
    unsigned told_lost; /* calls of on_lost */
    unsigned told_found;
    char told[REPL_ID_SIZE]; /* of the last one */
};

/* Journal 1 is open. For cmocka. */
int slots_fixture_setup(void **state);
int slots_fixture_teardown(void **state);

/* The slots alone are closed and opened again. */
void slots_fixture_reopen(struct slots_fixture *f);

/* The open journal is sealed, and the next is open, for so many. */
void slots_fixture_seal(struct slots_fixture *f, unsigned count);
/* Nothing needs journal number any more, but who pinned it. */
void slots_fixture_retire(struct slots_fixture *f, uint64_t number);
/* Whether a journal is still here. */
bool slots_fixture_has(struct slots_fixture *f, uint64_t number);

/* The node id that ends in n. */
void slots_fixture_node_id(unsigned n, char out[REPL_ID_SIZE]);
/* Node n says that it has written, synced and applied all of this. OK: what
 * its heartbeat says of its slot is returned. */
bool slots_fixture_ack(struct slots_fixture *f, unsigned n, uint64_t journal,
                       uint64_t offset, ldb_sequence sequence);

/* At the end of the last sealed journal everything is durable. */
struct ldb_position slots_fixture_durable(const struct slots_fixture *f);
void slots_fixture_tick(struct slots_fixture *f);

/* The slot of node n as it is now. */
struct repl_slot slots_fixture_slot(struct slots_fixture *f, unsigned n);

#endif
