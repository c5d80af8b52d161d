#include "tests/support/mem_fault.h"

#include <stdatomic.h>

#include "storage/base/mem.h"

/*
 * Constant between start and stop. Relaxed, like the count: nothing is
 * published through them, and a thread may still ask when a test stops.
 */
static _Atomic(uint64_t) fail_at;
static _Atomic(int) fail_mode;
static _Atomic(uint64_t) asked;

static bool should_fail(void *context)
{
    uint64_t n = atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    int mode = atomic_load_explicit(&fail_mode, memory_order_relaxed);

    (void)context;
    return mode == MEM_FAULT_ONCE ? n == at : n >= at;
}

void mem_fault_start(uint64_t n, enum mem_fault_mode mode)
{
    atomic_store_explicit(&fail_at, n, memory_order_relaxed);
    atomic_store_explicit(&fail_mode, (int)mode, memory_order_relaxed);
    atomic_store_explicit(&asked, 0, memory_order_relaxed);
    ldb_mem_set_fail_hook(should_fail, NULL);
}

bool mem_fault_stop(void)
{
    ldb_mem_set_fail_hook(NULL, NULL);
    return mem_fault_count() >=
           atomic_load_explicit(&fail_at, memory_order_relaxed);
}

uint64_t mem_fault_count(void)
{
    return atomic_load_explicit(&asked, memory_order_relaxed);
}
