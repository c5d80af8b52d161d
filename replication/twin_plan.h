/*
 * From what a folder holds to what a leader has, as a list of steps: which
 * files stay, which are had by another name, which have to be fetched, which
 * journals are set aside, and in which order all of it comes into place.
 * Nothing is read or written here; twin_build.h carries a plan out.
 *
 * The order is what keeps the folder a database at every moment, of the old
 * state or of the new one:
 *
 *     fetch, link      into leveld/incoming/: the folder is as it was
 *     set aside, drop  journals that are not the leader's, newest first: the
 *                      folder goes back in its own history, whole batches at a
 *                      time
 *     clear            only when a wanted table has the name of another one
 *                      that the old MANIFEST names, or there is no database:
 *                      CURRENT names an empty one, for the time until
 *     place            tables; the MANIFEST in force does not name them yet
 *     begin            the journal that the new MANIFEST asks for, empty,
 *                      unless it is there
 *     manifest         in place; where it is the one in force, the folder is
 *                      the leader's with this step
 *     current          with this one, where it is another
 *
 * Journals above come by the stream. Files that the new version does not name
 * go when the folder is opened.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_TWIN_PLAN_H
#define REPLICATION_TWIN_PLAN_H

#include "replication/compare.h"
#include "storage/version/version_edit.h"

/* A table of the wanted version, or of the folder. */
struct repl_plan_table {
    char name[LDB_FILE_NAME_SIZE]; /* "000009.ldb"; ours may be .sst */
    uint64_t number;
    uint64_t size; /* of the file */
    bool has_digest;
    struct ldb_digest digest;
    /* As the version names it, that is wanted, or in force: borrowed. NULL: it
     * does not. */
    const struct ldb_file_meta *meta;
    bool is_incoming; /* ours: it lies in leveld/incoming/ */
};

/* A journal of ours, ascending. */
struct repl_plan_journal {
    uint64_t number;
    uint64_t len; /* 0: nothing is in it */
    bool is_archived;
    bool is_alike;     /* its bytes are the first ones of the leader's */
    bool is_whole;     /* and all there will ever be: the leader's is sealed */
    ldb_sequence last; /* 0: it has no operation */
};

struct repl_plan_input {
    /* Wanted. All have a digest. */
    const struct repl_plan_table *wanted;
    size_t wanted_count;
    uint64_t manifest_number;
    uint64_t log_number;
    /* Held. Those without a digest have none that could be wanted. */
    const struct repl_plan_table *held;
    size_t held_count;
    const struct repl_plan_journal *journals;
    size_t journal_count;
    bool has_database;
    uint64_t held_manifest_number;
    uint64_t held_log_number;
    /* Entries above it are set aside; of the leader's own history: none is. */
    ldb_sequence fork;
    /* Nothing is known of our history: what is not the leader's to the byte is
     * set aside whole, tables too. */
    bool is_unknown;
};

enum repl_step_kind {
    REPL_STEP_KEEP,      /* name stays */
    REPL_STEP_FETCH,     /* the leader's name, into incoming */
    REPL_STEP_LINK,      /* from, of ours, into incoming as name */
    REPL_STEP_SET_ASIDE, /* journal or table name: to leveld/diverged/ */
    REPL_STEP_DROP,      /* journal name: nothing is in it, or nothing that is
                            not kept elsewhere */
    REPL_STEP_CLEAR,     /* an empty database in force */
    REPL_STEP_PLACE,     /* from incoming */
    REPL_STEP_BEGIN,     /* the journal of the log number */
    REPL_STEP_MANIFEST,
    REPL_STEP_CURRENT,
};

struct repl_step {
    enum repl_step_kind kind;
    char name[LDB_FILE_NAME_SIZE];
    char from[LDB_FILE_NAME_SIZE]; /* link */
    bool from_incoming;            /* link */
    bool from_archive;             /* set aside, drop */
    uint64_t number;
    uint64_t size; /* fetch, link, keep */
    struct ldb_digest digest;
};

struct repl_plan {
    struct repl_step *steps; /* owned */
    size_t count;
    uint64_t kept;    /* tables that stay or are had by another name */
    uint64_t fetched; /* tables to fetch, */
    uint64_t fetch_bytes;
    bool has_clear; /* no old data can be served from then on */
};

/* "keep", "fetch", ... */
const char *repl_step_text(enum repl_step_kind kind);

/* Into a zeroed *out. Errors: INVALID_ARGUMENT: a wanted table twice, or
 * without a digest; NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status repl_plan_make(const struct repl_plan_input *in,
                                              struct ldb_error *err,
                                              struct repl_plan *out);

/* A zeroed one is fine. */
void repl_plan_release(struct repl_plan *plan);

#endif
