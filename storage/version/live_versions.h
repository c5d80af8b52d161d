/*
 * The versions that someone still holds, oldest first, and the tables that
 * none of them names any more: version_set.c's bookkeeping of what may be
 * deleted.
 *
 * Which tables are dead is found without counting per table. File numbers are
 * never used twice, so the versions that name one table stand side by side in
 * the list. A table that a new version lacks is hung on the version before it:
 * the newest that has it. When that version dies, the table goes to the next
 * older live version that has it too; if there is none it is obsolete. Nothing
 * is allocated on that way, and a death costs as much as hangs on it.
 *
 * Thread-safety: any thread; one mutex of its own, held for no I/O.
 */
#ifndef STORAGE_VERSION_LIVE_VERSIONS_H
#define STORAGE_VERSION_LIVE_VERSIONS_H

#include "storage/version/version.h"

struct ldb_live_versions;

/* A table in a list; made ahead, so that moving it cannot fail. */
struct ldb_table_node {
    struct ldb_table_node *next;
    struct ldb_file_meta *meta; /* one reference */
};

/* Puts a node for meta before *list. NO_MEMORY: the list is as before. */
LDB_MUST_CHECK enum ldb_status
ldb_table_nodes_push(struct ldb_table_node **list, struct ldb_file_meta *meta);
/* The whole list; NULL is fine. */
void ldb_table_nodes_destroy(struct ldb_table_node *list);

/* NULL on no memory. */
LDB_MUST_CHECK struct ldb_live_versions *ldb_live_versions_create(void);
/* No version is in it. NULL is fine. */
void ldb_live_versions_destroy(struct ldb_live_versions *live);

/*
 * version becomes the newest; removed (taken over) are the tables that the
 * newest before has and this one lacks.
 */
void ldb_live_versions_add(struct ldb_live_versions *live,
                           struct ldb_version *version,
                           struct ldb_table_node *removed);

/* Takes a version without references out and frees it. */
void ldb_live_versions_forget(struct ldb_live_versions *live,
                              struct ldb_version *version);

/*
 * Takes over tables that belong to no version. drop: they are obsolete.
 * hold: an edit that adds them may or may not be in the MANIFEST, so from here
 * to settle() nothing is handed out by take(). settle: a new MANIFEST without
 * that edit stands; what was held is obsolete.
 */
void ldb_live_versions_drop(struct ldb_live_versions *live,
                            struct ldb_table_node *tables);
void ldb_live_versions_hold(struct ldb_live_versions *live,
                            struct ldb_table_node *tables);
void ldb_live_versions_settle(struct ldb_live_versions *live);

/* Is the table in a live version, or held? */
bool ldb_live_versions_has(struct ldb_live_versions *live, uint64_t number);

/* As ldb_version_set_take_obsolete(), ldb_version_set_on_obsolete(). */
LDB_MUST_CHECK enum ldb_status
ldb_live_versions_take(struct ldb_live_versions *live, uint64_t **out,
                       size_t *out_count);
void ldb_live_versions_on_obsolete(struct ldb_live_versions *live,
                                   void (*on_obsolete)(void *context),
                                   void *context);

#endif
