/*
 * A leader over a database of db_fixture.h, which keeps its journals: as setup
 * and teardown of a cmocka test.
 */
#ifndef TESTS_SUPPORT_LEADER_FIXTURE_H
#define TESTS_SUPPORT_LEADER_FIXTURE_H

#include "replication/leader.h"
#include "tests/support/db_fixture.h"

struct leader_fixture {
    struct db_fixture *base;
    struct ldb_db *db; /* base's, as is env */
    struct ldb_env *env;
    struct repl_digest_index *digests;
    struct repl_write_concern *concern;
    struct repl_identity identity;
    struct repl_epoch_history history; /* epoch 3 is the last */
    struct repl_leader *leader;
    struct ldb_error err;
};

/* *state becomes the fixture; the database is open and empty. */
int leader_fixture_setup(void **state);
int leader_fixture_teardown(void **state);

/* The parts of setup: the database's options may be changed in between. */
void leader_fixture_prepare(struct leader_fixture *f);
void leader_fixture_start(struct leader_fixture *f);
/* Leader and database are closed; start begins anew. */
void leader_fixture_stop(struct leader_fixture *f);

/* Durable when it returns. */
ldb_sequence leader_fixture_put(struct leader_fixture *f, const char *key,
                                const char *value);
/* One key that makes a table, whose number is returned. */
uint64_t leader_fixture_flush_one(struct leader_fixture *f, const char *key);
/* All tables into as few as there can be; returns once those before have gone,
 * as far as nothing holds them. */
void leader_fixture_compact(struct leader_fixture *f);
void leader_fixture_tick(struct leader_fixture *f);

/* The open journal. */
uint64_t leader_fixture_journal(struct leader_fixture *f);
/* Whether the folder has a file of that name ("leveld/archive/000003.log"). */
bool leader_fixture_has_file(struct leader_fixture *f, const char *name);

/* ---- files ---- */

struct repl_served_file *leader_fixture_file(struct leader_fixture *f,
                                             const char *name);
/* All that can be read now, appended to out; the file was sought in. */
void leader_fixture_read(struct leader_fixture *f,
                         struct repl_served_file *file, struct ldb_buf *out);

#endif
