#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/role.h"
#include "service/node_run_internal.h"
#include "storage/base/status.h"

/*
 * Who leads? Asked before a node begins to lead, and while the leader that a
 * node follows is away: it may have stepped down, and then says for whom, or
 * one of --peers may lead now. Nothing is decided here: a leader is one that
 * says so itself, and the one of the highest epoch is followed. Whether its
 * history goes on from ours is then found out as with any leader.
 */

/* Between two looks, and how long a leader is away before it is looked for
 * another. Chosen: a restart of it takes about as long. */
#define LOOK_US  UINT64_C(1000000)
#define AFTER_US UINT64_C(2000000)

/* ---- before it leads ---- */

static enum ldb_status judge(const struct svc_node *node, const char *url,
                             const struct repl_state *other,
                             struct ldb_error *err)
{
    const struct repl_node *ours = &node->repl;
    const struct repl_epoch *last = repl_epoch_history_last(&ours->history);
    const struct repl_epoch *theirs = repl_epoch_history_last(&other->history);
    uint64_t number = last == NULL ? 0 : last->number;

    if (theirs == NULL || other->identity.cluster_id[0] == '\0')
        return LDB_OK; /* it knows nothing yet */
    if (!ours->has_identity)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "%s has no history, and %.150s is of cluster %s: "
                             "follow it, or start without it among --peers",
                             node->config->data_dir, url,
                             other->identity.cluster_id);
    if (strcmp(ours->identity.cluster_id, other->identity.cluster_id) != 0)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "%.150s is of cluster %s, and %s of %s", url,
                             other->identity.cluster_id, node->config->data_dir,
                             ours->identity.cluster_id);
    if (strcmp(ours->identity.node_id, other->identity.node_id) == 0)
        return LDB_OK; /* ourselves, of a moment ago */
    if (theirs->number > number)
        return ldb_error_set(
            err, LDB_PRECONDITION,
            "%.150s knows epoch %" PRIu64 ", and %s only %" PRIu64
            ": start it with --role follower",
            url, theirs->number, node->config->data_dir, number);
    if (last != NULL && theirs->number == number && theirs->id != last->id)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "%.150s and %s are in epoch %" PRIu64
                             ", which was begun twice: choose one of them",
                             url, node->config->data_dir, number);
    if (other->role == REPL_ROLE_LEADER)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "%.150s leads in epoch %" PRIu64
                             ": start this node with --role follower",
                             url, theirs->number);
    return LDB_OK;
}

enum ldb_status svc_search_check(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;
    char url[REPL_URL_SIZE];
    size_t at = 0;

    while (s == LDB_OK && svc_peers_next(node->peers, &at, url)) {
        struct repl_state other = {0};
        struct ldb_error why = {0};
        struct svc_log_line line;

        if (svc_peers_state(node->peers, url, NULL, &why, &other) == LDB_OK) {
            s = judge(node, url, &other, err);
            repl_state_release(&other);
            continue;
        }
        svc_log_begin(&line, SVC_LOG_INFO, "peer-silent");
        svc_log_text(&line, "peer", url);
        svc_log_error(&line, &why);
        svc_log_end(&line);
    }
    return s;
}

/*
 * Whether the node at url is in a later epoch of our cluster, or leads on in
 * the last one we know: our own promotion was cut short, then, before it began
 * one.
 */
static bool is_ahead(struct svc_node *node, const char *url)
{
    const struct repl_node *ours = &node->repl;
    const struct repl_epoch *last = repl_epoch_history_last(&ours->history);
    struct repl_state other = {0};
    const struct repl_epoch *theirs;
    bool is_it;

    if (url[0] == '\0' || last == NULL || !ours->has_identity ||
        svc_peers_state(node->peers, url, NULL, NULL, &other) != LDB_OK)
        return false;
    theirs = repl_epoch_history_last(&other.history);
    is_it = theirs != NULL &&
            (theirs->number > last->number ||
             (theirs->number == last->number && theirs->id == last->id &&
              other.role == REPL_ROLE_LEADER)) &&
            strcmp(ours->identity.cluster_id, other.identity.cluster_id) == 0;
    repl_state_release(&other);
    return is_it;
}

bool svc_search_is_passed_over(struct svc_node *node)
{
    bool is_it = is_ahead(node, node->role.configured.leader_url);
    char url[REPL_URL_SIZE];
    size_t at = 0;

    while (!is_it && svc_peers_next(node->peers, &at, url))
        is_it = is_ahead(node, url);
    return is_it;
}

/* ---- while the leader is away ---- */

struct found {
    char url[REPL_URL_SIZE]; /* "": nobody */
    uint64_t epoch;
};

/* Whether it leads, and we may follow it as far as epochs tell. */
static bool is_leader_of_ours(struct svc_node *node,
                              const struct repl_state *other)
{
    const struct repl_epoch *theirs = repl_epoch_history_last(&other->history);
    const struct repl_epoch *last;
    bool fits;

    if (other->role != REPL_ROLE_LEADER || theirs == NULL)
        return false;
    ldb_mutex_lock(&node->mu);
    last = repl_epoch_history_last(&node->history);
    fits = (node->shown.cluster_id[0] == '\0' ||
            strcmp(node->shown.cluster_id, other->identity.cluster_id) == 0) &&
           (last == NULL || theirs->number > last->number ||
            (theirs->number == last->number && theirs->id == last->id));
    ldb_mutex_unlock(&node->mu);
    return fits;
}

/* Asks the node at url; *hint is whom it follows, or "". */
static void ask(struct svc_node *node, const char *url, struct found *best,
                char hint[REPL_URL_SIZE])
{
    struct repl_state other = {0};
    uint64_t epoch;

    hint[0] = '\0';
    if (svc_peers_state(node->peers, url, NULL, NULL, &other) != LDB_OK)
        return;
    if (is_leader_of_ours(node, &other)) {
        epoch = repl_epoch_history_last(&other.history)->number;
        if (epoch > best->epoch) {
            (void)snprintf(best->url, sizeof best->url, "%s", url);
            best->epoch = epoch;
        }
    } else {
        (void)snprintf(hint, REPL_URL_SIZE, "%s", other.leader_url);
    }
    repl_state_release(&other);
}

/* The leader of the highest epoch among those that answer. */
static void look(struct svc_node *node, const char *current, struct found *out)
{
    char hint[REPL_URL_SIZE] = "";
    char url[REPL_URL_SIZE];
    size_t at = 0;

    *out = (struct found){0};
    if (current[0] != '\0')
        ask(node, current, out, hint);
    if (hint[0] != '\0' && strcmp(hint, node->url) != 0) {
        (void)snprintf(url, sizeof url, "%s", hint);
        ask(node, url, out, hint);
    }
    while (svc_peers_next(node->peers, &at, url)) {
        if (strcmp(url, current) != 0 && strcmp(url, node->url) != 0)
            ask(node, url, out, hint);
    }
}

static void log_found(const struct found *found, const struct ldb_error *why)
{
    struct svc_log_line line;

    svc_log_begin(&line, why == NULL ? SVC_LOG_INFO : SVC_LOG_WARN,
                  "leader-found");
    svc_log_text(&line, "leader", found->url);
    svc_log_u64(&line, "epoch", found->epoch);
    if (why != NULL)
        svc_log_error(&line, why);
    svc_log_end(&line);
}

static void search(struct svc_node *node)
{
    char current[REPL_URL_SIZE];
    char now[REPL_URL_SIZE];
    struct ldb_error err = {0};
    struct found found;
    enum ldb_status s;

    api_role_leader_url(node->context->role, current);
    look(node, current, &found);
    if (found.url[0] == '\0')
        svc_handover_ask_again(node);
    else
        svc_handover_forget(node);
    if (found.url[0] == '\0' || strcmp(found.url, current) == 0)
        return;
    if (!svc_turn_begin_tending(&node->turn))
        return; /* somebody else knows better */
    api_role_leader_url(node->context->role, now);
    if (node->role.now.role == REPL_ROLE_FOLLOWER &&
        strcmp(now, current) == 0) {
        s = svc_change_leader(node, found.url, &err);
        log_found(&found, s == LDB_OK ? NULL : &err);
    }
    svc_turn_end_tending(&node->turn);
}

/* Whether the leader is away for so long that it is time to look. */
static bool is_due(const struct svc_node *node) LDB_REQUIRES(node->mu)
{
    return node->follower != NULL && node->waits_since_us != 0 &&
           svc_node_now_us(node) - node->waits_since_us >= AFTER_US;
}

static void run_search(void *context)
{
    struct svc_node *node = context;

    ldb_mutex_lock(&node->mu);
    while (!node->is_search_over) {
        (void)ldb_cond_wait_for(&node->changed, &node->mu, LOOK_US);
        if (node->is_search_over || !is_due(node))
            continue;
        ldb_mutex_unlock(&node->mu);
        search(node);
        ldb_mutex_lock(&node->mu);
    }
    ldb_mutex_unlock(&node->mu);
}

enum ldb_status svc_search_start(struct svc_node *node, struct ldb_error *err)
{
    return node->env->ops->thread_start(node->env, "leader-search", run_search,
                                        node, err, &node->search);
}

void svc_search_stop(struct svc_node *node)
{
    ldb_mutex_lock(&node->mu);
    node->is_search_over = true;
    ldb_cond_broadcast(&node->changed);
    ldb_mutex_unlock(&node->mu);
    if (node->search != NULL)
        node->env->ops->thread_join(node->env, node->search);
    node->search = NULL;
}
