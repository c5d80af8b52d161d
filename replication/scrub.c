#include "replication/scrub.h"

#include "replication/digest_file.h"
#include "replication/held_version.h"
#include "replication/scrub_pace.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"
#include "storage/retained.h"
#include "storage/twin.h"

/* Files that are listed at a time: the version is not held meanwhile, or tables
 * that nobody needs would stay for as long as a pass takes. Chosen. */
#define BATCH_FILES   256
#define PAGE_JOURNALS 64 /* copied at a time */

/* Between two stores of the place: what a crash makes us read again. Chosen. */
#define STORE_US (UINT64_C(30) * 1000000)

/* The wall clock may be set: it is looked at again after so long. Chosen. */
#define LOOK_US (UINT64_C(60) * 1000000)

/* After a list that could not be had. Chosen. */
#define RETRY_US (UINT64_C(1) * 1000000)

/* What is looked at next, of one part of the walk. */
struct batch {
    struct repl_digest_file files[BATCH_FILES];
    size_t count;
};

/*
 * Locking. Constant: options, dir, scratch, thread. The thread's own: pace,
 * stored_us, batch, again. Protected by mu: the rest; place is changed by the
 * thread alone.
 */
struct repl_scrub {
    struct repl_scrub_options options;
    char *dir;
    uint8_t *scratch;
    struct ldb_thread *thread;
    struct repl_scrub_pace pace;
    uint64_t stored_us; /* monotonic: of the last store, or the begin */
    struct batch batch;
    struct batch again; /* for a second look at the list */

    struct ldb_mutex mu;
    struct ldb_cond changed;
    bool is_stopping;
    struct repl_scrub_place place;
    uint64_t files;
    uint64_t bytes;
    uint64_t mismatches;
    uint64_t failures;
};

static uint64_t now_us(const struct repl_scrub *scrub)
{
    struct ldb_env *env = scrub->options.env;

    return env->ops->monotonic_us(env);
}

static uint64_t wall_us(const struct repl_scrub *scrub)
{
    struct ldb_env *env = scrub->options.env;

    return env->ops->wall_us(env);
}

/* ---- waiting ---- */

/* Until that time; false: it ends. */
static bool rest_until(struct repl_scrub *scrub, uint64_t until_us)
{
    bool is_stopping;

    ldb_mutex_lock(&scrub->mu);
    for (uint64_t now = now_us(scrub); !scrub->is_stopping && now < until_us;
         now = now_us(scrub))
        LDB_IGNORE(ldb_cond_wait_for(&scrub->changed, &scrub->mu,
                                     until_us - now)); /* looked at */
    is_stopping = scrub->is_stopping;
    ldb_mutex_unlock(&scrub->mu);
    return !is_stopping;
}

/* Of repl_scrub_reader: so many bytes are to be read. */
static bool goes_on(void *context, uint64_t bytes)
{
    struct repl_scrub *scrub = context;
    uint64_t now;

    if (bytes == 0)
        return rest_until(scrub, 0);
    now = now_us(scrub);
    if (!rest_until(scrub,
                    now + repl_scrub_pace_take(&scrub->pace, now, bytes)))
        return false;
    ldb_mutex_lock(&scrub->mu);
    scrub->bytes += bytes;
    ldb_mutex_unlock(&scrub->mu);
    return true;
}

/* ---- the place ---- */

/* A failure makes us read again after a restart, no more. */
static void store_place(struct repl_scrub *scrub)
{
    struct repl_scrub_place place;

    ldb_mutex_lock(&scrub->mu);
    place = scrub->place;
    ldb_mutex_unlock(&scrub->mu);
    LDB_IGNORE(
        repl_scrub_place_store(scrub->options.env, scrub->dir, &place, NULL));
    scrub->stored_us = now_us(scrub);
}

static void set_place(struct repl_scrub *scrub,
                      const struct repl_scrub_place *place)
{
    ldb_mutex_lock(&scrub->mu);
    scrub->place = *place;
    ldb_mutex_unlock(&scrub->mu);
}

static void begin_pass(struct repl_scrub *scrub)
{
    struct repl_scrub_place place = scrub->place;

    place.begun_us = wall_us(scrub);
    place.part = REPL_SCRUB_TABLES;
    place.number = 0;
    set_place(scrub, &place);
}

static void end_part(struct repl_scrub *scrub)
{
    struct repl_scrub_place place = scrub->place;
    uint64_t now = wall_us(scrub);

    place.number = 0;
    if (place.part == REPL_SCRUB_TABLES) {
        place.part = REPL_SCRUB_JOURNALS;
    } else {
        place.part = REPL_SCRUB_END;
        place.passes++;
        place.ended_us = now;
        place.duration_us = now > place.begun_us ? now - place.begun_us : 0;
    }
    set_place(scrub, &place);
    if (place.part == REPL_SCRUB_END)
        store_place(scrub);
}

static void pass_by(struct repl_scrub *scrub, uint64_t number)
{
    struct repl_scrub_place place = scrub->place;

    place.number = number;
    set_place(scrub, &place);
    if (now_us(scrub) - scrub->stored_us >= STORE_US)
        store_place(scrub);
}

/* ---- what there is ---- */

static void add(struct batch *batch, enum ldb_file_type type, uint64_t number,
                uint64_t size)
{
    batch->files[batch->count++] =
        (struct repl_digest_file){.type = type, .number = number, .size = size};
}

static enum ldb_status list_tables(struct repl_scrub *scrub, uint64_t after,
                                   struct batch *out)
{
    struct repl_held_version held = {0};
    enum ldb_status s = repl_held_version_take(scrub->options.db, NULL, &held);

    if (s != LDB_OK)
        return s;
    for (size_t i = 0; i < held.table_count && out->count < BATCH_FILES; i++) {
        if (held.tables[i].number > after)
            add(out, LDB_FILE_TABLE, held.tables[i].number,
                held.tables[i].size);
    }
    repl_held_version_release(&held);
    return LDB_OK;
}

/* Those of a leader, the archive's among them. What moves the list meanwhile
 * makes one be passed by, or looked at twice. */
static void list_retained(struct ldb_retained *retained, uint64_t after,
                          struct batch *out)
{
    struct ldb_retained_journal journals[PAGE_JOURNALS];
    size_t index = 0;
    size_t n;

    do {
        n = ldb_retained_list(retained, index, journals, PAGE_JOURNALS);
        for (size_t i = 0; i < n && out->count < BATCH_FILES; i++) {
            if (journals[i].is_sealed && journals[i].number > after)
                add(out, LDB_FILE_JOURNAL, journals[i].number, journals[i].len);
        }
        index += n;
    } while (n == PAGE_JOURNALS && out->count < BATCH_FILES);
}

static void list_twins(struct ldb_db *db, uint64_t after, struct batch *out)
{
    struct ldb_twin_state at;

    ldb_twin_state(db, &at);
    for (size_t i = 0; i < at.journal_count; i++) {
        if (at.journals[i].is_sealed && at.journals[i].number > after)
            add(out, LDB_FILE_JOURNAL, at.journals[i].number,
                at.journals[i].len);
    }
}

/* By number, from the place on. */
static enum ldb_status list_files(struct repl_scrub *scrub, struct batch *out)
{
    struct ldb_db *db = scrub->options.db;
    struct ldb_retained *retained = ldb_db_retained(db);
    uint64_t after = scrub->place.number;

    out->count = 0;
    if (scrub->place.part == REPL_SCRUB_TABLES)
        return list_tables(scrub, after, out);
    if (retained != NULL)
        list_retained(retained, after, out);
    else
        list_twins(db, after, out);
    return LDB_OK;
}

/* ---- one file ---- */

/* Whether one that was not there should have been: it may have gone since it
 * was listed. */
static bool is_wanted(struct repl_scrub *scrub,
                      const struct repl_digest_file *file)
{
    if (list_files(scrub, &scrub->again) != LDB_OK)
        return false; /* the next pass tells */
    for (size_t i = 0; i < scrub->again.count; i++) {
        if (scrub->again.files[i].number == file->number)
            return true;
    }
    return false;
}

static void count(struct repl_scrub *scrub, uint64_t *counter)
{
    ldb_mutex_lock(&scrub->mu);
    (*counter)++;
    ldb_mutex_unlock(&scrub->mu);
}

static void tell(struct repl_scrub *scrub, const struct repl_digest_file *file,
                 const struct repl_scrub_verdict *verdict)
{
    const struct repl_scrub_finding finding = {
        .type = file->type, .number = file->number, .verdict = verdict};

    count(scrub, &scrub->mismatches);
    if (scrub->options.on_finding != NULL)
        scrub->options.on_finding(scrub->options.context, &finding);
}

/* CANCELLED: it ends. What else fails is passed by: the next pass looks. */
static enum ldb_status look(struct repl_scrub *scrub,
                            const struct repl_digest_file *file)
{
    const struct repl_scrub_reader reader = {
        .env = scrub->options.env,
        .dir = scrub->dir,
        .digests = scrub->options.digests,
        .goes_on = goes_on,
        .context = scrub,
        .scratch = scrub->scratch,
    };
    struct repl_scrub_verdict verdict;
    enum ldb_status s = repl_scrub_file(&reader, file, NULL, &verdict);

    if (s == LDB_CANCELLED)
        return s;
    if (s != LDB_OK) {
        count(scrub, &scrub->failures);
        return LDB_OK;
    }
    if (verdict.kind == REPL_SCRUB_MISSING && !is_wanted(scrub, file))
        return LDB_OK;
    count(scrub, &scrub->files);
    if (verdict.kind != REPL_SCRUB_SOUND)
        tell(scrub, file, &verdict);
    return LDB_OK;
}

/* ---- the thread ---- */

/* The next files of the pass; CANCELLED: it ends. */
static enum ldb_status go_on(struct repl_scrub *scrub)
{
    const struct batch *batch = &scrub->batch;
    enum ldb_status s = list_files(scrub, &scrub->batch);

    if (s != LDB_OK)
        return rest_until(scrub, now_us(scrub) + RETRY_US) ? LDB_OK
                                                           : LDB_CANCELLED;
    if (batch->count == 0)
        end_part(scrub);
    for (size_t i = 0; s == LDB_OK && i < batch->count; i++) {
        s = look(scrub, &batch->files[i]);
        if (s == LDB_OK)
            pass_by(scrub, batch->files[i].number);
    }
    return s;
}

/* Whether a pass is under way, or is to begin now. */
static bool is_due(const struct repl_scrub *scrub, uint64_t *out_wait_us)
{
    const struct repl_scrub_place *place = &scrub->place;
    uint64_t now = wall_us(scrub);
    uint64_t since = now - place->begun_us;

    *out_wait_us = 0;
    /* A clock that was set back says nothing. */
    if (place->begun_us == 0 || place->begun_us > now ||
        place->part != REPL_SCRUB_END || since >= scrub->options.interval_us)
        return true;
    *out_wait_us = scrub->options.interval_us - since;
    return false;
}

static void run(void *context)
{
    struct repl_scrub *scrub = context;
    bool is_over = false;

    while (!is_over) {
        uint64_t wait_us;

        if (!is_due(scrub, &wait_us)) {
            if (wait_us > LOOK_US)
                wait_us = LOOK_US;
            is_over = !rest_until(scrub, now_us(scrub) + wait_us);
            continue;
        }
        if (scrub->place.begun_us == 0 || scrub->place.part == REPL_SCRUB_END)
            begin_pass(scrub);
        is_over = go_on(scrub) != LDB_OK || !rest_until(scrub, 0);
    }
}

/* ---- life ---- */

static void destroy(struct repl_scrub *scrub)
{
    ldb_cond_release(&scrub->changed);
    ldb_mutex_release(&scrub->mu);
    ldb_mem_free(scrub->scratch);
    ldb_mem_free(scrub->dir);
    ldb_mem_free(scrub);
}

enum ldb_status repl_scrub_create(const struct repl_scrub_options *options,
                                  struct ldb_error *err,
                                  struct repl_scrub **out)
{
    struct repl_scrub *scrub = ldb_mem_zalloc(1, sizeof(*scrub));
    enum ldb_status s;

    assert(options->rate_bytes > 0);
    if (scrub == NULL)
        return ldb_error_no_memory(err);
    scrub->options = *options;
    scrub->pace.rate = options->rate_bytes;
    ldb_mutex_init(&scrub->mu);
    ldb_cond_init(&scrub->changed);
    scrub->dir = ldb_mem_strdup(options->dir);
    scrub->scratch = ldb_mem_alloc(1, REPL_DIGEST_READ_SIZE);
    if (scrub->dir == NULL || scrub->scratch == NULL)
        s = ldb_error_no_memory(err);
    else
        s = repl_scrub_place_load(options->env, scrub->dir, err, &scrub->place);
    scrub->stored_us = now_us(scrub);
    if (s == LDB_OK)
        s = options->env->ops->thread_start(options->env, "scrub", run, scrub,
                                            err, &scrub->thread);
    if (s == LDB_OK)
        *out = scrub;
    else
        destroy(scrub);
    return s;
}

void repl_scrub_destroy(struct repl_scrub *scrub)
{
    struct ldb_env *env;

    if (scrub == NULL)
        return;
    env = scrub->options.env;
    ldb_mutex_lock(&scrub->mu);
    scrub->is_stopping = true;
    ldb_cond_broadcast(&scrub->changed);
    ldb_mutex_unlock(&scrub->mu);
    env->ops->thread_join(env, scrub->thread);
    store_place(scrub);
    destroy(scrub);
}

void repl_scrub_figures(struct repl_scrub *scrub,
                        struct repl_scrub_figures *out)
{
    ldb_mutex_lock(&scrub->mu);
    *out = (struct repl_scrub_figures){
        .rate_bytes = scrub->options.rate_bytes,
        .is_running =
            scrub->place.begun_us != 0 && scrub->place.part != REPL_SCRUB_END,
        .files_total = scrub->files,
        .bytes_total = scrub->bytes,
        .mismatches_total = scrub->mismatches,
        .failures_total = scrub->failures,
        .passes_total = scrub->place.passes,
        .last_pass_us = scrub->place.ended_us,
        .last_pass_duration_us = scrub->place.duration_us,
    };
    ldb_mutex_unlock(&scrub->mu);
}
