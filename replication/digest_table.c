#include "replication/digest_table.h"

#include "storage/base/mem.h"

/* At first; they double with the entries. */
#define BUCKETS_MIN 64

bool repl_digest_table_init(struct repl_digest_table *table)
{
    *table = (struct repl_digest_table){0};
    table->buckets =
        ldb_mem_zalloc(BUCKETS_MIN, sizeof(struct repl_digest_entry *));
    if (table->buckets == NULL)
        return false;
    table->bucket_count = BUCKETS_MIN;
    return true;
}

void repl_digest_table_release(struct repl_digest_table *table)
{
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct repl_digest_entry *next;

        for (struct repl_digest_entry *entry = table->buckets[i]; entry != NULL;
             entry = next) {
            next = entry->next_in_bucket;
            assert(entry->asks == NULL && !entry->is_held);
            ldb_mem_free(entry);
        }
    }
    ldb_mem_free(table->buckets);
    *table = (struct repl_digest_table){0};
}

/* ---- entries ---- */

static struct repl_digest_entry **bucket_of(struct repl_digest_table *table,
                                            uint64_t number)
{
    /* Files are numbered one after the other: that spreads as well as can be.
     */
    return &table->buckets[number & (table->bucket_count - 1)];
}

static bool has_name(const struct repl_digest_entry *entry,
                     enum ldb_file_type type, uint64_t number)
{
    return entry->file.number == number && entry->file.type == type;
}

struct repl_digest_entry *
repl_digest_table_find(struct repl_digest_table *table,
                       const struct repl_digest_file *file)
{
    struct repl_digest_entry *entry = *bucket_of(table, file->number);

    while (entry != NULL && (!has_name(entry, file->type, file->number) ||
                             entry->file.size != file->size))
        entry = entry->next_in_bucket;
    return entry;
}

struct repl_digest_entry *
repl_digest_table_find_name(struct repl_digest_table *table,
                            enum ldb_file_type type, uint64_t number)
{
    struct repl_digest_entry *entry = *bucket_of(table, number);

    while (entry != NULL && !has_name(entry, type, number))
        entry = entry->next_in_bucket;
    return entry;
}

/* Without memory chains get longer, no more. */
static void grow(struct repl_digest_table *table)
{
    size_t old_count = table->bucket_count;
    struct repl_digest_entry **old = table->buckets;
    struct repl_digest_entry **grown =
        ldb_mem_zalloc(2 * old_count, sizeof(struct repl_digest_entry *));

    if (grown == NULL)
        return;
    table->buckets = grown;
    table->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        struct repl_digest_entry *next;

        for (struct repl_digest_entry *entry = old[i]; entry != NULL;
             entry = next) {
            struct repl_digest_entry **bucket =
                bucket_of(table, entry->file.number);

            next = entry->next_in_bucket;
            entry->next_in_bucket = *bucket;
            *bucket = entry;
        }
    }
    ldb_mem_free(old);
}

struct repl_digest_entry *
repl_digest_table_add(struct repl_digest_table *table,
                      const struct repl_digest_file *file)
{
    struct repl_digest_entry *entry = ldb_mem_zalloc(1, sizeof(*entry));
    struct repl_digest_entry **bucket;

    if (entry == NULL)
        return NULL;
    assert(repl_digest_table_find(table, file) == NULL);
    entry->file = *file;
    entry->state = REPL_DIGEST_NEW;
    if (table->count == table->bucket_count)
        grow(table);
    table->count++;
    bucket = bucket_of(table, file->number);
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    return entry;
}

struct repl_digest_entry *
repl_digest_table_next(struct repl_digest_table *table,
                       const struct repl_digest_entry *after)
{
    size_t i = 0;

    if (after != NULL) {
        if (after->next_in_bucket != NULL)
            return after->next_in_bucket;
        i = (after->file.number & (table->bucket_count - 1)) + 1;
    }
    while (i < table->bucket_count && table->buckets[i] == NULL)
        i++;
    return i < table->bucket_count ? table->buckets[i] : NULL;
}

/* ---- queues ---- */

static struct repl_digest_queue *queue_of(struct repl_digest_table *table,
                                          const struct repl_digest_entry *entry)
{
    return entry->is_urgent ? &table->urgent : &table->wanted;
}

static void unqueue(struct repl_digest_table *table,
                    struct repl_digest_entry *entry)
{
    struct repl_digest_queue *queue = queue_of(table, entry);

    assert(entry->state == REPL_DIGEST_QUEUED);
    if (entry->prev_queued != NULL)
        entry->prev_queued->next_queued = entry->next_queued;
    else
        queue->first = entry->next_queued;
    if (entry->next_queued != NULL)
        entry->next_queued->prev_queued = entry->prev_queued;
    else
        queue->last = entry->prev_queued;
    entry->state = REPL_DIGEST_NEW;
    table->queued--;
}

void repl_digest_table_queue(struct repl_digest_table *table,
                             struct repl_digest_entry *entry, bool is_urgent)
{
    struct repl_digest_queue *queue;

    if (entry->state == REPL_DIGEST_QUEUED) {
        if (entry->is_urgent || !is_urgent)
            return;
        unqueue(table, entry);
    }
    assert(entry->state == REPL_DIGEST_NEW);
    entry->state = REPL_DIGEST_QUEUED;
    entry->is_urgent = is_urgent;
    queue = queue_of(table, entry);
    entry->next_queued = NULL;
    entry->prev_queued = queue->last;
    if (queue->last != NULL)
        queue->last->next_queued = entry;
    else
        queue->first = entry;
    queue->last = entry;
    table->queued++;
}

struct repl_digest_entry *
repl_digest_table_take(struct repl_digest_table *table)
{
    struct repl_digest_entry *entry =
        table->urgent.first != NULL ? table->urgent.first : table->wanted.first;

    if (entry == NULL)
        return NULL;
    unqueue(table, entry);
    entry->state = REPL_DIGEST_READING;
    return entry;
}

/* ---- what becomes of them ---- */

void repl_digest_table_remove(struct repl_digest_table *table,
                              struct repl_digest_entry *entry)
{
    struct repl_digest_entry **link = bucket_of(table, entry->file.number);

    assert(entry->asks == NULL);
    if (entry->state == REPL_DIGEST_QUEUED)
        unqueue(table, entry);
    if (entry->state == REPL_DIGEST_KNOWN)
        table->known--;
    while (*link != entry)
        link = &(*link)->next_in_bucket;
    *link = entry->next_in_bucket;
    table->count--;
    if (entry->is_held)
        entry->is_removed = true;
    else
        ldb_mem_free(entry);
}

bool repl_digest_table_let_go(struct repl_digest_entry *entry)
{
    entry->is_held = false;
    if (!entry->is_removed)
        return true;
    ldb_mem_free(entry);
    return false;
}

void repl_digest_table_set(struct repl_digest_table *table,
                           struct repl_digest_entry *entry,
                           const struct ldb_digest *digest)
{
    struct repl_digest_entry *next;

    assert(entry->asks == NULL);
    if (entry->state == REPL_DIGEST_QUEUED)
        unqueue(table, entry);
    if (entry->state != REPL_DIGEST_KNOWN)
        table->known++;
    entry->state = REPL_DIGEST_KNOWN;
    entry->digest = *digest;
    for (struct repl_digest_entry *other =
             *bucket_of(table, entry->file.number);
         other != NULL; other = next) {
        next = other->next_in_bucket;
        if (other != entry && other->state == REPL_DIGEST_KNOWN &&
            has_name(other, entry->file.type, entry->file.number))
            repl_digest_table_remove(table, other);
    }
}
