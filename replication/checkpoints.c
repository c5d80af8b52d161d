#include "replication/checkpoints.h"

#include <inttypes.h>
#include <string.h>

#include "replication/digest_index.h"
#include "replication/held_version.h"
#include "replication/journal_list.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/retained.h"

/* Times to begin anew. Chosen: each takes a flush between two calls. */
#define ATTEMPTS_MAX 100

/* One of them. Constant once it is in the list, but for used_us and pin. */
struct checkpoint {
    uint64_t id;
    char node_id[REPL_ID_SIZE];
    struct repl_held_version held;
    struct ldb_pin pin; /* its journals; the list's own */
    uint64_t used_us;   /* under the lock of all */
    struct checkpoint *next;
};

/*
 * Locking: the pointers are constant. mu guards the list, in which nobody waits
 * for the engine: what is taken off it is let go of afterwards.
 */
struct repl_checkpoints {
    struct ldb_db *db;
    struct ldb_env *env;
    char *dir;
    struct ldb_retained *retained;
    struct repl_digest_index *digests; /* NULL: none */

    struct ldb_mutex mu;
    struct checkpoint *first; /* guarded by mu */
    size_t count;             /* guarded by mu */
    uint64_t last_id;         /* guarded by mu */
};

struct repl_checkpoints *
repl_checkpoints_create(struct ldb_db *db, struct ldb_env *env, const char *dir,
                        struct repl_digest_index *digests)
{
    struct repl_checkpoints *all = ldb_mem_zalloc(1, sizeof(*all));

    if (all == NULL)
        return NULL;
    all->dir = ldb_mem_strdup(dir);
    if (all->dir == NULL) {
        ldb_mem_free(all);
        return NULL;
    }
    all->db = db;
    all->env = env;
    all->retained = ldb_db_retained(db);
    all->digests = digests;
    assert(all->retained != NULL);
    ldb_mutex_init(&all->mu);
    return all;
}

/* ---- letting go ---- */

static void destroy(struct repl_checkpoints *all, struct checkpoint *c)
{
    ldb_retained_unpin(all->retained, &c->pin);
    repl_held_version_release(&c->held);
    ldb_mem_free(c);
}

/* A list of those taken off. */
static void destroy_list(struct repl_checkpoints *all, struct checkpoint *list)
{
    while (list != NULL) {
        struct checkpoint *next = list->next;

        destroy(all, list);
        list = next;
    }
}

static bool is_over(struct repl_checkpoints *all, const struct checkpoint *c,
                    uint64_t now_us)
{
    uint64_t len;

    return now_us - c->used_us >= REPL_CHECKPOINT_IDLE_US ||
           ldb_retained_pin_is_lost(all->retained, &c->pin, &len);
}

/* What takes one off the list. */
struct choice {
    uint64_t id;         /* that one; 0: none */
    const char *node_id; /* that node's; NULL: none */
    bool if_over;
    bool all;
};

static bool is_chosen(struct repl_checkpoints *all, const struct checkpoint *c,
                      const struct choice *choice, uint64_t now_us)
{
    return choice->all || c->id == choice->id ||
           (choice->node_id != NULL &&
            strcmp(c->node_id, choice->node_id) == 0) ||
           (choice->if_over && is_over(all, c, now_us));
}

static struct checkpoint *take_off_locked(struct repl_checkpoints *all,
                                          const struct choice *choice)
    LDB_REQUIRES(all->mu)
{
    uint64_t now_us = all->env->ops->monotonic_us(all->env);
    struct checkpoint **at = &all->first;
    struct checkpoint *list = NULL;

    while (*at != NULL) {
        struct checkpoint *c = *at;

        if (!is_chosen(all, c, choice, now_us)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = list;
        list = c;
        all->count--;
    }
    return list;
}

static void take_off(struct repl_checkpoints *all, const struct choice *choice)
{
    struct checkpoint *list;

    ldb_mutex_lock(&all->mu);
    list = take_off_locked(all, choice);
    ldb_mutex_unlock(&all->mu);
    destroy_list(all, list);
}

void repl_checkpoints_drop(struct repl_checkpoints *checkpoints, uint64_t id)
{
    take_off(checkpoints, &(struct choice){.id = id});
}

void repl_checkpoints_tick(struct repl_checkpoints *checkpoints)
{
    take_off(checkpoints, &(struct choice){.if_over = true});
}

void repl_checkpoints_clear(struct repl_checkpoints *checkpoints)
{
    take_off(checkpoints, &(struct choice){.all = true});
}

void repl_checkpoints_destroy(struct repl_checkpoints *checkpoints)
{
    if (checkpoints == NULL)
        return;
    repl_checkpoints_clear(checkpoints);
    ldb_mutex_release(&checkpoints->mu);
    ldb_mem_free(checkpoints->dir);
    ldb_mem_free(checkpoints);
}

/* ---- making one ---- */

/* The version, and its journals pinned. */
static enum ldb_status hold(struct repl_checkpoints *all, struct checkpoint *c,
                            struct ldb_error *err)
{
    for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
        enum ldb_status s = repl_held_version_take(all->db, err, &c->held);

        if (s != LDB_OK)
            return s;
        if (ldb_retained_pin(all->retained, &c->pin, c->held.log_number))
            return LDB_OK;
        /* Flushed, and gone, between the two. */
        ldb_retained_unpin(all->retained, &c->pin);
        repl_held_version_release(&c->held);
    }
    return ldb_error_set(err, LDB_GONE,
                         "journals go faster than they can be held");
}

static enum ldb_status name_table(const struct ldb_folder_files *folder,
                                  uint64_t number, struct ldb_error *err,
                                  char out[LDB_FILE_NAME_SIZE])
{
    enum ldb_file_type type =
        ldb_folder_files_has(folder, LDB_FILE_TABLE, number)
            ? LDB_FILE_TABLE
            : LDB_FILE_TABLE_SST;

    ldb_file_name_print(out, type, number);
    if (!ldb_folder_files_has(folder, type, number))
        return ldb_error_set(err, LDB_CORRUPTION,
                             "table %06" PRIu64 " is missing", number);
    return LDB_OK;
}

static void fill_digest(struct repl_checkpoints *all,
                        const struct repl_held_table *table,
                        struct repl_file_entry *entry)
{
    const struct repl_digest_file file = {
        .type = LDB_FILE_TABLE, .number = table->number, .size = table->size};

    if (all->digests == NULL)
        return;
    entry->has_digest =
        repl_digest_index_get(all->digests, &file, &entry->digest);
    if (!entry->has_digest)
        (void)repl_digest_index_want(all->digests, &file);
}

static enum ldb_status fill_files(struct repl_checkpoints *all,
                                  const struct repl_held_version *held,
                                  struct ldb_error *err,
                                  struct repl_checkpoint *out)
{
    struct ldb_folder_files folder = {0};
    enum ldb_status s = LDB_OK;

    if (held->table_count == 0)
        return LDB_OK;
    out->files = ldb_mem_zalloc(held->table_count, sizeof(*out->files));
    if (out->files == NULL)
        return ldb_error_no_memory(err);
    out->file_count = held->table_count;
    /* .ldb or .sst: only the folder knows. */
    s = ldb_folder_files_list(all->env, all->dir, err, &folder);
    for (size_t i = 0; s == LDB_OK && i < held->table_count; i++) {
        struct repl_file_entry *entry = &out->files[i];

        entry->size = held->tables[i].size;
        fill_digest(all, &held->tables[i], entry);
        s = name_table(&folder, held->tables[i].number, err, entry->name);
    }
    ldb_folder_files_release(&folder);
    return s;
}

static enum ldb_status describe(struct repl_checkpoints *all,
                                const struct checkpoint *c,
                                struct ldb_error *err,
                                struct repl_checkpoint *out)
{
    const struct repl_held_version *held = &c->held;
    struct repl_journal_list journals = {0};
    enum ldb_status s;

    s = repl_journal_list_take(all->db, all->digests, held->log_number, err,
                               &journals);
    if (s != LDB_OK)
        return s;
    *out = (struct repl_checkpoint){
        .manifest_number = held->manifest_number,
        .manifest_len = held->manifest_len,
        .log_number = held->log_number,
        .last_sequence = held->last_sequence,
        .journals = journals.entries,
        .journal_count = journals.count,
    };
    return fill_files(all, held, err, out);
}

/* In the list, in place of the node's earlier one; false: there is no room. */
static bool put_in(struct repl_checkpoints *all, struct checkpoint *c,
                   uint64_t *out_id)
{
    const struct choice choice = {.node_id = c->node_id, .if_over = true};
    struct checkpoint *earlier;
    bool has_room;

    ldb_mutex_lock(&all->mu);
    earlier = take_off_locked(all, &choice);
    has_room = all->count < REPL_CHECKPOINTS_MAX;
    if (has_room) {
        c->id = ++all->last_id;
        *out_id = c->id; /* from now on it may go at any time */
        c->used_us = all->env->ops->monotonic_us(all->env);
        c->next = all->first;
        all->first = c;
        all->count++;
    }
    ldb_mutex_unlock(&all->mu);
    destroy_list(all, earlier);
    return has_room;
}

enum ldb_status repl_checkpoints_make(struct repl_checkpoints *checkpoints,
                                      const char *node_id,
                                      struct ldb_error *err,
                                      struct repl_checkpoint *out)
{
    struct repl_checkpoints *all = checkpoints;
    struct repl_checkpoint result = {0};
    struct checkpoint *c = ldb_mem_zalloc(1, sizeof(*c));
    enum ldb_status s;

    if (c == NULL)
        return ldb_error_no_memory(err);
    assert(strlen(node_id) < sizeof(c->node_id));
    memcpy(c->node_id, node_id, strlen(node_id));
    s = hold(all, c, err);
    if (s == LDB_OK)
        s = describe(all, c, err, &result);
    if (s == LDB_OK && !put_in(all, c, &result.id))
        s = ldb_error_set(err, LDB_STALLED,
                          "%d checkpoints are held already: as many as there "
                          "may be",
                          REPL_CHECKPOINTS_MAX);
    if (s != LDB_OK) {
        repl_checkpoint_release(&result);
        destroy(all, c);
        return s;
    }
    *out = result;
    return LDB_OK;
}

/* ---- using them ---- */

bool repl_checkpoints_renew(struct repl_checkpoints *checkpoints, uint64_t id)
{
    struct repl_checkpoints *all = checkpoints;
    uint64_t now_us;
    bool is_here = false;

    ldb_mutex_lock(&all->mu);
    now_us = all->env->ops->monotonic_us(all->env);
    for (struct checkpoint *c = all->first; c != NULL; c = c->next) {
        if (c->id != id || is_over(all, c, now_us))
            continue;
        c->used_us = now_us;
        is_here = true;
    }
    ldb_mutex_unlock(&all->mu);
    return is_here;
}

bool repl_checkpoints_use_table(struct repl_checkpoints *checkpoints,
                                uint64_t number, uint64_t *out_size)
{
    struct repl_checkpoints *all = checkpoints;
    uint64_t now_us;
    bool is_here = false;

    ldb_mutex_lock(&all->mu);
    now_us = all->env->ops->monotonic_us(all->env);
    /* All that name it: it cannot be told whose request this is. */
    for (struct checkpoint *c = all->first; c != NULL; c = c->next) {
        const struct repl_held_table *table =
            repl_held_version_find(&c->held, number);

        if (table == NULL)
            continue;
        c->used_us = now_us;
        *out_size = table->size;
        is_here = true;
    }
    ldb_mutex_unlock(&all->mu);
    return is_here;
}

size_t repl_checkpoints_count(struct repl_checkpoints *checkpoints)
{
    size_t count;

    ldb_mutex_lock(&checkpoints->mu);
    count = checkpoints->count;
    ldb_mutex_unlock(&checkpoints->mu);
    return count;
}
