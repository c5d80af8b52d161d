#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "api/json_text.h"
#include "api/response.h"
#include "replication/heal.h"
#include "storage/base/buf.h"
#include "storage/base/checked.h"

/* Bytes of a problem's body; the key is the large part: 64 KiB, escaped. */
#define PROBLEM_BODY_MAX ((size_t)1 << 20)
/* Longer keys are left out of the body. Chosen: enough to recognise one. */
#define PROBLEM_KEY_MAX ((size_t)1024)

/* Least seconds until a stalled or stopping node is worth another try. */
#define RETRY_SOON_S 1

const char *api_problem_name(enum api_problem_kind kind)
{
    switch (kind) {
#define PROBLEM_NAME(id, name, status, title)                                  \
    case API_PROBLEM_##id:                                                     \
        return name;
        API_PROBLEM_LIST(PROBLEM_NAME)
#undef PROBLEM_NAME
    }
    return "internal";
}

const char *api_problem_title(enum api_problem_kind kind)
{
    switch (kind) {
#define PROBLEM_TITLE(id, name, status, title)                                 \
    case API_PROBLEM_##id:                                                     \
        return title;
        API_PROBLEM_LIST(PROBLEM_TITLE)
#undef PROBLEM_TITLE
    }
    return "Internal error";
}

unsigned api_problem_status(enum api_problem_kind kind)
{
    static const unsigned statuses[] = {
#define PROBLEM_STATUS(id, name, status, title) [API_PROBLEM_##id] = (status),
        API_PROBLEM_LIST(PROBLEM_STATUS)
#undef PROBLEM_STATUS
    };

    return statuses[kind];
}

/* What goes out when there is no memory for anything better. */
static struct ldb_slice fixed_body(enum api_problem_kind kind)
{
    static const char *const bodies[] = {
#define PROBLEM_BODY(id, name, status, title)                                  \
    [API_PROBLEM_##id] = "{\"type\":\"/problems/" name "\",\"title\":\"" title \
                         "\",\"status\":" #status "}\n",
        API_PROBLEM_LIST(PROBLEM_BODY)
#undef PROBLEM_BODY
    };

    return ldb_slice_str(bodies[kind]);
}

void api_problem_detail(struct api_problem *problem, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(problem->detail, sizeof(problem->detail), format,
                    arguments);
    va_end(arguments);
}

static void write_members(struct api_json *json,
                          const struct api_problem *problem)
{
    if (problem->reason != NULL)
        api_json_member_text(json, "reason", problem->reason);
    if (problem->has_index)
        api_json_member_u64(json, "index", problem->index);
    if (problem->has_key && problem->key.len <= PROBLEM_KEY_MAX) {
        enum api_encoding encoding = api_encoding_for(
            API_ENCODING_UTF8, problem->key, (struct ldb_slice){0});

        api_json_name(json, "key");
        api_json_bytes(json, encoding, problem->key);
        if (encoding != API_ENCODING_UTF8)
            api_json_member_text(json, "encoding", api_encoding_name(encoding));
    }
    if (problem->has_current) {
        api_json_name(json, "current");
        if (problem->current_exists)
            api_json_u64(json, problem->current);
        else
            api_json_null(json);
    }
    if (problem->file[0] != '\0')
        api_json_member_text(json, "file", problem->file);
    if (problem->has_offset)
        api_json_member_u64(json, "offset", problem->offset);
    if (problem->has_deleted)
        api_json_member_u64(json, "deleted", problem->deleted);
    if (problem->has_line)
        api_json_member_u64(json, "line", problem->line);
    if (problem->has_written) {
        api_json_member_u64(json, "sequence", problem->written_sequence);
        api_json_member_u64(json, "count", problem->written_count);
    }
    if (problem->has_replicas)
        api_json_member_u64(json, "replicas", problem->replicas);
    if (problem->has_oldest)
        api_json_member_u64(json, "oldest", problem->oldest);
    if (problem->has_fork)
        api_json_member_u64(json, "fork", problem->fork);
    if (problem->leader != NULL)
        api_json_member_text(json, "leader", problem->leader);
}

static unsigned status_of(const struct api_problem *problem)
{
    return problem->status != 0 ? problem->status
                                : api_problem_status(problem->kind);
}

enum ldb_status api_problem_write(const struct api_problem *problem,
                                  struct ldb_buf *out)
{
    struct api_json json = api_json_make(out);
    char type[64];

    (void)snprintf(type, sizeof(type), "/problems/%s",
                   api_problem_name(problem->kind));
    api_json_object_begin(&json);
    api_json_member_text(&json, "type", type);
    api_json_member_text(&json, "title", api_problem_title(problem->kind));
    api_json_member_u64(&json, "status", status_of(problem));
    if (problem->detail[0] != '\0')
        api_json_member_text(&json, "detail", problem->detail);
    write_members(&json, problem);
    api_json_object_end(&json);
    return json.status;
}

/* Of stalled writes what was measured counts, where it is more. */
static unsigned retry_after_s(const struct api_context *context,
                              const struct api_problem *problem)
{
    unsigned measured;

    if (problem->kind != API_PROBLEM_STALLED)
        return problem->retry_after_s;
    measured =
        atomic_load_explicit(&context->retry_after_s, memory_order_relaxed);
    return measured > problem->retry_after_s ? measured
                                             : problem->retry_after_s;
}

void api_problem_tell_damage(struct repl_heal *heal,
                             const struct api_problem *problem)
{
    if (heal != NULL && problem->kind == API_PROBLEM_CORRUPTION)
        repl_heal_suspect_in(heal, problem->file);
}

void api_answer_problem(struct api_exchange *x,
                        const struct api_problem *problem)
{
    struct ldb_buf body = LDB_BUF_INIT(PROBLEM_BODY_MAX);

    if (x->is_inside)
        api_problem_tell_damage(x->context->heal, problem);

    /* Without memory for it the header is left out: the status is enough. */
    if (problem->retry_after_s != 0)
        (void)!api_header_printf(x, "Retry-After", "%u",
                                 retry_after_s(x->context, problem));
    if (api_problem_write(problem, &body) == LDB_OK &&
        ldb_buf_append_byte(&body, '\n') == LDB_OK)
        api_answer_buf(x, status_of(problem), API_TYPE_PROBLEM, &body);
    else if (status_of(problem) == api_problem_status(problem->kind))
        api_answer_static(x, status_of(problem), API_TYPE_PROBLEM,
                          fixed_body(problem->kind));
    else /* the fixed text would contradict the status */
        api_answer_no_memory(x);
    ldb_buf_release(&body);
}

void api_answer_problemf(struct api_exchange *x, enum api_problem_kind kind,
                         const char *format, ...)
{
    struct api_problem problem = {.kind = kind};
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(problem.detail, sizeof(problem.detail), format, arguments);
    va_end(arguments);
    api_answer_problem(x, &problem);
}

static enum api_problem_kind kind_of_status(enum ldb_status status)
{
    switch (status) {
    case LDB_NOT_FOUND:
        return API_PROBLEM_NOT_FOUND;
    case LDB_CORRUPTION:
        return API_PROBLEM_CORRUPTION;
    case LDB_NO_SPACE:
        return API_PROBLEM_DISK_FULL;
    case LDB_NO_MEMORY:
    case LDB_CLOSED:
        return API_PROBLEM_OVERLOADED;
    case LDB_TOO_LARGE:
        return API_PROBLEM_TOO_LARGE;
    case LDB_LOCKED:
    case LDB_EXISTS:
    case LDB_CANCELLED:
        return API_PROBLEM_CONFLICT;
    case LDB_PRECONDITION:
        return API_PROBLEM_PRECONDITION_FAILED;
    case LDB_STALLED:
        return API_PROBLEM_STALLED;
    case LDB_READ_ONLY:
        return API_PROBLEM_READ_ONLY;
    case LDB_OUTCOME_UNKNOWN:
        return API_PROBLEM_OUTCOME_UNKNOWN;
    case LDB_GONE:
        return API_PROBLEM_COMPACTED;
    case LDB_OK:
    case LDB_IO:
    case LDB_INVALID_ARGUMENT:
    case LDB_NOT_SUPPORTED:
        return API_PROBLEM_INTERNAL;
    }
    return API_PROBLEM_INTERNAL;
}

static bool is_file_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z') || c == '.' || c == '-';
}

static bool is_format_file(const char *name, size_t len)
{
    static const char *const endings[] = {".ldb", ".sst", ".log"};

    if (len == 7 && memcmp(name, "CURRENT", 7) == 0)
        return true;
    if (len > 9 && memcmp(name, "MANIFEST-", 9) == 0)
        return true;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (len > 4 && memcmp(name + len - 4, endings[i], 4) == 0)
            return true;
    }
    return false;
}

/* The number after "offset " or " at " in text. */
static bool find_offset(const char *text, uint64_t *out)
{
    static const char *const words[] = {"offset ", " at "};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const char *p = strstr(text, words[i]);
        size_t len = 0;

        if (p == NULL)
            continue;
        p += strlen(words[i]);
        while (p[len] >= '0' && p[len] <= '9')
            len++;
        if (ldb_parse_u64(ldb_slice_make(p, len), out))
            return true;
    }
    return false;
}

/* The engine's messages name the file, then say where in it. */
static void find_place(struct api_problem *problem, const char *message)
{
    const char *p = message;

    while (*p != '\0') {
        size_t len = 0;

        while (is_file_char(p[len]))
            len++;
        if (len > 0 && len < sizeof(problem->file) && is_format_file(p, len)) {
            memcpy(problem->file, p, len);
            problem->file[len] = '\0';
            problem->has_offset = find_offset(p + len, &problem->offset);
            return;
        }
        p += len > 0 ? len : 1;
    }
}

void api_problem_of_status(enum ldb_status status, const struct ldb_error *err,
                           struct api_problem *out)
{
    assert(status != LDB_OK);
    *out = (struct api_problem){.kind = kind_of_status(status)};
    if (err != NULL && err->message[0] != '\0')
        api_problem_detail(out, "%s", err->message);
    else
        api_problem_detail(out, "%s", ldb_status_text(status));
    if (status == LDB_STALLED || status == LDB_NO_MEMORY ||
        status == LDB_CLOSED)
        out->retry_after_s = RETRY_SOON_S;
    if (status == LDB_CORRUPTION && err != NULL)
        find_place(out, err->message);
}

void api_answer_status(struct api_exchange *x, enum ldb_status status,
                       const struct ldb_error *err)
{
    struct api_problem problem;

    api_problem_of_status(status, err, &problem);
    api_answer_problem(x, &problem);
}

void api_problem_body_too_large(const struct api_exchange *x,
                                struct api_problem *out)
{
    *out = (struct api_problem){.kind = API_PROBLEM_TOO_LARGE};
    if (x->body_limit == 0)
        api_problem_detail(out, "this request takes no body");
    else
        api_problem_detail(out, "the body is over the limit of %zu bytes",
                           x->body_limit);
}

void api_answer_body_too_large(struct api_exchange *x)
{
    struct api_problem problem;

    api_problem_body_too_large(x, &problem);
    api_answer_problem(x, &problem);
}

void api_answer_no_memory(struct api_exchange *x)
{
    api_answer_static(x, api_problem_status(API_PROBLEM_OVERLOADED),
                      API_TYPE_PROBLEM, fixed_body(API_PROBLEM_OVERLOADED));
}

void api_answer_read_only(struct api_exchange *x)
{
    struct api_problem problem = {.kind = API_PROBLEM_READ_ONLY, .status = 409};

    api_problem_detail(&problem, "this node serves its folder read-only");
    api_answer_problem(x, &problem);
}
