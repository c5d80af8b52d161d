#include "storage/base/internal_key.h"

#include <inttypes.h>

/* Chosen: bytes of a key that a message shows. */
#define DESCRIBE_MAX 32

bool ldb_internal_key_parse(struct ldb_slice internal,
                            struct ldb_parsed_key *out)
{
    uint64_t tag;

    if (internal.len < LDB_TAG_SIZE)
        return false;
    tag = ldb_internal_tag(internal);
    if (ldb_tag_kind(tag) > LDB_KIND_PUT)
        return false;
    out->user_key = ldb_internal_user_key(internal);
    out->sequence = ldb_tag_sequence(tag);
    out->kind = (enum ldb_kind)ldb_tag_kind(tag);
    return true;
}

enum ldb_status ldb_internal_key_append(struct ldb_buf *buf,
                                        struct ldb_slice user, uint64_t tag)
{
    enum ldb_status s;

    /* Both or nothing: reserve first. */
    if (user.len > SIZE_MAX - LDB_TAG_SIZE)
        return LDB_TOO_LARGE;
    s = ldb_buf_reserve(buf, user.len + LDB_TAG_SIZE);
    if (s == LDB_OK)
        s = ldb_buf_append(buf, user);
    if (s == LDB_OK)
        s = ldb_put_fixed64(buf, tag);
    return s;
}

/*
 * out has the shortened user key. Where it is shorter than a's and greater, it
 * gets the tag that sorts first among its versions; else out becomes a.
 */
static enum ldb_status finish_shortened(const struct ldb_comparator *cmp,
                                        struct ldb_slice a, struct ldb_buf *out)
{
    struct ldb_slice user = ldb_internal_user_key(a);

    if (out->len < user.len &&
        ldb_compare(cmp, user, ldb_slice_of_buf(out)) < 0)
        return ldb_put_fixed64(out,
                               ldb_tag_make(LDB_SEQUENCE_MAX, LDB_KIND_SEEK));
    return ldb_buf_assign(out, a);
}

enum ldb_status ldb_internal_separator(const struct ldb_comparator *cmp,
                                       struct ldb_slice a, struct ldb_slice b,
                                       struct ldb_buf *out)
{
    enum ldb_status s;

    if (cmp->separator == NULL)
        return ldb_buf_assign(out, a);
    ldb_buf_clear(out);
    s = cmp->separator(cmp->context, ldb_internal_user_key(a),
                       ldb_internal_user_key(b), out);
    return s == LDB_OK ? finish_shortened(cmp, a, out) : s;
}

enum ldb_status ldb_internal_successor(const struct ldb_comparator *cmp,
                                       struct ldb_slice a, struct ldb_buf *out)
{
    enum ldb_status s;

    if (cmp->successor == NULL)
        return ldb_buf_assign(out, a);
    ldb_buf_clear(out);
    s = cmp->successor(cmp->context, ldb_internal_user_key(a), out);
    return s == LDB_OK ? finish_shortened(cmp, a, out) : s;
}

static enum ldb_status quote(struct ldb_buf *buf, struct ldb_slice bytes)
{
    size_t shown = bytes.len < DESCRIBE_MAX ? bytes.len : DESCRIBE_MAX;
    enum ldb_status s = ldb_buf_append_byte(buf, '"');

    for (size_t i = 0; i < shown && s == LDB_OK; i++) {
        uint8_t c = bytes.data[i];

        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            s = ldb_buf_printf(buf, "\\x%02x", (unsigned)c);
        else
            s = ldb_buf_append_byte(buf, c);
    }
    if (s != LDB_OK)
        return s;
    return ldb_buf_printf(buf, "%s\"", shown < bytes.len ? "..." : "");
}

enum ldb_status ldb_internal_key_describe(struct ldb_buf *buf,
                                          struct ldb_slice key)
{
    enum ldb_status s;
    uint64_t tag;

    if (key.len < LDB_TAG_SIZE) {
        s = quote(buf, key);
        return s == LDB_OK ? ldb_buf_append(buf, ldb_slice_str("@?")) : s;
    }
    s = quote(buf, ldb_internal_user_key(key));
    if (s != LDB_OK)
        return s;
    tag = ldb_internal_tag(key);
    switch (ldb_tag_kind(tag)) {
    case LDB_KIND_DELETE:
        return ldb_buf_printf(buf, "@%" PRIu64 ":delete",
                              ldb_tag_sequence(tag));
    case LDB_KIND_PUT:
        return ldb_buf_printf(buf, "@%" PRIu64 ":put", ldb_tag_sequence(tag));
    default: /* a byte from a file, not an enum: any value may come */
        return ldb_buf_printf(buf, "@%" PRIu64 ":%u", ldb_tag_sequence(tag),
                              (unsigned)ldb_tag_kind(tag));
    }
}
