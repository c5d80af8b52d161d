#include "tests/support/rebuild_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/diverged.h"
#include "replication/rebuild_intent.h"
#include "replication/sidecar.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "storage/table/table_scan.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

#define LONG_VALUE ((size_t)70 * 1024) /* leader_run's */

static void serve(struct rebuild_scene *scene, bool is_up)
{
    memory_peer_set_db(scene->peer, is_up ? scene->leader->db : NULL,
                       is_up ? &scene->leader->options : NULL,
                       is_up ? LEADER_DIR : NULL);
}

static void set_history(struct rebuild_scene *scene)
{
    memory_peer_set_history(scene->peer, &scene->history);
    memory_peer_set_identity(scene->peer, &scene->identity);
}

struct rebuild_scene *rebuild_scene_create(uint64_t seed, struct ldb_env *env)
{
    struct rebuild_scene *scene = calloc(1, sizeof(*scene));
    struct repl_epoch first = {.number = 1, .id = 0xa1};

    assert_non_null(scene);
    if (env == NULL)
        assert_ldb_ok(ldb_env_memory_create(NULL, &scene->memory), NULL);
    scene->env = env == NULL ? scene->memory : env;
    scene->seed = seed;
    scene->leader = leader_run_create(seed, false);
    scene->peer = memory_peer_create();
    snprintf(scene->identity.cluster_id, REPL_ID_SIZE,
             "000000000000000000000000000000c1");
    snprintf(scene->identity.node_id, REPL_ID_SIZE,
             "00000000000000000000000000000001");
    assert_ldb_ok(repl_epoch_history_append(&scene->history, &first, NULL),
                  NULL);
    set_history(scene);
    twin_ship_init(&scene->ship, scene->leader, scene->env, seed);
    serve(scene, true);
    return scene;
}

void rebuild_scene_destroy(struct rebuild_scene *scene)
{
    serve(scene, false);
    memory_peer_destroy(scene->peer);
    leader_run_destroy(scene->leader);
    repl_epoch_history_release(&scene->history);
    if (scene->memory != NULL)
        ldb_env_memory_destroy(scene->memory);
    free(scene);
}

/* ---- the leader ---- */

/* What it has written is durable, and so is to be had. */
static void make_durable(struct rebuild_scene *scene)
{
    struct ldb_batch batch;
    struct ldb_write write = {.batch = &batch, .sync = true};

    ldb_batch_init(&batch, SIZE_MAX);
    assert_ldb_ok(ldb_write_wait(scene->leader->db, &write), &write.error);
    ldb_batch_release(&batch);
    assert_true(ldb_durable_position(scene->leader->db).sequence >=
                ldb_last_sequence(scene->leader->db));
}

void rebuild_scene_live(struct rebuild_scene *scene, unsigned steps)
{
    serve(scene, false);
    for (unsigned i = 0; i < steps; i++)
        leader_run_step(scene->leader);
    make_durable(scene);
    serve(scene, true);
}

void rebuild_scene_write(struct rebuild_scene *scene, unsigned batches)
{
    for (unsigned i = 0; i < batches; i++)
        leader_run_write(scene->leader);
    make_durable(scene);
}

void rebuild_scene_settle(struct rebuild_scene *scene)
{
    leader_run_flush(scene->leader);
    leader_run_compact(scene->leader);
}

void rebuild_scene_promote(struct rebuild_scene *scene)
{
    const struct repl_epoch *last = repl_epoch_history_last(&scene->history);
    struct repl_epoch next = {.number = last->number + 1,
                              .id = 0xa1 + last->number};

    serve(scene, false);
    leader_run_reopen(scene->leader);
    next.previous_last = ldb_last_sequence(scene->leader->db);
    next.base = next.previous_last + REPL_EPOCH_SKIP;
    assert_ldb_ok(ldb_raise_sequence(scene->leader->db, next.base, &scene->err),
                  &scene->err);
    assert_ldb_ok(
        repl_epoch_history_append(&scene->history, &next, &scene->err),
        &scene->err);
    set_history(scene);
    serve(scene, true);
}

void rebuild_scene_archive(struct rebuild_scene *scene)
{
    serve(scene, false);
    scene->leader->options.archive_bytes = UINT64_C(1) << 30;
    scene->leader->options.archive_age_us = UINT64_MAX;
    leader_run_reopen(scene->leader);
    serve(scene, true);
}

/* ---- our folder ---- */

void rebuild_scene_follow(struct rebuild_scene *scene)
{
    struct repl_identity identity = scene->identity;
    struct ldb_error *err = &scene->err;

    twin_ship_open(&scene->ship);
    twin_ship_converge(&scene->ship);
    twin_ship_close(&scene->ship);
    snprintf(identity.node_id, REPL_ID_SIZE, REBUILD_NODE);
    assert_ldb_ok(repl_sidecar_make_folder(scene->env, REBUILD_DIR, err), err);
    assert_ldb_ok(
        repl_epoch_history_store(scene->env, REBUILD_DIR, &scene->history, err),
        err);
    assert_ldb_ok(repl_identity_store(scene->env, REBUILD_DIR, &identity, err),
                  err);
}

static const char *next_key(struct rebuild_scene *scene)
{
    struct rebuild_own *own = &scene->own[scene->own_count];

    assert_true(scene->own_count < REBUILD_TAIL_MAX);
    snprintf(own->key, sizeof(own->key), "z%04u", (unsigned)scene->own_count);
    return own->key;
}

static void note_own(struct rebuild_scene *scene, ldb_sequence sequence,
                     ldb_sequence batch_last)
{
    struct rebuild_own *own = &scene->own[scene->own_count++];

    if (scene->fork == 0)
        scene->fork = sequence - 1;
    own->sequence = sequence;
    own->batch_last = batch_last;
}

static struct ldb_slice own_value(struct rebuild_scene *scene)
{
    static uint8_t bytes[300];

    bytes_fill(&scene->seed, bytes, sizeof(bytes));
    return ldb_slice_make(bytes, sizeof(bytes));
}

/* The newest journal that has bytes, and the last sequence of the folder. */
static uint64_t find_tail(struct rebuild_scene *scene,
                          ldb_sequence *out_sequence, uint64_t *out_len)
{
    struct repl_holdings holdings = {0};
    const struct repl_held_journal *newest;
    uint64_t number;

    assert_ldb_ok(repl_holdings_read(scene->env, REBUILD_DIR,
                                     ldb_comparator_bytewise(), false,
                                     &scene->err, &holdings),
                  &scene->err);
    newest = &holdings.journals[holdings.journal_count - 1];
    *out_sequence = repl_holdings_last_entry(&holdings);
    *out_len = newest->len;
    number = newest->number;
    repl_holdings_release(&holdings);
    return number;
}

static void add_tail_batch(struct rebuild_scene *scene,
                           struct ldb_journal_writer *writer,
                           ldb_sequence *last)
{
    unsigned ops = 1 + (unsigned)(bytes_next(&scene->seed) % 3);
    struct ldb_batch batch;
    struct ldb_slice record;

    ldb_batch_init(&batch, SIZE_MAX);
    for (unsigned i = 0; i < ops; i++) {
        assert_ldb_ok(ldb_batch_put(&batch, ldb_slice_str(next_key(scene)),
                                    own_value(scene)),
                      NULL);
        note_own(scene, *last + 1 + i, *last + ops);
    }
    ldb_batch_set_sequence(&batch, *last + 1);
    record = ldb_slice_of_buf(&batch.rep);
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &scene->err),
                  &scene->err);
    ldb_batch_release(&batch);
    *last += ops;
}

/* Batches at the end of journal number, which has len bytes. */
static void add_to_journal(struct rebuild_scene *scene, uint64_t number,
                           uint64_t len, unsigned batches, ldb_sequence *last)
{
    struct ldb_error *err = &scene->err;
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    char path[64];

    snprintf(path, sizeof(path), REBUILD_DIR "/%06llu.log",
             (unsigned long long)number);
    assert_ldb_ok(scene->env->ops->open_writable(scene->env, path,
                                                 LDB_OPEN_APPEND, err, &file),
                  err);
    assert_ldb_ok(ldb_journal_writer_create(file, len, err, &writer), err);
    for (unsigned i = 0; i < batches; i++)
        add_tail_batch(scene, writer, last);
    assert_ldb_ok(ldb_journal_writer_flush(writer, err), err);
    assert_ldb_ok(ldb_journal_writer_sync(writer, err), err);
    assert_ldb_ok(ldb_journal_writer_close(writer, err), err);
}

void rebuild_scene_tail(struct rebuild_scene *scene, unsigned batches)
{
    ldb_sequence last = 0;
    uint64_t len = 0;
    uint64_t number = find_tail(scene, &last, &len);

    add_to_journal(scene, number, len, batches, &last);
}

void rebuild_scene_tail_journals(struct rebuild_scene *scene, unsigned journals,
                                 unsigned batches)
{
    ldb_sequence last = 0;
    uint64_t len = 0;
    uint64_t number = find_tail(scene, &last, &len);

    for (unsigned i = 1; i <= journals; i++)
        add_to_journal(scene, number + 2 * i, 0, batches, &last);
    assert_ldb_ok(
        scene->env->ops->sync_dir(scene->env, REBUILD_DIR, &scene->err),
        &scene->err);
}

void rebuild_scene_lead(struct rebuild_scene *scene, unsigned writes,
                        bool flush)
{
    struct ldb_error *err = &scene->err;
    struct ldb_options options;
    struct ldb_db *db = NULL;

    leader_run_options(scene->env, &options);
    assert_ldb_ok(ldb_open(REBUILD_DIR, &options, NULL, err, &db), err);
    for (unsigned i = 0; i < writes; i++) {
        ldb_sequence sequence = 0;
        struct ldb_slice key = ldb_slice_str(next_key(scene));

        assert_ldb_ok(ldb_put(db, key, own_value(scene), true, err, &sequence),
                      err);
        note_own(scene, sequence, sequence);
    }
    if (flush) {
        assert_ldb_ok(ldb_flush(db, err), err);
        assert_ldb_ok(ldb_compact_range(db, NULL, NULL, err), err);
    }
    assert_ldb_ok(ldb_close(db, err), err);
}

/* ---- building ---- */

void rebuild_scene_options(struct rebuild_scene *scene, struct ldb_env *env,
                           struct repl_build_options *out)
{
    *out = (struct repl_build_options){
        .env = env,
        .dir = REBUILD_DIR,
        .peer = memory_peer_repl(scene->peer),
        .node_id = REBUILD_NODE,
        .transports = 2,
    };
}

void rebuild_scene_build(struct rebuild_scene *scene, struct ldb_env *env,
                         bool is_accepted)
{
    struct repl_build_options options;
    struct repl_build *build = NULL;
    struct ldb_error *err = &scene->err;

    rebuild_scene_options(scene, env, &options);
    options.is_accepted = is_accepted;
    assert_ldb_ok(repl_build_create(&options, err, &build), err);
    assert_ldb_ok(repl_build_fetch(build, err), err);
    assert_ldb_ok(repl_build_switch(build, err), err);
    repl_build_destroy(build);
}

/* ---- a past state ---- */

/* The last operation on each of the leader's keys up to the sequence. */
static void model_at(const struct leader_run *leader, ldb_sequence sequence,
                     const struct leader_op *out[LEADER_KEYS])
{
    memset(out, 0, LEADER_KEYS * sizeof(out[0]));
    for (size_t i = 0; i < leader->op_count; i++) {
        if (leader->ops[i].sequence <= sequence)
            out[leader->ops[i].key] = &leader->ops[i];
    }
}

static void assert_leader_part(struct rebuild_scene *scene,
                               struct ldb_cursor *cursor, ldb_sequence sequence)
{
    static uint8_t scratch[LONG_VALUE];
    const struct leader_op *model[LEADER_KEYS];

    for (size_t i = 0; i < scene->leader->batch_count; i++) {
        const struct leader_batch *batch = &scene->leader->batches[i];

        assert_false(batch->first <= sequence && sequence < batch->last);
    }
    model_at(scene->leader, sequence, model);
    for (uint32_t key = 0; key < LEADER_KEYS; key++) {
        char text[16];
        uint64_t seed;

        if (model[key] == NULL || !model[key]->is_put)
            continue;
        snprintf(text, sizeof(text), "k%04u", key);
        seed = model[key]->value_seed;
        bytes_fill(&seed, scratch, model[key]->value_len);
        assert_true(ldb_cursor_valid(cursor));
        assert_ldb_slice(ldb_slice_str(text), ldb_cursor_key(cursor));
        assert_int_equal(model[key]->sequence, ldb_cursor_sequence(cursor));
        assert_ldb_slice(ldb_slice_make(scratch, model[key]->value_len),
                         ldb_cursor_value(cursor));
        ldb_cursor_next(cursor);
    }
}

/* All of our own up to the sequence, which lies in none of their batches. */
static void assert_own_part(struct rebuild_scene *scene,
                            struct ldb_cursor *cursor, ldb_sequence sequence)
{
    for (size_t i = 0; i < scene->own_count; i++) {
        const struct rebuild_own *own = &scene->own[i];

        if (own->sequence > sequence)
            break;
        assert_true(own->batch_last <= sequence);
        assert_true(ldb_cursor_valid(cursor));
        assert_ldb_slice(ldb_slice_str(own->key), ldb_cursor_key(cursor));
        assert_int_equal(own->sequence, ldb_cursor_sequence(cursor));
        ldb_cursor_next(cursor);
    }
}

static bool has_own(struct ldb_cursor *cursor)
{
    bool result;

    ldb_cursor_seek(cursor, ldb_slice_str("z"));
    result = ldb_cursor_valid(cursor);
    ldb_cursor_seek_first(cursor);
    return result;
}

void rebuild_scene_assert_past(struct rebuild_scene *scene, struct ldb_env *env,
                               struct ldb_db *db)
{
    struct ldb_cursor *cursor = NULL;
    struct ldb_error *err = &scene->err;
    ldb_sequence sequence;

    (void)env;
    assert_ldb_ok(ldb_cursor_open(db, NULL, err, &cursor), err);
    sequence = ldb_cursor_view_sequence(cursor);
    ldb_cursor_seek_first(cursor);
    if (has_own(cursor)) {
        assert_leader_part(scene, cursor, scene->fork);
        assert_own_part(scene, cursor, sequence);
    } else {
        assert_leader_part(scene, cursor, sequence);
    }
    assert_false(ldb_cursor_valid(cursor));
    assert_ldb_ok(ldb_cursor_status(cursor, err), err);
    ldb_cursor_close(cursor);
}

void rebuild_scene_assert_twin(struct rebuild_scene *scene, struct ldb_env *env)
{
    static struct twin_ship t;

    twin_ship_init(&t, scene->leader, env, scene->seed);
    twin_ship_open(&t);
    twin_ship_check(&t);
    twin_ship_converge(&t);
    twin_ship_check(&t);
    twin_ship_close(&t);
}

void rebuild_scene_assert_same(struct rebuild_scene *scene, struct ldb_env *env)
{
    static struct twin_ship t;

    serve(scene, false);
    leader_run_close(scene->leader);
    twin_ship_init(&t, scene->leader, env, scene->seed);
    twin_ship_open(&t);
    twin_ship_converge(&t);
    twin_ship_close(&t);
    twin_ship_assert_same(&t);
}

/* ---- what was set aside ---- */

struct aside {
    struct rebuild_scene *scene;
    bool found[REBUILD_TAIL_MAX];
};

static void see_entry(struct aside *aside, struct ldb_slice key,
                      ldb_sequence sequence)
{
    for (size_t i = 0; i < aside->scene->own_count; i++) {
        const struct rebuild_own *own = &aside->scene->own[i];

        if (own->sequence == sequence &&
            ldb_slice_equal(ldb_slice_str(own->key), key))
            aside->found[i] = true;
    }
}

static void read_journal(struct aside *aside, struct ldb_env *env,
                         const char *path)
{
    const struct ldb_journal_reader_options options = {.strict = true};
    struct ldb_error *err = &aside->scene->err;
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;

    assert_ldb_ok(env->ops->open_sequential(env, path, err, &file), err);
    assert_ldb_ok(ldb_journal_reader_create(file, path, &options, err, &reader),
                  err);
    while (ldb_journal_reader_next(reader, err, &record) == LDB_OK) {
        struct ldb_batch_cursor cursor = ldb_batch_cursor_make(record);
        struct ldb_batch_op op;
        ldb_sequence sequence = 0;

        assert_ldb_ok(ldb_batch_check(record, err, &sequence, NULL), err);
        for (; ldb_batch_cursor_next(&cursor, &op); sequence++)
            see_entry(aside, op.key, sequence);
    }
    ldb_journal_reader_destroy(reader);
    ldb_sequential_close(file);
}

static enum ldb_status on_entry(void *context, uint64_t block_offset,
                                struct ldb_slice key, struct ldb_slice value,
                                struct ldb_error *err)
{
    struct ldb_parsed_key parsed;

    (void)block_offset;
    (void)value;
    (void)err;
    if (ldb_internal_key_parse(key, &parsed))
        see_entry(context, parsed.user_key, parsed.sequence);
    return LDB_OK;
}

static void read_table(struct aside *aside, struct ldb_env *env,
                       const char *path, uint64_t size)
{
    const struct ldb_table_options options = {.comparator =
                                                  ldb_comparator_bytewise()};
    const struct ldb_table_visitor visitor = {.context = aside,
                                              .on_entry = on_entry};
    struct ldb_error *err = &aside->scene->err;
    struct ldb_random_file *file = NULL;

    assert_ldb_ok(env->ops->open_random(env, path, err, &file), err);
    assert_ldb_ok(
        ldb_table_scan(file, size, path, &options, &visitor, err, NULL), err);
    ldb_random_close(file);
}

void rebuild_scene_assert_aside(struct rebuild_scene *scene,
                                struct ldb_env *env)
{
    static struct aside aside;
    struct repl_diverged all = {0};

    aside = (struct aside){.scene = scene};
    assert_ldb_ok(repl_diverged_list(env, REBUILD_DIR, &scene->err, &all),
                  &scene->err);
    for (size_t i = 0; i < all.file_count; i++) {
        const char *name = all.files[i].name;
        char path[128];

        snprintf(path, sizeof(path), REBUILD_DIR "/" REPL_DIVERGED_FOLDER "/%s",
                 name);
        if (strstr(name, ".log") != NULL)
            read_journal(&aside, env, path);
        else
            read_table(&aside, env, path, all.files[i].bytes);
    }
    repl_diverged_release(&all);
    for (size_t i = 0; i < scene->own_count; i++) {
        if (!aside.found[i])
            fail_msg("%s at %llu is nowhere", scene->own[i].key,
                     (unsigned long long)scene->own[i].sequence);
    }
}

void rebuild_scene_assert_adopted(struct rebuild_scene *scene,
                                  struct ldb_env *env)
{
    struct repl_epoch_history history = {0};
    struct repl_rebuild_intent intent;
    struct repl_identity identity;
    struct ldb_error *err = &scene->err;

    assert_ldb_status(LDB_NOT_FOUND,
                      repl_rebuild_intent_load(env, REBUILD_DIR, err, &intent),
                      err);
    assert_ldb_ok(repl_epoch_history_load(env, REBUILD_DIR, err, &history),
                  err);
    assert_int_equal(scene->history.count, history.count);
    assert_memory_equal(scene->history.items, history.items,
                        history.count * sizeof(history.items[0]));
    repl_epoch_history_release(&history);
    assert_ldb_ok(repl_identity_load(env, REBUILD_DIR, err, &identity), err);
    assert_string_equal(scene->identity.cluster_id, identity.cluster_id);
    assert_string_equal(REBUILD_NODE, identity.node_id);
}
