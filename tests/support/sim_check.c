#include "tests/support/sim_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/db_gate.h"
#include "replication/rebuild_intent.h"
#include "storage/base/status.h"
#include "storage/journal/journal_format.h"
#include "storage/twin.h"
#include "tests/support/oracles.h"
#include "tests/support/sim_check_version.h"

#define FILE_MAX ((size_t)64 << 20)

/* A journal is that much longer than its memtable, at most: its last group. */
#define JOURNAL_SLACK ((uint64_t)32 << 10)

void sim_watch_init(struct sim_watch *watch)
{
    *watch = (struct sim_watch){.looked_at = UINT64_MAX};
}

void sim_watch_release(struct sim_watch *watch)
{
    free(watch->tables);
    watch->tables = NULL;
}

void sim_watch_forget(struct sim_watch *watch)
{
    watch->looked_at = UINT64_MAX;
    watch->table_count = 0;
    watch->has_log_number = false;
    watch->epoch = watch->accepted;
}

/* ---- which history ---- */

static struct sim_history *last_history(struct ldb_env *env,
                                        struct repl_epoch *out)
{
    struct repl_epoch_history list = {0};
    struct sim_history *history = NULL;
    struct ldb_error err = {0};
    enum ldb_status s = repl_epoch_history_load(env, SIM_DIR, &err, &list);

    *out = (struct repl_epoch){0};
    if (s != LDB_OK && s != LDB_NOT_FOUND)
        sim_fail("R6 the epochs: %s", err.message);
    if (list.count > 0) {
        *out = *repl_epoch_history_last(&list);
        history = sim_truth_find(out->number, out->id);
    }
    repl_epoch_history_release(&list);
    return history;
}

struct sim_history *sim_check_history(struct sim_node *node)
{
    struct repl_epoch epoch;

    return last_history(sim_node_disk(node), &epoch);
}

static bool find_intent(struct ldb_env *env, struct repl_rebuild_intent *out)
{
    struct ldb_error err = {0};
    enum ldb_status s = repl_rebuild_intent_load(env, SIM_DIR, &err, out);

    if (s != LDB_OK && s != LDB_NOT_FOUND)
        sim_fail("the intent: %s", err.message);
    return s == LDB_OK;
}

/* ---- R1, R2 ---- */

struct folder {
    struct sim_node *node;
    struct ldb_env *env;
    const struct sim_history *history;
    const char *dir;
    bool is_alive;
    struct ldb_buf bytes;
};

/* Whether a record ends there. */
static bool is_boundary(struct ldb_slice bytes, size_t end)
{
    struct sim_frames frames;
    struct ldb_slice record;
    bool is_at;

    sim_frames_init(&frames, bytes, 0);
    while (frames.at < end && sim_frames_next(&frames, &record))
        continue;
    is_at = frames.at == end;
    sim_frames_release(&frames);
    return is_at;
}

static void check_prefix(struct folder *folder, enum ldb_file_type type,
                         uint64_t number, const char *name)
{
    const char *rule = type == LDB_FILE_JOURNAL ? "R1" : "R2";
    const struct sim_file *theirs =
        sim_truth_file(folder->history, type, number);
    struct ldb_slice ours = ldb_slice_of_buf(&folder->bytes);
    size_t same = 0;

    if (ours.len == 0)
        return;
    if (theirs == NULL)
        sim_fail("%s %s of %s was never the leader's", rule, name,
                 folder->node->name);
    while (same < ours.len && same < theirs->bytes.len &&
           ours.data[same] == theirs->bytes.data[same])
        same++;
    if (same < ours.len)
        sim_fail("%s %s of %s has %zu bytes, and is the leader's (%zu bytes) "
                 "up to %zu alone",
                 rule, name, folder->node->name, ours.len, theirs->bytes.len,
                 same);
    /* A disk that failed half an append, and then to take it back. */
    if (type == LDB_FILE_MANIFEST && folder->is_alive &&
        !folder->node->is_worn &&
        !is_boundary(ldb_slice_of_buf(&theirs->bytes), ours.len))
        sim_fail("R2 %s of %s ends at %zu, inside a record", name,
                 folder->node->name, ours.len);
}

static enum ldb_status visit(void *context, const char *name)
{
    struct folder *folder = context;
    uint64_t number = 0;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);
    char path[160];

    if (type != LDB_FILE_JOURNAL && type != LDB_FILE_MANIFEST)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", folder->dir, name);
    ldb_buf_clear(&folder->bytes);
    if (sim_read_file(folder->env, path, &folder->bytes))
        check_prefix(folder, type, number, path);
    return LDB_OK;
}

/* ---- R7 ---- */

struct usage {
    struct ldb_env *env;
    const char *dir;
    uint64_t bytes;
    unsigned journals;
};

static enum ldb_status add_up(void *context, const char *name)
{
    struct usage *usage = context;
    uint64_t number = 0;
    uint64_t size = 0;
    char path[160];

    if (ldb_file_name_parse(name, &number) != LDB_FILE_JOURNAL)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", usage->dir, name);
    if (usage->env->ops->file_size(usage->env, path, NULL, &size) == LDB_OK)
        usage->bytes += size;
    usage->journals++;
    return LDB_OK;
}

/* Journals that nothing needs but others: no more than are to be kept, and the
 * one that has come just now. */
static void check_retention(struct sim_node *node, struct ldb_env *env)
{
    struct usage kept = {.env = env, .dir = SIM_DIR "/leveld/archive"};
    struct usage needed = {.env = env, .dir = SIM_DIR};
    struct ldb_options options;
    uint64_t limit;

    sim_node_engine_options(node, env, &options);
    limit =
        options.archive_bytes + 2 * options.write_buffer_bytes + JOURNAL_SLACK;
    LDB_IGNORE(env->ops->list_dir(env, kept.dir, add_up, &kept, NULL));
    LDB_IGNORE(env->ops->list_dir(env, needed.dir, add_up, &needed, NULL));
    if (kept.bytes > limit)
        sim_fail("R7 %s keeps %" PRIu64 " bytes of journals, of %" PRIu64,
                 node->name, kept.bytes, options.archive_bytes);
    /* Those that went out of use in one step, too. */
    if (needed.journals > 2 * LDB_TWIN_JOURNALS_MAX)
        sim_fail("R7 %s has %u journals", node->name, needed.journals);
}

/* ---- all of a folder ---- */

static void check_files(struct folder *folder)
{
    char archive[64];

    folder->bytes = (struct ldb_buf)LDB_BUF_INIT(FILE_MAX);
    folder->dir = SIM_DIR;
    LDB_IGNORE(
        folder->env->ops->list_dir(folder->env, SIM_DIR, visit, folder, NULL));
    (void)snprintf(archive, sizeof(archive), "%s/leveld/archive", SIM_DIR);
    folder->dir = archive;
    LDB_IGNORE(
        folder->env->ops->list_dir(folder->env, archive, visit, folder, NULL));
    ldb_buf_release(&folder->bytes);
}

void sim_check_folder(struct sim_node *node, struct sim_watch *watch,
                      bool is_alive)
{
    struct folder folder = {
        .node = node, .env = sim_node_disk(node), .is_alive = is_alive};
    struct repl_rebuild_intent intent;
    struct repl_epoch epoch;

    if (watch->looked_at == sim_env_changes(node->world))
        return;
    watch->looked_at = sim_env_changes(node->world);
    folder.history = last_history(folder.env, &epoch);
    if (epoch.number < watch->epoch)
        sim_fail("R6 %s had accepted epoch %" PRIu64 ", and is in %" PRIu64,
                 node->name, watch->epoch, epoch.number);
    watch->epoch = epoch.number;
    if (sim_node_leads(node))
        watch->accepted = epoch.number;
    if (find_intent(folder.env, &intent) &&
        intent.phase == REPL_REBUILD_SWITCHING) {
        watch->table_count = 0;
        return; /* it is not to be opened by anybody of ours */
    }
    if (folder.history == NULL || !folder.history->is_seen)
        return;
    /* One that has led, or was to, is nobody's twin before it streams: a
     * promotion that fails leaves a MANIFEST of its own. */
    if (sim_node_is_to_lead(node) || node->was_to_lead)
        watch->is_twin = false;
    node->was_to_lead = false;
    if (watch->is_twin) {
        check_files(&folder);
        sim_check_version(node, folder.history, watch);
    } else {
        watch->has_log_number = false;
    }
    if (is_alive)
        check_retention(node, folder.env);
}

/* ---- R8, of what is read ---- */

static void look_at_twin(struct sim_node *node, struct ldb_db *db)
{
    struct sim_history *history;
    struct ldb_twin_state at;
    ldb_sequence wanted;

    ldb_twin_state(db, &at);
    sim_hush(true);
    history = sim_check_history(node);
    if (history != NULL && history->is_seen) {
        wanted = sim_truth_last_below(history, at.log_number);
        if (at.applied.sequence < wanted)
            sim_fail("R8 the version of %s begins with %06" PRIu64
                     ".log, and %" PRIu64 " of the journals before are "
                     "applied up to %" PRIu64,
                     node->name, at.log_number, wanted, at.applied.sequence);
    }
    sim_hush(false);
}

/* What it has synced, as it says. */
static void note_synced(struct sim_node *node, struct sim_watch *watch)
{
    struct repl_follower_stats stats;

    if (!sim_node_figures(node, &stats))
        return;
    if (stats.epoch != watch->synced_epoch ||
        stats.synced.sequence > watch->synced)
        watch->synced = stats.synced.sequence;
    watch->synced_epoch = stats.epoch;
    if (stats.state != REPL_FOLLOWER_STREAMING)
        return;
    watch->is_twin = true;
    if (stats.epoch > watch->accepted)
        watch->accepted = stats.epoch;
}

void sim_check_twin(struct sim_node *node, struct sim_watch *watch)
{
    note_synced(node, watch);
    if (!watch->is_twin || !sim_node_hold(node))
        return;
    if (!sim_node_leads(node) && api_db_gate_enter(node->context.gate)) {
        /* A leader's may have been opened meanwhile. */
        if (node->context.leader == NULL)
            look_at_twin(node, node->context.db);
        api_db_gate_leave(node->context.gate);
    }
    sim_node_let_go(node);
}

/* ---- content ---- */

/* False: the disk fails just now. */
static bool scan(struct ldb_db *db, struct ldb_snapshot *snapshot,
                 const char *who, struct sim_content *out)
{
    const struct ldb_read_options options = {.snapshot = snapshot};
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    enum ldb_status s = ldb_cursor_open(db, &options, &err, &cursor);

    memset(out, 0, sizeof(*out));
    if (s == LDB_IO || s == LDB_NO_SPACE)
        return false;
    if (s != LDB_OK)
        sim_fail("R4 a cursor of %s: %s", who, err.message);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        unsigned key = sim_key_parse(ldb_cursor_key(cursor));
        uint32_t value = sim_value_parse(ldb_cursor_value(cursor));

        if (key == SIM_KEYS || value == 0)
            sim_fail("R4 %s has an entry that nobody has written", who);
        out->value[key] = value;
    }
    s = ldb_cursor_status(cursor, &err);
    ldb_cursor_close(cursor);
    if (s != LDB_OK && s != LDB_IO && s != LDB_NO_SPACE)
        sim_fail("R4 a cursor of %s: %s", who, err.message);
    return s == LDB_OK;
}

static bool is_same(const struct sim_content *one,
                    const struct sim_content *other, unsigned *out_key)
{
    for (unsigned key = 0; key < SIM_KEYS; key++) {
        if (one->value[key] == other->value[key])
            continue;
        *out_key = key;
        return false;
    }
    return true;
}

static void trace_difference(const struct sim_history *history,
                             const struct sim_content *is,
                             const struct sim_content *wanted)
{
    for (unsigned key = 0; key < SIM_KEYS; key++) {
        if (is->value[key] != wanted->value[key])
            sim_trace("key %u has %08" PRIx32 ", not %08" PRIx32, key,
                      is->value[key], wanted->value[key]);
    }
    for (size_t i = 0; i < history->record_count; i++) {
        const struct sim_record *record = &history->records[i];

        for (ldb_sequence at = record->first; at <= record->last; at++)
            sim_trace("%06" PRIu64 ".log up to %" PRIu64 ": %" PRIu64
                      " key %u %08" PRIx32,
                      record->journal, record->end, at,
                      history->ops[record->op + (at - record->first)].key,
                      history->ops[record->op + (at - record->first)].value);
    }
}

static void check_content(const char *rule, const char *who,
                          const struct sim_history *history,
                          ldb_sequence sequence, const struct sim_content *is)
{
    struct sim_content wanted;
    unsigned key = 0;

    if (!sim_truth_content(history, sequence, &wanted))
        sim_fail("%s %s is at sequence %" PRIu64 ", inside a batch", rule, who,
                 sequence);
    if (is_same(is, &wanted, &key))
        return;
    trace_difference(history, is, &wanted);
    sim_fail("%s %s at sequence %" PRIu64 " of epoch %" PRIu64
             " has value %08" PRIx32 " for key %u, which had %08" PRIx32,
             rule, who, sequence, history->epoch.number, is->value[key], key,
             wanted.value[key]);
}

/* Readers see what was not synced until it has healed, and its journal may have
 * been cut (ldb_cut_unsynced()). */
static bool shows_what_is_lost(struct ldb_db *db)
{
    enum ldb_health health = ldb_health(db, NULL);

    return health == LDB_HEALTH_SYNC_FAILED ||
           health == LDB_HEALTH_WRITE_FAILED;
}

bool sim_check_reads(struct sim_node *node)
{
    struct ldb_snapshot *snapshot = NULL;
    struct sim_history *history;
    struct sim_content is;
    struct ldb_error err = {0};
    ldb_sequence sequence = 0;
    bool is_read = false;

    if (!sim_node_hold(node))
        return false;
    if (!api_db_gate_enter(node->context.gate)) {
        sim_node_let_go(node);
        return false;
    }
    if (!shows_what_is_lost(node->context.db) &&
        ldb_snapshot_acquire(node->context.db, &err, &snapshot) == LDB_OK) {
        sequence = ldb_snapshot_sequence(snapshot);
        is_read = scan(node->context.db, snapshot, node->name, &is) &&
                  !shows_what_is_lost(node->context.db);
        ldb_snapshot_release(snapshot);
    }
    sim_hush(true);
    sim_node_note(node);
    history = sim_check_history(node);
    if (is_read && history != NULL && history->is_seen)
        check_content("R8", node->name, history, sequence, &is);
    sim_hush(false);
    api_db_gate_leave(node->context.gate);
    sim_node_let_go(node);
    return true;
}

/* ---- R4 ---- */

/* Of whichever history. */
static bool is_any_past(ldb_sequence sequence, const struct sim_content *is)
{
    struct sim_content past;
    unsigned key;

    for (size_t i = 0; i < sim_truth_count(); i++) {
        if (sim_truth_content(sim_truth_at(i), sequence, &past) &&
            is_same(is, &past, &key))
            return true;
    }
    return false;
}

/* A rebuild under way may have the leader's files in place already, or its
 * epochs alone, and journals of the old history gone. */
static void check_copy(struct sim_node *node, const struct sim_watch *watch,
                       struct ldb_env *env, ldb_sequence sequence,
                       const struct sim_content *is)
{
    struct repl_rebuild_intent intent;
    struct repl_epoch epoch;
    struct sim_history *history = last_history(env, &epoch);
    bool is_rebuilding = find_intent(env, &intent);

    if (is_rebuilding && is_any_past(sequence, is))
        return;
    if (history == NULL || !history->is_seen)
        return;
    check_content("R4", node->name, history, sequence, is);
    if (!is_rebuilding && epoch.number == watch->synced_epoch &&
        sequence < watch->synced)
        sim_fail("R5 %s had synced up to %" PRIu64 ", and has %" PRIu64,
                 node->name, watch->synced, sequence);
}

bool sim_check_opens(struct sim_node *node, const struct sim_watch *watch,
                     ldb_sequence *out_sequence, struct ldb_buf *out_dump)
{
    struct sim_env *copy = sim_env_after_cut(node->world, LDB_CRASH_KEEP_ALL);
    struct ldb_env *env = sim_env_env(copy);
    struct ldb_options options;
    struct ldb_error err = {0};
    struct sim_content is;
    struct ldb_db *db = NULL;
    uint64_t size;
    bool is_there =
        env->ops->file_size(env, SIM_DIR "/CURRENT", NULL, &size) == LDB_OK;

    if (!is_there && watch->has_current)
        sim_fail("R4 %s has no CURRENT any more", node->name);
    if (is_there) {
        sim_node_engine_options(node, env, &options);
        options.create_if_missing = false;
        if (ldb_open(SIM_DIR, &options, NULL, &err, &db) != LDB_OK)
            sim_fail("R4 %s does not open: %s", node->name, err.message);
        *out_sequence = ldb_last_sequence(db);
        if (!scan(db, NULL, node->name, &is))
            sim_fail("R4 %s cannot be read", node->name);
        oracles_dump_ours(db, out_dump);
        LDB_IGNORE(ldb_close(db, NULL)); /* a copy's */
        sim_hush(true);
        check_copy(node, watch, env, *out_sequence, &is);
        sim_hush(false);
    }
    sim_env_destroy(copy);
    return is_there;
}

bool sim_check_durable(struct sim_node *node, ldb_sequence *out_sequence,
                       uint64_t *out_epoch)
{
    struct sim_env *copy = sim_env_after_cut(node->world, LDB_CRASH_KEEP_NONE);
    struct ldb_env *env = sim_env_env(copy);
    struct ldb_options options;
    struct repl_epoch epoch;
    struct ldb_db *db = NULL;
    bool is_there;

    sim_node_engine_options(node, env, &options);
    options.create_if_missing = false;
    is_there = ldb_open(SIM_DIR, &options, NULL, NULL, &db) == LDB_OK;
    if (is_there) {
        *out_sequence = ldb_last_sequence(db);
        LDB_IGNORE(ldb_close(db, NULL)); /* a copy's */
        (void)last_history(env, &epoch);
        *out_epoch = epoch.number;
    }
    sim_env_destroy(copy);
    return is_there;
}
