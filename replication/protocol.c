/*
 * The documents, and how they are read; protocol_write.c has the writing.
 * Members are in this order when we write; read in any.
 *
 * state       {"protocol":1, "cluster_id":ID, "node_id":ID,
 *              "role":"leader"|"follower", "leader":URL,
 *              "epochs":[{"number", "id":HEX16, "previous_last", "base",
 *                         "first_journal"}...],
 *              "manifest":{"number", "bytes"}, "journals":[JOURNAL...],
 *              "durable":PLACE, "last_sequence", "clock_us",
 *              "table_options":{"bloom_bits", "comparator", "filter_base_lg",
 *                  "block_bytes", "block_restart_interval", "compress"}}
 * ack         {"protocol":1, "node_id":ID, "url", "epoch":{"number", "id"},
 *              "written":PLACE, "synced":PLACE, "applied":PLACE,
 *              "manifest":{"number", "bytes"}, "state":WORD,
 *              "tables":{"built", "fetched", "mismatched"}}
 * heartbeat   {"protocol":1, "epoch":{"number", "id"}, "durable":PLACE,
 *              "last_sequence", "manifest":{"number", "bytes"}, "clock_us",
 *              "slot_lost":BOOL, "awaited":BOOL}
 * request     {"protocol":1, "node_id":ID, "id", "release":BOOL}: a version 1,
 *              and the last two when they are not set, may be left out
 * checkpoint  {"protocol":1, "id", "manifest":{"number", "bytes"},
 *              "log_number", "last_sequence",
 *              "files":[{"name", "bytes", "digest":HEX32}...],
 *              "journals":[JOURNAL...]}
 *
 * JOURNAL     {"number", "bytes", "sealed":BOOL, "archived":BOOL,
 *              "digest":HEX32, "first", "last"}
 * PLACE       {"journal", "offset", "sequence"}
 *
 * A digest that is not known is left out. ID is 32 hex digits. Values without
 * a form are whole numbers below 2^63, as jansson has them: all that is counted
 * here is. What may be any 64 bits, an epoch's id, is hex.
 */
#include "replication/protocol.h"

#include <inttypes.h>

#include "replication/json_document.h"
#include "replication/table_name.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Chosen: ours have 3 levels; a newer node may say more. */
#define DEPTH_MAX 16

/* What jansson takes for a whole number. */
#define NUMBER_MAX ((uint64_t)INT64_MAX)

/* Digits of a node's or cluster's id. */
#define ID_LEN (REPL_ID_SIZE - 1)

static const char *const role_texts[] = {
    [REPL_ROLE_LEADER] = "leader",
    [REPL_ROLE_FOLLOWER] = "follower",
};

const char *repl_role_text(enum repl_role role)
{
    return role_texts[role];
}

bool repl_state_is_bare(const struct repl_state *state)
{
    return state->role == REPL_ROLE_FOLLOWER && state->manifest_len == 0;
}

void repl_state_release(struct repl_state *state)
{
    repl_epoch_history_release(&state->history);
    ldb_mem_free(state->journals);
    *state = (struct repl_state){0};
}

void repl_checkpoint_release(struct repl_checkpoint *checkpoint)
{
    ldb_mem_free(checkpoint->files);
    ldb_mem_free(checkpoint->journals);
    *checkpoint = (struct repl_checkpoint){0};
}

/* ---- what documents share ---- */

static void check_version(const struct repl_json_object *root)
{
    struct repl_json_reader *reader = root->reader;
    uint64_t version = repl_json_u64(root, "protocol", NUMBER_MAX);

    if (version > REPL_PROTOCOL_VERSION)
        reader->status =
            ldb_error_set(reader->err, LDB_NOT_SUPPORTED,
                          "%s: protocol %" PRIu64 ", this build knows up to %d",
                          reader->document, version, REPL_PROTOCOL_VERSION);
    else if (version == 0)
        repl_json_refuse(root, "protocol", "is not a version");
}

/* The document's root. *out_tree goes to json_decref(), NULL or not. */
static struct repl_json_object open_document(struct repl_json_reader *reader,
                                             struct ldb_slice text, size_t max,
                                             json_t **out_tree)
{
    *out_tree = NULL;
    if (text.len > max)
        reader->status = ldb_error_set(reader->err, LDB_CORRUPTION,
                                       "%s: %zu bytes, more than %zu",
                                       reader->document, text.len, max);
    else
        *out_tree = repl_json_read(reader, text, DEPTH_MAX);
    return repl_json_root(reader, *out_tree);
}

static uint64_t take_number(const struct repl_json_object *from,
                            const char *name)
{
    return repl_json_u64(from, name, NUMBER_MAX);
}

static ldb_sequence take_sequence(const struct repl_json_object *from,
                                  const char *name)
{
    return repl_json_u64(from, name, LDB_SEQUENCE_MAX);
}

static void take_epoch(const struct repl_json_object *root,
                       uint64_t *out_number, uint64_t *out_id)
{
    struct repl_json_object epoch = repl_json_member(root, "epoch");

    *out_number = take_number(&epoch, "number");
    *out_id = repl_json_hex64(&epoch, "id");
}

static void take_manifest(const struct repl_json_object *root,
                          uint64_t *out_number, uint64_t *out_len)
{
    struct repl_json_object manifest = repl_json_member(root, "manifest");

    *out_number = take_number(&manifest, "number");
    *out_len = take_number(&manifest, "bytes");
}

static struct repl_place take_place(const struct repl_json_object *root,
                                    const char *name)
{
    struct repl_json_object place = repl_json_member(root, name);

    return (struct repl_place){
        .journal = take_number(&place, "journal"),
        .offset = take_number(&place, "offset"),
        .sequence = take_sequence(&place, "sequence"),
    };
}

static struct ldb_position take_position(const struct repl_json_object *root,
                                         const char *name)
{
    struct repl_place place = take_place(root, name);

    return (struct ldb_position){.journal = place.journal,
                                 .offset = place.offset,
                                 .sequence = place.sequence};
}

/* Room for one more of size bytes, of which count are there: a document makes
 * us allocate no more than what of it was found good. */
static bool grow(struct repl_json_reader *reader, void *items, size_t count,
                 size_t size, void **out)
{
    /* A power of two of them, from 16 on, is full. */
    bool is_full = count == 0 || (count >= 16 && (count & (count - 1)) == 0);
    void *grown = items;

    if (is_full)
        grown = ldb_mem_realloc(items, count == 0 ? 16 : 2 * count, size);
    if (grown == NULL) {
        reader->status = ldb_error_no_memory(reader->err);
        return false;
    }
    *out = grown;
    return true;
}

/* ---- their lists ---- */

static void take_epochs(const struct repl_json_object *root,
                        struct repl_epoch_history *history)
{
    struct repl_json_reader *reader = root->reader;
    size_t count = repl_json_count(root, "epochs");

    for (size_t i = 0; reader->status == LDB_OK && i < count; i++) {
        struct repl_json_object item = repl_json_item(root, "epochs", i);
        struct repl_epoch epoch = {
            .number = take_number(&item, "number"),
            .id = repl_json_hex64(&item, "id"),
            .previous_last = take_sequence(&item, "previous_last"),
            .base = take_sequence(&item, "base"),
            .first_journal = take_number(&item, "first_journal"),
        };

        if (!repl_epoch_follows(repl_epoch_history_last(history), &epoch))
            repl_json_refuse(&item, NULL, "is not the next epoch");
        if (reader->status == LDB_OK)
            reader->status =
                repl_epoch_history_append(history, &epoch, reader->err);
    }
}

/* before: NULL for the first. */
static void check_journal(const struct repl_json_object *item,
                          const struct repl_journal_entry *before,
                          const struct repl_journal_entry *journal)
{
    if (journal->number == 0 ||
        (before != NULL && journal->number <= before->number))
        repl_json_refuse(item, "number", "is not a later journal's");
    if (before != NULL && !before->is_sealed)
        repl_json_refuse(item, NULL, "follows on an open journal");
    if (journal->has_digest && !journal->is_sealed)
        repl_json_refuse(item, "digest", "is one of an open journal");
    if (journal->first == 0 ||
        (before != NULL && journal->first <= before->last))
        repl_json_refuse(item, "first", "is a sequence of an earlier journal");
    if (journal->last + 1 < journal->first)
        repl_json_refuse(item, "last", "lies before the first");
}

static void take_journals(const struct repl_json_object *root,
                          struct repl_journal_entry **journals, size_t *count)
{
    struct repl_json_reader *reader = root->reader;
    size_t wanted = repl_json_count(root, "journals");

    while (reader->status == LDB_OK && *count < wanted) {
        struct repl_json_object item = repl_json_item(root, "journals", *count);
        struct repl_journal_entry journal = {
            .number = take_number(&item, "number"),
            .len = take_number(&item, "bytes"),
            .is_sealed = repl_json_bool(&item, "sealed"),
            .is_archived = repl_json_bool(&item, "archived"),
            .has_digest = repl_json_has(&item, "digest"),
            .first = take_sequence(&item, "first"),
            .last = take_sequence(&item, "last"),
        };
        void *grown;

        if (journal.has_digest)
            journal.digest = repl_json_digest(&item, "digest");
        check_journal(&item, *count == 0 ? NULL : &(*journals)[*count - 1],
                      &journal);
        if (reader->status != LDB_OK ||
            !grow(reader, *journals, *count, sizeof(journal), &grown))
            return;
        *journals = grown;
        (*journals)[(*count)++] = journal;
    }
}

/* Or it might lead out of the folder, or over another file. */
static uint64_t check_table_name(const struct repl_json_object *item,
                                 const char *name)
{
    uint64_t number = 0;

    if (!repl_is_table_name(name, &number))
        repl_json_refuse(item, "name", "is no table's");
    return number;
}

static void take_files(const struct repl_json_object *root,
                       struct repl_file_entry **files, size_t *count)
{
    struct repl_json_reader *reader = root->reader;
    size_t wanted = repl_json_count(root, "files");
    uint64_t before = 0;

    while (reader->status == LDB_OK && *count < wanted) {
        struct repl_json_object item = repl_json_item(root, "files", *count);
        struct repl_file_entry file = {
            .size = take_number(&item, "bytes"),
            .has_digest = repl_json_has(&item, "digest"),
        };
        uint64_t number;
        void *grown;

        repl_json_text(&item, "name", file.name, sizeof(file.name));
        if (file.has_digest)
            file.digest = repl_json_digest(&item, "digest");
        number = check_table_name(&item, file.name);
        if (number <= before)
            repl_json_refuse(&item, "name", "is not a later table's");
        before = number;
        if (reader->status != LDB_OK ||
            !grow(reader, *files, *count, sizeof(file), &grown))
            return;
        *files = grown;
        (*files)[(*count)++] = file;
    }
}

/* ---- the documents ---- */

static enum repl_role take_role(const struct repl_json_object *root)
{
    char text[16];

    repl_json_text(root, "role", text, sizeof(text));
    if (strcmp(text, repl_role_text(REPL_ROLE_FOLLOWER)) == 0)
        return REPL_ROLE_FOLLOWER;
    if (strcmp(text, repl_role_text(REPL_ROLE_LEADER)) != 0)
        repl_json_refuse(root, "role", "is not leader or follower");
    return REPL_ROLE_LEADER;
}

static void take_identity(const struct repl_json_object *root,
                          struct repl_identity *out)
{
    repl_json_text(root, "cluster_id", out->cluster_id, REPL_ID_SIZE);
    if (out->cluster_id[0] != '\0')
        repl_json_hex(root, "cluster_id", out->cluster_id, ID_LEN);
    repl_json_hex(root, "node_id", out->node_id, ID_LEN);
}

static unsigned take_unsigned(const struct repl_json_object *from,
                              const char *name)
{
    return (unsigned)repl_json_u64(from, name, INT32_MAX);
}

static struct repl_table_options
take_table_options(const struct repl_json_object *root)
{
    struct repl_json_object from = repl_json_member(root, "table_options");
    struct repl_table_options options = {
        .bloom_bits = take_unsigned(&from, "bloom_bits"),
        .filter_base_lg = take_unsigned(&from, "filter_base_lg"),
        .block_bytes = take_number(&from, "block_bytes"),
        .block_restart_interval =
            take_unsigned(&from, "block_restart_interval"),
        .compress = repl_json_bool(&from, "compress"),
    };

    repl_json_text(&from, "comparator", options.comparator,
                   sizeof(options.comparator));
    return options;
}

enum ldb_status repl_state_decode(struct ldb_slice text, struct ldb_error *err,
                                  struct repl_state *out)
{
    struct repl_json_reader reader = {.document = "state", .err = err};
    struct repl_state state = {0};
    json_t *tree;
    struct repl_json_object root =
        open_document(&reader, text, REPL_DOCUMENT_BYTES_MAX, &tree);

    check_version(&root);
    take_identity(&root, &state.identity);
    state.role = take_role(&root);
    repl_json_text(&root, "leader", state.leader_url, sizeof(state.leader_url));
    take_epochs(&root, &state.history);
    if (state.identity.cluster_id[0] == '\0' && state.history.count > 0)
        repl_json_refuse(&root, "cluster_id", "is empty, and there are epochs");
    take_manifest(&root, &state.manifest_number, &state.manifest_len);
    take_journals(&root, &state.journals, &state.journal_count);
    state.durable = take_position(&root, "durable");
    state.last_sequence = take_sequence(&root, "last_sequence");
    state.clock_us = take_number(&root, "clock_us");
    state.table_options = take_table_options(&root);
    json_decref(tree);
    if (reader.status == LDB_OK)
        *out = state;
    else
        repl_state_release(&state);
    return reader.status;
}

/* "streaming", say. */
static void take_word(const struct repl_json_object *root, const char *name,
                      char *out, size_t size)
{
    repl_json_text(root, name, out, size);
    if (out[0] == '\0')
        repl_json_refuse(root, name, "is empty");
    for (const char *p = out; *p != '\0'; p++) {
        if ((*p < 'a' || *p > 'z') && *p != '-')
            repl_json_refuse(root, name, "is not a word of a-z and '-'");
    }
}

/* Whoever says that he has synced what he has not got is not believed. */
static void check_synced(const struct repl_json_object *root,
                         const struct repl_ack *ack)
{
    const struct repl_place *synced = &ack->synced;
    const struct repl_place *written = &ack->written;

    if (synced->journal > written->journal ||
        (synced->journal == written->journal &&
         synced->offset > written->offset) ||
        synced->sequence > written->sequence)
        repl_json_refuse(root, "synced", "lies behind what is written");
}

enum ldb_status repl_ack_decode(struct ldb_slice text, struct ldb_error *err,
                                struct repl_ack *out)
{
    struct repl_json_reader reader = {.document = "ack", .err = err};
    struct repl_ack ack = {0};
    json_t *tree;
    struct repl_json_object root =
        open_document(&reader, text, REPL_MESSAGE_BYTES_MAX, &tree);
    struct repl_json_object tables;

    check_version(&root);
    repl_json_hex(&root, "node_id", ack.node_id, ID_LEN);
    repl_json_text(&root, "url", ack.url, sizeof(ack.url));
    take_epoch(&root, &ack.epoch, &ack.epoch_id);
    ack.written = take_place(&root, "written");
    ack.synced = take_place(&root, "synced");
    ack.applied = take_place(&root, "applied");
    check_synced(&root, &ack);
    take_manifest(&root, &ack.manifest_number, &ack.manifest_len);
    take_word(&root, "state", ack.state, sizeof(ack.state));
    tables = repl_json_member(&root, "tables");
    ack.tables_built = take_number(&tables, "built");
    ack.tables_fetched = take_number(&tables, "fetched");
    ack.digest_mismatches = take_number(&tables, "mismatched");
    json_decref(tree);
    if (reader.status == LDB_OK)
        *out = ack;
    return reader.status;
}

enum ldb_status repl_heartbeat_decode(struct ldb_slice text,
                                      struct ldb_error *err,
                                      struct repl_heartbeat *out)
{
    struct repl_json_reader reader = {.document = "heartbeat", .err = err};
    struct repl_heartbeat heartbeat = {0};
    json_t *tree;
    struct repl_json_object root =
        open_document(&reader, text, REPL_MESSAGE_BYTES_MAX, &tree);

    check_version(&root);
    take_epoch(&root, &heartbeat.epoch, &heartbeat.epoch_id);
    if (heartbeat.epoch == 0)
        repl_json_refuse(&root, "epoch", "is none");
    heartbeat.durable = take_position(&root, "durable");
    heartbeat.last_sequence = take_sequence(&root, "last_sequence");
    take_manifest(&root, &heartbeat.manifest_number, &heartbeat.manifest_len);
    heartbeat.clock_us = take_number(&root, "clock_us");
    heartbeat.is_slot_lost = repl_json_bool(&root, "slot_lost");
    heartbeat.is_awaited = repl_json_bool(&root, "awaited");
    json_decref(tree);
    if (reader.status == LDB_OK)
        *out = heartbeat;
    return reader.status;
}

enum ldb_status
repl_checkpoint_request_decode(struct ldb_slice text, struct ldb_error *err,
                               struct repl_checkpoint_request *out)
{
    struct repl_json_reader reader = {.document = "checkpoint request",
                                      .err = err};
    struct repl_checkpoint_request request = {0};
    json_t *tree;
    struct repl_json_object root =
        open_document(&reader, text, REPL_MESSAGE_BYTES_MAX, &tree);

    /* Made by hand it says what it asks for, and no more. */
    if (repl_json_has(&root, "protocol"))
        check_version(&root);
    repl_json_hex(&root, "node_id", request.node_id, ID_LEN);
    if (repl_json_has(&root, "id"))
        request.id = take_number(&root, "id");
    if (repl_json_has(&root, "release"))
        request.is_release = repl_json_bool(&root, "release");
    if (request.is_release && request.id == 0)
        repl_json_refuse(&root, "release", "names no checkpoint");
    json_decref(tree);
    if (reader.status == LDB_OK)
        *out = request;
    return reader.status;
}

enum ldb_status repl_checkpoint_decode(struct ldb_slice text,
                                       struct ldb_error *err,
                                       struct repl_checkpoint *out)
{
    struct repl_json_reader reader = {.document = "checkpoint", .err = err};
    struct repl_checkpoint checkpoint = {0};
    json_t *tree;
    struct repl_json_object root =
        open_document(&reader, text, REPL_DOCUMENT_BYTES_MAX, &tree);

    check_version(&root);
    checkpoint.id = take_number(&root, "id");
    if (checkpoint.id == 0)
        repl_json_refuse(&root, "id", "is 0");
    take_manifest(&root, &checkpoint.manifest_number, &checkpoint.manifest_len);
    checkpoint.log_number = take_number(&root, "log_number");
    checkpoint.last_sequence = take_sequence(&root, "last_sequence");
    take_files(&root, &checkpoint.files, &checkpoint.file_count);
    take_journals(&root, &checkpoint.journals, &checkpoint.journal_count);
    json_decref(tree);
    if (reader.status == LDB_OK)
        *out = checkpoint;
    else
        repl_checkpoint_release(&checkpoint);
    return reader.status;
}
