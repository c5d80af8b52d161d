#include <string.h>

#include "api/role.h"
#include "replication/heal.h"
#include "replication/leader.h"
#include "replication/scrub.h"
#include "service/node_run_internal.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/*
 * What looks after the files of an open database, in either role: the scrub,
 * which finds damage, and the healing, which fetches a damaged table from
 * another node: at a follower from its leader, at a leader from a follower that
 * lives.
 */

/* Slots that are copied at a time. Chosen. */
#define PAGE_SLOTS 16

/* ---- where from ---- */

static size_t add_followers(struct repl_leader *leader,
                            char (*out)[REPL_URL_SIZE], size_t max)
{
    struct repl_slot *page = ldb_mem_alloc(PAGE_SLOTS, sizeof(*page));
    struct ldb_position durable = repl_leader_durable_entry(leader);
    char after[REPL_ID_SIZE] = "";
    size_t count = 0;
    size_t n;

    if (page == NULL)
        return 0; /* as if none lived; it is tried again */
    do {
        n = repl_slots_list(repl_leader_slots(leader), &durable, after, page,
                            PAGE_SLOTS);
        for (size_t i = 0; i < n && count < max; i++) {
            /* Its acks are of our epoch, so its tables are ours. */
            if (page[i].is_alive && page[i].has_ack &&
                page[i].ack.url[0] != '\0')
                memcpy(out[count++], page[i].ack.url, REPL_URL_SIZE);
        }
        if (n > 0)
            memcpy(after, page[n - 1].node_id, sizeof(after));
    } while (n == PAGE_SLOTS && count < max);
    ldb_mem_free(page);
    return count;
}

static size_t find_sources(void *context, char (*out)[REPL_URL_SIZE],
                           size_t max)
{
    struct svc_node *node = context;
    /* Closed after this has ended. */
    struct repl_leader *leader =
        atomic_load_explicit(&node->leader, memory_order_acquire);

    assert(max > 0);
    if (leader != NULL)
        return add_followers(leader, out, max);
    api_role_leader_url(node->context->role, out[0]);
    return out[0][0] == '\0' ? 0 : 1;
}

static enum ldb_status open_source(void *context, const char *url,
                                   struct ldb_error *err,
                                   struct repl_peer **out)
{
    struct svc_node *node = context;

    return svc_peers_make(node->peers, url, err, out);
}

static void close_source(void *context, struct repl_peer *peer)
{
    (void)context;
    repl_peer_destroy(peer);
}

/* ---- what is logged ---- */

static void on_heal(void *context, const struct repl_heal_event *event)
{
    static const char *const words[] = {
        [REPL_HEAL_FOUND] = "table-damaged",
        [REPL_HEAL_HEALED] = "table-healed",
        [REPL_HEAL_FAILED] = "table-not-healed",
        [REPL_HEAL_OVER] = "table-damage-over",
    };
    static const char *const actions[] = {
        [REPL_HEAL_FOUND] = "a sound copy is fetched from another node; until "
                            "then reads of it fail",
        [REPL_HEAL_HEALED] = "the damaged file is kept in lost/",
        [REPL_HEAL_FAILED] = "it stays as it is, and is tried again; a backup "
                             "may have it",
        [REPL_HEAL_OVER] = "nothing needs it any more, or it reads well again",
    };
    struct svc_log_line line;
    bool is_bad =
        event->kind == REPL_HEAL_FOUND || event->kind == REPL_HEAL_FAILED;

    (void)context;
    svc_log_begin(&line,
                  !is_bad          ? SVC_LOG_INFO
                  : event->is_news ? SVC_LOG_ERROR
                                   : SVC_LOG_DEBUG,
                  words[event->kind]);
    svc_log_text(&line, "file", event->name);
    if (event->source[0] != '\0')
        svc_log_text(&line, "source", event->source);
    if (event->why != NULL)
        svc_log_error(&line, event->why);
    svc_log_text(&line, "then", actions[event->kind]);
    svc_log_end(&line);
}

/* What is done about it. */
static const char *action_for(const struct svc_node *node,
                              const struct repl_scrub_finding *finding)
{
    if (finding->type == LDB_FILE_JOURNAL)
        return "nothing: its entries are in memory or in tables; readers of "
               "changes and followers may miss them";
    return node->heal == NULL ? "nothing" : "it is healed from another node";
}

static void on_finding(void *context, const struct repl_scrub_finding *finding)
{
    struct svc_node *node = context;
    const struct repl_scrub_verdict *verdict = finding->verdict;
    struct svc_log_line line;

    svc_log_begin(&line, SVC_LOG_ERROR, "scrub-mismatch");
    svc_log_text(&line, "file", verdict->name);
    svc_log_text(&line, "kind", repl_scrub_kind_text(verdict->kind));
    if (verdict->kind == REPL_SCRUB_CHECKSUM) {
        svc_log_u64(&line, "from", verdict->first);
        svc_log_u64(&line, "to", verdict->end);
    }
    svc_log_error(&line, &verdict->why);
    svc_log_text(&line, "then", action_for(node, finding));
    svc_log_end(&line);
    if (finding->type == LDB_FILE_TABLE && node->heal != NULL)
        repl_heal_suspect(node->heal, finding->number);
}

/* ---- life ---- */

static enum ldb_status start_heal(struct svc_node *node, struct ldb_error *err)
{
    const struct repl_heal_options options = {
        .env = node->env,
        .db = node->db,
        .digests = node->digests,
        .dir = node->config->data_dir,
        .comparator = node->engine.comparator,
        .sources = find_sources,
        .open = open_source,
        .close = close_source,
        .on_event = on_heal,
        .context = node,
    };

    return repl_heal_create(&options, err, &node->heal);
}

static enum ldb_status start_scrub(struct svc_node *node, struct ldb_error *err)
{
    const struct repl_scrub_options options = {
        .env = node->env,
        .db = node->db,
        .digests = node->digests,
        .dir = node->config->data_dir,
        .rate_bytes = node->config->scrub_rate_bytes,
        .interval_us = node->config->scrub_interval_us,
        .on_finding = on_finding,
        .context = node,
    };

    if (options.rate_bytes == 0)
        return LDB_OK;
    return repl_scrub_create(&options, err, &node->scrub);
}

enum ldb_status svc_care_start(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = start_heal(node, err);

    if (s == LDB_OK)
        s = start_scrub(node, err);
    if (s != LDB_OK)
        svc_care_stop(node);
    return s;
}

void svc_care_stop(struct svc_node *node)
{
    repl_scrub_destroy(node->scrub);
    node->scrub = NULL;
    repl_heal_destroy(node->heal);
    node->heal = NULL;
}

void svc_care_pause(struct svc_node *node)
{
    if (node->heal != NULL)
        repl_heal_pause(node->heal);
}

void svc_care_resume(struct svc_node *node)
{
    if (node->heal != NULL)
        repl_heal_resume(node->heal);
}

void svc_care_health(struct svc_node *node, enum ldb_health health,
                     const struct ldb_error *why)
{
    if (node->heal != NULL &&
        (health == LDB_HEALTH_CORRUPTION || health == LDB_HEALTH_BACKGROUND))
        repl_heal_suspect_in(node->heal, why->message);
}
