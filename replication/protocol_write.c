/* Writing the documents (contracts: protocol.h; their form: protocol.c). */
#include "replication/protocol.h"

#include <inttypes.h>

#include "storage/base/buf.h"
#include "storage/base/status.h"

/* What jansson takes for a whole number. */
#define NUMBER_MAX ((uint64_t)INT64_MAX)

/* A document on its way into a buffer; the first failure stays. */
struct writer {
    struct ldb_buf *out;
    size_t begin; /* of the document in it */
    enum ldb_status status;
};

static struct writer begin(struct ldb_buf *out)
{
    return (struct writer){.out = out, .begin = out->len, .status = LDB_OK};
}

static enum ldb_status end(struct writer *w, const char *document,
                           struct ldb_error *err)
{
    if (w->status == LDB_OK)
        return LDB_OK;
    w->out->len = w->begin;
    return ldb_error_set(err, w->status, "%s: %s", document,
                         ldb_status_text(w->status));
}

/* What goes on after a failure goes with it. */
static void keep(struct writer *w, enum ldb_status s)
{
    if (w->status == LDB_OK)
        w->status = s;
}

/* ,"name":"text" */
static void put_text(struct writer *w, const char *name, const char *text)
{
    keep(w, ldb_buf_printf(w->out, ",\"%s\":\"", name));
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < 0x20 || *p > 0x7e)
            keep(w, LDB_INVALID_ARGUMENT); /* the reader would refuse it */
        keep(w, ldb_buf_printf(w->out, *p == '"' || *p == '\\' ? "\\%c" : "%c",
                               *p));
    }
    keep(w, ldb_buf_printf(w->out, "\""));
}

/* ,"name":value */
static void put_u64(struct writer *w, const char *name, uint64_t value)
{
    assert(value <= NUMBER_MAX);
    keep(w, ldb_buf_printf(w->out, ",\"%s\":%" PRIu64, name, value));
}

static void put_bool(struct writer *w, const char *name, bool value)
{
    keep(w,
         ldb_buf_printf(w->out, ",\"%s\":%s", name, value ? "true" : "false"));
}

static void put_digest(struct writer *w, bool has_digest,
                       const struct ldb_digest *digest)
{
    if (!has_digest)
        return;
    keep(w, ldb_buf_printf(w->out, ",\"digest\":\""));
    for (size_t i = 0; i < LDB_DIGEST_SIZE; i++)
        keep(w, ldb_buf_printf(w->out, "%02x", digest->bytes[i]));
    keep(w, ldb_buf_printf(w->out, "\""));
}

static void put_epoch(struct writer *w, uint64_t number, uint64_t id)
{
    keep(w, ldb_buf_printf(w->out,
                           ",\"epoch\":{\"number\":%" PRIu64
                           ",\"id\":\"%016" PRIx64 "\"}",
                           number, id));
}

static void put_manifest(struct writer *w, uint64_t number, uint64_t len)
{
    keep(w, ldb_buf_printf(w->out,
                           ",\"manifest\":{\"number\":%" PRIu64
                           ",\"bytes\":%" PRIu64 "}",
                           number, len));
}

static void put_place(struct writer *w, const char *name, uint64_t journal,
                      uint64_t offset, ldb_sequence sequence)
{
    keep(w, ldb_buf_printf(w->out,
                           ",\"%s\":{\"journal\":%" PRIu64
                           ",\"offset\":%" PRIu64 ",\"sequence\":%" PRIu64 "}",
                           name, journal, offset, sequence));
}

static void put_epochs(struct writer *w,
                       const struct repl_epoch_history *history)
{
    keep(w, ldb_buf_printf(w->out, ",\"epochs\":["));
    for (size_t i = 0; i < history->count; i++) {
        const struct repl_epoch *epoch = &history->items[i];

        keep(w, ldb_buf_printf(w->out,
                               "%s{\"number\":%" PRIu64 ",\"id\":\"%016" PRIx64
                               "\",\"previous_last\":%" PRIu64
                               ",\"base\":%" PRIu64,
                               i == 0 ? "" : ",", epoch->number, epoch->id,
                               epoch->previous_last, epoch->base));
        put_u64(w, "first_journal", epoch->first_journal);
        keep(w, ldb_buf_printf(w->out, "}"));
    }
    keep(w, ldb_buf_printf(w->out, "]"));
}

static void put_journals(struct writer *w,
                         const struct repl_journal_entry *journals,
                         size_t count)
{
    keep(w, ldb_buf_printf(w->out, ",\"journals\":["));
    for (size_t i = 0; i < count; i++) {
        const struct repl_journal_entry *journal = &journals[i];

        keep(w, ldb_buf_printf(w->out, "%s{\"number\":%" PRIu64,
                               i == 0 ? "" : ",", journal->number));
        put_u64(w, "bytes", journal->len);
        put_bool(w, "sealed", journal->is_sealed);
        put_bool(w, "archived", journal->is_archived);
        put_digest(w, journal->has_digest, &journal->digest);
        put_u64(w, "first", journal->first);
        put_u64(w, "last", journal->last);
        keep(w, ldb_buf_printf(w->out, "}"));
    }
    keep(w, ldb_buf_printf(w->out, "]"));
}

static void put_files(struct writer *w, const struct repl_file_entry *files,
                      size_t count)
{
    keep(w, ldb_buf_printf(w->out, ",\"files\":["));
    for (size_t i = 0; i < count; i++) {
        keep(w, ldb_buf_printf(w->out, "%s{\"name\":\"%s\"", i == 0 ? "" : ",",
                               files[i].name));
        put_u64(w, "bytes", files[i].size);
        put_digest(w, files[i].has_digest, &files[i].digest);
        keep(w, ldb_buf_printf(w->out, "}"));
    }
    keep(w, ldb_buf_printf(w->out, "]"));
}

static void put_table_options(struct writer *w,
                              const struct repl_table_options *options)
{
    keep(w, ldb_buf_printf(w->out, ",\"table_options\":{\"bloom_bits\":%u",
                           options->bloom_bits));
    put_text(w, "comparator", options->comparator);
    put_u64(w, "filter_base_lg", options->filter_base_lg);
    put_u64(w, "block_bytes", options->block_bytes);
    put_u64(w, "block_restart_interval", options->block_restart_interval);
    put_bool(w, "compress", options->compress);
    keep(w, ldb_buf_printf(w->out, "}"));
}

enum ldb_status repl_state_encode(const struct repl_state *state,
                                  struct ldb_error *err, struct ldb_buf *out)
{
    struct writer w = begin(out);

    keep(&w, ldb_buf_printf(out, "{\"protocol\":%d", REPL_PROTOCOL_VERSION));
    put_text(&w, "cluster_id", state->identity.cluster_id);
    put_text(&w, "node_id", state->identity.node_id);
    put_text(&w, "role", repl_role_text(state->role));
    put_text(&w, "leader", state->leader_url);
    put_epochs(&w, &state->history);
    put_manifest(&w, state->manifest_number, state->manifest_len);
    put_journals(&w, state->journals, state->journal_count);
    put_place(&w, "durable", state->durable.journal, state->durable.offset,
              state->durable.sequence);
    put_u64(&w, "last_sequence", state->last_sequence);
    put_u64(&w, "clock_us", state->clock_us);
    put_table_options(&w, &state->table_options);
    keep(&w, ldb_buf_printf(out, "}"));
    return end(&w, "state", err);
}

enum ldb_status repl_ack_encode(const struct repl_ack *ack,
                                struct ldb_error *err, struct ldb_buf *out)
{
    struct writer w = begin(out);
    const struct {
        const char *name;
        const struct repl_place *place;
    } places[] = {
        {"written", &ack->written},
        {"synced", &ack->synced},
        {"applied", &ack->applied},
    };

    keep(&w, ldb_buf_printf(out, "{\"protocol\":%d", REPL_PROTOCOL_VERSION));
    put_text(&w, "node_id", ack->node_id);
    put_text(&w, "url", ack->url);
    put_epoch(&w, ack->epoch, ack->epoch_id);
    for (size_t i = 0; i < 3; i++)
        put_place(&w, places[i].name, places[i].place->journal,
                  places[i].place->offset, places[i].place->sequence);
    put_manifest(&w, ack->manifest_number, ack->manifest_len);
    put_text(&w, "state", ack->state);
    keep(&w, ldb_buf_printf(out, ",\"tables\":{\"built\":%" PRIu64,
                            ack->tables_built));
    put_u64(&w, "fetched", ack->tables_fetched);
    put_u64(&w, "mismatched", ack->digest_mismatches);
    keep(&w, ldb_buf_printf(out, "}}"));
    return end(&w, "ack", err);
}

enum ldb_status repl_heartbeat_encode(const struct repl_heartbeat *heartbeat,
                                      struct ldb_error *err,
                                      struct ldb_buf *out)
{
    struct writer w = begin(out);

    keep(&w, ldb_buf_printf(out, "{\"protocol\":%d", REPL_PROTOCOL_VERSION));
    put_epoch(&w, heartbeat->epoch, heartbeat->epoch_id);
    put_place(&w, "durable", heartbeat->durable.journal,
              heartbeat->durable.offset, heartbeat->durable.sequence);
    put_u64(&w, "last_sequence", heartbeat->last_sequence);
    put_manifest(&w, heartbeat->manifest_number, heartbeat->manifest_len);
    put_u64(&w, "clock_us", heartbeat->clock_us);
    put_bool(&w, "slot_lost", heartbeat->is_slot_lost);
    put_bool(&w, "awaited", heartbeat->is_awaited);
    keep(&w, ldb_buf_printf(out, "}"));
    return end(&w, "heartbeat", err);
}

enum ldb_status
repl_checkpoint_request_encode(const struct repl_checkpoint_request *request,
                               struct ldb_error *err, struct ldb_buf *out)
{
    struct writer w = begin(out);

    keep(&w, ldb_buf_printf(out, "{\"protocol\":%d", REPL_PROTOCOL_VERSION));
    put_text(&w, "node_id", request->node_id);
    if (request->id != 0)
        put_u64(&w, "id", request->id);
    if (request->is_release)
        put_bool(&w, "release", true);
    keep(&w, ldb_buf_printf(out, "}"));
    return end(&w, "checkpoint request", err);
}

enum ldb_status repl_checkpoint_encode(const struct repl_checkpoint *checkpoint,
                                       struct ldb_error *err,
                                       struct ldb_buf *out)
{
    struct writer w = begin(out);

    keep(&w, ldb_buf_printf(out, "{\"protocol\":%d", REPL_PROTOCOL_VERSION));
    put_u64(&w, "id", checkpoint->id);
    put_manifest(&w, checkpoint->manifest_number, checkpoint->manifest_len);
    put_u64(&w, "log_number", checkpoint->log_number);
    put_u64(&w, "last_sequence", checkpoint->last_sequence);
    put_files(&w, checkpoint->files, checkpoint->file_count);
    put_journals(&w, checkpoint->journals, checkpoint->journal_count);
    keep(&w, ldb_buf_printf(out, "}"));
    return end(&w, "checkpoint", err);
}
