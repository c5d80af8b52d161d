#include "storage/version/live_versions.h"

#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/version/version_internal.h"

/* Locking: all guarded by mu. */
struct ldb_live_versions {
    struct ldb_mutex mu;
    struct ldb_version *oldest;
    struct ldb_version *newest;
    struct ldb_table_node *obsolete;
    size_t obsolete_count;
    struct ldb_table_node *held;
    bool is_holding;
    void (*on_obsolete)(void *context);
    void *context;
    /* Sorted, for ldb_live_versions_has(): made when asked, dropped when the
     * list changes. */
    uint64_t *numbers;
    size_t number_count;
};

/* ---- nodes ---- */

enum ldb_status ldb_table_nodes_push(struct ldb_table_node **list,
                                     struct ldb_file_meta *meta)
{
    struct ldb_table_node *node = ldb_mem_alloc(1, sizeof(*node));

    if (node == NULL)
        return LDB_NO_MEMORY;
    node->next = *list;
    node->meta = ldb_file_meta_ref(meta);
    *list = node;
    return LDB_OK;
}

void ldb_table_nodes_destroy(struct ldb_table_node *list)
{
    while (list != NULL) {
        struct ldb_table_node *next = list->next;

        ldb_file_meta_unref(list->meta);
        ldb_mem_free(list);
        list = next;
    }
}

static struct ldb_table_node *pop(struct ldb_table_node **list)
{
    struct ldb_table_node *node = *list;

    *list = node->next;
    return node;
}

static void push(struct ldb_table_node **list, struct ldb_table_node *node)
{
    node->next = *list;
    *list = node;
}

/* ---- life ---- */

struct ldb_live_versions *ldb_live_versions_create(void)
{
    struct ldb_live_versions *live = ldb_mem_zalloc(1, sizeof(*live));

    if (live != NULL)
        ldb_mutex_init(&live->mu);
    return live;
}

void ldb_live_versions_destroy(struct ldb_live_versions *live)
{
    if (live == NULL)
        return;
    assert(live->oldest == NULL && live->newest == NULL);
    ldb_table_nodes_destroy(live->obsolete);
    ldb_table_nodes_destroy(live->held);
    ldb_mem_free(live->numbers);
    ldb_mutex_release(&live->mu);
    ldb_mem_free(live);
}

/* ---- changes ---- */

static void drop_numbers_locked(struct ldb_live_versions *live)
    LDB_REQUIRES(live->mu)
{
    ldb_mem_free(live->numbers);
    live->numbers = NULL;
    live->number_count = 0;
}

static void make_obsolete_locked(struct ldb_live_versions *live,
                                 struct ldb_table_node *tables)
    LDB_REQUIRES(live->mu)
{
    while (tables != NULL) {
        push(&live->obsolete, pop(&tables));
        live->obsolete_count++;
    }
}

/* Unlocks, and tells who waits when there is something to take. */
static void unlock_and_tell(struct ldb_live_versions *live)
    LDB_RELEASE(live->mu)
{
    void (*on_obsolete)(void *context) = NULL;
    void *context = live->context;

    if (live->obsolete_count > 0 && !live->is_holding)
        on_obsolete = live->on_obsolete;
    ldb_mutex_unlock(&live->mu);
    if (on_obsolete != NULL)
        on_obsolete(context);
}

void ldb_live_versions_add(struct ldb_live_versions *live,
                           struct ldb_version *version,
                           struct ldb_table_node *removed)
{
    ldb_mutex_lock(&live->mu);
    assert(version->live == NULL);
    version->live = live;
    version->older = live->newest;
    if (live->newest == NULL) {
        assert(removed == NULL);
        live->oldest = version;
    } else {
        assert(live->newest->last_tables == NULL);
        live->newest->last_tables = removed;
        live->newest->newer = version;
    }
    live->newest = version;
    drop_numbers_locked(live);
    ldb_mutex_unlock(&live->mu);
}

void ldb_live_versions_forget(struct ldb_live_versions *live,
                              struct ldb_version *version)
{
    struct ldb_version *older;

    ldb_mutex_lock(&live->mu);
    older = version->older;
    while (version->last_tables != NULL) {
        struct ldb_table_node *node = pop(&version->last_tables);

        if (older != NULL && ldb_version_contains(older, node->meta)) {
            push(&older->last_tables, node);
        } else {
            push(&live->obsolete, node);
            live->obsolete_count++;
        }
    }
    if (older != NULL)
        older->newer = version->newer;
    else
        live->oldest = version->newer;
    if (version->newer != NULL)
        version->newer->older = older;
    else
        live->newest = older;
    drop_numbers_locked(live);
    unlock_and_tell(live);
    ldb_version_free(version);
}

void ldb_live_versions_drop(struct ldb_live_versions *live,
                            struct ldb_table_node *tables)
{
    ldb_mutex_lock(&live->mu);
    make_obsolete_locked(live, tables);
    unlock_and_tell(live);
}

void ldb_live_versions_hold(struct ldb_live_versions *live,
                            struct ldb_table_node *tables)
{
    ldb_mutex_lock(&live->mu);
    live->is_holding = true;
    while (tables != NULL)
        push(&live->held, pop(&tables));
    drop_numbers_locked(live);
    ldb_mutex_unlock(&live->mu);
}

void ldb_live_versions_settle(struct ldb_live_versions *live)
{
    ldb_mutex_lock(&live->mu);
    live->is_holding = false;
    while (live->held != NULL) {
        struct ldb_table_node *node = pop(&live->held);

        assert(!ldb_version_contains(live->newest, node->meta));
        push(&live->obsolete, node);
        live->obsolete_count++;
    }
    drop_numbers_locked(live);
    unlock_and_tell(live);
}

/* ---- questions ---- */

/* Calls visit for every table; false stops. A list that the newer neighbour
 * shares is visited once. Returns false when stopped. */
static bool visit_tables_locked(struct ldb_live_versions *live,
                                bool (*visit)(void *context, uint64_t number),
                                void *context) LDB_REQUIRES(live->mu)
{
    for (const struct ldb_version *v = live->oldest; v != NULL; v = v->newer) {
        for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
            const struct ldb_level *level = &v->levels[l];

            if (v->newer != NULL && v->newer->levels[l].list == level->list)
                continue;
            for (size_t i = 0; i < level->count; i++)
                if (!visit(context, level->files[i]->number))
                    return false;
        }
    }
    for (const struct ldb_table_node *n = live->held; n != NULL; n = n->next)
        if (!visit(context, n->meta->number))
            return false;
    return true;
}

static bool count_number(void *context, uint64_t number)
{
    size_t *count = context;

    (void)number;
    (*count)++;
    return true;
}

static bool store_number(void *context, uint64_t number)
{
    struct ldb_live_versions *live = context;

    live->numbers[live->number_count++] = number;
    return true;
}

static bool is_other_number(void *context, uint64_t number)
{
    const uint64_t *wanted = context;

    return number != *wanted;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

static void make_numbers_locked(struct ldb_live_versions *live)
    LDB_REQUIRES(live->mu)
{
    size_t count = 0;

    (void)visit_tables_locked(live, count_number, &count);
    live->numbers = ldb_mem_alloc(count + 1, sizeof(*live->numbers));
    if (live->numbers == NULL)
        return;
    (void)visit_tables_locked(live, store_number, live);
    assert(live->number_count == count);
    qsort(live->numbers, count, sizeof(*live->numbers), compare_numbers);
}

bool ldb_live_versions_has(struct ldb_live_versions *live, uint64_t number)
{
    bool has;

    ldb_mutex_lock(&live->mu);
    if (live->numbers == NULL)
        make_numbers_locked(live);
    if (live->numbers != NULL)
        has = bsearch(&number, live->numbers, live->number_count,
                      sizeof(number), compare_numbers) != NULL;
    else
        has = !visit_tables_locked(live, is_other_number, &number);
    ldb_mutex_unlock(&live->mu);
    return has;
}

enum ldb_status ldb_live_versions_take(struct ldb_live_versions *live,
                                       uint64_t **out, size_t *out_count)
{
    struct ldb_table_node *taken = NULL;
    uint64_t *numbers = NULL;
    size_t count = 0;
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&live->mu);
    if (live->obsolete_count > 0 && !live->is_holding) {
        numbers = ldb_mem_alloc(live->obsolete_count, sizeof(*numbers));
        if (numbers == NULL) {
            s = LDB_NO_MEMORY;
        } else {
            taken = live->obsolete;
            live->obsolete = NULL;
            live->obsolete_count = 0;
        }
    }
    ldb_mutex_unlock(&live->mu);
    if (s != LDB_OK)
        return s;
    for (const struct ldb_table_node *n = taken; n != NULL; n = n->next)
        numbers[count++] = n->meta->number;
    ldb_table_nodes_destroy(taken);
    *out = numbers;
    *out_count = count;
    return LDB_OK;
}

void ldb_live_versions_on_obsolete(struct ldb_live_versions *live,
                                   void (*on_obsolete)(void *context),
                                   void *context)
{
    ldb_mutex_lock(&live->mu);
    live->on_obsolete = on_obsolete;
    live->context = context;
    ldb_mutex_unlock(&live->mu);
}
