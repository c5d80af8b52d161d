#include <string.h>
#include <strings.h>

#include "service/http_internal.h"

static bool name_is(struct ldb_slice name, const char *text)
{
    return name.len == strlen(text) &&
           strncasecmp((const char *)name.data, text, name.len) == 0;
}

/* Where a byte may stand: each of these allows less than the one before. */
#define IN_VALUE  '1' /* of a header: no control character but the tab */
#define IN_TARGET '2' /* of the request: no blank either */
#define IN_NAME   '3' /* of a header: a token, as RFC 9110 has it */

static const char places[] = "0000000001000000"
                             "0000000000000000"
                             "1323333322332332" /* from the blank on */
                             "3333333333222222"
                             "2333333333333333"
                             "3333333333322233"
                             "3333333333333333"
                             "3333333333323230"
                             "2222222222222222"
                             "2222222222222222"
                             "2222222222222222"
                             "2222222222222222"
                             "2222222222222222"
                             "2222222222222222"
                             "2222222222222222"
                             "2222222222222222";

static_assert(sizeof places == 256 + 1, "one for each byte, and the NUL");

/* All of these bytes may stand there. */
static bool belong(struct ldb_slice bytes, char place)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (places[bytes.data[i]] < place)
            return false;
    }
    return true;
}

/*
 * The library takes more for a header than HTTP allows: it ends a value at a
 * NUL, a line at a bare LF, and what a folded line goes on with it appends to
 * the *name* of the header before ("Transfer-Enc: chunked" folded with "oding"
 * is Transfer-Encoding to it, and nothing to a proxy). All of that shows in
 * where its strings lie in its buffer: they follow each other, with one blank,
 * colon or CRLF, each a NUL by now, and blanks before a value between them,
 * and at the end of the head they must be at its end.
 */
static bool follows(const char *name, size_t name_len, const char *value)
{
    const char *at = name + name_len + 1;

    while (at < value && (*at == ' ' || *at == '\t'))
        at++;
    return at == value;
}

static void note_place(struct svc_head *head, const char *name, size_t name_len,
                       const char *value, size_t value_len)
{
    if (head->next != NULL && name == head->next && value != NULL &&
        follows(name, name_len, value))
        head->next = value + value_len + 2;
    else
        head->next = NULL;
}

static void note_length(struct svc_head *head, struct ldb_slice value)
{
    if (head->lengths++ == 0)
        head->length = value;
    else if (!ldb_slice_equal(head->length, value))
        head->lengths_differ = true;
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
    note_place(head, name_text, name_len, value_text, value_len);
    head->name_marks |= api_header_mark(name_text, name_len);
    if (name_len == 0 || !belong(name, IN_NAME))
        head->is_bad_name = true;
    if (!belong(value, IN_VALUE))
        head->has_control = true;
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
        if (name_is(name, "Content-Length"))
            note_length(head, value);
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

struct svc_head svc_head_read(const struct svc_exchange *x, const char *method,
                              const char *url, const char *version)
{
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(
        x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct svc_head head = {0};

    if (url == method + strlen(method) + 1 &&
        version == url + x->target.len + 1)
        head.next = version + strlen(version) + 2;
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, read_head_field,
                                &head);
    if (size == NULL || head.next == NULL ||
        head.next + 2 != method + size->header_size)
        head.next = NULL;
    return head;
}

static const char *judge_body(const struct svc_head *head, bool is_1_0)
{
    if (head->lengths > 0 && head->encodings > 0)
        return "both Content-Length and Transfer-Encoding";
    if (head->lengths > 1)
        return head->lengths_differ ? "differing Content-Length headers"
                                    : "more than one Content-Length header";
    if (head->encodings > 0 && is_1_0)
        return "Transfer-Encoding in a request of HTTP/1.0";
    if (head->encodings > 1 ||
        (head->encodings == 1 && !name_is(head->encoding, "chunked")))
        return "Transfer-Encoding other than chunked";
    return NULL;
}

const char *svc_head_judge(const struct svc_exchange *x,
                           const struct svc_head *head, const char *version)
{
    bool is_1_0 = strcmp(version, "HTTP/1.0") == 0;

    if (!belong(x->target, IN_TARGET))
        return "the request's target holds a blank or a control character";
    if (head->is_bad_name)
        return "a header's name is no token";
    if (head->next == NULL)
        return "the head holds a NUL byte, a folded line, a line without CRLF, "
               "or more than one blank in the request line";
    if (head->has_control)
        return "a header's value holds a control character";
    if (head->hosts == 0 && !is_1_0)
        return "HTTP/1.1 needs a Host header";
    if (head->hosts > 1)
        return "more than one Host header";
    return judge_body(head, is_1_0);
}

/* Of "http://host/path", which a server must take, the path is what counts. */
static struct ldb_slice without_authority(struct ldb_slice target)
{
    static const char *const schemes[] = {"http://", "https://"};

    if (target.len > 0 && target.data[0] == '/')
        return target;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t at = strlen(schemes[i]);

        if (target.len <= at ||
            strncasecmp((const char *)target.data, schemes[i], at) != 0)
            continue;
        while (at < target.len && target.data[at] != '/' &&
               target.data[at] != '?')
            at++;
        if (at == target.len)
            return ldb_slice_str("/");
        return ldb_slice_make(target.data + at, target.len - at);
    }
    return target;
}

void svc_head_split_target(struct svc_exchange *x, struct ldb_slice target)
{
    const uint8_t *question;

    x->target = target;
    target = without_authority(target);
    question = target.len == 0 ? NULL : memchr(target.data, '?', target.len);
    x->api.raw_path = target;
    if (question == NULL)
        return;
    x->api.raw_path.len = (size_t)(question - target.data);
    x->api.raw_query =
        ldb_slice_make(question + 1, target.len - x->api.raw_path.len - 1);
}

/*
 * The library would take the query apart into its own list, in the memory of
 * the connection, and stop in the middle of the request when that is too
 * small. It sees an empty query instead; the buffer is the library's, and meant
 * to be changed.
 */
void svc_head_hide_query(const char *uri, size_t len)
{
    const char *question = len == 0 ? NULL : memchr(uri, '?', len);

    if (question != NULL)
        ((char *)(uintptr_t)question)[1] = '\0';
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
