#include "storage/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checked.h"

/* The tests' hook; set while nothing else allocates, so it needs no lock. */
static bool (*fail_hook)(void *context);
static void *fail_hook_context;

/* The bytes to ask for, at least 1 so that NULL means failure alone. */
static bool request_size(size_t count, size_t size, size_t *out_bytes)
{
    size_t bytes;

    if (!ldb_size_mul(count, size, &bytes))
        return false;
    if (LDB_UNLIKELY(fail_hook != NULL) && fail_hook(fail_hook_context))
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

void ldb_mem_set_fail_hook(bool (*should_fail)(void *context), void *context)
{
    fail_hook = should_fail;
    fail_hook_context = context;
}
