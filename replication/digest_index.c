#include "replication/digest_index.h"

#include "replication/digest_file.h"
#include "replication/digest_table.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/* From the first new digest until it is stored: what a crash makes us find out
 * again. Chosen: each store writes all of the file. */
#define STORE_DELAY_US (UINT64_C(30) * 1000000)

/*
 * The thread holds the entry that it reads, so that it may be removed, or set
 * by somebody else, meanwhile.
 *
 * Locking.
 * Constant after creation: env, dir, thread, scratch (the thread's).
 * Protected by mu: the rest. It is held for no call of the file system; who
 * waits is told under it.
 */
struct repl_digest_index {
    struct ldb_env *env;
    char *dir;
    struct ldb_thread *thread;
    uint8_t *scratch;

    struct ldb_mutex mu;
    struct ldb_cond changed; /* the thread has something to do */
    struct repl_digest_table table;
    const struct repl_digest_entry *reading; /* NULL: none */
    bool is_closing;
    bool is_changed; /* since the last store, or its beginning */
    uint64_t store_at_us;
    uint64_t files_read;
    uint64_t bytes_read;
    uint64_t failures;
    uint64_t store_failures;
};

static struct repl_digest_file plain(const struct repl_digest_file *file)
{
    struct repl_digest_file own = *file;

    if (own.type == LDB_FILE_TABLE_SST)
        own.type = LDB_FILE_TABLE;
    assert(own.type == LDB_FILE_TABLE || own.type == LDB_FILE_JOURNAL);
    return own;
}

/* ---- who waits ---- */

/* Tells all; afterwards nobody waits for it. */
static void tell(struct repl_digest_entry *entry, enum ldb_status s,
                 const struct ldb_digest *digest, const struct ldb_error *err)
{
    struct repl_digest_ask *ask;

    while ((ask = entry->asks) != NULL) {
        entry->asks = ask->next;
        ask->done(ask, s, digest, err);
    }
}

static void add_ask(struct repl_digest_entry *entry,
                    struct repl_digest_ask *ask)
{
    ask->next = entry->asks;
    entry->asks = ask;
}

/* ---- what is known ---- */

static void note_change(struct repl_digest_index *index) LDB_REQUIRES(index->mu)
{
    if (index->is_changed)
        return;
    index->is_changed = true;
    index->store_at_us =
        index->env->ops->monotonic_us(index->env) + STORE_DELAY_US;
    ldb_cond_signal(&index->changed);
}

static void make_known(struct repl_digest_index *index,
                       struct repl_digest_entry *entry,
                       const struct ldb_digest *digest) LDB_REQUIRES(index->mu)
{
    tell(entry, LDB_OK, digest, NULL);
    repl_digest_table_set(&index->table, entry, digest);
    note_change(index);
}

/* ---- storing ---- */

/* What is known, as far as there is room for it. Drops mu for the memory. */
static enum ldb_status list_known(struct repl_digest_index *index,
                                  struct ldb_error *err,
                                  struct repl_digest_list *out)
    LDB_REQUIRES(index->mu)
{
    size_t capacity = index->table.known;
    const struct repl_digest_entry *entry = NULL;

    ldb_mutex_unlock(&index->mu);
    out->items = ldb_mem_alloc(capacity, sizeof(*out->items));
    ldb_mutex_lock(&index->mu);
    if (out->items == NULL)
        return ldb_error_no_memory(err);
    index->is_changed = false;
    while ((entry = repl_digest_table_next(&index->table, entry)) != NULL) {
        if (entry->state != REPL_DIGEST_KNOWN)
            continue;
        if (out->count < capacity)
            out->items[out->count++] = (struct repl_digest_record){
                .file = entry->file, .digest = entry->digest};
        else
            note_change(index); /* it came meanwhile: the next time */
    }
    return LDB_OK;
}

/* Stores what is known, and forgets what is gone. Drops mu meanwhile. */
static enum ldb_status store(struct repl_digest_index *index,
                             struct ldb_error *err) LDB_REQUIRES(index->mu)
{
    struct repl_digest_list list = {0};
    size_t gone = 0;
    enum ldb_status s = list_known(index, err, &list);

    ldb_mutex_unlock(&index->mu);
    /* Without a look at the folder all is stored. */
    if (s == LDB_OK && repl_digest_store_sort_out(index->env, index->dir, &list,
                                                  NULL, &gone) != LDB_OK)
        gone = 0;
    if (s == LDB_OK)
        s = repl_digest_store_save(index->env, index->dir, &list,
                                   list.count - gone, err);
    ldb_mutex_lock(&index->mu);
    for (size_t i = list.count - gone; i < list.count; i++) {
        struct repl_digest_entry *entry =
            repl_digest_table_find(&index->table, &list.items[i].file);

        if (entry != NULL && entry->state == REPL_DIGEST_KNOWN)
            repl_digest_table_remove(&index->table, entry);
    }
    if (s != LDB_OK) {
        index->store_failures++;
        note_change(index);
    }
    repl_digest_list_release(&list);
    return s;
}

/* ---- the thread ---- */

/* Whether what is being read is still wanted. */
static bool goes_on(void *context)
{
    struct repl_digest_index *index = context;
    bool result;

    ldb_mutex_lock(&index->mu);
    result = !index->is_closing && !index->reading->is_removed &&
             index->reading->state == REPL_DIGEST_READING;
    ldb_mutex_unlock(&index->mu);
    return result;
}

/* It cannot be found out: whoever waits is told, and who asks again makes us
 * try again. */
static void fail_entry(struct repl_digest_index *index,
                       struct repl_digest_entry *entry, enum ldb_status s,
                       const struct ldb_error *err) LDB_REQUIRES(index->mu)
{
    if (s != LDB_NOT_FOUND)
        index->failures++;
    tell(entry, s, NULL, err);
    repl_digest_table_remove(&index->table, entry);
}

/* Drops mu while it reads. */
static void read_entry(struct repl_digest_index *index,
                       struct repl_digest_entry *entry) LDB_REQUIRES(index->mu)
{
    const struct repl_digest_reading reading = {
        .goes_on = goes_on, .context = index, .scratch = index->scratch};
    struct repl_digest_file file = entry->file;
    struct ldb_error err = {0};
    struct ldb_digest digest;
    enum ldb_status s;

    entry->is_held = true;
    index->reading = entry;
    ldb_mutex_unlock(&index->mu);
    s = repl_digest_file_read(index->env, index->dir, &file, &reading, &err,
                              &digest);
    ldb_mutex_lock(&index->mu);
    index->reading = NULL;
    if (s == LDB_OK) {
        index->files_read++;
        index->bytes_read += file.size;
    }
    if (!repl_digest_table_let_go(entry) || entry->state == REPL_DIGEST_KNOWN)
        return;
    if (s == LDB_OK)
        make_known(index, entry, &digest);
    else if (s != LDB_CANCELLED)
        fail_entry(index, entry, s, &err);
    else
        assert(index->is_closing); /* which tells who waits */
}

static void run(void *context)
{
    struct repl_digest_index *index = context;

    ldb_mutex_lock(&index->mu);
    while (!index->is_closing) {
        uint64_t now_us = index->env->ops->monotonic_us(index->env);
        struct repl_digest_entry *entry;

        if (index->is_changed && now_us >= index->store_at_us) {
            /* A failure is counted, and it is tried again. */
            LDB_IGNORE(store(index, NULL));
            continue;
        }
        entry = repl_digest_table_take(&index->table);
        if (entry != NULL)
            read_entry(index, entry);
        else if (index->is_changed)
            (void)ldb_cond_wait_for(&index->changed, &index->mu,
                                    index->store_at_us - now_us);
        else
            ldb_cond_wait(&index->changed, &index->mu);
    }
    ldb_mutex_unlock(&index->mu);
}

/* ---- life ---- */

static void destroy(struct repl_digest_index *index)
{
    repl_digest_table_release(&index->table);
    ldb_cond_release(&index->changed);
    ldb_mutex_release(&index->mu);
    ldb_mem_free(index->scratch);
    ldb_mem_free(index->dir);
    ldb_mem_free(index);
}

static enum ldb_status load(struct repl_digest_index *index,
                            struct ldb_error *err)
{
    struct repl_digest_list list = {0};
    enum ldb_status s =
        repl_digest_store_load(index->env, index->dir, err, &list);

    for (size_t i = 0; s == LDB_OK && i < list.count; i++) {
        const struct repl_digest_record *record = &list.items[i];
        struct repl_digest_entry *entry =
            repl_digest_table_find(&index->table, &record->file);

        if (entry == NULL)
            entry = repl_digest_table_add(&index->table, &record->file);
        if (entry == NULL)
            s = ldb_error_no_memory(err);
        else
            repl_digest_table_set(&index->table, entry, &record->digest);
    }
    repl_digest_list_release(&list);
    return s;
}

enum ldb_status repl_digest_index_open(struct ldb_env *env, const char *dir,
                                       struct ldb_error *err,
                                       struct repl_digest_index **out)
{
    struct repl_digest_index *index = ldb_mem_zalloc(1, sizeof(*index));
    enum ldb_status s;

    if (index == NULL)
        return ldb_error_no_memory(err);
    index->env = env;
    ldb_mutex_init(&index->mu);
    ldb_cond_init(&index->changed);
    index->dir = ldb_mem_strdup(dir);
    index->scratch = ldb_mem_alloc(1, REPL_DIGEST_READ_SIZE);
    if (index->dir == NULL || index->scratch == NULL ||
        !repl_digest_table_init(&index->table))
        s = ldb_error_no_memory(err);
    else
        s = load(index, err);
    if (s == LDB_OK)
        s = env->ops->thread_start(env, "digests", run, index, err,
                                   &index->thread);
    if (s == LDB_OK)
        *out = index;
    else
        destroy(index);
    return s;
}

static void tell_all(struct repl_digest_index *index) LDB_REQUIRES(index->mu)
{
    struct repl_digest_entry *entry = NULL;
    struct ldb_error err = {0};

    ldb_error_set(&err, LDB_CLOSED, "digests are found out no more");
    while ((entry = repl_digest_table_next(&index->table, entry)) != NULL)
        tell(entry, LDB_CLOSED, NULL, &err);
}

enum ldb_status repl_digest_index_close(struct repl_digest_index *index,
                                        struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (index == NULL)
        return LDB_OK;
    ldb_mutex_lock(&index->mu);
    index->is_closing = true;
    ldb_cond_signal(&index->changed);
    ldb_mutex_unlock(&index->mu);
    index->env->ops->thread_join(index->env, index->thread);
    ldb_mutex_lock(&index->mu);
    tell_all(index);
    if (index->is_changed)
        s = store(index, err);
    ldb_mutex_unlock(&index->mu);
    destroy(index);
    return s;
}

/* ---- asking and telling ---- */

bool repl_digest_index_get(struct repl_digest_index *index,
                           const struct repl_digest_file *file,
                           struct ldb_digest *out)
{
    struct repl_digest_file own = plain(file);
    const struct repl_digest_entry *entry;
    bool is_known;

    ldb_mutex_lock(&index->mu);
    entry = repl_digest_table_find(&index->table, &own);
    is_known = entry != NULL && entry->state == REPL_DIGEST_KNOWN;
    if (is_known)
        *out = entry->digest;
    ldb_mutex_unlock(&index->mu);
    return is_known;
}

/* The entry, queued unless it is known or being read. NULL: no memory. */
static struct repl_digest_entry *
find_or_want(struct repl_digest_index *index,
             const struct repl_digest_file *file, bool is_urgent)
    LDB_REQUIRES(index->mu)
{
    struct repl_digest_entry *entry =
        repl_digest_table_find(&index->table, file);

    if (entry == NULL)
        entry = repl_digest_table_add(&index->table, file);
    if (entry != NULL && (entry->state == REPL_DIGEST_NEW ||
                          entry->state == REPL_DIGEST_QUEUED)) {
        repl_digest_table_queue(&index->table, entry, is_urgent);
        ldb_cond_signal(&index->changed);
    }
    return entry;
}

bool repl_digest_index_want(struct repl_digest_index *index,
                            const struct repl_digest_file *file)
{
    struct repl_digest_file own = plain(file);
    bool has_memory;

    ldb_mutex_lock(&index->mu);
    has_memory = find_or_want(index, &own, false) != NULL;
    ldb_mutex_unlock(&index->mu);
    return has_memory;
}

enum ldb_status repl_digest_index_ask(struct repl_digest_index *index,
                                      struct repl_digest_ask *ask,
                                      struct ldb_error *err,
                                      struct ldb_digest *out)
{
    struct repl_digest_file own = plain(&ask->file);
    enum ldb_status s = LDB_OK;
    struct repl_digest_entry *entry;

    ldb_mutex_lock(&index->mu);
    entry = find_or_want(index, &own, true);
    if (entry == NULL) {
        s = ldb_error_no_memory(err);
    } else if (entry->state == REPL_DIGEST_KNOWN) {
        *out = entry->digest;
    } else {
        add_ask(entry, ask);
        s = LDB_STALLED;
    }
    ldb_mutex_unlock(&index->mu);
    return s;
}

bool repl_digest_index_put(struct repl_digest_index *index,
                           const struct repl_digest_file *file,
                           const struct ldb_digest *digest)
{
    struct repl_digest_file own = plain(file);
    struct repl_digest_entry *entry;

    ldb_mutex_lock(&index->mu);
    entry = repl_digest_table_find(&index->table, &own);
    if (entry == NULL)
        entry = repl_digest_table_add(&index->table, &own);
    if (entry != NULL)
        make_known(index, entry, digest);
    ldb_mutex_unlock(&index->mu);
    return entry != NULL;
}

void repl_digest_index_drop(struct repl_digest_index *index,
                            enum ldb_file_type type, uint64_t number)
{
    struct repl_digest_file own =
        plain(&(struct repl_digest_file){.type = type, .number = number});
    struct repl_digest_entry *entry;
    struct ldb_error err = {0};

    ldb_error_set(&err, LDB_NOT_FOUND, "the file has gone");
    ldb_mutex_lock(&index->mu);
    while ((entry = repl_digest_table_find_name(&index->table, own.type,
                                                number)) != NULL) {
        if (entry->state == REPL_DIGEST_KNOWN)
            note_change(index);
        tell(entry, LDB_NOT_FOUND, NULL, &err);
        repl_digest_table_remove(&index->table, entry);
    }
    ldb_mutex_unlock(&index->mu);
}

void repl_digest_index_figures(struct repl_digest_index *index,
                               struct repl_digest_index_figures *out)
{
    ldb_mutex_lock(&index->mu);
    *out = (struct repl_digest_index_figures){
        .known = index->table.known,
        .wanted = index->table.queued + (index->reading != NULL),
        .files_read = index->files_read,
        .bytes_read = index->bytes_read,
        .failures = index->failures,
        .store_failures = index->store_failures,
    };
    ldb_mutex_unlock(&index->mu);
}
