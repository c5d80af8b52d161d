#include "tests/support/sim_final.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/db_gate.h"
#include "storage/base/status.h"
#include "storage/change_reader.h"
#include "storage/journal/write_batch.h"

#define FILE_MAX   ((size_t)64 << 20)
#define ANSWER_MAX ((size_t)64 << 20)

/* ---- twins ---- */

struct comparison {
    struct sim_node *leader;
    struct sim_node *follower;
};

static void check_same_file(const struct comparison *comparison,
                            const char *name)
{
    struct ldb_buf theirs = LDB_BUF_INIT(FILE_MAX);
    struct ldb_buf ours = LDB_BUF_INIT(FILE_MAX);
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", SIM_DIR, name);
    if (!sim_read_file(sim_node_disk(comparison->leader), path, &theirs) ||
        !sim_read_file(sim_node_disk(comparison->follower), path, &ours))
        sim_fail("R1 %s is not in both folders of %s and %s", name,
                 comparison->leader->name, comparison->follower->name);
    if (!ldb_slice_equal(ldb_slice_of_buf(&theirs), ldb_slice_of_buf(&ours)))
        sim_fail("R1 %s is not the same at %s (%zu bytes) and %s (%zu)", name,
                 comparison->leader->name, theirs.len,
                 comparison->follower->name, ours.len);
    ldb_buf_release(&theirs);
    ldb_buf_release(&ours);
}

void sim_final_same(struct sim_node *leader, struct sim_node *follower)
{
    static struct sim_version version; /* too large for a stack */
    const struct comparison comparison = {leader, follower};
    const struct sim_history *history;
    char name[LDB_FILE_NAME_SIZE];
    uint64_t size;

    sim_hush(true);
    history = sim_check_history(leader);
    if (history == NULL ||
        !sim_version_read(sim_node_disk(leader), SIM_DIR, &version))
        sim_fail("%s has no database", leader->name);
    check_same_file(&comparison, "CURRENT");
    ldb_file_name_print(name, LDB_FILE_MANIFEST, version.manifest);
    check_same_file(&comparison, name);
    for (size_t i = 0; i < version.table_count; i++) {
        ldb_file_name_print(name, LDB_FILE_TABLE, version.tables[i].number);
        check_same_file(&comparison, name);
    }
    for (size_t i = 0; i < history->file_count; i++) {
        const struct sim_file *file = &history->files[i];
        char path[128];

        if (file->type != LDB_FILE_JOURNAL ||
            file->number < version.log_number || file->bytes.len == 0)
            continue;
        ldb_file_name_print(name, LDB_FILE_JOURNAL, file->number);
        (void)snprintf(path, sizeof(path), "%s/%s", SIM_DIR, name);
        if (sim_node_disk(leader)->ops->file_size(sim_node_disk(leader), path,
                                                  NULL, &size) == LDB_OK)
            check_same_file(&comparison, name);
    }
    sim_hush(false);
}

/* ---- R9 ---- */

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct ldb_slice unhex(const char *text, uint8_t *room, size_t room_size)
{
    size_t len = strlen(text) / 2;

    if (len > room_size)
        sim_fail("R9 a change of %zu bytes", len);
    for (size_t i = 0; i < len; i++)
        room[i] =
            (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return ldb_slice_make(room, len);
}

static struct sim_op read_item(const json_t *item)
{
    const char *key = json_string_value(json_object_get(item, "key"));
    const char *value = json_string_value(json_object_get(item, "value"));
    struct sim_op op = {
        .sequence =
            (ldb_sequence)json_integer_value(json_object_get(item, "sequence")),
    };
    uint8_t room[SIM_VALUE_MAX];

    if (key == NULL)
        sim_fail("R9 a change without a key");
    op.key = sim_key_parse(unhex(key, room, sizeof(room)));
    if (value != NULL)
        op.value = sim_value_parse(unhex(value, room, sizeof(room)));
    return op;
}

/* Where a feed is: the number of the next operation in the history. */
struct feed {
    const struct sim_node *node;
    const struct sim_history *history;
    size_t record;
    size_t op; /* in the record */
};

static void take_change(struct feed *feed, const struct sim_op *is)
{
    const struct sim_record *record;
    const struct sim_op *wanted;

    if (feed->record == feed->history->record_count)
        sim_fail("R9 %s tells a change at %" PRIu64 ", after the last one",
                 feed->node->name, is->sequence);
    record = &feed->history->records[feed->record];
    wanted = &feed->history->ops[record->op + feed->op];
    if (is->sequence != wanted->sequence || is->key != wanted->key ||
        is->value != wanted->value)
        sim_fail("R9 %s tells a change at %" PRIu64
                 " of key %u where that at %" PRIu64 " of key %u is next",
                 feed->node->name, is->sequence, is->key, wanted->sequence,
                 wanted->key);
    if (record->op + ++feed->op > record->op + (record->last - record->first)) {
        feed->record++;
        feed->op = 0;
    }
}

/* One page; the sequence to go on after, or 0: it was the last. */
static uint64_t read_page(struct sim_node *node, uint64_t since,
                          struct feed *feed)
{
    static const char *const headers[] = {"Accept: application/json", NULL};
    struct ldb_buf answer = LDB_BUF_INIT(ANSWER_MAX);
    uint64_t next;
    char target[96];
    unsigned status;
    json_t *page;
    const json_t *item;
    size_t index;

    (void)snprintf(target, sizeof(target),
                   "/v1/changes?since=%" PRIu64 "&limit=100&encoding=hex",
                   since);
    status = sim_net_call(node->index, "GET", target, headers,
                          (struct ldb_slice){0}, &answer);
    page = json_loadb((const char *)answer.data, answer.len, 0, NULL);
    if (status != 200 || page == NULL)
        sim_fail("R9 %s at %s: %u %.*s", target, node->name, status,
                 (int)answer.len, (const char *)answer.data);
    json_array_foreach(json_object_get(page, "items"), index, item)
    {
        const struct sim_op op = read_item(item);

        take_change(feed, &op);
    }
    next = (uint64_t)json_integer_value(json_object_get(page, "next"));
    json_decref(page);
    ldb_buf_release(&answer);
    return next;
}

/* The last sequence of a record from which on the node can tell. */
static uint64_t choose_since(struct feed *feed, ldb_sequence oldest)
{
    size_t first = 0;

    while (first < feed->history->record_count &&
           feed->history->records[first].last < oldest)
        first++;
    if (first == feed->history->record_count) {
        feed->record = first;
        return first == 0 ? 0 : feed->history->records[first - 1].last;
    }
    if (oldest == 0 && sim_one_in(2))
        return 0;
    first += sim_below(feed->history->record_count - first);
    feed->record = first + 1;
    return feed->history->records[first].last;
}

void sim_final_changes(struct sim_node *node)
{
    struct feed feed = {.node = node};
    ldb_sequence oldest;
    uint64_t since;

    if (!api_db_gate_enter(node->context.gate))
        sim_fail("R9 %s has no database", node->name);
    oldest = ldb_changes_oldest(node->context.db);
    api_db_gate_leave(node->context.gate);
    sim_hush(true);
    feed.history = sim_check_history(node);
    sim_hush(false);
    since = choose_since(&feed, oldest);
    if (feed.record > 0 && since < oldest)
        return; /* nothing is kept that was written */
    do
        since = read_page(node, since, &feed);
    while (since != 0);
    if (feed.record != feed.history->record_count)
        sim_fail("R9 %s tells nothing of what was written from %" PRIu64 " on",
                 node->name, feed.history->records[feed.record].first);
}

/* ---- R5 ---- */

/* The values that were set aside anywhere, a bit each. */
struct aside {
    struct ldb_env *env;
    uint8_t *bits;
    size_t count;
};

static void note_values(struct aside *aside, struct ldb_slice record)
{
    struct ldb_batch_cursor cursor = ldb_batch_cursor_make(record);
    struct ldb_batch_op op;

    if (ldb_batch_check(record, NULL, NULL, NULL) != LDB_OK)
        sim_fail("R5 a journal that was set aside is damaged");
    while (ldb_batch_cursor_next(&cursor, &op)) {
        uint32_t value =
            op.kind == LDB_KIND_PUT ? sim_value_parse(op.value) : 0;

        if (value < aside->count)
            aside->bits[value / 8] |= (uint8_t)(1u << (value % 8));
    }
}

static enum ldb_status visit_aside(void *context, const char *name)
{
    struct aside *aside = context;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    struct sim_frames frames;
    struct ldb_slice record;
    char path[160];

    if (strstr(name, ".log") == NULL)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), "%s/leveld/diverged/%s", SIM_DIR, name);
    if (sim_read_file(aside->env, path, &bytes)) {
        sim_frames_init(&frames, ldb_slice_of_buf(&bytes), 0);
        while (sim_frames_next(&frames, &record))
            note_values(aside, record);
        sim_frames_release(&frames);
    }
    ldb_buf_release(&bytes);
    return LDB_OK;
}

static bool is_in(const struct sim_history *history, const struct sim_ack *ack)
{
    for (ldb_sequence at = ack->first; at <= ack->last; at++) {
        const struct sim_op *op = sim_truth_op(history, at);

        if (op != NULL && op->value == ack->value)
            return true;
    }
    return false;
}

/* Whether a history that has it went on with another write of its key: that may
 * be all that is left of both. */
static bool is_overwritten(const struct sim_ack *ack)
{
    for (size_t h = 0; h < sim_truth_count(); h++) {
        const struct sim_history *history = sim_truth_at(h);
        unsigned key = SIM_KEYS;

        if (!is_in(history, ack))
            continue;
        for (size_t i = 0; i < history->op_count; i++) {
            const struct sim_op *op = &history->ops[i];

            if (op->value == ack->value)
                key = op->key;
            else if (op->key == key)
                return true;
        }
    }
    return false;
}

static void check_ack(const struct sim_client *client,
                      const struct aside *aside,
                      const struct sim_history *history,
                      const struct sim_ack *ack)
{
    if (!ack->sync || ack->value == 0 || is_in(history, ack))
        return;
    if (ack->replicas >= client->node_count - 1)
        sim_fail("R5 the write at %" PRIu64 " of epoch %" PRIu64
                 ", which all followers had, is not in epoch %" PRIu64,
                 ack->last, ack->history->epoch.number, history->epoch.number);
    if ((aside->bits[ack->value / 8] & 1u << (ack->value % 8)) == 0 &&
        !is_overwritten(ack))
        sim_fail("R5 the write at %" PRIu64 " of epoch %" PRIu64
                 ", acknowledged by %s, is neither in epoch %" PRIu64
                 " nor set aside",
                 ack->last, ack->history->epoch.number,
                 client->nodes[ack->node].name, history->epoch.number);
}

void sim_final_acks(const struct sim_client *client,
                    const struct sim_node *leader)
{
    struct aside aside = {.count = client->next_value};
    const struct sim_history *history;

    aside.bits = calloc(aside.count / 8 + 1, 1);
    if (aside.bits == NULL)
        abort();
    sim_hush(true);
    history = sim_check_history(&client->nodes[leader->index]);
    for (unsigned i = 0; i < client->node_count; i++) {
        aside.env = sim_node_disk(&client->nodes[i]);
        LDB_IGNORE(aside.env->ops->list_dir(
            aside.env, SIM_DIR "/leveld/diverged", visit_aside, &aside, NULL));
    }
    for (size_t i = 0; i < client->ack_count; i++)
        check_ack(client, &aside, history, &client->acks[i]);
    sim_hush(false);
    free(aside.bits);
}
