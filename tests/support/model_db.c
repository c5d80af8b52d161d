#include "tests/support/model_db.h"

#include <stdlib.h>

#include "tests/support/assert_ldb.h"

static uint8_t *copy_bytes(struct ldb_slice bytes)
{
    uint8_t *copy = malloc(bytes.len + 1);

    assert_non_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    return copy;
}

static struct ldb_slice entry_key(const struct model_entry *entry)
{
    return ldb_slice_make(entry->key, entry->key_len);
}

static void entry_release(struct model_entry *entry)
{
    free(entry->key);
    free(entry->value);
}

void model_release(struct model_db *model)
{
    for (size_t i = 0; i < model->count; i++)
        entry_release(&model->entries[i]);
    free(model->entries);
    *model = (struct model_db){0};
}

size_t model_lower_bound(const struct model_db *model, struct ldb_slice key)
{
    size_t low = 0;
    size_t high = model->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ldb_slice_compare(entry_key(&model->entries[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct model_entry *model_get(const struct model_db *model,
                                    struct ldb_slice key)
{
    size_t i = model_lower_bound(model, key);

    if (i == model->count ||
        !ldb_slice_equal(entry_key(&model->entries[i]), key))
        return NULL;
    return &model->entries[i];
}

void model_put(struct model_db *model, struct ldb_slice key,
               struct ldb_slice value)
{
    struct model_entry entry = {.key = copy_bytes(key),
                                .key_len = key.len,
                                .value = copy_bytes(value),
                                .value_len = value.len};
    size_t i;

    model_delete(model, key);
    if (model->count == model->capacity) {
        model->capacity = model->capacity * 2 + 16;
        model->entries =
            realloc(model->entries, model->capacity * sizeof(*model->entries));
        assert_non_null(model->entries);
    }
    i = model_lower_bound(model, key);
    memmove(&model->entries[i + 1], &model->entries[i],
            (model->count - i) * sizeof(entry));
    model->entries[i] = entry;
    model->count++;
}

void model_delete(struct model_db *model, struct ldb_slice key)
{
    size_t i = model_lower_bound(model, key);

    if (model_get(model, key) == NULL)
        return;
    entry_release(&model->entries[i]);
    model->count--;
    memmove(&model->entries[i], &model->entries[i + 1],
            (model->count - i) * sizeof(model->entries[0]));
}

struct model_db model_copy(const struct model_db *model)
{
    struct model_db copy = {0};

    for (size_t i = 0; i < model->count; i++) {
        const struct model_entry *e = &model->entries[i];

        model_put(&copy, entry_key(e), ldb_slice_make(e->value, e->value_len));
    }
    return copy;
}
