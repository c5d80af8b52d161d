/*
 * How documents are written, to the byte: nodes of other versions read them.
 * What is read back of them is in test_protocol.c, too.
 */
#include "replication/protocol.h"

#include "replication/json_document.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/protocol_documents.h"

static const struct ldb_digest digest = {{0xf0, 0xe0, 0xd0, 0xc0, 0xb0, 0xa0,
                                          0x90, 0x80, 0x70, 0x60, 0x50, 0x40,
                                          0x30, 0x20, 0x10, 0x00}};

static struct repl_journal_entry journals[] = {
    {.number = 7,
     .len = 100,
     .is_sealed = true,
     .is_archived = true,
     .has_digest = true,
     .digest = {{0xf0, 0xe0, 0xd0, 0xc0, 0xb0, 0xa0, 0x90, 0x80, 0x70, 0x60,
                 0x50, 0x40, 0x30, 0x20, 0x10, 0x00}},
     .first = 1,
     .last = 20},
    {.number = 9, .len = 101, .is_sealed = true, .first = 21, .last = 30},
    {.number = 12, .first = 31, .last = 30},
};

static struct repl_epoch epochs[] = {
    {.number = 1, .id = 0xff, .first_journal = 3},
    {.number = 2,
     .id = UINT64_C(0xfedcba9876543210),
     .previous_last = 10,
     .base = 10 + REPL_EPOCH_SKIP,
     .first_journal = 8},
};

static struct repl_file_entry files[] = {
    {.name = "000004.sst",
     .size = 2000,
     .has_digest = true,
     .digest = {{0xf0, 0xe0, 0xd0, 0xc0, 0xb0, 0xa0, 0x90, 0x80, 0x70, 0x60,
                 0x50, 0x40, 0x30, 0x20, 0x10, 0x00}}},
    {.name = "000011.ldb", .size = 2001},
};

static const struct repl_state a_state = {
    .identity = {.cluster_id = PROTOCOL_CLUSTER, .node_id = PROTOCOL_NODE},
    .role = REPL_ROLE_FOLLOWER,
    .leader_url = "http://leader:4100",
    .history = {.items = epochs, .count = 2},
    .manifest_number = 5,
    .manifest_len = 1234,
    .journals = journals,
    .journal_count = 3,
    .durable = {.journal = 9, .offset = 101, .sequence = 30},
    .last_sequence = 33,
    .clock_us = UINT64_C(1700000000000000),
    .table_options = {.comparator = "leveldb.BytewiseComparator",
                      .bloom_bits = 10,
                      .filter_base_lg = 11,
                      .block_bytes = 4096,
                      .block_restart_interval = 16,
                      .compress = true},
};

static const struct repl_ack an_ack = {
    .node_id = PROTOCOL_NODE,
    .url = "http://follower:4100",
    .epoch = 2,
    .epoch_id = UINT64_C(0xfedcba9876543210),
    .written = {.journal = 9, .offset = 101, .sequence = 30},
    .synced = {.journal = 9, .offset = 50, .sequence = 25},
    .applied = {.journal = 9, .offset = 100, .sequence = 29},
    .manifest_number = 5,
    .manifest_len = 1200,
    .state = "streaming",
    .tables_built = 3,
    .tables_fetched = 4,
    .digest_mismatches = 2,
};

static const struct repl_heartbeat a_heartbeat = {
    .epoch = 2,
    .epoch_id = UINT64_C(0xfedcba9876543210),
    .durable = {.journal = 9, .offset = 101, .sequence = 30},
    .last_sequence = 33,
    .manifest_number = 5,
    .manifest_len = 1234,
    .clock_us = UINT64_C(1700000000000000),
    .is_slot_lost = true,
    .is_awaited = true,
};

static const struct repl_checkpoint_request a_request = {
    .node_id = PROTOCOL_NODE, .id = 17, .is_release = true};

static const struct repl_checkpoint a_checkpoint = {
    .id = 17,
    .manifest_number = 5,
    .manifest_len = 1234,
    .log_number = 9,
    .last_sequence = 20,
    .files = files,
    .file_count = 2,
    .journals = journals,
    .journal_count = 3,
};

/* ---- one of each ---- */

static enum ldb_status write_state(struct ldb_error *err, struct ldb_buf *out)
{
    return repl_state_encode(&a_state, err, out);
}

static enum ldb_status write_ack(struct ldb_error *err, struct ldb_buf *out)
{
    return repl_ack_encode(&an_ack, err, out);
}

static enum ldb_status write_heartbeat(struct ldb_error *err,
                                       struct ldb_buf *out)
{
    return repl_heartbeat_encode(&a_heartbeat, err, out);
}

static enum ldb_status write_request(struct ldb_error *err, struct ldb_buf *out)
{
    return repl_checkpoint_request_encode(&a_request, err, out);
}

static enum ldb_status write_checkpoint(struct ldb_error *err,
                                        struct ldb_buf *out)
{
    return repl_checkpoint_encode(&a_checkpoint, err, out);
}

static const struct {
    const char *name;
    enum ldb_status (*write)(struct ldb_error *err, struct ldb_buf *out);
    const char *text;
} documents[] = {
    {"state", write_state, PROTOCOL_STATE},
    {"ack", write_ack, PROTOCOL_ACK},
    {"heartbeat", write_heartbeat, PROTOCOL_HEARTBEAT},
    {"checkpoint request", write_request, PROTOCOL_REQUEST},
    {"checkpoint", write_checkpoint, PROTOCOL_CHECKPOINT},
};

#define DOCUMENT_COUNT (sizeof(documents) / sizeof(documents[0]))

static void documents_have_these_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOCUMENT_COUNT; i++) {
        struct ldb_buf out = LDB_BUF_INIT(1 << 20);
        struct ldb_error err = {0};

        /* After what is there. */
        assert_ldb_ok(ldb_buf_append_byte(&out, '>'), &err);
        assert_ldb_ok(documents[i].write(&err, &out), &err);
        assert_ldb_slice(ldb_slice_str(documents[i].text),
                         ldb_slice_make(out.data + 1, out.len - 1));
        ldb_buf_release(&out);
    }
}

static void a_document_without_room_leaves_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOCUMENT_COUNT; i++) {
        size_t len = strlen(documents[i].text);

        for (size_t limit = 0; limit <= len; limit++) {
            struct ldb_buf out = LDB_BUF_INIT(1 + limit);
            struct ldb_error err = {0};
            enum ldb_status s;

            assert_ldb_ok(ldb_buf_append_byte(&out, '>'), &err);
            s = documents[i].write(&err, &out);
            if (limit == len) {
                assert_ldb_ok(s, &err);
            } else {
                assert_ldb_status(LDB_TOO_LARGE, s, &err);
                assert_int_equal(1, out.len);
                assert_ldb_message(documents[i].name, &err);
            }
            ldb_buf_release(&out);
        }
    }
}

static void failing_allocations_leave_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOCUMENT_COUNT; i++) {
        for (uint64_t n = 1;; n++) {
            struct ldb_buf out = LDB_BUF_INIT(1 << 20);
            struct ldb_error err = {0};
            enum ldb_status s;

            mem_fault_start(n, MEM_FAULT_ONCE);
            s = documents[i].write(&err, &out);
            if (!mem_fault_stop()) {
                assert_ldb_ok(s, &err);
                assert_true(n > 1);
                ldb_buf_release(&out);
                break;
            }
            assert_ldb_status(LDB_NO_MEMORY, s, &err);
            assert_int_equal(0, out.len);
            ldb_buf_release(&out);
        }
    }
}

static void what_no_reader_would_take_is_not_written(void **state)
{
    struct repl_ack ack = an_ack;
    struct ldb_buf out = LDB_BUF_INIT(1 << 20);
    struct ldb_error err = {0};

    (void)state;
    memcpy(ack.url, "http://a\nb", 11);
    assert_ldb_status(LDB_INVALID_ARGUMENT, repl_ack_encode(&ack, &err, &out),
                      &err);
    memcpy(ack.url, "http://\xc3\xa9", 10);
    assert_ldb_status(LDB_INVALID_ARGUMENT, repl_ack_encode(&ack, &err, &out),
                      &err);
    assert_int_equal(0, out.len);
    ldb_buf_release(&out);
}

/* ---- and back ---- */

static void a_quote_in_a_text_comes_back(void **state)
{
    struct repl_ack ack = an_ack;
    struct repl_ack back = {0};
    struct ldb_buf out = LDB_BUF_INIT(1 << 20);
    struct ldb_error err = {0};

    (void)state;
    memcpy(ack.url, "http://\"\\/", 11);
    assert_ldb_ok(repl_ack_encode(&ack, &err, &out), &err);
    assert_ldb_ok(repl_ack_decode(ldb_slice_of_buf(&out), &err, &back), &err);
    assert_string_equal(ack.url, back.url);
    ldb_buf_release(&out);
}

static void empty_lists_come_back(void **state)
{
    struct repl_state empty = a_state;
    struct repl_state back = {0};
    struct ldb_buf out = LDB_BUF_INIT(1 << 20);
    struct ldb_error err = {0};

    (void)state;
    /* A follower that has nothing yet. */
    empty.identity.cluster_id[0] = '\0';
    empty.history.count = 0;
    empty.journal_count = 0;
    empty.leader_url[0] = '\0';
    empty.role = REPL_ROLE_LEADER;
    assert_ldb_ok(repl_state_encode(&empty, &err, &out), &err);
    assert_ldb_ok(repl_state_decode(ldb_slice_of_buf(&out), &err, &back), &err);
    assert_string_equal("", back.identity.cluster_id);
    assert_string_equal("", back.leader_url);
    assert_int_equal(REPL_ROLE_LEADER, back.role);
    assert_int_equal(0, back.history.count);
    assert_int_equal(0, back.journal_count);
    repl_state_release(&back);
    ldb_buf_release(&out);
}

/* As many tables as the limit of a document is chosen for. */
static void a_checkpoint_of_many_tables_fits(void **state)
{
    const size_t count = 100000;
    struct repl_checkpoint big = a_checkpoint;
    struct repl_checkpoint back = {0};
    struct ldb_buf out = LDB_BUF_INIT(REPL_DOCUMENT_BYTES_MAX);
    struct ldb_error err = {0};

    (void)state;
    big.file_count = count;
    big.files = ldb_mem_zalloc(count, sizeof(*big.files));
    assert_non_null(big.files);
    for (size_t i = 0; i < count; i++) {
        ldb_file_name_print(big.files[i].name, LDB_FILE_TABLE,
                            UINT64_C(1000000000000) + i);
        big.files[i].size = UINT64_C(1) << 40;
        big.files[i].has_digest = true;
        big.files[i].digest = digest;
    }
    assert_ldb_ok(repl_checkpoint_encode(&big, &err, &out), &err);
    assert_ldb_ok(repl_checkpoint_decode(ldb_slice_of_buf(&out), &err, &back),
                  &err);
    assert_int_equal(count, back.file_count);
    assert_string_equal(big.files[count - 1].name, back.files[count - 1].name);
    assert_true(ldb_digest_equal(&digest, &back.files[count - 1].digest));
    repl_checkpoint_release(&back);
    ldb_mem_free(big.files);
    ldb_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_have_these_bytes),
        cmocka_unit_test(a_document_without_room_leaves_nothing),
        cmocka_unit_test(failing_allocations_leave_nothing),
        cmocka_unit_test(what_no_reader_would_take_is_not_written),
        cmocka_unit_test(a_quote_in_a_text_comes_back),
        cmocka_unit_test(empty_lists_come_back),
        cmocka_unit_test(a_checkpoint_of_many_tables_fits),
    };

    repl_json_use_ldb_mem();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
