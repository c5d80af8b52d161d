/*
 * leveld/incoming/, where files lie that are on their way into a folder: those
 * fetched, by their names (table_fetch.h), and NAME.have, a second name of a
 * table of ours that is to become NAME. What is found there proves nothing.
 *
 * A power cut may leave the first name of a file that was renamed out of there:
 * then it is another name of what is in force, and must not be written to. So
 * it goes before anything else is done (repl_incoming_clean()).
 *
 * Thread-safety: functions of their arguments; one caller a folder.
 */
#ifndef REPLICATION_INCOMING_H
#define REPLICATION_INCOMING_H

#include "replication/twin_plan.h"

/* Makes it, durably. */
LDB_MUST_CHECK enum ldb_status
repl_incoming_make(struct ldb_env *env, const char *dir, struct ldb_error *err);

/* DIR/leveld/incoming/NAME as a fresh string, or NAME.have; NULL: no memory. */
LDB_MUST_CHECK char *repl_incoming_path(const char *dir, const char *name,
                                        bool is_link);

/* Gives DIR/from the name NAME.have there. Durable with the next sync. */
LDB_MUST_CHECK enum ldb_status
repl_incoming_link(struct ldb_env *env, const char *dir, const char *from,
                   const char *name, struct ldb_error *err);

/* The links of a plan, durably. */
LDB_MUST_CHECK enum ldb_status
repl_incoming_link_all(struct ldb_env *env, const char *dir,
                       const struct repl_plan *plan, struct ldb_error *err);

/*
 * Whether every block of table NAME there, of that size, can be read by its
 * checksum. CORRUPTION: not so, and it is gone; it may have the leader's
 * digest all the same. Errors: NOT_FOUND, IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_incoming_check_table(struct ldb_env *env,
                                                         const char *dir,
                                                         const char *name,
                                                         uint64_t size,
                                                         struct ldb_error *err);

/* OK: names in it are durable. */
LDB_MUST_CHECK enum ldb_status
repl_incoming_sync(struct ldb_env *env, const char *dir, struct ldb_error *err);

/*
 * Removes what may be another name of a file of the folder: all of .have, and
 * each NAME of which the folder has one of the same length. is_all: whatever is
 * there. Durable when OK; OK when there is no such folder.
 */
LDB_MUST_CHECK enum ldb_status repl_incoming_clean(struct ldb_env *env,
                                                   const char *dir, bool is_all,
                                                   struct ldb_error *err);

#endif
