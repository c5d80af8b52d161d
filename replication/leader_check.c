#include "replication/leader_check.h"

#include <stdio.h>
#include <string.h>

#include "replication/likeness.h"
#include "storage/base/status.h"

enum ldb_status repl_leader_check_role(const struct repl_state *theirs,
                                       const char *cluster_id,
                                       struct ldb_error *err)
{
    const char *leader = theirs->leader_url;

    if (theirs->role != REPL_ROLE_LEADER)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "the node does not lead; it follows %.150s",
                             leader[0] == '\0' ? "nobody" : leader);
    if (theirs->history.count == 0 || theirs->identity.cluster_id[0] == '\0')
        return ldb_error_set(err, LDB_PRECONDITION,
                             "the node has no history yet");
    if (cluster_id != NULL && cluster_id[0] != '\0' &&
        strcmp(cluster_id, theirs->identity.cluster_id) != 0)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "the node is of cluster %s, and one of cluster %s "
                             "is to be followed",
                             theirs->identity.cluster_id, cluster_id);
    return LDB_OK;
}

static enum ldb_status take_stock(const struct repl_leader_check *check,
                                  struct ldb_error *err,
                                  struct repl_holdings *out)
{
    const struct ldb_comparator *comparator = check->comparator;
    enum ldb_status s;

    if (comparator == NULL)
        comparator = ldb_comparator_bytewise();
    if (check->twin == NULL)
        return repl_holdings_read(check->env, check->dir, comparator, true, err,
                                  out);
    s = repl_holdings_of_twin(check->twin, check->identity, check->history, err,
                              out);
    if (s == LDB_OK)
        s = repl_holdings_check_mark(check->env, check->dir, err, out);
    if (s != LDB_OK) {
        repl_holdings_release(out);
        *out = (struct repl_holdings){0};
    }
    return s;
}

enum ldb_status repl_leader_check_run(const struct repl_leader_check *check,
                                      const struct repl_state *theirs,
                                      struct ldb_error *err,
                                      struct repl_verdict *out)
{
    const struct repl_likeness_source source = {
        .env = check->env,
        .dir = check->dir,
        .transport = check->transport,
        .epoch = repl_epoch_history_last(&theirs->history),
    };
    struct repl_holdings ours = {0};
    struct repl_proof proof = {0};
    enum ldb_status s = take_stock(check, err, &ours);

    if (s != LDB_OK)
        return s;
    s = repl_likeness_prove(&source, &ours, theirs, err, &proof);
    if (s == LDB_OK)
        repl_compare(&ours, theirs, &proof, out);
    repl_holdings_release(&ours);
    return s;
}

void repl_leader_check_doubt(enum repl_session_end end, const char *why,
                             struct repl_verdict *verdict)
{
    if (end != REPL_END_BEHIND && end != REPL_END_DIFFERS)
        return;
    if (end == REPL_END_BEHIND) {
        verdict->kind = REPL_VERDICT_CONTAINED;
    } else {
        verdict->kind = REPL_VERDICT_UNKNOWN;
        verdict->fork = 0;
    }
    (void)snprintf(verdict->reason, sizeof(verdict->reason), "%.150s", why);
}
