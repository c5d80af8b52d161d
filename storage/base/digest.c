#include "storage/base/digest.h"

#include <xxhash.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Bytes asked for in one read. Chosen. */
#define READ_SIZE ((size_t)64 * 1024)

struct ldb_digester {
    XXH3_state_t *state; /* the library's, which aligns it as it needs */
};

struct ldb_digester *ldb_digester_create(void)
{
    struct ldb_digester *digester = ldb_mem_zalloc(1, sizeof(*digester));

    if (digester == NULL)
        return NULL;
    digester->state = XXH3_createState();
    if (digester->state == NULL ||
        XXH3_128bits_reset(digester->state) != XXH_OK) {
        ldb_digester_destroy(digester);
        return NULL;
    }
    return digester;
}

void ldb_digester_destroy(struct ldb_digester *digester)
{
    if (digester == NULL)
        return;
    (void)XXH3_freeState(digester->state);
    ldb_mem_free(digester);
}

void ldb_digester_add(struct ldb_digester *digester, struct ldb_slice bytes)
{
    /* Fails on NULL alone. */
    if (bytes.len > 0)
        (void)XXH3_128bits_update(digester->state, bytes.data, bytes.len);
}

struct ldb_digest ldb_digester_result(const struct ldb_digester *digester)
{
    struct ldb_digest digest;
    XXH128_canonical_t canonical;

    static_assert(sizeof(canonical.digest) == LDB_DIGEST_SIZE, "128 bits");
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digester->state));
    memcpy(digest.bytes, canonical.digest, LDB_DIGEST_SIZE);
    return digest;
}

enum ldb_status ldb_digest_file(struct ldb_env *env, const char *path,
                                struct ldb_error *err, struct ldb_digest *out,
                                uint64_t *out_size)
{
    struct ldb_sequential_file *file = NULL;
    struct ldb_digester *digester = ldb_digester_create();
    uint8_t *chunk = ldb_mem_alloc(1, READ_SIZE);
    uint64_t size = 0;
    size_t got = 1;
    enum ldb_status s = LDB_OK;

    if (digester == NULL || chunk == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = env->ops->open_sequential(env, path, err, &file);
    while (s == LDB_OK && got > 0) {
        s = ldb_sequential_read(file, READ_SIZE, chunk, &got, err);
        if (s == LDB_OK)
            ldb_digester_add(digester, ldb_slice_make(chunk, got));
        size += s == LDB_OK ? got : 0;
    }
    if (s == LDB_OK) {
        *out = ldb_digester_result(digester);
        *out_size = size;
    }
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_mem_free(chunk);
    ldb_digester_destroy(digester);
    return s;
}

enum ldb_status ldb_digest_compare_files(struct ldb_env *env, const char *a,
                                         const char *b, struct ldb_error *err,
                                         bool *out_is_same)
{
    struct ldb_digest digest_a;
    struct ldb_digest digest_b;
    uint64_t size_a = 0;
    uint64_t size_b = 0;
    enum ldb_status s = ldb_digest_file(env, a, err, &digest_a, &size_a);

    if (s == LDB_OK)
        s = ldb_digest_file(env, b, err, &digest_b, &size_b);
    if (s == LDB_OK)
        *out_is_same =
            size_a == size_b && ldb_digest_equal(&digest_a, &digest_b);
    return s;
}
