#include "tests/support/sim_truth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/rebuild_intent.h"
#include "storage/base/env.h"
#include "storage/base/status.h"
#include "storage/journal/write_batch.h"
#include "storage/version/version_edit.h"
#include "tests/support/sim_sched.h"

#define FILE_MAX ((size_t)64 << 20)

static struct {
    struct sim_history **items;
    size_t count;
    size_t room;
    uint64_t losses;
} truth;

/* Room for one more in an array of count items. */
static void *grow(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = *room == 0 ? 16 : *room * 2;
    items = realloc(items, *room * size);
    if (items == NULL)
        abort();
    return items;
}

/* ---- tables ---- */

static const struct sim_known_table *
find_table(const struct sim_history *history, uint64_t number)
{
    for (size_t i = history->table_count; i > 0; i--) {
        if (history->tables[i - 1].number == number)
            return &history->tables[i - 1];
    }
    return NULL;
}

const struct sim_known_table *sim_truth_table(const struct sim_history *history,
                                              uint64_t number)
{
    const struct sim_known_table *table = NULL;

    for (; history != NULL && table == NULL; history = history->parent)
        table = find_table(history, number);
    return table;
}

/* is_new: the history. A crash may have given a number back, so that what an
 * earlier history knows under it is another table. */
static void note_table(struct sim_history *history, struct ldb_env *env,
                       const char *dir, uint64_t number, bool is_new)
{
    const struct sim_known_table *known = find_table(history, number);
    struct sim_known_table table = {.number = number};
    struct ldb_error err = {0};
    char name[LDB_FILE_NAME_SIZE];
    char path[128];
    enum ldb_status s;

    if (known != NULL && !is_new)
        return;
    ldb_file_name_print(name, LDB_FILE_TABLE, number);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    s = ldb_digest_file(env, path, &err, &table.digest, &table.size);
    if (s == LDB_NOT_FOUND)
        return; /* dropped again, and known when it went */
    if (s != LDB_OK)
        sim_fail("R3 a leader's table: %s", err.message);
    if (known != NULL && ldb_digest_equal(&known->digest, &table.digest))
        return;
    history->tables = grow(history->tables, history->table_count,
                           &history->table_room, sizeof(*history->tables));
    history->tables[history->table_count++] = table;
}

/* ---- records ---- */

static void add_op(struct sim_history *history, ldb_sequence sequence,
                   const struct ldb_batch_op *op)
{
    struct sim_op added = {.sequence = sequence, .key = sim_key_parse(op->key)};

    if (op->kind == LDB_KIND_PUT)
        added.value = sim_value_parse(op->value);
    if (added.key == SIM_KEYS || (op->kind == LDB_KIND_PUT && added.value == 0))
        sim_fail("R1 a journal has an operation that nobody sent");
    history->ops = grow(history->ops, history->op_count, &history->op_room,
                        sizeof(*history->ops));
    history->ops[history->op_count++] = added;
}

static void add_record(struct sim_history *history, const struct sim_file *file,
                       size_t end, struct ldb_slice bytes)
{
    struct ldb_batch_cursor cursor = ldb_batch_cursor_make(bytes);
    struct sim_record record = {.journal = file->number, .end = end};
    struct ldb_batch_op op;
    struct ldb_error err = {0};
    uint32_t count = 0;

    if (ldb_batch_check(bytes, &err, &record.first, &count) != LDB_OK)
        sim_fail("%06" PRIu64 ".log at %zu: %s", file->number, end,
                 err.message);
    if (count == 0)
        return;
    record.last = record.first + count - 1;
    record.op = history->op_count;
    if (history->record_count > 0 &&
        record.first <= history->records[history->record_count - 1].last)
        return; /* of an epoch before: known already */
    for (ldb_sequence at = record.first; ldb_batch_cursor_next(&cursor, &op);
         at++)
        add_op(history, at, &op);
    history->records = grow(history->records, history->record_count,
                            &history->record_room, sizeof(*history->records));
    history->records[history->record_count++] = record;
}

static void parse_journal(struct sim_history *history, struct sim_file *file)
{
    struct sim_frames frames;
    struct ldb_slice record;

    sim_frames_init(&frames, ldb_slice_of_buf(&file->bytes), file->parsed);
    while (sim_frames_next(&frames, &record))
        add_record(history, file, frames.at, record);
    file->parsed = frames.at;
    sim_frames_release(&frames);
}

/* The journal is shorter now: records that lay behind are lost. */
static void drop_records(struct sim_history *history, uint64_t journal,
                         uint64_t len)
{
    size_t kept = 0;

    for (size_t i = 0; i < history->record_count; i++) {
        const struct sim_record *record = &history->records[i];

        if (record->journal != journal || record->end <= len)
            history->records[kept++] = *record;
    }
    history->record_count = kept;
}

/* What edits add: a table may come and go between two looks, but is looked at
 * before it goes. */
static void parse_manifest(struct sim_history *history, struct ldb_env *env,
                           const char *dir, struct sim_file *file, bool is_new)
{
    struct ldb_version_edit edit;
    struct sim_frames frames;
    struct ldb_slice record;
    struct ldb_error err = {0};

    sim_frames_init(&frames, ldb_slice_of_buf(&file->bytes), file->parsed);
    ldb_version_edit_init(&edit);
    while (sim_frames_next(&frames, &record)) {
        ldb_version_edit_clear(&edit);
        if (ldb_version_edit_decode(&edit, record, &err) != LDB_OK)
            sim_fail("MANIFEST-%06" PRIu64 ": %s", file->number, err.message);
        for (size_t i = 0; i < edit.added_count; i++)
            note_table(history, env, dir, edit.added[i].meta->number, is_new);
    }
    file->parsed = frames.at;
    ldb_version_edit_release(&edit);
    sim_frames_release(&frames);
}

/* ---- files ---- */

static struct sim_file *find_file(const struct sim_history *history,
                                  enum ldb_file_type type, uint64_t number)
{
    for (size_t i = history->file_count; i > 0; i--) {
        struct sim_file *file = &history->files[i - 1];

        if (file->number == number && file->type == type)
            return file;
    }
    return NULL;
}

static struct sim_file *add_file(struct sim_history *history,
                                 enum ldb_file_type type, uint64_t number)
{
    history->files = grow(history->files, history->file_count,
                          &history->file_room, sizeof(*history->files));
    history->files[history->file_count] = (struct sim_file){
        .type = type, .number = number, .bytes = LDB_BUF_INIT(FILE_MAX)};
    return &history->files[history->file_count++];
}

/* The bytes of path from the ones that are known on. */
static void read_on(struct ldb_env *env, const char *path,
                    struct sim_file *file, uint64_t size)
{
    struct ldb_random_file *random = NULL;
    struct ldb_error err = {0};
    struct ldb_slice read;
    uint8_t *room = NULL;
    size_t more = (size_t)size - file->bytes.len;

    if (ldb_buf_extend(&file->bytes, more, &room) != LDB_OK)
        abort();
    if (env->ops->open_random(env, path, &err, &random) != LDB_OK ||
        ldb_random_read_at(random, size - more, more, room, &read, &err) !=
            LDB_OK)
        sim_fail("%s: %s", path, err.message);
    if (read.data != room)
        memcpy(room, read.data, more);
    ldb_random_close(random);
}

/* Behind the one in CURRENT: of a change that may fail yet. It is withdrawn
 * then, nobody has heard of it, and its number may be another one's later. */
static bool is_tried(enum ldb_file_type type, uint64_t number,
                     const uint64_t *current)
{
    return type == LDB_FILE_MANIFEST && current != NULL && number > *current;
}

/* current: the number of the MANIFEST in force; NULL: there is none.
 * is_archive: a shorter journal is not one that was cut, but half a copy. */
static void note_file(struct ldb_env *env, const char *dir, const char *name,
                      const uint64_t *current, bool is_archive,
                      struct sim_history *history)
{
    uint64_t number = 0;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);
    struct sim_file *file;
    char path[128];
    uint64_t size = 0;

    if (type != LDB_FILE_JOURNAL && type != LDB_FILE_MANIFEST)
        return;
    if (is_tried(type, number, current))
        return;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (env->ops->file_size(env, path, NULL, &size) != LDB_OK)
        sim_fail("%s is gone", path);
    file = find_file(history, type, number);
    if (is_archive && file != NULL && size < file->bytes.len)
        return;
    /* New here, or cut after a failed write. */
    if (type == LDB_FILE_JOURNAL && (file == NULL || size < file->bytes.len))
        drop_records(history, number, size);
    if (file == NULL)
        file = add_file(history, type, number);
    if (size < file->bytes.len) {
        truth.losses++;
        file->bytes.len = (size_t)size;
        if (file->parsed > size)
            file->parsed = 0; /* known records are passed over */
    }
    if (size > file->bytes.len)
        read_on(env, path, file, size);
}

struct folder {
    struct ldb_env *env;
    const char *dir;
    const uint64_t *current;
    bool is_archive;
    struct sim_history *history;
};

static enum ldb_status visit(void *context, const char *name)
{
    const struct folder *folder = context;

    note_file(folder->env, folder->dir, name, folder->current,
              folder->is_archive, folder->history);
    return LDB_OK;
}

static int by_number(const void *a, const void *b)
{
    const struct sim_file *one = a;
    const struct sim_file *other = b;

    return one->number < other->number ? -1 : one->number > other->number;
}

static void note_files(struct ldb_env *env, const char *dir,
                       struct sim_history *history)
{
    uint64_t number = 0;
    const uint64_t *current =
        sim_current_read(env, dir, &number) ? &number : NULL;
    struct folder main_folder = {env, dir, current, false, history};
    char archive[128];
    struct folder archived = {env, archive, current, true, history};

    (void)snprintf(archive, sizeof(archive), "%s/leveld/archive", dir);
    LDB_IGNORE(env->ops->list_dir(env, archive, visit, &archived, NULL));
    LDB_IGNORE(env->ops->list_dir(env, dir, visit, &main_folder, NULL));
    qsort(history->files, history->file_count, sizeof(*history->files),
          by_number);
    for (size_t i = 0; i < history->file_count; i++) {
        if (history->files[i].type == LDB_FILE_JOURNAL)
            parse_journal(history, &history->files[i]);
        else
            parse_manifest(history, env, dir, &history->files[i],
                           !history->is_seen);
    }
    history->is_seen = true;
}

uint64_t sim_truth_losses(void)
{
    return truth.losses;
}

const struct sim_file *sim_truth_file(const struct sim_history *history,
                                      enum ldb_file_type type, uint64_t number)
{
    const struct sim_file *file = NULL;

    for (; history != NULL && file == NULL; history = history->parent)
        file = find_file(history, type, number);
    return file;
}

/* ---- histories ---- */

void sim_truth_begin(void)
{
    memset(&truth, 0, sizeof(truth));
}

void sim_truth_end(void)
{
    for (size_t i = 0; i < truth.count; i++) {
        struct sim_history *history = truth.items[i];

        for (size_t f = 0; f < history->file_count; f++)
            ldb_buf_release(&history->files[f].bytes);
        free(history->files);
        free(history->tables);
        free(history->records);
        free(history->ops);
        free(history);
    }
    free(truth.items);
    memset(&truth, 0, sizeof(truth));
}

struct sim_history *sim_truth_find(uint64_t number, uint64_t id)
{
    for (size_t i = truth.count; i > 0; i--) {
        struct sim_history *history = truth.items[i - 1];

        if (history->epoch.number == number && history->epoch.id == id)
            return history;
    }
    return NULL;
}

size_t sim_truth_count(void)
{
    return truth.count;
}

struct sim_history *sim_truth_at(size_t index)
{
    return truth.items[index];
}

/* The records of the parent that its successor found. */
static void inherit(struct sim_history *history)
{
    const struct sim_history *parent = history->parent;
    size_t count = 0;

    while (count < parent->record_count &&
           parent->records[count].last <= history->epoch.previous_last)
        count++;
    for (size_t i = 0; i < count; i++) {
        struct sim_record record = parent->records[i];
        size_t ops = (size_t)(record.last - record.first) + 1;

        for (size_t n = 0; n < ops; n++) {
            history->ops = grow(history->ops, history->op_count,
                                &history->op_room, sizeof(*history->ops));
            history->ops[history->op_count++] = parent->ops[record.op + n];
        }
        record.op = history->op_count - ops;
        history->records =
            grow(history->records, history->record_count, &history->record_room,
                 sizeof(*history->records));
        history->records[history->record_count++] = record;
    }
}

static struct sim_history *add_history(unsigned node,
                                       const struct repl_epoch *epoch,
                                       struct sim_history *parent)
{
    struct sim_history *history = calloc(1, sizeof(*history));

    if (history == NULL)
        abort();
    history->epoch = *epoch;
    history->author = node;
    history->parent = parent;
    truth.items =
        grow(truth.items, truth.count, &truth.room, sizeof(*truth.items));
    truth.items[truth.count++] = history;
    if (parent != NULL)
        inherit(history);
    sim_trace("epoch %" PRIu64 " of %c, after %" PRIu64 ", base %" PRIu64
              ": %zu records",
              epoch->number, 'a' + (int)node, epoch->previous_last, epoch->base,
              history->record_count);
    return history;
}

/* It is being made another leader's: files may be so already. */
static bool is_switching(struct ldb_env *env, const char *dir)
{
    struct repl_rebuild_intent intent;

    return repl_rebuild_intent_load(env, dir, NULL, &intent) == LDB_OK &&
           intent.phase == REPL_REBUILD_SWITCHING;
}

void sim_truth_note(unsigned node, bool leads, struct ldb_env *env,
                    const char *dir)
{
    struct repl_epoch_history list = {0};
    struct sim_history *last = NULL;
    struct ldb_error err = {0};
    enum ldb_status s = repl_epoch_history_load(env, dir, &err, &list);

    if (s != LDB_OK && s != LDB_NOT_FOUND)
        sim_fail("epochs of %c: %s", 'a' + (int)node, err.message);
    for (size_t i = 0; i < list.count; i++) {
        struct sim_history *history =
            sim_truth_find(list.items[i].number, list.items[i].id);

        if (history == NULL && leads)
            history = add_history(node, &list.items[i], last);
        last = history;
    }
    repl_epoch_history_release(&list);
    if (last == NULL || last->author != node || is_switching(env, dir))
        return;
    note_files(env, dir, last);
}

/* ---- asking ---- */

bool sim_truth_content(const struct sim_history *history, ldb_sequence sequence,
                       struct sim_content *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < history->record_count; i++) {
        const struct sim_record *record = &history->records[i];

        if (record->first > sequence)
            break;
        if (record->last > sequence)
            return false;
        for (size_t n = 0; n <= record->last - record->first; n++) {
            const struct sim_op *op = &history->ops[record->op + n];

            out->value[op->key] = op->value;
        }
    }
    return true;
}

const struct sim_op *sim_truth_op(const struct sim_history *history,
                                  ldb_sequence sequence)
{
    for (size_t i = history->record_count; i > 0; i--) {
        const struct sim_record *record = &history->records[i - 1];

        if (sequence >= record->first && sequence <= record->last)
            return &history->ops[record->op + (sequence - record->first)];
    }
    return NULL;
}

ldb_sequence sim_truth_last_below(const struct sim_history *history,
                                  uint64_t journal)
{
    for (size_t i = history->record_count; i > 0; i--) {
        if (history->records[i - 1].journal < journal)
            return history->records[i - 1].last;
    }
    return 0;
}

uint64_t sim_truth_bytes(const struct sim_history *history)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < history->file_count; i++) {
        if (history->files[i].type == LDB_FILE_JOURNAL)
            bytes += history->files[i].bytes.len;
    }
    return bytes;
}
