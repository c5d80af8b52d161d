/*
 * A twin: a database whose folder is, byte for byte, that of another one, its
 * leader. The leader alone decides flushes and compactions; a twin takes the
 * leader's journals and MANIFEST as raw bytes, in any cuts, and holds of them
 * whole, verified records alone. Reads, cursors, snapshots, checkpoints and
 * figures work as on any database, at any time. Every write of its own is
 * LDB_READ_ONLY: ldb_write_*(), ldb_put(), ldb_delete(), ldb_flush(),
 * ldb_compact_range(), ldb_raise_sequence(), ldb_reopen().
 *
 * Closed, its folder opens as any database does: a twin that is to lead is
 * closed with ldb_close() and opened with ldb_open(), which ends the likeness.
 *
 * What holds after every call, and after a crash in the middle of one:
 *   - Each journal is a prefix of the leader's, at the end of a record.
 *   - So is the MANIFEST, or it is one of the leader's earlier ones.
 *   - The version names no table that is not in the folder, of its length.
 *   - The version's journal number is no higher than what was applied allows:
 *     every journal held below it was complete.
 *   - goleveldb, LevelDB and ldb_open() find one of the leader's past states.
 *
 * Who calls what: ldb_twin_append(), ldb_twin_seal() and ldb_twin_sync() one
 * thread at a time; so the functions of plans and ldb_twin_drop_flushed(),
 * which may be another thread;
 * all else, and reads, any thread. err may be NULL. Out parameters are
 * untouched on failure.
 *
 * Not a public header: replication/ is its only caller, links the static
 * library, and this may change with its protocol.
 */
#ifndef STORAGE_TWIN_H
#define STORAGE_TWIN_H

#include "storage/base/digest.h"
#include "storage/include/ldb.h"

/* Journals that a twin holds at most: as many as a leader may, and one. */
#define LDB_TWIN_JOURNALS_MAX 17

/* ---- open ---- */

/*
 * Opens the folder as a twin; ldb_close() ends it. Replays the journals that
 * are needed into a memtable each, all damage an error that names file and
 * offset. The end of the newest journal and of the MANIFEST that is no whole
 * record is cut off; what is left is synced. An empty journal after the last
 * one with records goes. Nothing else is written: no table, no edit, no file
 * number is taken. A folder without a database becomes an empty one when
 * create_if_missing, with the bytes that any leader's has at first.
 *
 * Tables that the version does not name are removed: what was made or fetched
 * for an edit that was not installed has to be made again. Journals that are in
 * tables stay, until ldb_twin_drop_flushed().
 *
 * options: as for ldb_open(). strict_journal is taken as true, skip_* damage
 * and checksums as false, journal as LDB_JOURNAL_APPENDED. Those that shape
 * tables should be the leader's, or ldb_twin_build() makes other bytes.
 *
 * Errors: those of ldb_open(); INVALID_ARGUMENT: read_only; NOT_SUPPORTED: more
 * journals than LDB_TWIN_JOURNALS_MAX, or one that only tag 9 of an old
 * MANIFEST asks for: open the folder once as a leader. READ_ONLY never.
 */
LDB_MUST_CHECK enum ldb_status ldb_twin_open(const char *path,
                                             const struct ldb_options *options,
                                             struct ldb_recovery *recovery,
                                             struct ldb_error *err,
                                             struct ldb_db **out);

/* ---- positions ---- */

/* A place in the stream of journals. */
struct ldb_twin_position {
    uint64_t journal;      /* number; 0: no journal is held */
    uint64_t offset;       /* bytes of its whole records */
    ldb_sequence sequence; /* the last one up to there */
};

struct ldb_twin_journal {
    uint64_t number;
    uint64_t len;               /* bytes of its whole records */
    ldb_sequence last_sequence; /* the last one at its end */
    bool is_sealed;             /* complete, and synced */
};

struct ldb_twin_state {
    /* In our journal file; durable; seen by readers. The first and the last
     * differ inside a call, and after one that failed with NO_MEMORY. */
    struct ldb_twin_position written;
    struct ldb_twin_position synced;
    struct ldb_twin_position applied;
    /* Where the next bytes of the newest journal belong: written.offset, and
     * the bytes of a record that has begun, which are in memory alone. */
    uint64_t next_offset;
    uint64_t manifest_number;
    uint64_t manifest_len; /* bytes of whole records, durable */
    uint64_t log_number;   /* the version's: older journals are in tables */
    /* Those held that are not in tables, oldest first. All but the newest are
     * sealed. */
    struct ldb_twin_journal journals[LDB_TWIN_JOURNALS_MAX];
    size_t journal_count;
};

/* All of it at one moment. Any thread. */
void ldb_twin_state(struct ldb_db *db, struct ldb_twin_state *out);

/* ---- journals ---- */

/*
 * The bytes of journal number at offset, as they come: any cut, of records and
 * of blocks too. They go on where the last ones ended (next_offset), or begin
 * the last record anew (written.offset). A number above the newest journal's
 * begins that one, at offset 0, with no bytes too; those before it must be
 * sealed. Numbers that the leader skipped may be skipped.
 *
 * Each record that is whole is verified (frame, checksum, batch, its sequences
 * above all that came before), written to our journal, and visible to readers
 * at once, all of its batch or nothing, in order. Not durable before
 * ldb_twin_sync(). What has begun of a record stays in memory.
 *
 * After a failure next_offset is at the end of the last whole record; records
 * of this call before it may have been taken. Then:
 *   INVALID_ARGUMENT  the bytes do not belong here: another offset, a journal
 *                     that is sealed, lies before the newest, or comes too soon
 *   CORRUPTION        they are not a sound leader's: file and offset are named
 *   STALLED           too many memtables wait: install edits first
 *   NO_SPACE, IO      not written; to be tried again
 *   READ_ONLY         a sync or a cut had failed before: close, open again
 *   NO_MEMORY
 */
LDB_MUST_CHECK enum ldb_status
ldb_twin_append(struct ldb_db *db, uint64_t journal, uint64_t offset,
                struct ldb_slice bytes, struct ldb_error *err);

/*
 * The leader says that the journal ends at len: nothing more is added to it.
 * It is synced, and the next one may begin. Again with the same length: OK.
 *
 * Errors: INVALID_ARGUMENT: the journal is not held, or not yet to that length;
 * CORRUPTION: it has more, or was sealed at another length: it is not the same
 * journal; and those of ldb_twin_sync().
 */
LDB_MUST_CHECK enum ldb_status ldb_twin_seal(struct ldb_db *db,
                                             uint64_t journal, uint64_t len,
                                             struct ldb_error *err);

/*
 * Makes durable what was written, its journal's name too. *out (NULL: not
 * wanted) is the position up to which all is.
 *
 * Errors: IO: the state of the file is unknown, nothing more is taken until
 * the twin is closed and opened again; READ_ONLY: so it was before; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status ldb_twin_sync(struct ldb_db *db,
                                             struct ldb_error *err,
                                             struct ldb_twin_position *out);

/*
 * Removes the journals that open found in the folder and tables hold: once it
 * is known that the folder is a past of the leader's. Until then they may be of
 * a history that is here alone (a leader that was killed after a flush, and
 * before it had its journal archived), and tables lose what is overwritten. One
 * that cannot be removed stays until it is called again.
 */
void ldb_twin_drop_flushed(struct ldb_db *db);

/* ---- edits ---- */

/*
 * A run of the leader's edits, and what installing it takes:
 *
 *     ldb_twin_plan_create(db, manifest, offset, bytes, &err, &plan)
 *     for each table of ldb_twin_plan_tables(plan):
 *         journal != 0: ldb_twin_build(); the leader's digest? done.
 *             Another one: ldb_twin_discard(), and
 *         fetch it into the folder under its name, synced, digest verified
 *     ldb_twin_install(db, plan, &err)
 *     ldb_twin_plan_destroy(plan)
 *
 * Tables of a plan that is given up and will not be tried again are discarded,
 * or they stay in the folder until the next open.
 */
struct ldb_twin_plan;

/* A table that has to be in the folder before the run can be installed. */
struct ldb_twin_table {
    uint64_t number;
    uint64_t size; /* bytes of its file */
    uint32_t level;
    /* A journal held whose memtable it seems to be the flush of; 0: none. */
    uint64_t journal;
};

/*
 * bytes stand at offset in the leader's MANIFEST of that number: where ours
 * ends when it is ours, else 0: all of another one. Their whole records are the
 * run; one that has begun is left aside. Nothing is changed.
 *
 * Errors: INVALID_ARGUMENT: the offset is not that, or there is no whole
 * record, or another comparator; CORRUPTION: file and offset are named;
 * NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_twin_plan_create(struct ldb_db *db, uint64_t manifest, uint64_t offset,
                     struct ldb_slice bytes, struct ldb_error *err,
                     struct ldb_twin_plan **out);
/* NULL is fine. */
void ldb_twin_plan_destroy(struct ldb_twin_plan *plan);

/* Bytes of its whole records, and how many these are. */
size_t ldb_twin_plan_len(const struct ldb_twin_plan *plan);
size_t ldb_twin_plan_records(const struct ldb_twin_plan *plan);
/* Journals below this number have to be sealed before it can be installed; 0:
 * none has to. */
uint64_t ldb_twin_plan_log_number(const struct ldb_twin_plan *plan);
/*
 * Tables that the version after the run names and ours does not, those of a
 * level by number; borrowed until destroy. One that the run adds and drops is
 * not among them.
 */
const struct ldb_twin_table *
ldb_twin_plan_tables(const struct ldb_twin_plan *plan, size_t *out_count);

/*
 * Writes table number as the flush of the journal, which is held and sealed,
 * with this database's options; synced. Whether it is the leader's table its
 * digest and size say. Other calls run meanwhile.
 *
 * Errors: INVALID_ARGUMENT: the journal is not held and sealed, has no entry,
 * or the table is in the version; IO, NO_SPACE, NO_MEMORY: there is no file.
 */
LDB_MUST_CHECK enum ldb_status ldb_twin_build(struct ldb_db *db,
                                              uint64_t number, uint64_t journal,
                                              struct ldb_error *err,
                                              struct ldb_digest *out_digest,
                                              uint64_t *out_size);

/* Removes a table that no version names, so that another may have its place;
 * OK when there is none. INVALID_ARGUMENT: one names it; IO, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
ldb_twin_discard(struct ldb_db *db, uint64_t number, struct ldb_error *err);

/*
 * Moves to the version after the run: once every journal below its log number
 * is held and sealed or in tables, and every table of the plan in the folder,
 * synced, with the leader's digest (its length and its index are looked at once
 * more, no more than that). Then the run's bytes stand in our MANIFEST,
 * durably: one record appended; several, or another MANIFEST, at one stroke.
 * Memtables, journals and tables that this makes needless go.
 *
 * The journal of the log number has to be there, as a MANIFEST asks for none
 * that is not. Where it has not begun it is begun, empty, if the edit's last
 * sequence shows that nothing lies before it that is not here; else whoever
 * knows that begins it by ldb_twin_append() of no bytes.
 *
 * A database that never had an entry takes any run: the journals before it went
 * by without it.
 *
 * Errors, after which nothing has changed, but that such a journal may have
 * begun, and that a crash may find the run installed when it says IO:
 *   STALLED           a journal below the log number is not sealed, or that
 *                     one has not begun: append and seal first
 *   NOT_FOUND         a table is not there; its name is in the message
 *   CORRUPTION        a table has another length or cannot be opened, or the
 *                     tables overlap
 *   INVALID_ARGUMENT  our MANIFEST has moved since the plan was made; or the
 *                     journal of the log number was skipped, and later ones
 *                     are held
 *   READ_ONLY         as of ldb_twin_append()
 *   IO, NO_SPACE, NO_MEMORY: to be tried again
 */
LDB_MUST_CHECK enum ldb_status ldb_twin_install(struct ldb_db *db,
                                                struct ldb_twin_plan *plan,
                                                struct ldb_error *err);

#endif
