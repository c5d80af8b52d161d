/* A copy answers as a node does, and follows what becomes of it. */
#include "replication/copy_peer.h"

#include <stdio.h>
#include <string.h>

#include "replication/client.h"
#include "replication/digest_store.h"
#include "replication/folder_peer.h"
#include "storage/base/mutex.h"
#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/copy_fixture.h"
#include "tests/support/mem_fault.h"

#define FILE_MAX ((size_t)16 << 20)
/* A journal is given up after eight looks: longer than a copy is made in, on a
 * busy machine too. */
#define LOOK_US UINT64_C(250000)

/*
 * Locking: guarded by mu: bytes, is_over, status, dries; the rest: the test's,
 * before the thread runs and after it.
 */
struct following {
    struct repl_transport *t;
    const char *name;
    uint64_t idle_us;
    struct ldb_thread *thread;
    struct ldb_mutex mu;
    struct ldb_cond moved;
    struct ldb_buf bytes;
    bool is_over;
    unsigned dries;
    enum ldb_status status;
    struct ldb_error err;
};

static struct copy_fixture f;
static struct repl_peer *copy;
static struct repl_transport *t;
static struct repl_client client;
static struct repl_file_head head;
static struct ldb_buf came;
static struct ldb_buf expected;

static int setup(void **state)
{
    struct repl_peer *files = NULL;

    (void)state;
    copy_open(&f);
    assert_ldb_ok(repl_folder_peer_create(f.env, COPY_DIR, &f.err, &files),
                  &f.err);
    assert_ldb_ok(repl_copy_peer_create(f.env, files, LOOK_US, &f.err, &copy),
                  &f.err);
    assert_ldb_ok(copy->open(copy, &f.err, &t), &f.err);
    repl_client_init(&client, t);
    came = (struct ldb_buf)LDB_BUF_INIT(FILE_MAX);
    expected = (struct ldb_buf)LDB_BUF_INIT(FILE_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    t->ops->destroy(t);
    repl_peer_destroy(copy);
    ldb_buf_release(&came);
    ldb_buf_release(&expected);
    copy_close(&f);
    return 0;
}

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *given,
                                 struct ldb_error *err)
{
    (void)context;
    (void)err;
    head = *given;
    return LDB_OK;
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    (void)err;
    return ldb_buf_append(context, bytes);
}

static enum ldb_status get(const char *name, uint64_t from, uint64_t count)
{
    const struct repl_get get = {
        .name = name,
        .from = from,
        .count = count,
        .head = take_head,
        .bytes = take_bytes,
        .context = &came,
    };

    ldb_buf_clear(&came);
    return t->ops->get(t, &get, &f.err);
}

static void print_name(enum ldb_file_type type, uint64_t number,
                       char out[LDB_FILE_NAME_SIZE])
{
    ldb_file_name_print(out, type, number);
}

/* ---- following ---- */

static enum ldb_status follow_bytes(void *context, struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    struct following *following = context;
    enum ldb_status s;

    (void)err;
    ldb_mutex_lock(&following->mu);
    s = ldb_buf_append(&following->bytes, bytes);
    ldb_cond_broadcast(&following->moved);
    ldb_mutex_unlock(&following->mu);
    return s;
}

static enum ldb_status follow_dry(void *context, struct ldb_error *err)
{
    struct following *following = context;

    (void)err;
    ldb_mutex_lock(&following->mu);
    following->dries++;
    ldb_mutex_unlock(&following->mu);
    return LDB_OK;
}

static enum ldb_status follow_head(void *context,
                                   const struct repl_file_head *given,
                                   struct ldb_error *err)
{
    (void)context;
    (void)given;
    (void)err;
    return LDB_OK;
}

static void run_follow(void *context)
{
    struct following *following = context;
    const struct repl_get get = {
        .name = following->name,
        .follow = true,
        .idle_us = following->idle_us,
        .head = follow_head,
        .bytes = follow_bytes,
        .dry = follow_dry,
        .context = following,
    };
    enum ldb_status s =
        following->t->ops->get(following->t, &get, &following->err);

    ldb_mutex_lock(&following->mu);
    following->is_over = true;
    following->status = s;
    ldb_cond_broadcast(&following->moved);
    ldb_mutex_unlock(&following->mu);
}

static void follow_start(struct following *following, const char *name)
{
    following->t = t;
    following->name = name;
    following->bytes = (struct ldb_buf)LDB_BUF_INIT(FILE_MAX);
    ldb_mutex_init(&following->mu);
    ldb_cond_init(&following->moved);
    assert_ldb_ok(f.env->ops->thread_start(f.env, "follow", run_follow,
                                           following, &f.err,
                                           &following->thread),
                  &f.err);
}

/* Until so many bytes have come; false: it was over before. */
static bool follow_wait(struct following *following, uint64_t len)
{
    bool has_come;

    ldb_mutex_lock(&following->mu);
    while (following->bytes.len < len && !following->is_over)
        ldb_cond_wait(&following->moved, &following->mu);
    has_come = following->bytes.len >= len;
    ldb_mutex_unlock(&following->mu);
    return has_come;
}

static enum ldb_status follow_join(struct following *following)
{
    f.env->ops->thread_join(f.env, following->thread);
    return following->status;
}

static void follow_release(struct following *following)
{
    ldb_buf_release(&following->bytes);
    ldb_cond_release(&following->moved);
    ldb_mutex_release(&following->mu);
}

static void a_journal_is_followed_until_it_is_whole(void **state)
{
    struct following following = {0};
    char name[LDB_FILE_NAME_SIZE];
    uint64_t number;
    uint64_t len;

    (void)state;
    copy_write(&f, 10);
    number = copy_journal(&f, 0);
    print_name(LDB_FILE_JOURNAL, number, name);
    copy_take(&f);
    len = copy_leaders_len(&f, name);
    follow_start(&following, name);
    assert_true(follow_wait(&following, len));
    copy_write(&f, 10);
    copy_take(&f);
    len = copy_leaders_len(&f, name);
    assert_true(follow_wait(&following, len));
    /* The next one begins; of what moves to the archive the rest comes too. */
    copy_write(&f, 600);
    copy_take(&f);
    assert_ldb_status(LDB_OK, follow_join(&following), &following.err);
    assert_true(following.dries >= 2);
    assert_ldb_ok(get(name, 0, 0), &f.err);
    assert_true(head.is_sealed && head.has_digest);
    assert_int_equal(1, head.epoch);
    assert_int_equal(f.epoch.id, head.epoch_id);
    assert_ldb_slice(ldb_slice_of_buf(&came),
                     ldb_slice_of_buf(&following.bytes));
    assert_int_equal(head.size, came.len);
    follow_release(&following);
}

static void a_follow_ends_when_it_is_interrupted_or_idle(void **state)
{
    struct following first = {.idle_us = 1};
    struct following second = {0};
    char name[LDB_FILE_NAME_SIZE];

    (void)state;
    copy_write(&f, 10);
    print_name(LDB_FILE_JOURNAL, copy_journal(&f, 0), name);
    copy_take(&f);
    follow_start(&first, name);
    assert_ldb_status(LDB_OK, follow_join(&first), &first.err);
    assert_true(first.bytes.len > 0);
    follow_start(&second, name);
    assert_true(follow_wait(&second, first.bytes.len));
    t->ops->interrupt(t);
    assert_ldb_status(LDB_CANCELLED, follow_join(&second), &second.err);
    assert_ldb_status(LDB_CANCELLED, get(name, 0, 0), &f.err);
    follow_release(&first);
    follow_release(&second);
}

static void a_follow_ends_with_its_epoch(void **state)
{
    struct following following = {0};
    char name[LDB_FILE_NAME_SIZE];

    (void)state;
    copy_write(&f, 10);
    print_name(LDB_FILE_JOURNAL, copy_journal(&f, 0), name);
    copy_take(&f);
    follow_start(&following, name);
    assert_true(follow_wait(&following, copy_leaders_len(&f, name)));
    copy_restart(&f);
    /* The journal itself is as it was. */
    copy_take_file(&f, "leveld/epochs", UINT64_MAX);
    assert_ldb_status(LDB_OK, follow_join(&following), &following.err);
    assert_ldb_ok(t->ops->head(t, name, &f.err, &head), &f.err);
    assert_int_equal(2, head.epoch);
    follow_release(&following);
}

/* ---- single files ---- */

static void of_a_journal_whole_records_are_given(void **state)
{
    char name[LDB_FILE_NAME_SIZE];
    uint64_t len;

    (void)state;
    copy_write(&f, 10);
    print_name(LDB_FILE_JOURNAL, copy_journal(&f, 0), name);
    copy_take(&f);
    len = copy_leaders_len(&f, name);
    copy_take_file(&f, name, len - 1);
    assert_ldb_ok(get(name, 0, 0), &f.err);
    assert_int_equal(head.size, came.len);
    assert_true(came.len < len - 1);
    assert_false(head.is_sealed);
    copy_leaders_file(&f, name, &expected);
    assert_memory_equal(expected.data, came.data, came.len);
    assert_ldb_ok(get(name, 5, 9), &f.err);
    assert_ldb_slice(ldb_slice_make(expected.data + 5, 9),
                     ldb_slice_of_buf(&came));
    assert_ldb_ok(get(name, head.size, 0), &f.err);
    assert_int_equal(0, came.len);
    assert_ldb_status(LDB_INVALID_ARGUMENT, get(name, head.size + 1, 0),
                      &f.err);
    assert_ldb_status(LDB_NOT_FOUND, get("009999.log", 0, 0), &f.err);
    assert_ldb_status(LDB_NOT_FOUND, get("CURRENT", 0, 0), &f.err);
    assert_ldb_status(LDB_NOT_FOUND, get("../CURRENT", 0, 0), &f.err);
}

static void of_manifests_the_one_that_current_names(void **state)
{
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_stats stats;

    (void)state;
    copy_write(&f, 400);
    copy_take(&f);
    ldb_stats(f.db, &stats);
    print_name(LDB_FILE_MANIFEST, stats.manifest_number, name);
    assert_ldb_ok(get(name, 0, 0), &f.err);
    copy_leaders_file(&f, name, &expected);
    assert_true(came.len > 0 && came.len <= expected.len);
    assert_memory_equal(expected.data, came.data, came.len);
    assert_false(head.is_sealed);
    copy_put(&f, "MANIFEST-999999", ldb_slice_of_buf(&expected));
    assert_ldb_status(LDB_NOT_FOUND, get("MANIFEST-999999", 0, 0), &f.err);
}

/* The first table of a checkpoint. */
static void first_table(char out[LDB_FILE_NAME_SIZE], uint64_t *out_number,
                        uint64_t *out_size)
{
    struct repl_checkpoint checkpoint = {0};

    assert_ldb_ok(repl_client_checkpoint(&client, f.node.identity.node_id,
                                         &f.err, &checkpoint),
                  &f.err);
    assert_true(checkpoint.file_count > 0);
    (void)snprintf(out, LDB_FILE_NAME_SIZE, "%s", checkpoint.files[0].name);
    *out_size = checkpoint.files[0].size;
    assert_int_equal(LDB_FILE_TABLE, ldb_file_name_parse(out, out_number));
    repl_checkpoint_release(&checkpoint);
}

static void a_table_has_the_digest_of_its_bytes(void **state)
{
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_digester *digester = ldb_digester_create();
    struct ldb_digest digest;
    uint64_t number;
    uint64_t size;

    (void)state;
    assert_non_null(digester);
    copy_write(&f, 1000);
    copy_take(&f);
    first_table(name, &number, &size);
    copy_leaders_file(&f, name, &expected);
    ldb_digester_add(digester, ldb_slice_of_buf(&expected));
    digest = ldb_digester_result(digester);
    ldb_digester_destroy(digester);
    for (unsigned i = 0; i < 2; i++) {
        assert_ldb_ok(t->ops->head(t, name, &f.err, &head), &f.err);
        assert_true(head.is_sealed && head.has_digest);
        assert_int_equal(size, head.size);
        assert_true(ldb_digest_equal(&digest, &head.digest));
    }
    assert_ldb_ok(get(name, 0, 0), &f.err);
    assert_ldb_slice(ldb_slice_of_buf(&expected), ldb_slice_of_buf(&came));
}

static void what_the_leader_found_is_its_digest(void **state)
{
    char name[LDB_FILE_NAME_SIZE];
    struct repl_digest_record record = {.digest = {.bytes = {1, 2, 3}}};
    struct repl_digest_list list = {.items = &record, .count = 1};
    uint64_t number;
    uint64_t size;

    (void)state;
    copy_write(&f, 1000);
    copy_take(&f);
    first_table(name, &number, &size);
    record.file = (struct repl_digest_file){
        .type = LDB_FILE_TABLE, .number = number, .size = size};
    assert_ldb_ok(
        repl_digest_store_save(f.env, COPY_LEADER_DIR, &list, 1, &f.err),
        &f.err);
    copy_write(&f, 1000);
    copy_take(&f);
    do { /* a look may be too young */
        assert_ldb_ok(t->ops->head(t, name, &f.err, &head), &f.err);
    } while (!ldb_digest_equal(&record.digest, &head.digest));
}

/* ---- calls ---- */

static void it_says_what_a_node_says(void **state)
{
    struct repl_ack ack = {.epoch = 1, .epoch_id = f.epoch.id};
    struct repl_heartbeat heartbeat = {0};
    struct repl_state said = {0};
    unsigned http = 0;

    (void)state;
    copy_write(&f, 100);
    copy_take(&f);
    assert_ldb_ok(repl_client_state(&client, &f.err, &said), &f.err);
    assert_string_equal(f.node.identity.cluster_id, said.identity.cluster_id);
    assert_int_equal(100, said.last_sequence);
    repl_state_release(&said);
    memcpy(ack.node_id, f.node.identity.node_id, sizeof(ack.node_id));
    (void)snprintf(ack.state, sizeof(ack.state), "streaming");
    assert_ldb_ok(repl_client_ack(&client, &ack, &f.err, &heartbeat), &f.err);
    assert_int_equal(100, heartbeat.durable.sequence);
    assert_false(heartbeat.is_slot_lost);
    assert_ldb_ok(repl_client_checkpoint_renew(&client, ack.node_id, 1, &f.err),
                  &f.err);
    assert_ldb_ok(
        repl_client_checkpoint_release(&client, ack.node_id, 1, &f.err),
        &f.err);
    assert_ldb_ok(t->ops->call(t, "/v1/kv/a", (struct ldb_slice){0}, &f.err,
                               &came, &http),
                  &f.err);
    assert_int_equal(404, http);
}

static void a_copy_that_is_none_is_an_error(void **state)
{
    struct repl_state said = {0};

    (void)state;
    assert_ldb_status(LDB_NOT_FOUND, repl_client_state(&client, &f.err, &said),
                      &f.err);
    assert_ldb_message("leveld/identity", &f.err);
    copy_take(&f);
    assert_ldb_ok(repl_client_state(&client, &f.err, &said), &f.err);
    repl_state_release(&said);
}

static void without_memory_there_is_none(void **state)
{
    bool has_failed = true;

    (void)state;
    copy_stop(&f); /* its threads are not to fail */
    for (uint64_t n = 1; has_failed; n++) {
        struct repl_peer *files = NULL;
        struct repl_peer *other = NULL;
        struct repl_transport *way = NULL;
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_folder_peer_create(f.env, COPY_DIR, &f.err, &files);
        if (s == LDB_OK)
            s = repl_copy_peer_create(f.env, files, 0, &f.err, &other);
        if (s == LDB_OK)
            s = other->open(other, &f.err, &way);
        has_failed = mem_fault_stop();
        assert_ldb_status(has_failed ? LDB_NO_MEMORY : LDB_OK, s, &f.err);
        if (way != NULL)
            way->ops->destroy(way);
        repl_peer_destroy(other);
    }
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_journal_is_followed_until_it_is_whole),
        CASE(a_follow_ends_when_it_is_interrupted_or_idle),
        CASE(a_follow_ends_with_its_epoch),
        CASE(of_a_journal_whole_records_are_given),
        CASE(of_manifests_the_one_that_current_names),
        CASE(a_table_has_the_digest_of_its_bytes),
        CASE(what_the_leader_found_is_its_digest),
        CASE(it_says_what_a_node_says),
        CASE(a_copy_that_is_none_is_an_error),
        CASE(without_memory_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
