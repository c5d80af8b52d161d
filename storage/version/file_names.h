/*
 * The names in a database folder (docs/formats.md): print and parse. A name
 * is ours only in the spelling that we print (digits, at least six where they
 * are padded): any other is foreign, never read and never deleted. So two names
 * never mean one file.
 */
#ifndef STORAGE_VERSION_FILE_NAMES_H
#define STORAGE_VERSION_FILE_NAMES_H

#include "storage/base/buf.h"

enum ldb_file_type {
    LDB_FILE_FOREIGN,
    LDB_FILE_JOURNAL,      /* NNNNNN.log */
    LDB_FILE_TABLE,        /* NNNNNN.ldb */
    LDB_FILE_TABLE_SST,    /* NNNNNN.sst */
    LDB_FILE_MANIFEST,     /* MANIFEST-NNNNNN */
    LDB_FILE_CURRENT,      /* CURRENT */
    LDB_FILE_CURRENT_BAK,  /* CURRENT.bak */
    LDB_FILE_CURRENT_NEXT, /* CURRENT.N */
    LDB_FILE_DBTMP,        /* NNNNNN.dbtmp, LevelDB's */
    LDB_FILE_TMP,          /* NNNNNN.tmp, goleveldb's */
    LDB_FILE_LOCK,
    LDB_FILE_LOG, /* LOG, LOG.old */
};

/* Bytes of the longest name with its NUL: "MANIFEST-" and 20 digits. */
#define LDB_FILE_NAME_SIZE 32

/* Larger numbers are foreign: goleveldb holds them in an int64. */
#define LDB_FILE_NUMBER_MAX ((uint64_t)INT64_MAX)

/* Of a database's folder: files on their way into it. Both libraries leave
 * the folder leveld/ alone. */
#define LDB_OWN_FOLDER      "leveld"
#define LDB_INCOMING_FOLDER LDB_OWN_FOLDER "/incoming"

/* number is 0 for names that have none. */
enum ldb_file_type ldb_file_name_parse(const char *name, uint64_t *out_number);

/* Prints "000123.ldb" and the like into out; type has a name. */
void ldb_file_name_print(char out[LDB_FILE_NAME_SIZE], enum ldb_file_type type,
                         uint64_t number);

/* dir/name as a fresh string (ldb_mem_free); NULL on no memory. */
LDB_MUST_CHECK char *ldb_file_path(const char *dir, enum ldb_file_type type,
                                   uint64_t number);

#endif
