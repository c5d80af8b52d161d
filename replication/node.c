#include "replication/node.h"

#include <string.h>

#include "replication/sidecar.h"
#include "replication/twin_mark.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* A file that is not there is not an error here. */
static enum ldb_status load_optional(enum ldb_status s, bool *out_found)
{
    *out_found = s == LDB_OK;
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

enum ldb_status repl_node_load(struct repl_node *node, struct ldb_env *env,
                               const char *dir, struct ldb_error *err)
{
    struct repl_node loaded = {.env = env, .dir = ldb_mem_strdup(dir)};
    bool has_history = false;
    enum ldb_status s;

    if (loaded.dir == NULL)
        return ldb_error_no_memory(err);
    s = load_optional(repl_identity_load(env, dir, err, &loaded.identity),
                      &loaded.has_identity);
    if (s == LDB_OK)
        s = load_optional(
            repl_epoch_history_load(env, dir, err, &loaded.history),
            &has_history);
    if (s == LDB_OK) {
        s = load_optional(repl_clean_stop_load(env, dir, err, &loaded.mark),
                          &loaded.has_mark);
        /* A damaged mark proves nothing, as none does: a new epoch begins. */
        if (s == LDB_CORRUPTION)
            s = LDB_OK;
    }
    /* The epochs are stored first, so a crash does not leave it so. */
    if (s == LDB_OK && loaded.has_identity && !has_history)
        s = ldb_error_set(
            err, LDB_CORRUPTION,
            "%s/" REPL_SIDECAR_FOLDER " has an identity and no epochs", dir);
    if (s == LDB_OK)
        *node = loaded;
    else
        repl_node_release(&loaded);
    return s;
}

void repl_node_release(struct repl_node *node)
{
    repl_epoch_history_release(&node->history);
    ldb_mem_free(node->dir);
    *node = (struct repl_node){0};
}

/* Whether the folder is as its last leader left it, synced. */
static bool is_untouched(const struct repl_node *node,
                         const struct ldb_recovery *found)
{
    const struct repl_epoch *last = repl_epoch_history_last(&node->history);
    const struct repl_clean_stop *mark = &node->mark;
    ldb_sequence sequence = found->last_sequence;

    if (last == NULL || !node->has_mark || !node->has_identity ||
        found->created)
        return false;
    /* An epoch without a write leaves no trace of its base in the files. */
    if (sequence < last->base)
        sequence = last->base;
    return mark->epoch_number == last->number && mark->epoch_id == last->id &&
           mark->manifest_number == found->manifest_number &&
           mark->manifest_len == found->manifest_len &&
           mark->journal_number == found->journal_number &&
           mark->journal_len == found->journal_len &&
           mark->last_sequence == sequence && found->bytes_dropped == 0 &&
           found->tail_bytes == 0;
}

/* floor: NULL: none. */
static enum ldb_status add_epoch(struct repl_node *node, ldb_sequence last,
                                 bool is_fresh,
                                 const struct repl_epoch_floor *floor,
                                 uint64_t first_journal, struct ldb_error *err,
                                 struct repl_epoch *out_epoch)
{
    struct repl_epoch epoch;
    enum ldb_status s;

    s = repl_epoch_history_next(&node->history, node->env, last, is_fresh,
                                first_journal, err, &epoch);
    if (s == LDB_OK && floor != NULL && epoch.base < floor->base)
        epoch.base = floor->base;
    if (s == LDB_OK && floor != NULL && epoch.number < floor->number)
        epoch.number = floor->number;
    if (s == LDB_OK)
        s = repl_epoch_history_append(&node->history, &epoch, err);
    if (s != LDB_OK)
        return s;
    s = repl_epoch_history_store(node->env, node->dir, &node->history, err);
    if (s != LDB_OK) {
        node->history.count--;
        return s;
    }
    *out_epoch = epoch;
    return LDB_OK;
}

static enum ldb_status make_identity(struct repl_node *node,
                                     struct ldb_error *err)
{
    struct repl_identity made;
    enum ldb_status s;

    s = repl_identity_make(node->env, err, &made);
    if (s == LDB_OK)
        s = repl_identity_store(node->env, node->dir, &made, err);
    if (s == LDB_OK) {
        node->identity = made;
        node->has_identity = true;
    }
    return s;
}

enum ldb_status repl_node_begin(struct repl_node *node,
                                const struct ldb_recovery *found,
                                uint64_t first_journal, struct ldb_error *err,
                                struct repl_epoch *out_epoch, bool *out_is_new)
{
    bool goes_on = is_untouched(node, found);
    bool is_fresh = found->created && node->history.count == 0;
    enum ldb_status s;

    s = repl_sidecar_make_folder(node->env, node->dir, err);
    if (s == LDB_OK)
        s = repl_clean_stop_remove(node->env, node->dir, err);
    if (s == LDB_OK)
        s = repl_twin_mark_remove(node->env, node->dir, err);
    if (s != LDB_OK)
        return s;
    node->has_mark = false;
    if (goes_on) {
        *out_epoch = *repl_epoch_history_last(&node->history);
        *out_is_new = false;
        return LDB_OK;
    }
    s = add_epoch(node, found->last_sequence, is_fresh, NULL, first_journal,
                  err, out_epoch);
    if (s == LDB_OK && !node->has_identity)
        s = make_identity(node, err);
    if (s == LDB_OK)
        *out_is_new = true;
    return s;
}

enum ldb_status repl_node_begin_epoch(struct repl_node *node, ldb_sequence last,
                                      uint64_t first_journal,
                                      struct ldb_error *err,
                                      struct repl_epoch *out_epoch)
{
    return add_epoch(node, last, false, NULL, first_journal, err, out_epoch);
}

enum ldb_status repl_node_begin_promoted(struct repl_node *node,
                                         const struct ldb_recovery *found,
                                         const struct repl_epoch_floor *floor,
                                         uint64_t first_journal,
                                         struct ldb_error *err,
                                         struct repl_epoch *out_epoch)
{
    enum ldb_status s = repl_sidecar_make_folder(node->env, node->dir, err);

    assert(floor->base <= LDB_SEQUENCE_MAX);
    if (s == LDB_OK)
        s = repl_clean_stop_remove(node->env, node->dir, err);
    if (s == LDB_OK)
        s = repl_twin_mark_remove(node->env, node->dir, err);
    if (s != LDB_OK)
        return s;
    node->has_mark = false;
    s = add_epoch(node, found->last_sequence, false, floor, first_journal, err,
                  out_epoch);
    if (s == LDB_OK && !node->has_identity)
        s = make_identity(node, err);
    return s;
}

enum ldb_status repl_node_begin_following(struct repl_node *node,
                                          struct ldb_error *err)
{
    struct repl_identity made = {0};
    enum ldb_status s = repl_sidecar_make_folder(node->env, node->dir, err);

    if (s == LDB_OK)
        s = repl_clean_stop_remove(node->env, node->dir, err);
    if (s != LDB_OK)
        return s;
    node->has_mark = false;
    if (node->has_identity || node->identity.node_id[0] != '\0')
        return LDB_OK;
    s = repl_identity_make(node->env, err, &made);
    if (s == LDB_OK)
        memcpy(node->identity.node_id, made.node_id, sizeof made.node_id);
    return s;
}

enum ldb_status repl_node_rename(struct repl_node *node, struct ldb_error *err)
{
    struct repl_identity renamed = {0};
    enum ldb_status s = repl_identity_make(node->env, err, &renamed);

    assert(node->has_identity);
    if (s != LDB_OK)
        return s;
    memcpy(renamed.cluster_id, node->identity.cluster_id,
           sizeof renamed.cluster_id);
    s = repl_identity_store(node->env, node->dir, &renamed, err);
    if (s == LDB_OK)
        node->identity = renamed;
    return s;
}

enum ldb_status repl_node_end(struct repl_node *node,
                              ldb_sequence last_sequence, struct ldb_error *err)
{
    const struct repl_epoch *last = repl_epoch_history_last(&node->history);
    struct repl_clean_stop mark = {0};
    enum ldb_status s;

    assert(last != NULL);
    s = repl_clean_stop_scan(node->env, node->dir, err, &mark);
    if (s != LDB_OK)
        return s;
    mark.epoch_number = last->number;
    mark.epoch_id = last->id;
    mark.last_sequence =
        last_sequence > last->base ? last_sequence : last->base;
    s = repl_clean_stop_store(node->env, node->dir, &mark, err);
    if (s == LDB_OK) {
        node->mark = mark;
        node->has_mark = true;
    }
    return s;
}
