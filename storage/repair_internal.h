/*
 * What the parts of repair share (ldb_repair() says what it does): first all is
 * read and told, then new tables are written under names that no engine reads
 * (NNNNNN.tmp), each table gets a level, and at last the new state is put in
 * force. Private to storage/repair*.c.
 *
 * Thread-safety: one caller.
 */
#ifndef STORAGE_REPAIR_INTERNAL_H
#define STORAGE_REPAIR_INTERNAL_H

#include "storage/folder_files.h"
#include "storage/table/table_builder.h"
#include "storage/verify.h"
#include "storage/version/version.h"

/* Of a table that has no level yet. */
#define LDB_REPAIR_NO_LEVEL UINT32_MAX

/* A table that will be in the new version. */
struct ldb_repair_table {
    enum ldb_file_type type; /* TABLE, TABLE_SST; TMP: written by repair */
    uint64_t number;         /* in its name now */
    uint64_t final_number;   /* in its name then */
    uint64_t size;
    uint64_t entries;
    struct ldb_buf smallest; /* internal keys */
    struct ldb_buf largest;
    ldb_sequence min_sequence;
    ldb_sequence max_sequence;
    uint32_t level;
    bool is_fixed; /* its level is the MANIFEST's */
};

/* A damaged table, to be rewritten without what is damaged. */
struct ldb_repair_damaged {
    enum ldb_file_type type;
    uint64_t number;
    uint32_t level;   /* or LDB_REPAIR_NO_LEVEL */
    uint64_t entries; /* good ones */
};

/* One table that an edit adds or deletes. */
struct ldb_repair_change {
    uint64_t number;
    uint64_t edit;
    bool is_added;
};

struct ldb_repair_deleted {
    uint64_t number;
    bool is_restored; /* what replaced it is gone */
};

/* What is left of the MANIFEST. */
struct ldb_repair_manifest {
    uint64_t number;
    uint64_t edits; /* whole and valid, from the first on; 0: none found */
    /* CURRENT names it and it is whole: what it does not name is dead. */
    bool is_final;
    struct ldb_version *version; /* NULL: none found */
    uint64_t log_number;
    uint64_t prev_log_number;
    uint64_t next_file_number;
    ldb_sequence last_sequence;
    struct ldb_repair_change *changes; /* in the order of the edits */
    size_t change_count;
    struct ldb_repair_deleted *deleted; /* by an edit; ascending */
    size_t deleted_count;
    uint64_t *named; /* tables of version; ascending */
    size_t named_count;
};

struct ldb_repair {
    struct ldb_env *env;
    const char *dir;
    struct ldb_env *work_env;   /* of the tables written: dry run in memory */
    struct ldb_options options; /* completed */
    struct ldb_filter_policy bloom;
    struct ldb_table_options read_options;
    struct ldb_table_options write_options;
    struct ldb_repair_options how;
    struct ldb_repair_report report;
    struct ldb_folder_files files;
    struct ldb_repair_manifest manifest;
    bool is_needed; /* something is damaged, missing or out of place */
    struct ldb_repair_table *tables;
    size_t table_count;
    struct ldb_repair_damaged *damaged;
    size_t damaged_count;
    struct ldb_folder_file *originals; /* to be kept in lost/ */
    size_t original_count;
    ldb_sequence last_sequence;
    uint64_t next_number;
};

/* ---- repair.c ---- */

/* Tells a line and counts it. */
LDB_MUST_CHECK enum ldb_status ldb_repair_say(struct ldb_repair *repair,
                                              const struct ldb_finding *finding,
                                              struct ldb_error *err);

/* The file goes to lost/ once the new state is in force. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_keep_original(struct ldb_repair *repair, enum ldb_file_type type,
                         uint64_t number, struct ldb_error *err);

/* Room for one more item of size in *items, which has count of them. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_grow(void **items, size_t count, size_t size, struct ldb_error *err);

/* ---- repair_manifest.c ---- */

/* Fills in repair->manifest; nothing found is no error. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_manifest_read(struct ldb_repair *repair, struct ldb_error *err);
void ldb_repair_manifest_release(struct ldb_repair_manifest *manifest);

/* Does the version name the table? */
bool ldb_repair_manifest_names(const struct ldb_repair_manifest *manifest,
                               uint64_t number);

/*
 * Is a table that the version does not name of no use? So it is when an edit
 * deleted it and what replaced it is there, and when the MANIFEST is final and
 * never named it.
 */
bool ldb_repair_manifest_is_dead(const struct ldb_repair_manifest *manifest,
                                 uint64_t number);

/* Table number of the version is gone: the tables that it was made of count
 * again, as far as they are there. */
void ldb_repair_manifest_restore(struct ldb_repair *repair, uint64_t number);

/* ---- repair_output.c ---- */

/* level: the MANIFEST's, or LDB_REPAIR_NO_LEVEL. */
void ldb_repair_table_init(struct ldb_repair_table *table,
                           enum ldb_file_type type, uint64_t number,
                           uint32_t level);
void ldb_repair_table_release(struct ldb_repair_table *table);

/* Adds it to the new version's, which take it over, on failure too. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_table_push(struct ldb_repair *repair, struct ldb_repair_table *table,
                      struct ldb_error *err);

/* Adds a key to what is known of the table; one that is not above the last is
 * left out. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_table_note(struct ldb_repair *repair, struct ldb_repair_table *table,
                      struct ldb_slice key, bool *out_is_above,
                      struct ldb_error *err);

/* A table being written as NNNNNN.tmp, under the next number. */
struct ldb_repair_output {
    struct ldb_repair *repair;
    struct ldb_repair_table *table; /* what is known of it */
    char *path;
    struct ldb_writable_file *file;
    struct ldb_table_builder *builder;
};

/* Then add, and at last either end, which fills in the rest of table, or
 * abort. A failed begin or end has released the output. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_output_begin(struct ldb_repair *repair,
                        struct ldb_repair_table *table, struct ldb_error *err,
                        struct ldb_repair_output *out);
/* An internal key that is not above the last is left out. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_output_add(struct ldb_repair_output *output, struct ldb_slice key,
                      struct ldb_slice value, struct ldb_error *err);
LDB_MUST_CHECK enum ldb_status
ldb_repair_output_end(struct ldb_repair_output *output, struct ldb_error *err);
void ldb_repair_output_abort(struct ldb_repair_output *output);

/* Writes all entries, of equal internal keys the first, to tables of at least
 * table_bytes each but the last, which the new version gets. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_output_write(struct ldb_repair *repair, struct ldb_iterator *it,
                        size_t table_bytes, struct ldb_error *err);

/* ---- repair_tables.c ---- */

/* Reads every table and journal that counts and tells what is wrong. */
LDB_MUST_CHECK enum ldb_status ldb_repair_inspect(struct ldb_repair *repair,
                                                  struct ldb_error *err);

/* Writes damaged tables and journals anew, as NNNNNN.tmp. */
LDB_MUST_CHECK enum ldb_status ldb_repair_rewrite(struct ldb_repair *repair,
                                                  struct ldb_error *err);

/* ---- repair_merge.c ---- */

/* A table that is read from first to last entry. */
struct ldb_repair_source {
    struct ldb_random_file *file;
    struct ldb_table *table;
    struct ldb_iterator *it;
};

/* Damage in it is an error. Close it on failure too. */
LDB_MUST_CHECK enum ldb_status
ldb_repair_source_open(struct ldb_repair *repair,
                       const struct ldb_repair_table *table,
                       struct ldb_error *err, struct ldb_repair_source *out);
void ldb_repair_source_close(struct ldb_repair_source *source);

/* Puts one sorted run of new tables in the place of the marked ones, with all
 * their entries; is_merged has one mark for each table. */
LDB_MUST_CHECK enum ldb_status ldb_repair_merge(struct ldb_repair *repair,
                                                const bool *is_merged,
                                                struct ldb_error *err);

/* ---- repair_place.c ---- */

/* Gives each table its level, and level-0 tables numbers in the order of their
 * age. */
LDB_MUST_CHECK enum ldb_status ldb_repair_place(struct ldb_repair *repair,
                                                struct ldb_error *err);

/* ---- repair_commit.c ---- */

/* Keeps the originals, names the new tables, writes MANIFEST and CURRENT. */
LDB_MUST_CHECK enum ldb_status ldb_repair_commit(struct ldb_repair *repair,
                                                 struct ldb_error *err);

#endif
