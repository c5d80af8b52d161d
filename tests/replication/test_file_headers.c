/* What an answer's head says of a file: fixed text in both directions. */
#include "replication/file_headers.h"
#include "tests/support/assert_ldb.h"

static const struct ldb_digest counted = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

static const struct ldb_digest all_ones = {{255, 255, 255, 255, 255, 255, 255,
                                            255, 255, 255, 255, 255, 255, 255,
                                            255, 255}};

static void a_digest_is_printed_as_base64_between_colons(void **state)
{
    char text[REPL_DIGEST_HEADER_SIZE];

    (void)state;
    repl_digest_header_print(&counted, text);
    assert_string_equal("xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:", text);
    repl_digest_header_print(&all_ones, text);
    assert_string_equal("xxh3-128=://///////////////////w==:", text);
}

static void every_printed_digest_is_parsed_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct ldb_digest digest;
        struct ldb_digest again = {{0}};
        char text[REPL_DIGEST_HEADER_SIZE];

        for (unsigned at = 0; at < LDB_DIGEST_SIZE; at++)
            digest.bytes[at] = (uint8_t)(i * 37 + at * 101 + (i >> 3) * at);
        repl_digest_header_print(&digest, text);
        assert_true(repl_digest_header_parse(ldb_slice_str(text), &again));
        assert_memory_equal(&digest, &again, sizeof(digest));
    }
}

static void a_digest_is_found_among_others(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        bool is_found;
    } rows[] = {
        {"alone", "xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:", true},
        {"last", "sha-256=:AAAA:, xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:", true},
        {"first", "xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:,a=:AA==:", true},
        {"with blanks", " \txxh3-128=:AAECAwQFBgcICQoLDA0ODw==: ,", true},
        {"empty", "", false},
        {"another one", "sha-256=:AAECAwQFBgcICQoLDA0ODw==:", false},
        {"no end", "xxh3-128=:AAECAwQFBgcICQoLDA0ODw==", false},
        {"too short", "xxh3-128=:AAECAwQFBgcICQoLDA0O==:", false},
        {"too long", "xxh3-128=:AAECAwQFBgcICQoLDA0ODwAA==:", false},
        {"no padding", "xxh3-128=:AAECAwQFBgcICQoLDA0ODwAA:", false},
        {"a bit behind the end", "xxh3-128=:AAECAwQFBgcICQoLDA0ODx==:", false},
        {"no digit", "xxh3-128=:AAECAwQFBgcICQ-LDA0ODw==:", false},
        {"parameters", "xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:;a=1", false},
        {"only the key", "xxh3-128=:", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_digest digest = all_ones;
        bool is_found =
            repl_digest_header_parse(ldb_slice_str(rows[i].value), &digest);

        if (is_found != rows[i].is_found ||
            !ldb_digest_equal(&digest, is_found ? &counted : &all_ones))
            fail_msg("%s", rows[i].name);
    }
}

/* ---- all headers ---- */

static enum ldb_status read_one(const char *name, const char *value,
                                struct ldb_error *err,
                                struct repl_file_head *head)
{
    return repl_file_headers_read(ldb_slice_str(name), ldb_slice_str(value),
                                  err, head);
}

static void a_head_is_put_together(void **state)
{
    struct repl_file_head head = {0};
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(read_one("leveld-sealed", "true", &err, &head), &err);
    assert_ldb_ok(read_one("LEVELD-SIZE", " 4096 ", &err, &head), &err);
    assert_ldb_ok(read_one("Leveld-Epoch", "3", &err, &head), &err);
    assert_ldb_ok(read_one("Leveld-Epoch-Id", "0123456789abcdef", &err, &head),
                  &err);
    assert_ldb_ok(read_one("Repr-Digest",
                           "xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:", &err, &head),
                  &err);
    assert_ldb_ok(read_one("Content-Type", "text/plain", &err, &head), &err);
    assert_true(head.is_sealed);
    assert_int_equal(4096, head.size);
    assert_int_equal(3, head.epoch);
    assert_true(head.epoch_id == UINT64_C(0x0123456789abcdef));
    assert_true(head.has_digest);
    assert_memory_equal(&counted, &head.digest, sizeof(counted));
}

static void what_is_not_of_its_form_is_refused(void **state)
{
    static const char *const rows[][2] = {
        {"Leveld-Sealed", "yes"},
        {"Leveld-Sealed", ""},
        {"Leveld-Size", "-1"},
        {"Leveld-Size", "18446744073709551616"},
        {"Leveld-Size", "1 2"},
        {"Leveld-Epoch", ""},
        {"Leveld-Epoch-Id", "123456789abcdef"},
        {"Leveld-Epoch-Id", "0123456789ABCDEF"},
        {"Repr-Digest", "xxh3-128=:AAEC:"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_file_head head = {.size = 7};
        struct ldb_error err = {0};

        assert_ldb_status(LDB_CORRUPTION,
                          read_one(rows[i][0], rows[i][1], &err, &head), &err);
        assert_ldb_message(rows[i][0], &err);
        assert_int_equal(7, head.size);
    }
}

static void digests_of_others_alone_are_none(void **state)
{
    struct repl_file_head head = {0};
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(read_one("Repr-Digest", "sha-256=:AAAA:", &err, &head), &err);
    assert_false(head.has_digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_is_printed_as_base64_between_colons),
        cmocka_unit_test(every_printed_digest_is_parsed_again),
        cmocka_unit_test(a_digest_is_found_among_others),
        cmocka_unit_test(a_head_is_put_together),
        cmocka_unit_test(what_is_not_of_its_form_is_refused),
        cmocka_unit_test(digests_of_others_alone_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
