/*
 * The framing of a tar archive (POSIX.1-1988 ustar) of plain files whose names
 * and sizes are known before their bytes. A file of 8 GiB or more, whose size
 * has no room there, gets a pax header (POSIX.1-2001) before its own.
 *
 *     header  bytes of the file  padding   for each file
 *     API_TAR_END_BYTES zeros              at the end
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef API_TAR_H
#define API_TAR_H

#include <stddef.h>
#include <stdint.h>

#define API_TAR_BLOCK 512

/* A pax header, its record, the header. */
#define API_TAR_HEADER_MAX ((size_t)3 * API_TAR_BLOCK)

/* Two blocks of zeros. */
#define API_TAR_END_BYTES ((size_t)2 * API_TAR_BLOCK)

/* Bytes of a name, without its NUL. */
#define API_TAR_NAME_MAX 100

/*
 * The header of a file that anybody may read; its length, a multiple of
 * API_TAR_BLOCK. name: 1 to API_TAR_NAME_MAX bytes. mtime_s: since 1970.
 */
size_t api_tar_header(uint8_t out[API_TAR_HEADER_MAX], const char *name,
                      uint64_t size, uint64_t mtime_s);

/* Zeros that follow so many bytes of a file. */
size_t api_tar_padding(uint64_t size);

#endif
