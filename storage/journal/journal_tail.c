#include "storage/journal/journal_tail.h"

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"

/* Bytes of a tail that are looked through. Chosen: a chunk cannot be longer. */
#define TAIL_SEEN LDB_JOURNAL_BLOCK_SIZE

/* Is there a whole chunk behind the first byte? */
static bool has_chunk(struct ldb_slice bytes)
{
    for (size_t at = 1; at + LDB_JOURNAL_HEADER_SIZE < bytes.len; at++) {
        const uint8_t *p = bytes.data + at;
        size_t len = p[4] | (size_t)p[5] << 8;

        if (p[6] < LDB_CHUNK_FULL || p[6] > LDB_CHUNK_LAST ||
            len > bytes.len - at - LDB_JOURNAL_HEADER_SIZE)
            continue;
        if (ldb_crc_mask(ldb_crc32c(ldb_slice_make(p + 6, len + 1))) ==
            ldb_load_fixed32(p))
            return true;
    }
    return false;
}

enum ldb_status ldb_journal_tail_is_damage(struct ldb_env *env,
                                           const char *path, uint64_t offset,
                                           uint64_t bytes,
                                           struct ldb_error *err, bool *out)
{
    size_t len = bytes < TAIL_SEEN ? (size_t)bytes : TAIL_SEEN;
    uint8_t *scratch = ldb_mem_alloc(1, len);
    struct ldb_random_file *file = NULL;
    struct ldb_slice tail = {0};
    enum ldb_status s;

    if (scratch == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_random(env, path, err, &file);
    if (s == LDB_OK)
        s = ldb_random_read_at(file, offset, len, scratch, &tail, err);
    if (s == LDB_OK)
        *out = has_chunk(tail);
    if (file != NULL)
        ldb_random_close(file);
    ldb_mem_free(scratch);
    return s;
}

enum ldb_status ldb_journal_tail_may_have_gap(struct ldb_env *env,
                                              const char *path,
                                              struct ldb_error *err, bool *out)
{
    uint64_t size = 0;
    enum ldb_status s = env->ops->file_size(env, path, err, &size);

    if (s == LDB_OK)
        *out = size > 0 && size % LDB_WINDOW_UNIT == 0;
    return s;
}
