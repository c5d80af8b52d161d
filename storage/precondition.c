#include "storage/precondition.h"

#include "storage/base/hash.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

struct ldb_overlay_slot {
    const struct ldb_memtable_node *node; /* NULL: free */
    uint32_t hash;
};

#define OVERLAY_SEED         UINT32_C(0x6c65766c) /* chosen: any */
#define OVERLAY_CAPACITY_MIN 64

void ldb_overlay_release(struct ldb_overlay *overlay)
{
    ldb_mem_free(overlay->slots);
    *overlay = (struct ldb_overlay){0};
}

static struct ldb_slice node_user_key(const struct ldb_memtable_node *node)
{
    return ldb_internal_user_key(ldb_memtable_node_key(node));
}

/* The key's slot, or the free one where it would go. capacity > used. */
static struct ldb_overlay_slot *find_slot(const struct ldb_overlay *overlay,
                                          uint32_t hash, struct ldb_slice key)
{
    size_t i = hash & (overlay->capacity - 1);

    for (;;) {
        struct ldb_overlay_slot *slot = &overlay->slots[i];

        if (slot->node == NULL ||
            (slot->hash == hash &&
             ldb_slice_equal(node_user_key(slot->node), key)))
            return slot;
        i = (i + 1) & (overlay->capacity - 1);
    }
}

/* Keeps at least half of the slots free. */
static enum ldb_status make_slot_room(struct ldb_overlay *overlay)
{
    struct ldb_overlay bigger = {.used = overlay->used};

    if ((overlay->used + 1) * 2 <= overlay->capacity)
        return LDB_OK;
    bigger.capacity =
        overlay->capacity == 0 ? OVERLAY_CAPACITY_MIN : overlay->capacity * 2;
    bigger.slots = ldb_mem_zalloc(bigger.capacity, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return LDB_NO_MEMORY;
    for (size_t i = 0; i < overlay->capacity; i++) {
        const struct ldb_overlay_slot *slot = &overlay->slots[i];

        if (slot->node != NULL)
            *find_slot(&bigger, slot->hash, node_user_key(slot->node)) = *slot;
    }
    ldb_overlay_release(overlay);
    *overlay = bigger;
    return LDB_OK;
}

enum ldb_status ldb_overlay_add(struct ldb_overlay *overlay,
                                const struct ldb_memtable_node *chain)
{
    for (const struct ldb_memtable_node *node = chain; node != NULL;
         node = ldb_memtable_node_chained(node)) {
        struct ldb_slice key = node_user_key(node);
        uint32_t hash = ldb_hash(key, OVERLAY_SEED);
        struct ldb_overlay_slot *slot;

        if (make_slot_room(overlay) != LDB_OK)
            return LDB_NO_MEMORY;
        slot = find_slot(overlay, hash, key);
        overlay->used += slot->node == NULL;
        *slot = (struct ldb_overlay_slot){.node = node, .hash = hash};
    }
    return LDB_OK;
}

/* The key's newest entry as this write would see it. */
static enum ldb_status current_entry(struct ldb_db *db,
                                     const struct ldb_read *read,
                                     const struct ldb_overlay *overlay,
                                     struct ldb_slice key,
                                     struct ldb_error *err, bool *out_exists,
                                     ldb_sequence *out_sequence)
{
    const struct ldb_memtable_node *node = NULL;
    enum ldb_status s;

    if (overlay->capacity > 0)
        node = find_slot(overlay, ldb_hash(key, OVERLAY_SEED), key)->node;
    if (node != NULL) {
        uint64_t tag = ldb_internal_tag(ldb_memtable_node_key(node));

        *out_exists = ldb_tag_kind(tag) == LDB_KIND_PUT;
        *out_sequence = ldb_tag_sequence(tag);
        return LDB_OK;
    }
    s = ldb_read_get(db, read, key, err, NULL, out_sequence);
    if (s != LDB_OK && s != LDB_NOT_FOUND)
        return s;
    *out_exists = s == LDB_OK;
    return LDB_OK;
}

static bool is_listed(const struct ldb_condition *condition,
                      ldb_sequence sequence)
{
    for (size_t i = 0; i < condition->sequence_count; i++)
        if (condition->sequences[i] == sequence)
            return true;
    return false;
}

static bool holds(const struct ldb_condition *condition, bool exists,
                  ldb_sequence sequence)
{
    switch (condition->kind) {
    case LDB_CONDITION_ABSENT:
        return !exists;
    case LDB_CONDITION_PRESENT:
        return exists;
    case LDB_CONDITION_SEQUENCE_IN:
        return exists && is_listed(condition, sequence);
    case LDB_CONDITION_SEQUENCE_NOT_IN:
        return !exists || !is_listed(condition, sequence);
    }
    return false;
}

enum ldb_status ldb_precondition_check(struct ldb_db *db,
                                       const struct ldb_read *read,
                                       const struct ldb_overlay *overlay,
                                       struct ldb_write *write)
{
    for (size_t i = 0; i < write->condition_count; i++) {
        const struct ldb_condition *condition = &write->conditions[i];
        ldb_sequence sequence = 0;
        bool exists = false;
        enum ldb_status s = current_entry(db, read, overlay, condition->key,
                                          &write->error, &exists, &sequence);

        if (s != LDB_OK)
            return s;
        if (holds(condition, exists, sequence))
            continue;
        write->failed_condition = i;
        write->current_exists = exists;
        write->current = exists ? sequence : 0;
        return ldb_error_set(&write->error, LDB_PRECONDITION,
                             "condition %zu does not hold", i);
    }
    return LDB_OK;
}
