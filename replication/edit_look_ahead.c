#include "replication/edit_look_ahead.h"

#include <stdlib.h>

#include "replication/edit_walk.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* What an edit does with a table. A move is DROPPED, then MOVED. */
enum act {
    MADE,
    MOVED,
    DROPPED
};

struct event {
    uint64_t table;
    size_t at; /* of all events */
    size_t edit;
    enum act act;
};

struct walk {
    struct event *events; /* owned */
    size_t count;
    size_t capacity;
    size_t edits;
};

/* Of an edit: the table that it made and that was dropped last. */
struct passing {
    uint64_t table; /* 0: none was */
    size_t dropped;
};

static enum ldb_status add_event(struct walk *walk, uint64_t table,
                                 enum act act, struct ldb_error *err)
{
    struct event *grown = walk->events;

    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity == 0 ? 64 : walk->capacity * 2;

        grown = ldb_mem_realloc(grown, capacity, sizeof(*grown));
        if (grown == NULL)
            return ldb_error_no_memory(err);
        walk->events = grown;
        walk->capacity = capacity;
    }
    grown[walk->count] = (struct event){
        .table = table, .at = walk->count, .edit = walk->edits, .act = act};
    walk->count++;
    return LDB_OK;
}

static bool drops(const struct ldb_version_edit *edit, uint64_t table)
{
    for (size_t i = 0; i < edit->deleted_count; i++) {
        if (edit->deleted[i].number == table)
            return true;
    }
    return false;
}

static enum ldb_status take(void *context, const struct ldb_version_edit *edit,
                            uint64_t at, struct ldb_error *err)
{
    struct walk *walk = context;
    enum ldb_status s = LDB_OK;

    (void)at;
    for (size_t i = 0; s == LDB_OK && i < edit->deleted_count; i++)
        s = add_event(walk, edit->deleted[i].number, DROPPED, err);
    for (size_t i = 0; s == LDB_OK && i < edit->added_count; i++) {
        uint64_t table = edit->added[i].meta->number;
        /* What a flush made has a log number beside it, and so has all that
         * a MANIFEST begins with. */
        bool is_made = !edit->has_log_number && !drops(edit, table);

        s = add_event(walk, table, is_made ? MADE : MOVED, err);
    }
    walk->edits++;
    return s;
}

static int by_table(const void *a, const void *b)
{
    const struct event *x = a;
    const struct event *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* By the first event of each table, and the last. */
static void note_passing(struct walk *walk, struct passing *of_edit)
{
    struct event *events = walk->events;
    size_t last;

    if (walk->count > 0)
        qsort(events, walk->count, sizeof(*events), by_table);
    for (size_t i = 0; i < walk->count; i = last + 1) {
        struct passing *passing = &of_edit[events[i].edit];

        last = i;
        while (last + 1 < walk->count &&
               events[last + 1].table == events[i].table)
            last++;
        if (events[i].act == MADE && events[last].act == DROPPED &&
            events[last].at > passing->dropped)
            *passing = (struct passing){.table = events[i].table,
                                        .dropped = events[last].at};
    }
}

static enum ldb_status choose(struct walk *walk, struct ldb_error *err,
                              uint64_t *out, size_t max, size_t *out_count)
{
    struct passing *of_edit = ldb_mem_zalloc(walk->edits + 1, sizeof(*of_edit));
    size_t count = 0;

    if (of_edit == NULL)
        return ldb_error_no_memory(err);
    note_passing(walk, of_edit);
    for (size_t i = 0; i < walk->edits && count < max; i++) {
        if (of_edit[i].table != 0)
            out[count++] = of_edit[i].table;
    }
    ldb_mem_free(of_edit);
    *out_count = count;
    return LDB_OK;
}

enum ldb_status repl_edit_look_ahead(uint64_t number, uint64_t offset,
                                     struct ldb_slice bytes,
                                     struct ldb_error *err, uint64_t *out,
                                     size_t max, size_t *out_count)
{
    struct walk walk = {0};
    uint64_t end = 0;
    enum ldb_status s =
        repl_edit_walk(number, offset, bytes, take, &walk, err, &end);

    if (s == LDB_OK)
        s = choose(&walk, err, out, max, out_count);
    ldb_mem_free(walk.events);
    return s;
}
