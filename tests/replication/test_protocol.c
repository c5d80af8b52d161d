/*
 * Documents as other nodes send them, sound ones and others: what is taken is
 * all there, and what is not names the member.
 */
#include "replication/json_document.h"
#include "replication/protocol.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/protocol_documents.h"

/* A document whose struct is compared by writing it again. */
struct kind {
    const char *name;
    const char *text;
    enum ldb_status (*read)(struct ldb_slice text, struct ldb_error *err,
                            struct ldb_buf *again);
};

static enum ldb_status read_state(struct ldb_slice text, struct ldb_error *err,
                                  struct ldb_buf *again)
{
    static const struct repl_state zeroed;
    struct repl_state state = {0};
    enum ldb_status s = repl_state_decode(text, err, &state);

    if (s != LDB_OK)
        assert_memory_equal(&zeroed, &state, sizeof(state));
    else
        assert_ldb_ok(repl_state_encode(&state, err, again), err);
    repl_state_release(&state);
    return s;
}

static enum ldb_status read_ack(struct ldb_slice text, struct ldb_error *err,
                                struct ldb_buf *again)
{
    static const struct repl_ack zeroed;
    struct repl_ack ack = {0};
    enum ldb_status s = repl_ack_decode(text, err, &ack);

    if (s != LDB_OK)
        assert_memory_equal(&zeroed, &ack, sizeof(ack));
    else
        assert_ldb_ok(repl_ack_encode(&ack, err, again), err);
    return s;
}

static enum ldb_status read_heartbeat(struct ldb_slice text,
                                      struct ldb_error *err,
                                      struct ldb_buf *again)
{
    static const struct repl_heartbeat zeroed;
    struct repl_heartbeat heartbeat = {0};
    enum ldb_status s = repl_heartbeat_decode(text, err, &heartbeat);

    if (s != LDB_OK)
        assert_memory_equal(&zeroed, &heartbeat, sizeof(heartbeat));
    else
        assert_ldb_ok(repl_heartbeat_encode(&heartbeat, err, again), err);
    return s;
}

static enum ldb_status read_request(struct ldb_slice text,
                                    struct ldb_error *err,
                                    struct ldb_buf *again)
{
    static const struct repl_checkpoint_request zeroed;
    struct repl_checkpoint_request request = {0};
    enum ldb_status s = repl_checkpoint_request_decode(text, err, &request);

    if (s != LDB_OK)
        assert_memory_equal(&zeroed, &request, sizeof(request));
    else
        assert_ldb_ok(repl_checkpoint_request_encode(&request, err, again),
                      err);
    return s;
}

static enum ldb_status read_checkpoint(struct ldb_slice text,
                                       struct ldb_error *err,
                                       struct ldb_buf *again)
{
    static const struct repl_checkpoint zeroed;
    struct repl_checkpoint checkpoint = {0};
    enum ldb_status s = repl_checkpoint_decode(text, err, &checkpoint);

    if (s != LDB_OK)
        assert_memory_equal(&zeroed, &checkpoint, sizeof(checkpoint));
    else
        assert_ldb_ok(repl_checkpoint_encode(&checkpoint, err, again), err);
    repl_checkpoint_release(&checkpoint);
    return s;
}

enum {
    STATE,
    ACK,
    HEARTBEAT,
    REQUEST,
    CHECKPOINT,
    KINDS,
};

static const struct kind kinds[KINDS] = {
    [STATE] = {"state", PROTOCOL_STATE, read_state},
    [ACK] = {"ack", PROTOCOL_ACK, read_ack},
    [HEARTBEAT] = {"heartbeat", PROTOCOL_HEARTBEAT, read_heartbeat},
    [REQUEST] = {"checkpoint request", PROTOCOL_REQUEST, read_request},
    [CHECKPOINT] = {"checkpoint", PROTOCOL_CHECKPOINT, read_checkpoint},
};

/* The text with the first from in it replaced. */
static void replace(const char *text, const char *from, const char *to,
                    struct ldb_buf *out)
{
    const char *at = strstr(text, from);
    struct ldb_error err = {0};

    if (at == NULL) {
        fail_msg("no %s in %s", from, text);
        return; /* never: for who analyses it */
    }
    assert_ldb_ok(
        ldb_buf_assign(out, ldb_slice_make(text, (size_t)(at - text))), &err);
    assert_ldb_ok(ldb_buf_append(out, ldb_slice_str(to)), &err);
    assert_ldb_ok(ldb_buf_append(out, ldb_slice_str(at + strlen(from))), &err);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct ldb_buf again = LDB_BUF_INIT(1 << 20);
        struct ldb_error err = {0};

        assert_ldb_ok(kinds[i].read(ldb_slice_str(kinds[i].text), &err, &again),
                      &err);
        assert_ldb_slice(ldb_slice_str(kinds[i].text),
                         ldb_slice_of_buf(&again));
        ldb_buf_release(&again);
    }
}

static void members_of_newer_nodes_are_passed_over(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct ldb_buf text = LDB_BUF_INIT(1 << 20);
        struct ldb_buf again = LDB_BUF_INIT(1 << 20);
        struct ldb_error err = {0};

        replace(kinds[i].text, "{", "{\"new\":[{\"a\":[[1.5]]}],", &text);
        assert_ldb_ok(kinds[i].read(ldb_slice_of_buf(&text), &err, &again),
                      &err);
        assert_ldb_slice(ldb_slice_str(kinds[i].text),
                         ldb_slice_of_buf(&again));
        ldb_buf_release(&text);
        ldb_buf_release(&again);
    }
}

static void a_newer_version_is_refused_whatever_follows(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct ldb_buf again = LDB_BUF_INIT(1 << 20);
        struct ldb_error err = {0};

        assert_ldb_status(
            LDB_NOT_SUPPORTED,
            kinds[i].read(ldb_slice_str("{\"protocol\":2}"), &err, &again),
            &err);
        assert_ldb_message(kinds[i].name, &err);
        assert_ldb_message("protocol 2, this build knows up to 1", &err);
        ldb_buf_release(&again);
    }
}

/* Each member in turn by another name, one a time: each is asked for. */
static void every_member_is_missed(void **state)
{
    static const char optional[] = "\"digest\"";

    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const char *at = kinds[i].text;

        while ((at = strstr(at, "\":")) != NULL) {
            struct ldb_buf text = LDB_BUF_INIT(1 << 20);
            struct ldb_buf again = LDB_BUF_INIT(1 << 20);
            struct ldb_error err = {0};
            const char *name = at;
            char quoted[32];
            size_t len;
            enum ldb_status s;

            while (name[-1] != '"')
                name--;
            len = (size_t)(at - name);
            at += 2;
            assert_true(len + 3 < sizeof(quoted));
            memcpy(quoted, name - 1, len + 2);
            quoted[len + 2] = '\0';
            if (strstr(optional, quoted) != NULL ||
                (i == REQUEST && strcmp(quoted, "\"node_id\"") != 0))
                continue;
            assert_ldb_ok(ldb_buf_append(&text, ldb_slice_str(kinds[i].text)),
                          &err);
            text.data[name - kinds[i].text] = 'X';
            s = kinds[i].read(ldb_slice_of_buf(&text), &err, &again);
            if (s != LDB_CORRUPTION ||
                strstr(err.message, " is missing") == NULL)
                fail_msg("%s without %s: %s", kinds[i].name, quoted,
                         err.message);
            ldb_buf_release(&text);
            ldb_buf_release(&again);
        }
    }
}

static const struct {
    unsigned kind;
    const char *from;
    const char *to;
    const char *message; /* NULL: taken all the same */
} wrong_documents[] = {
    {STATE, "\"protocol\":1", "\"protocol\":0",
     "state: protocol is not a version"},
    {STATE, PROTOCOL_CLUSTER, "0001", "state: cluster_id is not 32 hex digits"},
    {STATE, PROTOCOL_CLUSTER, "",
     "state: cluster_id is empty, and there are epochs"},
    {STATE, PROTOCOL_NODE, "", "state: node_id is not 32 hex digits"},
    {STATE, "\"follower\"", "\"observer\"",
     "state: role is not leader or follower"},
    {STATE, "\"follower\"", "\"leader\"", NULL},
    {STATE, "http://", "http:\\n",
     "state: leader is too long, or not printable ASCII"},
    {STATE, "\"number\":2", "\"number\":1",
     "state: epochs[1] is not the next epoch"},
    {STATE, "\"number\":2", "\"number\":3", NULL},
    {STATE, "4294967306", "9", "state: epochs[1] is not the next epoch"},
    {STATE, "4294967306", "72057594037927936",
     "state: epochs[1].base is not a number from 0 to "
     "72057594037927935"},
    {STATE, "00000000000000ff", "ff",
     "state: epochs[0].id is not 16 hex digits"},
    {STATE, "\"number\":9", "\"number\":7",
     "state: journals[1].number is not a later journal's"},
    {STATE, "\"number\":7", "\"number\":0",
     "state: journals[0].number is not a later journal's"},
    {STATE, "\"sealed\":true,\"archived\":false",
     "\"sealed\":false,\"archived\":false",
     "state: journals[2] follows on an open journal"},
    {STATE, "\"sealed\":true,\"archived\":true",
     "\"sealed\":false,\"archived\":true",
     "state: journals[0].digest is one of an open journal"},
    {STATE, "\"sealed\":false", "\"sealed\":true", NULL},
    {STATE, "\"first\":21", "\"first\":20",
     "state: journals[1].first is a sequence of an earlier journal"},
    {STATE, "\"first\":1,", "\"first\":0,",
     "state: journals[0].first is a sequence of an earlier journal"},
    {STATE, "\"first\":31,\"last\":30", "\"first\":31,\"last\":29",
     "state: journals[2].last lies before the first"},
    {STATE, "\"first\":31,\"last\":30",
     "\"first\":31,\"last\":72057594037927935", NULL},
    {STATE, PROTOCOL_DIGEST, "f0",
     "state: journals[0].digest is not 32 hex digits"},
    {STATE, "\"digest\":\"" PROTOCOL_DIGEST "\"", "\"digest\":null", NULL},
    {STATE, "\"bytes\":100", "\"bytes\":-1",
     "state: journals[0].bytes is not a number from 0 to "
     "9223372036854775807"},
    {STATE, "\"offset\":101", "\"offset\":\"101\"",
     "state: durable.offset is not a number from 0 to "
     "9223372036854775807"},
    {STATE, "\"block_restart_interval\":16",
     "\"block_restart_interval\":2147483648",
     "state: table_options.block_restart_interval is not a number from "
     "0 to 2147483647"},
    {STATE, "leveldb.BytewiseComparator", "caf\\u00e9",
     "state: table_options.comparator is too long, or not printable "
     "ASCII"},
    {ACK, PROTOCOL_NODE, "../../../../../../../../etc/passwd",
     "ack: node_id is not 32 hex digits"},
    {ACK, "\"number\":2", "\"number\":0", NULL},
    {ACK, "streaming", "", "ack: state is empty"},
    {ACK, "streaming", "a b", "ack: state is not a word of a-z and '-'"},
    {ACK, "streaming", "set-aside", NULL},
    {ACK, "\"offset\":50", "\"offset\":102",
     "ack: synced lies behind what is written"},
    {ACK, "\"sequence\":25", "\"sequence\":31",
     "ack: synced lies behind what is written"},
    {ACK, "\"journal\":9,\"offset\":50", "\"journal\":10,\"offset\":5",
     "ack: synced lies behind what is written"},
    {ACK, "\"journal\":9,\"offset\":50", "\"journal\":8,\"offset\":500", NULL},
    {ACK, "\"tables\":{", "\"tables\":[],\"x\":{",
     "ack: tables is not an object"},
    {HEARTBEAT, "\"number\":2", "\"number\":0", "heartbeat: epoch is none"},
    {HEARTBEAT, "true", "1", "heartbeat: slot_lost is not true or false"},
    {HEARTBEAT, "\"awaited\":true", "\"awaited\":1",
     "heartbeat: awaited is not true or false"},
    {REQUEST, "\"protocol\":1,", "", NULL},
    {REQUEST, "\"protocol\":1,", "\"protocol\":0,",
     "checkpoint request: protocol is not a version"},
    {REQUEST, "\"id\":17,", "",
     "checkpoint request: release names no checkpoint"},
    {REQUEST, "\"id\":17,\"release\":true", "\"id\":17", NULL},
    {REQUEST, "true", "\"yes\"",
     "checkpoint request: release is not true or false"},
    {CHECKPOINT, "\"id\":17", "\"id\":0", "checkpoint: id is 0"},
    {CHECKPOINT, "000004.sst", "../../x.sst",
     "checkpoint: files[0].name is no table's"},
    {CHECKPOINT, "000004.sst", "000004.log",
     "checkpoint: files[0].name is no table's"},
    {CHECKPOINT, "000004.sst", "4.sst",
     "checkpoint: files[0].name is no table's"},
    {CHECKPOINT, "000004.sst", "CURRENT",
     "checkpoint: files[0].name is no table's"},
    {CHECKPOINT, "000011.ldb", "000004.ldb",
     "checkpoint: files[1].name is not a later table's"},
    {CHECKPOINT, "\"files\":[{", "\"files\":[7,{",
     "checkpoint: files[0] is not an object"},
    {CHECKPOINT, PROTOCOL_DIGEST, "F0E0D0C0B0A090807060504030201000",
     "checkpoint: files[0].digest is not 32 hex digits"},
};

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong_documents) / sizeof(wrong_documents[0]);
         i++) {
        const struct kind *kind = &kinds[wrong_documents[i].kind];
        struct ldb_buf text = LDB_BUF_INIT(1 << 20);
        struct ldb_buf again = LDB_BUF_INIT(1 << 20);
        struct ldb_error err = {0};
        enum ldb_status s;

        replace(kind->text, wrong_documents[i].from, wrong_documents[i].to,
                &text);
        s = kind->read(ldb_slice_of_buf(&text), &err, &again);
        if (wrong_documents[i].message == NULL
                ? s != LDB_OK
                : s != LDB_CORRUPTION ||
                      strcmp(err.message, wrong_documents[i].message) != 0)
            fail_msg("row %zu, %s for %s: %s, %s", i, wrong_documents[i].to,
                     wrong_documents[i].from, ldb_status_text(s), err.message);
        ldb_buf_release(&text);
        ldb_buf_release(&again);
    }
}

static void small_documents_are_small(void **state)
{
    (void)state;
    for (size_t i = ACK; i <= REQUEST; i++) {
        size_t len = strlen(kinds[i].text);

        for (size_t more = 0; more < 2; more++) {
            struct ldb_buf text = LDB_BUF_INIT(1 << 20);
            struct ldb_buf again = LDB_BUF_INIT(1 << 20);
            struct ldb_error err = {0};
            uint8_t *blanks;

            assert_ldb_ok(ldb_buf_append(&text, ldb_slice_str(kinds[i].text)),
                          &err);
            assert_ldb_ok(ldb_buf_extend(&text,
                                         REPL_MESSAGE_BYTES_MAX - len + more,
                                         &blanks),
                          &err);
            memset(blanks, ' ', REPL_MESSAGE_BYTES_MAX - len + more);
            assert_ldb_status(
                more == 0 ? LDB_OK : LDB_CORRUPTION,
                kinds[i].read(ldb_slice_of_buf(&text), &err, &again), &err);
            ldb_buf_release(&text);
            ldb_buf_release(&again);
        }
    }
}

static void failing_allocations_leave_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        for (uint64_t n = 1;; n++) {
            struct ldb_buf again = LDB_BUF_INIT(1 << 20);
            struct ldb_error err = {0};
            enum ldb_status s;
            bool has_failed;

            /* What writes it again needs none. */
            assert_ldb_ok(ldb_buf_reserve(&again, 1 << 16), &err);
            mem_fault_start(n, MEM_FAULT_ONCE);
            s = kinds[i].read(ldb_slice_str(kinds[i].text), &err, &again);
            has_failed = mem_fault_stop();
            assert_ldb_status(has_failed ? LDB_NO_MEMORY : LDB_OK, s, &err);
            ldb_buf_release(&again);
            if (!has_failed)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(members_of_newer_nodes_are_passed_over),
        cmocka_unit_test(a_newer_version_is_refused_whatever_follows),
        cmocka_unit_test(every_member_is_missed),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(small_documents_are_small),
        cmocka_unit_test(failing_allocations_leave_nothing),
    };

    repl_json_use_ldb_mem();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
