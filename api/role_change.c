#include "api/role_change.h"

#include <stdio.h>
#include <string.h>

#include "api/admin.h"
#include "api/context.h"
#include "api/document.h"
#include "api/node_ops.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/role.h"
#include "replication/role_file.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Of a handover. */
#define TIMEOUT_MAX_US (UINT64_C(24) * 3600 * 1000000)

/* A change that was asked for, on its way to the task's thread. */
struct change {
    struct api_context *context;
    enum ldb_status (*run)(void *node, const struct api_role_request *request,
                           struct ldb_error *err, struct api_role_result *out);
    struct api_role_request request;
};

static void release_change(void *context)
{
    struct change *change = context;

    /* It may have a secret in it. */
    memset(&change->request, 0, sizeof(change->request));
    ldb_mem_free(change);
}

static enum ldb_status run_change(void *context,
                                  const struct ldb_progress *progress,
                                  struct ldb_error *err, struct ldb_buf *result)
{
    struct change *change = context;
    struct api_role_result node = {0};
    struct api_json json = api_json_make(result);
    enum ldb_status s =
        change->run(change->context->node, &change->request, err, &node);

    (void)progress;
    /* 409: nothing of the request itself was a condition, or is malformed. */
    if (s == LDB_PRECONDITION || s == LDB_INVALID_ARGUMENT)
        return LDB_EXISTS;
    if (s != LDB_OK)
        return s;
    api_json_object_begin(&json);
    api_json_member_text(&json, "role",
                         node.role == REPL_ROLE_LEADER ? "leader" : "follower");
    api_json_member_u64(&json, "epoch", node.epoch);
    api_json_member_u64(&json, "sequence", node.sequence);
    api_json_object_end(&json);
    return json.status;
}

/* ---- the request ---- */

/* NULL: answered. */
static struct change *make_change(struct api_exchange *x)
{
    struct change *change = NULL;

    if (x->context->read_only)
        api_answer_read_only(x);
    else if (x->context->node_ops == NULL)
        api_answer_problemf(x, API_PROBLEM_CONFLICT,
                            "this server has no role to change");
    else if ((change = ldb_mem_zalloc(1, sizeof(*change))) == NULL)
        api_answer_no_memory(x);
    if (change != NULL) {
        change->context = x->context;
        change->request.timeout_us = API_HANDOVER_US;
    }
    return change;
}

/* A URL, or for a handover a node id. */
static bool take_to(struct api_exchange *x, const json_t *document,
                    const char *name, struct api_role_request *request)
{
    const json_t *value = json_object_get(document, name);
    struct ldb_slice text = {0};

    if (json_is_string(value))
        text = api_json_string_bytes(value);
    if (value != NULL && text.len < sizeof(request->to) && text.len > 0 &&
        memchr(text.data, '\0', text.len) == NULL) {
        memcpy(request->to, text.data, text.len);
        request->to[text.len] = '\0';
        if (repl_role_url_is_storable(request->to))
            return true;
    }
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "\"%s\" is another node's URL, as http://HOST:PORT",
                        name);
    return false;
}

static bool take_bool(struct api_exchange *x, const json_t *document,
                      const char *name, bool *out)
{
    const json_t *value = json_object_get(document, name);

    if (value == NULL)
        return true;
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return true;
    }
    api_answer_problemf(x, API_PROBLEM_MALFORMED, "\"%s\" is true or false",
                        name);
    return false;
}

/* Who may do it here is asked there too. */
static bool take_authorization(struct api_exchange *x,
                               struct api_role_request *request)
{
    struct ldb_slice text;

    if (!api_header_once(x, "Authorization", &text))
        return false;
    if (text.data == NULL || text.len >= sizeof(request->authorization))
        return true;
    memcpy(request->authorization, text.data, text.len);
    request->authorization[text.len] = '\0';
    return true;
}

/* Takes change over. */
static void submit(struct api_exchange *x, const char *kind,
                   struct change *change)
{
    api_admin_submit(x, &(struct api_task_work){.kind = kind,
                                                .lane = API_TASK_CHANGE,
                                                .run = run_change,
                                                .release = release_change,
                                                .context = change});
}

/* The request was read into change (NULL: there was no memory), or answered as
 * not ok. */
static void submit_or_release(struct api_exchange *x, bool is_ok,
                              const char *kind, struct change *change)
{
    if (is_ok)
        submit(x, kind, change);
    else if (change != NULL)
        release_change(change);
}

void api_promote_finish(struct api_exchange *x)
{
    static const char *const names[] = {"force", NULL};
    struct change *change;
    json_t *document;
    bool is_ok;

    if (!api_document_read(x, names, &document))
        return;
    change = make_change(x);
    is_ok = change != NULL &&
            take_bool(x, document, "force", &change->request.force);
    json_decref(document);
    if (is_ok)
        change->run = x->context->node_ops->promote;
    submit_or_release(x, is_ok, "promote", change);
}

void api_demote_finish(struct api_exchange *x)
{
    static const char *const names[] = {"leader", "force", NULL};
    struct change *change;
    json_t *document;
    bool is_ok;

    if (!api_document_read(x, names, &document))
        return;
    change = make_change(x);
    is_ok = change != NULL &&
            take_bool(x, document, "force", &change->request.force) &&
            (json_object_get(document, "leader") == NULL ||
             take_to(x, document, "leader", &change->request));
    json_decref(document);
    if (is_ok)
        change->run = x->context->node_ops->demote;
    submit_or_release(x, is_ok, "demote", change);
}

void api_handover_finish(struct api_exchange *x)
{
    static const char *const names[] = {"to", "timeout", NULL};
    struct change *change;
    json_t *document;
    bool is_ok;

    if (!api_document_read(x, names, &document))
        return;
    change = make_change(x);
    is_ok = change != NULL && take_to(x, document, "to", &change->request) &&
            api_document_duration(x, document, "timeout", TIMEOUT_MAX_US,
                                  &change->request.timeout_us) &&
            take_authorization(x, &change->request);
    json_decref(document);
    if (is_ok)
        change->run = x->context->node_ops->handover;
    submit_or_release(x, is_ok, "handover", change);
}
