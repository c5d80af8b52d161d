/*
 * One entry as a JSON object, piece by piece: key, value, sequence, and the
 * encoding where it had to differ. The value is encoded from where it lies, so
 * that an entry of any size takes the memory of its key.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef API_ITEM_TEXT_H
#define API_ITEM_TEXT_H

#include "api/json_text.h"

struct api_item_text {
    struct ldb_buf frame; /* what stands before and after the value */
    size_t split;         /* bytes of frame before the value */
    size_t done;          /* of frame */
    struct api_string_writer value;
    /* A step of value that did not fit into what the last caller had. */
    uint8_t spill[API_STRING_STEP_MAX];
    size_t spill_len;
    size_t spill_done;
};

void api_item_text_init(struct api_item_text *text);
void api_item_text_release(struct api_item_text *text);

/*
 * Begins the object of an entry and a newline after it. value (NULL: leave it
 * out) is borrowed until the text was read to its end or set again.
 *
 * Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status api_item_text_set(struct api_item_text *text,
                                                 enum api_encoding asked,
                                                 struct ldb_slice key,
                                                 const struct ldb_slice *value,
                                                 ldb_sequence sequence);

/* A change: what /v1/changes tells of an operation. */
struct api_change_text {
    const char *op; /* "put", "delete" */
    struct ldb_slice key;
    const struct ldb_slice *value; /* NULL: it has none; borrowed as above */
    ldb_sequence sequence;
    const char *head; /* before the object; copied */
    const char *tail; /* after it */
};

/* The same of a change. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
api_item_text_set_change(struct api_item_text *text, enum api_encoding asked,
                         const struct api_change_text *change);

/*
 * The whole object appended to out, without a newline. A page is cut at its
 * size, but holds one entry of any size both libraries can: 2 GiB, six bytes
 * for each of key and value at worst. API_PAGE_BUF_MAX is the limit of a buffer
 * that takes it.
 *
 * Errors: NO_MEMORY, TOO_LARGE.
 */
LDB_MUST_CHECK enum ldb_status
api_item_text_append(enum api_encoding asked, struct ldb_slice key,
                     const struct ldb_slice *value, ldb_sequence sequence,
                     struct ldb_buf *out);
#define API_PAGE_BUF_MAX ((size_t)UINT32_MAX * 8)

/* For text that is no entry: an empty buffer to write it to. */
struct ldb_buf *api_item_text_open(struct api_item_text *text);

/* Up to max bytes of what is left; 0: it was read to its end. max > 0. */
size_t api_item_text_next(struct api_item_text *text, uint8_t *out, size_t max);

bool api_item_text_at_end(const struct api_item_text *text);

#endif
