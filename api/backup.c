#include "api/backup.h"

#include <string.h>

#include "api/conditions.h"
#include "api/context.h"
#include "api/db_gate.h"
#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/tar.h"
#include "api/tasks.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

#define TYPE_TAR "application/x-tar"

enum part {
    PART_HEADER,  /* of the file that was begun */
    PART_FILE,    /* its bytes */
    PART_PADDING, /* behind them */
    PART_END,     /* zeros behind the last */
};

/*
 * One backup, from the request to the end of its stream. Pinning waits for a
 * commit, so a thread of the tasks does it; until that has run, the backup
 * belongs to it. From then on it is inside the gate, until its files are
 * closed with its last reference: who holds that has left before, maybe.
 *
 * Locking: context and all are constant; references, the links and what is
 * counted are guarded by the mu of all; the rest belongs to the task until it
 * has ended, then to the exchange's loop.
 */
struct api_backup {
    struct api_context *context;
    struct api_backups *all;
    unsigned refs; /* the exchange's, the stream's, the task's */
    struct api_backup *previous;
    struct api_backup *next;

    struct ldb_backup *files;
    uint64_t mtime_s;

    /* ---- the stream ---- */
    enum part part;
    uint8_t header[API_TAR_HEADER_MAX];
    size_t header_len;
    size_t at;          /* in header, padding or end */
    uint64_t file_size; /* of the file that is read */
};

/* Locking: guarded by mu, which is the innermost: nothing is called under it.
 */
struct api_backups {
    struct ldb_mutex mu;
    struct api_backup *first;
    struct api_backups_figures figures;
};

/* ---- all of them ---- */

struct api_backups *api_backups_create(void)
{
    struct api_backups *all = ldb_mem_zalloc(1, sizeof(*all));

    if (all != NULL)
        ldb_mutex_init(&all->mu);
    return all;
}

/* Lets go of the database. */
static void close_files(struct api_backup *backup)
{
    if (backup->files == NULL)
        return;
    ldb_backup_close(backup->files);
    backup->files = NULL;
    api_db_gate_leave(backup->context->gate);
}

void api_backups_close(struct api_backups *all)
{
    /* No loop and no task runs: nobody else touches them. */
    for (struct api_backup *backup = all->first; backup != NULL;
         backup = backup->next)
        close_files(backup);
}

void api_backups_destroy(struct api_backups *all)
{
    if (all == NULL)
        return;
    assert(all->first == NULL);
    ldb_mutex_release(&all->mu);
    ldb_mem_free(all);
}

void api_backups_figures(struct api_backups *all,
                         struct api_backups_figures *out)
{
    ldb_mutex_lock(&all->mu);
    *out = all->figures;
    ldb_mutex_unlock(&all->mu);
}

/* ---- one ---- */

/* False: there are max already. */
static bool enter(struct api_backups *all, struct api_backup *backup,
                  size_t max)
{
    bool has_room;

    ldb_mutex_lock(&all->mu);
    has_room = all->figures.running < max;
    if (has_room) {
        all->figures.running++;
        all->figures.begun++;
        backup->next = all->first;
        if (all->first != NULL)
            all->first->previous = backup;
        all->first = backup;
    }
    ldb_mutex_unlock(&all->mu);
    return has_room;
}

static void ref(struct api_backup *backup)
{
    ldb_mutex_lock(&backup->all->mu);
    backup->refs++;
    ldb_mutex_unlock(&backup->all->mu);
}

static void unref(void *context)
{
    struct api_backup *backup = context;
    struct api_backups *all = backup->all;
    bool is_last;

    ldb_mutex_lock(&all->mu);
    is_last = --backup->refs == 0;
    if (is_last) {
        all->figures.running--;
        if (backup->previous != NULL)
            backup->previous->next = backup->next;
        else
            all->first = backup->next;
        if (backup->next != NULL)
            backup->next->previous = backup->previous;
    }
    ldb_mutex_unlock(&all->mu);
    if (!is_last)
        return;
    close_files(backup);
    ldb_mem_free(backup);
}

static void count_bytes(struct api_backups *all, uint64_t bytes)
{
    ldb_mutex_lock(&all->mu);
    all->figures.bytes += bytes;
    ldb_mutex_unlock(&all->mu);
}

/* ---- the stream ---- */

static enum ldb_status begin_file(struct api_backup *backup)
{
    struct ldb_backup_file file;
    enum ldb_status s = ldb_backup_next(backup->files, NULL, &file);

    backup->at = 0;
    if (s == LDB_NOT_FOUND) {
        backup->part = PART_END;
        return LDB_OK;
    }
    if (s != LDB_OK)
        return s;
    backup->part = PART_HEADER;
    backup->file_size = file.size;
    backup->header_len =
        api_tar_header(backup->header, file.name, file.size, backup->mtime_s);
    return LDB_OK;
}

/* Some zeros of count in all. */
static size_t give_zeros(struct api_backup *backup, size_t count, uint8_t *out,
                         size_t max)
{
    size_t left = count - backup->at;
    size_t len = left < max ? left : max;

    memset(out, 0, len);
    backup->at += len;
    return len;
}

static size_t give_header(struct api_backup *backup, uint8_t *out, size_t max)
{
    size_t left = backup->header_len - backup->at;
    size_t len = left < max ? left : max;

    memcpy(out, backup->header + backup->at, len);
    backup->at += len;
    if (backup->at == backup->header_len)
        backup->part = PART_FILE;
    return len;
}

/* The next bytes, at least one; *out_len 0: the end. */
static enum ldb_status give(struct api_backup *backup, uint8_t *out, size_t max,
                            size_t *out_len)
{
    enum ldb_status s = LDB_OK;

    *out_len = 0;
    while (s == LDB_OK && *out_len == 0) {
        switch (backup->part) {
        case PART_HEADER:
            *out_len = give_header(backup, out, max);
            break;
        case PART_FILE:
            s = ldb_backup_read(backup->files, out, max, NULL, out_len);
            if (s == LDB_OK && *out_len == 0) {
                backup->part = PART_PADDING;
                backup->at = 0;
            }
            break;
        case PART_PADDING:
            *out_len = give_zeros(backup, api_tar_padding(backup->file_size),
                                  out, max);
            if (*out_len == 0)
                s = begin_file(backup);
            break;
        case PART_END:
            *out_len = give_zeros(backup, API_TAR_END_BYTES, out, max);
            return LDB_OK;
        }
    }
    return s;
}

static int64_t read_stream(void *stream, uint8_t *out, size_t max)
{
    struct api_backup *backup = stream;
    size_t len = 0;

    /* A copy that lacks its end is seen to be cut. */
    if (api_db_gate_is_closing(backup->context->gate))
        return API_STREAM_FAILED;
    while (len < max) {
        size_t more = 0;

        if (give(backup, out + len, max - len, &more) != LDB_OK)
            return API_STREAM_FAILED;
        if (more == 0)
            break;
        len += more;
    }
    count_bytes(backup->all, len);
    return (int64_t)len;
}

static const struct api_stream_ops stream_ops = {
    .read = read_stream,
    .destroy = unref,
};

/* ---- the request ---- */

struct backup_request {
    struct api_backup *backup;
    struct api_task *task;
    struct api_task_watch watch;
    struct api_entry_headers headers;
};

/* The task: until a commit is over. */
static enum ldb_status pin(void *context, const struct ldb_progress *progress,
                           struct ldb_error *err, struct ldb_buf *result)
{
    struct api_backup *backup = context;
    struct api_db_gate *gate = backup->context->gate;
    enum ldb_status s;

    (void)progress;
    (void)result;
    if (!api_db_gate_enter(gate))
        return ldb_error_set(err, LDB_CLOSED,
                             "the node changes its role or its folder");
    s = ldb_backup_open(backup->context->db, err, &backup->files);
    if (s != LDB_OK)
        api_db_gate_leave(gate);
    return s;
}

static void answer_too_many(struct api_exchange *x)
{
    struct api_problem problem = {
        .kind = API_PROBLEM_OVERLOADED, .status = 429, .retry_after_s = 10};

    api_problem_detail(&problem, "%zu backups are streamed already",
                       x->context->limits.backups_max);
    api_answer_problem(x, &problem);
}

/* Makes the request's backup and its task. False: answered. */
static bool begin_backup(struct api_exchange *x, struct backup_request *request)
{
    struct api_context *context = x->context;
    struct api_backup *backup = ldb_mem_zalloc(1, sizeof(*backup));
    struct api_task_work work = {.lane = API_TASK_SHORT,
                                 .run = pin,
                                 .release = unref,
                                 .context = backup};
    struct ldb_error error = {0};
    enum ldb_status s;

    if (backup == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    backup->context = context;
    backup->all = context->backups;
    backup->refs = 1;
    backup->mtime_s = context->env->ops->wall_us(context->env) / 1000000;
    if (!enter(context->backups, backup, context->limits.backups_max)) {
        ldb_mem_free(backup);
        answer_too_many(x);
        return false;
    }
    request->backup = backup;
    ref(backup); /* the task's */
    s = api_tasks_submit(context->tasks, &work, &error, &request->task);
    if (s != LDB_OK)
        api_answer_status(x, s, &error);
    return s == LDB_OK;
}

void api_backup_finish(struct api_exchange *x)
{
    static const char *const types[] = {TYPE_TAR};
    struct backup_request *request =
        ldb_arena_alloc_aligned(x->arena, sizeof(*request));
    size_t choice;

    if (request == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(request, 0, sizeof(*request));
    if (!api_no_params(x) || !api_accept(x, types, 1, &choice) ||
        !api_conditions_refuse(x))
        return;
    if (x->context->read_only) {
        api_answer_read_only(x);
        return;
    }
    x->state = request;
    if (begin_backup(x, request) &&
        api_task_watch(request->task, &request->watch, x, UINT64_MAX, NULL) !=
            API_TASK_WATCHED)
        api_backup_resume(x);
}

static void answer_stream(struct api_exchange *x,
                          struct backup_request *request)
{
    struct api_backup *backup = request->backup;
    ldb_sequence sequence = ldb_backup_sequence(backup->files);

    if (!api_header_printf(x, "Content-Disposition",
                           "attachment; filename=\"leveld-%llu.tar\"",
                           (unsigned long long)sequence)) {
        api_answer_no_memory(x);
        return;
    }
    if (begin_file(backup) != LDB_OK) {
        api_answer_problemf(x, API_PROBLEM_INTERNAL,
                            "the first file of the backup cannot be read");
        return;
    }
    ref(backup); /* the stream's */
    api_header_sequence(x, &request->headers, sequence);
    api_answer_stream(x, 200, TYPE_TAR, &stream_ops, backup);
}

void api_backup_resume(struct api_exchange *x)
{
    struct backup_request *request = x->state;
    struct api_task_info info;

    api_task_describe(request->task, &info);
    if (info.state == API_TASK_DONE)
        answer_stream(x, request);
    else if (info.state == API_TASK_FAILED)
        api_answer_status(x, info.status, &info.error);
    else
        api_answer_status(x, LDB_CLOSED, NULL);
}

void api_backup_abandon(struct api_exchange *x)
{
    struct backup_request *request = x->state;

    if (request == NULL)
        return;
    api_task_unref(request->task);
    if (request->backup != NULL)
        unref(request->backup);
}
