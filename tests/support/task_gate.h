/*
 * Work for a task that begins, says so, and ends when it is let go or
 * cancelled; so that a test has one that runs for as long as it likes.
 */
#ifndef TESTS_SUPPORT_TASK_GATE_H
#define TESTS_SUPPORT_TASK_GATE_H

#include "api/tasks.h"
#include "storage/base/mutex.h"

/* Locking: status is constant; the rest is guarded by mu. */
struct task_gate {
    struct ldb_mutex mu;
    struct ldb_cond changed;
    enum ldb_status status; /* that it ends with when it is let go */
    bool is_open;
    bool has_begun;
    unsigned runs;
    unsigned releases;
    uint64_t done; /* that it reports */
};

void task_gate_init(struct task_gate *gate);
void task_gate_release(struct task_gate *gate);

/* Of that kind; the gate outlives the task. */
struct api_task_work task_gate_work(struct task_gate *gate, const char *kind,
                                    enum api_task_lane lane);

/* Waits until a task runs. */
void task_gate_wait_begun(struct task_gate *gate);
/* The same; false: none does for PATIENCE_US. */
bool task_gate_begins(struct task_gate *gate);
/* It reports so many bytes of 100. */
void task_gate_report(struct task_gate *gate, uint64_t done);
/* Lets it go, and all that come. */
void task_gate_open(struct task_gate *gate);

#endif
