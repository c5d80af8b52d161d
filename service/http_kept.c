#include <string.h>

#include "service/http_internal.h"
#include "storage/base/mem.h"

/*
 * The library allocates three times for each header of a response, and frees
 * them: for a GET that costs more than the look-up. Its response is therefore
 * kept with the exchange, which is used again, and given to the next answer
 * that has a body of the same length and headers of the same names: only the
 * bytes, and the values that differ, are put in.
 *
 * That is allowed as nobody else has it then: the library lets go of a
 * response, on the loop's thread, in the same call in which it says that the
 * request is over, before it calls for another one.
 */

/* Headers of an answer that is kept, and of its content's type; chosen: more
 * than a GET has, and longer texts than those of its values. */
#define HEADERS_MAX 10
#define VALUE_SIZE  40

struct kept_header {
    const char *name; /* a literal: the same pointer is the same name */
    char value[VALUE_SIZE];
};

struct svc_kept {
    struct MHD_Response *response; /* NULL: none */
    uint8_t *body;                 /* its own; NULL: it has no bytes */
    size_t body_len;
    size_t header_count;
    struct kept_header headers[HEADERS_MAX];
};

/* An answer's, in the order in which they are sent. */
struct header_list {
    size_t count;
    struct {
        const char *name;
        const char *value;
    } items[HEADERS_MAX];
};

/* False: there are more headers than are kept. */
static bool list_headers(const struct api_response *answer,
                         struct header_list *out)
{
    size_t count = 0;

    if (answer->content_type != NULL) {
        out->items[0].name = MHD_HTTP_HEADER_CONTENT_TYPE;
        out->items[0].value = answer->content_type;
        count = 1;
    }
    for (const struct api_header *h = answer->headers; h != NULL; h = h->next) {
        if (count == HEADERS_MAX)
            return false;
        out->items[count].name = h->name;
        out->items[count].value = h->value;
        count++;
    }
    out->count = count;
    return true;
}

static void clear(struct svc_kept *kept)
{
    if (kept->response != NULL)
        MHD_destroy_response(kept->response);
    *kept = (struct svc_kept){0};
}

static bool has_shape(const struct svc_kept *kept,
                      const struct header_list *list, size_t body_len)
{
    if (kept->response == NULL || kept->body_len != body_len ||
        kept->header_count != list->count)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (kept->headers[i].name != list->items[i].name)
            return false;
    }
    return true;
}

/* False: no memory, or it is longer than what is kept. */
static bool add_header(struct svc_kept *kept, size_t i, const char *name,
                       const char *value)
{
    size_t value_len = strlen(value);

    if (value_len >= VALUE_SIZE)
        return false;
    kept->headers[i].name = name;
    memcpy(kept->headers[i].value, value, value_len + 1);
    return MHD_add_response_header(kept->response, name, value) == MHD_YES;
}

/* Values that differ go to the end: the order of headers says nothing. */
static bool put_values(struct svc_kept *kept, const struct header_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->items[i].name;
        const char *value = list->items[i].value;

        if (strcmp(kept->headers[i].value, value) == 0)
            continue;
        if (MHD_del_response_header(kept->response, name,
                                    kept->headers[i].value) != MHD_YES ||
            !add_header(kept, i, name, value))
            return false;
    }
    return true;
}

static bool make(struct svc_kept *kept, const struct header_list *list,
                 size_t body_len)
{
    if (body_len > 0) {
        kept->body = ldb_mem_alloc(body_len, 1);
        if (kept->body == NULL)
            return false;
    }
    kept->response = MHD_create_response_from_buffer_with_free_callback(
        body_len, kept->body, ldb_mem_free);
    if (kept->response == NULL) {
        ldb_mem_free(kept->body);
        return false;
    }
    kept->body_len = body_len;
    for (size_t i = 0; i < list->count; i++) {
        if (!add_header(kept, i, list->items[i].name, list->items[i].value))
            return false;
    }
    kept->header_count = list->count;
    return true;
}

struct MHD_Response *svc_kept_take(struct svc_exchange *x)
{
    const struct api_response *answer = &x->api.response;
    size_t body_len = answer->body_kind == API_BODY_BUF ? answer->body.len : 0;
    struct svc_kept *kept = x->kept;
    struct header_list list;

    if (!list_headers(answer, &list))
        return NULL;
    if (kept == NULL)
        kept = x->kept = ldb_mem_zalloc(1, sizeof *kept);
    if (kept == NULL)
        return NULL;
    if (!has_shape(kept, &list, body_len) || !put_values(kept, &list)) {
        clear(kept);
        if (!make(kept, &list, body_len)) {
            clear(kept);
            return NULL;
        }
    }
    if (body_len > 0)
        memcpy(kept->body, answer->body.data, body_len);
    return kept->response;
}

void svc_kept_destroy(struct svc_kept *kept)
{
    if (kept == NULL)
        return;
    clear(kept);
    ldb_mem_free(kept);
}
