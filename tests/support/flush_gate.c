#include "tests/support/flush_gate.h"

#include <string.h>

static void wait_at_gate(void *context, enum env_fault_kind kind,
                         const char *path)
{
    struct flush_gate *gate = context;

    if (kind != ENV_FAULT_OPEN_WRITABLE || strstr(path, ".ldb") == NULL)
        return;
    ldb_mutex_lock(&gate->mu);
    while (gate->is_closed)
        ldb_cond_wait(&gate->opened, &gate->mu);
    ldb_mutex_unlock(&gate->mu);
}

void flush_gate_init(struct flush_gate *gate, struct env_fault *fault)
{
    *gate = (struct flush_gate){.fault = fault};
    ldb_mutex_init(&gate->mu);
    ldb_cond_init(&gate->opened);
    env_fault_set_call_hook(fault, wait_at_gate, gate);
}

void flush_gate_release(struct flush_gate *gate)
{
    env_fault_set_call_hook(gate->fault, NULL, NULL);
    ldb_cond_release(&gate->opened);
    ldb_mutex_release(&gate->mu);
}

void flush_gate_close(struct flush_gate *gate)
{
    ldb_mutex_lock(&gate->mu);
    gate->is_closed = true;
    ldb_mutex_unlock(&gate->mu);
}

void flush_gate_open(struct flush_gate *gate)
{
    ldb_mutex_lock(&gate->mu);
    gate->is_closed = false;
    ldb_cond_broadcast(&gate->opened);
    ldb_mutex_unlock(&gate->mu);
}
