/*
 * The journals there are, oldest first: those in the folder, and those that
 * nothing needs any more for recovery and that are kept all the same, in
 * leveld/archive/NNNNNN.log, for who reads what was written. Without a gap:
 * each follows on the one before it, and where one cannot be kept, those before
 * it go too. Private to storage/ and replication/.
 *
 * The archive is bounded by its bytes, whatever fails: one that cannot be
 * removed counts, is tried again, and until it is gone none is archived. Within
 * that bound a journal stays for a time, and longer when it is pinned. Who pins
 * has no say over the bound: what he pinned goes with the oldest, and he is
 * told (is_lost).
 *
 * In which order things reach the disk: a journal has its second name, durably,
 * before the first goes; of the removals from the archive at most the latest
 * may come back after a power cut; and where one has failed, or many may come
 * back, no journal gets its second name before they are gone for good. So the
 * files that are found at open have no gap either.
 *
 * Locking: work_mu is held by who changes the archive, while he calls the file
 * system: recovery, the flush thread, or who trims. mu guards the list and is
 * held for no call of it. Order: work_mu, mu; db->mu may be held before mu.
 */
#ifndef STORAGE_RETAINED_H
#define STORAGE_RETAINED_H

#include "storage/base/env.h"

/* Where both libraries do not look, and what lies there for journals. */
#define LDB_OWN_FOLDER     "leveld"
#define LDB_ARCHIVE_FOLDER LDB_OWN_FOLDER "/archive"

struct ldb_db;
struct ldb_log;
struct ldb_retained;

struct ldb_retained_options {
    struct ldb_env *env; /* borrowed */
    const char *dir;     /* the database's; borrowed */
    struct ldb_log *log; /* borrowed; NULL: none */
    uint64_t bytes_max;  /* of the archive; 0: none is kept */
    uint64_t age_us;     /* one older than that goes, unless it is pinned */
};

struct ldb_retained_journal {
    uint64_t number;
    uint64_t before;    /* the number of the one it follows on; 0: not here */
    ldb_sequence first; /* no operation has a lower sequence */
    ldb_sequence last;  /* nor a higher one; of the open one: the greatest */
    uint64_t len;       /* bytes; of the open one: 0 */
    bool is_sealed;
    bool is_archived;
    uint64_t archived_us; /* monotonic; at open all begin anew */
};

/* Somebody reads: number and those that follow are to stay. Zeroed at first. */
struct ldb_pin {
    uint64_t number;      /* guarded by the list's mu, as are the rest */
    bool is_lost;         /* number is gone, */
    uint64_t lost_len;    /* and had so many bytes; UINT64_MAX: not known */
    struct ldb_pin *next; /* the list's own */
    struct ldb_pin *prev;
    bool is_linked;
};

struct ldb_retained_figures {
    uint64_t journals; /* in the archive */
    uint64_t bytes;    /* of them, in units of 4 KiB, and what is stuck there */
    ldb_sequence oldest; /* changes after it are here */
    uint64_t pins;
    uint64_t pins_lost; /* since open */
};

LDB_MUST_CHECK enum ldb_status
ldb_retained_create(const struct ldb_retained_options *options,
                    struct ldb_error *err, struct ldb_retained **out);
/* NULL is fine. Nothing is pinned. */
void ldb_retained_destroy(struct ldb_retained *retained);

/* ---- opening: nobody else is about ---- */

/*
 * What recovery found: the greatest sequence that tables, or the MANIFEST, told
 * before any journal was replayed, and the journals in the folder (ascending)
 * that nothing needs any more, those that were replayed just now among them.
 */
struct ldb_retained_found {
    bool is_new; /* the database was made just now */
    ldb_sequence in_tables;
    ldb_sequence in_all; /* the greatest once all was replayed */
    const uint64_t *numbers;
    size_t count;
};

/*
 * Takes stock of the archive, unless that was done before, and moves those
 * journals into it, or away; then journal number, of no record yet, is the open
 * one, whose sequences will be above last. What does not follow on is removed,
 * so is an archive of another history. What fails is no error: less is kept.
 *
 * Errors: NO_MEMORY, the first time alone.
 */
LDB_MUST_CHECK enum ldb_status
ldb_retained_open(struct ldb_retained *retained,
                  const struct ldb_retained_found *found, uint64_t number,
                  ldb_sequence last, struct ldb_error *err);

/* ---- the writers' side ---- */

/* Room for one journal more, so that seal cannot fail. */
LDB_MUST_CHECK enum ldb_status ldb_retained_reserve(struct ldb_retained *r,
                                                    struct ldb_error *err);

/* The open journal ends, durable, with len bytes and that sequence; journal
 * next is open. */
void ldb_retained_seal(struct ldb_retained *retained, uint64_t len,
                       ldb_sequence last, uint64_t next);

/*
 * Nothing needs these journals (sealed, ascending) any more to recover, and
 * that is durable: each is archived, or removed. No lock is held.
 */
void ldb_retained_retire(struct ldb_retained *retained, const uint64_t *numbers,
                         size_t count);

/*
 * Removes from the archive what is too old, and the oldest beyond bytes_max
 * (UINT64_MAX: beyond the option's). Calls the file system; no lock is held.
 */
void ldb_retained_trim(struct ldb_retained *retained, uint64_t bytes_max);

/* ---- the readers' side: any thread, short ---- */

/* Changes after which sequence are here, all of them: the lowest such. */
ldb_sequence ldb_retained_oldest(struct ldb_retained *retained);

/* The journal that has the first change after the sequence, or will have it.
 * NOT_FOUND: it is gone. */
LDB_MUST_CHECK enum ldb_status
ldb_retained_find(struct ldb_retained *retained, ldb_sequence after,
                  struct ldb_retained_journal *out);

/* Journal number. NOT_FOUND: it is gone. */
LDB_MUST_CHECK enum ldb_status
ldb_retained_get(struct ldb_retained *retained, uint64_t number,
                 struct ldb_retained_journal *out);

/* The one that follows on journal number, which may itself be gone. NOT_FOUND:
 * it is gone, or there is none yet. */
LDB_MUST_CHECK enum ldb_status
ldb_retained_after(struct ldb_retained *retained, uint64_t number,
                   struct ldb_retained_journal *out);

/*
 * All of them from index on, up to max, into out; returns how many. For lists:
 * what changes between two calls moves the index.
 */
size_t ldb_retained_list(struct ldb_retained *retained, size_t index,
                         struct ldb_retained_journal *out, size_t max);

void ldb_retained_figures(struct ldb_retained *retained,
                          struct ldb_retained_figures *out);

/* Pins number from now on, and nothing before it. False: it is gone already. */
bool ldb_retained_pin(struct ldb_retained *retained, struct ldb_pin *pin,
                      uint64_t number);
/* Not pinned is fine. */
void ldb_retained_unpin(struct ldb_retained *retained, struct ldb_pin *pin);
/* *out_len: the bytes it had; UINT64_MAX: that is not known. */
bool ldb_retained_pin_is_lost(struct ldb_retained *retained,
                              const struct ldb_pin *pin, uint64_t *out_len);

/*
 * Opens journal number wherever it lies now; it stays readable when it moves or
 * goes. NOT_FOUND: it is gone. Up to which byte it may be read is
 * ldb_durable_position()'s, or all of it when it is sealed before that.
 */
LDB_MUST_CHECK enum ldb_status
ldb_retained_open_sequential(struct ldb_retained *retained, uint64_t number,
                             struct ldb_error *err,
                             struct ldb_sequential_file **out);
/* The same; not more bytes than it had then. */
LDB_MUST_CHECK enum ldb_status
ldb_retained_open_random(struct ldb_retained *retained, uint64_t number,
                         struct ldb_error *err, struct ldb_random_file **out);

/* ---- without a database ---- */

/* Removes the archive of the database in dir, whose history ends. What cannot
 * be removed stays. Nobody has the database open. */
void ldb_retained_discard(struct ldb_env *env, const char *dir);

/* The journals of an open database; NULL: it is read-only. */
struct ldb_retained *ldb_db_retained(struct ldb_db *db);

#endif
