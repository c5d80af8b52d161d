#include "replication/http_answer.h"

#include <ctype.h>
#include <strings.h>

#include "replication/file_headers.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

/* Bytes of a header's value that an error shows. */
#define SHOWN_MAX 64

static bool is_named(struct ldb_slice text, const char *name)
{
    return text.len == strlen(name) &&
           strncasecmp((const char *)text.data, name, text.len) == 0;
}

/* The bytes behind at, which is in text or its end. */
static struct ldb_slice behind(struct ldb_slice text, const uint8_t *at)
{
    return ldb_slice_make(at + 1, text.len - (size_t)(at + 1 - text.data));
}

static struct ldb_slice before(struct ldb_slice text, const uint8_t *at)
{
    return ldb_slice_make(text.data, (size_t)(at - text.data));
}

static const uint8_t *find(struct ldb_slice text, uint8_t c)
{
    return text.len == 0 ? NULL : memchr(text.data, c, text.len);
}

/* "HTTP/1.1 200 OK": a new head begins; after one of 1xx there is another. */
static bool read_status_line(struct repl_http_answer *a, struct ldb_slice line)
{
    const uint8_t *blank = find(line, ' ');
    struct ldb_slice rest;
    uint64_t http;

    if (blank == NULL)
        return false;
    rest = behind(line, blank);
    if (rest.len < 3 || (rest.len > 3 && rest.data[3] != ' ') ||
        !ldb_parse_u64(ldb_slice_make(rest.data, 3), &http) || http < 100)
        return false;
    *a = (struct repl_http_answer){.http = (unsigned)http, .bytes = a->bytes};
    return true;
}

/* "bytes 10-19/20", or of a refusal the size alone behind an asterisk. */
static bool read_content_range(struct repl_http_answer *a,
                               struct ldb_slice value)
{
    struct ldb_slice unit = ldb_slice_str("bytes ");
    struct ldb_slice range;
    const uint8_t *slash;
    const uint8_t *dash;
    uint64_t last;

    if (a->has_range || !ldb_slice_starts_with(value, unit))
        return false;
    value = ldb_slice_make(value.data + unit.len, value.len - unit.len);
    slash = find(value, '/');
    if (slash == NULL || !ldb_parse_u64(behind(value, slash), &a->range_size))
        return false;
    range = before(value, slash);
    a->has_range = true;
    a->range_first = a->range_size;
    if (ldb_slice_equal(range, ldb_slice_str("*")))
        return a->http == 416;
    dash = find(range, '-');
    return dash != NULL &&
           ldb_parse_u64(before(range, dash), &a->range_first) &&
           ldb_parse_u64(behind(range, dash), &last) &&
           a->range_first <= last && last < a->range_size;
}

static bool read_content_length(struct repl_http_answer *a,
                                struct ldb_slice value)
{
    uint64_t length;

    if (!ldb_parse_u64(value, &length) ||
        (a->has_length && length != a->length))
        return false;
    a->has_length = true;
    a->length = length;
    return true;
}

/* Those of HTTP itself. False: none that we can live with. */
static bool read_http_header(struct repl_http_answer *a, struct ldb_slice name,
                             struct ldb_slice value)
{
    if (is_named(name, "Content-Length"))
        return read_content_length(a, value);
    if (is_named(name, "Content-Range"))
        return read_content_range(a, value);
    if (is_named(name, "Transfer-Encoding")) {
        a->is_chunked = is_named(value, "chunked");
        return a->is_chunked;
    }
    /* Nobody was asked for other bytes than the file's. */
    if (is_named(name, "Content-Encoding"))
        return is_named(value, "identity");
    return true;
}

static enum ldb_status read_header(struct repl_http_answer *a,
                                   struct ldb_slice line, struct ldb_error *err)
{
    const uint8_t *colon = find(line, ':');
    struct ldb_slice name;
    struct ldb_slice value;

    if (colon == NULL)
        return ldb_error_set(err, LDB_IO, "a header without a colon");
    name = before(line, colon);
    value = behind(line, colon);
    while (value.len > 0 && isspace(value.data[0])) {
        value.data++;
        value.len--;
    }
    while (value.len > 0 && isspace(value.data[value.len - 1]))
        value.len--;
    if (!read_http_header(a, name, value) ||
        repl_file_headers_read(name, value, NULL, &a->head) != LDB_OK)
        return ldb_error_set(err, LDB_IO,
                             "the answer's header %.*s is \"%.*s\"",
                             name.len > SHOWN_MAX ? SHOWN_MAX : (int)name.len,
                             (const char *)name.data,
                             value.len > SHOWN_MAX ? SHOWN_MAX : (int)value.len,
                             (const char *)value.data);
    if (is_named(name, REPL_SIZE_HEADER))
        a->has_size = true;
    return LDB_OK;
}

enum ldb_status repl_http_answer_line(struct repl_http_answer *answer,
                                      struct ldb_slice line,
                                      struct ldb_error *err)
{
    if (answer->is_whole)
        return LDB_OK;
    if (line.len > REPL_HTTP_HEAD_BYTES_MAX - answer->bytes)
        return ldb_error_set(err, LDB_IO, "the answer's head is too long");
    answer->bytes += line.len;
    while (line.len > 0 &&
           (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
        line.len--;
    if (ldb_slice_starts_with(line, ldb_slice_str("HTTP/"))) {
        if (!read_status_line(answer, line))
            return ldb_error_set(err, LDB_IO, "no HTTP status");
        return LDB_OK;
    }
    if (answer->http == 0)
        return ldb_error_set(err, LDB_IO, "an answer without an HTTP status");
    if (line.len > 0)
        return read_header(answer, line, err);
    answer->is_whole = answer->http >= 200;
    return LDB_OK;
}

bool repl_http_answer_is_success(const struct repl_http_answer *answer)
{
    return answer->http >= 200 && answer->http <= 299;
}

enum ldb_status repl_http_answer_check(const struct repl_http_answer *answer,
                                       struct ldb_error *err)
{
    assert(answer->is_whole && repl_http_answer_is_success(answer));
    if (!answer->has_length && !answer->is_chunked && answer->http != 204)
        return ldb_error_set(err, LDB_IO,
                             "an answer whose end is not told from a cut");
    return LDB_OK;
}

enum ldb_status
repl_http_answer_check_file(struct repl_http_answer *answer,
                            const struct repl_http_wanted *wanted,
                            struct ldb_error *err)
{
    /* From the first byte on all of it is as good: more than is wanted. */
    bool is_ranged =
        !wanted->is_head_alone && !wanted->follow &&
        (wanted->from > 0 || (wanted->count > 0 && answer->http == 206));

    if (answer->http != (is_ranged ? 206u : 200u))
        return ldb_error_set(err, LDB_IO, "answered %u, not %u", answer->http,
                             is_ranged ? 206u : 200u);
    if (is_ranged &&
        (!answer->has_range || answer->range_first != wanted->from))
        return ldb_error_set(err, LDB_IO, "not the bytes that were asked for");
    if (!answer->has_size) {
        if (is_ranged)
            answer->head.size = answer->range_size;
        else if (answer->has_length)
            answer->head.size = answer->length;
        else if (wanted->is_head_alone)
            return ldb_error_set(err, LDB_IO, "an answer without a size");
        else
            answer->head.size = wanted->from;
    }
    return wanted->is_head_alone ? LDB_OK : repl_http_answer_check(answer, err);
}

bool repl_http_answer_is_at_end(const struct repl_http_answer *answer,
                                const struct repl_http_wanted *wanted)
{
    if (answer->http != 416 || wanted->is_head_alone || wanted->follow)
        return false;
    return (answer->has_size && answer->head.size == wanted->from) ||
           (answer->has_range && answer->range_size == wanted->from);
}
