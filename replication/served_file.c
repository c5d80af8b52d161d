/*
 * How far a file may be read is asked anew each time all up to there was read,
 * of those who know: of the open journal the durable position, which is a
 * point in a history of journals: in this one, or in a later one, when this one
 * must be sealed; of the MANIFEST the version set, which says how long it is
 * once an edit is synced.
 *
 * A journal's pin says what it had in all when it has gone meanwhile. The file
 * itself stays while it is open.
 */
#include "replication/served_file.h"

#include <inttypes.h>
#include <string.h>

#include "replication/checkpoints.h"
#include "replication/held_version.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"
#include "storage/pinned_files.h"
#include "storage/retained.h"

/* Of a table: after so many bytes its checkpoint is told that somebody still
 * asks for it. Chosen: well within its time on any link. */
#define RENEW_BYTES (UINT64_C(1) << 20)

/*
 * Locking: the pointers are constant, the counters relaxed; the list of files
 * that wait, and what they wait for, are guarded by mu. Taken under it: the
 * mutex of the retained journals. on_durable takes it: nothing that waits for
 * the engine is done under it.
 */
struct repl_served_files {
    struct ldb_db *db;
    struct ldb_env *env;
    char *dir;
    struct ldb_retained *retained;        /* NULL: of a twin */
    struct repl_checkpoints *checkpoints; /* NULL: none */
    _Atomic(uint64_t) open;
    _Atomic(uint64_t) opened_total;
    _Atomic(uint64_t) bytes_total;

    struct ldb_mutex mu;
    struct repl_served_file *first; /* guarded by mu */
    uint64_t waiting;               /* guarded by mu */
    _Atomic(bool) is_ending;        /* set with mu held; relaxed */
};

/*
 * Locking: what is between wake and next is guarded by the set's mu, the rest
 * is its caller's.
 */
struct repl_served_file {
    struct repl_served_files *files;
    char name[LDB_FILE_NAME_SIZE];
    struct repl_served_head head;     /* when last looked at */
    struct ldb_pin pin;               /* of a journal */
    struct ldb_sequential_file *file; /* NULL: not opened yet */
    uint64_t at;                      /* the next byte to be read */
    uint64_t renewed_at;              /* of a table: `at` then */
    bool is_watching;                 /* it has waited */

    void (*wake)(void *context);
    void *context;
    bool is_waiting;
    uint64_t waits_at;
    struct repl_served_file *prev;
    struct repl_served_file *next;
};

static enum ldb_status create(const struct repl_served_files *of,
                              const char *dir, struct ldb_error *err,
                              struct repl_served_files **out)
{
    struct repl_served_files *files = ldb_mem_zalloc(1, sizeof(*files));

    if (files == NULL)
        return ldb_error_no_memory(err);
    files->dir = ldb_mem_strdup(dir);
    if (files->dir == NULL) {
        ldb_mem_free(files);
        return ldb_error_no_memory(err);
    }
    files->db = of->db;
    files->env = of->env;
    files->retained = of->retained;
    files->checkpoints = of->checkpoints;
    ldb_mutex_init(&files->mu);
    *out = files;
    return LDB_OK;
}

enum ldb_status repl_served_files_create(struct ldb_db *db, struct ldb_env *env,
                                         const char *dir,
                                         struct repl_checkpoints *checkpoints,
                                         struct ldb_error *err,
                                         struct repl_served_files **out)
{
    const struct repl_served_files of = {
        .db = db,
        .env = env,
        .retained = ldb_db_retained(db),
        .checkpoints = checkpoints,
    };

    if (of.retained == NULL)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "%s: opened read-only, or a twin: it has no "
                             "journals of its own",
                             dir);
    return create(&of, dir, err, out);
}

enum ldb_status repl_served_files_create_twin(struct ldb_db *db,
                                              struct ldb_env *env,
                                              const char *dir,
                                              struct ldb_error *err,
                                              struct repl_served_files **out)
{
    const struct repl_served_files of = {.db = db, .env = env};

    assert(ldb_db_retained(db) == NULL);
    return create(&of, dir, err, out);
}

void repl_served_files_destroy(struct repl_served_files *files)
{
    if (files == NULL)
        return;
    assert(files->first == NULL);
    assert(atomic_load_explicit(&files->open, memory_order_relaxed) == 0);
    ldb_mutex_release(&files->mu);
    ldb_mem_free(files->dir);
    ldb_mem_free(files);
}

static bool are_ending(struct repl_served_files *files)
{
    return atomic_load_explicit(&files->is_ending, memory_order_relaxed);
}

void repl_served_files_figures(struct repl_served_files *files,
                               struct repl_served_figures *out)
{
    *out = (struct repl_served_figures){
        .open = atomic_load_explicit(&files->open, memory_order_relaxed),
        .opened_total =
            atomic_load_explicit(&files->opened_total, memory_order_relaxed),
        .bytes_total =
            atomic_load_explicit(&files->bytes_total, memory_order_relaxed),
    };
    ldb_mutex_lock(&files->mu);
    out->waiting = files->waiting;
    ldb_mutex_unlock(&files->mu);
}

/* ---- how far a file may be read ---- */

static void look_at_gone_journal(struct repl_served_file *file)
{
    struct ldb_retained *retained = file->files->retained;
    uint64_t len = 0;

    if (ldb_retained_pin_is_lost(retained, &file->pin, &len) &&
        len != UINT64_MAX) {
        file->head.len = len;
        file->head.is_sealed = true;
    } else {
        file->head.is_over = true;
    }
}

static void look_at_journal(struct repl_served_file *file)
{
    struct repl_served_files *files = file->files;
    struct repl_served_head *head = &file->head;
    struct ldb_position durable = ldb_durable_position(files->db);
    struct ldb_retained_journal journal;

    /* In this order: a position in a later journal is seen after the seal. */
    if (ldb_retained_get(files->retained, head->number, &journal) != LDB_OK) {
        look_at_gone_journal(file);
    } else if (journal.is_sealed) {
        head->len = journal.len;
        head->is_sealed = true;
    } else if (durable.journal == head->number && durable.offset > head->len) {
        head->len = durable.offset;
    }
}

static void find_manifest(struct ldb_db *db, uint64_t *out_number,
                          uint64_t *out_len)
{
    struct ldb_stats stats;

    ldb_stats(db, &stats);
    *out_number = stats.manifest_number;
    *out_len = stats.manifest_bytes;
}

static void look_at_manifest(struct repl_served_file *file)
{
    uint64_t number;
    uint64_t len;

    find_manifest(file->files->db, &number, &len);
    if (number == file->head.number)
        file->head.len = len;
    else
        file->head.is_over = true;
}

static void look(struct repl_served_file *file)
{
    struct repl_served_head *head = &file->head;

    if (head->is_sealed || head->is_over)
        return;
    /* What is written from now on is nobody's to follow. */
    if (are_ending(file->files))
        head->is_over = true;
    else if (head->type == LDB_FILE_JOURNAL)
        look_at_journal(file);
    else
        look_at_manifest(file);
}

/* ---- opening ---- */

/* Does the current version name it, or a checkpoint? */
static enum ldb_status find_table(struct repl_served_files *files,
                                  uint64_t number, struct ldb_error *err,
                                  uint64_t *out_size)
{
    const struct ldb_file_meta *meta;
    struct ldb_pinned_files pinned;
    enum ldb_status s;

    if (files->checkpoints != NULL &&
        repl_checkpoints_use_table(files->checkpoints, number, out_size))
        return LDB_OK;
    s = ldb_pinned_files_take(files->db, err, &pinned);
    if (s == LDB_OK) {
        meta = repl_version_find(pinned.version, number);
        if (meta != NULL)
            *out_size = meta->size;
        else
            s = LDB_NOT_FOUND;
    }
    ldb_pinned_files_release(&pinned);
    return s;
}

static enum ldb_status open_table(struct repl_served_file *file,
                                  struct ldb_error *err)
{
    struct repl_served_files *files = file->files;
    char *path = ldb_mem_printf("%s/%s", files->dir, file->name);
    uint64_t size = 0;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = find_table(files, file->head.number, err, &file->head.len);
    if (s == LDB_OK) /* .ldb and .sst are two names */
        s = files->env->ops->file_size(files->env, path, err, &size);
    ldb_mem_free(path);
    if (s == LDB_OK && size != file->head.len)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: it has %" PRIu64
                             " bytes, its version says %" PRIu64,
                             file->name, size, file->head.len);
    file->head.is_sealed = true;
    return s;
}

static enum ldb_status open_journal(struct repl_served_file *file)
{
    if (file->files->retained == NULL ||
        !ldb_retained_pin(file->files->retained, &file->pin, file->head.number))
        return LDB_NOT_FOUND;
    look(file);
    return LDB_OK;
}

static enum ldb_status open_manifest(struct repl_served_file *file)
{
    if (file->files->retained == NULL)
        return LDB_NOT_FOUND;
    look(file);
    return file->head.is_over ? LDB_NOT_FOUND : LDB_OK;
}

static enum ldb_status open_by_type(struct repl_served_file *file,
                                    struct ldb_error *err)
{
    switch (file->head.type) {
    case LDB_FILE_JOURNAL:
        return open_journal(file);
    case LDB_FILE_MANIFEST:
        return open_manifest(file);
    case LDB_FILE_TABLE:
    case LDB_FILE_TABLE_SST:
        return open_table(file, err);
    case LDB_FILE_FOREIGN:
    case LDB_FILE_CURRENT:
    case LDB_FILE_CURRENT_BAK:
    case LDB_FILE_CURRENT_NEXT:
    case LDB_FILE_DBTMP:
    case LDB_FILE_TMP:
    case LDB_FILE_LOCK:
    case LDB_FILE_LOG:
        return LDB_NOT_FOUND;
    }
    return LDB_NOT_FOUND;
}

static void count_one(_Atomic(uint64_t) *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void leave(struct repl_served_files *files)
{
    atomic_fetch_sub_explicit(&files->open, 1, memory_order_relaxed);
}

static enum ldb_status enter(struct repl_served_files *files,
                             struct ldb_error *err)
{
    if (atomic_fetch_add_explicit(&files->open, 1, memory_order_relaxed) >=
        REPL_SERVED_FILES_MAX) {
        leave(files);
        return ldb_error_set(err, LDB_STALLED,
                             "%d files are being read already",
                             REPL_SERVED_FILES_MAX);
    }
    count_one(&files->opened_total, 1);
    return LDB_OK;
}

static enum ldb_status not_found(struct ldb_slice name, struct ldb_error *err)
{
    return ldb_error_set(err, LDB_NOT_FOUND, "%.*s: there is no such file",
                         (int)(name.len < 64 ? name.len : 64),
                         (const char *)name.data);
}

enum ldb_status repl_served_file_open(struct repl_served_files *files,
                                      struct ldb_slice name,
                                      struct ldb_error *err,
                                      struct repl_served_file **out)
{
    struct repl_served_file *file;
    enum ldb_status s;

    if (are_ending(files))
        return ldb_error_set(err, LDB_CLOSED, "this node ends to lead");
    if (name.len == 0 || name.len >= LDB_FILE_NAME_SIZE ||
        memchr(name.data, '\0', name.len) != NULL)
        return not_found(name, err);
    file = ldb_mem_zalloc(1, sizeof(*file));
    if (file == NULL)
        return ldb_error_no_memory(err);
    file->files = files;
    memcpy(file->name, name.data, name.len);
    file->head.type = ldb_file_name_parse(file->name, &file->head.number);
    s = enter(files, err);
    if (s != LDB_OK) {
        ldb_mem_free(file);
        return s;
    }
    s = open_by_type(file, err);
    if (s == LDB_OK) {
        *out = file;
        return LDB_OK;
    }
    repl_served_file_close(file);
    return s == LDB_NOT_FOUND ? not_found(name, err) : s;
}

static void unlink_locked(struct repl_served_files *files,
                          struct repl_served_file *file) LDB_REQUIRES(files->mu)
{
    if (file->prev != NULL)
        file->prev->next = file->next;
    else
        files->first = file->next;
    if (file->next != NULL)
        file->next->prev = file->prev;
    file->is_waiting = false;
    files->waiting--;
}

void repl_served_file_close(struct repl_served_file *file)
{
    struct repl_served_files *files;

    if (file == NULL)
        return;
    files = file->files;
    ldb_mutex_lock(&files->mu);
    if (file->is_waiting)
        unlink_locked(files, file);
    ldb_mutex_unlock(&files->mu);
    if (file->is_watching)
        ldb_watch_end(files->db);
    if (files->retained != NULL)
        ldb_retained_unpin(files->retained, &file->pin);
    if (file->file != NULL)
        ldb_sequential_close(file->file);
    leave(files);
    ldb_mem_free(file);
}

const char *repl_served_file_name(const struct repl_served_file *file)
{
    return file->name;
}

uint64_t repl_served_file_at(const struct repl_served_file *file)
{
    return file->at;
}

void repl_served_file_head(struct repl_served_file *file,
                           struct repl_served_head *out)
{
    look(file);
    *out = file->head;
}

/* ---- reading ---- */

static enum ldb_status open_on_disk(struct repl_served_file *file,
                                    struct ldb_error *err)
{
    struct repl_served_files *files = file->files;
    char *path;
    enum ldb_status s;

    if (file->head.type == LDB_FILE_JOURNAL)
        return ldb_retained_open_sequential(files->retained, file->head.number,
                                            err, &file->file);
    path = ldb_mem_printf("%s/%s", files->dir, file->name);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = files->env->ops->open_sequential(files->env, path, err, &file->file);
    ldb_mem_free(path);
    return s;
}

enum ldb_status repl_served_file_seek(struct repl_served_file *file,
                                      uint64_t from, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    assert(from >= file->at);
    if (from > file->head.len)
        look(file);
    if (from > file->head.len)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%s: byte %" PRIu64
                             " lies behind its end at %" PRIu64,
                             file->name, from, file->head.len);
    if (file->file == NULL)
        s = open_on_disk(file, err);
    if (s == LDB_OK && from > file->at)
        s = file->file->ops->skip(file->file, from - file->at, err);
    if (s == LDB_OK)
        file->at = from;
    return s;
}

static void renew(struct repl_served_file *file)
{
    uint64_t size;

    if (file->files->checkpoints == NULL ||
        (file->head.type != LDB_FILE_TABLE &&
         file->head.type != LDB_FILE_TABLE_SST) ||
        file->at - file->renewed_at < RENEW_BYTES)
        return;
    file->renewed_at = file->at;
    (void)repl_checkpoints_use_table(file->files->checkpoints,
                                     file->head.number, &size);
}

enum ldb_status repl_served_file_read(struct repl_served_file *file, size_t max,
                                      uint8_t *out, struct ldb_error *err,
                                      size_t *out_len)
{
    size_t len = 0;
    uint64_t left;
    enum ldb_status s;

    assert(file->file != NULL && file->at <= file->head.len);
    if (file->at == file->head.len)
        look(file);
    left = file->head.len - file->at;
    if (left < max)
        max = (size_t)left;
    if (max > 0) {
        s = ldb_sequential_read(file->file, max, out, &len, err);
        if (s != LDB_OK)
            return s;
        if (len == 0)
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "%s: it ends at %" PRIu64 ", not at %" PRIu64,
                                 file->name, file->at, file->head.len);
    }
    file->at += len;
    count_one(&file->files->bytes_total, len);
    renew(file);
    *out_len = len;
    return LDB_OK;
}

/* ---- waiting ---- */

static bool has_news(const struct repl_served_file *file)
{
    return file->head.is_sealed || file->head.is_over ||
           file->head.len > file->at;
}

static void begin_wait(struct repl_served_file *file,
                       void (*wake)(void *context), void *context)
{
    struct repl_served_files *files = file->files;

    ldb_mutex_lock(&files->mu);
    assert(!file->is_waiting);
    file->wake = wake;
    file->context = context;
    file->is_waiting = true;
    file->waits_at = file->at;
    file->prev = NULL;
    file->next = files->first;
    if (files->first != NULL)
        files->first->prev = file;
    files->first = file;
    files->waiting++;
    ldb_mutex_unlock(&files->mu);
}

/* False: it was woken already. */
static bool end_wait(struct repl_served_file *file)
{
    struct repl_served_files *files = file->files;
    bool was_waiting;

    ldb_mutex_lock(&files->mu);
    was_waiting = file->is_waiting;
    if (was_waiting)
        unlink_locked(files, file);
    ldb_mutex_unlock(&files->mu);
    return was_waiting;
}

bool repl_served_file_wait(struct repl_served_file *file,
                           void (*wake)(void *context), void *context)
{
    if (!file->is_watching) {
        file->is_watching = true;
        ldb_watch_begin(file->files->db);
    }
    begin_wait(file, wake, context);
    /* Whoever moves something from here on finds it waiting; what moved before
     * is seen now. */
    look(file);
    return !has_news(file) || !end_wait(file);
}

/* What moves without the durable position, as it is at a tick. */
struct tick {
    uint64_t manifest_number;
    uint64_t manifest_len;
};

static bool journal_is_due(const struct repl_served_file *file,
                           const struct ldb_position *durable,
                           const struct tick *tick)
{
    struct ldb_retained_journal journal;

    if (durable->journal > file->head.number ||
        (durable->journal == file->head.number &&
         durable->offset > file->waits_at))
        return true;
    /* It was sealed, or went, and nothing was written since. */
    return tick != NULL &&
           (ldb_retained_get(file->files->retained, file->head.number,
                             &journal) != LDB_OK ||
            journal.is_sealed);
}

static bool is_due(const struct repl_served_file *file,
                   const struct ldb_position *durable, const struct tick *tick)
{
    if (are_ending(file->files))
        return true;
    if (file->head.type == LDB_FILE_JOURNAL)
        return journal_is_due(file, durable, tick);
    return tick != NULL && (tick->manifest_number != file->head.number ||
                            tick->manifest_len > file->waits_at);
}

/* tick: NULL: the durable position has moved, and nothing else counts. */
static void wake_due(struct repl_served_files *files, const struct tick *tick)
{
    struct ldb_position durable = ldb_durable_position(files->db);
    struct repl_served_file *next;

    ldb_mutex_lock(&files->mu);
    for (struct repl_served_file *f = files->first; f != NULL; f = next) {
        next = f->next;
        if (!is_due(f, &durable, tick))
            continue;
        unlink_locked(files, f);
        f->wake(f->context);
    }
    ldb_mutex_unlock(&files->mu);
}

void repl_served_files_durable(struct repl_served_files *files)
{
    wake_due(files, NULL);
}

void repl_served_files_tick(struct repl_served_files *files)
{
    struct tick tick;
    bool is_anybody_waiting;

    ldb_mutex_lock(&files->mu);
    is_anybody_waiting = files->first != NULL;
    ldb_mutex_unlock(&files->mu);
    if (!is_anybody_waiting)
        return;
    find_manifest(files->db, &tick.manifest_number, &tick.manifest_len);
    wake_due(files, &tick);
}

void repl_served_files_end(struct repl_served_files *files)
{
    ldb_mutex_lock(&files->mu);
    atomic_store_explicit(&files->is_ending, true, memory_order_relaxed);
    ldb_mutex_unlock(&files->mu);
    wake_due(files, NULL);
}
