/*
 * A version: the immutable list of tables per level. Level 0 stands newest
 * number first; the other levels by smallest key, not overlapping. It lives
 * while anyone holds a reference; the files of versions that live are not
 * deleted (version_set.h).
 *
 * Thread-safety: immutable; references from any thread.
 */
#ifndef STORAGE_VERSION_VERSION_H
#define STORAGE_VERSION_VERSION_H

#include "storage/version/level_iterator.h"

struct ldb_file_list;
struct ldb_live_versions;
struct ldb_table_node;

struct ldb_level {
    struct ldb_file_meta *const *files; /* the list's */
    size_t count;
    uint64_t bytes;
    struct ldb_file_list *list; /* one reference; shared by the versions in
                                   which the level is the same */
    uint64_t changes; /* edits of the level since open: two versions of a set
                         with the same number have the same level */
};

struct ldb_version {
    _Atomic(uint32_t) refs; /* acquire/release */
    /* The list it is in, NULL: none; constant once shared. */
    struct ldb_live_versions *live;
    const struct ldb_comparator *comparator;
    struct ldb_level levels[LDB_LEVEL_COUNT];
    /* How much each level needs compacting (>= 1: now); set when the version
     * is made (ldb_version_score()). */
    double scores[LDB_LEVEL_COUNT];
    /* About how many bytes compaction has to merge until no score is over 1;
     * set with them. */
    uint64_t pending_bytes;
    /* Seek compaction: whether reads are counted, set when the version is made;
     * the first table whose budget they used up (NULL: none); whether that was
     * not yet told. The atomics are relaxed: the table is the version's. */
    bool counts_seeks;
    _Atomic(struct ldb_file_meta *) seek_table;
    _Atomic(bool) has_seek_news;
    /* The list's own, guarded by its mutex: the neighbours, and the tables
     * that no newer version has. */
    struct ldb_version *older;
    struct ldb_version *newer;
    struct ldb_table_node *last_tables;
};

struct ldb_version *ldb_version_ref(struct ldb_version *version);

/*
 * The last unref takes the version out of its set's list and frees it; files
 * that no live version names become obsolete (ldb_version_set_take_obsolete).
 * NULL is fine. Any thread.
 */
void ldb_version_unref(struct ldb_version *version);

/*
 * The newest entry of target's user key at or below its sequence. As
 * ldb_table_get(). Level 0: every overlapping table is asked and the highest
 * tag wins (docs/formats.md, rule 22); then one table a level. On a failure
 * out_value is empty.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_get(struct ldb_version *version, struct ldb_table_cache *tables,
                const struct ldb_table_read *read, struct ldb_slice target,
                struct ldb_error *err, struct ldb_buf *out_value,
                uint64_t *out_tag);

/*
 * A cursor read the entry of internal_key: where more than one table may hold
 * its user key, that costs the first one a seek, as a get does that looks on
 * after it.
 */
void ldb_version_sample_seek(struct ldb_version *version,
                             struct ldb_slice internal_key);

/* True once after reads used up a table's budget: wake compaction. */
bool ldb_version_take_seek_news(struct ldb_version *version);

/*
 * Appends to children (an array of *count, room for room) one iterator per
 * level-0 table within the read's bounds and one concatenation per deeper level
 * with tables. The version must outlive them. On failure those made so far are
 * destroyed and *count is as before.
 */
LDB_MUST_CHECK enum ldb_status ldb_version_add_iterators(
    struct ldb_version *version, struct ldb_table_cache *tables,
    const struct ldb_table_read *read, struct ldb_error *err,
    struct ldb_iterator **children, size_t room, size_t *count);

/* Is table meta->number in the version? Looks where meta's keys belong. */
bool ldb_version_contains(const struct ldb_version *version,
                          const struct ldb_file_meta *meta);

/* Index of the first file whose largest >= key (internal key), or count. */
size_t ldb_find_file(const struct ldb_comparator *user_comparator,
                     struct ldb_file_meta *const *files, size_t count,
                     struct ldb_slice internal_key);

/*
 * Tables of the level that overlap the user keys [begin, end] (NULL: open),
 * appended to *out (ldb_mem_realloc'ed; borrowed metas). Level 0: transitively.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_overlapping(const struct ldb_version *version, uint32_t level,
                        const struct ldb_slice *begin,
                        const struct ldb_slice *end,
                        struct ldb_file_meta ***out, size_t *out_count);

/* Does any table of the level overlap the user keys [begin, end]? */
bool ldb_version_overlaps(const struct ldb_version *version, uint32_t level,
                          const struct ldb_slice *begin,
                          const struct ldb_slice *end);

#endif
