/*
 * What lies in a node's folder, read from outside and by other code than the
 * node's own where that is possible: the keys and values that clients of a
 * simulated cluster write, records, versions.
 *
 * Nothing here waits.
 */
#ifndef TESTS_SUPPORT_SIM_FOLDER_H
#define TESTS_SUPPORT_SIM_FOLDER_H

#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "storage/include/ldb_types.h"

/* ---- keys and values ---- */

#define SIM_KEYS     128
#define SIM_KEY_SIZE 8 /* "key0123" and its NUL */

/* A value's bytes follow from its number, which is never 0. */
#define SIM_VALUE_MAX 400

void sim_key(unsigned key, char out[SIM_KEY_SIZE]);
/* SIM_KEYS: it is none. */
unsigned sim_key_parse(struct ldb_slice key);
size_t sim_value(uint32_t value, uint8_t out[SIM_VALUE_MAX]);
/* 0: these are no value's bytes. */
uint32_t sim_value_parse(struct ldb_slice bytes);

/* Everything in a database: 0 where a key has no value. */
struct sim_content {
    uint32_t value[SIM_KEYS];
};

/* ---- frames ---- */

/* The records of a journal or MANIFEST one by one, as far as they are whole. */
struct sim_frames {
    struct ldb_slice bytes;
    size_t at; /* behind the last whole record; 0 at first */
    struct ldb_buf record;
};
void sim_frames_init(struct sim_frames *frames, struct ldb_slice bytes,
                     size_t at);
void sim_frames_release(struct sim_frames *frames);
/* Valid until the next call. False: no whole record is left. */
bool sim_frames_next(struct sim_frames *frames, struct ldb_slice *out);

/* ---- versions ---- */

#define SIM_TABLES_MAX 1024

struct sim_table {
    uint64_t number;
    uint64_t size;
};

/* The number of the MANIFEST that CURRENT names; false: there is none. */
bool sim_current_read(struct ldb_env *env, const char *dir, uint64_t *out);

/* What CURRENT and its MANIFEST say. */
struct sim_version {
    uint64_t manifest;
    uint64_t log_number;
    ldb_sequence last_sequence;
    struct sim_table tables[SIM_TABLES_MAX];
    size_t table_count;
};

/* False: the folder has none. */
bool sim_version_read(struct ldb_env *env, const char *dir,
                      struct sim_version *out);

/* ---- a folder from outside ---- */

/* The whole file, appended to out; false: it is not there. Fails the
 * simulation when it cannot be read. */
bool sim_read_file(struct ldb_env *env, const char *path, struct ldb_buf *out);

#endif
