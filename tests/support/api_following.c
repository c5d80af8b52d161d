#include "tests/support/api_following.h"

#include "api/node_ops.h"
#include "api/role.h"

static const struct api_following figures = {
    .stats =
        {
            .state = REPL_FOLLOWER_STREAMING,
            .why = "a \"reason\"",
            .epoch = 3,
            .epoch_id = 0xabc,
            .written = {.journal = 17, .offset = 18, .sequence = 19},
            .synced = {.journal = 14, .offset = 15, .sequence = 16},
            .applied = {.journal = 11, .offset = 12, .sequence = 13},
            .manifest_number = 20,
            .manifest_len = 21,
            .has_heartbeat = true,
            .heartbeat = {.durable = {.journal = 22,
                                      .offset = 23,
                                      .sequence = 24},
                          .last_sequence = 25,
                          .manifest_number = 26,
                          .manifest_len = 27,
                          .is_slot_lost = true},
            .heartbeat_us = UINT64_MAX, /* no time has passed since */
            .bytes_per_second = 28,
            .counts = {.connects = 31,
                       .failures = 32,
                       .rebuilds = 33,
                       .journal_bytes = 34,
                       .journals_sealed = 35,
                       .syncs = 36,
                       .acks = 37,
                       .edits = 38,
                       .installs = 39,
                       .tables_built = 40,
                       .tables_fetched = 41,
                       .table_bytes = 42,
                       .digest_mismatches = 43,
                       .stalls = 44},
        },
    .lag = {.is_known = true, .sequences = 51, .bytes = 52, .us = 53000000},
    .is_rebuilding = true,
    .rebuild = {.step = REPL_BUILD_FETCHING,
                .files_digested = 61,
                .tables_wanted = 62,
                .tables_kept = 63,
                .bytes_wanted = 64,
                .bytes_fetched = 65,
                .tables_fetched = 66,
                .files_set_aside = 67,
                .entries_set_aside = 68},
    .rebuild_us = 69000000,
};

static bool following(void *node, struct api_following *out)
{
    (void)node;
    *out = figures;
    return true;
}

static const char *reason(void *node, struct api_problem *problem)
{
    (void)node;
    (void)problem;
    return NULL;
}

static const struct api_node_ops ops = {.reason = reason,
                                        .following = following};

void api_following_set(struct api_context *context)
{
    context->node_ops = &ops;
    api_role_set(context->role, REPL_ROLE_FOLLOWER, "http://leader:8080");
}
