#include "replication/rebuild_judge.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/file_names.h"

/* ---- how it stands ---- */

static bool is_to_be_followed(const struct repl_verdict *verdict)
{
    switch (verdict->kind) {
    case REPL_VERDICT_SAME:
    case REPL_VERDICT_BEHIND:
    case REPL_VERDICT_CONTAINED:
    case REPL_VERDICT_DIVERGED:
    case REPL_VERDICT_UNKNOWN:
        return true;
    case REPL_VERDICT_STRANGER:
    case REPL_VERDICT_LOWER:
    case REPL_VERDICT_SPLIT:
        break;
    }
    return false;
}

static enum ldb_status compare(const struct repl_survey_source *source,
                               const struct repl_holdings *ours,
                               struct ldb_error *err, struct repl_verdict *out)
{
    const struct repl_likeness_source bytes = {
        .env = source->env,
        .dir = source->dir,
        .transport = source->client->transport,
        .epoch = repl_epoch_history_last(&source->state->history),
    };
    struct repl_proof proof = {0};
    enum ldb_status s = LDB_OK;

    /* Without an epoch it is not to be followed anyhow. */
    if (bytes.epoch != NULL)
        s = repl_likeness_prove(&bytes, ours, source->state, err, &proof);
    if (s != LDB_OK)
        return s;
    repl_compare(ours, source->state, &proof, out);
    if (!is_to_be_followed(out))
        s = ldb_error_set(err, LDB_PRECONDITION, "%s", out->reason);
    return s;
}

/* ---- what was under way ---- */

/* Whether the switch came so far that what is in force is what it had fetched:
 * nothing of that is ours alone. */
static enum ldb_status is_switched(const struct repl_survey_source *source,
                                   const struct repl_holdings *ours,
                                   const struct repl_rebuild_intent *before,
                                   struct ldb_error *err, bool *out)
{
    struct ldb_digest digest;
    uint64_t size = 0;
    char *path;
    enum ldb_status s;

    *out = false;
    if (!ours->has_database || ours->is_damaged ||
        ours->manifest_number != before->manifest_number ||
        ours->manifest_len != before->manifest_len)
        return LDB_OK;
    path = ldb_file_path(source->dir, LDB_FILE_MANIFEST, ours->manifest_number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_digest_file(source->env, path, err, &digest, &size);
    ldb_mem_free(path);
    if (s == LDB_OK)
        *out = size == before->manifest_len &&
               ldb_digest_equal(&digest, &before->manifest_digest);
    return s;
}

/* Its fork holds, or a lower one: of what it was about to do, the half may be
 * done, and the folder tells no more what it was. */
static enum ldb_status resume(const struct repl_survey_source *source,
                              const struct repl_holdings *ours,
                              const struct repl_rebuild_intent *before,
                              struct ldb_error *err, struct repl_judgement *out)
{
    struct repl_rebuild_intent *intent = &out->intent;
    bool is_over = false;
    enum ldb_status s;

    intent->phase = before->phase;
    intent->manifest_number = before->manifest_number;
    intent->manifest_len = before->manifest_len;
    intent->manifest_digest = before->manifest_digest;
    out->is_resumed = true;
    s = is_switched(source, ours, before, err, &is_over);
    if (s != LDB_OK || is_over)
        return s;
    intent->is_unknown |= before->is_unknown;
    if (out->verdict.kind != REPL_VERDICT_DIVERGED ||
        before->fork < intent->fork)
        intent->fork = before->fork;
    return LDB_OK;
}

static enum ldb_status go_on(const struct repl_survey_source *source,
                             const struct repl_holdings *ours,
                             const struct repl_rebuild_intent *before,
                             struct ldb_error *err, struct repl_judgement *out)
{
    struct repl_rebuild_intent *intent = &out->intent;

    if (repl_rebuild_intent_forbids(before, &intent->epoch))
        return ldb_error_set(err, LDB_PRECONDITION,
                             "a rebuild for epoch %" PRIu64 " (%016" PRIx64
                             ") is under way, the leader is in %" PRIu64
                             " (%016" PRIx64 ")",
                             before->epoch.number, before->epoch.id,
                             intent->epoch.number, intent->epoch.id);
    intent->rewind = before->rewind;
    out->was_unknown = before->is_unknown;
    if (before->phase == REPL_REBUILD_FETCHING)
        return LDB_OK; /* the folder is as it was: the verdict is as good */
    return resume(source, ours, before, err, out);
}

/* ---- both ---- */

enum ldb_status repl_rebuild_judge(const struct repl_survey_source *source,
                                   const struct repl_holdings *ours,
                                   struct ldb_error *err,
                                   struct repl_judgement *out)
{
    const struct repl_epoch *last =
        repl_epoch_history_last(&source->state->history);
    struct repl_judgement judged = {0};
    struct repl_rebuild_intent before;
    struct ldb_error why = {0};
    enum ldb_status s = compare(source, ours, err, &out->verdict);

    if (s != LDB_OK)
        return s;
    judged.verdict = out->verdict;
    judged.intent = (struct repl_rebuild_intent){
        .phase = REPL_REBUILD_FETCHING,
        .epoch = *last,
        .is_unknown = judged.verdict.kind == REPL_VERDICT_UNKNOWN,
        .fork = judged.verdict.fork,
    };
    memcpy(judged.intent.cluster_id, source->state->identity.cluster_id,
           REPL_ID_SIZE);
    s = repl_rebuild_intent_load(source->env, source->dir, &why, &before);
    if (s == LDB_OK)
        s = go_on(source, ours, &before, &why, &judged);
    else if (s == LDB_NOT_FOUND)
        s = LDB_OK;
    if (s == LDB_OK)
        *out = judged;
    else if (err != NULL)
        *err = why;
    return s;
}
