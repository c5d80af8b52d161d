#include "api/replication.h"

#include <inttypes.h>

#include "api/conditions.h"
#include "api/context.h"
#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "replication/file_headers.h"
#include "replication/leader.h"

struct repl_leader *api_replication_leader(struct api_exchange *x)
{
    char url[REPL_URL_SIZE];

    assert(x->is_inside);
    if (x->context->leader != NULL)
        return x->context->leader;
    if (x->context->read_only) {
        api_answer_read_only(x);
        return NULL;
    }
    api_role_leader_url(x->context->role, url);
    if (url[0] != '\0')
        api_answer_not_leader(x, url);
    else
        api_answer_no_leader(x, "this node does not lead");
    return NULL;
}

bool api_replication_epoch_id(struct api_exchange *x,
                              struct repl_leader *leader)
{
    uint64_t number;
    uint64_t id;

    repl_leader_epoch(leader, &number, &id);
    if (api_header_printf(x, REPL_EPOCH_ID_HEADER, "%016" PRIx64, id))
        return true;
    api_answer_no_memory(x);
    return false;
}

bool api_replication_no_params(struct api_exchange *x)
{
    static const char *const types[] = {API_TYPE_JSON};
    size_t choice;

    return api_no_params(x) && api_accept(x, types, 1, &choice) &&
           api_conditions_refuse(x);
}

bool api_replication_body_is_json(struct api_exchange *x)
{
    struct ldb_slice type;

    if (!api_replication_no_params(x) ||
        !api_header_once(x, "Content-Type", &type))
        return false;
    if (api_media_type_is(type, API_TYPE_JSON))
        return true;
    api_answer_problemf(x, API_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                        "the body is sent as %s", API_TYPE_JSON);
    return false;
}

void api_replication_answer_status(struct api_exchange *x,
                                   enum ldb_status status,
                                   const struct ldb_error *err)
{
    struct api_problem problem;

    api_problem_of_status(status, err, &problem);
    if (status == LDB_PRECONDITION)
        problem.kind = API_PROBLEM_CONFLICT;
    else if (status == LDB_GONE)
        problem.kind = API_PROBLEM_EXPIRED;
    else if (status == LDB_STALLED)
        problem.kind = API_PROBLEM_OVERLOADED;
    api_answer_problem(x, &problem);
}

void api_replication_answer_bad_body(struct api_exchange *x,
                                     enum ldb_status status,
                                     const struct ldb_error *err)
{
    if (status == LDB_NO_MEMORY)
        api_answer_no_memory(x);
    else
        api_answer_problemf(x, API_PROBLEM_MALFORMED, "the body: %s",
                            err->message);
}

void api_replication_answer_document(struct api_exchange *x,
                                     enum ldb_status status,
                                     const struct ldb_error *err,
                                     struct ldb_buf *document)
{
    struct ldb_error error = {0};

    if (status == LDB_OK) {
        status = ldb_buf_append_byte(document, '\n');
        err = &error;
    }
    if (status == LDB_OK)
        api_answer_buf(x, 200, API_TYPE_JSON, document);
    else
        api_replication_answer_status(x, status, err);
    ldb_buf_release(document);
}
