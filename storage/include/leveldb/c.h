/*
 * LevelDB's C API on libleveld: the same names, the same behaviour, so that a
 * program or language binding made for LevelDB runs on this engine by linking
 * it instead. The engine's own interface is ldb.h.
 *
 * Errors: where there is an errptr, *errptr is NULL or a text from malloc on
 * entry; on failure it is replaced by a fresh text (leveldb_free) and the old
 * one freed. Results from malloc are the caller's (leveldb_free).
 * Thread-safety: leveldb_t from any thread; every other object from one thread
 * at a time.
 *
 * A text begins with LevelDB's word for the kind of failure ("IO error",
 * "Corruption", "Invalid argument", ...). An iterator stops at damage, where
 * LevelDB's goes on behind it; both tell it by leveldb_iter_get_error().
 *
 * Defaults are LevelDB's, and a size out of LevelDB's range is drawn into it:
 * no filter, checksums of data blocks not verified,
 * create_if_missing off.
 */
#ifndef STORAGE_INCLUDE_LEVELDB_C_H
#define STORAGE_INCLUDE_LEVELDB_C_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEVELDB_EXPORT __attribute__((visibility("default")))

typedef struct leveldb_t leveldb_t;
typedef struct leveldb_cache_t leveldb_cache_t;
typedef struct leveldb_comparator_t leveldb_comparator_t;
typedef struct leveldb_env_t leveldb_env_t;
typedef struct leveldb_filelock_t leveldb_filelock_t;
typedef struct leveldb_filterpolicy_t leveldb_filterpolicy_t;
typedef struct leveldb_iterator_t leveldb_iterator_t;
typedef struct leveldb_logger_t leveldb_logger_t;
typedef struct leveldb_options_t leveldb_options_t;
typedef struct leveldb_randomfile_t leveldb_randomfile_t;
typedef struct leveldb_readoptions_t leveldb_readoptions_t;
typedef struct leveldb_seqfile_t leveldb_seqfile_t;
typedef struct leveldb_snapshot_t leveldb_snapshot_t;
typedef struct leveldb_writablefile_t leveldb_writablefile_t;
typedef struct leveldb_writebatch_t leveldb_writebatch_t;
typedef struct leveldb_writeoptions_t leveldb_writeoptions_t;

/* ---- database ---- */

/* NULL on failure. The options may be destroyed at once; what they point to
 * (comparator, filter policy, cache) lives until close. */
LEVELDB_EXPORT leveldb_t *leveldb_open(const leveldb_options_t *options,
                                       const char *name, char **errptr);
LEVELDB_EXPORT void leveldb_close(leveldb_t *db);
LEVELDB_EXPORT void leveldb_put(leveldb_t *db,
                                const leveldb_writeoptions_t *options,
                                const char *key, size_t keylen, const char *val,
                                size_t vallen, char **errptr);
LEVELDB_EXPORT void leveldb_delete(leveldb_t *db,
                                   const leveldb_writeoptions_t *options,
                                   const char *key, size_t keylen,
                                   char **errptr);
LEVELDB_EXPORT void leveldb_write(leveldb_t *db,
                                  const leveldb_writeoptions_t *options,
                                  leveldb_writebatch_t *batch, char **errptr);
/* NULL when there is no such key (no error) or on failure. */
LEVELDB_EXPORT char *leveldb_get(leveldb_t *db,
                                 const leveldb_readoptions_t *options,
                                 const char *key, size_t keylen, size_t *vallen,
                                 char **errptr);
/* Never NULL but without memory; its error is leveldb_iter_get_error's. */
LEVELDB_EXPORT leveldb_iterator_t *
leveldb_create_iterator(leveldb_t *db, const leveldb_readoptions_t *options);
LEVELDB_EXPORT const leveldb_snapshot_t *leveldb_create_snapshot(leveldb_t *db);
LEVELDB_EXPORT void
leveldb_release_snapshot(leveldb_t *db, const leveldb_snapshot_t *snapshot);
/* LevelDB's text, or goleveldb's where LevelDB has no such property; NULL for
 * an unknown one. */
LEVELDB_EXPORT char *leveldb_property_value(leveldb_t *db,
                                            const char *propname);
/* A range that cannot be measured has size 0. */
LEVELDB_EXPORT void leveldb_approximate_sizes(
    leveldb_t *db, int num_ranges, const char *const *range_start_key,
    const size_t *range_start_key_len, const char *const *range_limit_key,
    const size_t *range_limit_key_len, uint64_t *sizes);
/* A NULL key is an open end. */
LEVELDB_EXPORT void leveldb_compact_range(leveldb_t *db, const char *start_key,
                                          size_t start_key_len,
                                          const char *limit_key,
                                          size_t limit_key_len);

/* ---- management ---- */

/* No error when there is no database. */
LEVELDB_EXPORT void leveldb_destroy_db(const leveldb_options_t *options,
                                       const char *name, char **errptr);

/* As ldb_repair(): what is replaced is kept in lost/. */
LEVELDB_EXPORT void leveldb_repair_db(const leveldb_options_t *options,
                                      const char *name, char **errptr);

/* ---- iterator ---- */

LEVELDB_EXPORT void leveldb_iter_destroy(leveldb_iterator_t *iter);
LEVELDB_EXPORT unsigned char leveldb_iter_valid(const leveldb_iterator_t *iter);
LEVELDB_EXPORT void leveldb_iter_seek_to_first(leveldb_iterator_t *iter);
LEVELDB_EXPORT void leveldb_iter_seek_to_last(leveldb_iterator_t *iter);
LEVELDB_EXPORT void leveldb_iter_seek(leveldb_iterator_t *iter, const char *k,
                                      size_t klen);
LEVELDB_EXPORT void leveldb_iter_next(leveldb_iterator_t *iter);
LEVELDB_EXPORT void leveldb_iter_prev(leveldb_iterator_t *iter);
/* Borrowed until the next move. */
LEVELDB_EXPORT const char *leveldb_iter_key(const leveldb_iterator_t *iter,
                                            size_t *klen);
LEVELDB_EXPORT const char *leveldb_iter_value(const leveldb_iterator_t *iter,
                                              size_t *vlen);
LEVELDB_EXPORT void leveldb_iter_get_error(const leveldb_iterator_t *iter,
                                           char **errptr);

/* ---- write batch ---- */

LEVELDB_EXPORT leveldb_writebatch_t *leveldb_writebatch_create(void);
LEVELDB_EXPORT void leveldb_writebatch_destroy(leveldb_writebatch_t *batch);
LEVELDB_EXPORT void leveldb_writebatch_clear(leveldb_writebatch_t *batch);
/* Out of memory is told by the leveldb_write() that follows. */
LEVELDB_EXPORT void leveldb_writebatch_put(leveldb_writebatch_t *batch,
                                           const char *key, size_t klen,
                                           const char *val, size_t vlen);
LEVELDB_EXPORT void leveldb_writebatch_delete(leveldb_writebatch_t *batch,
                                              const char *key, size_t klen);
LEVELDB_EXPORT void leveldb_writebatch_iterate(
    const leveldb_writebatch_t *batch, void *state,
    void (*put)(void *, const char *k, size_t klen, const char *v, size_t vlen),
    void (*deleted)(void *, const char *k, size_t klen));
LEVELDB_EXPORT void
leveldb_writebatch_append(leveldb_writebatch_t *destination,
                          const leveldb_writebatch_t *source);

/* ---- options ---- */

LEVELDB_EXPORT leveldb_options_t *leveldb_options_create(void);
LEVELDB_EXPORT void leveldb_options_destroy(leveldb_options_t *options);
LEVELDB_EXPORT void leveldb_options_set_comparator(leveldb_options_t *options,
                                                   leveldb_comparator_t *cmp);
LEVELDB_EXPORT void
leveldb_options_set_filter_policy(leveldb_options_t *options,
                                  leveldb_filterpolicy_t *policy);
LEVELDB_EXPORT void
leveldb_options_set_create_if_missing(leveldb_options_t *options,
                                      unsigned char v);
LEVELDB_EXPORT void
leveldb_options_set_error_if_exists(leveldb_options_t *options,
                                    unsigned char v);
LEVELDB_EXPORT void
leveldb_options_set_paranoid_checks(leveldb_options_t *options,
                                    unsigned char v);
LEVELDB_EXPORT void leveldb_options_set_env(leveldb_options_t *options,
                                            leveldb_env_t *env);
/* The LOG stays in the folder: C has no way to make another logger. */
LEVELDB_EXPORT void leveldb_options_set_info_log(leveldb_options_t *options,
                                                 leveldb_logger_t *logger);
LEVELDB_EXPORT void
leveldb_options_set_write_buffer_size(leveldb_options_t *options, size_t s);
LEVELDB_EXPORT void
leveldb_options_set_max_open_files(leveldb_options_t *options, int n);
LEVELDB_EXPORT void leveldb_options_set_cache(leveldb_options_t *options,
                                              leveldb_cache_t *cache);
LEVELDB_EXPORT void leveldb_options_set_block_size(leveldb_options_t *options,
                                                   size_t s);
LEVELDB_EXPORT void
leveldb_options_set_block_restart_interval(leveldb_options_t *options, int n);
LEVELDB_EXPORT void
leveldb_options_set_max_file_size(leveldb_options_t *options, size_t s);

enum {
    leveldb_no_compression = 0,
    leveldb_snappy_compression = 1
};
LEVELDB_EXPORT void leveldb_options_set_compression(leveldb_options_t *options,
                                                    int compression);

/* ---- comparator ---- */

LEVELDB_EXPORT leveldb_comparator_t *
leveldb_comparator_create(void *state, void (*destructor)(void *),
                          int (*compare)(void *, const char *a, size_t alen,
                                         const char *b, size_t blen),
                          const char *(*name)(void *));
LEVELDB_EXPORT void leveldb_comparator_destroy(leveldb_comparator_t *cmp);

/* ---- filter policy ---- */

LEVELDB_EXPORT leveldb_filterpolicy_t *leveldb_filterpolicy_create(
    void *state, void (*destructor)(void *),
    char *(*create_filter)(void *, const char *const *key_array,
                           const size_t *key_length_array, int num_keys,
                           size_t *filter_length),
    unsigned char (*key_may_match)(void *, const char *key, size_t length,
                                   const char *filter, size_t filter_length),
    const char *(*name)(void *));
LEVELDB_EXPORT void
leveldb_filterpolicy_destroy(leveldb_filterpolicy_t *policy);
LEVELDB_EXPORT leveldb_filterpolicy_t *
leveldb_filterpolicy_create_bloom(int bits_per_key);

/* ---- read and write options ---- */

LEVELDB_EXPORT leveldb_readoptions_t *leveldb_readoptions_create(void);
LEVELDB_EXPORT void leveldb_readoptions_destroy(leveldb_readoptions_t *options);
LEVELDB_EXPORT void
leveldb_readoptions_set_verify_checksums(leveldb_readoptions_t *options,
                                         unsigned char v);
LEVELDB_EXPORT void
leveldb_readoptions_set_fill_cache(leveldb_readoptions_t *options,
                                   unsigned char v);
LEVELDB_EXPORT void
leveldb_readoptions_set_snapshot(leveldb_readoptions_t *options,
                                 const leveldb_snapshot_t *snapshot);
LEVELDB_EXPORT leveldb_writeoptions_t *leveldb_writeoptions_create(void);
LEVELDB_EXPORT void
leveldb_writeoptions_destroy(leveldb_writeoptions_t *options);
LEVELDB_EXPORT void
leveldb_writeoptions_set_sync(leveldb_writeoptions_t *options, unsigned char v);

/* ---- cache, env, the rest ---- */

LEVELDB_EXPORT leveldb_cache_t *leveldb_cache_create_lru(size_t capacity);
LEVELDB_EXPORT void leveldb_cache_destroy(leveldb_cache_t *cache);
LEVELDB_EXPORT leveldb_env_t *leveldb_create_default_env(void);
LEVELDB_EXPORT void leveldb_env_destroy(leveldb_env_t *env);
/* A folder for tests, made when absent: the variable TEST_TMPDIR, else one of
 * this user's under /tmp. From malloc. */
LEVELDB_EXPORT char *leveldb_env_get_test_directory(leveldb_env_t *env);
LEVELDB_EXPORT void leveldb_free(void *ptr);
/* 1 and 23: the LevelDB release whose interface this is. */
LEVELDB_EXPORT int leveldb_major_version(void);
LEVELDB_EXPORT int leveldb_minor_version(void);

#ifdef __cplusplus
}
#endif

#endif
