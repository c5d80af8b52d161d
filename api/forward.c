#include "api/forward.h"

#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/db_gate.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "api/router.h"
#include "replication/forwarder.h"
#include "storage/base/buf.h"

/* Says that a request has made its one hop; the value is who sent it. */
#define FORWARDED_HEADER "Leveld-Forwarded"

struct forward {
    struct repl_forward *sent;
    bool is_whole;  /* the body has come to its end here, */
    bool is_ended;  /* and the forwarder knows */
    bool has_given; /* some of it is on its way */
    char leader[REPL_URL_SIZE];
};

/* What is passed on of a request; sent more than once each is malformed. */
static const char *const request_headers[] = {
    "Authorization",       "Content-Type",   "Content-Encoding",
    "Content-Range",       "Accept",         "If-Match",
    "If-None-Match",       "Leveld-Timeout", "X-Request-Id",
    "Leveld-Min-Sequence",
};

#define REQUEST_HEADERS (sizeof(request_headers) / sizeof(request_headers[0]))

static_assert(REQUEST_HEADERS < REPL_FORWARD_HEADERS_MAX,
              "room for Leveld-Forwarded");

/* What is passed back of the answer, as the forwarder spells it. */
static const struct {
    const char *received;
    const char *sent;
} answer_headers[] = {
    {"etag", "ETag"},
    {"leveld-sequence", "Leveld-Sequence"},
    {"retry-after", "Retry-After"},
    {"allow", "Allow"},
    {"www-authenticate", "WWW-Authenticate"},
};

/* ---- which way ---- */

/* A leader that is about to step down takes no write any more. */
static enum api_forward_way stay(struct api_exchange *x)
{
    struct api_problem problem;

    if (!api_db_gate_is_closing(x->context->writes) || x->context->read_only)
        return API_FORWARD_HERE;
    api_db_gate_problem(x->context->writes, &problem);
    api_answer_problem(x, &problem);
    return API_FORWARD_ANSWERED;
}

static void answer_redirect(struct api_exchange *x, const char *leader)
{
    if (!api_header_printf(
            x, "Location", "%s%.*s%s%.*s", leader, (int)x->raw_path.len,
            (const char *)x->raw_path.data, x->raw_query.len == 0 ? "" : "?",
            (int)x->raw_query.len,
            x->raw_query.len == 0 ? "" : (const char *)x->raw_query.data)) {
        api_answer_no_memory(x);
        return;
    }
    api_answer_empty(x, 307);
}

/* ---- sending ---- */

/* Answers 400 to a header that came twice. */
static bool fill_headers(struct api_exchange *x,
                         struct repl_forward_request *request)
{
    const char *node_id = x->context->node_id;

    for (size_t i = 0; i < REQUEST_HEADERS; i++) {
        struct ldb_slice value;

        if (!api_header_once(x, request_headers[i], &value))
            return false;
        if (value.data != NULL)
            request->headers[request->header_count++] =
                (struct repl_forward_header){.name = request_headers[i],
                                             .value = value};
    }
    request->headers[request->header_count++] = (struct repl_forward_header){
        .name = FORWARDED_HEADER, .value = ldb_slice_str(node_id)};
    return true;
}

/* Path and query as they came, one after the other; {NULL, 0}: no memory. */
static struct ldb_slice target_of(struct api_exchange *x)
{
    size_t len = x->raw_path.len + 1 + x->raw_query.len;
    uint8_t *text = ldb_arena_alloc(x->arena, len);

    if (text == NULL)
        return (struct ldb_slice){0};
    memcpy(text, x->raw_path.data, x->raw_path.len);
    if (x->raw_query.len == 0)
        return ldb_slice_make(text, x->raw_path.len);
    text[x->raw_path.len] = '?';
    memcpy(text + x->raw_path.len + 1, x->raw_query.data, x->raw_query.len);
    return ldb_slice_make(text, len);
}

static void wake(void *context)
{
    api_exchange_wake(context);
}

/* False: answered. */
static bool send_on(struct api_exchange *x, const char *leader)
{
    struct repl_forwarder *forwarder = x->context->forwarder;
    struct forward *state = ldb_arena_alloc_aligned(x->arena, sizeof(*state));
    struct repl_forward_request request = {
        .url = leader,
        .method = x->method_text,
        .has_body = x->method != API_DELETE || x->content_length != 0,
        .body_len = x->content_length,
        .wake = wake,
        .context = x,
    };
    struct ldb_error error = {0};
    enum ldb_status s;

    request.target = target_of(x);
    if (state == NULL || request.target.data == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    if (!fill_headers(x, &request))
        return false;
    memset(state, 0, sizeof(*state));
    (void)snprintf(state->leader, sizeof(state->leader), "%s", leader);
    s = forwarder->ops->begin(forwarder, &request, &error, &state->sent);
    if (s != LDB_OK) {
        api_answer_status(x, s, &error);
        return false;
    }
    x->state = state;
    x->body_window = API_FORWARD_WINDOW;
    x->body_limit = 2 * API_FORWARD_WINDOW; /* of what lies in x->body */
    return true;
}

enum api_forward_way api_forward_begin(struct api_exchange *x)
{
    struct api_context *context = x->context;
    char leader[REPL_URL_SIZE];
    struct ldb_slice hop;

    if (api_role_get(context->role) == REPL_ROLE_LEADER)
        return stay(x);
    hop = api_exchange_header(x, FORWARDED_HEADER, NULL);
    api_role_leader_url(context->role, leader);
    if (hop.data != NULL) {
        api_answer_no_leader(x, "this node does not lead, and the request was "
                                "sent on by another one");
    } else if (leader[0] == '\0') {
        api_answer_no_leader(x, "this node follows, and knows no leader");
    } else if (context->follower_writes == API_FOLLOWER_FORWARDS &&
               context->forwarder != NULL) {
        if (send_on(x, leader))
            return API_FORWARD_SENT;
    } else if (!api_auth_check(x, x->route->scope)) {
        return API_FORWARD_ANSWERED;
    } else if (context->follower_writes == API_FOLLOWER_REDIRECTS) {
        answer_redirect(x, leader);
    } else {
        api_answer_not_leader(x, leader);
    }
    return API_FORWARD_ANSWERED;
}

/* ---- the answer ---- */

/* The value of a header of the answer, in the arena; NULL: it has none, or
 * *out_failed: no memory. */
static const char *find_header(struct api_exchange *x,
                               const struct ldb_buf *headers, const char *name,
                               bool *out_failed)
{
    struct ldb_slice left = ldb_slice_of_buf(headers);
    size_t name_len = strlen(name);

    while (left.len > 0) {
        const uint8_t *end = memchr(left.data, '\n', left.len);
        size_t len = end == NULL ? left.len : (size_t)(end - left.data);
        size_t skip = name_len + 1;
        char *copy;

        if (len >= skip && memcmp(left.data, name, name_len) == 0 &&
            left.data[name_len] == ':') {
            while (skip < len && left.data[skip] == ' ')
                skip++;
            copy = ldb_arena_alloc(x->arena, len - skip + 1);
            *out_failed = copy == NULL;
            if (copy == NULL)
                return NULL;
            memcpy(copy, left.data + skip, len - skip);
            copy[len - skip] = '\0';
            return copy;
        }
        if (end == NULL)
            break;
        left = ldb_slice_make(end + 1, left.len - len - 1);
    }
    return NULL;
}

static bool copy_headers(struct api_exchange *x, const struct ldb_buf *headers)
{
    for (size_t i = 0; i < sizeof(answer_headers) / sizeof(answer_headers[0]);
         i++) {
        bool has_failed = false;
        const char *value =
            find_header(x, headers, answer_headers[i].received, &has_failed);

        if (has_failed || (value != NULL &&
                           !api_header_add(x, answer_headers[i].sent, value)))
            return false;
    }
    return true;
}

/* The write was sent, and what came of it cannot be told. */
static void answer_unknown(struct api_exchange *x, const char *why)
{
    struct api_problem problem = {.kind = API_PROBLEM_OUTCOME_UNKNOWN,
                                  .status = 504};

    api_problem_detail(&problem,
                       "the write was sent to the leader, and may "
                       "have been done: %s",
                       why);
    api_answer_problem(x, &problem);
}

static void answer_as_leader(struct api_exchange *x,
                             struct repl_forward_answer *answer)
{
    bool has_failed = false;
    const char *type =
        find_header(x, &answer->headers, "content-type", &has_failed);

    if (has_failed || !copy_headers(x, &answer->headers))
        answer_unknown(x, "this node has no memory for its answer");
    else if (answer->body.len == 0)
        api_answer_empty(x, answer->status);
    else
        api_answer_buf(x, answer->status, type, &answer->body);
}

static void answer(struct api_exchange *x, struct forward *state)
{
    struct repl_forward_answer *got = NULL;
    struct ldb_error error = {0};

    switch (repl_forward_outcome(state->sent, &error, &got)) {
    case REPL_FORWARD_ANSWERED:
        answer_as_leader(x, got);
        return;
    case REPL_FORWARD_NOT_SENT:
        api_answer_no_leader(x, error.message);
        return;
    case REPL_FORWARD_UNKNOWN:
        answer_unknown(x, error.message);
        return;
    }
}

/* ---- the calls of an exchange ---- */

/* What is in x->body on its way; then the end, when there is no more. */
static enum repl_forward_step pass_on(struct api_exchange *x,
                                      struct forward *state)
{
    if (x->body.len > 0) {
        state->has_given = true;
        return repl_forward_give(state->sent, &x->body);
    }
    if (!state->is_whole)
        return REPL_FORWARD_MORE;
    state->is_ended = true;
    return repl_forward_end(state->sent);
}

static void go_on(struct api_exchange *x, struct forward *state,
                  enum repl_forward_step step)
{
    /* Each turn gives a piece, or the end. */
    while (step == REPL_FORWARD_MORE && (state->is_whole || x->body.len > 0)) {
        assert(!state->is_ended);
        step = pass_on(x, state);
    }
    switch (step) {
    case REPL_FORWARD_WAITS:
        return;
    case REPL_FORWARD_MORE:
        x->wants_body = true;
        return;
    case REPL_FORWARD_OVER:
        answer(x, state);
        return;
    }
}

void api_forward_take(struct api_exchange *x)
{
    go_on(x, x->state, pass_on(x, x->state));
}

void api_forward_finish(struct api_exchange *x)
{
    struct forward *state = x->state;

    state->is_whole = true;
    go_on(x, state, pass_on(x, state));
}

void api_forward_resume(struct api_exchange *x)
{
    struct forward *state = x->state;

    go_on(x, state, repl_forward_step(state->sent));
}

void api_forward_refuse(struct api_exchange *x,
                        const struct api_problem *problem)
{
    struct forward *state = x->state;

    /* Of a bulk load what came before may stand. */
    if (state->has_given)
        answer_unknown(x, problem->detail);
    else
        api_answer_problem(x, problem);
}

void api_forward_abandon(struct api_exchange *x)
{
    struct forward *state = x->state;

    if (state != NULL && state->sent != NULL)
        repl_forward_close(state->sent);
}
