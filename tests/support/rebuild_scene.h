/*
 * A leader that lives at random (leader_run.h), served in memory, and the
 * folder of another node: its follower, or one that had led before and goes its
 * own way now. For tests of making the second the twin of the first.
 *
 *     scene = rebuild_scene_create(seed, NULL);
 *     rebuild_scene_live(scene, 40);
 *     rebuild_scene_follow(scene);          the folder is the leader's
 *     rebuild_scene_promote(scene);         the leader begins another epoch
 *     rebuild_scene_tail(scene, 5);         and these were never shipped
 *     ... repl_build_fetch(), repl_build_switch() ...
 *     rebuild_scene_assert_aside(scene, scene->env);
 *     rebuild_scene_assert_same(scene, scene->env);
 *     rebuild_scene_destroy(scene);
 *
 * What our node wrote by itself has keys that begin with "z", each once. One
 * thread calls. Anything that fails fails the test.
 */
#ifndef TESTS_SUPPORT_REBUILD_SCENE_H
#define TESTS_SUPPORT_REBUILD_SCENE_H

#include "replication/epoch_history.h"
#include "replication/twin_build.h"
#include "tests/support/memory_peer.h"
#include "tests/support/twin_ship.h"

#define REBUILD_DIR      TWIN_SHIP_DIR
#define REBUILD_NODE     "0000000000000000000000000000000f"
#define REBUILD_TAIL_MAX 2000

/* What our node wrote. */
struct rebuild_own {
    ldb_sequence sequence;
    ldb_sequence batch_last; /* of its batch */
    char key[8];
};

struct rebuild_scene {
    struct leader_run *leader;
    struct memory_peer *peer;
    struct repl_epoch_history history; /* the leader's */
    struct repl_identity identity;
    struct ldb_env *memory; /* ours, unless it was given */
    struct ldb_env *env;    /* of our folder */
    struct twin_ship ship;
    uint64_t seed;
    ldb_sequence fork; /* where our own entries begin; 0: there are none */
    struct rebuild_own own[REBUILD_TAIL_MAX];
    size_t own_count;
    struct ldb_error err;
};

/* env: borrowed; NULL: one of its own, in memory. */
struct rebuild_scene *rebuild_scene_create(uint64_t seed, struct ldb_env *env);
void rebuild_scene_destroy(struct rebuild_scene *scene);

/* ---- the leader ---- */

/* So many steps of it; it is not served meanwhile. */
void rebuild_scene_live(struct rebuild_scene *scene, unsigned steps);
/* The same, with writes alone. */
void rebuild_scene_write(struct rebuild_scene *scene, unsigned batches);
/* It flushes and compacts all, so that no journal of before is needed. */
void rebuild_scene_settle(struct rebuild_scene *scene);
/* It is closed, opened, and begins another epoch: it has been promoted. */
void rebuild_scene_promote(struct rebuild_scene *scene);
/* Its journals stay from now on. */
void rebuild_scene_archive(struct rebuild_scene *scene);

/* ---- our folder ---- */

/* All of the leader's, by the stream, with leveld/ as a follower has it. */
void rebuild_scene_follow(struct rebuild_scene *scene);
/* Batches that are in our newest journal alone: a leader that was cut off. */
void rebuild_scene_tail(struct rebuild_scene *scene, unsigned batches);
/* So many journals more, each with that many batches. */
void rebuild_scene_tail_journals(struct rebuild_scene *scene, unsigned journals,
                                 unsigned batches);
/* Opened as a leader's, in the same epoch, and so many writes; flush: they are
 * in tables then, and compacted, and no journal has them. */
void rebuild_scene_lead(struct rebuild_scene *scene, unsigned writes,
                        bool flush);

/* ---- what is to hold ---- */

/* Options for a build of ours. */
void rebuild_scene_options(struct rebuild_scene *scene, struct ldb_env *env,
                           struct repl_build_options *out);
/* Builds it to the end. */
void rebuild_scene_build(struct rebuild_scene *scene, struct ldb_env *env,
                         bool is_accepted);

/* The folder of env, as any library finds it, is a past state of our own
 * history, of the leader's, or nothing. */
void rebuild_scene_assert_past(struct rebuild_scene *scene, struct ldb_env *env,
                               struct ldb_db *db);
/* It opens as a twin, keeps what twins promise, and takes all that the leader
 * has. */
void rebuild_scene_assert_twin(struct rebuild_scene *scene,
                               struct ldb_env *env);
/* The same, and the folder is the leader's then, to the byte. The leader is
 * closed, and not served any more. */
void rebuild_scene_assert_same(struct rebuild_scene *scene,
                               struct ldb_env *env);
/* What our node wrote by itself is among the diverged files, all of it. */
void rebuild_scene_assert_aside(struct rebuild_scene *scene,
                                struct ldb_env *env);
/* leveld/ is the leader's follower's, and nothing is under way. */
void rebuild_scene_assert_adopted(struct rebuild_scene *scene,
                                  struct ldb_env *env);

#endif
