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
 *     set aside, drop  tables of a history that nothing is known of, by a
 *                      second name; then journals that are not the leader's,
 *                      newest first: the folder goes back in its own history,
 *                      whole batches at a time
 *     clear            only when a wanted table has the number of another one
 *                      that the MANIFEST in force names, or when none is (or
 *                      one that has neither journal nor table): for the time
 *                      until, CURRENT names an empty database
 *     place            tables; the MANIFEST in force does not name them yet
 *     begin            the journal that the new MANIFEST asks for, empty,
 *                      unless it is there
 *     manifest         in place; where it is the one in force, the folder is
 *                      the leader's with this step
 *     current          with this one, where it is another
 *     forget           journals below its log number which are not the last
 *                      ones of the leader's before it, without a gap: what is
 *                      kept of changes has none
 *
 * Journals above come by the stream. Tables that the new version does not name
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
    char name[LDB_FILE_NAME_SIZE]; /* "000009.ldb" or "000009.sst" */
    uint64_t number;
    uint64_t size; /* of the file */
    bool has_digest;
    struct ldb_digest digest;
    /* As the version that is wanted, or in force, names it: borrowed. NULL: it
     * does not. */
    const struct ldb_file_meta *meta;
};

/* A journal of ours. */
struct repl_plan_journal {
    uint64_t number;
    uint64_t len;      /* bytes of its whole records */
    uint64_t file_len; /* 0: nothing is in it */
    bool is_archived;
    bool is_damaged;
    bool is_alike;     /* its len bytes are the first ones of the leader's, */
    bool is_whole;     /* and all of them that there will ever be */
    bool is_unlike;    /* they are not */
    ldb_sequence last; /* 0: it has no operation */
};

struct repl_plan_input {
    /* Wanted: tables, each with a digest. The leader's journals are all that it
     * has, ascending. */
    const struct repl_plan_table *wanted;
    size_t wanted_count;
    uint64_t manifest_number;
    uint64_t log_number;
    const uint64_t *leader_journals;
    size_t leader_journal_count;
    /* Held: tables, of which one without a digest is not the leader's; journals
     * ascending. is_in_force: there is a MANIFEST that can be read. */
    const struct repl_plan_table *held;
    size_t held_count;
    const struct repl_plan_journal *journals;
    size_t journal_count;
    bool is_in_force;
    uint64_t held_manifest_number;
    uint64_t held_log_number;
    /* Entries above it are set aside: is_diverged. */
    ldb_sequence fork;
    bool is_diverged;
    /* Nothing is known of our history: what is not the leader's to the byte is
     * set aside, tables too. */
    bool is_unknown;
};

/* The files of a step are by their names in the folder. */
enum repl_step_kind {
    REPL_STEP_KEEP,      /* name stays */
    REPL_STEP_LINK,      /* a second name of from, to become name */
    REPL_STEP_FETCH,     /* the leader's name */
    REPL_STEP_SET_ASIDE, /* name is to be in leveld/diverged/; a journal is out
                            of the folder then */
    REPL_STEP_DROP,      /* journal name is out: nothing of it is ours alone */
    REPL_STEP_CLEAR,
    REPL_STEP_PLACE, /* what was fetched or linked for name */
    REPL_STEP_BEGIN,
    REPL_STEP_MANIFEST,
    REPL_STEP_CURRENT,
    REPL_STEP_FORGET, /* journal name goes */
};

struct repl_step {
    enum repl_step_kind kind;
    char name[LDB_FILE_NAME_SIZE];
    char from[LDB_FILE_NAME_SIZE]; /* link */
    uint64_t number;
    bool is_archived; /* a journal: it lies in leveld/archive/ */
    bool is_linked;   /* place: by a link, not fetched */
    uint64_t size;    /* keep, link, fetch, place */
    struct ldb_digest digest;
};

struct repl_plan {
    struct repl_step *steps; /* owned */
    size_t count;
    size_t kept; /* tables that stay, or are had by another name */
    size_t fetched;
    uint64_t fetched_bytes;
    size_t set_aside; /* files */
    bool has_clear;   /* no old data can be read from then on */
};

/* "keep", "fetch", ... */
const char *repl_step_text(enum repl_step_kind kind);

/*
 * Into a zeroed *out. Errors: INVALID_ARGUMENT: a wanted table without a
 * digest, or two of one number; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_plan_make(const struct repl_plan_input *in,
                                              struct ldb_error *err,
                                              struct repl_plan *out);

/* A zeroed one is fine. */
void repl_plan_release(struct repl_plan *plan);

#endif
