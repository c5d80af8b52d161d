#include "api/tar.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/compiler.h"

/* On disk: do not change. POSIX.1-1988, "Extended tar Format". */
enum {
    NAME_AT = 0,
    MODE_AT = 100,
    UID_AT = 108,
    GID_AT = 116,
    SIZE_AT = 124,
    MTIME_AT = 136,
    CHECKSUM_AT = 148,
    TYPE_AT = 156,
    MAGIC_AT = 257,
};

#define NUMBER_LEN 12 /* of size and mtime: 11 octal digits, NUL */
#define SHORT_LEN  8  /* of mode, owner and checksum */

/* The first size that 11 octal digits have no room for. */
#define LARGE_SIZE (UINT64_C(1) << 33)

/* Octal digits and a NUL; what has no room becomes its low digits. */
static void put_octal(uint8_t *at, size_t len, uint64_t value)
{
    at[len - 1] = '\0';
    for (size_t i = len - 1; i > 0; i--) {
        at[i - 1] = (uint8_t)('0' + (value & 7));
        value >>= 3;
    }
}

static void put_header(uint8_t *block, const char *name, uint64_t size,
                       uint64_t mtime_s, char type)
{
    size_t name_len = strlen(name);
    unsigned sum = 0;

    assert(name_len >= 1 && name_len <= API_TAR_NAME_MAX);
    memset(block, 0, API_TAR_BLOCK);
    memcpy(block + NAME_AT, name, name_len);
    put_octal(block + MODE_AT, SHORT_LEN, 0644);
    put_octal(block + UID_AT, SHORT_LEN, 0);
    put_octal(block + GID_AT, SHORT_LEN, 0);
    put_octal(block + SIZE_AT, NUMBER_LEN, size);
    put_octal(block + MTIME_AT, NUMBER_LEN, mtime_s);
    block[TYPE_AT] = (uint8_t)type;
    memcpy(block + MAGIC_AT,
           "ustar\0"
           "00",
           8);
    /* The sum has blanks where it will stand itself. */
    memset(block + CHECKSUM_AT, ' ', SHORT_LEN);
    for (size_t i = 0; i < API_TAR_BLOCK; i++)
        sum += block[i];
    put_octal(block + CHECKSUM_AT, SHORT_LEN - 1, sum);
}

/* "LEN size=N\n", whose LEN counts itself. */
static size_t print_record(char out[API_TAR_BLOCK], uint64_t size)
{
    int len = 0;
    int next = 0;

    do {
        len = next;
        next = snprintf(out, API_TAR_BLOCK, "%d size=%llu\n", len,
                        (unsigned long long)size);
    } while (next != len);
    return (size_t)len;
}

size_t api_tar_header(uint8_t out[API_TAR_HEADER_MAX], const char *name,
                      uint64_t size, uint64_t mtime_s)
{
    char record[API_TAR_BLOCK];
    size_t len;

    if (size < LARGE_SIZE) {
        put_header(out, name, size, mtime_s, '0');
        return API_TAR_BLOCK;
    }
    len = print_record(record, size);
    put_header(out, name, len, mtime_s, 'x');
    memset(out + API_TAR_BLOCK, 0, API_TAR_BLOCK);
    memcpy(out + API_TAR_BLOCK, record, len);
    put_header(out + (size_t)2 * API_TAR_BLOCK, name, size, mtime_s, '0');
    return API_TAR_HEADER_MAX;
}

size_t api_tar_padding(uint64_t size)
{
    return (size_t)(-size & (API_TAR_BLOCK - 1));
}
