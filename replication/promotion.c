#include "replication/promotion.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "replication/role_file.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/file_names.h"

static enum ldb_status refuse(struct ldb_error *err, const char *format, ...)
    LDB_PRINTF(2, 3);

static enum ldb_status refuse(struct ldb_error *err, const char *format, ...)
{
    char text[LDB_ERROR_MESSAGE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ldb_error_set(err, LDB_PRECONDITION, "%s", text);
}

/* ---- what others know ---- */

static void raise_to(uint64_t *highest, uint64_t value)
{
    if (*highest < value)
        *highest = value;
}

/* The leader of an epoch numbers its files from its first journal on. */
static void raise_to_epochs(uint64_t *highest,
                            const struct repl_epoch_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        raise_to(highest, history->items[i].first_journal);
}

void repl_hearsay_add(struct repl_hearsay *heard, const char *url,
                      const struct repl_state *state)
{
    const struct repl_epoch *last = repl_epoch_history_last(&state->history);

    raise_to(&heard->sequence, state->last_sequence);
    raise_to(&heard->file_number, state->manifest_number);
    raise_to(&heard->file_number, state->durable.journal);
    for (size_t i = 0; i < state->journal_count; i++)
        raise_to(&heard->file_number, state->journals[i].number);
    raise_to_epochs(&heard->file_number, &state->history);
    if (last == NULL)
        return;
    raise_to(&heard->epoch, last->number);
    raise_to(&heard->sequence, last->base);
    if (state->role == REPL_ROLE_LEADER && last->number > heard->leads_in) {
        repl_role_url_copy(url, heard->leads);
        heard->leads_in = last->number;
    }
}

/* ---- may it lead? ---- */

/* The leader that was has stepped down: is it for us to go on? */
static enum ldb_status judge_follower(const struct repl_promotion *p,
                                      struct ldb_error *err)
{
    const struct repl_state *leader = p->leader;
    ldb_sequence theirs =
        repl_epoch_history_last_entry(&leader->history, leader->last_sequence);
    ldb_sequence ours = repl_epoch_history_last_entry(p->history, p->last);

    if (p->is_forced)
        return LDB_OK;
    if (leader->leader_url[0] != '\0' && p->url[0] != '\0' &&
        strcmp(leader->leader_url, p->url) != 0)
        return refuse(err,
                      "%.100s follows %.100s: promote that one, or say force",
                      p->leader_url, leader->leader_url);
    if (theirs > ours)
        return refuse(err,
                      "%.150s has writes up to %" PRIu64
                      " and this node up to %" PRIu64
                      ": say force to go on without them",
                      p->leader_url, theirs, ours);
    return LDB_OK;
}

static enum ldb_status judge_state(const struct repl_promotion *p,
                                   struct ldb_error *err)
{
    const struct repl_epoch *last =
        repl_epoch_history_last(&p->leader->history);
    const struct repl_epoch *ours = repl_epoch_history_last(p->history);
    uint64_t epoch = ours == NULL ? 0 : ours->number;

    if (p->leader->role == REPL_ROLE_LEADER)
        return refuse(err,
                      "%.150s leads: POST /v1/admin/handover there, or stop it",
                      p->leader_url);
    if (last != NULL && last->number > epoch)
        return refuse(err,
                      "%.150s knows epoch %" PRIu64
                      " and this node only %" PRIu64 ": follow it first",
                      p->leader_url, last->number, epoch);
    return judge_follower(p, err);
}

/* Somebody else leads already, and this node has not heard of it. */
static enum ldb_status judge_others(const struct repl_promotion *p,
                                    struct ldb_error *err)
{
    const struct repl_epoch *ours = repl_epoch_history_last(p->history);

    if (p->heard.leads[0] == '\0' ||
        (ours != NULL && p->heard.leads_in < ours->number))
        return LDB_OK;
    return refuse(err, "%.150s leads in epoch %" PRIu64 ": follow it",
                  p->heard.leads, p->heard.leads_in);
}

enum ldb_status repl_promotion_judge(const struct repl_promotion *promotion,
                                     struct ldb_error *err)
{
    enum ldb_status s = judge_others(promotion, err);

    if (s != LDB_OK)
        return s;
    if (promotion->leader != NULL)
        return judge_state(promotion, err);
    if (promotion->is_forced)
        return LDB_OK;
    if (promotion->leader_url[0] == '\0')
        return refuse(err, "no leader is known to be asked what it has: say "
                           "force to lead without it");
    return refuse(err,
                  "%.150s does not answer: say force to lead without what it "
                  "has not sent",
                  promotion->leader_url);
}

/* ---- the epoch ---- */

bool repl_promotion_is_handover(const struct repl_state *leader,
                                const char *url)
{
    return leader->role == REPL_ROLE_FOLLOWER && url[0] != '\0' &&
           strcmp(leader->leader_url, url) == 0;
}

/* Nobody else was promoted over the leader that was: it has said where it is,
 * and that this node is to go on. */
static bool is_handed_over(const struct repl_promotion *p)
{
    return p->leader != NULL && repl_promotion_is_handover(p->leader, p->url);
}

static enum ldb_status choose_skips(const struct repl_promotion *promotion,
                                    struct ldb_env *env, struct ldb_error *err,
                                    uint64_t *out)
{
    const unsigned choices =
        REPL_PROMOTION_SKIPS_MAX - REPL_PROMOTION_SKIPS_MIN + 1;
    uint8_t random = 0;
    enum ldb_status s;

    static_assert(REPL_PROMOTION_SKIPS_MAX <= UINT8_MAX + 1, "one random byte");
    *out = 1;
    if (is_handed_over(promotion))
        return LDB_OK;
    s = env->ops->random_bytes(env, &random, 1, err);
    if (s == LDB_OK)
        *out = REPL_PROMOTION_SKIPS_MIN + random % choices;
    return s;
}

enum ldb_status
repl_promotion_epoch_floor(const struct repl_promotion *promotion,
                           struct ldb_env *env, struct ldb_error *err,
                           struct repl_epoch_floor *out)
{
    const struct repl_epoch *last = repl_epoch_history_last(promotion->history);
    struct repl_epoch_floor floor = {
        .number = last == NULL ? 0 : last->number,
        .base = promotion->last,
    };
    uint64_t skips;
    enum ldb_status s = choose_skips(promotion, env, err, &skips);

    if (s != LDB_OK)
        return s;
    raise_to(&floor.number, promotion->heard.epoch);
    raise_to(&floor.base, promotion->last_heard);
    raise_to(&floor.base, promotion->heard.sequence);
    if (promotion->leader != NULL)
        raise_to(&floor.base, promotion->leader->last_sequence);
    if (floor.base > LDB_SEQUENCE_MAX - skips * REPL_EPOCH_SKIP)
        return ldb_error_set(err, LDB_NOT_SUPPORTED,
                             "no sequence numbers are left above %" PRIu64,
                             floor.base);
    floor.number += skips;
    floor.base += skips * REPL_EPOCH_SKIP;
    if (!is_handed_over(promotion))
        raise_to(&floor.number, env->ops->wall_us(env) / 1000000);
    *out = floor;
    return LDB_OK;
}

/* ---- files ---- */

static enum ldb_status see_name(void *context, const char *name)
{
    uint64_t *highest = context;
    uint64_t number = 0;

    if (ldb_file_name_parse(name, &number) != LDB_FILE_FOREIGN &&
        number > *highest)
        *highest = number;
    return LDB_OK;
}

/* A folder that is not there has no files. */
static enum ldb_status see_folder(struct ldb_env *env, const char *path,
                                  struct ldb_error *err, uint64_t *highest)
{
    enum ldb_status s = env->ops->list_dir(env, path, see_name, highest, err);

    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

enum ldb_status
repl_promotion_file_floor(struct ldb_env *env, const char *dir,
                          const struct repl_epoch_history *history,
                          uint64_t known, struct ldb_error *err, uint64_t *out)
{
    char *archive = ldb_mem_printf("%s/" LDB_OWN_FOLDER "/archive", dir);
    uint64_t highest = known;
    enum ldb_status s;

    if (archive == NULL)
        return ldb_error_no_memory(err);
    raise_to_epochs(&highest, history);
    s = see_folder(env, dir, err, &highest);
    if (s == LDB_OK)
        s = see_folder(env, archive, err, &highest);
    ldb_mem_free(archive);
    if (s != LDB_OK)
        return s;
    /* As many again are left for it to use. */
    if (highest > LDB_FILE_NUMBER_MAX - 2 * REPL_PROMOTION_FILES)
        return ldb_error_set(err, LDB_NOT_SUPPORTED,
                             "no file numbers are left above %" PRIu64,
                             highest);
    *out = highest + REPL_PROMOTION_FILES;
    return LDB_OK;
}

enum ldb_status repl_promotion_raise_files(struct ldb_env *env, const char *dir,
                                           uint64_t floor,
                                           struct ldb_error *err)
{
    char *path = ldb_file_path(dir, LDB_FILE_JOURNAL, floor);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    /* What a try before has written there stays. */
    s = ldb_env_sync_file(env, path, err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, dir, err);
    ldb_mem_free(path);
    return s;
}
