/*
 * A run of records of another database's MANIFEST, as bytes, folded into one
 * edit of a version: a table that comes and goes within the run is not in it.
 *
 * Thread-safety: one caller.
 */
#ifndef STORAGE_VERSION_MANIFEST_RUN_H
#define STORAGE_VERSION_MANIFEST_RUN_H

#include "storage/version/version.h"

struct ldb_manifest_run {
    uint64_t number; /* of the MANIFEST */
    uint64_t offset; /* where the run begins in it */
    size_t len;      /* bytes of its whole records */
    size_t record_count;
    /* Tables as the base's come to those after the run; scalars and pointers
     * that a record of it sets, their last value. */
    struct ldb_version_edit edit;
};

/*
 * bytes stand in MANIFEST-number at offset: where base's records end, or 0: all
 * of a MANIFEST, from which base's tables are to come to its. What begins of
 * another record after the whole ones is left aside. out needs no init and is
 * to be released after OK alone.
 *
 * Errors: CORRUPTION names file and offset: a frame, a checksum, an edit, a
 * field that a whole MANIFEST lacks, tables that overlap; INVALID_ARGUMENT:
 * another comparator, or no whole record; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status ldb_manifest_run_read(
    struct ldb_manifest_run *out, const struct ldb_comparator *comparator,
    struct ldb_version *base, uint64_t number, uint64_t offset,
    struct ldb_slice bytes, struct ldb_error *err);

/* A zeroed struct is fine. */
void ldb_manifest_run_release(struct ldb_manifest_run *run);

#endif
