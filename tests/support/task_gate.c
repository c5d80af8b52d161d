#include "tests/support/task_gate.h"

#include "storage/base/buf.h"
#include "storage/base/status.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/patience.h"

/* Between two looks whether it is cancelled. */
#define LOOK_US 1000

void task_gate_init(struct task_gate *gate)
{
    *gate = (struct task_gate){.status = LDB_OK};
    ldb_mutex_init(&gate->mu);
    ldb_cond_init(&gate->changed);
}

void task_gate_release(struct task_gate *gate)
{
    ldb_cond_release(&gate->changed);
    ldb_mutex_release(&gate->mu);
}

static enum ldb_status run(void *context, const struct ldb_progress *progress,
                           struct ldb_error *err, struct ldb_buf *result)
{
    struct task_gate *gate = context;
    bool goes_on = true;

    ldb_mutex_lock(&gate->mu);
    gate->runs++;
    gate->has_begun = true;
    ldb_cond_broadcast(&gate->changed);
    while (!gate->is_open && goes_on) {
        uint64_t done = gate->done;

        ldb_mutex_unlock(&gate->mu);
        goes_on = progress->report(progress->context, done, 100);
        ldb_mutex_lock(&gate->mu);
        if (!gate->is_open && goes_on)
            (void)ldb_cond_wait_for(&gate->changed, &gate->mu, LOOK_US);
    }
    gate->has_begun = false;
    ldb_mutex_unlock(&gate->mu);
    if (!goes_on)
        return ldb_error_set(err, LDB_CANCELLED, "the gate was cancelled");
    if (gate->status != LDB_OK)
        return ldb_error_set(err, gate->status, "the gate failed");
    return ldb_buf_append(result, ldb_slice_str("{\"gate\":1}"));
}

static void count_release(void *context)
{
    struct task_gate *gate = context;

    ldb_mutex_lock(&gate->mu);
    gate->releases++;
    ldb_mutex_unlock(&gate->mu);
}

struct api_task_work task_gate_work(struct task_gate *gate, const char *kind,
                                    enum api_task_lane lane)
{
    return (struct api_task_work){.kind = kind,
                                  .lane = lane,
                                  .run = run,
                                  .release = count_release,
                                  .context = gate};
}

void task_gate_wait_begun(struct task_gate *gate)
{
    ldb_mutex_lock(&gate->mu);
    while (!gate->has_begun)
        ldb_cond_wait(&gate->changed, &gate->mu);
    ldb_mutex_unlock(&gate->mu);
}

bool task_gate_begins(struct task_gate *gate)
{
    bool is_in_time = true;
    bool has_begun;

    ldb_mutex_lock(&gate->mu);
    while (!gate->has_begun && is_in_time)
        is_in_time = ldb_cond_wait_for(&gate->changed, &gate->mu, PATIENCE_US);
    has_begun = gate->has_begun;
    ldb_mutex_unlock(&gate->mu);
    return has_begun;
}

void task_gate_report(struct task_gate *gate, uint64_t done)
{
    ldb_mutex_lock(&gate->mu);
    gate->done = done;
    ldb_cond_broadcast(&gate->changed);
    ldb_mutex_unlock(&gate->mu);
}

void task_gate_open(struct task_gate *gate)
{
    ldb_mutex_lock(&gate->mu);
    gate->is_open = true;
    ldb_cond_broadcast(&gate->changed);
    ldb_mutex_unlock(&gate->mu);
}
