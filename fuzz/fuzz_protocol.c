/*
 * What another node sends, from any bytes, taken as each of the documents.
 *
 * What is taken stands in the text, member by member, as jansson's tree of it
 * has it; lists ascend, names are of tables, texts end. It writes itself again
 * as it is. What is refused leaves nothing and says why.
 */
#include <jansson.h>

#include "replication/json_document.h"
#include "replication/protocol.h"
#include "storage/base/buf.h"

#define INPUT_MAX ((size_t)64 << 10)

/* Of what is written: an input's digits may have been escaped in it, but
 * members that may be left out are few and short. */
#define AGAIN_MAX (2 * INPUT_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* ---- the judge ---- */

/* Whether all that ours says stands in theirs. Ours is three levels deep. */
static bool is_in(json_t *ours, json_t *theirs)
{
    const char *name;
    json_t *value;
    size_t i;

    if (json_is_object(ours)) {
        json_object_foreach(ours, name, value)
        {
            if (!is_in(value, json_object_get(theirs, name)))
                return false;
        }
        return true;
    }
    if (json_is_array(ours)) {
        if (json_array_size(ours) != json_array_size(theirs))
            return false;
        json_array_foreach(ours, i, value)
        {
            if (!is_in(value, json_array_get(theirs, i)))
                return false;
        }
        return true;
    }
    return json_equal(ours, theirs) == 1;
}

static void check_text(const char *text, size_t size)
{
    size_t len = strnlen(text, size);

    assert(len < size);
    for (size_t i = 0; i < len; i++)
        assert(text[i] >= 0x20 && text[i] <= 0x7e);
}

static void check_journals(const struct repl_journal_entry *journals,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert(journals[i].number > 0);
        assert(journals[i].first > 0);
        assert(journals[i].last <= LDB_SEQUENCE_MAX);
        assert(!journals[i].has_digest || journals[i].is_sealed);
        if (i > 0) {
            assert(journals[i - 1].number < journals[i].number);
            assert(journals[i - 1].last < journals[i].first);
            assert(journals[i - 1].is_sealed);
        }
    }
}

static void check_history(const struct repl_epoch_history *history)
{
    for (size_t i = 1; i < history->count; i++) {
        assert(history->items[i - 1].number < history->items[i].number);
        assert(history->items[i - 1].base < history->items[i].base);
    }
}

/* ---- one of each ---- */

/* OK: it is in again. */
typedef enum ldb_status (*read_document)(struct ldb_slice text,
                                         struct ldb_error *err,
                                         struct ldb_buf *again);

static void must(enum ldb_status s)
{
    assert(s == LDB_OK);
    (void)s;
}

static enum ldb_status read_state(struct ldb_slice text, struct ldb_error *err,
                                  struct ldb_buf *again)
{
    struct repl_state state = {0};
    enum ldb_status s = repl_state_decode(text, err, &state);

    if (s == LDB_OK) {
        check_text(state.identity.cluster_id, REPL_ID_SIZE);
        check_text(state.identity.node_id, REPL_ID_SIZE);
        check_text(state.leader_url, sizeof(state.leader_url));
        check_text(state.table_options.comparator, REPL_POLICY_NAME_SIZE);
        check_history(&state.history);
        check_journals(state.journals, state.journal_count);
        must(repl_state_encode(&state, NULL, again));
    }
    assert(s == LDB_OK || (state.journals == NULL && state.history.count == 0));
    repl_state_release(&state);
    return s;
}

static enum ldb_status read_ack(struct ldb_slice text, struct ldb_error *err,
                                struct ldb_buf *again)
{
    struct repl_ack ack = {0};
    enum ldb_status s = repl_ack_decode(text, err, &ack);

    if (s == LDB_OK) {
        check_text(ack.node_id, sizeof(ack.node_id));
        check_text(ack.url, sizeof(ack.url));
        check_text(ack.state, sizeof(ack.state));
        assert(ack.synced.sequence <= ack.written.sequence);
        must(repl_ack_encode(&ack, NULL, again));
    }
    assert(s == LDB_OK || ack.node_id[0] == '\0');
    return s;
}

static enum ldb_status read_heartbeat(struct ldb_slice text,
                                      struct ldb_error *err,
                                      struct ldb_buf *again)
{
    struct repl_heartbeat heartbeat = {0};
    enum ldb_status s = repl_heartbeat_decode(text, err, &heartbeat);

    if (s == LDB_OK)
        must(repl_heartbeat_encode(&heartbeat, NULL, again));
    assert((s == LDB_OK) == (heartbeat.epoch != 0));
    return s;
}

static enum ldb_status read_request(struct ldb_slice text,
                                    struct ldb_error *err,
                                    struct ldb_buf *again)
{
    struct repl_checkpoint_request request = {0};
    enum ldb_status s = repl_checkpoint_request_decode(text, err, &request);

    if (s == LDB_OK) {
        check_text(request.node_id, sizeof(request.node_id));
        must(repl_checkpoint_request_encode(&request, NULL, again));
    }
    assert(s == LDB_OK || request.node_id[0] == '\0');
    return s;
}

static enum ldb_status read_checkpoint(struct ldb_slice text,
                                       struct ldb_error *err,
                                       struct ldb_buf *again)
{
    struct repl_checkpoint checkpoint = {0};
    enum ldb_status s = repl_checkpoint_decode(text, err, &checkpoint);
    uint64_t before = 0;

    for (size_t i = 0; i < checkpoint.file_count; i++) {
        uint64_t number = 0;
        enum ldb_file_type type;

        check_text(checkpoint.files[i].name, LDB_FILE_NAME_SIZE);
        type = ldb_file_name_parse(checkpoint.files[i].name, &number);
        assert(type == LDB_FILE_TABLE || type == LDB_FILE_TABLE_SST);
        assert(number > before);
        before = number;
    }
    check_journals(checkpoint.journals, checkpoint.journal_count);
    if (s == LDB_OK)
        must(repl_checkpoint_encode(&checkpoint, NULL, again));
    assert((s == LDB_OK) == (checkpoint.id != 0));
    repl_checkpoint_release(&checkpoint);
    return s;
}

/* A request made by hand need not say its version. */
static void add_version(json_t *tree)
{
    int rc = 0;

    if (!json_is_integer(json_object_get(tree, "protocol")))
        rc = json_object_set_new(tree, "protocol",
                                 json_integer(REPL_PROTOCOL_VERSION));
    assert(rc == 0);
    (void)rc;
}

static void check(struct ldb_slice text, read_document read)
{
    struct ldb_buf again = LDB_BUF_INIT(AGAIN_MAX);
    struct ldb_buf third = LDB_BUF_INIT(AGAIN_MAX);
    struct ldb_error err = {0};
    enum ldb_status s = read(text, &err, &again);

    if (s == LDB_OK) {
        char why[256];
        json_t *theirs = repl_json_parse(text, 16, why, sizeof(why));
        json_t *ours =
            repl_json_parse(ldb_slice_of_buf(&again), 3, why, sizeof(why));

        assert(theirs != NULL && ours != NULL);
        if (read == read_request)
            add_version(theirs);
        assert(is_in(ours, theirs));
        json_decref(theirs);
        json_decref(ours);
        must(read(ldb_slice_of_buf(&again), &err, &third));
        assert(ldb_slice_equal(ldb_slice_of_buf(&again),
                               ldb_slice_of_buf(&third)));
    } else {
        assert(s == LDB_CORRUPTION || s == LDB_NOT_SUPPORTED);
        assert(err.status == s && err.message[0] != '\0');
        assert(again.len == 0);
    }
    ldb_buf_release(&again);
    ldb_buf_release(&third);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const read_document readers[] = {
        read_state, read_ack, read_heartbeat, read_request, read_checkpoint};

    if (len > INPUT_MAX)
        return -1;
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
        check(ldb_slice_make(bytes, len), readers[i]);
    return 0;
}
