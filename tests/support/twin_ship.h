/*
 * Ships a leader's files to a twin, in random cuts and orders under a seed, and
 * looks at what a twin promises (DESIGN's R1, R2, R3, R8; twin.h):
 *
 *     struct twin_ship t;
 *
 *     twin_ship_init(&t, leader, env, seed);
 *     twin_ship_open(&t);
 *     ... twin_ship_step(&t), twin_ship_check(&t) ...
 *     twin_ship_converge(&t);
 *     twin_ship_close(&t);
 *
 * What a call gives that must not is asserted. A failure of the env or of
 * memory is returned by the functions that give a status.
 */
#ifndef TESTS_SUPPORT_TWIN_SHIP_H
#define TESTS_SUPPORT_TWIN_SHIP_H

#include "storage/twin.h"
#include "tests/support/leader_run.h"

#define TWIN_SHIP_DIR "/twin"

/* File numbers that a run may come to. */
#define TWIN_SHIP_NUMBERS 4096

struct twin_ship {
    struct leader_run *leader;
    struct ldb_options options; /* env is the twin's */
    struct ldb_db *db;          /* NULL: closed */
    uint64_t seed;
    struct ldb_error err;
    /* Bytes of each journal that were ever applied. */
    uint64_t applied[TWIN_SHIP_NUMBERS];
    bool has_failed; /* a call: a file may be longer than is known */
    /* What happened. */
    struct {
        unsigned built;    /* tables, that were the leader's to the byte */
        unsigned differed; /* built, and they were not */
        unsigned fetched;
        unsigned installed; /* runs */
        unsigned folded;    /* of them of several records */
        unsigned rotated;   /* of them of another MANIFEST */
        unsigned too_early; /* STALLED for a journal */
        unsigned stalled;   /* for a memtable */
    } counts;
};

void twin_ship_init(struct twin_ship *t, struct leader_run *leader,
                    struct ldb_env *env, uint64_t seed);

enum ldb_status twin_ship_try_open(struct twin_ship *t);
void twin_ship_open(struct twin_ship *t);
void twin_ship_close(struct twin_ship *t);

/* Some bytes of a journal, a seal, a sync or a run of edits, at random. */
enum ldb_status twin_ship_step(struct twin_ship *t);

/* All that the leader has. */
enum ldb_status twin_ship_try_converge(struct twin_ship *t);
void twin_ship_converge(struct twin_ship *t);

/* After bytes that a test shipped itself. */
void twin_ship_note_applied(struct twin_ship *t);

/* Every file is as it may be, and the content is a past state. */
void twin_ship_check(struct twin_ship *t);

/* Leader and twin closed: their folders are the same. */
void twin_ship_assert_same(struct twin_ship *t);

#endif
