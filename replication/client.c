#include "replication/client.h"

#include <string.h>

#include "storage/base/status.h"

/* Bytes of a document that has no list. Chosen: ours have under 2 KiB. */
#define SMALL_DOCUMENT_MAX ((size_t)64 << 10)

void repl_client_init(struct repl_client *client,
                      struct repl_transport *transport)
{
    *client = (struct repl_client){.transport = transport};
}

enum ldb_status repl_client_call(struct repl_client *client, const char *path,
                                 struct ldb_slice body, struct ldb_error *err,
                                 struct ldb_buf *answer)
{
    unsigned http = 0;
    enum ldb_status s;

    client->refusal = (struct repl_refusal){0};
    s = client->transport->ops->call(client->transport, path, body, err, answer,
                                     &http);
    if (s != LDB_OK)
        return ldb_error_prefix(err, s, "%s", path);
    if (http >= 200 && http <= 299)
        return LDB_OK;
    repl_refusal_read(http, ldb_slice_of_buf(answer), &client->refusal);
    return repl_refusal_error(&client->refusal, path, err);
}

/* A decoder's error, told with where the document came from. */
static enum ldb_status in_answer(enum ldb_status s, const char *path,
                                 struct ldb_error *err)
{
    return s == LDB_OK ? s : ldb_error_prefix(err, s, "answer of %s", path);
}

enum ldb_status repl_client_state(struct repl_client *client,
                                  struct ldb_error *err, struct repl_state *out)
{
    struct ldb_buf answer = LDB_BUF_INIT(REPL_DOCUMENT_BYTES_MAX);
    enum ldb_status s;

    s = repl_client_call(client, REPL_STATE_PATH, (struct ldb_slice){0}, err,
                         &answer);
    if (s == LDB_OK)
        s = in_answer(repl_state_decode(ldb_slice_of_buf(&answer), err, out),
                      REPL_STATE_PATH, err);
    ldb_buf_release(&answer);
    return s;
}

enum ldb_status repl_client_ack(struct repl_client *client,
                                const struct repl_ack *ack,
                                struct ldb_error *err,
                                struct repl_heartbeat *out)
{
    struct ldb_buf body = LDB_BUF_INIT(SMALL_DOCUMENT_MAX);
    struct ldb_buf answer = LDB_BUF_INIT(SMALL_DOCUMENT_MAX);
    struct repl_heartbeat heartbeat = {0};
    enum ldb_status s;

    client->refusal = (struct repl_refusal){0};
    s = repl_ack_encode(ack, err, &body);
    if (s == LDB_OK)
        s = repl_client_call(client, REPL_ACK_PATH, ldb_slice_of_buf(&body),
                             err, &answer);
    if (s == LDB_OK)
        s = in_answer(
            repl_heartbeat_decode(ldb_slice_of_buf(&answer), err, &heartbeat),
            REPL_ACK_PATH, err);
    if (s == LDB_OK)
        *out = heartbeat;
    ldb_buf_release(&body);
    ldb_buf_release(&answer);
    return s;
}

/* ---- checkpoints ---- */

static void fill_request(const char *node_id, uint64_t id,
                         struct repl_checkpoint_request *out)
{
    assert(strlen(node_id) < sizeof(out->node_id));
    *out = (struct repl_checkpoint_request){.id = id};
    (void)snprintf(out->node_id, sizeof(out->node_id), "%s", node_id);
}

static enum ldb_status
post_checkpoint(struct repl_client *client,
                const struct repl_checkpoint_request *request,
                struct ldb_error *err, struct ldb_buf *answer)
{
    struct ldb_buf body = LDB_BUF_INIT(SMALL_DOCUMENT_MAX);
    enum ldb_status s;

    client->refusal = (struct repl_refusal){0};
    s = repl_checkpoint_request_encode(request, err, &body);
    if (s == LDB_OK)
        s = repl_client_call(client, REPL_CHECKPOINT_PATH,
                             ldb_slice_of_buf(&body), err, answer);
    ldb_buf_release(&body);
    return s;
}

enum ldb_status repl_client_checkpoint(struct repl_client *client,
                                       const char *node_id,
                                       struct ldb_error *err,
                                       struct repl_checkpoint *out)
{
    struct ldb_buf answer = LDB_BUF_INIT(REPL_DOCUMENT_BYTES_MAX);
    struct repl_checkpoint_request request;
    enum ldb_status s;

    fill_request(node_id, 0, &request);
    s = post_checkpoint(client, &request, err, &answer);
    if (s == LDB_OK)
        s = in_answer(
            repl_checkpoint_decode(ldb_slice_of_buf(&answer), err, out),
            REPL_CHECKPOINT_PATH, err);
    ldb_buf_release(&answer);
    return s;
}

enum ldb_status repl_client_checkpoint_renew(struct repl_client *client,
                                             const char *node_id, uint64_t id,
                                             struct ldb_error *err)
{
    struct ldb_buf answer = LDB_BUF_INIT(SMALL_DOCUMENT_MAX);
    struct repl_checkpoint_request request;
    enum ldb_status s;

    assert(id != 0);
    fill_request(node_id, id, &request);
    /* The answer says no more than its status. */
    s = post_checkpoint(client, &request, err, &answer);
    ldb_buf_release(&answer);
    return s;
}

enum ldb_status repl_client_checkpoint_release(struct repl_client *client,
                                               const char *node_id, uint64_t id,
                                               struct ldb_error *err)
{
    struct ldb_buf answer = LDB_BUF_INIT(SMALL_DOCUMENT_MAX);
    struct repl_checkpoint_request request;
    enum ldb_status s;

    assert(id != 0);
    fill_request(node_id, id, &request);
    request.is_release = true;
    s = post_checkpoint(client, &request, err, &answer);
    ldb_buf_release(&answer);
    /* It has gone by itself: as good. */
    return s == LDB_GONE || s == LDB_NOT_FOUND ? LDB_OK : s;
}

/* ---- files ---- */

enum ldb_status repl_client_head(struct repl_client *client, const char *name,
                                 struct ldb_error *err,
                                 struct repl_file_head *out)
{
    enum ldb_status s;

    client->refusal = (struct repl_refusal){0};
    s = client->transport->ops->head(client->transport, name, err, out);
    return s == LDB_OK ? s : ldb_error_prefix(err, s, "head of %s", name);
}
