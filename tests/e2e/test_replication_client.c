/*
 * The follower's way to a leader, over TCP to a whole service: the documents,
 * files in whole and in part, a journal that is followed while writes go on,
 * and a folder made of a checkpoint that opens as the database that it is of.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "replication/client.h"
#include "replication/table_fetch.h"
#include "replication/transport_http.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/version/current_file.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/patience.h"
#include "tests/support/service_run.h"

#define NODE      "e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1"
#define FILE_MAX  ((size_t)64 << 20)
#define FOLDER    "copy"
#define FLUSHES   3
#define PUTS_EACH 50

struct fixture {
    struct service_run leader;
    struct repl_peer *peer;
    struct repl_transport *t;
    struct repl_client client;
    struct env_fault *fault; /* ours */
    struct ldb_env *env;
    uint64_t puts;
    struct ldb_error err;
};

static void put_some(struct fixture *f, unsigned count)
{
    char key[32];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "k%06" PRIu64, f->puts++);
        (void)service_run_put(&f->leader, key, key);
    }
}

static void flush(struct fixture *f)
{
    assert_int_equal(
        200, service_run_status(&f->leader, "POST", "/v1/admin/flush", "{}"));
    service_run_tick(&f->leader);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct repl_http_options options;

    assert_non_null(f);
    service_run_init(&f->leader, "leader");
    service_run_start(&f->leader, "--create=yes", NULL);
    for (unsigned i = 0; i < FLUSHES; i++) {
        put_some(f, PUTS_EACH);
        flush(f);
    }
    put_some(f, PUTS_EACH);
    repl_http_options_init(&options);
    options.env = ldb_env_posix();
    options.url = f->leader.url;
    assert_ldb_ok(repl_http_peer_create(&options, &f->err, &f->peer), &f->err);
    assert_ldb_ok(f->peer->open(f->peer, &f->err, &f->t), &f->err);
    repl_client_init(&f->client, f->t);
    f->fault = env_fault_create(NULL);
    f->env = env_fault_env(f->fault);
    assert_ldb_ok(ldb_env_create_folder(f->env, FOLDER, &f->err), &f->err);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    f->t->ops->destroy(f->t);
    repl_peer_destroy(f->peer);
    service_run_stop(&f->leader);
    service_run_release(&f->leader);
    env_fault_destroy(f->fault);
    free(f);
    return 0;
}

static struct repl_state get_state(struct fixture *f)
{
    struct repl_state state = {0};

    assert_ldb_ok(repl_client_state(&f->client, &f->err, &state), &f->err);
    assert_true(state.journal_count > 0);
    assert_true(state.history.count > 0);
    return state;
}

/* ---- documents ---- */

static void an_ack_is_taken_under_the_epoch_of_the_state(void **state)
{
    struct fixture *f = *state;
    struct repl_state leader = get_state(f);
    const struct repl_epoch *epoch = repl_epoch_history_last(&leader.history);
    struct repl_ack ack = {
        .node_id = NODE,
        .state = "streaming",
        .epoch = epoch->number,
        .epoch_id = epoch->id,
    };
    struct repl_heartbeat heartbeat = {0};

    assert_int_equal(REPL_ROLE_LEADER, leader.role);
    assert_ldb_ok(repl_client_ack(&f->client, &ack, &f->err, &heartbeat),
                  &f->err);
    assert_int_equal(epoch->number, heartbeat.epoch);
    assert_int_equal(leader.last_sequence, heartbeat.last_sequence);
    assert_int_equal(leader.manifest_number, heartbeat.manifest_number);
    ack.epoch_id++;
    assert_ldb_status(LDB_PRECONDITION,
                      repl_client_ack(&f->client, &ack, &f->err, &heartbeat),
                      &f->err);
    assert_int_equal(409, f->client.refusal.http);
    repl_state_release(&leader);
}

static void a_checkpoint_is_renewed_and_let_go(void **state)
{
    struct fixture *f = *state;
    struct repl_checkpoint checkpoint = {0};

    assert_ldb_ok(
        repl_client_checkpoint(&f->client, NODE, &f->err, &checkpoint),
        &f->err);
    assert_int_equal(FLUSHES, checkpoint.file_count);
    assert_ldb_ok(
        repl_client_checkpoint_renew(&f->client, NODE, checkpoint.id, &f->err),
        &f->err);
    for (unsigned i = 0; i < 2; i++)
        assert_ldb_ok(repl_client_checkpoint_release(&f->client, NODE,
                                                     checkpoint.id, &f->err),
                      &f->err);
    assert_ldb_status(
        LDB_GONE,
        repl_client_checkpoint_renew(&f->client, NODE, checkpoint.id, &f->err),
        &f->err);
    repl_checkpoint_release(&checkpoint);
}

/* ---- files ---- */

struct taken {
    struct repl_file_head head;
    unsigned heads;
    struct ldb_buf bytes;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    uint64_t dry_len; /* guarded by mu: bytes when it was dry */
};

static void taken_init(struct taken *taken)
{
    *taken = (struct taken){.bytes = LDB_BUF_INIT(FILE_MAX)};
    ldb_mutex_init(&taken->mu);
    ldb_cond_init(&taken->changed);
}

static void taken_release(struct taken *taken)
{
    ldb_buf_release(&taken->bytes);
    ldb_cond_release(&taken->changed);
    ldb_mutex_release(&taken->mu);
}

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    struct taken *taken = context;

    (void)err;
    taken->head = *head;
    taken->heads++;
    return LDB_OK;
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct taken *taken = context;

    (void)err;
    return ldb_buf_append(&taken->bytes, bytes);
}

static enum ldb_status take_dry(void *context, struct ldb_error *err)
{
    struct taken *taken = context;

    (void)err;
    ldb_mutex_lock(&taken->mu);
    taken->dry_len = taken->bytes.len;
    ldb_cond_broadcast(&taken->changed);
    ldb_mutex_unlock(&taken->mu);
    return LDB_OK;
}

static enum ldb_status get(struct fixture *f, const char *name, uint64_t from,
                           bool follow, struct taken *taken)
{
    struct repl_get get = {
        .name = name,
        .from = from,
        .follow = follow,
        .head = take_head,
        .bytes = take_bytes,
        .dry = take_dry,
        .context = taken,
    };

    ldb_buf_clear(&taken->bytes);
    taken->heads = 0;
    return f->t->ops->get(f->t, &get, &f->err);
}

static struct ldb_digest digest_of(struct ldb_slice bytes)
{
    struct ldb_digester *digester = ldb_digester_create();
    struct ldb_digest digest;

    assert_non_null(digester);
    ldb_digester_add(digester, bytes);
    digest = ldb_digester_result(digester);
    ldb_digester_destroy(digester);
    return digest;
}

static void a_table_comes_whole_in_part_and_by_its_head(void **state)
{
    struct fixture *f = *state;
    struct repl_state leader = get_state(f);
    struct repl_checkpoint checkpoint = {0};
    struct repl_file_head head = {0};
    struct ldb_digest digest;
    struct taken whole;
    struct taken part;
    const char *name;
    uint64_t size;

    taken_init(&whole);
    taken_init(&part);
    assert_ldb_ok(
        repl_client_checkpoint(&f->client, NODE, &f->err, &checkpoint),
        &f->err);
    name = checkpoint.files[0].name;
    size = checkpoint.files[0].size;
    assert_ldb_ok(get(f, name, 0, false, &whole), &f->err);
    assert_int_equal(size, whole.bytes.len);
    assert_int_equal(size, whole.head.size);
    assert_true(whole.head.is_sealed);
    assert_int_equal(repl_epoch_history_last(&leader.history)->number,
                     whole.head.epoch);
    assert_true(repl_epoch_history_last(&leader.history)->id ==
                whole.head.epoch_id);
    assert_ldb_ok(repl_client_head(&f->client, name, &f->err, &head), &f->err);
    assert_true(head.has_digest);
    digest = digest_of(ldb_slice_of_buf(&whole.bytes));
    assert_true(ldb_digest_equal(&digest, &head.digest));
    assert_ldb_ok(get(f, name, size - 10, false, &part), &f->err);
    assert_ldb_slice(ldb_slice_make(whole.bytes.data + size - 10, 10),
                     ldb_slice_of_buf(&part.bytes));
    assert_int_equal(size, part.head.size);
    /* From the end there is nothing, and behind it no place. */
    assert_ldb_ok(get(f, name, size, false, &part), &f->err);
    assert_int_equal(0, part.bytes.len);
    assert_int_equal(size, part.head.size);
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      get(f, name, size + 1, false, &part), &f->err);
    assert_ldb_status(LDB_NOT_FOUND, get(f, "999999.ldb", 0, false, &part),
                      &f->err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_client_head(&f->client, "999999.ldb", &f->err, &head), &f->err);
    taken_release(&whole);
    taken_release(&part);
    repl_checkpoint_release(&checkpoint);
    repl_state_release(&leader);
}

/* ---- following ---- */

struct follower {
    struct fixture *f;
    struct taken taken;
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status status;
};

static void follow(void *context)
{
    struct follower *follower = context;

    follower->status =
        get(follower->f, follower->name, 0, true, &follower->taken);
}

/* It was dry with more than len bytes. */
static uint64_t wait_for_more(struct follower *follower, uint64_t len)
{
    bool is_in_time = true;
    uint64_t dry_len;

    ldb_mutex_lock(&follower->taken.mu);
    while (follower->taken.dry_len <= len && is_in_time)
        is_in_time = ldb_cond_wait_for(&follower->taken.changed,
                                       &follower->taken.mu, PATIENCE_US);
    dry_len = follower->taken.dry_len;
    ldb_mutex_unlock(&follower->taken.mu);
    assert_true(is_in_time);
    return dry_len;
}

static void a_journal_is_followed_to_its_seal(void **state)
{
    struct fixture *f = *state;
    struct repl_state leader = get_state(f);
    struct follower follower = {.f = f};
    struct ldb_env *env = ldb_env_posix();
    struct ldb_thread *thread = NULL;
    struct repl_file_head head = {0};
    struct ldb_digest digest;
    uint64_t len;

    taken_init(&follower.taken);
    ldb_file_name_print(follower.name, LDB_FILE_JOURNAL,
                        leader.journals[leader.journal_count - 1].number);
    assert_ldb_ok(env->ops->thread_start(env, "follower", follow, &follower,
                                         &f->err, &thread),
                  &f->err);
    len = wait_for_more(&follower, 0);
    for (unsigned i = 0; i < 10; i++) {
        put_some(f, 1);
        len = wait_for_more(&follower, len);
    }
    put_some(f, PUTS_EACH);
    flush(f);
    env->ops->thread_join(env, thread);
    assert_ldb_ok(follower.status, &f->err);
    assert_int_equal(1, follower.taken.heads);
    assert_ldb_ok(repl_client_head(&f->client, follower.name, &f->err, &head),
                  &f->err);
    assert_true(head.is_sealed);
    assert_int_equal(head.size, follower.taken.bytes.len);
    assert_true(head.has_digest);
    digest = digest_of(ldb_slice_of_buf(&follower.taken.bytes));
    assert_true(ldb_digest_equal(&digest, &head.digest));
    taken_release(&follower.taken);
    repl_state_release(&leader);
}

/* ---- a folder of a checkpoint ---- */

static size_t want_all(const struct repl_checkpoint *checkpoint,
                       const struct repl_epoch *epoch,
                       struct repl_fetch_file *files)
{
    size_t count = 0;

    for (size_t i = 0; i < checkpoint->file_count; i++) {
        struct repl_fetch_file *file = &files[count++];

        memcpy(file->name, checkpoint->files[i].name, sizeof(file->name));
        file->size = checkpoint->files[i].size;
        file->has_digest = checkpoint->files[i].has_digest;
        file->digest = checkpoint->files[i].digest;
    }
    for (size_t i = 0; i < checkpoint->journal_count; i++) {
        struct repl_fetch_file *file = &files[count++];

        ldb_file_name_print(file->name, LDB_FILE_JOURNAL,
                            checkpoint->journals[i].number);
        file->size = checkpoint->journals[i].len;
        file->is_prefix = true;
    }
    ldb_file_name_print(files[count].name, LDB_FILE_MANIFEST,
                        checkpoint->manifest_number);
    files[count].size = checkpoint->manifest_len;
    files[count].is_prefix = true;
    count++;
    for (size_t i = 0; i < count; i++) {
        files[i].epoch = epoch->number;
        files[i].epoch_id = epoch->id;
    }
    return count;
}

static void assert_copied(struct fixture *f, uint64_t puts)
{
    struct ldb_options options;
    struct ldb_db *db = NULL;
    struct ldb_cursor *cursor = NULL;
    char key[32];

    ldb_options_init(&options);
    options.env = f->env;
    options.read_only = true;
    assert_ldb_ok(ldb_open(FOLDER, &options, NULL, &f->err, &db), &f->err);
    assert_ldb_ok(ldb_cursor_open(db, NULL, &f->err, &cursor), &f->err);
    ldb_cursor_seek_first(cursor);
    for (uint64_t i = 0; i < puts; i++) {
        assert_true(ldb_cursor_valid(cursor));
        (void)snprintf(key, sizeof(key), "k%06" PRIu64, i);
        assert_ldb_slice(ldb_slice_str(key), ldb_cursor_key(cursor));
        ldb_cursor_next(cursor);
    }
    assert_false(ldb_cursor_valid(cursor));
    assert_ldb_ok(ldb_cursor_status(cursor, &f->err), &f->err);
    ldb_cursor_close(cursor);
    assert_ldb_ok(ldb_close(db, &f->err), &f->err);
}

static void a_checkpoint_is_a_folder(void **state)
{
    struct fixture *f = *state;
    struct repl_state leader = get_state(f);
    struct repl_checkpoint checkpoint = {0};
    struct repl_fetch_options options = {
        .env = f->env, .dir = FOLDER, .peer = f->peer};
    struct repl_fetch *fetch = NULL;
    struct repl_fetch_file files[64] = {{.size = 0}};
    uint64_t puts = f->puts;
    size_t count;

    assert_ldb_ok(
        repl_client_checkpoint(&f->client, NODE, &f->err, &checkpoint),
        &f->err);
    /* What comes after it is not of it, and takes nothing away. */
    put_some(f, PUTS_EACH);
    flush(f);
    assert_int_equal(
        200, service_run_status(&f->leader, "POST", "/v1/admin/compact", "{}"));
    count =
        want_all(&checkpoint, repl_epoch_history_last(&leader.history), files);
    assert_ldb_ok(repl_fetch_create(&options, &f->err, &fetch), &f->err);
    assert_ldb_ok(
        repl_fetch_files(fetch, files, count, REPL_FETCH_INTO_PLACE, &f->err),
        &f->err);
    repl_fetch_destroy(fetch);
    assert_ldb_ok(
        ldb_current_set(f->env, FOLDER, checkpoint.manifest_number, &f->err),
        &f->err);
    assert_copied(f, puts);
    repl_checkpoint_release(&checkpoint);
    repl_state_release(&leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            an_ack_is_taken_under_the_epoch_of_the_state, setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_is_renewed_and_let_go,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_table_comes_whole_in_part_and_by_its_head, setup, teardown),
        cmocka_unit_test_setup_teardown(a_journal_is_followed_to_its_seal,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_is_a_folder, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
