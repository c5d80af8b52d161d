#include "replication/made_tables.h"

#include <string.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

void repl_made_tables_release(struct repl_made_tables *made)
{
    ldb_mem_free(made->items);
    *made = (struct repl_made_tables){0};
}

/* Where number is, or would be. */
static size_t find(const struct repl_made_tables *made, uint64_t number)
{
    size_t low = 0;
    size_t high = made->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (made->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct repl_made_tables *made, size_t i,
                  uint64_t number)
{
    return i < made->count && made->items[i].number == number;
}

static enum ldb_status grow(struct repl_made_tables *made,
                            struct ldb_error *err)
{
    size_t capacity = made->capacity * 2 + 16;
    struct repl_made_table *grown;

    if (made->count < made->capacity)
        return LDB_OK;
    grown = ldb_mem_realloc(made->items, capacity, sizeof(*grown));
    if (grown == NULL)
        return ldb_error_no_memory(err);
    made->items = grown;
    made->capacity = capacity;
    return LDB_OK;
}

enum ldb_status repl_made_tables_add(struct repl_made_tables *made,
                                     uint64_t number, uint64_t size,
                                     struct ldb_error *err)
{
    size_t i = find(made, number);
    enum ldb_status s;

    if (!is_at(made, i, number)) {
        s = grow(made, err);
        if (s != LDB_OK)
            return s;
        memmove(made->items + i + 1, made->items + i,
                (made->count - i) * sizeof(*made->items));
        made->count++;
    }
    made->items[i] = (struct repl_made_table){.number = number, .size = size};
    return LDB_OK;
}

bool repl_made_tables_has_number(const struct repl_made_tables *made,
                                 uint64_t number)
{
    return is_at(made, find(made, number), number);
}

bool repl_made_tables_has(const struct repl_made_tables *made, uint64_t number,
                          uint64_t size)
{
    size_t i = find(made, number);

    return is_at(made, i, number) && made->items[i].size == size;
}

void repl_made_tables_forget(struct repl_made_tables *made, uint64_t number)
{
    size_t i = find(made, number);

    if (!is_at(made, i, number))
        return;
    made->count--;
    memmove(made->items + i, made->items + i + 1,
            (made->count - i) * sizeof(*made->items));
}

void repl_made_tables_discard(struct repl_made_tables *made, struct ldb_db *db)
{
    /* See the contract for what a failure leaves. */
    for (size_t i = 0; i < made->count && !made->may_be_named; i++)
        LDB_IGNORE(ldb_twin_discard(db, made->items[i].number, NULL));
    made->count = 0;
}
