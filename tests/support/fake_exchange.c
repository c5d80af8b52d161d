#include "tests/support/fake_exchange.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/problem.h"
#include "api/response.h"
#include "storage/base/buf.h"
#include "storage/base/mutex.h"
#include "tests/support/assert_ldb.h"

/* Bytes of an answer: the largest value as escapes. */
#define BODY_MAX ((size_t)1 << 30)

struct fake_exchange {
    struct api_exchange x; /* first: ops get it back */
    struct ldb_arena arena;
    const struct fake_request *request;
    struct ldb_mutex mu;
    struct ldb_cond woken;
    unsigned wakes; /* guarded by mu */
};

struct ldb_slice fake_header_value(const char *line, const char *name)
{
    size_t len = strlen(name);

    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return (struct ldb_slice){0};
    line += len + 1;
    while (*line == ' ')
        line++;
    return ldb_slice_str(line);
}

static struct ldb_slice fake_header(struct api_exchange *x, const char *name,
                                    unsigned *out_count)
{
    struct fake_exchange *fake = (struct fake_exchange *)x;
    const char *const *lines = fake->request->headers;
    struct ldb_slice first = {0};
    unsigned count = 0;

    for (; lines != NULL && *lines != NULL; lines++) {
        struct ldb_slice value = fake_header_value(*lines, name);

        if (value.data != NULL && count++ == 0)
            first = value;
    }
    if (out_count != NULL)
        *out_count = count;
    return first;
}

static void fake_wake(struct api_exchange *x)
{
    struct fake_exchange *fake = (struct fake_exchange *)x;

    ldb_mutex_lock(&fake->mu);
    fake->wakes++;
    ldb_cond_signal(&fake->woken);
    ldb_mutex_unlock(&fake->mu);
}

static const struct api_exchange_ops fake_ops = {
    .header = fake_header,
    .wake = fake_wake,
};

static enum api_method method_of(const char *text)
{
    static const struct {
        const char *text;
        enum api_method method;
    } methods[] = {
        {"GET", API_GET},   {"HEAD", API_HEAD},     {"PUT", API_PUT},
        {"POST", API_POST}, {"DELETE", API_DELETE},
    };

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(methods[i].text, text) == 0)
            return methods[i].method;
    }
    return API_METHOD_OTHER;
}

struct fake_exchange *fake_exchange_create(struct api_context *context,
                                           const struct fake_request *request)
{
    struct fake_exchange *fake = test_calloc(1, sizeof(*fake));
    const char *query = strchr(request->target, '?');
    size_t path_len = query == NULL ? strlen(request->target)
                                    : (size_t)(query - request->target);

    ldb_arena_init(&fake->arena, 0);
    ldb_mutex_init(&fake->mu);
    ldb_cond_init(&fake->woken);
    fake->request = request;
    fake->x.ops = &fake_ops;
    fake->x.context = context;
    fake->x.method = method_of(request->method);
    fake->x.method_text = request->method;
    fake->x.raw_path = ldb_slice_make(request->target, path_len);
    if (query != NULL)
        fake->x.raw_query = ldb_slice_str(query + 1);
    fake->x.content_length =
        request->is_chunked ? API_LENGTH_UNKNOWN : request->body.len;
    fake->x.started_us = api_now_us(context);
    fake->x.header_marks = UINT32_MAX; /* any */
    fake->x.arena = &fake->arena;
    return fake;
}

struct api_exchange *fake_exchange_get(struct fake_exchange *fake)
{
    return &fake->x;
}

void fake_exchange_destroy(struct fake_exchange *fake)
{
    api_response_release(&fake->x.response);
    ldb_buf_release(&fake->x.body);
    ldb_arena_release(&fake->arena);
    ldb_cond_release(&fake->woken);
    ldb_mutex_release(&fake->mu);
    test_free(fake);
}

void fake_exchange_wait(struct fake_exchange *fake)
{
    ldb_mutex_lock(&fake->mu);
    while (fake->wakes == 0)
        ldb_cond_wait(&fake->woken, &fake->mu);
    fake->wakes--;
    ldb_mutex_unlock(&fake->mu);
}

/* False: refused. */
static bool collect_body(struct fake_exchange *fake, struct fake_answer *out)
{
    struct api_exchange *x = &fake->x;
    struct api_problem problem = {.kind = API_PROBLEM_OVERLOADED};

    x->body = (struct ldb_buf)LDB_BUF_INIT(x->body_limit);
    if (ldb_buf_append(&x->body, fake->request->body) == LDB_OK)
        return true;
    out->is_body_refused = true;
    if (fake->request->body.len > x->body_limit)
        api_problem_body_too_large(x, &problem);
    api_exchange_refuse(x, &problem);
    return false;
}

/* Until x is answered or wants more of its body; false: the client left. */
static bool run_waits(struct fake_exchange *fake)
{
    struct api_exchange *x = &fake->x;

    while (!x->response.ready && !x->wants_body) {
        api_pass_end(x->context);
        fake_exchange_wait(fake);
        if (fake->request->leaves)
            return false;
        api_exchange_resume(x);
    }
    return true;
}

/* As the service does. */
static void give_piece(struct api_exchange *x, struct ldb_slice piece)
{
    struct api_problem problem = {.kind = API_PROBLEM_OVERLOADED};

    x->wants_body = false;
    if (piece.len > x->body_limit - x->body.len) {
        api_problem_body_too_large(x, &problem);
        api_exchange_refuse(x, &problem);
    } else if (ldb_buf_append(&x->body, piece) != LDB_OK) {
        api_exchange_refuse(x, &problem);
    } else if (x->body.len >= x->body_window) {
        api_exchange_take(x);
    } else {
        x->wants_body = true;
    }
}

/* False: the client left. */
static bool give_pieces(struct fake_exchange *fake)
{
    struct api_exchange *x = &fake->x;
    struct ldb_slice left = fake->request->body;
    size_t most = fake->request->read_max == 0 ? 4096 : fake->request->read_max;

    x->body = (struct ldb_buf)LDB_BUF_INIT(x->body_limit);
    while (left.len > 0 && !x->response.ready) {
        size_t len = left.len < most ? left.len : most;

        give_piece(x, ldb_slice_make(left.data, len));
        left = ldb_slice_make(left.data + len, left.len - len);
        if (!run_waits(fake))
            return false;
    }
    x->wants_body = false;
    return true;
}

static void run_exchange(struct fake_exchange *fake, struct fake_answer *out)
{
    struct api_exchange *x = &fake->x;

    api_exchange_begin(x);
    if (x->response.ready)
        return;
    if (x->body_window != 0 ? !give_pieces(fake) : !collect_body(fake, out))
        return;
    if (x->response.ready)
        return;
    api_exchange_finish(x);
    (void)!run_waits(fake);
}

/*
 * Room for more bytes, past the hook that fails allocations: what is kept of
 * an answer is the test's, not what is tested. ldb_buf_release() frees it.
 */
static uint8_t *room(struct ldb_buf *buf, size_t more)
{
    if (buf->capacity - buf->len < more) {
        size_t capacity = (buf->len + more) * 2;

        buf->data = realloc(buf->data, capacity);
        assert_non_null(buf->data);
        buf->capacity = capacity;
    }
    return buf->data + buf->len;
}

static void keep(struct ldb_buf *buf, struct ldb_slice bytes)
{
    if (bytes.len > 0)
        memcpy(room(buf, bytes.len), bytes.data, bytes.len);
    buf->len += bytes.len;
}

static void read_stream(struct fake_exchange *fake, struct fake_answer *out)
{
    struct api_response *response = &fake->x.response;
    size_t max = fake->request->read_max == 0 ? 4096 : fake->request->read_max;

    for (;;) {
        int64_t len;

        len = response->stream_ops->read(response->stream,
                                         room(&out->body, max), max);
        if (len == API_STREAM_YIELD)
            continue;
        if (len == API_STREAM_WAIT) {
            fake_exchange_wait(fake);
            continue;
        }
        if (len <= 0) {
            out->is_cut = len == API_STREAM_FAILED;
            return;
        }
        assert_true((size_t)len <= max);
        out->body.len += (size_t)len;
    }
}

static void keep_answer(struct fake_exchange *fake, struct fake_answer *out)
{
    struct api_response *response = &fake->x.response;

    out->is_ready = response->ready;
    out->status = response->status;
    if (response->content_type != NULL) {
        assert_true(strlen(response->content_type) < sizeof(out->content_type));
        memcpy(out->content_type, response->content_type,
               strlen(response->content_type) + 1);
    }
    out->body_kind = response->body_kind;
    out->head_length = response->head_length;
    for (const struct api_header *h = response->headers; h != NULL;
         h = h->next) {
        keep(&out->headers, ldb_slice_str(h->name));
        keep(&out->headers, ldb_slice_str(": "));
        keep(&out->headers, ldb_slice_str(h->value));
        keep(&out->headers, ldb_slice_str("\n"));
    }
    switch (response->body_kind) {
    case API_BODY_NONE:
        break;
    case API_BODY_STATIC:
        keep(&out->body, response->static_body);
        break;
    case API_BODY_BUF:
        keep(&out->body, ldb_slice_of_buf(&response->body));
        break;
    case API_BODY_STREAM:
        read_stream(fake, out);
        break;
    }
}

void fake_run(struct api_context *context, const struct fake_request *request,
              struct fake_answer *out)
{
    struct fake_exchange *fake = fake_exchange_create(context, request);

    *out = (struct fake_answer){.headers = LDB_BUF_INIT((size_t)1 << 20),
                                .body = LDB_BUF_INIT(BODY_MAX)};
    run_exchange(fake, out);
    /* Whatever the answer, its reader does not hold the database. */
    if (fake->x.response.ready && fake->x.response.body_kind != API_BODY_STREAM)
        assert_false(fake->x.is_inside);
    keep_answer(fake, out);
    api_exchange_abandon(&fake->x);
    assert_false(fake->x.is_inside);
    fake_exchange_destroy(fake);
}

void fake_answer_release(struct fake_answer *answer)
{
    ldb_buf_release(&answer->headers);
    ldb_buf_release(&answer->body);
}

const char *fake_answer_header(const struct fake_answer *answer,
                               const char *name, char *out, size_t out_size)
{
    struct ldb_slice left = ldb_slice_of_buf(&answer->headers);
    size_t name_len = strlen(name);

    while (left.len > 0) {
        const uint8_t *end = memchr(left.data, '\n', left.len);
        size_t len = (size_t)(end - left.data);

        if (len >= name_len + 2 && left.data[name_len] == ':' &&
            strncasecmp((const char *)left.data, name, name_len) == 0) {
            size_t value_len = len - name_len - 2;

            assert_true(value_len < out_size);
            memcpy(out, left.data + name_len + 2, value_len);
            out[value_len] = '\0';
            return out;
        }
        left = ldb_slice_make(end + 1, left.len - len - 1);
    }
    return NULL;
}
