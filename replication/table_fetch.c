#include "replication/table_fetch.h"

#include "replication/incoming.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * Files are renamed one by one as they are whole, and the folder is synced
 * once, at the end of the call: none is OK before that.
 */

#define TRANSPORTS_DEFAULT 4

/* Has a transport of its own, which is kept between calls. */
struct worker {
    struct repl_fetch *fetch;
    struct repl_transport *transport; /* NULL: not yet; the fetch's mu */
    struct ldb_thread *thread;        /* NULL: none runs, or the caller's */
};

/*
 * Locking.
 * Constant: env, dir, peer, worker_count, check, context.
 * Atomics, relaxed: files_done, counts; is_interrupted, set with mu held, so
 *   that a transport opened just then is interrupted too.
 * Protected by mu: next, has_failed, and the workers' transports: a worker
 *   changes its own, and reads it without.
 * The caller's, while no worker runs: files, count, place, threads.
 */
struct repl_fetch {
    struct ldb_env *env;
    char *dir;
    struct repl_peer *peer;
    unsigned worker_count;
    enum ldb_status (*check)(void *context, const struct repl_fetch_file *file,
                             struct ldb_error *err);
    void *context;

    _Atomic(uint64_t) files_done;
    struct repl_fetch_counts counts;
    atomic_bool is_interrupted;

    struct ldb_mutex mu;
    size_t next;     /* guarded by mu: the file to begin next */
    bool has_failed; /* guarded by mu: no other is begun */

    struct repl_fetch_file *files;
    size_t count;
    enum repl_fetch_place place;
    struct worker workers[REPL_FETCH_TRANSPORTS_MAX];
};

static bool is_interrupted(const struct repl_fetch *fetch)
{
    return atomic_load_explicit(&fetch->is_interrupted, memory_order_relaxed);
}

/* ---- one file ---- */

static enum ldb_status put_into_place(const struct repl_fetch *fetch,
                                      const char *name, struct ldb_error *err)
{
    struct ldb_env *env = fetch->env;
    char *from = repl_incoming_path(fetch->dir, name, false);
    char *to = ldb_mem_printf("%s/%s", fetch->dir, name);
    enum ldb_status s;

    if (from == NULL || to == NULL)
        s = ldb_error_no_memory(err);
    else
        s = env->ops->rename_file(env, from, to, err);
    ldb_mem_free(from);
    ldb_mem_free(to);
    return s;
}

static enum ldb_status fetch_file(struct worker *worker,
                                  const struct repl_fetch_file *wanted,
                                  struct ldb_error *err)
{
    struct repl_fetch *fetch = worker->fetch;
    struct repl_file_fetch how = {
        .env = fetch->env,
        .dir = fetch->dir,
        .transport = worker->transport,
        .is_cancelled = &fetch->is_interrupted,
        .counts = &fetch->counts,
    };
    enum ldb_status s = repl_file_fetch(&how, wanted, err);

    if (s == LDB_OK && fetch->check != NULL)
        s = fetch->check(fetch->context, wanted, err);
    if (s == LDB_OK && fetch->place == REPL_FETCH_INTO_PLACE)
        s = put_into_place(fetch, wanted->name, err);
    if (s == LDB_OK)
        atomic_fetch_add_explicit(&fetch->files_done, 1, memory_order_relaxed);
    return s;
}

/* ---- several ---- */

static enum ldb_status open_transport(struct worker *worker,
                                      struct ldb_error *err)
{
    struct repl_fetch *fetch = worker->fetch;
    struct repl_transport *transport;
    enum ldb_status s;

    if (worker->transport != NULL)
        return LDB_OK;
    s = fetch->peer->open(fetch->peer, err, &transport);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&fetch->mu);
    worker->transport = transport;
    if (is_interrupted(fetch))
        transport->ops->interrupt(transport);
    ldb_mutex_unlock(&fetch->mu);
    return LDB_OK;
}

/* NULL: no other is to be begun. */
static struct repl_fetch_file *take_next(struct repl_fetch *fetch)
{
    struct repl_fetch_file *file = NULL;

    ldb_mutex_lock(&fetch->mu);
    if (fetch->next < fetch->count && !fetch->has_failed &&
        !is_interrupted(fetch))
        file = &fetch->files[fetch->next++];
    ldb_mutex_unlock(&fetch->mu);
    return file;
}

static void work(void *context)
{
    struct worker *worker = context;
    struct repl_fetch *fetch = worker->fetch;
    struct repl_fetch_file *file;

    while ((file = take_next(fetch)) != NULL) {
        enum ldb_status s = open_transport(worker, &file->error);

        if (s == LDB_OK)
            s = fetch_file(worker, file, &file->error);
        file->status = s;
        if (s == LDB_OK)
            continue;
        (void)ldb_error_prefix(&file->error, s, "fetch %s", file->name);
        ldb_mutex_lock(&fetch->mu);
        fetch->has_failed = true;
        ldb_mutex_unlock(&fetch->mu);
    }
}

/* The caller works too; threads that cannot be had are done without. */
static void run_workers(struct repl_fetch *fetch)
{
    struct ldb_env *env = fetch->env;
    unsigned count = fetch->worker_count;

    if (count > fetch->count)
        count = (unsigned)fetch->count;
    for (unsigned i = 1; i < count; i++) {
        struct worker *worker = &fetch->workers[i];

        if (env->ops->thread_start(env, "leveld-fetch", work, worker, NULL,
                                   &worker->thread) != LDB_OK)
            worker->thread = NULL;
    }
    work(&fetch->workers[0]);
    for (unsigned i = 1; i < count; i++) {
        struct worker *worker = &fetch->workers[i];

        if (worker->thread != NULL)
            env->ops->thread_join(env, worker->thread);
        worker->thread = NULL;
    }
}

/* Their names survive a power cut. */
static enum ldb_status sync_place(struct repl_fetch *fetch,
                                  struct ldb_error *err)
{
    struct ldb_env *env = fetch->env;
    char *incoming;
    enum ldb_status s;

    if (fetch->place == REPL_FETCH_INTO_PLACE)
        return env->ops->sync_dir(env, fetch->dir, err);
    incoming = ldb_mem_printf("%s/" LDB_INCOMING_FOLDER, fetch->dir);
    if (incoming == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->sync_dir(env, incoming, err);
    ldb_mem_free(incoming);
    return s;
}

/* That of the call: of a failure, not of what was given up for it. */
static enum ldb_status result_of(const struct repl_fetch *fetch,
                                 struct ldb_error *err)
{
    const struct repl_fetch_file *first = NULL;

    for (size_t i = 0; i < fetch->count; i++) {
        const struct repl_fetch_file *file = &fetch->files[i];

        if (file->status == LDB_OK)
            continue;
        if (first == NULL ||
            (first->status == LDB_CANCELLED && file->status != LDB_CANCELLED))
            first = file;
    }
    if (first == NULL)
        return LDB_OK;
    if (err != NULL)
        *err = first->error;
    return first->status;
}

enum ldb_status repl_fetch_files(struct repl_fetch *fetch,
                                 struct repl_fetch_file *files, size_t count,
                                 enum repl_fetch_place place,
                                 struct ldb_error *err)
{
    struct ldb_error error = {0};
    bool is_any_there = false;
    enum ldb_status s;

    fetch->files = files;
    fetch->count = count;
    fetch->place = place;
    fetch->next = 0;
    fetch->has_failed = false;
    for (size_t i = 0; i < count; i++)
        files[i].status = ldb_error_set(&files[i].error, LDB_CANCELLED,
                                        "fetch %s: not begun", files[i].name);
    run_workers(fetch);
    for (size_t i = 0; i < count; i++)
        is_any_there = is_any_there || files[i].status == LDB_OK;
    s = is_any_there ? sync_place(fetch, &error) : LDB_OK;
    for (size_t i = 0; s != LDB_OK && i < count; i++)
        if (files[i].status == LDB_OK) {
            files[i].status = s;
            files[i].error = error;
        }
    return result_of(fetch, err);
}

/* ---- what was given up ---- */

/* Names in leveld/incoming, each LDB_FILE_NAME_SIZE bytes. Chosen: more than
 * there ever are; what is beyond is found the next time. */
#define SWEPT_BYTES_MAX ((size_t)4096 * LDB_FILE_NAME_SIZE)

static enum ldb_status collect_name(void *context, const char *name)
{
    struct ldb_buf *names = context;
    char entry[LDB_FILE_NAME_SIZE] = {0};
    uint64_t number;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);
    enum ldb_status s;

    /* A MANIFEST may be on its way to be installed. */
    if (type != LDB_FILE_JOURNAL && type != LDB_FILE_TABLE &&
        type != LDB_FILE_TABLE_SST)
        return LDB_OK;
    ldb_file_name_print(entry, type, number);
    s = ldb_buf_append(names, ldb_slice_make(entry, sizeof(entry)));
    return s == LDB_TOO_LARGE ? LDB_OK : s;
}

static enum ldb_status remove_incoming(const struct repl_fetch *fetch,
                                       const char *name, struct ldb_error *err)
{
    char *path = repl_incoming_path(fetch->dir, name, false);

    if (path == NULL)
        return ldb_error_no_memory(err);
    /* Or it stays: it is in nobody's way. */
    LDB_IGNORE(fetch->env->ops->remove_file(fetch->env, path, NULL));
    ldb_mem_free(path);
    return LDB_OK;
}

enum ldb_status repl_fetch_sweep(struct repl_fetch *fetch,
                                 bool (*is_wanted)(void *context,
                                                   const char *name),
                                 void *context, struct ldb_error *err)
{
    struct ldb_env *env = fetch->env;
    struct ldb_buf names = LDB_BUF_INIT(SWEPT_BYTES_MAX);
    char *incoming = repl_incoming_path(fetch->dir, "", false);
    enum ldb_status s;

    if (incoming == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->list_dir(env, incoming, collect_name, &names, err);
    if (s == LDB_NO_MEMORY)
        s = ldb_error_no_memory(err);
    for (size_t at = 0; s == LDB_OK && at < names.len;
         at += LDB_FILE_NAME_SIZE) {
        const char *name = (const char *)names.data + at;

        if (is_wanted == NULL || !is_wanted(context, name))
            s = remove_incoming(fetch, name, err);
    }
    ldb_buf_release(&names);
    ldb_mem_free(incoming);
    return s;
}

/* ---- the rest ---- */

static enum ldb_status make_incoming(const struct repl_fetch *fetch,
                                     struct ldb_error *err)
{
    static const char *const names[] = {LDB_OWN_FOLDER, LDB_INCOMING_FOLDER};
    struct ldb_env *env = fetch->env;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < sizeof(names) / sizeof(names[0]);
         i++) {
        char *path = ldb_mem_printf("%s/%s", fetch->dir, names[i]);

        if (path == NULL)
            return ldb_error_no_memory(err);
        s = ldb_env_create_folder(env, path, err);
        ldb_mem_free(path);
    }
    return s;
}

enum ldb_status repl_fetch_create(const struct repl_fetch_options *options,
                                  struct ldb_error *err,
                                  struct repl_fetch **out)
{
    struct repl_fetch *fetch;
    enum ldb_status s;

    if (options->transports > REPL_FETCH_TRANSPORTS_MAX)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%u transports at once, at most %d",
                             options->transports, REPL_FETCH_TRANSPORTS_MAX);
    fetch = ldb_mem_zalloc(1, sizeof(*fetch));
    if (fetch == NULL)
        return ldb_error_no_memory(err);
    ldb_mutex_init(&fetch->mu);
    fetch->env = options->env;
    fetch->peer = options->peer;
    fetch->check = options->check;
    fetch->context = options->context;
    fetch->worker_count =
        options->transports == 0 ? TRANSPORTS_DEFAULT : options->transports;
    for (unsigned i = 0; i < REPL_FETCH_TRANSPORTS_MAX; i++)
        fetch->workers[i].fetch = fetch;
    fetch->dir = ldb_mem_strdup(options->dir);
    s = fetch->dir == NULL ? ldb_error_no_memory(err)
                           : make_incoming(fetch, err);
    if (s == LDB_OK)
        *out = fetch;
    else
        repl_fetch_destroy(fetch);
    return s;
}

void repl_fetch_destroy(struct repl_fetch *fetch)
{
    if (fetch == NULL)
        return;
    for (unsigned i = 0; i < REPL_FETCH_TRANSPORTS_MAX; i++) {
        struct repl_transport *transport = fetch->workers[i].transport;

        if (transport != NULL)
            transport->ops->destroy(transport);
    }
    ldb_mutex_release(&fetch->mu);
    ldb_mem_free(fetch->dir);
    ldb_mem_free(fetch);
}

void repl_fetch_interrupt(struct repl_fetch *fetch)
{
    ldb_mutex_lock(&fetch->mu);
    atomic_store_explicit(&fetch->is_interrupted, true, memory_order_relaxed);
    for (unsigned i = 0; i < REPL_FETCH_TRANSPORTS_MAX; i++) {
        struct repl_transport *transport = fetch->workers[i].transport;

        if (transport != NULL)
            transport->ops->interrupt(transport);
    }
    ldb_mutex_unlock(&fetch->mu);
}

void repl_fetch_figures(struct repl_fetch *fetch,
                        struct repl_fetch_figures *out)
{
    *out = (struct repl_fetch_figures){
        .files = atomic_load_explicit(&fetch->files_done, memory_order_relaxed),
        .bytes =
            atomic_load_explicit(&fetch->counts.bytes, memory_order_relaxed),
        .bytes_kept = atomic_load_explicit(&fetch->counts.bytes_kept,
                                           memory_order_relaxed),
        .cuts = atomic_load_explicit(&fetch->counts.cuts, memory_order_relaxed),
        .mismatches = atomic_load_explicit(&fetch->counts.mismatches,
                                           memory_order_relaxed),
    };
}
