/*
 * Work that takes too long for a loop: what an operator asks for (compactions,
 * checks, ...), which is listed, watched and cancelled, and short things that
 * wait for the engine, which are not listed. Three threads, each with a queue
 * of its own (a lane), so that what is short does not stand behind what takes
 * hours; they are started when they are first needed.
 *
 * A task is shared by the table and by whoever watches it, with references.
 *
 * Thread-safety: any thread, but what takes a watch: its exchange's loop.
 */
#ifndef API_TASKS_H
#define API_TASKS_H

#include "api/exchange.h"

/* Tasks that wait in one queue. Chosen: an operator asks for a few. */
#define API_TASKS_QUEUED_MAX 16
/* Those listed after their end, the newest. Chosen. */
#define API_TASKS_KEPT_MAX 64

enum api_task_state {
    API_TASK_QUEUED,
    API_TASK_RUNNING,
    API_TASK_DONE,
    API_TASK_FAILED,
    API_TASK_CANCELLED,
};

/* "queued", ... */
const char *api_task_state_text(enum api_task_state state);

enum api_task_lane {
    API_TASK_LONG,
    API_TASK_SHORT,
    /* Of the node's role, which waits for requests that use the database: and
     * those for tasks of the other lanes. */
    API_TASK_CHANGE,
};

struct api_task_work {
    const char *kind; /* "compact"; static. NULL: it is not listed */
    enum api_task_lane lane;
    /*
     * On the task's thread: not OK fails the task, CANCELLED cancels it. What
     * it appends to result is a JSON object, or nothing.
     */
    enum ldb_status (*run)(void *context, const struct ldb_progress *progress,
                           struct ldb_error *err, struct ldb_buf *result);
    /* With the task's last reference. */
    void (*release)(void *context);
    void *context;
};

/* Bytes of a result. */
#define API_TASK_RESULT_MAX ((size_t)64 << 10)

struct api_task_info {
    uint64_t id;
    const char *kind;
    enum api_task_state state;
    uint64_t done; /* bytes */
    uint64_t total;
    uint64_t queued_us; /* since 1970 */
    uint64_t ended_us;  /* 0: it has not ended */
    enum ldb_status status;
    struct ldb_error error; /* of a failed one */
};

bool api_task_info_has_ended(const struct api_task_info *info);

struct api_tasks;
struct api_task;

/* NULL: no memory. env is borrowed: threads and clocks. */
struct api_tasks *api_tasks_create(struct ldb_env *env);
/* Cancels all and waits for the threads; before the database is closed. */
void api_tasks_stop(struct api_tasks *all);
/* Stopped; no task has a reference elsewhere. NULL is fine. */
void api_tasks_destroy(struct api_tasks *all);

/*
 * Queues the work, which is taken over in any case. *out has a reference.
 * Errors: STALLED: the queue is full; CLOSED; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
api_tasks_submit(struct api_tasks *all, const struct api_task_work *work,
                 struct ldb_error *err, struct api_task **out);
void api_task_unref(struct api_task *task); /* NULL is fine */

void api_task_describe(struct api_task *task, struct api_task_info *out);
/* Of the work; what run left in it may be taken once the task has ended. */
void *api_task_context(const struct api_task *task);
/* Constant once the task has ended, empty before. */
struct ldb_slice api_task_result(struct api_task *task);

/* Listed ones, the newest first, up to max. Returns how many. */
size_t api_tasks_list(struct api_tasks *all, struct api_task_info *out,
                      size_t max);
/* A reference; NULL: there is none of that number. */
struct api_task *api_tasks_find(struct api_tasks *all, uint64_t id);

/*
 * It ends as soon as it can. NOT_FOUND; EXISTS: it has ended.
 */
LDB_MUST_CHECK enum ldb_status api_tasks_cancel(struct api_tasks *all,
                                                uint64_t id);

/* From now on nothing is queued or watched; all is cancelled. */
void api_tasks_close(struct api_tasks *all);

/* Housekeeping: wakes who watches in time. */
void api_tasks_tick(struct api_tasks *all);

struct api_tasks_figures {
    uint64_t queued;
    uint64_t running;
    uint64_t ended; /* since start */
    uint64_t failed;
};

/* Of those listed. */
void api_tasks_figures(struct api_tasks *all, struct api_tasks_figures *out);

/* ---- watching ---- */

/* Lives with the exchange. Its fields are guarded by the lock of the tasks. */
struct api_task_watch {
    struct api_task *task; /* NULL: not linked */
    struct api_exchange *x;
    uint64_t deadline_us;
    bool has_seen; /* woken when it is no longer as seen */
    struct api_task_info seen;
    struct api_task_watch *next;
};

enum api_task_watched {
    API_TASK_WATCHED, /* x is woken, once */
    API_TASK_CHANGED, /* it has ended, or moved, or the time is over */
    API_TASK_CLOSED,  /* nobody watches any more: the service ends */
};

/*
 * x is woken when the task ends, or at deadline_us (monotonic), or with seen
 * within some time of a change from that. watch is zeroed or was woken.
 */
LDB_MUST_CHECK enum api_task_watched
api_task_watch(struct api_task *task, struct api_task_watch *watch,
               struct api_exchange *x, uint64_t deadline_us,
               const struct api_task_info *seen);
/* Nobody wakes it once this has returned. */
void api_task_unwatch(struct api_tasks *all, struct api_task_watch *watch);

#endif
