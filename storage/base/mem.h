/*
 * The only malloc of the project. Sizes are checked products; a test can make
 * the n-th allocation fail (the hook below), so every caller tests for NULL.
 *
 * Thread-safety: any thread; the hook is set by one at a time.
 */
#ifndef STORAGE_BASE_MEM_H
#define STORAGE_BASE_MEM_H

#include "storage/base/compiler.h"

/* count * size bytes, uninitialised; NULL on overflow or no memory. */
LDB_MUST_CHECK void *ldb_mem_alloc(size_t count, size_t size);

/* The same, zeroed. */
LDB_MUST_CHECK void *ldb_mem_zalloc(size_t count, size_t size);

/* Resizes; on failure NULL is returned and the old block stays. */
LDB_MUST_CHECK void *ldb_mem_realloc(void *block, size_t count, size_t size);

/* A copy of bytes; of len 0 a valid block. NULL on no memory. */
LDB_MUST_CHECK void *ldb_mem_dup(const void *bytes, size_t len);

/* A copy of a NUL-terminated string. */
LDB_MUST_CHECK char *ldb_mem_strdup(const char *text);

/* "format" printed into a fresh string; NULL on no memory. */
LDB_MUST_CHECK char *ldb_mem_printf(const char *format, ...) LDB_PRINTF(1, 2);

/* NULL is fine. */
void ldb_mem_free(void *block);

/*
 * Gives the whole free pages between blocks back to the system, which happens
 * by itself only at the end of a heap. Takes a millisecond or some, in which
 * others wait for memory.
 */
void ldb_mem_trim(void);

/*
 * Tests only: called before each allocation; true makes it fail. NULL removes
 * the hook. Other threads may allocate meanwhile; context outlives them.
 */
void ldb_mem_set_fail_hook(bool (*should_fail)(void *context), void *context);

#endif
