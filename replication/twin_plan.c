#include "replication/twin_plan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* What becomes of a journal of ours. */
enum fate {
    FATE_STAYS,
    FATE_ASIDE,
    FATE_DROPPED,
    FATE_FORGOTTEN,
};

struct making {
    const struct repl_plan_input *in;
    const struct repl_plan_table **wanted; /* by number */
    const struct repl_plan_table **wanted_by_content;
    const struct repl_plan_table **by_content; /* held, with a digest */
    size_t content_count;
    const struct repl_plan_table **by_number; /* held */
    enum fate *fates;                         /* of the journals */
    struct repl_plan plan;
    size_t capacity; /* of the plan's steps */
};

const char *repl_step_text(enum repl_step_kind kind)
{
    switch (kind) {
    case REPL_STEP_KEEP:
        return "keep";
    case REPL_STEP_LINK:
        return "link";
    case REPL_STEP_FETCH:
        return "fetch";
    case REPL_STEP_SET_ASIDE:
        return "set aside";
    case REPL_STEP_DROP:
        return "drop";
    case REPL_STEP_CLEAR:
        return "clear";
    case REPL_STEP_PLACE:
        return "place";
    case REPL_STEP_BEGIN:
        return "begin";
    case REPL_STEP_MANIFEST:
        return "manifest";
    case REPL_STEP_CURRENT:
        return "current";
    case REPL_STEP_FORGET:
        return "forget";
    }
    return "";
}

void repl_plan_release(struct repl_plan *plan)
{
    ldb_mem_free(plan->steps);
    *plan = (struct repl_plan){0};
}

/* ---- what is found by what ---- */

static int compare_numbers(const void *a, const void *b)
{
    const struct repl_plan_table *const *left = a;
    const struct repl_plan_table *const *right = b;

    return ((*left)->number > (*right)->number) -
           ((*left)->number < (*right)->number);
}

static int compare_contents(const void *a, const void *b)
{
    const struct repl_plan_table *const *left = a;
    const struct repl_plan_table *const *right = b;

    if ((*left)->size != (*right)->size)
        return (*left)->size < (*right)->size ? -1 : 1;
    return memcmp((*left)->digest.bytes, (*right)->digest.bytes,
                  LDB_DIGEST_SIZE);
}

static bool is_same_content(const struct repl_plan_table *a,
                            const struct repl_plan_table *b)
{
    return compare_contents(&a, &b) == 0;
}

/* Pointers to the tables, in order; NULL: no memory. */
static const struct repl_plan_table **
sort_tables(const struct repl_plan_table *tables, size_t count,
            int (*compare)(const void *, const void *), bool with_digest,
            size_t *out_count)
{
    const struct repl_plan_table **sorted =
        ldb_mem_alloc(count + 1, sizeof(*sorted));
    size_t n = 0;

    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!with_digest || tables[i].has_digest)
            sorted[n++] = &tables[i];
    }
    qsort(sorted, n, sizeof(*sorted), compare);
    *out_count = n;
    return sorted;
}

static enum ldb_status index_tables(struct making *m, struct ldb_error *err)
{
    const struct repl_plan_input *in = m->in;
    size_t count;

    m->wanted = sort_tables(in->wanted, in->wanted_count, compare_numbers,
                            false, &count);
    m->wanted_by_content = sort_tables(in->wanted, in->wanted_count,
                                       compare_contents, false, &count);
    m->by_number =
        sort_tables(in->held, in->held_count, compare_numbers, false, &count);
    m->by_content = sort_tables(in->held, in->held_count, compare_contents,
                                true, &m->content_count);
    if (m->wanted == NULL || m->wanted_by_content == NULL ||
        m->by_number == NULL || m->by_content == NULL)
        return ldb_error_no_memory(err);
    return LDB_OK;
}

static enum ldb_status check_wanted(const struct making *m,
                                    struct ldb_error *err)
{
    for (size_t i = 0; i < m->in->wanted_count; i++) {
        if (!m->wanted[i]->has_digest)
            return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                                 "table %s has no digest", m->wanted[i]->name);
        if (i > 0 && m->wanted[i]->number == m->wanted[i - 1]->number)
            return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                                 "table %s is there twice", m->wanted[i]->name);
    }
    return LDB_OK;
}

/* The first of the sorted ones that does not stand before key. */
static size_t lower_bound(const struct repl_plan_table **sorted, size_t count,
                          const struct repl_plan_table *key,
                          int (*compare)(const void *, const void *))
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(&sorted[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of the tables held with these bytes the one of that name, or else any; NULL:
 * there is none. */
static const struct repl_plan_table *
find_content(const struct making *m, const struct repl_plan_table *wanted)
{
    const struct repl_plan_table *found = NULL;
    size_t i =
        lower_bound(m->by_content, m->content_count, wanted, compare_contents);

    for (; i < m->content_count && is_same_content(m->by_content[i], wanted);
         i++) {
        if (found == NULL || strcmp(m->by_content[i]->name, wanted->name) == 0)
            found = m->by_content[i];
    }
    return found;
}

/* Is there a wanted table with these bytes? */
static bool is_wanted_content(const struct making *m,
                              const struct repl_plan_table *held)
{
    size_t count = m->in->wanted_count;
    size_t i;

    if (!held->has_digest)
        return false;
    i = lower_bound(m->wanted_by_content, count, held, compare_contents);
    return i < count && is_same_content(m->wanted_by_content[i], held);
}

/* ---- steps ---- */

static struct repl_step *add_step(struct making *m, enum repl_step_kind kind)
{
    struct repl_step *step = &m->plan.steps[m->plan.count++];

    assert(m->plan.count <= m->capacity);
    step->kind = kind;
    return step;
}

static void add_named(struct making *m, enum repl_step_kind kind,
                      enum ldb_file_type type, uint64_t number)
{
    struct repl_step *step = add_step(m, kind);

    step->number = number;
    ldb_file_name_print(step->name, type, number);
}

static struct repl_step *add_table(struct making *m, enum repl_step_kind kind,
                                   const struct repl_plan_table *table)
{
    struct repl_step *step = add_step(m, kind);

    memcpy(step->name, table->name, sizeof(step->name));
    step->number = table->number;
    step->size = table->size;
    step->digest = table->digest;
    return step;
}

/* ---- tables ---- */

/* The file of that name is the table already, and no other spelling of its
 * number, which readers may prefer, is there. */
static bool is_in_place(const struct making *m,
                        const struct repl_plan_table *wanted)
{
    const struct repl_plan_table *held = find_content(m, wanted);
    size_t i =
        lower_bound(m->by_number, m->in->held_count, wanted, compare_numbers);

    return held != NULL && strcmp(held->name, wanted->name) == 0 &&
           (i + 1 >= m->in->held_count ||
            m->by_number[i + 1]->number != wanted->number);
}

/* Both versions speak of one table, though the file may be damaged. */
static bool is_same_table(const struct ldb_file_meta *a,
                          const struct ldb_file_meta *b)
{
    return a != NULL && b != NULL && a->size == b->size &&
           ldb_slice_equal(a->smallest, b->smallest) &&
           ldb_slice_equal(a->largest, b->largest);
}

/* Placed, it would be taken for another one that the version in force names. */
static bool collides(const struct making *m,
                     const struct repl_plan_table *wanted)
{
    size_t count = m->in->held_count;
    size_t i = lower_bound(m->by_number, count, wanted, compare_numbers);

    for (; i < count && m->by_number[i]->number == wanted->number; i++) {
        const struct ldb_file_meta *meta = m->by_number[i]->meta;

        if (meta != NULL && !is_same_table(meta, wanted->meta))
            return true;
    }
    return false;
}

static void get_tables(struct making *m)
{
    for (size_t i = 0; i < m->in->wanted_count; i++) {
        const struct repl_plan_table *wanted = m->wanted[i];
        const struct repl_plan_table *held = find_content(m, wanted);
        struct repl_step *step;

        if (held == NULL) {
            add_table(m, REPL_STEP_FETCH, wanted);
            m->plan.fetched++;
            m->plan.fetched_bytes += wanted->size;
            continue;
        }
        m->plan.kept++;
        if (is_in_place(m, wanted)) {
            add_table(m, REPL_STEP_KEEP, wanted);
            continue;
        }
        step = add_table(m, REPL_STEP_LINK, wanted);
        memcpy(step->from, held->name, sizeof(step->from));
    }
}

static void place_tables(struct making *m)
{
    for (size_t i = 0; i < m->in->wanted_count; i++) {
        const struct repl_plan_table *wanted = m->wanted[i];

        if (!is_in_place(m, wanted))
            add_table(m, REPL_STEP_PLACE, wanted)->is_linked =
                find_content(m, wanted) != NULL;
    }
}

/* One that was cut off in its making has neither journal nor table. */
static bool is_unfinished(const struct repl_plan_input *in)
{
    if (in->held_log_number != 0)
        return false;
    for (size_t i = 0; i < in->held_count; i++) {
        if (in->held[i].meta != NULL)
            return false;
    }
    return true;
}

static bool needs_clear(const struct making *m)
{
    if (!m->in->is_in_force || is_unfinished(m->in))
        return true;
    for (size_t i = 0; i < m->in->wanted_count; i++) {
        if (!is_in_place(m, m->wanted[i]) && collides(m, m->wanted[i]))
            return true;
    }
    return false;
}

static void set_tables_aside(struct making *m)
{
    if (!m->in->is_unknown)
        return;
    for (size_t i = 0; i < m->in->held_count; i++) {
        if (is_wanted_content(m, m->by_number[i]))
            continue;
        add_table(m, REPL_STEP_SET_ASIDE, m->by_number[i]);
        m->plan.set_aside++;
    }
}

/* ---- journals ---- */

/* The leader's first journal from its log number on. */
static size_t first_needed(const struct repl_plan_input *in)
{
    size_t i = 0;

    while (i < in->leader_journal_count &&
           in->leader_journals[i] < in->log_number)
        i++;
    return i;
}

/* What becomes of it when it may not stay where it is. */
static enum fate fate_of_leaving(const struct making *m,
                                 const struct repl_plan_journal *journal)
{
    const struct repl_plan_input *in = m->in;

    if (journal->file_len == 0)
        return FATE_DROPPED;
    if (in->is_unknown || journal->last > in->fork ||
        (journal->is_unlike && journal->last > 0) ||
        (in->is_diverged && journal->is_damaged))
        return FATE_ASIDE;
    return FATE_DROPPED;
}

/*
 * Whether it is *next of the leader's journals that are needed, of which we
 * have all before. Nothing is kept behind one that is not whole. Empty, the
 * first one may stay too.
 */
static bool is_kept(const struct making *m,
                    const struct repl_plan_journal *journal, size_t *next)
{
    const struct repl_plan_input *in = m->in;
    bool is_empty_first =
        journal->file_len == 0 && journal->number == in->log_number;

    if (*next >= in->leader_journal_count || journal->is_damaged ||
        journal->number != in->leader_journals[*next] ||
        (!journal->is_alike && !is_empty_first))
        return false;
    *next = journal->is_alike && journal->is_whole ? *next + 1
                                                   : in->leader_journal_count;
    return true;
}

/* Those in the folder that the MANIFEST to come asks for, or would replay. */
static void decide_needed(struct making *m)
{
    const struct repl_plan_input *in = m->in;
    size_t next = first_needed(in);

    for (size_t i = 0; i < in->journal_count; i++) {
        const struct repl_plan_journal *journal = &in->journals[i];

        if (journal->number < in->log_number || journal->is_archived)
            continue;
        if (is_kept(m, journal, &next))
            continue;
        m->fates[i] = fate_of_leaving(m, journal);
        next = in->leader_journal_count;
    }
}

/* Those that tables have by then, and all of the archive: they stay unless they
 * are ours alone. */
static void decide_others(struct making *m)
{
    const struct repl_plan_input *in = m->in;

    for (size_t i = 0; i < in->journal_count; i++) {
        const struct repl_plan_journal *journal = &in->journals[i];

        if ((journal->number < in->log_number || journal->is_archived) &&
            fate_of_leaving(m, journal) == FATE_ASIDE)
            m->fates[i] = FATE_ASIDE;
    }
}

/*
 * Once a journal is out that the MANIFEST in force asks for, none after it may
 * be there: it would be replayed without it.
 */
static void follow_fates(struct making *m)
{
    const struct repl_plan_input *in = m->in;
    bool is_out = false;

    for (size_t i = 0; i < in->journal_count; i++) {
        const struct repl_plan_journal *journal = &in->journals[i];

        if (journal->is_archived || journal->number < in->held_log_number)
            continue;
        if (is_out && m->fates[i] == FATE_STAYS && journal->file_len > 0)
            m->fates[i] = fate_of_leaving(m, journal);
        is_out = is_out || (m->fates[i] != FATE_STAYS && journal->len > 0);
    }
}

static const struct repl_plan_journal *
find_journal(const struct repl_plan_input *in, uint64_t number, size_t *out)
{
    for (size_t i = in->journal_count; i-- > 0;) {
        if (in->journals[i].number == number) {
            *out = i;
            return &in->journals[i];
        }
    }
    return NULL;
}

/* Below the log number: what is not part of an unbroken end. From it on the
 * archive has no place. */
static void break_chain(struct making *m)
{
    const struct repl_plan_input *in = m->in;
    size_t l = first_needed(in);
    size_t end = in->journal_count;

    while (end > 0 && in->journals[end - 1].number >= in->log_number)
        end--;
    while (l-- > 0) {
        size_t i = 0;
        const struct repl_plan_journal *journal =
            find_journal(in, in->leader_journals[l], &i);

        if (journal == NULL || i + 1 != end || !journal->is_alike ||
            !journal->is_whole || m->fates[i] != FATE_STAYS)
            break;
        end = i;
    }
    for (size_t i = 0; i < in->journal_count; i++) {
        bool is_needless =
            i < end || (in->journals[i].is_archived &&
                        in->journals[i].number >= in->log_number);

        if (m->fates[i] == FATE_STAYS && is_needless)
            m->fates[i] = FATE_FORGOTTEN;
    }
}

static void add_journal(struct making *m, enum repl_step_kind kind,
                        const struct repl_plan_journal *journal)
{
    add_named(m, kind, LDB_FILE_JOURNAL, journal->number);
    m->plan.steps[m->plan.count - 1].is_archived = journal->is_archived;
}

static void decide_fates(struct making *m)
{
    decide_needed(m);
    decide_others(m);
    follow_fates(m);
    break_chain(m);
}

/* Newest first. */
static void move_journals(struct making *m)
{
    for (size_t i = m->in->journal_count; i-- > 0;) {
        const struct repl_plan_journal *journal = &m->in->journals[i];

        if (m->fates[i] == FATE_ASIDE) {
            add_journal(m, REPL_STEP_SET_ASIDE, journal);
            m->plan.set_aside++;
        } else if (m->fates[i] == FATE_DROPPED) {
            add_journal(m, REPL_STEP_DROP, journal);
        }
    }
}

/* Oldest first: at each moment what is left has no gap. */
static void forget_journals(struct making *m)
{
    for (size_t i = 0; i < m->in->journal_count; i++) {
        if (m->fates[i] == FATE_FORGOTTEN)
            add_journal(m, REPL_STEP_FORGET, &m->in->journals[i]);
    }
}

/* ---- all of it ---- */

static enum ldb_status allocate(struct making *m, struct ldb_error *err)
{
    const struct repl_plan_input *in = m->in;

    m->fates = ldb_mem_zalloc(in->journal_count + 1, sizeof(*m->fates));
    /* A wanted table is had and placed; a held one is set aside, a journal
     * this or that; clear, begin, manifest, current. */
    m->capacity = 2 * in->wanted_count + in->held_count + in->journal_count + 4;
    m->plan.steps = ldb_mem_zalloc(m->capacity, sizeof(*m->plan.steps));
    if (m->fates == NULL || m->plan.steps == NULL)
        return ldb_error_no_memory(err);
    return LDB_OK;
}

static void make_steps(struct making *m)
{
    const struct repl_plan_input *in = m->in;

    get_tables(m);
    set_tables_aside(m);
    decide_fates(m);
    move_journals(m);
    m->plan.has_clear = needs_clear(m);
    if (m->plan.has_clear)
        add_step(m, REPL_STEP_CLEAR);
    place_tables(m);
    add_named(m, REPL_STEP_BEGIN, LDB_FILE_JOURNAL, in->log_number);
    add_named(m, REPL_STEP_MANIFEST, LDB_FILE_MANIFEST, in->manifest_number);
    if (m->plan.has_clear || in->held_manifest_number != in->manifest_number)
        add_named(m, REPL_STEP_CURRENT, LDB_FILE_MANIFEST, in->manifest_number);
    forget_journals(m);
}

enum ldb_status repl_plan_make(const struct repl_plan_input *in,
                               struct ldb_error *err, struct repl_plan *out)
{
    struct making m = {.in = in};
    enum ldb_status s = index_tables(&m, err);

    if (s == LDB_OK)
        s = check_wanted(&m, err);
    if (s == LDB_OK)
        s = allocate(&m, err);
    if (s == LDB_OK) {
        make_steps(&m);
        *out = m.plan;
    } else {
        repl_plan_release(&m.plan);
    }
    ldb_mem_free(m.wanted);
    ldb_mem_free(m.wanted_by_content);
    ldb_mem_free(m.by_content);
    ldb_mem_free(m.by_number);
    ldb_mem_free(m.fates);
    return s;
}
