#include "replication/file_headers.h"

#include <inttypes.h>
#include <strings.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

/* RFC 9530 keys of digests are lower case; this one is not registered. */
#define DIGEST_KEY "xxh3-128=:"

/* 16 bytes: 21 digits of 6 bits, one of 2, and the padding. */
#define BASE64_LEN 24

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- base64 of a digest (RFC 4648, section 4) ---- */

static void print_base64(const uint8_t *bytes, char *out)
{
    size_t at = 0;

    for (size_t i = 0; i < LDB_DIGEST_SIZE; i += 3) {
        size_t left = LDB_DIGEST_SIZE - i;
        uint32_t group = (uint32_t)bytes[i] << 16;

        if (left > 1)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2)
            group |= bytes[i + 2];
        out[at++] = base64_digits[group >> 18];
        out[at++] = base64_digits[group >> 12 & 63];
        out[at++] = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        out[at++] = left > 2 ? base64_digits[group & 63] : '=';
    }
    assert(at == BASE64_LEN);
}

static bool digit_value(uint8_t c, uint32_t *out)
{
    const char *at = c == '\0' ? NULL : strchr(base64_digits, c);

    if (at == NULL)
        return false;
    *out = (uint32_t)(at - base64_digits);
    return true;
}

/* One spelling for each digest: bits behind the last byte are 0. */
static bool parse_base64(const uint8_t *text, uint8_t out[LDB_DIGEST_SIZE])
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t len = 0;

    if (text[BASE64_LEN - 2] != '=' || text[BASE64_LEN - 1] != '=')
        return false;
    for (size_t i = 0; i < BASE64_LEN - 2; i++) {
        uint32_t value;

        if (!digit_value(text[i], &value))
            return false;
        bits = bits << 6 | value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[len++] = (uint8_t)(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    assert(len == LDB_DIGEST_SIZE);
    return bits == 0;
}

/* ---- the digest ---- */

void repl_digest_header_print(const struct ldb_digest *digest,
                              char out[REPL_DIGEST_HEADER_SIZE])
{
    static_assert(sizeof(DIGEST_KEY) + BASE64_LEN + 1 ==
                      REPL_DIGEST_HEADER_SIZE,
                  "key, digits, a colon and the NUL");
    memcpy(out, DIGEST_KEY, sizeof(DIGEST_KEY) - 1);
    print_base64(digest->bytes, out + sizeof(DIGEST_KEY) - 1);
    memcpy(out + sizeof(DIGEST_KEY) - 1 + BASE64_LEN, ":", 2);
}

static struct ldb_slice trim(struct ldb_slice text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 &&
           (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

bool repl_digest_header_parse(struct ldb_slice value, struct ldb_digest *out)
{
    struct ldb_slice key = ldb_slice_str(DIGEST_KEY);
    struct ldb_digest found;

    while (value.len > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.len);
        struct ldb_slice member = value;

        if (comma != NULL)
            member.len = (size_t)(comma - value.data);
        value.data += member.len;
        value.len -= member.len;
        if (comma != NULL) {
            value.data++;
            value.len--;
        }
        member = trim(member);
        if (!ldb_slice_starts_with(member, key))
            continue;
        if (member.len != key.len + BASE64_LEN + 1 ||
            member.data[member.len - 1] != ':' ||
            !parse_base64(member.data + key.len, found.bytes))
            return false;
        *out = found;
        return true;
    }
    return false;
}

/* ---- one header ---- */

static bool is_named(struct ldb_slice name, const char *header)
{
    return name.len == strlen(header) &&
           strncasecmp((const char *)name.data, header, name.len) == 0;
}

static bool parse_bool(struct ldb_slice value, bool *out)
{
    *out = ldb_slice_equal(value, ldb_slice_str("true"));
    return *out || ldb_slice_equal(value, ldb_slice_str("false"));
}

enum ldb_status repl_file_headers_read(struct ldb_slice name,
                                       struct ldb_slice value,
                                       struct ldb_error *err,
                                       struct repl_file_head *head)
{
    struct repl_file_head read = *head;
    bool is_right = true;

    value = trim(value);
    if (is_named(name, REPL_SEALED_HEADER)) {
        is_right = parse_bool(value, &read.is_sealed);
    } else if (is_named(name, REPL_SIZE_HEADER)) {
        is_right = ldb_parse_u64(value, &read.size);
    } else if (is_named(name, REPL_EPOCH_HEADER)) {
        is_right = ldb_parse_u64(value, &read.epoch);
    } else if (is_named(name, REPL_EPOCH_ID_HEADER)) {
        is_right = repl_parse_hex(value, 64, &read.epoch_id);
    } else if (is_named(name, REPL_DIGEST_HEADER)) {
        /* One of other algorithms alone is none; ours misspelt is wrong. */
        read.has_digest = repl_digest_header_parse(value, &read.digest);
        is_right = read.has_digest || memmem(value.data, value.len, DIGEST_KEY,
                                             sizeof(DIGEST_KEY) - 2) == NULL;
    }
    if (!is_right)
        return ldb_error_set(
            err, LDB_CORRUPTION, "the answer's header %.*s is \"%.*s\"",
            (int)name.len, (const char *)name.data,
            value.len > 64 ? 64 : (int)value.len, (const char *)value.data);
    *head = read;
    return LDB_OK;
}
