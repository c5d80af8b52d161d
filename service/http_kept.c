#include <string.h>
#include <strings.h>

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

/*
 * A value of the same length is written over the old one, where the library
 * has it: to delete a header and to add it takes 1.2 thousand instructions, and
 * a PUT has two such, of 16 thousand in all (bench/README.md). Nothing promises
 * that this may be done. In the version named here each value is a block of
 * memory of its own, which is read when the response is sent, and never before;
 * with any other version the header is deleted and added.
 */
#define OVERWRITTEN_VERSION "0.9.75"

/* Headers of an answer that is kept, and of its content's type; chosen: more
 * than a GET has, and longer texts than those of its values. */
#define HEADERS_MAX 10
#define VALUE_SIZE  40

struct kept_header {
    const char *name; /* a literal: the same pointer is the same name */
    size_t value_len;
    char value[VALUE_SIZE];
    char *sent; /* the library's; NULL: not to be written to */
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

/* Where the library has the value, if it may be written to. */
static char *find_sent(const struct svc_kept *kept, const char *name)
{
    if (strcmp(MHD_get_version(), OVERWRITTEN_VERSION) != 0)
        return NULL;
    return (char *)(uintptr_t)MHD_get_response_header(kept->response, name);
}

/* False: no memory, or it is longer than what is kept. */
static bool add_header(struct svc_kept *kept, size_t i, const char *name,
                       const char *value)
{
    struct kept_header *header = &kept->headers[i];
    size_t value_len = strlen(value);

    if (value_len >= VALUE_SIZE ||
        MHD_add_response_header(kept->response, name, value) != MHD_YES)
        return false;
    header->name = name;
    header->value_len = value_len;
    memcpy(header->value, value, value_len + 1);
    header->sent = find_sent(kept, name);
    return true;
}

static bool put_value(struct svc_kept *kept, size_t i, const char *value)
{
    struct kept_header *header = &kept->headers[i];
    size_t value_len = strlen(value);

    if (value_len == header->value_len) {
        if (memcmp(header->value, value, value_len) == 0)
            return true;
        if (header->sent != NULL) {
            memcpy(header->sent, value, value_len);
            memcpy(header->value, value, value_len);
            return true;
        }
    }
    /* It goes to the end: the order of headers says nothing. */
    return MHD_del_response_header(kept->response, header->name,
                                   header->value) == MHD_YES &&
           add_header(kept, i, header->name, value);
}

static bool put_values(struct svc_kept *kept, const struct header_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!put_value(kept, i, list->items[i].value))
            return false;
    }
    return true;
}

/* Of two of one name the library tells where the first is. */
static bool has_twice(const struct header_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcasecmp(list->items[i].name, list->items[j].name) == 0)
                return true;
        }
    }
    return false;
}

/* False: no memory, or a header that cannot be kept. */
static bool make(struct svc_kept *kept, const struct header_list *list,
                 size_t body_len)
{
    if (has_twice(list))
        return false;
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
