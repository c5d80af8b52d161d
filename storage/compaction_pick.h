/*
 * What to compact next: a pure function of a version, the compaction pointers,
 * the compactions that run already and the options (docs/formats.md, goleveldb
 * with geth's options), plus the boundary tables of rule 23.
 *
 * Two compactions may run at once unless ldb_compaction_conflicts() says
 * otherwise: then neither reads, replaces or writes between tables of the
 * other, and a delete mark dropped by one hides nothing that the other moves.
 */
#ifndef STORAGE_COMPACTION_PICK_H
#define STORAGE_COMPACTION_PICK_H

#include <stdatomic.h>

#include "storage/version/version.h"

struct ldb_compaction_limits {
    /* Of a table that is written to the level: 2 MiB */
    uint64_t table_bytes[LDB_LEVEL_COUNT];
    /* x the table of the next level, grandparents: of the one after it */
    uint32_t expand_limit_factor;      /* 25 */
    uint32_t grandparent_limit_factor; /* 10 */
    uint32_t source_limit_factor;      /* manual only: 1 */
};

struct ldb_compaction {
    struct ldb_version *version; /* referenced: keeps the inputs alive */
    uint32_t level;              /* inputs[0]; inputs[1] is level + 1 */
    struct ldb_file_meta **inputs[2];
    size_t input_count[2];
    struct ldb_file_meta **grandparents; /* of level + 2, in key order */
    size_t grandparent_count;
    bool is_trivial_move; /* move inputs[0][0] down, no rewriting */
    bool is_manual;
    bool is_seek; /* reads asked for it */
    /* Largest internal key of inputs[0]: the new pointer. Borrowed from it. */
    struct ldb_slice pointer;
    /* Internal keys between which all inputs, so all outputs lie. Borrowed. */
    struct ldb_slice smallest;
    struct ldb_slice largest;
    /* A manual one's, set by the scheduler: true, its caller gives it up.
     * NULL: none. */
    const atomic_bool *is_cancelled;
    /* The scheduler's: the next one running; picks are numbered from 1. */
    struct ldb_compaction *next;
    uint64_t order;
};

/* What a manual compaction takes of a level. */
struct ldb_compaction_range {
    const struct ldb_slice *begin; /* user keys; NULL: open */
    const struct ldb_slice *end;
    /* Below level 0, tables that end at or before it have been done; NULL:
     * none. */
    const struct ldb_slice *after;
};

/* NULL is fine. */
void ldb_compaction_destroy(struct ldb_compaction *compaction);

/*
 * Would the compaction meet one of the list running (through next; NULL:
 * empty)? It does where both work on a common level and their keys meet; and
 * there is one of level 0 at a time.
 */
bool ldb_compaction_conflicts(const struct ldb_compaction *compaction,
                              const struct ldb_compaction *running);

/*
 * The compaction that the version's scores ask for most and that meets none of
 * the list running; *out NULL when there is none. What runs already counts as
 * done in the scores. The array pointers[level] are the compaction pointers
 * (may be empty slices). Level 0 is due from the score level0_due on: 1, or
 * more where it may wait for further tables.
 */
LDB_MUST_CHECK enum ldb_status
ldb_compaction_pick(struct ldb_version *version,
                    const struct ldb_compaction_limits *limits,
                    const struct ldb_slice pointers[LDB_LEVEL_COUNT],
                    double level0_due, const struct ldb_compaction *running,
                    struct ldb_error *err, struct ldb_compaction **out);

/*
 * The search for tables whose delete marks are worth a compaction of their
 * own, kept from one pick to the next. Zero it to begin. Guarded as the picks
 * are.
 */
struct ldb_mark_search {
    /* The caller's, before each pick: tables numbered from here on are too
     * young to begin one; 0: none is. */
    uint64_t young_from;
    struct {
        bool is_begun;
        bool is_blocked;  /* a compaction that runs was in the way */
        uint64_t changes; /* of the level and of the next one when it began */
        uint64_t changes_below;
        uint64_t young_from; /* when it began */
        size_t next;         /* table to look at */
    } levels[LDB_LEVEL_COUNT];
    /* What the last pick lacks. Borrowed from the version: a table whose counts
     * are to be learned, or NULL; the next pick asks again. */
    struct ldb_file_meta *unknown;
    bool has_more; /* it stopped early: pick again */
};

/*
 * Where no score asks for one: a compaction that begins with a table of which
 * half the entries or more are delete marks, such that marks of the upper level
 * are a quarter of the entries it reads, or that only moves the table. Each
 * brings its marks one level down or drops them, so repeating it ends. *out
 * NULL: none now; see search.
 */
LDB_MUST_CHECK enum ldb_status ldb_compaction_pick_marks(
    struct ldb_version *version, const struct ldb_compaction_limits *limits,
    const struct ldb_compaction *running, struct ldb_mark_search *search,
    struct ldb_error *err, struct ldb_compaction **out);

/*
 * Where no score asks for one: what reads ask for, the compaction that begins
 * with the version's seek_table; *out NULL: none, or it meets one that runs.
 */
LDB_MUST_CHECK enum ldb_status
ldb_compaction_pick_seek(struct ldb_version *version,
                         const struct ldb_compaction_limits *limits,
                         const struct ldb_compaction *running,
                         struct ldb_error *err, struct ldb_compaction **out);

/*
 * A manual one: the level's tables in the range, cut at source_limit but at
 * level 0; *out NULL when there are none. It may meet others that run. The
 * caller goes on after the user key of pointer until NULL.
 */
LDB_MUST_CHECK enum ldb_status ldb_compaction_pick_range(
    struct ldb_version *version, const struct ldb_compaction_limits *limits,
    uint32_t level, const struct ldb_compaction_range *range,
    struct ldb_error *err, struct ldb_compaction **out);

/* Adds every input deletion to edit; the pointer is the scheduler's. */
LDB_MUST_CHECK enum ldb_status
ldb_compaction_edit_inputs(const struct ldb_compaction *compaction,
                           struct ldb_version_edit *edit);

/*
 * State of one run over ascending keys: should an output end before this user
 * key's first entry (grandparent overlap), and may a delete mark go (no table
 * of level >= level + 2 has the key)? Zero it to begin.
 */
struct ldb_compaction_cursor {
    size_t grandparent;
    uint64_t overlapped_bytes;
    bool seen_key;
    size_t base_level[LDB_LEVEL_COUNT];
};

/* Internal keys must be passed ascending. */
bool ldb_compaction_should_stop_before(
    const struct ldb_compaction *compaction,
    const struct ldb_compaction_limits *limits,
    struct ldb_compaction_cursor *cursor, struct ldb_slice internal_key);
bool ldb_compaction_is_base_level_for(const struct ldb_compaction *compaction,
                                      struct ldb_compaction_cursor *cursor,
                                      struct ldb_slice user_key);

#endif
