/*
 * Levels for tables that no MANIFEST places (contracts: repair_internal.h).
 *
 * A read goes down the levels and ends at the first entry it meets, so a table
 * must stand above every table that has older entries of the same keys, and
 * below 0 no two tables of a level may overlap. Which of two overlapping tables
 * is the newer one is told by their sequence numbers where these lie apart;
 * else by a walk over the keys that both hold. From these pairs an order is
 * made, oldest first, and each table sinks in it as deep as it can: to the
 * deepest level above all older ones where it overlaps nothing.
 *
 * Tables that the MANIFEST places keep their level where that works. Where it
 * does not, all are placed freely. Tables that contradict each other (of a
 * damaged journal and of its own flush, or of two histories in one folder) and
 * all that is newer are merged first. In level 0 numbers follow the order:
 * LevelDB takes the greater number for the newer table and asks no other
 * (docs/formats.md, rule 22).
 */
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/repair_internal.h"

enum relation {
    APART, /* no key in common */
    NEWER, /* the first has the newest entries of all common keys */
    OLDER,
    MIXED, /* of some keys the one, of some the other */
};

/* Another table whose range overlaps, seen from the table that lists it. */
struct link {
    size_t other;
    enum relation relation;
    size_t next; /* index + 1; 0: the last */
};

struct place {
    struct ldb_repair *repair;
    struct link *links;
    size_t link_count;
    size_t *first;  /* of each table: index + 1 of its first link */
    size_t *by_key; /* tables by smallest key */
    size_t *active; /* of the sweep */
    size_t *older;  /* of each table: older ones not yet in the order */
    size_t *order;  /* oldest first */
};

/* ---- which of two is newer ---- */

/* The sequence of the user key's newest entry at it; moves past all of it. */
static ldb_sequence take_key(struct ldb_iterator *it,
                             const struct ldb_comparator *cmp,
                             struct ldb_slice user_key)
{
    ldb_sequence newest = ldb_tag_sequence(ldb_internal_tag(it->key));

    while (it->valid &&
           cmp->compare(cmp->context, ldb_internal_user_key(it->key),
                        user_key) == 0)
        ldb_iterator_next(it);
    return newest;
}

static enum relation join(enum relation a, enum relation b)
{
    if (a == APART || a == b)
        return b;
    return b == APART ? a : MIXED;
}

/* Both iterators stand on the same user key; they are moved past it. */
static enum relation compare_key(struct ldb_iterator *a, struct ldb_iterator *b,
                                 const struct ldb_comparator *cmp,
                                 struct ldb_buf *key)
{
    ldb_sequence in_a = take_key(a, cmp, ldb_slice_of_buf(key));
    ldb_sequence in_b = take_key(b, cmp, ldb_slice_of_buf(key));

    if (in_a == in_b)
        return APART; /* the same entry: any order will do */
    return in_a > in_b ? NEWER : OLDER;
}

/* Moves it to user key or, where that is not there, to the next one. */
static enum ldb_status seek_user_key(struct ldb_iterator *it,
                                     struct ldb_slice user_key,
                                     struct ldb_buf *scratch)
{
    ldb_buf_clear(scratch);
    if (ldb_internal_key_append(
            scratch, user_key, ldb_tag_make(LDB_SEQUENCE_MAX, LDB_KIND_SEEK)) !=
        LDB_OK)
        return LDB_NO_MEMORY;
    ldb_iterator_seek(it, ldb_slice_of_buf(scratch));
    return LDB_OK;
}

/* Leaps from one to the other over all that only one of them has. */
static enum ldb_status walk(struct ldb_iterator *a, struct ldb_iterator *b,
                            const struct ldb_comparator *cmp,
                            struct ldb_error *err, enum relation *out)
{
    struct ldb_buf key = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_buf scratch = LDB_BUF_INIT(SIZE_MAX);
    enum relation found = APART;
    enum ldb_status s = LDB_OK;

    ldb_iterator_seek_first(a);
    ldb_iterator_seek_first(b);
    while (s == LDB_OK && found != MIXED && a->valid && b->valid) {
        int order = cmp->compare(cmp->context, ldb_internal_user_key(a->key),
                                 ldb_internal_user_key(b->key));
        struct ldb_iterator *behind = order <= 0 ? a : b;
        struct ldb_iterator *ahead = order <= 0 ? b : a;

        s = ldb_buf_assign(&key, ldb_internal_user_key(ahead->key));
        if (s == LDB_OK && order == 0)
            found = join(found, compare_key(a, b, cmp, &key));
        else if (s == LDB_OK)
            s = seek_user_key(behind, ldb_slice_of_buf(&key), &scratch);
    }
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    for (int i = 0; s == LDB_OK && i < 2; i++) {
        const struct ldb_iterator *it = i == 0 ? a : b;

        s = it->status;
        if (s != LDB_OK && err != NULL)
            *err = it->error;
    }
    ldb_buf_release(&key);
    ldb_buf_release(&scratch);
    *out = found;
    return s;
}

/* Of a to b, whose user key ranges overlap. */
static enum ldb_status relate(struct ldb_repair *repair,
                              const struct ldb_repair_table *a,
                              const struct ldb_repair_table *b,
                              struct ldb_error *err, enum relation *out)
{
    struct ldb_repair_source left = {0};
    struct ldb_repair_source right = {0};
    enum ldb_status s;

    /* The MANIFEST's word, or numbers that lie apart: nothing to read. */
    if (a->is_fixed && b->is_fixed && a->level != b->level) {
        *out = a->level < b->level ? NEWER : OLDER;
        return LDB_OK;
    }
    if (a->min_sequence > b->max_sequence ||
        b->min_sequence > a->max_sequence) {
        *out = a->min_sequence > b->max_sequence ? NEWER : OLDER;
        return LDB_OK;
    }
    s = ldb_repair_source_open(repair, a, err, &left);
    if (s == LDB_OK)
        s = ldb_repair_source_open(repair, b, err, &right);
    if (s == LDB_OK)
        s = walk(left.it, right.it, repair->options.comparator, err, out);
    ldb_repair_source_close(&left);
    ldb_repair_source_close(&right);
    return s;
}

/* ---- pairs ---- */

static enum ldb_status push_link(struct place *place, size_t from, size_t to,
                                 enum relation relation, struct ldb_error *err)
{
    void *items = place->links;
    enum ldb_status s =
        ldb_repair_grow(&items, place->link_count, sizeof(*place->links), err);

    if (s != LDB_OK)
        return s;
    place->links = items;
    place->links[place->link_count++] = (struct link){
        .other = to, .relation = relation, .next = place->first[from]};
    place->first[from] = place->link_count;
    if (relation == NEWER || relation == MIXED)
        place->older[from]++;
    return LDB_OK;
}

static enum ldb_status push_pair(struct place *place, size_t a, size_t b,
                                 struct ldb_error *err)
{
    static const enum relation reverse[] = {
        [APART] = APART, [NEWER] = OLDER, [OLDER] = NEWER, [MIXED] = MIXED};
    const struct ldb_repair_table *tables = place->repair->tables;
    enum relation relation = APART;
    enum ldb_status s =
        relate(place->repair, &tables[a], &tables[b], err, &relation);

    if (s == LDB_OK)
        s = push_link(place, a, b, relation, err);
    if (s == LDB_OK)
        s = push_link(place, b, a, reverse[relation], err);
    return s;
}

static int compare_user_keys(const struct ldb_comparator *cmp,
                             const struct ldb_buf *a, const struct ldb_buf *b)
{
    return cmp->compare(cmp->context,
                        ldb_internal_user_key(ldb_slice_of_buf(a)),
                        ldb_internal_user_key(ldb_slice_of_buf(b)));
}

static int compare_by_key(const void *a, const void *b, void *context)
{
    const struct ldb_repair *repair = context;

    return compare_user_keys(repair->options.comparator,
                             &repair->tables[*(const size_t *)a].smallest,
                             &repair->tables[*(const size_t *)b].smallest);
}

static int compare_by_age(const void *a, const void *b, void *context)
{
    const struct ldb_repair *repair = context;
    const struct ldb_repair_table *left = &repair->tables[*(const size_t *)a];
    const struct ldb_repair_table *right = &repair->tables[*(const size_t *)b];

    if (left->max_sequence != right->max_sequence)
        return left->max_sequence < right->max_sequence ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

/* Every pair of overlapping tables, by a sweep along the keys. */
static enum ldb_status make_pairs(struct place *place, struct ldb_error *err)
{
    const struct ldb_repair *repair = place->repair;
    const struct ldb_comparator *cmp = repair->options.comparator;
    size_t active = 0;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < repair->table_count; i++) {
        size_t table = place->by_key[i];
        size_t kept = 0;

        for (size_t j = 0; s == LDB_OK && j < active; j++) {
            size_t other = place->active[j];

            if (compare_user_keys(cmp, &repair->tables[other].largest,
                                  &repair->tables[table].smallest) < 0)
                continue; /* it ends before this one and all later ones */
            place->active[kept++] = other;
            s = push_pair(place, table, other, err);
        }
        place->active[kept++] = table;
        active = kept;
    }
    return s;
}

/* ---- the order ---- */

/*
 * Oldest first. What contradicts itself, and all that is newer than that, finds
 * no place in the order: is_left has a mark for each of them. Returns whether
 * there is any.
 */
static bool make_order(struct place *place, bool *is_left)
{
    size_t count = place->repair->table_count;
    size_t *by_age = place->by_key; /* of no use any more */
    size_t done = 0;
    size_t end = 0;

    qsort_r(by_age, count, sizeof(*by_age), compare_by_age, place->repair);
    for (size_t i = 0; i < count; i++) {
        is_left[by_age[i]] = true;
        if (place->older[by_age[i]] == 0)
            place->order[end++] = by_age[i];
    }
    for (; done < end; done++) {
        size_t table = place->order[done];

        is_left[table] = false;
        for (size_t l = place->first[table]; l != 0;
             l = place->links[l - 1].next) {
            const struct link *link = &place->links[l - 1];

            assert(place->links != NULL);
            if (link->relation == OLDER && --place->older[link->other] == 0)
                place->order[end++] = link->other;
        }
    }
    return end < count;
}

/* ---- levels ---- */

/*
 * The deepest level above all older tables, below all newer ones, where it
 * overlaps nothing; NO_LEVEL when there is none. Tables without a level yet
 * are newer: they will look at this one.
 */
static uint32_t deepest_level(const struct place *place, size_t table)
{
    const struct ldb_repair_table *tables = place->repair->tables;
    uint32_t first = 0;
    uint32_t last = LDB_LEVEL_COUNT - 1;
    uint32_t taken = 0; /* bit of each level */

    for (size_t l = place->first[table]; l != 0; l = place->links[l - 1].next) {
        const struct link *link = &place->links[l - 1];
        uint32_t level;

        assert(place->links != NULL);
        level = tables[link->other].level;
        if (level == LDB_REPAIR_NO_LEVEL)
            continue;
        if (level > 0)
            taken |= 1U << level;
        if (link->relation == NEWER && level <= last)
            last = level > 0 ? level - 1 : 0;
        if (link->relation == OLDER && level >= first)
            first = level > 0 ? level + 1 : 0;
    }
    for (uint32_t level = last + 1; level > first; level--) {
        if ((taken & 1U << (level - 1)) == 0)
            return level - 1;
    }
    return LDB_REPAIR_NO_LEVEL;
}

/* False: some table finds no place between those that keep theirs. */
static bool place_between(struct place *place)
{
    struct ldb_repair_table *tables = place->repair->tables;
    size_t count = place->repair->table_count;

    for (size_t i = 0; i < count; i++) {
        struct ldb_repair_table *table = &tables[place->order[i]];

        if (table->level != LDB_REPAIR_NO_LEVEL)
            continue;
        table->level = deepest_level(place, place->order[i]);
        if (table->level == LDB_REPAIR_NO_LEVEL)
            return false;
    }
    return true;
}

static void place_freely(struct place *place)
{
    struct ldb_repair_table *tables = place->repair->tables;
    size_t count = place->repair->table_count;

    for (size_t i = 0; i < count; i++) {
        tables[i].level = LDB_REPAIR_NO_LEVEL;
        tables[i].is_fixed = false;
    }
    for (size_t i = 0; i < count; i++) {
        struct ldb_repair_table *table = &tables[place->order[i]];

        table->level = deepest_level(place, place->order[i]);
        /* All older ones stand below: level 0 is always free. */
        assert(table->level < LDB_LEVEL_COUNT);
    }
}

/* In level 0 a greater number means newer. */
static void number_level_0(struct place *place)
{
    struct ldb_repair *repair = place->repair;
    uint64_t last = 0;

    for (size_t i = 0; i < repair->table_count; i++) {
        struct ldb_repair_table *table = &repair->tables[place->order[i]];

        if (table->level != 0)
            continue;
        if (table->final_number < last)
            table->final_number = repair->next_number++;
        last = table->final_number;
    }
}

/* ---- telling ---- */

static enum ldb_status say_placed(struct ldb_repair *repair,
                                  const struct ldb_repair_table *table,
                                  struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    char as[LDB_FILE_NAME_SIZE];
    char advice[96];
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_NOTE,
        .file = name,
        .after = ldb_slice_of_buf(&table->smallest),
        .until = ldb_slice_of_buf(&table->largest),
        .message = table->type == LDB_FILE_TMP
                       ? "a table written by repair"
                       : "a table that no MANIFEST places",
        .advice = advice,
    };

    ldb_file_name_print(name, LDB_FILE_TABLE, table->number);
    ldb_file_name_print(as, LDB_FILE_TABLE, table->final_number);
    if (table->type == LDB_FILE_TABLE_SST &&
        table->number == table->final_number)
        ldb_file_name_print(name, LDB_FILE_TABLE_SST, table->number);
    (void)snprintf(advice, sizeof(advice), "it goes to level %u as %s",
                   (unsigned)table->level, as);
    if (table->is_fixed && table->number == table->final_number)
        return LDB_OK;
    return ldb_repair_say(repair, &finding, err);
}

static void release(struct place *place)
{
    ldb_mem_free(place->links);
    ldb_mem_free(place->first);
    ldb_mem_free(place->by_key);
    ldb_mem_free(place->active);
    ldb_mem_free(place->older);
    ldb_mem_free(place->order);
}

static enum ldb_status allocate(struct place *place, struct ldb_error *err)
{
    size_t count = place->repair->table_count + 1; /* never nothing */

    place->first = ldb_mem_zalloc(count, sizeof(*place->first));
    place->by_key = ldb_mem_zalloc(count, sizeof(*place->by_key));
    place->active = ldb_mem_zalloc(count, sizeof(*place->active));
    place->older = ldb_mem_zalloc(count, sizeof(*place->older));
    place->order = ldb_mem_zalloc(count, sizeof(*place->order));
    if (place->first == NULL || place->by_key == NULL ||
        place->active == NULL || place->older == NULL || place->order == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < place->repair->table_count; i++)
        place->by_key[i] = i;
    qsort_r(place->by_key, place->repair->table_count, sizeof(*place->by_key),
            compare_by_key, place->repair);
    return LDB_OK;
}

static void place_all(struct place *place)
{
    if (!place_between(place))
        place_freely(place);
    number_level_0(place);
}

/*
 * Merges what has no order. The new tables do not overlap each other and are
 * newer than all that were ordered. From here on the entries alone count, so
 * that a MANIFEST that contradicts them costs one more round.
 */
static enum ldb_status merge_left(struct ldb_repair *repair,
                                  const bool *is_left, struct ldb_error *err)
{
    enum ldb_status s = ldb_repair_merge(repair, is_left, err);

    for (size_t i = 0; i < repair->table_count; i++)
        repair->tables[i].is_fixed = false;
    return s;
}

/* *out_done: every table has its level; else some were merged, and it has to
 * be tried again. */
static enum ldb_status try_place(struct ldb_repair *repair,
                                 struct ldb_error *err, bool *out_done)
{
    struct place place = {.repair = repair};
    bool *is_left = ldb_mem_zalloc(repair->table_count + 1, sizeof(bool));
    enum ldb_status s = allocate(&place, err);

    if (s == LDB_OK && is_left == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = make_pairs(&place, err);
    if (s == LDB_OK) {
        *out_done = !make_order(&place, is_left);
        if (*out_done)
            place_all(&place);
        else
            s = merge_left(repair, is_left, err);
    }
    ldb_mem_free(is_left);
    release(&place);
    return s;
}

enum ldb_status ldb_repair_place(struct ldb_repair *repair,
                                 struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;
    bool is_done = false;

    while (s == LDB_OK && !is_done)
        s = try_place(repair, err, &is_done);
    for (size_t i = 0; s == LDB_OK && i < repair->table_count; i++)
        s = say_placed(repair, &repair->tables[i], err);
    return s;
}
