#include "api/item_text.h"

#include <string.h>

/* Keys of foreign folders have any length; both libraries end at 2 GiB. */
#define FRAME_MAX ((size_t)UINT32_MAX * 4)

void api_item_text_init(struct api_item_text *text)
{
    *text = (struct api_item_text){.frame = LDB_BUF_INIT(FRAME_MAX)};
}

void api_item_text_release(struct api_item_text *text)
{
    ldb_buf_release(&text->frame);
}

struct ldb_buf *api_item_text_open(struct api_item_text *text)
{
    ldb_buf_clear(&text->frame);
    text->split = SIZE_MAX;
    text->done = 0;
    text->value = (struct api_string_writer){0};
    text->spill_len = 0;
    text->spill_done = 0;
    return &text->frame;
}

enum ldb_status api_item_text_set(struct api_item_text *text,
                                  enum api_encoding asked, struct ldb_slice key,
                                  const struct ldb_slice *value,
                                  ldb_sequence sequence)
{
    struct api_json json = api_json_make(api_item_text_open(text));
    enum api_encoding encoding = api_encoding_for(
        asked, key, value == NULL ? (struct ldb_slice){0} : *value);

    api_json_object_begin(&json);
    api_json_name(&json, "key");
    api_json_bytes(&json, encoding, key);
    if (value != NULL) {
        /* An empty string, cut in the middle: the value goes in there. */
        api_json_member_text(&json, "value", "");
        text->split = text->frame.len - (json.status == LDB_OK ? 1 : 0);
        text->value =
            (struct api_string_writer){.encoding = encoding, .bytes = *value};
    }
    api_json_member_u64(&json, "sequence", sequence);
    if (encoding != asked)
        api_json_member_text(&json, "encoding", api_encoding_name(encoding));
    api_json_object_end(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append_byte(&text->frame, '\n');
    return json.status;
}

static size_t copy_frame(struct api_item_text *text, uint8_t *out, size_t max)
{
    size_t stop = text->done < text->split && text->split < text->frame.len
                      ? text->split
                      : text->frame.len;
    size_t len = stop - text->done;

    if (len > max)
        len = max;
    if (len > 0)
        memcpy(out, text->frame.data + text->done, len);
    text->done += len;
    return len;
}

static size_t copy_spill(struct api_item_text *text, uint8_t *out, size_t max)
{
    size_t len = text->spill_len - text->spill_done;

    if (len > max)
        len = max;
    memcpy(out, text->spill + text->spill_done, len);
    text->spill_done += len;
    return len;
}

/* Of the value; 0 when it is through. max > 0. */
static size_t copy_value(struct api_item_text *text, uint8_t *out, size_t max)
{
    if (text->spill_done == text->spill_len) {
        size_t len = api_string_next(&text->value, out, max);

        if (len > 0)
            return len;
        /* At the end, or the next step is longer than max. */
        text->spill_done = 0;
        text->spill_len =
            api_string_next(&text->value, text->spill, sizeof(text->spill));
    }
    return copy_spill(text, out, max);
}

bool api_item_text_at_end(const struct api_item_text *text)
{
    return text->done == text->frame.len;
}

size_t api_item_text_next(struct api_item_text *text, uint8_t *out, size_t max)
{
    size_t len = 0;

    while (len < max && !api_item_text_at_end(text)) {
        if (text->done == text->split) {
            size_t piece = copy_value(text, out + len, max - len);

            len += piece;
            if (piece > 0)
                continue;
            text->split = SIZE_MAX;
        }
        len += copy_frame(text, out + len, max - len);
    }
    return len;
}

enum ldb_status api_item_text_append(struct api_item_text *text,
                                     enum api_encoding asked,
                                     struct ldb_slice key,
                                     const struct ldb_slice *value,
                                     ldb_sequence sequence, struct ldb_buf *out)
{
    enum ldb_status s = api_item_text_set(text, asked, key, value, sequence);

    while (s == LDB_OK && !api_item_text_at_end(text)) {
        uint8_t piece[4096]; /* chosen: small items in one step */
        size_t len = api_item_text_next(text, piece, sizeof(piece));

        s = ldb_buf_append(out, ldb_slice_make(piece, len));
    }
    if (s == LDB_OK)
        out->len--; /* the newline of an item that is a line */
    return s;
}
