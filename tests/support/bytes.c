#include "tests/support/bytes.h"

#include <ctype.h>

#include "tests/support/assert_ldb.h"

/* More than this of one slice is not printed. */
#define PRINT_MAX 256

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    fail_msg("not a hex digit: '%c'", c);
    return 0;
}

void bytes_from_hex(const char *hex, struct ldb_buf *out)
{
    while (*hex != '\0') {
        unsigned high;

        if (isspace((unsigned char)*hex)) {
            hex++;
            continue;
        }
        high = hex_digit(hex[0]);
        assert_ldb_ok(
            ldb_buf_append_byte(out, (uint8_t)(high << 4 | hex_digit(hex[1]))),
            NULL);
        hex += 2;
    }
}

void bytes_to_hex(struct ldb_slice bytes, struct ldb_buf *out)
{
    for (size_t i = 0; i < bytes.len; i++)
        assert_ldb_ok(ldb_buf_printf(out, "%s%02x", i == 0 ? "" : " ",
                                     (unsigned)bytes.data[i]),
                      NULL);
}

void bytes_print(struct ldb_slice bytes)
{
    print_error(" (%zu)", bytes.len);
    for (size_t i = 0; i < bytes.len && i < PRINT_MAX; i++)
        print_error(" %02x", (unsigned)bytes.data[i]);
    print_error("%s\n", bytes.len > PRINT_MAX ? " ..." : "");
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift
 * generators, scrambled" (2016). A zero state would stay zero. */
uint64_t bytes_next(uint64_t *seed)
{
    uint64_t x = *seed == 0 ? 1 : *seed;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *seed = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

void bytes_fill(uint64_t *seed, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(bytes_next(seed) >> 56);
}
