/*
 * Fails allocations on purpose. The loop that fails each one in turn:
 *
 *     for (uint64_t n = 1;; n++) {
 *         mem_fault_start(n, MEM_FAULT_ONCE);
 *         s = scenario(&err);
 *         if (!mem_fault_stop())
 *             break;                      // all were made: s is OK
 *         assert_ldb_status(LDB_NO_MEMORY, s, &err);
 *     }
 *
 * Thread-safety: start and stop while no other thread allocates; in between
 * any thread may, the count is one for all.
 */
#ifndef TESTS_SUPPORT_MEM_FAULT_H
#define TESTS_SUPPORT_MEM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum mem_fault_mode {
    MEM_FAULT_ONCE,    /* the n-th allocation alone */
    MEM_FAULT_FOREVER, /* it and all after it */
};

/* The n-th ldb_mem allocation from now (1 is the next) fails. */
void mem_fault_start(uint64_t n, enum mem_fault_mode mode);

/* Allocations succeed again; true when one was failed. */
bool mem_fault_stop(void);

/* Allocations asked for since the last start. */
uint64_t mem_fault_count(void);

#endif
