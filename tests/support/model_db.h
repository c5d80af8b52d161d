/*
 * A sorted array with the same answers as the engine: the witness of property
 * tests. Keys and values are copied. Aborts the test when memory is short.
 */
#ifndef TESTS_SUPPORT_MODEL_DB_H
#define TESTS_SUPPORT_MODEL_DB_H

#include "storage/base/slice.h"

struct model_entry {
    uint8_t *key;
    size_t key_len;
    uint8_t *value;
    size_t value_len;
};

struct model_db {
    struct model_entry *entries; /* by key, ascending */
    size_t count;
    size_t capacity;
};

void model_release(struct model_db *model);
void model_put(struct model_db *model, struct ldb_slice key,
               struct ldb_slice value);
void model_delete(struct model_db *model, struct ldb_slice key);
/* NULL: absent. */
const struct model_entry *model_get(const struct model_db *model,
                                    struct ldb_slice key);
/* Index of the first entry >= key. */
size_t model_lower_bound(const struct model_db *model, struct ldb_slice key);
/* A deep copy. */
struct model_db model_copy(const struct model_db *model);

#endif
