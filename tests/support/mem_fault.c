#include "tests/support/mem_fault.h"

#include <stdatomic.h>

#include "storage/base/mem.h"

/* Constant between start and stop. */
static uint64_t fail_at;
static enum mem_fault_mode fail_mode;

/* Relaxed: a count of its own, nothing is published through it. */
static _Atomic(uint64_t) asked;

static bool should_fail(void *context)
{
    uint64_t n = atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) + 1;

    (void)context;
    return fail_mode == MEM_FAULT_ONCE ? n == fail_at : n >= fail_at;
}

void mem_fault_start(uint64_t n, enum mem_fault_mode mode)
{
    fail_at = n;
    fail_mode = mode;
    atomic_store_explicit(&asked, 0, memory_order_relaxed);
    ldb_mem_set_fail_hook(should_fail, NULL);
}

bool mem_fault_stop(void)
{
    ldb_mem_set_fail_hook(NULL, NULL);
    return mem_fault_count() >= fail_at;
}

uint64_t mem_fault_count(void)
{
    return atomic_load_explicit(&asked, memory_order_relaxed);
}
