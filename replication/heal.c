#include "replication/heal.h"

#include <stdio.h>
#include <string.h>

#include "replication/heal_table.h"
#include "replication/table_name.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/* Between two looks at a table that nobody gives, that cannot be read for want
 * of something, or that is well and suspected all the same; twice as long each
 * time. Chosen: a node that was away for a moment is back soon; one that is not
 * costs a request a minute. */
#define RETRY_FIRST_US (UINT64_C(1) * 1000000)
#define RETRY_MAX_US   (UINT64_C(60) * 1000000)

/* A table that was healed is not looked at again sooner, whoever suspects it: a
 * compaction that has the old file open may meet the damage once more. Chosen.
 */
#define REST_US (UINT64_C(1) * 1000000)

enum state {
    SUSPECTED, /* to be looked at */
    DAMAGED,   /* it was, and to be tried again */
    RESTING,   /* it is well; suspected again: is_again */
};

/* Guarded by mu. */
struct suspect {
    uint64_t number;
    enum state state;
    bool is_again;
    uint64_t due_us;   /* monotonic */
    uint64_t pause_us; /* of the last back_off_locked(); 0: none yet */
    char why[LDB_ERROR_MESSAGE_SIZE]; /* that was told last */
};

/*
 * Locking. Constant: options, dir, comparator, thread. Own synchronisation:
 * counts, is_cancelled (relaxed; set with mu held, so that a transport which is
 * made just then is interrupted too). The thread's own: urls. Guarded by mu:
 * the rest; suspects are taken off, and their states changed, by the thread
 * alone.
 */
struct repl_heal {
    struct repl_heal_options options;
    char *dir;
    struct ldb_thread *thread;
    struct repl_fetch_counts counts;
    atomic_bool is_cancelled;
    char urls[REPL_HEAL_SOURCES_MAX][REPL_URL_SIZE];

    struct ldb_mutex mu;
    struct ldb_cond changed;
    bool is_stopping;
    bool is_paused;
    bool is_working;
    struct repl_transport *transport; /* of the fetch under way; NULL: none */
    struct suspect *suspects[REPL_HEAL_TABLES_MAX];
    size_t count;
    uint64_t found;
    uint64_t healed;
    uint64_t failures;
    uint64_t discarded;
};

static uint64_t now_us(const struct repl_heal *heal)
{
    struct ldb_env *env = heal->options.env;

    return env->ops->monotonic_us(env);
}

/* ---- who is suspected ---- */

static struct suspect *find_locked(struct repl_heal *heal, uint64_t number)
    LDB_REQUIRES(heal->mu)
{
    for (size_t i = 0; i < heal->count; i++) {
        if (heal->suspects[i]->number == number)
            return heal->suspects[i];
    }
    return NULL;
}

void repl_heal_suspect(struct repl_heal *heal, uint64_t number)
{
    struct suspect *suspect;

    ldb_mutex_lock(&heal->mu);
    suspect = find_locked(heal, number);
    if (suspect != NULL) {
        suspect->is_again = true;
    } else if (heal->count < REPL_HEAL_TABLES_MAX) {
        /* Without memory, or room, it is met again. */
        suspect = ldb_mem_zalloc(1, sizeof(*suspect));
        if (suspect != NULL) {
            suspect->number = number;
            heal->suspects[heal->count++] = suspect;
            ldb_cond_broadcast(&heal->changed);
        }
    }
    ldb_mutex_unlock(&heal->mu);
}

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
}

void repl_heal_suspect_in(struct repl_heal *heal, const char *text)
{
    while (*text != '\0') {
        char name[LDB_FILE_NAME_SIZE];
        uint64_t number = 0;
        size_t len = 0;

        while (is_name_char(text[len]))
            len++;
        if (len > 0 && len < sizeof(name)) {
            memcpy(name, text, len);
            name[len] = '\0';
            if (repl_is_table_name(name, &number)) {
                repl_heal_suspect(heal, number);
                return;
            }
        }
        text += len > 0 ? len : 1;
    }
}

/* The one that has waited longest of those that are due; NULL: none is, and
 * *out_wait_us until one will be (UINT64_MAX: never). */
static struct suspect *take_due_locked(struct repl_heal *heal,
                                       uint64_t *out_wait_us)
    LDB_REQUIRES(heal->mu)
{
    uint64_t now = now_us(heal);
    struct suspect *first = NULL;

    for (size_t i = 0; i < heal->count; i++) {
        if (first == NULL || heal->suspects[i]->due_us < first->due_us)
            first = heal->suspects[i];
    }
    *out_wait_us = first == NULL ? UINT64_MAX : 0;
    if (first == NULL || first->due_us <= now)
        return first;
    *out_wait_us = first->due_us - now;
    return NULL;
}

static void forget_locked(struct repl_heal *heal, struct suspect *suspect)
    LDB_REQUIRES(heal->mu)
{
    size_t i = 0;

    while (heal->suspects[i] != suspect)
        i++;
    heal->count--;
    memmove(&heal->suspects[i], &heal->suspects[i + 1],
            (heal->count - i) * sizeof(heal->suspects[0]));
    ldb_mem_free(suspect);
}

/* ---- events ---- */

static void tell(struct repl_heal *heal, const struct repl_heal_event *event)
{
    if (heal->options.on_event != NULL)
        heal->options.on_event(heal->options.context, event);
}

static void tell_found(struct repl_heal *heal, struct suspect *suspect,
                       const struct repl_damaged_table *damaged)
{
    const struct repl_heal_event event = {
        .kind = REPL_HEAL_FOUND,
        .number = damaged->number,
        .name = damaged->verdict.name,
        .source = "",
        .why = &damaged->verdict.why,
        .is_news = true,
    };

    if (suspect->state == DAMAGED)
        return; /* it was told */
    ldb_mutex_lock(&heal->mu);
    suspect->state = DAMAGED;
    heal->found++;
    ldb_mutex_unlock(&heal->mu);
    tell(heal, &event);
}

/* ---- one table ---- */

/* It can be interrupted from now on. */
static void show_transport(struct repl_heal *heal, struct repl_transport *t)
{
    ldb_mutex_lock(&heal->mu);
    heal->transport = t;
    if (t != NULL &&
        atomic_load_explicit(&heal->is_cancelled, memory_order_relaxed))
        t->ops->interrupt(t);
    ldb_mutex_unlock(&heal->mu);
}

static enum ldb_status fetch_from(struct repl_heal *heal,
                                  const struct repl_heal_table *how,
                                  const struct repl_damaged_table *damaged,
                                  const char *url, struct ldb_error *err)
{
    const struct repl_heal_options *options = &heal->options;
    struct repl_transport *transport = NULL;
    struct repl_peer *peer = NULL;
    enum ldb_status s = options->open(options->context, url, err, &peer);

    if (s != LDB_OK)
        return s;
    s = peer->open(peer, err, &transport);
    if (s == LDB_OK) {
        show_transport(heal, transport);
        s = repl_heal_from(how, damaged, transport, err);
        show_transport(heal, NULL);
        transport->ops->destroy(transport);
    }
    options->close(options->context, peer);
    if (s == LDB_CORRUPTION) {
        ldb_mutex_lock(&heal->mu);
        heal->discarded++;
        ldb_mutex_unlock(&heal->mu);
    }
    return s;
}

/* From the first that gives a sound one. The error is that of the last, with
 * its URL; *out_url too. */
static enum ldb_status fetch(struct repl_heal *heal,
                             const struct repl_heal_table *how,
                             const struct repl_damaged_table *damaged,
                             struct ldb_error *err, const char **out_url)
{
    const struct repl_heal_options *options = &heal->options;
    size_t count =
        options->sources(options->context, heal->urls, REPL_HEAL_SOURCES_MAX);
    enum ldb_status s = LDB_NOT_FOUND;

    *out_url = "";
    if (count == 0)
        return ldb_error_set(err, s, "there is no other node to ask for it");
    for (size_t i = 0; i < count && s != LDB_OK; i++) {
        *out_url = heal->urls[i];
        s = fetch_from(heal, how, damaged, heal->urls[i], err);
        /* What fails here fails with any other, too. */
        if (s == LDB_CANCELLED || s == LDB_NO_SPACE || s == LDB_NO_MEMORY)
            return s;
    }
    return s;
}

/* It is due after a longer pause than the last. */
static void back_off_locked(struct repl_heal *heal, struct suspect *suspect)
    LDB_REQUIRES(heal->mu)
{
    suspect->pause_us =
        suspect->pause_us == 0 ? RETRY_FIRST_US : suspect->pause_us * 2;
    if (suspect->pause_us > RETRY_MAX_US)
        suspect->pause_us = RETRY_MAX_US;
    suspect->due_us = now_us(heal) + suspect->pause_us;
}

/* It is well, and forgotten when it is due, unless it is suspected again. */
static void rest(struct suspect *suspect)
{
    suspect->state = RESTING;
    suspect->is_again = false;
    suspect->why[0] = '\0';
}

static void end_healed(struct repl_heal *heal, struct suspect *suspect,
                       const struct repl_damaged_table *damaged,
                       const char *url)
{
    const struct repl_heal_event event = {
        .kind = REPL_HEAL_HEALED,
        .number = damaged->number,
        .name = damaged->verdict.name,
        .source = url,
        .is_news = true,
    };

    ldb_mutex_lock(&heal->mu);
    heal->healed++;
    rest(suspect);
    suspect->due_us = now_us(heal) + REST_US;
    suspect->pause_us = 0;
    ldb_mutex_unlock(&heal->mu);
    tell(heal, &event);
}

static void end_failed(struct repl_heal *heal, struct suspect *suspect,
                       const struct repl_damaged_table *damaged,
                       const char *url, const struct ldb_error *why)
{
    struct repl_heal_event event = {
        .kind = REPL_HEAL_FAILED,
        .number = damaged->number,
        .name = damaged->verdict.name,
        .source = url,
        .why = why,
        .is_news = strcmp(why->message, suspect->why) != 0,
    };

    ldb_mutex_lock(&heal->mu);
    heal->failures++;
    back_off_locked(heal, suspect);
    (void)snprintf(suspect->why, sizeof(suspect->why), "%s", why->message);
    ldb_mutex_unlock(&heal->mu);
    tell(heal, &event);
}

static void mend(struct repl_heal *heal, const struct repl_heal_table *how,
                 struct suspect *suspect,
                 const struct repl_damaged_table *damaged)
{
    struct ldb_error why = {0};
    const char *url = "";
    enum ldb_status s;

    tell_found(heal, suspect, damaged);
    s = fetch(heal, how, damaged, &why, &url);
    if (s == LDB_OK)
        end_healed(heal, suspect, damaged, url);
    else if (s != LDB_CANCELLED)
        end_failed(heal, suspect, damaged, url, &why);
}

/* It is well, or nobody needs it. */
static void end_over(struct repl_heal *heal, struct suspect *suspect,
                     bool is_gone)
{
    bool was_damaged = suspect->state == DAMAGED;
    char name[LDB_FILE_NAME_SIZE];
    struct repl_heal_event event = {
        .kind = REPL_HEAL_OVER,
        .number = suspect->number,
        .name = name,
        .source = "",
        .is_news = true,
    };

    ldb_file_name_print(name, LDB_FILE_TABLE, suspect->number);
    ldb_mutex_lock(&heal->mu);
    if (is_gone) {
        forget_locked(heal, suspect);
    } else {
        rest(suspect);
        back_off_locked(heal, suspect);
    }
    ldb_mutex_unlock(&heal->mu);
    if (was_damaged)
        tell(heal, &event);
}

static void look_at(struct repl_heal *heal, struct suspect *suspect)
{
    const struct repl_heal_table how = {
        .env = heal->options.env,
        .dir = heal->dir,
        .db = heal->options.db,
        .digests = heal->options.digests,
        .comparator = heal->options.comparator,
        .is_cancelled = &heal->is_cancelled,
        .counts = &heal->counts,
    };
    struct repl_damaged_table damaged = {0};
    enum repl_heal_found found = REPL_HEAL_SOUND;
    enum ldb_status s =
        repl_heal_look(&how, suspect->number, NULL, &found, &damaged);

    if (s == LDB_CANCELLED)
        return; /* it stays due */
    if (s != LDB_OK) {
        ldb_mutex_lock(&heal->mu);
        back_off_locked(heal, suspect);
        ldb_mutex_unlock(&heal->mu);
        return;
    }
    if (found == REPL_HEAL_DAMAGED)
        mend(heal, &how, suspect, &damaged);
    else
        end_over(heal, suspect, found == REPL_HEAL_GONE);
    repl_heal_release(&damaged);
}

/* ---- the thread ---- */

/* The next table to look at; NULL: it ends. Then it works. */
static struct suspect *next_locked(struct repl_heal *heal)
    LDB_REQUIRES(heal->mu)
{
    while (!heal->is_stopping) {
        uint64_t wait_us = UINT64_MAX;
        struct suspect *suspect =
            heal->is_paused ? NULL : take_due_locked(heal, &wait_us);

        if (suspect == NULL && wait_us == UINT64_MAX) {
            ldb_cond_wait(&heal->changed, &heal->mu);
        } else if (suspect == NULL) {
            LDB_IGNORE(ldb_cond_wait_for(&heal->changed, &heal->mu,
                                         wait_us)); /* looked at */
        } else if (suspect->state == RESTING && !suspect->is_again) {
            forget_locked(heal, suspect);
        } else {
            return suspect;
        }
    }
    return NULL;
}

static void run(void *context)
{
    struct repl_heal *heal = context;
    struct suspect *suspect;

    ldb_mutex_lock(&heal->mu);
    while ((suspect = next_locked(heal)) != NULL) {
        heal->is_working = true;
        if (suspect->state == RESTING)
            suspect->state = SUSPECTED;
        ldb_mutex_unlock(&heal->mu);
        look_at(heal, suspect);
        ldb_mutex_lock(&heal->mu);
        heal->is_working = false;
        ldb_cond_broadcast(&heal->changed);
    }
    ldb_mutex_unlock(&heal->mu);
}

/* ---- life ---- */

static void cancel_locked(struct repl_heal *heal) LDB_REQUIRES(heal->mu)
{
    atomic_store_explicit(&heal->is_cancelled, true, memory_order_relaxed);
    if (heal->transport != NULL)
        heal->transport->ops->interrupt(heal->transport);
    ldb_cond_broadcast(&heal->changed);
}

void repl_heal_pause(struct repl_heal *heal)
{
    ldb_mutex_lock(&heal->mu);
    heal->is_paused = true;
    cancel_locked(heal);
    while (heal->is_working)
        ldb_cond_wait(&heal->changed, &heal->mu);
    ldb_mutex_unlock(&heal->mu);
}

void repl_heal_resume(struct repl_heal *heal)
{
    ldb_mutex_lock(&heal->mu);
    heal->is_paused = false;
    atomic_store_explicit(&heal->is_cancelled, heal->is_stopping,
                          memory_order_relaxed);
    ldb_cond_broadcast(&heal->changed);
    ldb_mutex_unlock(&heal->mu);
}

static void destroy(struct repl_heal *heal)
{
    for (size_t i = 0; i < heal->count; i++)
        ldb_mem_free(heal->suspects[i]);
    ldb_cond_release(&heal->changed);
    ldb_mutex_release(&heal->mu);
    ldb_mem_free(heal->dir);
    ldb_mem_free(heal);
}

enum ldb_status repl_heal_create(const struct repl_heal_options *options,
                                 struct ldb_error *err, struct repl_heal **out)
{
    struct repl_heal *heal = ldb_mem_zalloc(1, sizeof(*heal));
    enum ldb_status s = LDB_OK;

    if (heal == NULL)
        return ldb_error_no_memory(err);
    heal->options = *options;
    if (heal->options.comparator == NULL)
        heal->options.comparator = ldb_comparator_bytewise();
    ldb_mutex_init(&heal->mu);
    ldb_cond_init(&heal->changed);
    heal->dir = ldb_mem_strdup(options->dir);
    if (heal->dir == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = options->env->ops->thread_start(options->env, "heal", run, heal,
                                            err, &heal->thread);
    if (s == LDB_OK)
        *out = heal;
    else
        destroy(heal);
    return s;
}

void repl_heal_destroy(struct repl_heal *heal)
{
    struct ldb_env *env;

    if (heal == NULL)
        return;
    env = heal->options.env;
    ldb_mutex_lock(&heal->mu);
    heal->is_stopping = true;
    cancel_locked(heal);
    ldb_mutex_unlock(&heal->mu);
    env->ops->thread_join(env, heal->thread);
    destroy(heal);
}

void repl_heal_figures(struct repl_heal *heal, struct repl_heal_figures *out)
{
    *out = (struct repl_heal_figures){
        .bytes_total =
            atomic_load_explicit(&heal->counts.bytes, memory_order_relaxed),
    };
    ldb_mutex_lock(&heal->mu);
    for (size_t i = 0; i < heal->count; i++) {
        enum state state = heal->suspects[i]->state;

        out->suspected += state == SUSPECTED;
        out->damaged += state == DAMAGED;
    }
    out->found_total = heal->found;
    out->healed_total = heal->healed;
    out->failures_total = heal->failures;
    out->discarded_total = heal->discarded;
    ldb_mutex_unlock(&heal->mu);
}
