#include "api/followers.h"

#include <string.h>

#include "api/context.h"
#include "api/db_gate.h"
#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/replication.h"
#include "api/response.h"
#include "replication/leader.h"
#include "storage/base/buf.h"

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

void api_followers_write(struct api_json *json,
                         const struct api_followers *followers)
{
    api_json_array_begin(json);
    for (size_t i = 0; i < followers->count; i++)
        write_slot(json, &followers->slots[i], followers->now_us);
    api_json_array_end(json);
}

/* Inside the gate, of a leader. */
static bool read_slots(struct api_exchange *x, struct api_followers *out)
{
    struct repl_leader *leader = x->context->leader;
    struct repl_slots *slots = repl_leader_slots(leader);
    struct ldb_position durable = repl_leader_durable_entry(leader);
    struct repl_slots_figures figures;
    struct repl_slot *copies;

    repl_slots_figures(slots, &figures);
    if (figures.slots == 0)
        return true;
    copies = ldb_arena_alloc_aligned(x->arena,
                                     (size_t)figures.slots * sizeof(*copies));
    if (copies == NULL)
        return false;
    /* One that has come since has its turn the next time. */
    out->count =
        repl_slots_list(slots, &durable, "", copies, (size_t)figures.slots);
    out->slots = copies;
    return true;
}

bool api_followers_read(struct api_exchange *x, struct api_followers *out)
{
    bool is_read = true;

    *out = (struct api_followers){.now_us = api_now_us(x->context)};
    if (!api_db_gate_enter(x->context->gate))
        return true;
    if (x->context->leader != NULL)
        is_read = read_slots(x, out);
    api_db_gate_leave(x->context->gate);
    return is_read;
}

void api_follower_list_finish(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT((REPL_SLOTS_MAX + 1) * API_FOLLOWER_MAX);
    struct api_json json = api_json_make(&body);
    struct api_followers followers;

    if (!api_replication_no_params(x) || api_replication_leader(x) == NULL)
        return;
    if (!api_followers_read(x, &followers)) {
        api_answer_no_memory(x);
        return;
    }
    api_json_object_begin(&json);
    api_json_name(&json, "items");
    api_followers_write(&json, &followers);
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
