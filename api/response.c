#include "api/response.h"

#include <stdarg.h>
#include <stdio.h>

#include "api/json_text.h"
#include "storage/base/buf.h"

void api_header_attach(struct api_exchange *x, struct api_header *header)
{
    struct api_header **end = &x->response.headers;

    while (*end != NULL)
        end = &(*end)->next;
    header->next = NULL;
    *end = header;
}

bool api_header_add(struct api_exchange *x, const char *name, const char *value)
{
    struct api_header *header =
        ldb_arena_alloc_aligned(x->arena, sizeof(*header));

    if (header == NULL)
        return false;
    *header = (struct api_header){.name = name, .value = value};
    api_header_attach(x, header);
    return true;
}

bool api_header_printf(struct api_exchange *x, const char *name,
                       const char *format, ...)
{
    va_list arguments;
    va_list again;
    char *text = NULL;
    int len;

    va_start(arguments, format);
    va_copy(again, arguments);
    len = vsnprintf(NULL, 0, format, arguments);
    if (len >= 0)
        text = ldb_arena_alloc(x->arena, (size_t)len + 1);
    if (text != NULL)
        (void)vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text != NULL && api_header_add(x, name, text);
}

/* Digits of n at out, with a NUL; returns the place of the NUL. */
static char *print_number(char *out, uint64_t n)
{
    char *end = out + api_u64_text(n, (uint8_t *)out);

    *end = '\0';
    return end;
}

bool api_header_number(struct api_exchange *x, const char *name, uint64_t n)
{
    char *text = ldb_arena_alloc(x->arena, API_NUMBER_TEXT_SIZE);

    if (text == NULL)
        return false;
    (void)print_number(text, n);
    return api_header_add(x, name, text);
}

void api_header_etag(struct api_exchange *x, struct api_entry_headers *room,
                     ldb_sequence sequence)
{
    char *end;

    room->etag_text[0] = '"';
    end = print_number(room->etag_text + 1, sequence);
    end[0] = '"';
    end[1] = '\0';
    room->etag = (struct api_header){.name = "ETag", .value = room->etag_text};
    api_header_attach(x, &room->etag);
}

void api_header_sequence(struct api_exchange *x, struct api_entry_headers *room,
                         ldb_sequence sequence)
{
    (void)print_number(room->sequence_text, sequence);
    room->sequence = (struct api_header){.name = "Leveld-Sequence",
                                         .value = room->sequence_text};
    api_header_attach(x, &room->sequence);
}

static void answer(struct api_exchange *x, unsigned status,
                   const char *content_type, enum api_body_kind kind)
{
    assert(!x->response.ready);
    x->response.ready = true;
    x->response.status = status;
    x->response.content_type = content_type;
    x->response.body_kind = kind;
}

void api_answer_empty(struct api_exchange *x, unsigned status)
{
    answer(x, status, NULL, API_BODY_NONE);
}

void api_answer_buf(struct api_exchange *x, unsigned status,
                    const char *content_type, struct ldb_buf *body)
{
    answer(x, status, content_type, API_BODY_BUF);
    x->response.body = *body;
    *body = (struct ldb_buf)LDB_BUF_INIT(0);
}

void api_answer_static(struct api_exchange *x, unsigned status,
                       const char *content_type, struct ldb_slice body)
{
    answer(x, status, content_type, API_BODY_STATIC);
    x->response.static_body = body;
}

void api_answer_stream(struct api_exchange *x, unsigned status,
                       const char *content_type,
                       const struct api_stream_ops *ops, void *stream)
{
    api_answer_stream_of(x, status, content_type, API_LENGTH_UNKNOWN, ops,
                         stream);
}

void api_answer_stream_of(struct api_exchange *x, unsigned status,
                          const char *content_type, uint64_t length,
                          const struct api_stream_ops *ops, void *stream)
{
    assert(length > 0);
    answer(x, status, content_type, API_BODY_STREAM);
    x->response.stream_ops = ops;
    x->response.stream = stream;
    x->response.stream_length = length;
}

void api_answer_head(struct api_exchange *x, unsigned status,
                     const char *content_type, uint64_t length)
{
    assert(x->method == API_HEAD);
    answer(x, status, content_type, API_BODY_NONE);
    x->response.head_length = length;
}

void api_response_release(struct api_response *response)
{
    if (response->stream != NULL)
        response->stream_ops->destroy(response->stream);
    response->stream = NULL;
    ldb_buf_release(&response->body);
    response->body_kind = API_BODY_NONE;
}
