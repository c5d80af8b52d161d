/*
 * Lists one file of a database for people: a journal's records and their
 * operations, a MANIFEST's edits, a table's blocks and entries, each with its
 * offset; damage where it is met.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_DESCRIBE_H
#define STORAGE_DESCRIBE_H

#include "storage/include/ldb.h"

/* One line, without its newline. Not OK ends the listing, which returns it. */
typedef enum ldb_status (*ldb_describe_line)(void *context,
                                             struct ldb_slice line);

/*
 * Lists the file of path; its name says of what kind it is. Lines of damage
 * begin with "! "; *out_damages counts them. options: env, comparator and
 * filter are used; NULL: the defaults.
 *
 * Errors: INVALID_ARGUMENT: not the name of a journal, MANIFEST or table;
 * NOT_FOUND, IO, NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_describe_file(const char *path, const struct ldb_options *options,
                  ldb_describe_line line, void *context, struct ldb_error *err,
                  uint64_t *out_damages);

#endif
