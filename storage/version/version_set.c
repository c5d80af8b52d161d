/*
 * How a change becomes durable. The applier whose turn it is owns everything
 * about the MANIFEST, so it works without mu: it builds the next version, then
 *
 *   append:   sync the directory (entries of new tables and of the journal it
 *             names), append the edit to the MANIFEST, sync it;
 *   new file: write MANIFEST-N with one record, the state after the edit; sync
 *             it and the directory; point CURRENT at it.
 *
 * When an append cannot be cut off again, its sync fails, or the switch of
 * CURRENT fails half way, nobody knows whether a crash now would bring the edit
 * back. So the tables it adds are kept, the file gets no further record, and
 * the next applier begins a new file: once CURRENT names that, the failed edit
 * is out for good. A new file that fails before the switch leaves all as it
 * was: CURRENT names a sound MANIFEST throughout.
 */
#include "storage/version/version_set.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/current_file.h"
#include "storage/version/live_versions.h"
#include "storage/version/manifest.h"
#include "storage/version/recovered.h"
#include "storage/version/version_builder.h"
#include "storage/version/version_internal.h"

/* Defaults of the score: goleveldb's with geth's options (docs/formats.md).
 */
#define L0_COMPACTION_TRIGGER 4
#define LEVEL1_BYTES          (UINT64_C(100) << 20)
#define LEVEL_MULTIPLIER      10

/* Limit of a MANIFEST record. Chosen: what the journal reader accepts. */
#define RECORD_MAX ((size_t)1 << 30)

/*
 * Locking:
 * constant: options, score_limits, dir, live (which has a mutex of its own).
 * Guarded by *options.mu: the rest. manifest itself (not the pointer) belongs
 * to the applier whose turn it is; only that applier changes the fields from
 * current down to turn.
 */
struct ldb_version_set {
    struct ldb_version_set_options options;
    struct ldb_score_limits score_limits;
    char *dir;
    struct ldb_live_versions *live;
    uint64_t next_file_number;
    struct ldb_version *current; /* one reference */
    uint64_t log_number;
    uint64_t prev_log_number;
    ldb_sequence last_sequence;
    struct ldb_buf pointers[LDB_LEVEL_COUNT];
    struct ldb_manifest *manifest; /* NULL: none is open */
    uint64_t manifest_number;
    uint64_t manifest_len;
    uint64_t dropped_bytes;  /* damage that recover() skipped */
    bool needs_manifest;     /* the next apply() begins a new one */
    bool is_current_settled; /* CURRENT itself named what recover() read */
    uint64_t next_ticket;
    uint64_t turn; /* the ticket that may apply */
    struct ldb_cond turn_changed;
};

/* ---- life ---- */

static void set_score_limits(const struct ldb_version_set_options *o,
                             struct ldb_score_limits *out)
{
    double level1 =
        (double)(o->level1_bytes == 0 ? LEVEL1_BYTES : o->level1_bytes);
    double multiplier = o->level_multiplier == 0 ? LEVEL_MULTIPLIER
                                                 : (double)o->level_multiplier;
    double factor = 1;

    out->l0_compaction_trigger = o->l0_compaction_trigger == 0
                                     ? L0_COMPACTION_TRIGGER
                                     : o->l0_compaction_trigger;
    for (uint32_t level = 1; level < LDB_LEVEL_COUNT; level++) {
        bool is_given =
            o->level_multipliers != NULL && o->level_multipliers[level] > 0;

        out->level_bytes[level] =
            level1 * (is_given ? o->level_multipliers[level] : factor);
        factor *= multiplier;
    }
}

enum ldb_status
ldb_version_set_create(const struct ldb_version_set_options *options,
                       struct ldb_error *err, struct ldb_version_set **out)
{
    struct ldb_version_set *set = ldb_mem_zalloc(1, sizeof(*set));

    if (set == NULL)
        return ldb_error_no_memory(err);
    set->options = *options;
    if (set->options.manifest_rotate_bytes == 0)
        set->options.manifest_rotate_bytes = LDB_MANIFEST_ROTATE_BYTES;
    set_score_limits(options, &set->score_limits);
    set->dir = ldb_mem_strdup(options->dir);
    set->live = ldb_live_versions_create();
    if (set->dir == NULL || set->live == NULL) {
        ldb_live_versions_destroy(set->live);
        ldb_mem_free(set->dir);
        ldb_mem_free(set);
        return ldb_error_no_memory(err);
    }
    set->options.dir = set->dir;
    ldb_compact_pointers_init(set->pointers);
    ldb_cond_init(&set->turn_changed);
    *out = set;
    return LDB_OK;
}

void ldb_version_set_destroy(struct ldb_version_set *set)
{
    if (set == NULL)
        return;
    assert(set->turn == set->next_ticket);
    ldb_live_versions_on_obsolete(set->live, NULL, NULL);
    ldb_version_unref(set->current);
    ldb_live_versions_destroy(set->live);
    ldb_manifest_close(set->manifest);
    ldb_compact_pointers_release(set->pointers);
    ldb_cond_release(&set->turn_changed);
    ldb_mem_free(set->dir);
    ldb_mem_free(set);
}

/* Makes version (its reference is taken over) the current one; the one before
 * is the caller's to unref. */
static void install_version(struct ldb_version_set *set,
                            struct ldb_version *version,
                            struct ldb_table_node *removed)
{
    ldb_live_versions_add(set->live, version, removed);
    set->current = version;
}

/* What a version says about the compactions that it needs. */
static void score(const struct ldb_version_set *set,
                  struct ldb_version *version)
{
    version->counts_seeks = set->options.counts_seeks;
    ldb_version_score(version, &set->score_limits);
}

/*
 * What level 0 holds is merged with level 1 once it is due; what a level has
 * over its limit, with its share of the next one. What arrives from above
 * counts as there already.
 */
static uint64_t pending_bytes(const struct ldb_version *version,
                              const struct ldb_score_limits *limits)
{
    const struct ldb_level *levels = version->levels;
    bool is_due = version->scores[0] >= 1;
    double arriving = is_due ? (double)levels[0].bytes : 0;
    double pending = is_due ? arriving + (double)levels[1].bytes : 0;

    for (uint32_t level = 1; level + 1 < LDB_LEVEL_COUNT; level++) {
        double bytes = (double)levels[level].bytes + arriving;
        double excess = bytes - limits->level_bytes[level];

        arriving = excess > 0 ? excess : 0;
        if (excess > 0)
            pending += excess * (1 + (double)levels[level + 1].bytes / bytes);
    }
    return (uint64_t)pending;
}

static uint32_t deepest_level(const struct ldb_version *version)
{
    uint32_t level = LDB_LEVEL_COUNT - 1;

    while (level > 0 && version->levels[level].count == 0)
        level--;
    return level;
}

/*
 * What a level may hold beside the deepest one: the share of it that the limits
 * have, so that what it hides there stays a tenth or so however little of its
 * own limit the deepest one has reached (decision 32). Never less than level 1.
 */
static double share_of_deepest(const struct ldb_version *version,
                               const struct ldb_score_limits *limits,
                               uint32_t level, uint32_t deepest)
{
    double share = (double)version->levels[deepest].bytes *
                   limits->level_bytes[level] / limits->level_bytes[deepest];

    return share > limits->level_bytes[1] ? share : limits->level_bytes[1];
}

void ldb_version_score(struct ldb_version *version,
                       const struct ldb_score_limits *limits)
{
    uint32_t deepest = deepest_level(version);

    version->scores[0] = (double)version->levels[0].count /
                         (double)limits->l0_compaction_trigger;
    for (uint32_t level = 1; level + 1 < LDB_LEVEL_COUNT; level++) {
        double bytes = (double)version->levels[level].bytes;
        double score = bytes / limits->level_bytes[level];

        /* Due, and after all that are over their limits. */
        if (score < 1 && level < deepest &&
            bytes > share_of_deepest(version, limits, level, deepest))
            score = 1;
        version->scores[level] = score;
    }
    /* The last level has nowhere to go. */
    version->scores[LDB_LEVEL_COUNT - 1] = 0;
    version->pending_bytes = pending_bytes(version, limits);
}

/* ---- opening ---- */

/* Those that are not empty; the old ones stay behind for the caller. */
static void take_pointers(struct ldb_version_set *set,
                          struct ldb_buf pointers[LDB_LEVEL_COUNT])
{
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        struct ldb_buf old = set->pointers[level];

        if (pointers[level].len == 0)
            continue;
        set->pointers[level] = pointers[level];
        pointers[level] = old;
    }
}

enum ldb_status ldb_version_set_recover(struct ldb_version_set *set,
                                        struct ldb_error *err)
{
    struct ldb_recovered found = {0};
    uint64_t number = 0;
    enum ldb_status s;

    assert(set->current == NULL);
    /* CURRENT need not be settled: the first apply() sets it anew anyway. */
    s = ldb_current_read(set->options.env, set->dir, err, &number,
                         &set->is_current_settled);
    if (s == LDB_OK && set->options.skip_manifest_damage)
        s = ldb_recovered_salvage(&found, set->options.env, set->dir, number,
                                  set->options.comparator, err);
    else if (s == LDB_OK)
        s = ldb_recovered_read(&found, set->options.env, set->dir, number,
                               set->options.comparator, err);
    if (s != LDB_OK)
        return s;
    score(set, found.version);
    install_version(set, found.version, NULL);
    found.version = NULL;
    take_pointers(set, found.pointers);
    set->log_number = found.log_number;
    set->prev_log_number = found.prev_log_number;
    set->next_file_number = found.next_file_number;
    set->last_sequence = found.last_sequence;
    set->manifest_number = number;
    set->manifest_len = found.manifest_len;
    set->dropped_bytes = found.dropped_bytes;
    set->needs_manifest = true;
    ldb_recovered_release(&found);
    return LDB_OK;
}

enum ldb_status ldb_version_set_resume(struct ldb_version_set *set,
                                       struct ldb_error *err)
{
    struct ldb_env *env = set->options.env;
    struct ldb_manifest *manifest = NULL;
    enum ldb_status s;

    assert(set->current != NULL && set->manifest == NULL);
    s = ldb_manifest_open(env, set->dir, set->manifest_number,
                          set->manifest_len, err, &manifest);
    if (s != LDB_OK)
        return s;
    if (set->is_current_settled)
        s = env->ops->sync_dir(env, set->dir, err);
    else
        s = ldb_current_set(env, set->dir, set->manifest_number, err);
    if (s != LDB_OK) {
        ldb_manifest_close(manifest);
        return s;
    }
    set->manifest = manifest;
    set->needs_manifest = false;
    return LDB_OK;
}

enum ldb_status ldb_version_set_create_new(struct ldb_version_set *set,
                                           struct ldb_error *err)
{
    const struct ldb_comparator *comparator = set->options.comparator;
    struct ldb_version_edit edit = {0};
    struct ldb_buf record = LDB_BUF_INIT(RECORD_MAX);
    struct ldb_version_builder *builder = NULL;
    struct ldb_version *version = NULL;
    struct ldb_manifest *manifest = NULL;
    enum ldb_status s;

    assert(set->current == NULL);
    s = ldb_version_builder_create(comparator, NULL, err, &builder);
    if (s == LDB_OK)
        s = ldb_version_builder_finish(builder, err, &version);
    if (s != LDB_OK)
        goto out;
    s = ldb_version_edit_set_comparator(&edit, comparator->name);
    ldb_version_edit_set_log_number(&edit, 0);
    ldb_version_edit_set_next_file_number(&edit, 1);
    ldb_version_edit_set_last_sequence(&edit, 0);
    if (s == LDB_OK)
        s = ldb_version_edit_encode(&edit, &record);
    if (s != LDB_OK) {
        s = ldb_error_set(err, s, "new MANIFEST: %s", ldb_status_text(s));
        goto out;
    }
    s = ldb_manifest_create(set->options.env, set->dir, 0,
                            ldb_slice_of_buf(&record), err, &manifest);
    if (s == LDB_OK)
        s = ldb_current_set(set->options.env, set->dir, 0, err);
    if (s != LDB_OK)
        goto out;
    score(set, version);
    install_version(set, version, NULL);
    version = NULL;
    set->next_file_number = 1;
    set->manifest_len = ldb_manifest_len(manifest);
    set->manifest = manifest;
    manifest = NULL;
out:
    ldb_manifest_close(manifest);
    ldb_version_unref(version);
    ldb_version_builder_destroy(builder);
    ldb_version_edit_release(&edit);
    ldb_buf_release(&record);
    return s;
}

/* ---- apply ---- */

/* One apply() on its way. */
struct change {
    struct ldb_version_edit *edit;
    const struct ldb_manifest_run *run; /* follow()'s; NULL: apply()'s */
    /* Set under mu, when the turn has come. */
    struct ldb_version *base; /* one reference */
    bool begins_manifest;
    uint64_t manifest_number;   /* of the new one */
    uint64_t log_number;        /* state after the edit */
    ldb_sequence last_sequence; /* likewise */
    /* Made without mu. */
    struct ldb_version *version;
    struct ldb_table_node *fresh;   /* tables that base lacks */
    struct ldb_table_node *removed; /* tables of base that version lacks */
    struct ldb_buf pointers[LDB_LEVEL_COUNT];
    struct ldb_buf record;
    struct ldb_manifest *manifest; /* the new one; after installing the old */
    bool is_outcome_unknown;
};

/* REQUIRES mu. The analysis cannot follow options.mu, a pointer. */
LDB_NO_THREAD_SAFETY static void wait_for_turn(struct ldb_version_set *set)
{
    uint64_t ticket = set->next_ticket++;

    while (set->turn != ticket)
        ldb_cond_wait(&set->turn_changed, set->options.mu);
}

/* REQUIRES mu. */
static void end_turn(struct ldb_version_set *set)
{
    set->turn++;
    ldb_cond_broadcast(&set->turn_changed);
}

/* REQUIRES mu. */
static enum ldb_status begin_change(struct ldb_version_set *set,
                                    struct change *change,
                                    struct ldb_error *err)
{
    struct ldb_version_edit *edit = change->edit;

    assert(set->current != NULL);
    change->base = ldb_version_ref(set->current);
    /* A new MANIFEST says nothing of it (tag 9 is not written), and setting a
     * log number says that it is in tables. */
    if (set->prev_log_number != 0 && !edit->has_log_number)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "journal %06" PRIu64 " is not in tables yet",
                             set->prev_log_number);
    change->begins_manifest =
        set->needs_manifest ||
        set->manifest_len >= set->options.manifest_rotate_bytes;
    if (change->begins_manifest)
        change->manifest_number = ldb_version_set_new_file_number(set);
    ldb_version_edit_set_next_file_number(edit, set->next_file_number);
    change->log_number =
        edit->has_log_number ? edit->log_number : set->log_number;
    change->last_sequence =
        edit->has_last_sequence ? edit->last_sequence : set->last_sequence;
    return LDB_OK;
}

static enum ldb_status find_fresh(struct change *change)
{
    const struct ldb_version_edit *edit = change->edit;

    for (size_t i = 0; i < edit->added_count; i++) {
        struct ldb_file_meta *meta = edit->added[i].meta;
        enum ldb_status s;

        if (ldb_version_contains(change->base, meta))
            continue;
        s = ldb_table_nodes_push(&change->fresh, meta);
        if (s != LDB_OK)
            return s;
    }
    return LDB_OK;
}

static enum ldb_status find_removed(struct change *change,
                                    const struct ldb_version_builder *builder)
{
    size_t count = 0;
    struct ldb_file_meta *const *removed =
        ldb_version_builder_removed(builder, &count);

    for (size_t i = 0; i < count; i++) {
        enum ldb_status s = ldb_table_nodes_push(&change->removed, removed[i]);

        if (s != LDB_OK)
            return s;
    }
    return LDB_OK;
}

static enum ldb_status build_version(const struct ldb_version_set *set,
                                     struct change *change,
                                     struct ldb_error *err)
{
    struct ldb_version_builder *builder = NULL;
    enum ldb_status s = ldb_version_builder_create(set->options.comparator,
                                                   change->base, err, &builder);

    if (s == LDB_OK)
        s = ldb_version_builder_apply(builder, change->edit, err);
    if (s == LDB_OK)
        s = ldb_version_builder_finish(builder, err, &change->version);
    if (s == LDB_OK && find_removed(change, builder) != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        score(set, change->version);
    ldb_version_builder_destroy(builder);
    return s;
}

/* The pointer of each level after the edit, into snapshot. */
static enum ldb_status add_pointers(const struct ldb_version_set *set,
                                    const struct change *change,
                                    struct ldb_version_edit *snapshot)
{
    enum ldb_status s = LDB_OK;

    for (uint32_t l = 0; s == LDB_OK && l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_buf *pointer = change->pointers[l].len > 0
                                            ? &change->pointers[l]
                                            : &set->pointers[l];

        if (pointer->len > 0)
            s = ldb_version_edit_set_pointer(snapshot, l,
                                             ldb_slice_of_buf(pointer));
    }
    return s;
}

/* The first record of a new MANIFEST: all of the state after the edit. */
static enum ldb_status encode_snapshot(const struct ldb_version_set *set,
                                       struct change *change)
{
    struct ldb_version_edit snapshot = {0};
    enum ldb_status s;

    s = ldb_version_edit_set_comparator(&snapshot,
                                        set->options.comparator->name);
    ldb_version_edit_set_log_number(&snapshot, change->log_number);
    ldb_version_edit_set_next_file_number(&snapshot,
                                          change->edit->next_file_number);
    ldb_version_edit_set_last_sequence(&snapshot, change->last_sequence);
    if (s == LDB_OK)
        s = add_pointers(set, change, &snapshot);
    for (uint32_t l = 0; s == LDB_OK && l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &change->version->levels[l];

        for (size_t i = 0; s == LDB_OK && i < level->count; i++)
            s = ldb_version_edit_add_file(&snapshot, l, level->files[i]);
    }
    if (s == LDB_OK)
        s = ldb_version_edit_encode(&snapshot, &change->record);
    ldb_version_edit_release(&snapshot);
    return s;
}

static enum ldb_status encode_change(const struct ldb_version_set *set,
                                     struct change *change,
                                     struct ldb_error *err)
{
    enum ldb_status s =
        ldb_compact_pointers_copy(change->pointers, change->edit);

    if (s == LDB_OK)
        s = change->begins_manifest
                ? encode_snapshot(set, change)
                : ldb_version_edit_encode(change->edit, &change->record);
    if (s != LDB_OK)
        return ldb_error_set(err, s, "MANIFEST record: %s", ldb_status_text(s));
    return LDB_OK;
}

/* Of new tables, and of the journal that the edit names. */
static enum ldb_status sync_names(const struct ldb_version_set *set,
                                  uint64_t newest, struct ldb_error *err)
{
    const struct ldb_version_set_options *o = &set->options;

    if (newest == 0 || o->sync_names == NULL)
        return o->env->ops->sync_dir(o->env, set->dir, err);
    return o->sync_names(o->sync_names_context, newest, err);
}

static enum ldb_status append_change(struct ldb_version_set *set,
                                     struct change *change,
                                     struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    /* A journal that the MANIFEST asks for is there: ldb_recovered_is_short()
     * tells a cut MANIFEST by it. */
    if (change->fresh != NULL || change->edit->has_log_number)
        s = sync_names(set, change->edit->newest_name, err);
    if (s != LDB_OK)
        return s;
    return ldb_manifest_append(set->manifest, ldb_slice_of_buf(&change->record),
                               err, &change->is_outcome_unknown);
}

static enum ldb_status begin_manifest(struct ldb_version_set *set,
                                      struct change *change,
                                      struct ldb_error *err)
{
    struct ldb_env *env = set->options.env;
    enum ldb_status s = ldb_manifest_create(
        env, set->dir, change->manifest_number,
        ldb_slice_of_buf(&change->record), err, &change->manifest);

    if (s != LDB_OK)
        return s;
    s = ldb_current_set(env, set->dir, change->manifest_number, err);
    if (s != LDB_OK)
        change->is_outcome_unknown =
            !ldb_manifest_withdraw(env, set->dir, change->manifest_number);
    return s;
}

/* REQUIRES mu. What the change holds afterwards is what it replaced. */
static void install_change(struct ldb_version_set *set, struct change *change)
{
    struct ldb_version *old = set->current;

    assert(old == change->base);
    install_version(set, change->version, change->removed);
    change->version = old;
    change->removed = NULL;
    take_pointers(set, change->pointers);
    set->log_number = change->log_number;
    set->last_sequence = change->last_sequence;
    if (change->edit->has_log_number)
        set->prev_log_number = 0;
    if (change->begins_manifest) {
        struct ldb_manifest *manifest = set->manifest;

        set->manifest = change->manifest;
        change->manifest = manifest;
        set->manifest_number = change->manifest_number;
        set->needs_manifest = false;
    }
    set->manifest_len = ldb_manifest_len(set->manifest);
}

/* Without mu: may free much, and calls on_obsolete. */
static void end_change(struct ldb_version_set *set, struct change *change,
                       enum ldb_status status)
{
    if (status == LDB_OK) {
        ldb_table_nodes_destroy(change->fresh);
        if (change->begins_manifest)
            ldb_live_versions_settle(set->live);
    } else if (change->run != NULL) {
        ldb_table_nodes_destroy(change->fresh);
    } else if (change->is_outcome_unknown) {
        ldb_live_versions_hold(set->live, change->fresh);
    } else {
        ldb_live_versions_drop(set->live, change->fresh);
    }
    ldb_version_unref(change->base);
    ldb_version_unref(change->version);
    ldb_table_nodes_destroy(change->removed);
    ldb_manifest_close(change->manifest);
    ldb_compact_pointers_release(change->pointers);
    ldb_buf_release(&change->record);
}

/* The analysis cannot follow options.mu, a pointer to the caller's mutex. */
LDB_NO_THREAD_SAFETY enum ldb_status
ldb_version_set_apply(struct ldb_version_set *set,
                      struct ldb_version_edit *edit, struct ldb_error *err)
{
    struct change change = {.edit = edit, .record = LDB_BUF_INIT(RECORD_MAX)};
    enum ldb_status s;

    ldb_compact_pointers_init(change.pointers);
    wait_for_turn(set);
    s = begin_change(set, &change, err);
    ldb_mutex_unlock(set->options.mu);
    if (find_fresh(&change) != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = build_version(set, &change, err);
    if (s == LDB_OK)
        s = encode_change(set, &change, err);
    if (s == LDB_OK)
        s = change.begins_manifest ? begin_manifest(set, &change, err)
                                   : append_change(set, &change, err);
    ldb_mutex_lock(set->options.mu);
    if (s == LDB_OK)
        install_change(set, &change);
    else if (change.is_outcome_unknown)
        set->needs_manifest = true;
    ldb_mutex_unlock(set->options.mu);
    end_change(set, &change, s);
    ldb_mutex_lock(set->options.mu);
    end_turn(set);
    return s;
}

/* ---- follow ---- */

/* REQUIRES mu. */
static enum ldb_status begin_following(struct ldb_version_set *set,
                                       struct change *change,
                                       struct ldb_error *err)
{
    const struct ldb_manifest_run *run = change->run;
    const struct ldb_version_edit *edit = change->edit;

    assert(set->current != NULL && set->manifest != NULL);
    change->base = ldb_version_ref(set->current);
    if (run->offset !=
        (run->number == set->manifest_number ? set->manifest_len : 0))
        return ldb_error_set(
            err, LDB_INVALID_ARGUMENT,
            "MANIFEST-%06" PRIu64 " at %" PRIu64
            ", and ours is MANIFEST-%06" PRIu64 " of %" PRIu64 " bytes",
            run->number, run->offset, set->manifest_number, set->manifest_len);
    change->begins_manifest = set->needs_manifest || run->record_count > 1 ||
                              run->number != set->manifest_number;
    change->manifest_number = run->number;
    change->log_number =
        edit->has_log_number ? edit->log_number : set->log_number;
    change->last_sequence =
        edit->has_last_sequence ? edit->last_sequence : set->last_sequence;
    return LDB_OK;
}

/* A new MANIFEST, or ours with more records, at one stroke. */
static enum ldb_status replace_manifest(struct ldb_version_set *set,
                                        struct change *change,
                                        struct ldb_slice bytes,
                                        struct ldb_error *err)
{
    struct ldb_env *env = set->options.env;
    uint64_t number = change->manifest_number;
    bool is_other = number != set->manifest_number;
    enum ldb_status s = env->ops->sync_dir(env, set->dir, err);

    if (s == LDB_OK)
        s = ldb_manifest_replace(env, set->dir, number, change->run->offset,
                                 bytes, err, &change->manifest,
                                 &change->is_outcome_unknown);
    /* In doubt, CURRENT may name another that was tried before. */
    if (s != LDB_OK || (!is_other && !set->needs_manifest))
        return s;
    s = ldb_current_set(env, set->dir, number, err);
    if (s != LDB_OK)
        change->is_outcome_unknown =
            !is_other || !ldb_manifest_withdraw(env, set->dir, number);
    return s;
}

static enum ldb_status append_record(struct ldb_version_set *set,
                                     struct change *change,
                                     struct ldb_slice bytes,
                                     struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (change->fresh != NULL || change->edit->has_log_number)
        s = sync_names(set, change->edit->newest_name, err);
    if (s == LDB_OK)
        s = ldb_manifest_append_framed(set->manifest, bytes, err,
                                       &change->is_outcome_unknown);
    return s;
}

/* The analysis cannot follow options.mu, a pointer to the caller's mutex. */
LDB_NO_THREAD_SAFETY enum ldb_status
ldb_version_set_follow(struct ldb_version_set *set,
                       struct ldb_manifest_run *run, struct ldb_slice bytes,
                       struct ldb_error *err)
{
    struct change change = {.edit = &run->edit, .run = run};
    enum ldb_status s;

    assert(bytes.len == run->len);
    ldb_compact_pointers_init(change.pointers);
    wait_for_turn(set);
    s = begin_following(set, &change, err);
    ldb_mutex_unlock(set->options.mu);
    if (s == LDB_OK && find_fresh(&change) != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = build_version(set, &change, err);
    if (s == LDB_OK &&
        ldb_compact_pointers_copy(change.pointers, change.edit) != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = change.begins_manifest ? replace_manifest(set, &change, bytes, err)
                                   : append_record(set, &change, bytes, err);
    ldb_mutex_lock(set->options.mu);
    if (s == LDB_OK) {
        install_change(set, &change);
        if (run->edit.has_next_file_number &&
            run->edit.next_file_number > set->next_file_number)
            set->next_file_number = run->edit.next_file_number;
    } else if (change.is_outcome_unknown) {
        set->needs_manifest = true;
    }
    ldb_mutex_unlock(set->options.mu);
    end_change(set, &change, s);
    ldb_mutex_lock(set->options.mu);
    end_turn(set);
    return s;
}

/* ---- questions ---- */

struct ldb_version *ldb_version_set_current(struct ldb_version_set *set)
{
    return set->current;
}

uint64_t ldb_version_set_new_file_number(struct ldb_version_set *set)
{
    assert(set->next_file_number < LDB_FILE_NUMBER_MAX);
    return set->next_file_number++;
}

void ldb_version_set_mark_used(struct ldb_version_set *set, uint64_t number)
{
    if (number >= set->next_file_number && number < LDB_FILE_NUMBER_MAX)
        set->next_file_number = number + 1;
}

uint64_t ldb_version_set_dropped_bytes(const struct ldb_version_set *set)
{
    return set->dropped_bytes;
}

uint64_t ldb_version_set_log_number(const struct ldb_version_set *set)
{
    return set->log_number;
}

uint64_t ldb_version_set_prev_log_number(const struct ldb_version_set *set)
{
    return set->prev_log_number;
}

ldb_sequence
ldb_version_set_recovered_sequence(const struct ldb_version_set *set)
{
    return set->last_sequence;
}

uint64_t ldb_version_set_next_file_number(const struct ldb_version_set *set)
{
    return set->next_file_number;
}

void ldb_version_set_manifest(const struct ldb_version_set *set,
                              uint64_t *out_number, uint64_t *out_len)
{
    *out_number = set->manifest_number;
    *out_len = set->manifest_len;
}

struct ldb_slice
ldb_version_set_compact_pointer(const struct ldb_version_set *set,
                                uint32_t level)
{
    assert(level < LDB_LEVEL_COUNT);
    return ldb_slice_of_buf(&set->pointers[level]);
}

bool ldb_version_set_is_live(struct ldb_version_set *set, uint64_t number)
{
    return ldb_live_versions_has(set->live, number);
}

enum ldb_status ldb_version_set_take_obsolete(struct ldb_version_set *set,
                                              uint64_t **out, size_t *out_count)
{
    return ldb_live_versions_take(set->live, out, out_count);
}

void ldb_version_set_on_obsolete(struct ldb_version_set *set,
                                 void (*on_obsolete)(void *context),
                                 void *context)
{
    ldb_live_versions_on_obsolete(set->live, on_obsolete, context);
}
