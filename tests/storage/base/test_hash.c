#include "storage/base/hash.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

/* Values of LevelDB's and goleveldb's own hash; the same in both. */
static void known_inputs_have_known_hashes(void **state)
{
    static const struct {
        const char *hex;
        uint32_t seed;
        uint32_t expected;
    } rows[] = {
        {"", 0xbc9f1d34, 0xbc9f1d34},
        {"62", 0xbc9f1d34, 0xef1345c4},
        {"c3 97", 0xbc9f1d34, 0x5b663814},
        {"e2 99 a5", 0xbc9f1d34, 0x323c078f},
        {"e1 80 b9 32", 0xbc9f1d34, 0xed21633a},
        {"01 c0 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
         "14 00 00 00 00 00 04 00 00 00 00 14 00 00 00 18"
         "28 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00",
         0x12345678, 0xf333dabb},
    };
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_HEX_MAX);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t hash;

        ldb_buf_clear(&bytes);
        bytes_from_hex(rows[i].hex, &bytes);
        hash = ldb_hash(ldb_slice_of_buf(&bytes), rows[i].seed);
        if (hash != rows[i].expected)
            fail_msg("%s: %08x", rows[i].hex, hash);
    }
    ldb_buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_inputs_have_known_hashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
