#include "api/digest.h"

#include <stdio.h>

#include "api/context.h"
#include "api/db_gate.h"
#include "api/document.h"
#include "api/problem.h"
#include "api/replication.h"
#include "api/response.h"
#include "replication/database_digest.h"

static void answer(struct api_exchange *x,
                   const struct repl_database_digest_result *result)
{
    struct ldb_buf body = LDB_BUF_INIT(API_DOCUMENT_MAX);
    struct api_json json = api_json_make(&body);
    char text[2 * LDB_DIGEST_SIZE + 1];

    for (size_t i = 0; i < LDB_DIGEST_SIZE; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", result->digest.bytes[i]);
    api_json_object_begin(&json);
    api_json_member_u64(&json, "epoch", result->epoch);
    api_json_member_u64(&json, "manifest", result->manifest_number);
    api_json_member_u64(&json, "manifest_bytes", result->manifest_len);
    api_json_member_u64(&json, "sequence", result->sequence);
    api_json_member_u64(&json, "tables", result->tables);
    api_json_member_text(&json, "digest", text);
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}

static void wake_exchange(void *context)
{
    api_exchange_wake(context);
}

static void step(struct api_exchange *x)
{
    const struct repl_database_digest_of of = {
        .db = x->context->db,
        .digests = x->context->digests,
        .epoch = x->context->epoch,
    };
    struct repl_database_digest_result result;
    struct ldb_error error = {0};
    bool waits = false;
    enum ldb_status s;

    s = repl_database_digest_step(x->state, &of, wake_exchange, x, &error,
                                  &waits, &result);
    if (s != LDB_OK)
        api_replication_answer_status(x, s, &error);
    else if (!waits)
        answer(x, &result);
}

void api_digest_finish(struct api_exchange *x)
{
    if (!api_replication_no_params(x))
        return;
    if (x->context->digests == NULL) {
        api_answer_read_only(x); /* digests are kept in its folder */
        return;
    }
    x->state = repl_database_digest_create();
    if (x->state == NULL)
        api_answer_no_memory(x);
    else
        step(x);
}

void api_digest_resume(struct api_exchange *x)
{
    struct api_problem problem;

    if (api_db_gate_is_closing(x->context->gate)) {
        api_db_gate_problem(x->context->gate, &problem);
        api_answer_problem(x, &problem);
    } else {
        step(x);
    }
}

void api_digest_abandon(struct api_exchange *x)
{
    repl_database_digest_destroy(x->state);
}
