#include "api/followers.h"

#include <string.h>

#include "api/context.h"
#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/replication.h"
#include "api/response.h"
#include "replication/leader.h"
#include "storage/base/buf.h"

/* Slots that are copied at a time. Chosen: some 10 KiB. */
#define PAGE_SLOTS 16

/* Bytes of one in a list: its URL as escapes, and the rest. */
#define ITEM_MAX ((size_t)8 << 10)

static void write_place(struct api_json *json, const char *name,
                        const struct repl_place *place)
{
    api_json_name(json, name);
    api_json_object_begin(json);
    api_json_member_u64(json, "journal", place->journal);
    api_json_member_u64(json, "offset", place->offset);
    api_json_member_u64(json, "sequence", place->sequence);
    api_json_object_end(json);
}

/* What it has said since this node leads. */
static void write_ack(struct api_json *json, const struct repl_slot *slot,
                      uint64_t now_us)
{
    const struct repl_ack *ack = &slot->ack;

    api_json_member_text(json, "state", ack->state);
    api_json_member_u64(json, "heard_us_ago",
                        now_us > slot->heard_us ? now_us - slot->heard_us : 0);
    write_place(json, "written", &ack->written);
    write_place(json, "synced", &ack->synced);
    write_place(json, "applied", &ack->applied);
    api_json_name(json, "manifest");
    api_json_object_begin(json);
    api_json_member_u64(json, "number", ack->manifest_number);
    api_json_member_u64(json, "bytes", ack->manifest_len);
    api_json_object_end(json);
    api_json_name(json, "tables");
    api_json_object_begin(json);
    api_json_member_u64(json, "built", ack->tables_built);
    api_json_member_u64(json, "fetched", ack->tables_fetched);
    api_json_member_u64(json, "mismatched", ack->digest_mismatches);
    api_json_object_end(json);
    api_json_name(json, "lag");
    api_json_object_begin(json);
    api_json_member_u64(json, "sequences", slot->lag_sequences);
    api_json_member_u64(json, "bytes", slot->lag_bytes);
    api_json_member_u64(json, "us", slot->lag_us);
    api_json_object_end(json);
}

static void write_slot(struct api_json *json, const struct repl_slot *slot,
                       uint64_t now_us)
{
    api_json_object_begin(json);
    api_json_member_text(json, "node_id", slot->node_id);
    api_json_member_text(json, "url", slot->ack.url);
    api_json_member_bool(json, "alive", slot->is_alive);
    api_json_member_bool(json, "lost", slot->is_lost);
    api_json_member_u64(json, "journal", slot->journal);
    api_json_member_u64(json, "kept_bytes", slot->kept_bytes);
    if (slot->has_ack)
        write_ack(json, slot, now_us);
    api_json_object_end(json);
}

static void write_slots(struct api_exchange *x, struct repl_leader *leader,
                        struct repl_slot page[PAGE_SLOTS],
                        struct api_json *json)
{
    struct ldb_position durable = repl_leader_durable_entry(leader);
    uint64_t now_us = api_now_us(x->context);
    char after[REPL_ID_SIZE] = "";
    size_t count;

    do {
        count = repl_slots_list(repl_leader_slots(leader), &durable, after,
                                page, PAGE_SLOTS);
        for (size_t i = 0; i < count; i++)
            write_slot(json, &page[i], now_us);
        if (count > 0)
            memcpy(after, page[count - 1].node_id, sizeof(after));
    } while (count == PAGE_SLOTS);
}

void api_follower_list_finish(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT((REPL_SLOTS_MAX + 1) * ITEM_MAX);
    struct api_json json = api_json_make(&body);
    struct repl_leader *leader;
    struct repl_slot *page;

    if (!api_replication_no_params(x))
        return;
    leader = api_replication_leader(x);
    if (leader == NULL)
        return;
    page = ldb_arena_alloc_aligned(x->arena, PAGE_SLOTS * sizeof(*page));
    if (page == NULL) {
        api_answer_no_memory(x);
        return;
    }
    api_json_object_begin(&json);
    api_json_name(&json, "items");
    api_json_array_begin(&json);
    write_slots(x, leader, page, &json);
    api_json_array_end(&json);
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}

void api_follower_remove_finish(struct api_exchange *x)
{
    char node_id[REPL_ID_SIZE];
    struct repl_leader *leader;
    struct ldb_slice name;

    if (!api_replication_no_params(x))
        return;
    leader = api_replication_leader(x);
    if (leader == NULL)
        return;
    if (api_percent_decode(x->arena, x->raw_rest, &name) == API_DECODE_OK &&
        name.len > 0 && name.len < sizeof(node_id)) {
        memcpy(node_id, name.data, name.len);
        node_id[name.len] = '\0';
        if (repl_slots_remove(repl_leader_slots(leader), node_id)) {
            api_answer_empty(x, 204);
            return;
        }
    }
    api_answer_problemf(x, API_PROBLEM_NOT_FOUND,
                        "there is no follower of that id");
}
