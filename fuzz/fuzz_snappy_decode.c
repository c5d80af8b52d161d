/*
 * Any bytes as a snappy stream: our decoder, in one go and in steps, with and
 * without room behind the plain bytes, must say what libsnappy says and give
 * what it gives. One difference is meant: a literal of 4 GiB is refused, whose
 * length libsnappy wraps to 0.
 */
#include <snappy-c.h>
#include <stdint.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/table/compression.h"
#include "storage/table/snappy_decode.h"

/* Plain bytes that an input may claim: several blocks. */
#define PLAIN_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* In memory of its exact size, so that the sanitizer sees what is beyond. */
static bool decode(struct ldb_slice stored, size_t plain_len, size_t slack,
                   size_t step, const uint8_t *expected)
{
    uint8_t *plain = ldb_mem_alloc(1, plain_len + slack);
    struct ldb_snappy_decoder decoder;
    bool is_sound;

    if (plain == NULL)
        abort();
    is_sound = ldb_snappy_decoder_init(&decoder, stored, plain_len, plain,
                                       plain_len + slack);
    for (size_t to = step; is_sound && to < plain_len; to += step) {
        is_sound = ldb_snappy_decode(&decoder, to);
        if (is_sound && ldb_snappy_decoder_len(&decoder) < to)
            abort();
    }
    is_sound = is_sound && ldb_snappy_decode(&decoder, plain_len);
    if (is_sound && expected != NULL && memcmp(plain, expected, plain_len) != 0)
        abort();
    ldb_mem_free(plain);
    return is_sound;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const uint8_t literal_4gib[] = {0xfc, 0xff, 0xff, 0xff, 0xff};
    struct ldb_slice stored = {.data = bytes, .len = len};
    size_t plain_len, their_len;
    uint8_t *theirs;
    bool is_sound;

    if (!ldb_snappy_plain_len(stored, PLAIN_MAX, &plain_len))
        return 0;
    theirs = ldb_mem_alloc(1, plain_len + 1);
    if (theirs == NULL)
        abort();
    their_len = plain_len;
    is_sound = snappy_uncompress((const char *)bytes, len, (char *)theirs,
                                 &their_len) == SNAPPY_OK;
    if (is_sound && memmem(bytes, len, literal_4gib, sizeof(literal_4gib)) &&
        !decode(stored, plain_len, 0, PLAIN_MAX, NULL))
        is_sound = false;
    for (unsigned way = 0; way < 4; way++) {
        size_t slack = (way & 1) != 0 ? LDB_SNAPPY_SLACK : 0;
        size_t step = (way & 2) != 0 ? 1 + bytes[len - 1] * 4U : PLAIN_MAX;

        if (decode(stored, plain_len, slack, step, is_sound ? theirs : NULL) !=
            is_sound)
            abort();
    }
    ldb_mem_free(theirs);
    return 0;
}
