#include "replication/twin_build.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "replication/incoming.h"
#include "replication/lost_entries.h"
#include "replication/rebuild_judge.h"
#include "replication/sidecar.h"
#include "replication/table_fetch.h"
#include "replication/twin_switch.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/* Times that the leader may have let go of a version before it was whole.
 * Chosen: each takes a minute without a call. */
#define ATTEMPTS_MAX 5

/* A version is asked for again after so long without a call. Chosen: a quarter
 * of what the leader waits. */
#define RENEW_US (UINT64_C(15) * 1000000)

/* Tables that are fetched between two looks at the rest. Chosen. */
#define FETCH_AT_ONCE 32

/*
 * Locking: constant after create: env, dir, peer, node_id, comparator,
 * is_accepted. Atomic, relaxed: is_interrupted. Guarded by mu: transport and
 * fetch, for who interrupts, figures and fetched_before. The rest is the
 * caller's one thread.
 */
struct repl_build {
    struct ldb_env *env;
    char *dir; /* owned */
    struct repl_peer *peer;
    char node_id[REPL_ID_SIZE];
    const struct ldb_comparator *comparator;
    unsigned transports;
    bool is_accepted;
    _Atomic(bool) is_interrupted;
    struct ldb_mutex mu;
    struct repl_transport *transport;  /* guarded by mu; set once */
    struct repl_fetch *fetch;          /* guarded by mu; set once */
    struct repl_build_figures figures; /* guarded by mu */
    uint64_t fetched_before; /* guarded by mu: bytes of the fetch, when the
                                tables began */
    /* Of the last fetch. */
    struct repl_client client;
    struct repl_state state;
    struct repl_checkpoint checkpoint;
    uint64_t called_us; /* when the leader was last asked for the version */
    struct repl_survey_source source;
    struct repl_survey survey;
    struct repl_judgement judged;
    struct repl_rewind rewind;
    struct repl_plan_input input;
    struct repl_plan plan;
    bool is_fetched;
};

/* ---- life ---- */

static enum ldb_status pause_survey(void *context, struct ldb_error *err);

enum ldb_status repl_build_create(const struct repl_build_options *options,
                                  struct ldb_error *err,
                                  struct repl_build **out)
{
    struct repl_build *build = ldb_mem_zalloc(1, sizeof(*build));

    if (build == NULL)
        return ldb_error_no_memory(err);
    build->dir = ldb_mem_strdup(options->dir);
    if (build->dir == NULL) {
        ldb_mem_free(build);
        return ldb_error_no_memory(err);
    }
    build->env = options->env;
    build->peer = options->peer;
    memcpy(build->node_id, options->node_id, sizeof(build->node_id));
    build->comparator = options->comparator != NULL ? options->comparator
                                                    : ldb_comparator_bytewise();
    build->transports = options->transports;
    build->is_accepted = options->is_accepted;
    build->figures.begun_us = build->env->ops->monotonic_us(build->env);
    ldb_mutex_init(&build->mu);
    build->source = (struct repl_survey_source){
        .env = build->env,
        .dir = build->dir,
        .comparator = build->comparator,
        .client = &build->client,
        .state = &build->state,
        .pause = pause_survey,
        .context = build,
    };
    *out = build;
    return LDB_OK;
}

/* What the last fetch found. */
static void forget_fetch(struct repl_build *build)
{
    build->is_fetched = false;
    repl_plan_release(&build->plan);
    repl_survey_release(&build->survey);
    repl_checkpoint_release(&build->checkpoint);
    repl_state_release(&build->state);
    build->checkpoint = (struct repl_checkpoint){0};
    build->state = (struct repl_state){0};
}

void repl_build_destroy(struct repl_build *build)
{
    if (build == NULL)
        return;
    forget_fetch(build);
    repl_fetch_destroy(build->fetch);
    if (build->transport != NULL)
        build->transport->ops->destroy(build->transport);
    ldb_mutex_release(&build->mu);
    ldb_mem_free(build->dir);
    ldb_mem_free(build);
}

static bool is_interrupted(const struct repl_build *build)
{
    return atomic_load_explicit(&build->is_interrupted, memory_order_relaxed);
}

void repl_build_interrupt(struct repl_build *build)
{
    atomic_store_explicit(&build->is_interrupted, true, memory_order_relaxed);
    ldb_mutex_lock(&build->mu);
    if (build->transport != NULL)
        build->transport->ops->interrupt(build->transport);
    if (build->fetch != NULL)
        repl_fetch_interrupt(build->fetch);
    ldb_mutex_unlock(&build->mu);
}

/* ---- figures ---- */

const char *repl_build_step_text(enum repl_build_step step)
{
    switch (step) {
    case REPL_BUILD_IDLE:
        return "idle";
    case REPL_BUILD_SURVEYING:
        return "surveying";
    case REPL_BUILD_FETCHING:
        return "fetching";
    case REPL_BUILD_SWITCHING:
        return "switching";
    }
    return "unknown";
}

/* Bytes that came, or had come in an earlier try. */
static uint64_t fetched_locked(const struct repl_build *build)
    LDB_REQUIRES(build->mu)
{
    struct repl_fetch_figures came;

    if (build->fetch == NULL)
        return 0;
    repl_fetch_figures(build->fetch, &came);
    return came.bytes + came.bytes_kept;
}

void repl_build_figures(struct repl_build *build,
                        struct repl_build_figures *out)
{
    uint64_t bytes;

    ldb_mutex_lock(&build->mu);
    *out = build->figures;
    bytes = fetched_locked(build) - build->fetched_before;
    ldb_mutex_unlock(&build->mu);
    /* One that came twice counts once. */
    if (bytes > out->bytes_wanted)
        bytes = out->bytes_wanted;
    if (out->step == REPL_BUILD_FETCHING && bytes > out->bytes_fetched)
        out->bytes_fetched = bytes;
}

static void begin_step(struct repl_build *build, enum repl_build_step step)
{
    ldb_mutex_lock(&build->mu);
    build->figures.step = step;
    if (step == REPL_BUILD_FETCHING)
        build->fetched_before = fetched_locked(build);
    ldb_mutex_unlock(&build->mu);
}

bool repl_build_is_gentle(const struct repl_build *build)
{
    return build->is_fetched && !build->plan.has_clear;
}

const struct repl_verdict *repl_build_verdict(const struct repl_build *build)
{
    return &build->judged.verdict;
}

/* ---- the leader ---- */

/* Of a file that has come, on a thread of the fetch: damage of the leader's
 * disk does not replace a sound table. */
static enum ldb_status check_table(void *context,
                                   const struct repl_fetch_file *file,
                                   struct ldb_error *err)
{
    struct repl_build *build = context;
    enum ldb_status s;

    if (file->is_prefix) /* the MANIFEST */
        return LDB_OK;
    s = repl_incoming_check_table(build->env, build->dir, file->name,
                                  file->size, err);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&build->mu);
    build->figures.tables_fetched++;
    build->figures.bytes_fetched += file->size;
    ldb_mutex_unlock(&build->mu);
    return LDB_OK;
}

static enum ldb_status connect(struct repl_build *build, struct ldb_error *err)
{
    const struct repl_fetch_options options = {.env = build->env,
                                               .dir = build->dir,
                                               .peer = build->peer,
                                               .transports = build->transports,
                                               .check = check_table,
                                               .context = build};
    struct repl_transport *transport = NULL;
    struct repl_fetch *fetch = NULL;
    enum ldb_status s = LDB_OK;

    if (build->transport == NULL)
        s = build->peer->open(build->peer, err, &transport);
    if (s == LDB_OK && build->fetch == NULL)
        s = repl_fetch_create(&options, err, &fetch);
    ldb_mutex_lock(&build->mu);
    if (transport != NULL)
        build->transport = transport;
    if (fetch != NULL)
        build->fetch = fetch;
    ldb_mutex_unlock(&build->mu);
    if (s == LDB_OK)
        repl_client_init(&build->client, build->transport);
    /* One that came before they were there did not reach them. */
    if (s == LDB_OK && is_interrupted(build))
        s = ldb_error_set(err, LDB_CANCELLED, "the rebuild was interrupted");
    return s;
}

/* Between what takes long: it goes on, and the leader knows. */
static enum ldb_status pause_survey(void *context, struct ldb_error *err)
{
    struct repl_build *build = context;
    uint64_t now = build->env->ops->monotonic_us(build->env);
    enum ldb_status s;

    ldb_mutex_lock(&build->mu);
    if (build->figures.step == REPL_BUILD_SURVEYING)
        build->figures.files_digested++;
    ldb_mutex_unlock(&build->mu);
    if (is_interrupted(build))
        return ldb_error_set(err, LDB_CANCELLED, "the rebuild was interrupted");
    if (build->checkpoint.id == 0 || now - build->called_us < RENEW_US)
        return LDB_OK;
    s = repl_client_checkpoint_renew(&build->client, build->node_id,
                                     build->checkpoint.id, err);
    build->called_us = now;
    return s;
}

static enum ldb_status ask_state(struct repl_build *build,
                                 struct ldb_error *err)
{
    repl_state_release(&build->state);
    build->state = (struct repl_state){0};
    return repl_client_state(&build->client, err, &build->state);
}

/* The version, and after it the journals that go with it. */
static enum ldb_status ask_version(struct repl_build *build,
                                   struct ldb_error *err)
{
    const struct repl_epoch *last;
    enum ldb_status s = repl_client_checkpoint(&build->client, build->node_id,
                                               err, &build->checkpoint);

    build->called_us = build->env->ops->monotonic_us(build->env);
    if (s == LDB_OK)
        s = ask_state(build, err);
    if (s != LDB_OK)
        return s;
    last = repl_epoch_history_last(&build->state.history);
    if (last == NULL || last->number != build->judged.intent.epoch.number ||
        last->id != build->judged.intent.epoch.id)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "the leader has begun another epoch than %" PRIu64,
                             build->judged.intent.epoch.number);
    return LDB_OK;
}

/* ---- the plan ---- */

static enum ldb_status fetch_manifest(struct repl_build *build,
                                      struct ldb_error *err)
{
    struct repl_fetch_file file = {
        .size = build->checkpoint.manifest_len,
        .is_prefix = true,
        .epoch = build->judged.intent.epoch.number,
        .epoch_id = build->judged.intent.epoch.id,
    };
    struct ldb_error why = {0};
    char *path;
    enum ldb_status s;

    ldb_file_name_print(file.name, LDB_FILE_MANIFEST,
                        build->checkpoint.manifest_number);
    /* One of an earlier try may be of another leader. */
    path = repl_incoming_path(build->dir, file.name, false);
    s = path == NULL ? ldb_error_no_memory(&why)
                     : build->env->ops->remove_file(build->env, path, &why);
    ldb_mem_free(path);
    if (s == LDB_OK || s == LDB_NOT_FOUND)
        s = repl_fetch_files(build->fetch, &file, 1, REPL_FETCH_INCOMING, &why);
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status make_plan(struct repl_build *build,
                                 struct ldb_error *err)
{
    enum ldb_status s = fetch_manifest(build, err);

    if (s == LDB_OK)
        s = repl_survey_wanted(&build->survey, &build->source,
                               &build->checkpoint, err);
    if (s == LDB_OK)
        s = repl_survey_held(&build->survey, &build->source, err);
    if (s == LDB_OK)
        s = repl_survey_journals(&build->survey, &build->source, err);
    if (s != LDB_OK)
        return s;
    repl_survey_input(&build->survey, &build->input);
    build->input.fork = build->judged.intent.fork;
    build->input.is_unknown = build->judged.intent.is_unknown;
    build->input.is_diverged = repl_holdings_last_entry(&build->survey.ours) >
                               build->judged.intent.fork;
    s = repl_plan_make(&build->input, err, &build->plan);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&build->mu);
    build->figures.tables_wanted = build->survey.wanted_count;
    build->figures.tables_kept = build->plan.kept;
    build->figures.bytes_wanted = build->plan.fetched_bytes;
    build->figures.files_set_aside = build->plan.set_aside;
    ldb_mutex_unlock(&build->mu);
    return LDB_OK;
}

/* ---- what is ours alone ---- */

static enum ldb_status wait_for_operator(const struct repl_build *build,
                                         const char *what,
                                         struct ldb_error *err)
{
    return ldb_error_set(err, LDB_PRECONDITION,
                         "%.100s: %s: an operator has to accept that it is "
                         "rebuilt (%.60s)",
                         build->dir, what, build->judged.verdict.reason);
}

static enum ldb_status accept_unknown(const struct repl_build *build,
                                      struct ldb_error *err)
{
    const struct repl_holdings *ours = &build->survey.ours;

    if (!build->judged.intent.is_unknown || build->is_accepted ||
        build->judged.was_unknown ||
        (!ours->is_damaged && ours->last_sequence == 0))
        return LDB_OK;
    return wait_for_operator(build, "its history cannot be compared", err);
}

/* Entries whose journals are gone; of a key no more than the newest may be
 * left. */
static enum ldb_status find_lost(const struct repl_build *build,
                                 const struct repl_lost_entries *lost,
                                 struct ldb_error *err, bool *out_has_some)
{
    struct repl_diverged_found found = {0};
    enum ldb_status s = LDB_OK;

    *out_has_some = false;
    if (lost->is_covered)
        return LDB_OK;
    s = repl_diverged_count_entries(&lost->search, err, &found);
    if (s != LDB_OK)
        return s;
    *out_has_some = found.entries + found.damages + lost->missing > 0;
    if (!*out_has_some || build->is_accepted || build->judged.is_resumed)
        return LDB_OK;
    return wait_for_operator(
        build, "some of what is here alone is in no journal any more", err);
}

static enum ldb_status begin_rewind(struct repl_build *build,
                                    struct ldb_error *err)
{
    const struct repl_holdings *ours = &build->survey.ours;
    const struct repl_epoch *last = repl_epoch_history_last(&ours->history);

    build->rewind = (struct repl_rewind){
        .epoch_number = last == NULL ? 0 : last->number,
        .epoch_id = last == NULL ? 0 : last->id,
        .fork = build->judged.intent.fork,
        .last = repl_holdings_last_entry(ours),
        .wall_us = build->env->ops->wall_us(build->env),
    };
    if (build->judged.intent.rewind != 0)
        return LDB_OK;
    return repl_diverged_begin(build->env, build->dir, &build->rewind, err,
                               &build->judged.intent.rewind);
}

/* The intent with all it says is durable before anything of ours moves. */
static enum ldb_status mark_intent(struct repl_build *build, bool has_aside,
                                   struct ldb_error *err)
{
    enum ldb_status s = repl_sidecar_make_folder(build->env, build->dir, err);

    if (s == LDB_OK && has_aside)
        s = begin_rewind(build, err);
    if (s == LDB_OK)
        s = repl_rebuild_intent_store(build->env, build->dir,
                                      &build->judged.intent, err);
    return s;
}

/* Those of an earlier try may be others: another program may have opened the
 * folder since. They stay, and these are another rewind's. */
static enum ldb_status write_lost(struct repl_build *build,
                                  const struct repl_lost_entries *lost,
                                  struct ldb_error *err)
{
    struct repl_rebuild_intent *intent = &build->judged.intent;
    struct repl_diverged_found found = {0};
    enum ldb_status s =
        repl_diverged_write_entries(&lost->search, intent->rewind, err, &found);

    if (s == LDB_EXISTS) {
        intent->rewind = 0;
        s = mark_intent(build, true, err);
        if (s == LDB_OK)
            s = repl_diverged_write_entries(&lost->search, intent->rewind, err,
                                            &found);
    }
    ldb_mutex_lock(&build->mu);
    build->figures.entries_set_aside = found.entries;
    ldb_mutex_unlock(&build->mu);
    return s;
}

static enum ldb_status keep_ours(struct repl_build *build,
                                 struct ldb_error *err)
{
    struct repl_lost_entries lost = {0};
    bool has_lost = false;
    enum ldb_status s = accept_unknown(build, err);

    /* Of an unknown history tables are set aside whole. */
    if (s == LDB_OK && build->input.is_diverged &&
        !build->judged.intent.is_unknown) {
        s = repl_lost_entries_init(&lost, &build->source, &build->survey,
                                   &build->plan, build->judged.intent.fork,
                                   err);
        if (s == LDB_OK)
            s = find_lost(build, &lost, err, &has_lost);
    }
    if (s == LDB_OK)
        s = mark_intent(build, has_lost || build->plan.set_aside > 0, err);
    if (s == LDB_OK && has_lost)
        s = write_lost(build, &lost, err);
    repl_lost_entries_release(&lost);
    return s;
}

/* ---- what is theirs ---- */

static enum ldb_status fetch_group(struct repl_build *build,
                                   struct repl_fetch_file *files, size_t count,
                                   struct ldb_error *err)
{
    enum ldb_status s =
        repl_fetch_files(build->fetch, files, count, REPL_FETCH_INCOMING, err);

    if (s == LDB_OK)
        s = pause_survey(build, err);
    return s;
}

/* A name that this plan wants to be there. */
static bool is_wanted(void *context, const char *name)
{
    const struct repl_plan *plan = context;

    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].kind == REPL_STEP_FETCH &&
            strcmp(plan->steps[i].name, name) == 0)
            return true;
    }
    return false;
}

static enum ldb_status fetch_tables(struct repl_build *build,
                                    struct ldb_error *err)
{
    struct repl_fetch_file files[FETCH_AT_ONCE];
    size_t count = 0;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < build->plan.count; i++) {
        const struct repl_step *step = &build->plan.steps[i];

        if (step->kind != REPL_STEP_FETCH)
            continue;
        files[count] = (struct repl_fetch_file){
            .size = step->size, .has_digest = true, .digest = step->digest};
        memcpy(files[count++].name, step->name, sizeof(step->name));
        if (count == FETCH_AT_ONCE) {
            s = fetch_group(build, files, count, err);
            count = 0;
        }
    }
    if (s == LDB_OK && count > 0)
        s = fetch_group(build, files, count, err);
    return s;
}

/* ---- fetching ---- */

/* Of the last try. */
static void forget_figures(struct repl_build *build)
{
    ldb_mutex_lock(&build->mu);
    build->figures = (struct repl_build_figures){
        .step = REPL_BUILD_SURVEYING, .begun_us = build->figures.begun_us};
    ldb_mutex_unlock(&build->mu);
}

static enum ldb_status try_fetch(struct repl_build *build,
                                 struct ldb_error *err)
{
    enum ldb_status s;

    forget_fetch(build);
    forget_figures(build);
    s = repl_incoming_clean(build->env, build->dir, false, err);
    if (s == LDB_OK)
        s = ask_state(build, err);
    if (s == LDB_OK)
        s = repl_survey_ours(&build->survey, &build->source, err);
    if (s == LDB_OK)
        s = repl_rebuild_judge(&build->source, &build->survey.ours, err,
                               &build->judged);
    if (s == LDB_OK)
        s = ask_version(build, err);
    if (s == LDB_OK)
        s = make_plan(build, err);
    if (s == LDB_OK)
        s = keep_ours(build, err);
    if (s == LDB_OK)
        s = repl_incoming_link_all(build->env, build->dir, &build->plan, err);
    if (s == LDB_OK) {
        begin_step(build, REPL_BUILD_FETCHING);
        /* What an earlier plan wanted, and this one does not. */
        s = repl_fetch_sweep(build->fetch, is_wanted, &build->plan, err);
    }
    if (s == LDB_OK)
        s = fetch_tables(build, err);
    return s;
}

enum ldb_status repl_build_fetch(struct repl_build *build,
                                 struct ldb_error *err)
{
    enum ldb_status s = connect(build, err);

    for (unsigned attempt = 1; s == LDB_OK; attempt++) {
        s = try_fetch(build, err);
        if ((s != LDB_GONE && s != LDB_NOT_FOUND) || attempt == ATTEMPTS_MAX)
            break;
        s = is_interrupted(build) ? LDB_CANCELLED : LDB_OK;
    }
    build->is_fetched = s == LDB_OK;
    begin_step(build, REPL_BUILD_IDLE);
    return s;
}

/* ---- switching ---- */

/* The plan is for the folder as it was. */
static enum ldb_status check_unchanged(const struct repl_build *build,
                                       struct ldb_error *err)
{
    const struct repl_holdings *before = &build->survey.ours;
    struct repl_holdings now = {0};
    enum ldb_status s = repl_holdings_read(build->env, build->dir,
                                           build->comparator, false, err, &now);

    if (s != LDB_OK)
        return s;
    if (!repl_holdings_are_same(before, &now))
        s = ldb_error_set(err, LDB_INVALID_ARGUMENT,
                          "%.160s: the folder has changed since the fetch",
                          build->dir);
    repl_holdings_release(&now);
    return s;
}

/* The intent says what will be in force. */
static enum ldb_status describe_manifest(struct repl_build *build,
                                         struct repl_rebuild_intent *intent,
                                         struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    char *path;
    enum ldb_status s;

    ldb_file_name_print(name, LDB_FILE_MANIFEST, build->survey.manifest_number);
    path = repl_incoming_path(build->dir, name, false);
    if (path == NULL)
        return ldb_error_no_memory(err);
    intent->manifest_number = build->survey.manifest_number;
    s = ldb_digest_file(build->env, path, err, &intent->manifest_digest,
                        &intent->manifest_len);
    ldb_mem_free(path);
    if (s == LDB_OK && intent->manifest_len != build->survey.manifest_len)
        s = ldb_error_set(err, LDB_CORRUPTION,
                          "%s has %" PRIu64 " bytes, %" PRIu64 " were fetched",
                          name, intent->manifest_len,
                          build->survey.manifest_len);
    return s;
}

static enum ldb_status run_switch(struct repl_build *build,
                                  struct ldb_error *err)
{
    struct repl_switch sw = {
        .env = build->env,
        .dir = build->dir,
        .comparator = build->comparator,
        .plan = &build->plan,
        .input = &build->input,
        .history = &build->state.history,
        .intent = build->judged.intent,
        .rewind = build->rewind,
    };
    enum ldb_status s = check_unchanged(build, err);

    memcpy(sw.identity.cluster_id, build->state.identity.cluster_id,
           REPL_ID_SIZE);
    memcpy(sw.identity.node_id, build->node_id, REPL_ID_SIZE);
    if (s == LDB_OK)
        s = describe_manifest(build, &sw.intent, err);
    if (s == LDB_OK)
        s = repl_switch_run(&sw, err);
    return s;
}

enum ldb_status repl_build_switch(struct repl_build *build,
                                  struct ldb_error *err)
{
    struct ldb_file_lock *lock = NULL;
    char *path;
    enum ldb_status s;

    if (!build->is_fetched)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%.160s: nothing was fetched for it", build->dir);
    path = ldb_file_path(build->dir, LDB_FILE_LOCK, 0);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = build->env->ops->lock_file(build->env, path, false, err, &lock);
    ldb_mem_free(path);
    if (s != LDB_OK)
        return s;
    begin_step(build, REPL_BUILD_SWITCHING);
    s = run_switch(build, err);
    begin_step(build, REPL_BUILD_IDLE);
    build->env->ops->unlock_file(build->env, lock);
    build->is_fetched = false; /* done, or the folder is another one now */
    return s;
}
