#include <string.h>
#include <strings.h>

#include "service/http_internal.h"

static bool name_is(struct ldb_slice name, const char *text)
{
    return name.len == strlen(text) &&
           strncasecmp((const char *)name.data, text, name.len) == 0;
}

static enum MHD_Result read_head_field(void *cls, enum MHD_ValueKind kind,
                                       const char *name_text, size_t name_len,
                                       const char *value_text, size_t value_len)
{
    struct svc_head *head = cls;
    struct ldb_slice name = ldb_slice_make(name_text, name_len);
    struct ldb_slice value =
        ldb_slice_make(value_text == NULL ? "" : value_text, value_len);

    (void)kind;
    if (memchr(value.data, 0, value.len) != NULL)
        head->has_nul = true;
    switch (name.len) {
    case sizeof "Host" - 1:
        if (name_is(name, "Host"))
            head->hosts++;
        break;
    case sizeof "Expect" - 1:
        if (name_is(name, "Expect") && name_is(value, "100-continue"))
            head->expects_continue = true;
        break;
    case sizeof "X-Request-Id" - 1:
        if (name_is(name, "X-Request-Id") && head->request_ids++ == 0)
            head->request_id = value;
        break;
    case sizeof "Content-Length" - 1:
        if (!name_is(name, "Content-Length"))
            break;
        if (head->lengths++ == 0)
            head->length = value;
        else if (!ldb_slice_equal(head->length, value))
            head->lengths_differ = true;
        break;
    case sizeof "Transfer-Encoding" - 1:
        if (name_is(name, "Transfer-Encoding") && head->encodings++ == 0)
            head->encoding = value;
        break;
    default:
        break;
    }
    return MHD_YES;
}

struct svc_head svc_head_read(struct MHD_Connection *connection)
{
    struct svc_head head = {0};

    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, read_head_field,
                                &head);
    return head;
}

const char *svc_head_judge(const struct svc_head *head, const char *version)
{
    if (head->has_nul)
        return "a header holds a NUL byte";
    if (head->hosts == 0 && strcmp(version, "HTTP/1.1") == 0)
        return "HTTP/1.1 needs a Host header";
    if (head->hosts > 1)
        return "more than one Host header";
    if (head->lengths > 0 && head->encodings > 0)
        return "both Content-Length and Transfer-Encoding";
    if (head->lengths > 1)
        return head->lengths_differ ? "differing Content-Length headers"
                                    : "more than one Content-Length header";
    if (head->encodings > 1 ||
        (head->encodings == 1 && !name_is(head->encoding, "chunked")))
        return "Transfer-Encoding other than chunked";
    return NULL;
}

static const struct {
    const char *text;
    enum api_method method;
} methods[] = {
    {"GET", API_GET},   {"PUT", API_PUT},       {"POST", API_POST},
    {"HEAD", API_HEAD}, {"DELETE", API_DELETE},
};

enum api_method svc_head_method(const char *text)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(text, methods[i].text) == 0)
            return methods[i].method;
    }
    return API_METHOD_OTHER;
}

const char *svc_head_method_text(enum api_method method)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (methods[i].method == method)
            return methods[i].text;
    }
    return "other";
}
