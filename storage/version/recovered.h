/*
 * The state that a MANIFEST's records add up to: the last version and the
 * scalars, checked as docs/formats.md asks (rules 3 and 8 to 12).
 *
 * Thread-safety: one caller.
 */
#ifndef STORAGE_VERSION_RECOVERED_H
#define STORAGE_VERSION_RECOVERED_H

#include "storage/base/env.h"
#include "storage/version/version_builder.h"

/* One key per level, tag 5: where its next compaction begins. len 0: at the
 * start. */
void ldb_compact_pointers_init(struct ldb_buf pointers[LDB_LEVEL_COUNT]);
void ldb_compact_pointers_release(struct ldb_buf pointers[LDB_LEVEL_COUNT]);
/* Those of the edit replace those there. */
LDB_MUST_CHECK enum ldb_status
ldb_compact_pointers_copy(struct ldb_buf pointers[LDB_LEVEL_COUNT],
                          const struct ldb_version_edit *edit);

struct ldb_recovered {
    struct ldb_version *version; /* one reference */
    uint64_t log_number;
    uint64_t prev_log_number;
    /* Over the numbers of all that the MANIFEST names, and its own. */
    uint64_t next_file_number;
    /* Field 4, or the greatest in smallest and largest of the tables. */
    ldb_sequence last_sequence;
    struct ldb_buf pointers[LDB_LEVEL_COUNT];
    uint64_t manifest_len;  /* bytes of whole records */
    uint64_t dropped_bytes; /* damage; ldb_recovered_salvage() alone */
};

/* Edits on their way into a state. */
struct ldb_recovered_sum {
    const struct ldb_comparator *comparator; /* borrowed */
    struct ldb_version_builder *builder;     /* borrowed */
    struct ldb_recovered *recovered;         /* borrowed; but for version */
    bool has_comparator;                     /* whether an edit had the field */
    bool has_log_number;
    bool has_next_file_number;
    bool has_last_sequence;
};

/*
 * Adds an edit: its tables to the builder, all else to recovered, whose
 * pointers are initialised. Errors as of ldb_recovered_read().
 */
LDB_MUST_CHECK enum ldb_status
ldb_recovered_sum_add(struct ldb_recovered_sum *sum,
                      const struct ldb_version_edit *edit,
                      struct ldb_error *err);

/* CORRUPTION: a field that a whole MANIFEST has was in no edit. */
LDB_MUST_CHECK enum ldb_status
ldb_recovered_sum_check(const struct ldb_recovered_sum *sum, uint64_t number,
                        struct ldb_error *err);

/*
 * Reads MANIFEST-number into *out, which needs no init and is to be released
 * after OK alone. CORRUPTION: damage but for a torn or zeroed tail, a missing
 * field or comparator, a number out of range, tables that overlap.
 * INVALID_ARGUMENT: made with another comparator; the message names both.
 */
LDB_MUST_CHECK enum ldb_status
ldb_recovered_read(struct ldb_recovered *out, struct ldb_env *env,
                   const char *dir, uint64_t number,
                   const struct ldb_comparator *comparator,
                   struct ldb_error *err);

/* The same with ldb_manifest_salvage(): damaged records are dropped. What is
 * left must make a whole. */
LDB_MUST_CHECK enum ldb_status
ldb_recovered_salvage(struct ldb_recovered *out, struct ldb_env *env,
                      const char *dir, uint64_t number,
                      const struct ldb_comparator *comparator,
                      struct ldb_error *err);

/*
 * Beside tables that no record names: has the MANIFEST lost its last records?
 * A flush removes a journal only once the record is durable that asks for the
 * next one, whose name is durable before; and before its first journal a
 * database has no table. So it has when the journal it asks for is not there,
 * or when it names neither a journal nor a table. Then the tables may be all
 * there is of the data, and must not be swept.
 */
static inline bool ldb_recovered_is_short(uint64_t log_number, bool has_journal,
                                          size_t named_tables)
{
    return log_number == 0 ? named_tables == 0 : !has_journal;
}

/* A zeroed struct is fine. */
void ldb_recovered_release(struct ldb_recovered *recovered);

#endif
