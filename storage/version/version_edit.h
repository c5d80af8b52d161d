/*
 * One change of the version, as a MANIFEST record (docs/formats.md): encode,
 * decode, describe. Only tags 1-7 are written; tag 9 is honoured on reading;
 * an unknown tag or a level over 6 is LDB_CORRUPTION.
 */
#ifndef STORAGE_VERSION_VERSION_EDIT_H
#define STORAGE_VERSION_VERSION_EDIT_H

#include "storage/base/internal_key.h"

/* Levels 0..6; docs/formats.md, rule 12. */
#define LDB_LEVEL_COUNT 7

/*
 * One table of a version. Constant once shared, but refs, seeks_left and the
 * counts.
 * Created by an edit, shared by versions; the last unref frees it.
 */
struct ldb_file_meta {
    _Atomic(uint32_t) refs; /* acquire/release; held by edits and versions */
    uint64_t number;
    uint64_t size;             /* bytes of the file */
    struct ldb_slice smallest; /* internal keys, bytes owned by this struct */
    struct ldb_slice largest;
    _Atomic(int32_t) seeks_left; /* relaxed; seek compaction's budget */
    /*
     * In memory only: set by who wrote the table; of one found at open by
     * compaction, about, once it asks (compaction_learn.c). Guarded by the
     * database's mutex.
     */
    uint64_t entry_count;  /* 0: not known; LDB_COUNT_UNKNOWABLE */
    uint64_t delete_count; /* of them delete marks */
};

/* The entry_count of a table that could not be read. */
#define LDB_COUNT_UNKNOWABLE UINT64_MAX

/* A fresh meta with one reference; keys are copied. NULL on no memory. */
LDB_MUST_CHECK struct ldb_file_meta *
ldb_file_meta_create(uint64_t number, uint64_t size, struct ldb_slice smallest,
                     struct ldb_slice largest);
struct ldb_file_meta *ldb_file_meta_ref(struct ldb_file_meta *meta);
/* The budget of a fresh one: it was moved, and may be of use again. */
void ldb_file_meta_reset_seeks(struct ldb_file_meta *meta);
/* NULL is fine. */
void ldb_file_meta_unref(struct ldb_file_meta *meta);

struct ldb_edit_pointer { /* tag 5 */
    uint32_t level;
    struct ldb_slice key; /* internal key, its bytes in owned_key */
    uint8_t *owned_key;   /* the edit's */
};

struct ldb_edit_deleted { /* tag 6 */
    uint32_t level;
    uint64_t number;
};

struct ldb_edit_added { /* tag 7 */
    uint32_t level;
    struct ldb_file_meta *meta; /* one reference */
};

struct ldb_version_edit {
    bool has_comparator;
    bool has_log_number;
    bool has_prev_log_number;
    bool has_next_file_number;
    bool has_last_sequence;
    char *comparator; /* NUL-terminated, owned */
    uint64_t log_number;
    uint64_t prev_log_number;
    uint64_t next_file_number;
    ldb_sequence last_sequence;
    struct ldb_edit_pointer *pointers;
    size_t pointer_count;
    struct ldb_edit_deleted *deleted;
    size_t deleted_count;
    struct ldb_edit_added *added;
    size_t added_count;
    /* In memory only: what the set's option sync_names is asked for before the
     * edit is written; 0: to sync the folder. */
    uint64_t newest_name;
};

/* Empty; {0} is the same. clear: the same after use, as release. */
void ldb_version_edit_init(struct ldb_version_edit *edit);
void ldb_version_edit_release(struct ldb_version_edit *edit);
void ldb_version_edit_clear(struct ldb_version_edit *edit);

LDB_MUST_CHECK enum ldb_status
ldb_version_edit_set_comparator(struct ldb_version_edit *edit,
                                const char *name);
void ldb_version_edit_set_log_number(struct ldb_version_edit *edit,
                                     uint64_t number);
void ldb_version_edit_set_next_file_number(struct ldb_version_edit *edit,
                                           uint64_t number);
void ldb_version_edit_set_last_sequence(struct ldb_version_edit *edit,
                                        ldb_sequence sequence);
LDB_MUST_CHECK enum ldb_status
ldb_version_edit_set_pointer(struct ldb_version_edit *edit, uint32_t level,
                             struct ldb_slice internal_key);
LDB_MUST_CHECK enum ldb_status
ldb_version_edit_delete_file(struct ldb_version_edit *edit, uint32_t level,
                             uint64_t number);
/* Takes a reference of its own. */
LDB_MUST_CHECK enum ldb_status
ldb_version_edit_add_file(struct ldb_version_edit *edit, uint32_t level,
                          struct ldb_file_meta *meta);

/* Appends the record's bytes, fields in goleveldb's order; nothing on failure.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_edit_encode(const struct ldb_version_edit *edit,
                        struct ldb_buf *out);

/*
 * Reads a record into edit (cleared first). CORRUPTION names the field and
 * the byte in the record; the edit is then empty, as after NO_MEMORY. Checked:
 * levels, file numbers (LDB_FILE_NUMBER_MAX), sizes (int64), sequences and
 * internal keys; smallest <= largest is not (needs the comparator).
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_edit_decode(struct ldb_version_edit *edit, struct ldb_slice record,
                        struct ldb_error *err);

/*
 * One line of text for people (leveld dump, LOG), appended, as in
 * "edit log=3 next=5 sequence=4 add=LEVEL:NUMBER:SIZE:SMALLEST-LARGEST".
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_edit_describe(const struct ldb_version_edit *edit,
                          struct ldb_buf *out);

#endif
