#include "replication/likeness.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/retained.h"

struct likeness {
    const struct repl_likeness_source *source;
    const char *name;
    struct ldb_slice ours; /* the bytes to compare */
    size_t seen;           /* of them, and they are the same */
    bool is_unlike;        /* the next one is not, */
    uint8_t theirs;        /* but this */
};

/* ---- ours ---- */

/* It lies in one of two places, and may move from the first to the second. */
static enum ldb_status open_ours(const struct repl_likeness_source *source,
                                 const char *name, struct ldb_error *err,
                                 struct ldb_random_file **out)
{
    char *path = ldb_mem_printf("%s/%s", source->dir, name);
    char *archived =
        ldb_mem_printf("%s/" LDB_ARCHIVE_FOLDER "/%s", source->dir, name);
    enum ldb_status s = LDB_NO_MEMORY;

    if (path == NULL || archived == NULL)
        ldb_error_no_memory(err);
    else
        s = source->env->ops->open_random(source->env, path, err, out);
    if (s == LDB_NOT_FOUND)
        s = source->env->ops->open_random(source->env, archived, err, out);
    ldb_mem_free(path);
    ldb_mem_free(archived);
    return s;
}

/* n bytes at offset, in scratch or in the file's mapping. */
static enum ldb_status read_ours(struct likeness *likeness, uint64_t offset,
                                 size_t n, struct ldb_buf *scratch,
                                 struct ldb_error *err)
{
    struct ldb_random_file *file = NULL;
    struct ldb_slice bytes = {0};
    uint8_t *room = NULL;
    enum ldb_status s = open_ours(likeness->source, likeness->name, err, &file);

    if (s != LDB_OK)
        return s;
    s = ldb_buf_extend(scratch, n, &room);
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = ldb_random_read_at(file, offset, n, room, &bytes, err);
    /* A mapping ends with the file. */
    if (s == LDB_OK && bytes.data != room)
        memcpy(room, bytes.data, n);
    if (s == LDB_OK)
        likeness->ours = ldb_slice_make(room, n);
    ldb_random_close(file);
    return s;
}

/* ---- theirs ---- */

static enum ldb_status see_head(void *context,
                                const struct repl_file_head *head,
                                struct ldb_error *err)
{
    const struct likeness *likeness = context;
    const struct repl_epoch *epoch = likeness->source->epoch;

    if (head->epoch == epoch->number && head->epoch_id == epoch->id)
        return LDB_OK;
    if (head->epoch == 0)
        return LDB_OK;
    return ldb_error_set(err, LDB_PRECONDITION,
                         "%s: the leader is in epoch %" PRIu64
                         " now, it said %" PRIu64,
                         likeness->name, head->epoch, epoch->number);
}

/* CANCELLED: all is seen that was wanted. */
static enum ldb_status see_bytes(void *context, struct ldb_slice bytes,
                                 struct ldb_error *err)
{
    struct likeness *likeness = context;
    size_t left = likeness->ours.len - likeness->seen;
    size_t n = bytes.len < left ? bytes.len : left;
    size_t same = 0;

    (void)err;
    while (same < n &&
           likeness->ours.data[likeness->seen + same] == bytes.data[same])
        same++;
    likeness->seen += same;
    if (same < n) {
        likeness->is_unlike = true;
        likeness->theirs = bytes.data[same];
        return LDB_CANCELLED;
    }
    return likeness->seen == likeness->ours.len ? LDB_CANCELLED : LDB_OK;
}

/* What came, whatever the call ended with. */
static enum ldb_status judge(const struct likeness *likeness, enum ldb_status s,
                             enum repl_likeness *out)
{
    if (likeness->is_unlike) {
        *out = REPL_UNLIKE;
    } else if (likeness->seen == likeness->ours.len) {
        *out = REPL_ALIKE;
    } else if (s == LDB_NOT_FOUND) {
        *out = REPL_LIKENESS_UNKNOWN;
    } else if (s == LDB_OK || s == LDB_INVALID_ARGUMENT) {
        *out = REPL_UNLIKE; /* its file ends before ours does */
    } else {
        return s;
    }
    return LDB_OK;
}

static enum ldb_status compare_theirs(struct likeness *likeness,
                                      uint64_t offset, struct ldb_error *err,
                                      enum repl_likeness *out)
{
    const struct repl_get get = {
        .name = likeness->name,
        .from = offset,
        .head = see_head,
        .bytes = see_bytes,
        .context = likeness,
    };
    struct repl_transport *transport = likeness->source->transport;
    struct ldb_error why = {0};
    enum ldb_status s = transport->ops->get(transport, &get, &why);

    s = judge(likeness, s, out);
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

/*
 * A byte that differs is looked at twice: all of our history may be given up
 * for it, and no checksum goes over what is compared here. One that was changed
 * on its way is another the second time.
 */
static enum ldb_status compare_twice(struct likeness *likeness, uint64_t offset,
                                     struct ldb_error *err,
                                     enum repl_likeness *out)
{
    struct likeness again = *likeness;
    enum repl_likeness found = REPL_LIKENESS_UNKNOWN;
    enum ldb_status s = compare_theirs(likeness, offset, err, &found);

    if (s == LDB_OK && likeness->is_unlike)
        s = compare_theirs(&again, offset, err, &found);
    if (s == LDB_OK && again.is_unlike &&
        (again.seen != likeness->seen || again.theirs != likeness->theirs))
        s = ldb_error_set(err, LDB_IO,
                          "%s: bytes near %" PRIu64 " came in two ways",
                          likeness->name, offset + again.seen);
    if (s == LDB_OK)
        *out = found;
    return s;
}

enum ldb_status repl_likeness_of(const struct repl_likeness_source *source,
                                 const char *name, uint64_t len,
                                 struct ldb_error *err, enum repl_likeness *out)
{
    struct likeness likeness = {.source = source, .name = name};
    struct ldb_buf scratch = LDB_BUF_INIT(REPL_LIKENESS_BYTES);
    size_t n = len < REPL_LIKENESS_BYTES ? (size_t)len : REPL_LIKENESS_BYTES;
    enum ldb_status s;

    if (len == 0) {
        *out = REPL_LIKENESS_UNKNOWN;
        return LDB_OK;
    }
    s = read_ours(&likeness, len - n, n, &scratch, err);
    if (s == LDB_OK)
        s = compare_twice(&likeness, len - n, err, out);
    ldb_buf_release(&scratch);
    return s;
}

/* ---- both that a comparison needs ---- */

static enum ldb_status prove_manifest(const struct repl_likeness_source *source,
                                      const struct repl_holdings *ours,
                                      const struct repl_state *theirs,
                                      struct ldb_error *err,
                                      enum repl_likeness *out)
{
    char name[LDB_FILE_NAME_SIZE];

    *out = REPL_LIKENESS_UNKNOWN;
    if (!ours->has_database || ours->is_damaged ||
        ours->manifest_number != theirs->manifest_number)
        return LDB_OK;
    ldb_file_name_print(name, LDB_FILE_MANIFEST, ours->manifest_number);
    return repl_likeness_of(source, name, ours->manifest_len, err, out);
}

enum ldb_status repl_likeness_prove(const struct repl_likeness_source *source,
                                    const struct repl_holdings *ours,
                                    const struct repl_state *theirs,
                                    struct ldb_error *err,
                                    struct repl_proof *out)
{
    const struct repl_held_journal *newest = repl_holdings_newest(ours);
    struct repl_proof proof = {0};
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status s =
        prove_manifest(source, ours, theirs, err, &proof.manifest);

    if (s == LDB_OK && newest != NULL) {
        ldb_file_name_print(name, LDB_FILE_JOURNAL, newest->number);
        s = repl_likeness_of(source, name, newest->len, err, &proof.journal);
    }
    if (s == LDB_OK)
        *out = proof;
    return s;
}
