/*
 * A MANIFEST in memory, written from words:
 *
 *     static struct manifest_text f;
 *
 *     manifest_text_open(&f);
 *     manifest_text_write(&f, "l2 n s;+0:7;-0:7 +1:7");
 *     ... f.file.bytes; f.ends[i]: where record i ends ...
 *     manifest_text_close(&f);
 *
 * "l5": the log number; "n", "s": what a whole MANIFEST has besides; "+1:20",
 * "-1:20": table 20 of level 1. Records have ';' between them. What fails fails
 * the test.
 */
#ifndef TESTS_SUPPORT_MANIFEST_TEXT_H
#define TESTS_SUPPORT_MANIFEST_TEXT_H

#include "storage/journal/journal_writer.h"
#include "tests/support/memory_file.h"

#define MANIFEST_TEXT_RECORDS_MAX 64

struct manifest_text {
    struct memory_file file;
    struct ldb_journal_writer *writer;
    size_t ends[MANIFEST_TEXT_RECORDS_MAX]; /* of the records written */
    size_t count;
    struct ldb_error err;
};

void manifest_text_open(struct manifest_text *f);
void manifest_text_close(struct manifest_text *f);
void manifest_text_write(struct manifest_text *f, const char *text);
/* Any bytes, as one record. */
void manifest_text_write_record(struct manifest_text *f,
                                struct ldb_slice record);

#endif
