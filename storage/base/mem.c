#include "storage/base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checked.h"

/*
 * The tests' hook. Stored with release after its context and loaded with
 * acquire, since a database's threads may allocate while a test sets it.
 */
typedef bool (*ldb_mem_fail_hook)(void *context);
static _Atomic(ldb_mem_fail_hook) fail_hook;
static _Atomic(void *) fail_hook_context; /* relaxed */

/* The bytes to ask for, at least 1 so that NULL means failure alone. */
static bool request_size(size_t count, size_t size, size_t *out_bytes)
{
    ldb_mem_fail_hook hook;
    size_t bytes;

    if (!ldb_size_mul(count, size, &bytes))
        return false;
    hook = atomic_load_explicit(&fail_hook, memory_order_acquire);
    if (LDB_UNLIKELY(hook != NULL) &&
        hook(atomic_load_explicit(&fail_hook_context, memory_order_relaxed)))
        return false;
    *out_bytes = bytes == 0 ? 1 : bytes;
    return true;
}

void *ldb_mem_alloc(size_t count, size_t size)
{
    size_t bytes;

    if (!request_size(count, size, &bytes))
        return NULL;
    return malloc(bytes);
}

void *ldb_mem_zalloc(size_t count, size_t size)
{
    size_t bytes;

    if (!request_size(count, size, &bytes))
        return NULL;
    return calloc(1, bytes);
}

void *ldb_mem_realloc(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (!request_size(count, size, &bytes))
        return NULL;
    return realloc(block, bytes);
}

void *ldb_mem_dup(const void *bytes, size_t len)
{
    void *copy = ldb_mem_alloc(len, 1);

    if (copy != NULL && len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

char *ldb_mem_strdup(const char *text)
{
    return ldb_mem_dup(text, strlen(text) + 1);
}

char *ldb_mem_printf(const char *format, ...)
{
    va_list args;
    char *text;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return NULL;
    text = ldb_mem_alloc((size_t)len + 1, 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

void ldb_mem_free(void *block)
{
    free(block);
}

void ldb_mem_trim(void)
{
    (void)malloc_trim(0);
}

void ldb_mem_set_fail_hook(bool (*should_fail)(void *context), void *context)
{
    /* Whoever still runs the old hook reads its context. */
    if (should_fail != NULL)
        atomic_store_explicit(&fail_hook_context, context,
                              memory_order_relaxed);
    atomic_store_explicit(&fail_hook, should_fail, memory_order_release);
}
