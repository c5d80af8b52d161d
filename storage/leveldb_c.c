/* LevelDB's C API on top of ldb.h (contract: leveldb/c.h). */
#include "storage/include/leveldb/c.h"

#include <stdlib.h>
#include <unistd.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/leveldb_property.h"

struct leveldb_t {
    struct ldb_db *db;
};

struct leveldb_cache_t {
    struct ldb_block_cache *cache;
};

struct leveldb_env_t {
    struct ldb_env *env;
};

struct leveldb_comparator_t {
    struct ldb_comparator comparator;
    void *state;
    void (*destructor)(void *);
    int (*compare)(void *, const char *, size_t, const char *, size_t);
};

struct leveldb_filterpolicy_t {
    struct ldb_filter_policy policy;
    void *state;
    void (*destructor)(void *);
    char *(*create)(void *, const char *const *, const size_t *, int, size_t *);
    unsigned char (*may_match)(void *, const char *, size_t, const char *,
                               size_t);
};

struct leveldb_options_t {
    struct ldb_options options;
};

struct leveldb_readoptions_t {
    struct ldb_read_options options;
};

struct leveldb_writeoptions_t {
    bool sync;
};

struct leveldb_iterator_t {
    struct ldb_cursor *cursor; /* NULL: could not be opened */
    struct ldb_error error;    /* why */
};

struct leveldb_writebatch_t {
    struct ldb_batch batch;
    enum ldb_status status; /* of an append that failed */
};

/* The largest batch that ldb_options takes. */
#define BATCH_BYTES_MAX ((size_t)1 << 30)

/* Of level 1, which LevelDB has no option for: its figure is 10 MiB. Measured:
 * decision 17. */
#define LEVEL1_BYTES (UINT64_C(32) << 20)

/* Tables that LevelDB keeps closed of max_open_files for other uses. */
#define NON_TABLE_FILES 10

/* Into what LevelDB draws a value out of range. */
#define OPEN_FILES_MIN   (64 + NON_TABLE_FILES)
#define OPEN_FILES_MAX   50000
#define WRITE_BUFFER_MIN ((size_t)64 << 10)
#define WRITE_BUFFER_MAX ((size_t)1 << 30)
#define TABLE_MIN        ((size_t)1 << 20)
#define TABLE_MAX        ((size_t)1 << 30)
#define BLOCK_MIN        ((size_t)1 << 10)
#define BLOCK_MAX        ((size_t)4 << 20)

static size_t clip(size_t value, size_t min, size_t max)
{
    return value < min ? min : value > max ? max : value;
}

static struct ldb_slice slice(const char *bytes, size_t len)
{
    return ldb_slice_make(bytes, len);
}

/* LevelDB's five kinds of failure, by which bindings tell them apart. */
static const char *kind_of(enum ldb_status status)
{
    switch (status) {
    case LDB_NOT_FOUND:
        return "NotFound";
    case LDB_CORRUPTION:
        return "Corruption";
    case LDB_NOT_SUPPORTED:
        return "Not implemented";
    case LDB_INVALID_ARGUMENT:
    case LDB_EXISTS:
    case LDB_TOO_LARGE:
    case LDB_PRECONDITION:
        return "Invalid argument";
    case LDB_OK:
    case LDB_IO:
    case LDB_NO_SPACE:
    case LDB_NO_MEMORY:
    case LDB_LOCKED:
    case LDB_STALLED:
    case LDB_READ_ONLY:
    case LDB_OUTCOME_UNKNOWN:
    case LDB_CLOSED:
    case LDB_GONE:
    case LDB_CANCELLED:
        break;
    }
    return "IO error";
}

/* Replaces *errptr. */
static void tell(char **errptr, enum ldb_status status, const char *message)
{
    ldb_mem_free(*errptr);
    *errptr = ldb_mem_printf("%s: %s", kind_of(status), message);
}

/* True on success; otherwise replaces *errptr. */
static bool check(char **errptr, enum ldb_status status,
                  const struct ldb_error *error)
{
    if (status != LDB_OK)
        tell(errptr, status,
             error->message[0] == '\0' ? ldb_status_text(status)
                                       : error->message);
    return status == LDB_OK;
}

/* The two failures to open that programs look for by their text. */
static void check_open(char **errptr, enum ldb_status status, const char *name,
                       struct ldb_error *err)
{
    const char *why = status == LDB_EXISTS
                          ? "exists (error_if_exists is true)"
                          : "does not exist (create_if_missing is false)";

    if (status == LDB_EXISTS || status == LDB_NOT_FOUND)
        status = ldb_error_set(err, LDB_INVALID_ARGUMENT, "%s: %s", name, why);
    (void)check(errptr, status, err);
}

/* ---- database ---- */

leveldb_t *leveldb_open(const leveldb_options_t *options, const char *name,
                        char **errptr)
{
    struct ldb_error err = {0};
    leveldb_t *db = ldb_mem_zalloc(1, sizeof(*db));
    enum ldb_status s = LDB_NO_MEMORY;

    if (db != NULL)
        s = ldb_open(name, &options->options, NULL, &err, &db->db);
    if (s == LDB_OK)
        return db;
    check_open(errptr, s, name, &err);
    ldb_mem_free(db);
    return NULL;
}

void leveldb_close(leveldb_t *db)
{
    /* The interface has no way to tell. */
    LDB_IGNORE(ldb_close(db->db, NULL));
    ldb_mem_free(db);
}

void leveldb_put(leveldb_t *db, const leveldb_writeoptions_t *options,
                 const char *key, size_t keylen, const char *val, size_t vallen,
                 char **errptr)
{
    struct ldb_error err;
    enum ldb_status s;

    ldb_error_init(&err);
    s = ldb_put(db->db, slice(key, keylen), slice(val, vallen), options->sync,
                &err, NULL);
    (void)check(errptr, s, &err);
}

void leveldb_delete(leveldb_t *db, const leveldb_writeoptions_t *options,
                    const char *key, size_t keylen, char **errptr)
{
    struct ldb_error err;
    enum ldb_status s;

    ldb_error_init(&err);
    s = ldb_delete(db->db, slice(key, keylen), options->sync, &err, NULL);
    (void)check(errptr, s, &err);
}

void leveldb_write(leveldb_t *db, const leveldb_writeoptions_t *options,
                   leveldb_writebatch_t *batch, char **errptr)
{
    struct ldb_write write = {.batch = &batch->batch, .sync = options->sync};

    if (check(errptr, batch->status, &write.error))
        (void)check(errptr, ldb_write_wait(db->db, &write), &write.error);
}

char *leveldb_get(leveldb_t *db, const leveldb_readoptions_t *options,
                  const char *key, size_t keylen, size_t *vallen, char **errptr)
{
    struct ldb_error err = {0};
    struct ldb_buf value = LDB_BUF_INIT(SIZE_MAX);
    enum ldb_status s = ldb_get(db->db, slice(key, keylen), &options->options,
                                &err, &value, NULL, NULL);

    *vallen = 0;
    /* An empty value is a pointer too. */
    if (s == LDB_OK && value.data == NULL)
        s = ldb_buf_reserve(&value, 1);
    if (s != LDB_OK) {
        ldb_buf_release(&value);
        if (s != LDB_NOT_FOUND)
            (void)check(errptr, s, &err);
        return NULL;
    }
    *vallen = value.len;
    return (char *)value.data;
}

const leveldb_snapshot_t *leveldb_create_snapshot(leveldb_t *db)
{
    struct ldb_snapshot *snapshot = NULL;

    if (ldb_snapshot_acquire(db->db, NULL, &snapshot) != LDB_OK)
        return NULL;
    return (const leveldb_snapshot_t *)snapshot;
}

void leveldb_release_snapshot(leveldb_t *db, const leveldb_snapshot_t *snapshot)
{
    union {
        const leveldb_snapshot_t *given;
        struct ldb_snapshot *made;
    } pointer = {.given = snapshot};

    (void)db;
    ldb_snapshot_release(pointer.made);
}

char *leveldb_property_value(leveldb_t *db, const char *propname)
{
    struct ldb_buf text = LDB_BUF_INIT(SIZE_MAX);

    if (ldb_leveldb_property(db->db, propname, &text) == LDB_OK &&
        ldb_buf_append_byte(&text, 0) == LDB_OK)
        return (char *)text.data;
    ldb_buf_release(&text);
    return NULL;
}

void leveldb_approximate_sizes(leveldb_t *db, int num_ranges,
                               const char *const *range_start_key,
                               const size_t *range_start_key_len,
                               const char *const *range_limit_key,
                               const size_t *range_limit_key_len,
                               uint64_t *sizes)
{
    for (int i = 0; i < num_ranges; i++) {
        sizes[i] = 0;
        LDB_IGNORE(ldb_approximate_size(
            db->db, slice(range_start_key[i], range_start_key_len[i]),
            slice(range_limit_key[i], range_limit_key_len[i]), NULL,
            &sizes[i])); /* 0 then, as the contract says */
    }
}

void leveldb_compact_range(leveldb_t *db, const char *start_key,
                           size_t start_key_len, const char *limit_key,
                           size_t limit_key_len)
{
    struct ldb_slice begin = slice(start_key, start_key_len);
    struct ldb_slice end = slice(limit_key, limit_key_len);

    /* The interface has no way to tell; LOG has the error. */
    LDB_IGNORE(ldb_compact_range(db->db, start_key == NULL ? NULL : &begin,
                                 limit_key == NULL ? NULL : &end, NULL));
}

void leveldb_destroy_db(const leveldb_options_t *options, const char *name,
                        char **errptr)
{
    struct ldb_error err = {0};
    enum ldb_status s = ldb_destroy(name, &options->options, &err);

    if (s != LDB_NOT_FOUND)
        (void)check(errptr, s, &err);
}

void leveldb_repair_db(const leveldb_options_t *options, const char *name,
                       char **errptr)
{
    struct ldb_error err = {0};
    enum ldb_status s = ldb_repair(name, &options->options, NULL, NULL, &err);

    (void)check(errptr, s, &err);
}

/* ---- iterator ---- */

leveldb_iterator_t *
leveldb_create_iterator(leveldb_t *db, const leveldb_readoptions_t *options)
{
    leveldb_iterator_t *iter = ldb_mem_zalloc(1, sizeof(*iter));

    if (iter != NULL)
        LDB_IGNORE(ldb_cursor_open(db->db, &options->options, &iter->error,
                                   &iter->cursor)); /* told by get_error */
    return iter;
}

void leveldb_iter_destroy(leveldb_iterator_t *iter)
{
    ldb_cursor_close(iter->cursor);
    ldb_mem_free(iter);
}

unsigned char leveldb_iter_valid(const leveldb_iterator_t *iter)
{
    return iter->cursor != NULL && ldb_cursor_valid(iter->cursor);
}

void leveldb_iter_seek_to_first(leveldb_iterator_t *iter)
{
    if (iter->cursor != NULL)
        ldb_cursor_seek_first(iter->cursor);
}

void leveldb_iter_seek_to_last(leveldb_iterator_t *iter)
{
    if (iter->cursor != NULL)
        ldb_cursor_seek_last(iter->cursor);
}

void leveldb_iter_seek(leveldb_iterator_t *iter, const char *k, size_t klen)
{
    if (iter->cursor != NULL)
        ldb_cursor_seek(iter->cursor, slice(k, klen));
}

void leveldb_iter_next(leveldb_iterator_t *iter)
{
    ldb_cursor_next(iter->cursor);
}

void leveldb_iter_prev(leveldb_iterator_t *iter)
{
    ldb_cursor_prev(iter->cursor);
}

static const char *borrowed(struct ldb_slice bytes, size_t *len)
{
    *len = bytes.len;
    return (const char *)bytes.data;
}

const char *leveldb_iter_key(const leveldb_iterator_t *iter, size_t *klen)
{
    return borrowed(ldb_cursor_key(iter->cursor), klen);
}

const char *leveldb_iter_value(const leveldb_iterator_t *iter, size_t *vlen)
{
    return borrowed(ldb_cursor_value(iter->cursor), vlen);
}

void leveldb_iter_get_error(const leveldb_iterator_t *iter, char **errptr)
{
    struct ldb_error err = iter->error;
    enum ldb_status s = iter->error.status;

    if (iter->cursor != NULL)
        s = ldb_cursor_status(iter->cursor, &err);
    (void)check(errptr, s, &err);
}

/* ---- write batch ---- */

leveldb_writebatch_t *leveldb_writebatch_create(void)
{
    leveldb_writebatch_t *batch = ldb_mem_zalloc(1, sizeof(*batch));

    if (batch != NULL)
        ldb_batch_init(&batch->batch, BATCH_BYTES_MAX);
    return batch;
}

void leveldb_writebatch_destroy(leveldb_writebatch_t *batch)
{
    ldb_batch_release(&batch->batch);
    ldb_mem_free(batch);
}

void leveldb_writebatch_clear(leveldb_writebatch_t *batch)
{
    ldb_batch_clear(&batch->batch);
    batch->status = LDB_OK;
}

static void note(leveldb_writebatch_t *batch, enum ldb_status status)
{
    if (status != LDB_OK)
        batch->status = status;
}

void leveldb_writebatch_put(leveldb_writebatch_t *batch, const char *key,
                            size_t klen, const char *val, size_t vlen)
{
    note(batch,
         ldb_batch_put(&batch->batch, slice(key, klen), slice(val, vlen)));
}

void leveldb_writebatch_delete(leveldb_writebatch_t *batch, const char *key,
                               size_t klen)
{
    note(batch, ldb_batch_delete(&batch->batch, slice(key, klen)));
}

void leveldb_writebatch_iterate(const leveldb_writebatch_t *batch, void *state,
                                void (*put)(void *, const char *k, size_t klen,
                                            const char *v, size_t vlen),
                                void (*deleted)(void *, const char *k,
                                                size_t klen))
{
    struct ldb_batch_cursor cursor =
        ldb_batch_cursor_make(ldb_slice_of_buf(&batch->batch.rep));
    struct ldb_batch_op op;

    while (ldb_batch_cursor_next(&cursor, &op)) {
        const char *key = (const char *)op.key.data;

        if (op.kind == LDB_KIND_PUT)
            put(state, key, op.key.len, (const char *)op.value.data,
                op.value.len);
        else
            deleted(state, key, op.key.len);
    }
}

void leveldb_writebatch_append(leveldb_writebatch_t *destination,
                               const leveldb_writebatch_t *source)
{
    note(destination, source->status);
    note(destination, ldb_batch_append(&destination->batch, &source->batch));
}

/* ---- options ---- */

leveldb_options_t *leveldb_options_create(void)
{
    leveldb_options_t *options = ldb_mem_zalloc(1, sizeof(*options));

    if (options == NULL)
        return NULL;
    ldb_options_init(&options->options);
    options->options.create_if_missing = false;
    options->options.verify_checksums = false;
    options->options.bloom_bits = 0;
    options->options.batch_bytes_max = BATCH_BYTES_MAX;
    options->options.level1_bytes = LEVEL1_BYTES;
    leveldb_options_set_max_open_files(options, 1000);
    return options;
}

void leveldb_options_destroy(leveldb_options_t *options)
{
    ldb_mem_free(options);
}

void leveldb_options_set_comparator(leveldb_options_t *options,
                                    leveldb_comparator_t *cmp)
{
    options->options.comparator = cmp == NULL ? NULL : &cmp->comparator;
}

void leveldb_options_set_filter_policy(leveldb_options_t *options,
                                       leveldb_filterpolicy_t *policy)
{
    options->options.filter = policy == NULL ? NULL : &policy->policy;
}

void leveldb_options_set_create_if_missing(leveldb_options_t *options,
                                           unsigned char v)
{
    options->options.create_if_missing = v != 0;
}

void leveldb_options_set_error_if_exists(leveldb_options_t *options,
                                         unsigned char v)
{
    options->options.error_if_exists = v != 0;
}

void leveldb_options_set_paranoid_checks(leveldb_options_t *options,
                                         unsigned char v)
{
    options->options.strict_journal = v != 0;
}

void leveldb_options_set_env(leveldb_options_t *options, leveldb_env_t *env)
{
    options->options.env = env == NULL ? NULL : env->env;
}

void leveldb_options_set_info_log(leveldb_options_t *options,
                                  leveldb_logger_t *logger)
{
    (void)options;
    (void)logger;
}

void leveldb_options_set_write_buffer_size(leveldb_options_t *options, size_t s)
{
    options->options.write_buffer_bytes =
        clip(s, WRITE_BUFFER_MIN, WRITE_BUFFER_MAX);
}

void leveldb_options_set_max_open_files(leveldb_options_t *options, int n)
{
    size_t files = clip(n > 0 ? (size_t)n : 0, OPEN_FILES_MIN, OPEN_FILES_MAX);

    options->options.open_tables_max = (unsigned)files - NON_TABLE_FILES;
}

void leveldb_options_set_cache(leveldb_options_t *options,
                               leveldb_cache_t *cache)
{
    options->options.block_cache = cache == NULL ? NULL : cache->cache;
}

void leveldb_options_set_block_size(leveldb_options_t *options, size_t s)
{
    options->options.block_bytes = clip(s, BLOCK_MIN, BLOCK_MAX);
}

void leveldb_options_set_block_restart_interval(leveldb_options_t *options,
                                                int n)
{
    options->options.block_restart_interval = n > 0 ? (unsigned)n : 1;
}

void leveldb_options_set_max_file_size(leveldb_options_t *options, size_t s)
{
    options->options.table_bytes = clip(s, TABLE_MIN, TABLE_MAX);
}

void leveldb_options_set_compression(leveldb_options_t *options,
                                     int compression)
{
    options->options.compress = compression != leveldb_no_compression;
}

struct ldb_options *ldb_options_of_leveldb(leveldb_options_t *options)
{
    return &options->options;
}

/* ---- comparator ---- */

static int call_compare(void *context, struct ldb_slice a, struct ldb_slice b)
{
    const leveldb_comparator_t *cmp = context;

    return cmp->compare(cmp->state, (const char *)a.data, a.len,
                        (const char *)b.data, b.len);
}

leveldb_comparator_t *
leveldb_comparator_create(void *state, void (*destructor)(void *),
                          int (*compare)(void *, const char *a, size_t alen,
                                         const char *b, size_t blen),
                          const char *(*name)(void *))
{
    leveldb_comparator_t *cmp = ldb_mem_zalloc(1, sizeof(*cmp));

    if (cmp == NULL)
        return NULL;
    cmp->comparator = (struct ldb_comparator){
        .name = name(state), .context = cmp, .compare = call_compare};
    cmp->state = state;
    cmp->destructor = destructor;
    cmp->compare = compare;
    return cmp;
}

void leveldb_comparator_destroy(leveldb_comparator_t *cmp)
{
    cmp->destructor(cmp->state);
    ldb_mem_free(cmp);
}

/* ---- filter policy ---- */

static enum ldb_status call_create_filter(void *context,
                                          const struct ldb_slice *keys,
                                          size_t count, struct ldb_buf *out)
{
    const leveldb_filterpolicy_t *policy = context;
    const char **bytes = ldb_mem_alloc(count + 1, sizeof(*bytes));
    size_t *lengths = ldb_mem_alloc(count + 1, sizeof(*lengths));
    size_t filter_len = 0;
    char *filter = NULL;
    enum ldb_status s = LDB_NO_MEMORY;

    if (bytes == NULL || lengths == NULL || count > INT32_MAX)
        goto out;
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (const char *)keys[i].data;
        lengths[i] = keys[i].len;
    }
    filter =
        policy->create(policy->state, bytes, lengths, (int)count, &filter_len);
    if (filter != NULL)
        s = ldb_buf_append(out, slice(filter, filter_len));
out:
    ldb_mem_free(filter);
    ldb_mem_free(bytes);
    ldb_mem_free(lengths);
    return s;
}

static bool call_may_match(void *context, struct ldb_slice key,
                           struct ldb_slice filter)
{
    const leveldb_filterpolicy_t *policy = context;

    return policy->may_match(policy->state, (const char *)key.data, key.len,
                             (const char *)filter.data, filter.len) != 0;
}

leveldb_filterpolicy_t *leveldb_filterpolicy_create(
    void *state, void (*destructor)(void *),
    char *(*create_filter)(void *, const char *const *key_array,
                           const size_t *key_length_array, int num_keys,
                           size_t *filter_length),
    unsigned char (*key_may_match)(void *, const char *key, size_t length,
                                   const char *filter, size_t filter_length),
    const char *(*name)(void *))
{
    leveldb_filterpolicy_t *policy = ldb_mem_zalloc(1, sizeof(*policy));

    if (policy == NULL)
        return NULL;
    policy->policy = (struct ldb_filter_policy){
        .name = name(state),
        .context = policy,
        .create = call_create_filter,
        .may_match = call_may_match,
    };
    policy->state = state;
    policy->destructor = destructor;
    policy->create = create_filter;
    policy->may_match = key_may_match;
    return policy;
}

void leveldb_filterpolicy_destroy(leveldb_filterpolicy_t *policy)
{
    if (policy->destructor != NULL)
        policy->destructor(policy->state);
    ldb_mem_free(policy);
}

leveldb_filterpolicy_t *leveldb_filterpolicy_create_bloom(int bits_per_key)
{
    leveldb_filterpolicy_t *policy = ldb_mem_zalloc(1, sizeof(*policy));

    if (policy == NULL)
        return NULL;
    policy->policy = (struct ldb_filter_policy){
        .name = LDB_BLOOM_NAME_LEVELDB,
        .bloom_bits_per_key = bits_per_key > 0 ? (unsigned)bits_per_key : 1,
    };
    return policy;
}

/* ---- read and write options ---- */

leveldb_readoptions_t *leveldb_readoptions_create(void)
{
    leveldb_readoptions_t *options = ldb_mem_zalloc(1, sizeof(*options));

    if (options != NULL)
        leveldb_readoptions_set_verify_checksums(options, 0);
    return options;
}

void leveldb_readoptions_destroy(leveldb_readoptions_t *options)
{
    ldb_mem_free(options);
}

void leveldb_readoptions_set_verify_checksums(leveldb_readoptions_t *options,
                                              unsigned char v)
{
    options->options.checksums = v != 0 ? 1 : 2;
}

void leveldb_readoptions_set_fill_cache(leveldb_readoptions_t *options,
                                        unsigned char v)
{
    options->options.skip_cache = v == 0;
}

void leveldb_readoptions_set_snapshot(leveldb_readoptions_t *options,
                                      const leveldb_snapshot_t *snapshot)
{
    options->options.snapshot = (const struct ldb_snapshot *)snapshot;
}

leveldb_writeoptions_t *leveldb_writeoptions_create(void)
{
    return ldb_mem_zalloc(1, sizeof(leveldb_writeoptions_t));
}

void leveldb_writeoptions_destroy(leveldb_writeoptions_t *options)
{
    ldb_mem_free(options);
}

void leveldb_writeoptions_set_sync(leveldb_writeoptions_t *options,
                                   unsigned char v)
{
    options->sync = v != 0;
}

/* ---- cache, env, the rest ---- */

leveldb_cache_t *leveldb_cache_create_lru(size_t capacity)
{
    leveldb_cache_t *cache = ldb_mem_zalloc(1, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    if (ldb_block_cache_create(capacity, NULL, &cache->cache) != LDB_OK) {
        ldb_mem_free(cache);
        return NULL;
    }
    return cache;
}

void leveldb_cache_destroy(leveldb_cache_t *cache)
{
    ldb_block_cache_destroy(cache->cache);
    ldb_mem_free(cache);
}

leveldb_env_t *leveldb_create_default_env(void)
{
    leveldb_env_t *env = ldb_mem_zalloc(1, sizeof(*env));

    if (env != NULL)
        env->env = ldb_env_posix();
    return env;
}

void leveldb_env_destroy(leveldb_env_t *env)
{
    ldb_mem_free(env);
}

char *leveldb_env_get_test_directory(leveldb_env_t *env)
{
    const char *wanted = getenv("TEST_TMPDIR");
    char *path =
        wanted != NULL && wanted[0] != '\0'
            ? ldb_mem_strdup(wanted)
            : ldb_mem_printf("/tmp/leveldbtest-%u", (unsigned)geteuid());

    if (path != NULL)
        LDB_IGNORE(env->env->ops->create_dir(env->env, path, NULL)); /* told by
                                                            who uses it */
    return path;
}

void leveldb_free(void *ptr)
{
    ldb_mem_free(ptr);
}

int leveldb_major_version(void)
{
    return 1;
}

int leveldb_minor_version(void)
{
    return 23;
}
