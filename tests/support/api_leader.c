#include "tests/support/api_leader.h"

#include "tests/support/assert_ldb.h"

int api_leader_setup(void **state)
{
    struct api_leader *l = test_calloc(1, sizeof(*l));
    struct ldb_error err = {0};

    leader_fixture_prepare(&l->leader);
    leader_fixture_start(&l->leader);
    l->f.env = l->leader.env;
    l->f.db = l->leader.db;
    assert_ldb_ok(api_context_init(&l->f.context, l->f.db, l->f.env, &err),
                  &err);
    /* The one that is led. */
    repl_write_concern_destroy(l->f.context.concern);
    l->f.context.concern = l->leader.concern;
    l->f.context.leader = l->leader.leader;
    l->f.context.digests = l->leader.digests;
    l->f.context.data_dir = DB_FIXTURE_DIR;
    l->f.context.epoch = 3;
    *state = l;
    return 0;
}

int api_leader_teardown(void **state)
{
    struct api_leader *l = *state;
    void *leader = &l->leader;

    api_context_close(&l->f.context);
    if (l->leader.leader != NULL)
        leader_fixture_stop(&l->leader);
    l->f.context.concern = NULL;
    api_context_release(&l->f.context);
    (void)leader_fixture_teardown(&leader);
    test_free(l);
    return 0;
}

static struct repl_ack make_ack(struct api_leader *l)
{
    struct ldb_position durable = ldb_durable_position(l->f.db);
    struct repl_ack ack = {
        .node_id = API_LEADER_FOLLOWER,
        .url = "http://follower:8080",
        .epoch = 3,
        .epoch_id = 0xabcdef,
        .written = {durable.journal, durable.offset, durable.sequence},
        .state = "streaming",
    };

    ack.synced = ack.written;
    ack.applied = ack.written;
    return ack;
}

void api_leader_ack(struct api_leader *l)
{
    struct repl_ack ack = make_ack(l);
    struct repl_heartbeat heartbeat;
    struct ldb_error err = {0};

    assert_ldb_ok(repl_leader_ack(l->leader.leader, &ack, &err, &heartbeat),
                  &err);
}

struct ldb_buf api_leader_ack_text(struct api_leader *l, ldb_sequence synced)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_MESSAGE_BYTES_MAX);
    struct repl_ack ack = make_ack(l);
    struct ldb_error err = {0};

    ack.synced.sequence = synced;
    ack.applied.sequence = synced;
    assert_ldb_ok(repl_ack_encode(&ack, &err, &text), &err);
    return text;
}
