/*
 * A journal's listing as its bytes come: what `leveld dump NNNNNN.log` prints
 * of a file (storage/describe.h), line by line once a record is whole, so that
 * it can be watched while it is written.
 *
 *     curl -N '.../files/000007.log?follow=true' | leveld dump -
 *
 * Thread-safety: one caller.
 */
#ifndef SERVICE_JOURNAL_LISTING_H
#define SERVICE_JOURNAL_LISTING_H

#include "storage/describe.h"

struct svc_journal_listing;

/* Of the journal from its first byte on; name is for texts of damage, and is
 * copied. line: called by add and end, as ldb_describe_file()'s. NULL: no
 * memory. */
LDB_MUST_CHECK struct svc_journal_listing *
svc_journal_listing_create(const char *name, ldb_describe_line line,
                           void *context);
void svc_journal_listing_destroy(struct svc_journal_listing *listing);

/*
 * The next bytes, any number; the lines of each record that they make whole.
 * A record that is no batch is a line of damage, and the next one follows.
 *
 * Errors: CORRUPTION: the bytes are no journal's, a line says so, and nothing
 * more can be added; those of line; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
svc_journal_listing_add(struct svc_journal_listing *listing,
                        struct ldb_slice bytes, struct ldb_error *err);

/* There are no more: a line, when they end within a record. *out_damages: lines
 * of damage. Errors: those of line; NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
svc_journal_listing_end(struct svc_journal_listing *listing,
                        struct ldb_error *err, uint64_t *out_damages);

#endif
