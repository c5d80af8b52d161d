/*
 * A database with some tables, none compacted, and another one with the same
 * tables behind a memory_peer, for tests of what finds damage and mends it: as
 * setup and teardown of a cmocka test.
 */
#ifndef TESTS_SUPPORT_HEAL_SCENE_H
#define TESTS_SUPPORT_HEAL_SCENE_H

#include "replication/digest_index.h"
#include "tests/support/env_fault.h"
#include "tests/support/memory_peer.h"

#define HEAL_SCENE_HERE  "/here"
#define HEAL_SCENE_THERE "/there"

#define HEAL_SCENE_TABLES       4
#define HEAL_SCENE_KEYS_A_TABLE 50 /* 6 KiB, in blocks of 1 KiB */

/* Bytes of one of its files at most. */
#define HEAL_SCENE_FILE_MAX ((size_t)1 << 20)

struct heal_scene {
    struct env_fault *fault; /* below both */
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db;    /* here */
    struct ldb_db *other; /* there; NULL: closed */
    struct memory_peer *peer;
    struct repl_digest_index *digests;  /* of here */
    uint64_t tables[HEAL_SCENE_TABLES]; /* their numbers, ascending */
    uint64_t size; /* of each of them: keys and values are of one length */
    struct ldb_error err;
};

/* *state becomes the scene. */
int heal_scene_setup(void **state);
int heal_scene_teardown(void **state);

/* The bytes of a file below dir, into out (cleared). False: it is not there. */
bool heal_scene_read(struct heal_scene *s, const char *dir, const char *name,
                     struct ldb_buf *out);
/* It has these bytes from now on, to who has it open too. */
void heal_scene_write(struct heal_scene *s, const char *dir, const char *name,
                      struct ldb_slice bytes);
/* "000005.ldb" of table i; valid until the next call. */
const char *heal_scene_name(const struct heal_scene *s, size_t i);
/* A bit of the byte at the offset of table i is another one. */
void heal_scene_flip(struct heal_scene *s, const char *dir, size_t i,
                     uint64_t offset);
/* Whether table i is the same here and there. */
bool heal_scene_is_same(struct heal_scene *s, size_t i);
/* Whether there is a file of that name below HERE. */
bool heal_scene_has(struct heal_scene *s, const char *name);

/* Reads key n (those of table i begin at i * KEYS_A_TABLE). OK: it has the
 * right value, or the test fails. */
enum ldb_status heal_scene_get(struct heal_scene *s, unsigned n);
/* All keys have their values. */
void heal_scene_assert_whole(struct heal_scene *s);

/* Table i, as digests know it. */
struct repl_digest_file heal_scene_file(const struct heal_scene *s, size_t i);

#endif
