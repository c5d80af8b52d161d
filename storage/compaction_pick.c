#include "storage/compaction_pick.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Compactions lead from a level to the next, so never from the last. */
#define LAST_SOURCE_LEVEL (LDB_LEVEL_COUNT - 2)

/* First inputs of a level that are completed in vain before it is given up:
 * what runs lies in their way. Chosen: picking holds the database's mutex. */
#define PICK_ATTEMPTS_MAX 8

/* A growing list of borrowed tables. */
struct file_set {
    struct ldb_file_meta **files;
    size_t count;
};

static void file_set_release(struct file_set *set)
{
    ldb_mem_free(set->files);
    *set = (struct file_set){0};
}

static enum ldb_status file_set_add(struct file_set *set,
                                    struct ldb_file_meta *meta)
{
    struct ldb_file_meta **grown =
        ldb_mem_realloc(set->files, set->count + 1, sizeof(*set->files));

    if (grown == NULL)
        return LDB_NO_MEMORY;
    grown[set->count++] = meta;
    set->files = grown;
    return LDB_OK;
}

static uint64_t file_set_bytes(const struct file_set *set)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < set->count; i++)
        bytes += set->files[i]->size;
    return bytes;
}

/* Internal keys of which all of some tables lie within. */
struct key_span {
    bool is_set;
    struct ldb_slice smallest;
    struct ldb_slice largest;
};

static void widen(struct key_span *span, const struct ldb_comparator *cmp,
                  const struct file_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct ldb_file_meta *meta = set->files[i];

        if (!span->is_set ||
            ldb_internal_compare(cmp, meta->smallest, span->smallest) < 0)
            span->smallest = meta->smallest;
        if (!span->is_set ||
            ldb_internal_compare(cmp, meta->largest, span->largest) > 0)
            span->largest = meta->largest;
        span->is_set = true;
    }
}

/* Adds the level's tables that overlap the span's user keys. */
static enum ldb_status add_overlapping(const struct ldb_version *version,
                                       uint32_t level,
                                       const struct key_span *span,
                                       struct file_set *set)
{
    struct ldb_slice begin = ldb_internal_user_key(span->smallest);
    struct ldb_slice end = ldb_internal_user_key(span->largest);

    return ldb_version_overlapping(version, level, &begin, &end, &set->files,
                                   &set->count);
}

/*
 * Where the set's last user key goes on in the level's next table, that one
 * holds older entries of it; left behind they would stand above the newer ones
 * (or lose the delete mark that hides them), so it comes along. Level 0 has
 * been widened by user keys already.
 */
static enum ldb_status add_boundary_tables(const struct ldb_version *version,
                                           uint32_t level_number,
                                           struct file_set *set)
{
    const struct ldb_comparator *cmp = version->comparator;
    const struct ldb_level *level = &version->levels[level_number];
    struct key_span span = {0};
    struct ldb_slice last;
    size_t i;

    widen(&span, cmp, set);
    if (level_number == 0 || !span.is_set)
        return LDB_OK;
    last = span.largest;
    i = ldb_find_file(cmp, level->files, level->count, last) + 1;
    for (; i < level->count; i++) {
        struct ldb_file_meta *meta = level->files[i];

        if (ldb_compare(cmp, ldb_internal_user_key(meta->smallest),
                        ldb_internal_user_key(last)) != 0)
            break;
        if (file_set_add(set, meta) != LDB_OK)
            return LDB_NO_MEMORY;
        last = meta->largest;
    }
    return LDB_OK;
}

/* ---- setting up ---- */

/* A compaction in the making. */
struct setup {
    struct ldb_version *version;
    const struct ldb_compaction_limits *limits;
    uint32_t level;
    struct file_set inputs[2];
    struct file_set grandparents;
};

static void setup_release(struct setup *setup)
{
    file_set_release(&setup->inputs[0]);
    file_set_release(&setup->inputs[1]);
    file_set_release(&setup->grandparents);
}

/* All that must be compacted with the inputs of one level. */
static enum ldb_status close_inputs(const struct setup *setup, uint32_t level,
                                    const struct key_span *span,
                                    struct file_set *set)
{
    enum ldb_status s = add_overlapping(setup->version, level, span, set);

    if (s == LDB_OK)
        s = add_boundary_tables(setup->version, level, set);
    return s;
}

static struct key_span span_of_inputs(const struct setup *setup)
{
    struct key_span span = {0};

    widen(&span, setup->version->comparator, &setup->inputs[0]);
    widen(&span, setup->version->comparator, &setup->inputs[1]);
    return span;
}

/*
 * More tables of the level, where that brings no further table of the next one
 * in and the whole stays small: work that comes for free.
 */
static enum ldb_status expand(struct setup *setup)
{
    const struct ldb_comparator *cmp = setup->version->comparator;
    uint64_t limit = setup->limits->expand_limit_factor *
                     setup->limits->table_bytes[setup->level + 1];
    struct key_span span = span_of_inputs(setup);
    struct file_set upper = {0};
    struct file_set lower = {0};
    enum ldb_status s = LDB_OK;

    if (setup->inputs[1].count == 0)
        return LDB_OK;
    s = close_inputs(setup, setup->level, &span, &upper);
    if (s != LDB_OK || upper.count <= setup->inputs[0].count ||
        file_set_bytes(&upper) + file_set_bytes(&setup->inputs[1]) >= limit)
        goto out;
    span = (struct key_span){0};
    widen(&span, cmp, &upper);
    s = close_inputs(setup, setup->level + 1, &span, &lower);
    if (s != LDB_OK || lower.count != setup->inputs[1].count)
        goto out;
    file_set_release(&setup->inputs[0]);
    setup->inputs[0] = upper;
    upper = (struct file_set){0};
out:
    file_set_release(&upper);
    file_set_release(&lower);
    return s;
}

/* inputs[0] has the first choice; finds the rest. */
static enum ldb_status complete(struct setup *setup)
{
    const struct ldb_comparator *cmp = setup->version->comparator;
    struct key_span span = {0};
    enum ldb_status s = LDB_OK;

    if (setup->level == 0) {
        struct file_set all = {0};

        widen(&span, cmp, &setup->inputs[0]);
        s = add_overlapping(setup->version, 0, &span, &all);
        file_set_release(&setup->inputs[0]);
        setup->inputs[0] = all;
    } else {
        s = add_boundary_tables(setup->version, setup->level,
                                &setup->inputs[0]);
    }
    if (s != LDB_OK)
        return s;
    span = (struct key_span){0};
    widen(&span, cmp, &setup->inputs[0]);
    s = close_inputs(setup, setup->level + 1, &span, &setup->inputs[1]);
    if (s == LDB_OK)
        s = expand(setup);
    if (s != LDB_OK || setup->level + 2 >= LDB_LEVEL_COUNT)
        return s;
    span = span_of_inputs(setup);
    return add_overlapping(setup->version, setup->level + 2, &span,
                           &setup->grandparents);
}

/* Of a compaction of the level: bytes two levels down. */
static uint64_t grandparent_limit(const struct ldb_compaction_limits *limits,
                                  uint32_t level)
{
    uint32_t below =
        level + 2 < LDB_LEVEL_COUNT ? level + 2 : LDB_LEVEL_COUNT - 1;

    return limits->grandparent_limit_factor * limits->table_bytes[below];
}

static bool has_known_counts(const struct ldb_file_meta *meta)
{
    return meta->entry_count != 0 && meta->entry_count != LDB_COUNT_UNKNOWABLE;
}

/* Half its entries or more are delete marks. */
static bool is_dense(const struct ldb_file_meta *meta)
{
    return has_known_counts(meta) &&
           meta->delete_count >= meta->entry_count - meta->delete_count;
}

/* Nothing of the inputs' keys two levels down or deeper: marks can go. */
static bool is_bottom(const struct setup *setup)
{
    struct key_span span = span_of_inputs(setup);
    struct ldb_slice begin = ldb_internal_user_key(span.smallest);
    struct ldb_slice end = ldb_internal_user_key(span.largest);

    for (uint32_t level = setup->level + 2; level < LDB_LEVEL_COUNT; level++)
        if (ldb_version_overlaps(setup->version, level, &begin, &end))
            return false;
    return true;
}

/* A table of marks is rewritten where that leaves next to nothing of it. */
static bool is_trivial(const struct setup *setup, bool is_manual)
{
    return !is_manual && setup->inputs[0].count == 1 &&
           setup->inputs[1].count == 0 &&
           file_set_bytes(&setup->grandparents) <=
               grandparent_limit(setup->limits, setup->level) &&
           !(is_dense(setup->inputs[0].files[0]) && is_bottom(setup));
}

/* Completes the setup and turns it into a compaction; it is then empty. */
static enum ldb_status finish(struct setup *setup, bool is_manual,
                              struct ldb_error *err,
                              struct ldb_compaction **out)
{
    struct ldb_compaction *compaction = NULL;
    struct key_span upper = {0};
    struct key_span all;

    if (complete(setup) != LDB_OK)
        goto no_memory;
    compaction = ldb_mem_zalloc(1, sizeof(*compaction));
    if (compaction == NULL)
        goto no_memory;
    widen(&upper, setup->version->comparator, &setup->inputs[0]);
    all = span_of_inputs(setup);
    *compaction = (struct ldb_compaction){
        .version = ldb_version_ref(setup->version),
        .level = setup->level,
        .inputs = {setup->inputs[0].files, setup->inputs[1].files},
        .input_count = {setup->inputs[0].count, setup->inputs[1].count},
        .grandparents = setup->grandparents.files,
        .grandparent_count = setup->grandparents.count,
        .is_trivial_move = is_trivial(setup, is_manual),
        .is_manual = is_manual,
        .pointer = upper.largest,
        .smallest = all.smallest,
        .largest = all.largest};
    *out = compaction;
    return LDB_OK;
no_memory:
    setup_release(setup);
    return ldb_error_no_memory(err);
}

void ldb_compaction_destroy(struct ldb_compaction *compaction)
{
    if (compaction == NULL)
        return;
    ldb_mem_free(compaction->inputs[0]);
    ldb_mem_free(compaction->inputs[1]);
    ldb_mem_free(compaction->grandparents);
    ldb_version_unref(compaction->version);
    ldb_mem_free(compaction);
}

/* ---- beside others ---- */

/* A compaction of level from whose inputs lie in [smallest, largest]. */
static bool meets(const struct ldb_compaction *running, uint32_t level,
                  struct ldb_slice smallest, struct ldb_slice largest)
{
    const struct ldb_comparator *cmp = running->version->comparator;
    uint32_t distance = level > running->level ? level - running->level
                                               : running->level - level;

    /* A newer table of level 0 could overlap what runs and be moved below it.
     */
    if (level == 0 && running->level == 0)
        return true;
    return distance <= 1 &&
           ldb_compare(cmp, ldb_internal_user_key(smallest),
                       ldb_internal_user_key(running->largest)) <= 0 &&
           ldb_compare(cmp, ldb_internal_user_key(largest),
                       ldb_internal_user_key(running->smallest)) >= 0;
}

static bool meets_any(const struct ldb_compaction *running, uint32_t level,
                      struct ldb_slice smallest, struct ldb_slice largest)
{
    for (; running != NULL; running = running->next)
        if (meets(running, level, smallest, largest))
            return true;
    return false;
}

bool ldb_compaction_conflicts(const struct ldb_compaction *compaction,
                              const struct ldb_compaction *running)
{
    return meets_any(running, compaction->level, compaction->smallest,
                     compaction->largest);
}

/* ---- picking ---- */

/* What is asked of ldb_compaction_pick(). */
struct pick {
    struct ldb_version *version;
    const struct ldb_compaction_limits *limits;
    const struct ldb_slice *pointers;
    const struct ldb_compaction *running;
    struct ldb_error *err;
};

/* The level's score once all that runs is done. */
static double score_left(const struct pick *pick, uint32_t level)
{
    uint64_t bytes = pick->version->levels[level].bytes;
    uint64_t leaving = 0;

    for (const struct ldb_compaction *c = pick->running; c != NULL;
         c = c->next) {
        for (size_t i = 0; c->level == level && i < c->input_count[0]; i++)
            leaving += c->inputs[0][i]->size;
        if (c->level == 0 && level == 0)
            return 0;
    }
    if (leaving >= bytes && leaving > 0)
        return 0;
    return leaving == 0 ? pick->version->scores[level]
                        : pick->version->scores[level] *
                              ((double)(bytes - leaving) / (double)bytes);
}

/* The level with the highest score of those due (level 0: from level0_due on),
 * or LDB_LEVEL_COUNT. */
static uint32_t most_urgent(const struct pick *pick, double level0_due,
                            const bool tried[LDB_LEVEL_COUNT])
{
    uint32_t best = LDB_LEVEL_COUNT;
    double best_score = 0;

    for (uint32_t level = 0; level <= LAST_SOURCE_LEVEL; level++) {
        double score = score_left(pick, level);

        if (tried[level] || score < (level == 0 ? level0_due : 1) ||
            score <= best_score)
            continue;
        best = level;
        best_score = score;
    }
    return best;
}

static bool is_any_due(const struct pick *pick)
{
    const bool tried[LDB_LEVEL_COUNT] = {false};

    return most_urgent(pick, 1, tried) != LDB_LEVEL_COUNT;
}

/* Level 0: the newest table. Below: the first that ends after the pointer, and
 * from the start again when there is none. */
static size_t first_input(const struct pick *pick, uint32_t level_number)
{
    const struct ldb_comparator *cmp = pick->version->comparator;
    const struct ldb_level *level = &pick->version->levels[level_number];
    struct ldb_slice pointer = pick->pointers[level_number];
    size_t i;

    if (level_number == 0 || pointer.len < LDB_TAG_SIZE)
        return 0;
    i = ldb_find_file(cmp, level->files, level->count, pointer);
    if (i < level->count &&
        ldb_internal_compare(cmp, level->files[i]->largest, pointer) == 0)
        i++;
    return i < level->count ? i : 0;
}

/* The compaction that begins with the table; NULL when it meets others. */
static enum ldb_status pick_table(const struct pick *pick, uint32_t level,
                                  struct ldb_file_meta *meta,
                                  struct ldb_compaction **out)
{
    struct setup setup = {
        .version = pick->version, .limits = pick->limits, .level = level};
    struct ldb_compaction *found = NULL;
    enum ldb_status s;

    if (file_set_add(&setup.inputs[0], meta) != LDB_OK)
        return ldb_error_no_memory(pick->err);
    s = finish(&setup, false, pick->err, &found);
    if (s != LDB_OK)
        return s;
    if (ldb_compaction_conflicts(found, pick->running)) {
        ldb_compaction_destroy(found);
        found = NULL;
    }
    *out = found;
    return LDB_OK;
}

static enum ldb_status pick_level(const struct pick *pick,
                                  uint32_t level_number,
                                  struct ldb_compaction **out)
{
    const struct ldb_level *level = &pick->version->levels[level_number];
    size_t first = first_input(pick, level_number);
    unsigned attempts = 0;
    enum ldb_status s = LDB_OK;

    assert(level->count > 0);
    for (size_t n = 0; s == LDB_OK && *out == NULL && n < level->count &&
                       attempts < PICK_ATTEMPTS_MAX;
         n++) {
        struct ldb_file_meta *meta = level->files[(first + n) % level->count];

        if (meets_any(pick->running, level_number, meta->smallest,
                      meta->largest))
            continue;
        attempts++;
        s = pick_table(pick, level_number, meta, out);
    }
    return s;
}

enum ldb_status
ldb_compaction_pick(struct ldb_version *version,
                    const struct ldb_compaction_limits *limits,
                    const struct ldb_slice pointers[LDB_LEVEL_COUNT],
                    double level0_due, const struct ldb_compaction *running,
                    struct ldb_error *err, struct ldb_compaction **out)
{
    const struct pick pick = {.version = version,
                              .limits = limits,
                              .pointers = pointers,
                              .running = running,
                              .err = err};
    bool tried[LDB_LEVEL_COUNT] = {false};
    struct ldb_compaction *found = NULL;
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && found == NULL) {
        uint32_t level = most_urgent(&pick, level0_due, tried);

        if (level == LDB_LEVEL_COUNT)
            break;
        tried[level] = true;
        s = pick_level(&pick, level, &found);
    }
    if (s == LDB_OK)
        *out = found;
    return s;
}

/* ---- delete marks ---- */

/*
 * Is it worth finding out what a table holds that was found at open? Of one
 * that is all marks the MANIFEST tells: its first and its last key are. Of one
 * that is half marks it does so three times out of four.
 */
static bool may_be_dense(const struct ldb_file_meta *meta)
{
    return meta->entry_count == 0 &&
           (ldb_tag_kind(ldb_internal_tag(meta->smallest)) == LDB_KIND_DELETE ||
            ldb_tag_kind(ldb_internal_tag(meta->largest)) == LDB_KIND_DELETE);
}

/*
 * Are a quarter of the entries read marks of the upper level? Then, as far as
 * each hides another entry of average size, a quarter of the bytes goes.
 */
static bool pays(const struct ldb_compaction *compaction,
                 struct ldb_mark_search *search)
{
    uint64_t entries = 0;
    uint64_t marks = 0;

    if (compaction->is_trivial_move)
        return true;
    for (unsigned which = 0; which < 2; which++) {
        for (size_t i = 0; i < compaction->input_count[which]; i++) {
            struct ldb_file_meta *meta = compaction->inputs[which][i];

            if (meta->entry_count == 0)
                search->unknown = meta;
            if (!has_known_counts(meta))
                return false;
            entries += meta->entry_count;
            marks += which == 0 ? meta->delete_count : 0;
        }
    }
    return marks >= entries / 4;
}

/* Sets out anew where the level or the next one has changed, or another table
 * may be old enough. */
static void go_on(const struct ldb_version *version, uint32_t level,
                  struct ldb_mark_search *search)
{
    uint64_t changes = version->levels[level].changes;
    uint64_t changes_below = version->levels[level + 1].changes;

    if (search->levels[level].is_begun &&
        search->levels[level].changes == changes &&
        search->levels[level].changes_below == changes_below &&
        search->levels[level].young_from == search->young_from)
        return;
    search->levels[level].is_begun = true;
    search->levels[level].is_blocked = false;
    search->levels[level].changes = changes;
    search->levels[level].changes_below = changes_below;
    search->levels[level].young_from = search->young_from;
    search->levels[level].next = 0;
}

/* One table; true: the search goes on behind it. */
static bool try_marks(const struct pick *pick, uint32_t level,
                      struct ldb_file_meta *meta,
                      struct ldb_mark_search *search, unsigned *attempts,
                      enum ldb_status *status, struct ldb_compaction **out)
{
    if (search->young_from != 0 && meta->number >= search->young_from)
        return true;
    if (may_be_dense(meta))
        search->unknown = meta;
    if (!is_dense(meta))
        return search->unknown == NULL;
    if (meets_any(pick->running, level, meta->smallest, meta->largest)) {
        search->levels[level].is_blocked = true;
        return true;
    }
    search->has_more = ++*attempts > PICK_ATTEMPTS_MAX;
    if (search->has_more)
        return false;
    *status = pick_table(pick, level, meta, out);
    if (*status != LDB_OK)
        return false;
    if (*out == NULL) {
        search->levels[level].is_blocked = true;
        return true;
    }
    if (pays(*out, search))
        return false;
    ldb_compaction_destroy(*out);
    *out = NULL;
    return search->unknown == NULL;
}

static enum ldb_status pick_marks_of(const struct pick *pick, uint32_t level,
                                     struct ldb_mark_search *search,
                                     unsigned *attempts,
                                     struct ldb_compaction **out)
{
    const struct ldb_level *files = &pick->version->levels[level];
    enum ldb_status s = LDB_OK;

    go_on(pick->version, level, search);
    while (search->levels[level].next < files->count) {
        struct ldb_file_meta *meta = files->files[search->levels[level].next];

        if (!try_marks(pick, level, meta, search, attempts, &s, out))
            return s;
        search->levels[level].next++;
    }
    if (search->levels[level].is_blocked)
        search->levels[level].is_begun = false;
    return LDB_OK;
}

enum ldb_status ldb_compaction_pick_marks(
    struct ldb_version *version, const struct ldb_compaction_limits *limits,
    const struct ldb_compaction *running, struct ldb_mark_search *search,
    struct ldb_error *err, struct ldb_compaction **out)
{
    const struct pick pick = {
        .version = version, .limits = limits, .running = running, .err = err};
    struct ldb_compaction *found = NULL;
    unsigned attempts = 0;
    enum ldb_status s = LDB_OK;

    search->unknown = NULL;
    search->has_more = false;
    if (!is_any_due(&pick))
        for (uint32_t level = 0;
             s == LDB_OK && found == NULL && search->unknown == NULL &&
             !search->has_more && level <= LAST_SOURCE_LEVEL;
             level++)
            s = pick_marks_of(&pick, level, search, &attempts, &found);
    if (s == LDB_OK)
        *out = found;
    return s;
}

/* ---- seeks ---- */

/* The level that has the table; every version's seek_table is in one. */
static uint32_t level_of(const struct ldb_version *version,
                         const struct ldb_file_meta *meta)
{
    for (uint32_t l = 1; l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &version->levels[l];
        size_t i = ldb_find_file(version->comparator, level->files,
                                 level->count, meta->largest);

        if (i < level->count && level->files[i] == meta)
            return l;
    }
    return 0;
}

enum ldb_status
ldb_compaction_pick_seek(struct ldb_version *version,
                         const struct ldb_compaction_limits *limits,
                         const struct ldb_compaction *running,
                         struct ldb_error *err, struct ldb_compaction **out)
{
    const struct pick pick = {
        .version = version, .limits = limits, .running = running, .err = err};
    struct ldb_file_meta *meta =
        atomic_load_explicit(&version->seek_table, memory_order_relaxed);
    struct ldb_compaction *found = NULL;
    enum ldb_status s;

    if (meta == NULL || is_any_due(&pick))
        return LDB_OK;
    /* What was looked into before another one is not of the last level. */
    s = pick_table(&pick, level_of(version, meta), meta, &found);
    if (s != LDB_OK)
        return s;
    if (found != NULL)
        found->is_seek = true;
    *out = found;
    return LDB_OK;
}

/* Leaves out the tables that end at or before user key after. */
static void drop_done(const struct ldb_comparator *cmp,
                      const struct ldb_slice *after, struct file_set *set)
{
    size_t done = 0;

    while (done < set->count &&
           ldb_compare(cmp, ldb_internal_user_key(set->files[done]->largest),
                       *after) <= 0)
        done++;
    for (size_t i = done; i < set->count; i++)
        set->files[i - done] = set->files[i];
    set->count -= done;
}

enum ldb_status ldb_compaction_pick_range(
    struct ldb_version *version, const struct ldb_compaction_limits *limits,
    uint32_t level, const struct ldb_compaction_range *range,
    struct ldb_error *err, struct ldb_compaction **out)
{
    struct setup setup = {.version = version, .limits = limits, .level = level};
    uint64_t limit = 0;
    uint64_t bytes = 0;
    size_t kept = 0;

    if (level > LAST_SOURCE_LEVEL)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "level %" PRIu32 " cannot be compacted, the last "
                             "that can is %d",
                             level, LAST_SOURCE_LEVEL);
    limit = limits->source_limit_factor * limits->table_bytes[level + 1];
    if (ldb_version_overlapping(version, level, range->begin, range->end,
                                &setup.inputs[0].files,
                                &setup.inputs[0].count) != LDB_OK)
        return ldb_error_no_memory(err);
    if (level > 0 && range->after != NULL)
        drop_done(version->comparator, range->after, &setup.inputs[0]);
    if (setup.inputs[0].count == 0) {
        /* Tables of level 0, but none in the range; or all done. */
        ldb_mem_free(setup.inputs[0].files);
        *out = NULL;
        return LDB_OK;
    }
    /* Not at level 0: there a table left behind may be older and overlap. */
    while (kept < setup.inputs[0].count && (level == 0 || bytes < limit))
        bytes += setup.inputs[0].files[kept++]->size;
    setup.inputs[0].count = kept;
    return finish(&setup, true, err, out);
}

/* ---- running ---- */

enum ldb_status
ldb_compaction_edit_inputs(const struct ldb_compaction *compaction,
                           struct ldb_version_edit *edit)
{
    enum ldb_status s = LDB_OK;

    for (uint32_t which = 0; which < 2; which++) {
        for (size_t i = 0; s == LDB_OK && i < compaction->input_count[which];
             i++)
            s = ldb_version_edit_delete_file(
                edit, compaction->level + which,
                compaction->inputs[which][i]->number);
    }
    return s;
}

bool ldb_compaction_should_stop_before(
    const struct ldb_compaction *compaction,
    const struct ldb_compaction_limits *limits,
    struct ldb_compaction_cursor *cursor, struct ldb_slice internal_key)
{
    const struct ldb_comparator *cmp = compaction->version->comparator;
    uint64_t limit = grandparent_limit(limits, compaction->level);

    while (cursor->grandparent < compaction->grandparent_count) {
        const struct ldb_file_meta *meta =
            compaction->grandparents[cursor->grandparent];

        if (ldb_internal_compare(cmp, internal_key, meta->largest) <= 0)
            break;
        if (cursor->seen_key)
            cursor->overlapped_bytes += meta->size;
        cursor->grandparent++;
    }
    cursor->seen_key = true;
    if (cursor->overlapped_bytes <= limit)
        return false;
    cursor->overlapped_bytes = 0;
    return true;
}

bool ldb_compaction_is_base_level_for(const struct ldb_compaction *compaction,
                                      struct ldb_compaction_cursor *cursor,
                                      struct ldb_slice user_key)
{
    const struct ldb_version *version = compaction->version;
    const struct ldb_comparator *cmp = version->comparator;

    for (uint32_t l = compaction->level + 2; l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &version->levels[l];
        size_t *i = &cursor->base_level[l];

        while (*i < level->count &&
               ldb_compare(cmp, user_key,
                           ldb_internal_user_key(level->files[*i]->largest)) >
                   0)
            (*i)++;
        if (*i < level->count &&
            ldb_compare(cmp, user_key,
                        ldb_internal_user_key(level->files[*i]->smallest)) >= 0)
            return false;
    }
    return true;
}
