/*
 * A request's own text from any bytes. The input is lines: the value of every
 * header, the key in the path, the query (the rest, newlines included).
 *
 * What decodes has a spelling that decodes to the same; what is refused was
 * answered, and what is not refused was not; limits hold.
 */
#include <string.h>

#include "api/conditions.h"
#include "api/context.h"
#include "api/range_scan.h"
#include "api/response.h"

/* Small, so that inputs reach it. */
#define KEY_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct fuzz_exchange {
    struct api_exchange x; /* first: ops get it back */
    struct ldb_arena arena;
    struct ldb_slice header;
};

static struct ldb_slice any_header(struct api_exchange *x, const char *name,
                                   unsigned *out_count)
{
    (void)name;
    if (out_count != NULL)
        *out_count = 1;
    return ((struct fuzz_exchange *)x)->header;
}

static void no_wake(struct api_exchange *x)
{
    (void)x;
}

static const struct api_exchange_ops fuzz_ops = {.header = any_header,
                                                 .wake = no_wake};

static void begin(struct fuzz_exchange *f, struct api_context *context,
                  struct ldb_slice header)
{
    memset(f, 0, sizeof(*f));
    ldb_arena_init(&f->arena, 0);
    f->header = header;
    f->x.ops = &fuzz_ops;
    f->x.context = context;
    f->x.header_marks = UINT32_MAX; /* any */
    f->x.arena = &f->arena;
}

static void end(struct fuzz_exchange *f, bool is_ok)
{
    assert(f->x.response.ready == !is_ok);
    assert(is_ok || f->x.response.status >= 400);
    api_response_release(&f->x.response);
    ldb_arena_release(&f->arena);
}

static struct ldb_slice take_line(struct ldb_slice *left)
{
    const uint8_t *newline =
        left->len == 0 ? NULL : memchr(left->data, '\n', left->len);
    size_t len = newline == NULL ? left->len : (size_t)(newline - left->data);
    struct ldb_slice line = ldb_slice_make(left->data, len);
    size_t taken = newline == NULL ? len : len + 1;

    *left = ldb_slice_make(left->data + taken, left->len - taken);
    return line;
}

/* Bytes spelled as hex and as base64url read the same. */
static void check_spellings(struct ldb_arena *arena, struct ldb_slice bytes)
{
    static const enum api_encoding encodings[] = {
        API_ENCODING_HEX, API_ENCODING_BASE64, API_ENCODING_BASE64URL};

    for (size_t i = 0; i < 3; i++) {
        uint8_t text[4 * KEY_MAX];
        struct api_string_writer writer = {.encoding = encodings[i],
                                           .bytes = bytes};
        size_t text_len = api_string_next(&writer, text, sizeof(text));
        struct ldb_slice back = {0};

        assert(writer.done == bytes.len);
        assert(api_text_decode(arena, encodings[i],
                               ldb_slice_make(text, text_len),
                               &back) == API_DECODE_OK);
        assert(ldb_slice_equal(back, bytes));
    }
}

static void check_path(struct api_context *context, struct ldb_slice rest)
{
    static const enum api_encoding encs[] = {
        API_ENCODING_UTF8, API_ENCODING_HEX, API_ENCODING_BASE64URL};

    for (size_t i = 0; i < 3; i++) {
        struct fuzz_exchange f;
        struct ldb_slice key = {0};
        bool is_ok;

        begin(&f, context, (struct ldb_slice){0});
        f.x.raw_rest = rest;
        is_ok = api_path_key(&f.x, encs[i], &key);
        if (is_ok) {
            assert(key.len <= KEY_MAX);
            check_spellings(&f.arena, key);
        }
        end(&f, is_ok);
    }
}

/* A value holds an '&' only where one was encoded. */
static void check_item(const struct api_param *item, struct ldb_slice query)
{
    if (item->value.len > 0 && query.len > 0 &&
        memchr(item->value.data, '&', item->value.len) != NULL) {
        assert(query.data != NULL);
        assert(memchr(query.data, '%', query.len) != NULL);
    }
}

static void check_query(struct api_context *context, struct ldb_slice query)
{
    static const char *const allowed[] = {"a", "sync", "enc", NULL};

    for (int is_page = 0; is_page < 2; is_page++) {
        struct fuzz_exchange f;
        struct api_range_query range;
        bool is_ok;

        begin(&f, context, (struct ldb_slice){0});
        f.x.raw_query = query;
        is_ok = api_range_query_parse(&f.x, is_page == 1, &range);
        if (is_ok) {
            assert(range.limit >= 1);
            assert(!is_page || range.limit <= 10000);
            assert(!is_page || range.has_limit);
        }
        end(&f, is_ok);
    }
    {
        struct fuzz_exchange f;
        struct api_params params;
        bool is_ok;

        begin(&f, context, (struct ldb_slice){0});
        f.x.raw_query = query;
        is_ok = api_params_parse(&f.x, allowed, &params);
        if (is_ok) {
            assert(params.count <= 3);
            for (size_t i = 0; i < params.count; i++)
                check_item(&params.items[i], query);
        }
        end(&f, is_ok);
    }
}

static void check_header(struct api_context *context, struct ldb_slice header)
{
    static const char *const types[] = {API_TYPE_BYTES, API_TYPE_JSON};
    struct fuzz_exchange f;
    struct api_conditions conditions = {0};
    struct ldb_condition engine[2];
    uint64_t us = 0;
    bool is_ok;

    begin(&f, context, header);
    is_ok = api_conditions_parse(&f.x, &conditions);
    if (is_ok) {
        size_t count =
            api_conditions_for_write(&conditions, ldb_slice_str("key"), engine);

        assert(count == 2);
        /* What matches strongly matches weakly too. */
        assert(conditions.match.sequence_count <=
               conditions.none_match.sequence_count);
        for (size_t i = 0; i < conditions.match.sequence_count; i++)
            assert(api_tag_list_has(&conditions.none_match, true,
                                    conditions.match.sequences[i]));
    }
    end(&f, is_ok);
    assert(!api_duration_parse(header, &us) || us <= API_DURATION_MAX_US);
    assert(api_accept_choose(header, types, 2) <= 2);
    (void)api_media_type_is(header, API_TYPE_JSON);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct api_context context = {
        .limits = {.key_bytes = KEY_MAX,
                   .range_items_default = 100,
                   .range_items_max = 10000},
    };
    struct ldb_slice left = ldb_slice_make(bytes, len);
    struct ldb_slice header = take_line(&left);
    struct ldb_slice path = take_line(&left);

    if (header.data == NULL)
        header = ldb_slice_str("");
    check_header(&context, header);
    check_path(&context, path);
    check_query(&context, left);
    return 0;
}
