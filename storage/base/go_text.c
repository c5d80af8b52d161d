/* Go's forms of durations and quoted strings (contract: go_text.h). */
#include "storage/base/go_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/slice.h"

/* ---- durations ---- */

/* value / 10^digits without trailing zeros, then unit. */
static enum ldb_status append_fraction(struct ldb_buf *buf, uint64_t value,
                                       unsigned digits, const char *unit)
{
    uint64_t scale = 1;
    char fraction[24];
    size_t len;

    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    len = (size_t)snprintf(fraction, sizeof(fraction), "%0*" PRIu64,
                           (int)digits, value % scale);
    while (len > 0 && fraction[len - 1] == '0')
        len--;
    if (digits == 0 || len == 0)
        return ldb_buf_printf(buf, "%" PRIu64 "%s", value / scale, unit);
    return ldb_buf_printf(buf, "%" PRIu64 ".%.*s%s", value / scale, (int)len,
                          fraction, unit);
}

enum ldb_status ldb_go_text_duration(struct ldb_buf *buf, uint64_t microseconds)
{
    uint64_t seconds = microseconds / 1000000;
    uint64_t minutes = seconds / 60;
    enum ldb_status s = LDB_OK;

    if (microseconds == 0)
        return ldb_buf_append(buf, ldb_slice_str("0s"));
    if (microseconds < 1000)
        return append_fraction(buf, microseconds, 0, "\302\265s");
    if (seconds == 0)
        return append_fraction(buf, microseconds, 3, "ms");
    if (minutes >= 60)
        s = ldb_buf_printf(buf, "%" PRIu64 "h", minutes / 60);
    if (s == LDB_OK && minutes > 0)
        s = ldb_buf_printf(buf, "%" PRIu64 "m", minutes % 60);
    if (s != LDB_OK)
        return s;
    return append_fraction(buf, microseconds - minutes * 60 * 1000000, 6, "s");
}

/* ---- quoting ---- */

struct code_range {
    uint32_t first;
    uint32_t last;
};

/*
 * Unicode 13: what is neither letter, mark, number, punctuation nor symbol.
 * Below U+0800 all of it; above, what is certain to stay so.
 */
static const struct code_range not_printable[] = {
    {0x0000, 0x001f},   {0x007f, 0x00a0},     {0x00ad, 0x00ad},
    {0x0378, 0x0379},   {0x0380, 0x0383},     {0x038b, 0x038b},
    {0x038d, 0x038d},   {0x03a2, 0x03a2},     {0x0530, 0x0530},
    {0x0557, 0x0558},   {0x058b, 0x058c},     {0x0590, 0x0590},
    {0x05c8, 0x05cf},   {0x05eb, 0x05ee},     {0x05f5, 0x0605},
    {0x061c, 0x061d},   {0x06dd, 0x06dd},     {0x070e, 0x070f},
    {0x074b, 0x074c},   {0x07b2, 0x07bf},     {0x07fb, 0x07fc},
    {0x2000, 0x200f},   {0x2028, 0x202f},     {0x205f, 0x206f},
    {0x3000, 0x3000},   {0xe000, 0xf8ff},     {0xfeff, 0xfeff},
    {0xfff0, 0xfffb},   {0xfffe, 0xffff},     {0xe0000, 0xe00ff},
    {0xf0000, 0xfffff}, {0x100000, 0x10ffff},
};

static bool is_printable(uint32_t code)
{
    for (size_t i = 0; i < sizeof(not_printable) / sizeof(not_printable[0]);
         i++) {
        if (code >= not_printable[i].first && code <= not_printable[i].last)
            return false;
    }
    return true;
}

/* Length of the UTF-8 sequence that bytes begin with; 0: they are none. */
static size_t decode(struct ldb_slice bytes, uint32_t *out_code)
{
    /* Least code of each length: a shorter form is refused. */
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = bytes.data[0];
    size_t len = first < 0x80                    ? 1
                 : first >= 0xc2 && first < 0xe0 ? 2
                 : first >= 0xe0 && first < 0xf0 ? 3
                 : first >= 0xf0 && first < 0xf5 ? 4
                                                 : 0;
    uint32_t code = len == 1 ? first : first & (0xffU >> (len + 1));

    if (len == 0 || len > bytes.len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((bytes.data[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (bytes.data[i] & 0x3f);
    }
    if (code < least[len] || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *out_code = code;
    return len;
}

/* The letter after the backslash; 0: there is none. */
static char short_escape(uint32_t code)
{
    static const char letters[] = "abtnvfr"; /* of 7 to 13 */

    if (code == '"' || code == '\\')
        return (char)code;
    return code >= 7 && code <= 13 ? letters[code - 7] : '\0';
}

static enum ldb_status append_code(struct ldb_buf *buf, struct ldb_slice utf8,
                                   uint32_t code)
{
    char escape = short_escape(code);

    if (escape != '\0')
        return ldb_buf_printf(buf, "\\%c", escape);
    if (is_printable(code))
        return ldb_buf_append(buf, utf8);
    if (code < 0x80)
        return ldb_buf_printf(buf, "\\x%02" PRIx32, code);
    return ldb_buf_printf(
        buf, code > 0xffff ? "\\U%08" PRIx32 : "\\u%04" PRIx32, code);
}

enum ldb_status ldb_go_text_quote(struct ldb_buf *buf, struct ldb_slice bytes)
{
    enum ldb_status s = ldb_buf_append_byte(buf, '"');

    for (size_t i = 0; s == LDB_OK && i < bytes.len;) {
        struct ldb_slice rest = ldb_slice_make(bytes.data + i, bytes.len - i);
        uint32_t code = 0;
        size_t len = decode(rest, &code);

        if (len == 0)
            s = ldb_buf_printf(buf, "\\x%02x", rest.data[0]);
        else
            s = append_code(buf, ldb_slice_make(rest.data, len), code);
        i += len == 0 ? 1 : len;
    }
    return s == LDB_OK ? ldb_buf_append_byte(buf, '"') : s;
}
