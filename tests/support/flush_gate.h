/*
 * Lets memtables wait: while the gate is closed no thread of the database
 * begins a table, so those that are sealed meanwhile are flushed together once
 * it is opened:
 *
 *     struct flush_gate gate;
 *
 *     flush_gate_init(&gate, fault);
 *     ... open a database on env_fault_env(fault) ...
 *     flush_gate_close(&gate);
 *     ... write, until ldb_stats() shows immutable memtables; fewer than
 *     immutable_memtables_max, or writes stop ...
 *     flush_gate_open(&gate);
 *     ... close the database ...
 *     flush_gate_release(&gate);
 *
 * Takes the call hook of fault: init and release are for when no other thread
 * uses it. Close and open from any thread.
 */
#ifndef TESTS_SUPPORT_FLUSH_GATE_H
#define TESTS_SUPPORT_FLUSH_GATE_H

#include "storage/base/mutex.h"
#include "tests/support/env_fault.h"

/*
 * Locking: constant: fault. Guarded by mu: is_closed.
 */
struct flush_gate {
    struct env_fault *fault;
    struct ldb_mutex mu;
    struct ldb_cond opened; /* with mu */
    bool is_closed;         /* guarded by mu */
};

/* It is open. */
void flush_gate_init(struct flush_gate *gate, struct env_fault *fault);
/* Nobody waits at it. */
void flush_gate_release(struct flush_gate *gate);

void flush_gate_close(struct flush_gate *gate);
void flush_gate_open(struct flush_gate *gate);

#endif
