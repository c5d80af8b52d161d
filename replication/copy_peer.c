#include "replication/copy_peer.h"

#include <inttypes.h>
#include <string.h>

#include "replication/copy_digests.h"
#include "replication/copy_report.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * Whoever needs to know what is there takes the turn, looks when the last look
 * is too old, and reads of it what he needs; files are read without the turn.
 */

#define HTTP_OK        200u
#define HTTP_NO_BODY   204u
#define HTTP_NOT_FOUND 404u

/*
 * Locking: env, files, look_us: constant; mu, moved: own synchronisation;
 * is_taken: guarded by mu; the rest: of who has the turn.
 */
struct copy_peer {
    struct repl_peer base; /* first: cast back from it */
    struct ldb_env *env;
    struct repl_peer *files;
    uint64_t look_us;
    struct ldb_mutex mu;
    struct ldb_cond moved; /* the turn is free; or somebody is interrupted */
    bool is_taken;
    bool has_looked;
    uint64_t looked_us; /* monotonic */
    struct repl_copy_survey survey;
    struct repl_copy_digests made;
};

struct copy_transport {
    struct repl_transport base; /* first: cast back from it */
    struct copy_peer *peer;
    struct repl_transport *files;
    bool is_interrupted; /* guarded by peer->mu */
};

/* ---- the turn ---- */

static enum ldb_status interrupted(struct ldb_error *err)
{
    return ldb_error_set(err, LDB_CANCELLED, "interrupted");
}

static void end_turn(struct copy_transport *t)
{
    struct copy_peer *peer = t->peer;

    ldb_mutex_lock(&peer->mu);
    peer->is_taken = false;
    ldb_cond_broadcast(&peer->moved);
    ldb_mutex_unlock(&peer->mu);
}

static enum ldb_status look(struct copy_transport *t, struct ldb_error *err)
{
    struct copy_peer *peer = t->peer;
    uint64_t now = peer->env->ops->monotonic_us(peer->env);
    enum ldb_status s;

    if (peer->has_looked && now - peer->looked_us < peer->look_us)
        return LDB_OK;
    s = repl_copy_survey_look(&peer->survey, t->files, err);
    peer->has_looked = s == LDB_OK;
    peer->looked_us = peer->env->ops->monotonic_us(peer->env);
    return s;
}

/* OK: the caller has the turn, and the survey is not too old. */
static enum ldb_status begin_turn(struct copy_transport *t,
                                  struct ldb_error *err)
{
    struct copy_peer *peer = t->peer;
    bool is_interrupted;
    enum ldb_status s;

    ldb_mutex_lock(&peer->mu);
    while (peer->is_taken && !t->is_interrupted)
        ldb_cond_wait(&peer->moved, &peer->mu);
    is_interrupted = t->is_interrupted;
    if (!is_interrupted)
        peer->is_taken = true;
    ldb_mutex_unlock(&peer->mu);
    if (is_interrupted)
        return interrupted(err);
    s = look(t, err);
    if (s != LDB_OK)
        end_turn(t);
    return s;
}

/* False: interrupted. */
static bool pause_us(struct copy_transport *t, uint64_t us)
{
    struct copy_peer *peer = t->peer;
    uint64_t begun = peer->env->ops->monotonic_us(peer->env);
    uint64_t passed = 0;
    bool is_interrupted;

    ldb_mutex_lock(&peer->mu);
    while (!t->is_interrupted && passed < us) {
        LDB_IGNORE(ldb_cond_wait_for(&peer->moved, &peer->mu,
                                     us - passed)); /* looked at */
        passed = peer->env->ops->monotonic_us(peer->env) - begun;
    }
    is_interrupted = t->is_interrupted;
    ldb_mutex_unlock(&peer->mu);
    return !is_interrupted;
}

/* ---- calls ---- */

static enum ldb_status say_state(const struct copy_transport *t,
                                 struct ldb_error *err, struct ldb_buf *out)
{
    const struct copy_peer *peer = t->peer;
    struct repl_state state = {0};
    enum ldb_status s = repl_copy_report_state(&peer->survey, err, &state);

    if (s != LDB_OK)
        return s;
    state.clock_us = peer->env->ops->wall_us(peer->env);
    s = repl_state_encode(&state, err, out);
    repl_state_release(&state);
    return s;
}

static enum ldb_status say_heartbeat(const struct copy_transport *t,
                                     struct ldb_error *err, struct ldb_buf *out)
{
    const struct copy_peer *peer = t->peer;
    struct repl_heartbeat heartbeat;

    repl_copy_report_heartbeat(&peer->survey, &heartbeat);
    heartbeat.clock_us = peer->env->ops->wall_us(peer->env);
    return repl_heartbeat_encode(&heartbeat, err, out);
}

/* Nothing is held for anybody: one is renewed and let go of by saying so. */
static enum ldb_status say_checkpoint(const struct copy_transport *t,
                                      struct ldb_slice body,
                                      struct ldb_error *err,
                                      struct ldb_buf *out, unsigned *out_http)
{
    struct repl_checkpoint_request request = {0};
    struct repl_checkpoint checkpoint = {0};
    enum ldb_status s = repl_checkpoint_request_decode(body, err, &request);

    if (s != LDB_OK)
        return s;
    if (request.is_release) {
        *out_http = HTTP_NO_BODY;
        return LDB_OK;
    }
    if (request.id != 0)
        return ldb_buf_append(out, ldb_slice_str("{}"));
    s = repl_copy_report_checkpoint(&t->peer->survey, err, &checkpoint);
    if (s == LDB_OK)
        s = repl_checkpoint_encode(&checkpoint, err, out);
    repl_checkpoint_release(&checkpoint);
    return s;
}

static enum ldb_status copy_call(struct repl_transport *base, const char *path,
                                 struct ldb_slice body, struct ldb_error *err,
                                 struct ldb_buf *out, unsigned *out_http)
{
    struct copy_transport *t = (struct copy_transport *)base;
    unsigned http = HTTP_OK;
    enum ldb_status s;

    ldb_buf_clear(out);
    s = begin_turn(t, err);
    if (s != LDB_OK)
        return s;
    if (strcmp(path, REPL_STATE_PATH) == 0)
        s = say_state(t, err, out);
    else if (strcmp(path, REPL_ACK_PATH) == 0)
        s = say_heartbeat(t, err, out);
    else if (strcmp(path, REPL_CHECKPOINT_PATH) == 0)
        s = say_checkpoint(t, body, err, out, &http);
    else
        http = HTTP_NOT_FOUND;
    end_turn(t);
    if (s == LDB_OK)
        *out_http = http;
    return s;
}

/* ---- what is there of a file ---- */

struct sight {
    enum ldb_file_type type;
    uint64_t number;
    char path[REPL_COPY_PATH_SIZE]; /* in the copy */
    struct repl_file_head head;
    bool is_last; /* of a journal or a MANIFEST: it may grow */
};

static enum ldb_status no_such_file(const char *name, struct ldb_error *err)
{
    return ldb_error_set(err, LDB_NOT_FOUND, "the copy has no %s", name);
}

/* Of a table; its size is asked for. */
static enum ldb_status see_table(struct copy_transport *t, const char *name,
                                 struct ldb_error *err, struct sight *out)
{
    struct repl_file_head head = {0};
    enum ldb_status s = t->files->ops->head(t->files, name, err, &head);

    if (s != LDB_OK)
        return s;
    out->head.size = head.size;
    out->head.is_sealed = true;
    out->head.has_digest =
        repl_copy_survey_digest(&t->peer->survey, LDB_FILE_TABLE, out->number,
                                head.size, &out->head.digest) ||
        repl_copy_digests_find(&t->peer->made, out->number, head.size,
                               &out->head.digest);
    return LDB_OK;
}

static enum ldb_status see_manifest(const struct copy_transport *t,
                                    const char *name, struct ldb_error *err,
                                    struct sight *out)
{
    const struct repl_copy_manifest *manifest = &t->peer->survey.manifest;

    if (manifest->number != out->number)
        return no_such_file(name, err);
    out->head.size = manifest->len;
    out->is_last = true;
    return LDB_OK;
}

static enum ldb_status see_journal(struct copy_transport *t, const char *name,
                                   struct ldb_error *err, struct sight *out)
{
    struct repl_copy_survey *survey = &t->peer->survey;
    const struct repl_copy_file *file =
        repl_copy_survey_journal(survey, out->number);

    if (file == NULL)
        return no_such_file(name, err);
    repl_copy_survey_path(file, out->path);
    out->head.size = file->len;
    out->head.is_sealed = file->is_checked;
    out->head.has_digest = file->is_checked;
    out->head.digest = file->digest;
    out->is_last = file->number >= survey->manifest.log_number &&
                   file == &survey->journals[survey->journal_count - 1];
    return LDB_OK;
}

static enum ldb_status see(struct copy_transport *t, const char *name,
                           struct ldb_error *err, struct sight *out)
{
    const struct repl_epoch *epoch;
    struct sight sight = {0};
    enum ldb_status s;

    sight.type = ldb_file_name_parse(name, &sight.number);
    if (sight.type != LDB_FILE_JOURNAL && sight.type != LDB_FILE_TABLE &&
        sight.type != LDB_FILE_MANIFEST)
        return no_such_file(name, err);
    ldb_file_name_print(sight.path, sight.type, sight.number);
    s = begin_turn(t, err);
    if (s != LDB_OK)
        return s;
    epoch = repl_epoch_history_last(&t->peer->survey.history);
    sight.head.epoch = epoch == NULL ? 0 : epoch->number;
    sight.head.epoch_id = epoch == NULL ? 0 : epoch->id;
    if (sight.type == LDB_FILE_JOURNAL)
        s = see_journal(t, name, err, &sight);
    else if (sight.type == LDB_FILE_MANIFEST)
        s = see_manifest(t, name, err, &sight);
    else
        s = see_table(t, name, err, &sight);
    end_turn(t);
    if (s == LDB_OK)
        *out = sight;
    return s;
}

/* Whether a journal that another one follows is whole: reads all of it. */
static enum ldb_status check_journal(struct copy_transport *t,
                                     const struct sight *sight,
                                     struct ldb_error *err, bool *out)
{
    struct repl_copy_journal content = {0};
    enum ldb_status s = repl_copy_journal_read(&content, sight->number,
                                               sight->path, t->files, err);

    if (s == LDB_OK)
        s = begin_turn(t, err);
    if (s == LDB_OK) {
        *out =
            repl_copy_survey_check(&t->peer->survey, sight->number, &content);
        end_turn(t);
    }
    repl_copy_journal_release(&content);
    return s;
}

static enum ldb_status see_digest(struct copy_transport *t, const char *name,
                                  struct ldb_error *err, struct sight *sight)
{
    bool is_whole = false;
    enum ldb_status s;

    if (sight->head.has_digest || sight->is_last)
        return LDB_OK;
    if (sight->type == LDB_FILE_JOURNAL) {
        s = check_journal(t, sight, err, &is_whole);
        return s == LDB_OK && is_whole ? see(t, name, err, sight) : s;
    }
    s = repl_copy_digest_make(t->files, name, sight->head.size, err,
                              &sight->head.digest);
    if (s == LDB_OK)
        s = begin_turn(t, err);
    if (s != LDB_OK)
        return s;
    sight->head.has_digest = true;
    repl_copy_digests_note(&t->peer->made, sight->number, sight->head.size,
                           &sight->head.digest);
    end_turn(t);
    return LDB_OK;
}

static enum ldb_status copy_head(struct repl_transport *base, const char *name,
                                 struct ldb_error *err,
                                 struct repl_file_head *out)
{
    struct copy_transport *t = (struct copy_transport *)base;
    struct sight sight;
    enum ldb_status s = see(t, name, err, &sight);

    if (s == LDB_OK)
        s = see_digest(t, name, err, &sight);
    if (s == LDB_OK)
        *out = sight.head;
    return s;
}

/* ---- bytes ---- */

/* One get, as it goes on. */
struct giving {
    struct copy_transport *t;
    const struct repl_get *get;
    uint64_t at;
    bool has_given; /* since it was dry the last time */
    uint64_t last_byte_us;
};

static uint64_t now_us(const struct giving *g)
{
    return g->t->peer->env->ops->monotonic_us(g->t->peer->env);
}

static enum ldb_status give_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct giving *g = context;
    enum ldb_status s = g->get->bytes(g->get->context, bytes, err);

    g->at += bytes.len;
    g->has_given = true;
    g->last_byte_us = now_us(g);
    return s;
}

/* Up to end, which is there. */
static enum ldb_status give_up_to(struct giving *g, const char *path,
                                  uint64_t end, struct ldb_error *err)
{
    const struct repl_get get = {
        .name = path,
        .from = g->at,
        .count = end - g->at,
        .head = repl_pass_head,
        .bytes = give_bytes,
        .context = g,
    };
    enum ldb_status s;

    if (g->at == end)
        return LDB_OK;
    s = g->t->files->ops->get(g->t->files, &get, err);
    if (s == LDB_INVALID_ARGUMENT || (s == LDB_OK && g->at < end))
        return ldb_error_set(err, LDB_IO,
                             "%s of the copy ends before %" PRIu64
                             " by now: it is another file",
                             path, end);
    return s;
}

static enum ldb_status run_dry(struct giving *g, struct ldb_error *err)
{
    bool has_given = g->has_given;

    g->has_given = false;
    return has_given && g->get->dry != NULL ? g->get->dry(g->get->context, err)
                                            : LDB_OK;
}

/*
 * All was given that there was. Waits for more, unless there is none to come;
 * *out_is_over: then, and when it took too long.
 */
static enum ldb_status wait_for_more(struct giving *g,
                                     const struct sight *sight,
                                     struct ldb_error *err, bool *out_is_over)
{
    uint64_t idle_us = g->get->idle_us;
    bool is_whole = false;
    enum ldb_status s = run_dry(g, err);

    if (s == LDB_OK && !sight->is_last && !sight->head.is_sealed)
        s = check_journal(g->t, sight, err, &is_whole);
    if (s != LDB_OK)
        return s;
    *out_is_over = is_whole || sight->head.is_sealed ||
                   (idle_us > 0 && now_us(g) - g->last_byte_us >= idle_us);
    if (!*out_is_over && !pause_us(g->t, g->t->peer->look_us))
        return interrupted(err);
    return LDB_OK;
}

/* Until the file is whole, is another one, or is of another epoch. */
static enum ldb_status give_what_comes(struct giving *g, struct sight *sight,
                                       struct ldb_error *err)
{
    uint64_t epoch = sight->head.epoch;
    uint64_t epoch_id = sight->head.epoch_id;
    bool is_over = false;
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && !is_over) {
        s = give_up_to(g, sight->path, sight->head.size, err);
        if (s == LDB_OK)
            s = wait_for_more(g, sight, err, &is_over);
        if (s != LDB_OK || is_over)
            break;
        s = see(g->t, g->get->name, err, sight);
        if (s == LDB_NOT_FOUND)
            return LDB_OK; /* whoever asks again is told so */
        is_over = s == LDB_OK && (sight->head.epoch != epoch ||
                                  sight->head.epoch_id != epoch_id ||
                                  sight->head.size < g->at);
    }
    return s;
}

static enum ldb_status copy_get(struct repl_transport *base,
                                const struct repl_get *get,
                                struct ldb_error *err)
{
    struct copy_transport *t = (struct copy_transport *)base;
    struct giving g = {.t = t, .get = get, .at = get->from};
    struct sight sight;
    uint64_t end;
    enum ldb_status s = see(t, get->name, err, &sight);

    if (s != LDB_OK)
        return s;
    if (get->from > sight.head.size)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%s ends at %" PRIu64 " in the copy, before "
                             "%" PRIu64,
                             get->name, sight.head.size, get->from);
    s = get->head(get->context, &sight.head, err);
    if (s != LDB_OK)
        return s;
    g.last_byte_us = now_us(&g);
    if (get->follow && sight.type != LDB_FILE_TABLE)
        return give_what_comes(&g, &sight, err);
    end = sight.head.size;
    if (get->count > 0 && get->count < end - get->from)
        end = get->from + get->count;
    return give_up_to(&g, sight.path, end, err);
}

/* ---- transports and the peer ---- */

static void copy_interrupt(struct repl_transport *base)
{
    struct copy_transport *t = (struct copy_transport *)base;
    struct copy_peer *peer = t->peer;

    ldb_mutex_lock(&peer->mu);
    t->is_interrupted = true;
    ldb_cond_broadcast(&peer->moved);
    ldb_mutex_unlock(&peer->mu);
    t->files->ops->interrupt(t->files);
}

static void copy_close(struct repl_transport *base)
{
    struct copy_transport *t = (struct copy_transport *)base;

    t->files->ops->destroy(t->files);
    ldb_mem_free(t);
}

static const struct repl_transport_ops copy_ops = {
    .call = copy_call,
    .get = copy_get,
    .head = copy_head,
    .interrupt = copy_interrupt,
    .destroy = copy_close,
};

static enum ldb_status copy_open(struct repl_peer *base, struct ldb_error *err,
                                 struct repl_transport **out)
{
    struct copy_peer *peer = (struct copy_peer *)base;
    struct copy_transport *t = ldb_mem_zalloc(1, sizeof(*t));
    enum ldb_status s;

    if (t == NULL)
        return ldb_error_no_memory(err);
    t->base.ops = &copy_ops;
    t->peer = peer;
    s = peer->files->open(peer->files, err, &t->files);
    if (s == LDB_OK)
        *out = &t->base;
    else
        ldb_mem_free(t);
    return s;
}

static void copy_destroy(struct repl_peer *base)
{
    struct copy_peer *peer = (struct copy_peer *)base;

    repl_copy_survey_release(&peer->survey);
    repl_copy_digests_release(&peer->made);
    ldb_cond_release(&peer->moved);
    ldb_mutex_release(&peer->mu);
    repl_peer_destroy(peer->files);
    ldb_mem_free(peer);
}

enum ldb_status repl_copy_peer_create(struct ldb_env *env,
                                      struct repl_peer *files, uint64_t look_us,
                                      struct ldb_error *err,
                                      struct repl_peer **out)
{
    struct copy_peer *peer = ldb_mem_zalloc(1, sizeof(*peer));

    if (peer == NULL) {
        repl_peer_destroy(files);
        return ldb_error_no_memory(err);
    }
    peer->base.open = copy_open;
    peer->base.destroy = copy_destroy;
    peer->env = env;
    peer->files = files;
    peer->look_us = look_us == 0 ? REPL_COPY_LOOK_US : look_us;
    ldb_mutex_init(&peer->mu);
    ldb_cond_init(&peer->moved);
    *out = &peer->base;
    return LDB_OK;
}
