/*
 * Which names are a table's. Such a name leads out of no folder, and over no
 * other file.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_TABLE_NAME_H
#define REPLICATION_TABLE_NAME_H

#include <stdbool.h>
#include <stdint.h>

/* NNNNNN.ldb or NNNNNN.sst, as file_names.h has them; *out_number is then its
 * number. */
bool repl_is_table_name(const char *name, uint64_t *out_number);

#endif
