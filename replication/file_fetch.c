#include "replication/file_fetch.h"

#include <inttypes.h>

#include "replication/incoming.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/*
 * A file comes in one or more gets. What there is of it is read once, for its
 * digest, and the rest asked for; each get appends what comes and takes it into
 * the digest. When all is there the file is synced, and the digest compared.
 */

/* In a row, that were cut and had brought something. Chosen: a connection that
 * is cut more often is better tried later. */
#define TRIES_MAX 16

/* Whole files of a wrong digest before it is given up. */
#define MISMATCHES_MAX 2

#define READ_BYTES ((size_t)128 << 10)

struct arrival {
    const struct repl_file_fetch *fetch;
    const struct repl_fetch_file *wanted;
    char *path;
    struct ldb_writable_file *file;
    struct ldb_digester *digester;
    uint64_t len;             /* bytes in the file, and in the digest */
    struct ldb_digest digest; /* that it has to have, */
    bool has_digest;          /* when somebody has told it */
    bool is_all;              /* of a prefix: the get was ended by us */
    bool has_failed;          /* our file did: what it has is not known */
};

static void add_to(_Atomic(uint64_t) *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- what is there already ---- */

static enum ldb_status check_cancelled(const struct arrival *a,
                                       struct ldb_error *err)
{
    const atomic_bool *is_cancelled = a->fetch->is_cancelled;

    if (is_cancelled != NULL &&
        atomic_load_explicit(is_cancelled, memory_order_relaxed))
        return ldb_error_set(err, LDB_CANCELLED, "interrupted");
    return LDB_OK;
}

/* Takes what the file has into the digest. */
static enum ldb_status read_again(struct arrival *a, struct ldb_error *err)
{
    struct ldb_env *env = a->fetch->env;
    struct ldb_sequential_file *file = NULL;
    uint8_t *chunk = ldb_mem_alloc(1, READ_BYTES);
    uint64_t len = 0;
    size_t got = 1;
    enum ldb_status s;

    if (chunk == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_sequential(env, a->path, err, &file);
    while (s == LDB_OK && got > 0) {
        s = check_cancelled(a, err);
        if (s == LDB_OK)
            s = ldb_sequential_read(file, READ_BYTES, chunk, &got, err);
        if (s != LDB_OK)
            break;
        ldb_digester_add(a->digester, ldb_slice_make(chunk, got));
        len += got;
    }
    if (s == LDB_OK && len != a->len)
        s = ldb_error_set(err, LDB_IO,
                          "%s: %" PRIu64 " bytes, and %" PRIu64 " when read",
                          a->path, a->len, len);
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_mem_free(chunk);
    return s;
}

/* An empty file, and the digest of nothing. */
static enum ldb_status begin_anew(struct arrival *a, struct ldb_error *err)
{
    struct ldb_env *env = a->fetch->env;
    enum ldb_status s = LDB_OK;

    if (a->file != NULL)
        s = ldb_file_close(a->file, err);
    a->file = NULL;
    ldb_digester_destroy(a->digester);
    a->digester = ldb_digester_create();
    a->len = 0;
    if (s == LDB_OK && a->digester == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = env->ops->open_writable(env, a->path, LDB_OPEN_TRUNCATE, err,
                                    &a->file);
    return s;
}

/* Goes on with what an earlier try has left, where that can be verified. */
static enum ldb_status begin(struct arrival *a, struct ldb_error *err)
{
    struct ldb_env *env = a->fetch->env;
    uint64_t size = 0;
    enum ldb_status s;

    if (a->wanted->is_prefix)
        return begin_anew(a, err);
    s = env->ops->file_size(env, a->path, err, &size);
    if (s == LDB_NOT_FOUND || (s == LDB_OK && size > a->wanted->size))
        return begin_anew(a, err);
    if (s != LDB_OK)
        return s;
    a->digester = ldb_digester_create();
    if (a->digester == NULL)
        return ldb_error_no_memory(err);
    a->len = size;
    s = read_again(a, err);
    if (s == LDB_OK)
        s = env->ops->open_writable(env, a->path, LDB_OPEN_APPEND, err,
                                    &a->file);
    if (s == LDB_OK)
        add_to(&a->fetch->counts->bytes_kept, size);
    return s;
}

/* ---- what comes ---- */

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    struct arrival *a = context;
    const struct repl_fetch_file *wanted = a->wanted;
    bool is_size_right = wanted->is_prefix ? head->size >= wanted->size
                                           : head->size == wanted->size;

    if (wanted->epoch != 0 &&
        (head->epoch != wanted->epoch || head->epoch_id != wanted->epoch_id))
        return ldb_error_set(err, LDB_PRECONDITION,
                             "epoch %" PRIu64 " leads there, not %" PRIu64,
                             head->epoch, wanted->epoch);
    if (!is_size_right)
        return ldb_error_set(
            err, LDB_CORRUPTION, "%" PRIu64 " bytes there, wanted %s%" PRIu64,
            head->size, wanted->is_prefix ? "the first " : "", wanted->size);
    if (wanted->is_prefix || wanted->has_digest)
        return LDB_OK;
    if (!head->is_sealed)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "it may grow there, and is wanted whole");
    /* It may be told now, or when it is asked for by itself. */
    if (head->has_digest) {
        a->digest = head->digest;
        a->has_digest = true;
    }
    return LDB_OK;
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct arrival *a = context;
    const struct repl_fetch_file *wanted = a->wanted;
    uint64_t left = wanted->size - a->len;
    enum ldb_status s;

    if (bytes.len > left && !wanted->is_prefix)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "more than its %" PRIu64 " bytes came",
                             wanted->size);
    if (bytes.len > left)
        bytes.len = (size_t)left;
    s = ldb_file_append(a->file, bytes, err);
    if (s != LDB_OK) {
        a->has_failed = true;
        return s;
    }
    ldb_digester_add(a->digester, bytes);
    a->len += bytes.len;
    add_to(&a->fetch->counts->bytes, bytes.len);
    if (!wanted->is_prefix || a->len < wanted->size)
        return LDB_OK;
    a->is_all = true;
    return ldb_error_set(err, LDB_CANCELLED, "all is there");
}

/* One get, from where the file ends. OK: all is there. */
static enum ldb_status get_rest(struct arrival *a, struct ldb_error *err)
{
    struct repl_transport *transport = a->fetch->transport;
    struct repl_get get = {
        .name = a->wanted->name,
        .from = a->len,
        .head = take_head,
        .bytes = take_bytes,
        .context = a,
    };
    enum ldb_status s = transport->ops->get(transport, &get, err);

    if (a->is_all)
        return LDB_OK;
    if (s == LDB_OK && a->len < a->wanted->size)
        s = ldb_error_set(err, LDB_IO,
                          "it ended at %" PRIu64 " of %" PRIu64 " bytes",
                          a->len, a->wanted->size);
    return s;
}

/* Gets until all is there, while each brings something. */
static enum ldb_status get_all(struct arrival *a, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (unsigned tries = 1; a->len < a->wanted->size; tries++) {
        uint64_t before = a->len;

        s = get_rest(a, err);
        if (s != LDB_IO || a->has_failed || a->len == before ||
            tries == TRIES_MAX)
            break;
        add_to(&a->fetch->counts->cuts, 1);
    }
    return s;
}

/* ---- whether it is what it should be ---- */

/* The digest it has to have, asked for when it was not told yet. */
static enum ldb_status learn_digest(struct arrival *a, struct ldb_error *err)
{
    struct repl_transport *transport = a->fetch->transport;
    struct repl_file_head head = {0};
    enum ldb_status s;

    if (a->wanted->is_prefix || a->has_digest)
        return LDB_OK;
    s = transport->ops->head(transport, a->wanted->name, err, &head);
    if (s == LDB_OK)
        s = take_head(a, &head, err);
    if (s == LDB_OK && !a->has_digest)
        s = ldb_error_set(err, LDB_STALLED, "its digest is not known there");
    return s;
}

static void print_digest(const struct ldb_digest *digest,
                         char out[2 * LDB_DIGEST_SIZE + 1])
{
    for (size_t i = 0; i < LDB_DIGEST_SIZE; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest->bytes[i]);
}

static enum ldb_status compare(struct arrival *a, struct ldb_error *err)
{
    struct ldb_digest found = ldb_digester_result(a->digester);
    char expected_text[2 * LDB_DIGEST_SIZE + 1];
    char found_text[2 * LDB_DIGEST_SIZE + 1];

    if (a->wanted->is_prefix || ldb_digest_equal(&found, &a->digest))
        return LDB_OK;
    print_digest(&a->digest, expected_text);
    print_digest(&found, found_text);
    add_to(&a->fetch->counts->mismatches, 1);
    return ldb_error_set(err, LDB_CORRUPTION, "digest %s, expected %s",
                         found_text, expected_text);
}

/* A wrong digest is no reason to give up at once: an earlier try can have left
 * bytes of another file, or of a disk that lost power. */
static enum ldb_status fetch_and_compare(struct arrival *a,
                                         struct ldb_error *err)
{
    enum ldb_status s = begin(a, err);

    for (unsigned mismatches = 1; s == LDB_OK; mismatches++) {
        s = get_all(a, err);
        if (s == LDB_OK)
            s = learn_digest(a, err);
        if (s != LDB_OK)
            return s;
        s = compare(a, err);
        if (s == LDB_OK || mismatches == MISMATCHES_MAX)
            return s;
        s = begin_anew(a, err);
    }
    return s;
}

static enum ldb_status sync_and_close(struct arrival *a, enum ldb_status s,
                                      struct ldb_error *err)
{
    enum ldb_status closed;

    if (a->file == NULL)
        return s;
    if (s == LDB_OK)
        s = ldb_file_sync(a->file, err);
    closed = ldb_file_close(a->file, s == LDB_OK ? err : NULL);
    a->file = NULL;
    return s == LDB_OK ? closed : s;
}

static bool is_fetched(const char *name)
{
    uint64_t number;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);

    return type == LDB_FILE_JOURNAL || type == LDB_FILE_TABLE ||
           type == LDB_FILE_TABLE_SST || type == LDB_FILE_MANIFEST;
}

enum ldb_status repl_file_fetch(const struct repl_file_fetch *fetch,
                                const struct repl_fetch_file *wanted,
                                struct ldb_error *err)
{
    struct ldb_env *env = fetch->env;
    struct arrival a = {
        .fetch = fetch,
        .wanted = wanted,
        .digest = wanted->digest,
        .has_digest = wanted->has_digest,
    };
    enum ldb_status s;

    assert(!wanted->is_prefix || !wanted->has_digest);
    /* It comes from another node, and becomes part of a path. */
    if (!is_fetched(wanted->name))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "no name of a journal, a table or a MANIFEST");
    a.path = repl_incoming_path(fetch->dir, wanted->name, false);
    if (a.path == NULL)
        return ldb_error_no_memory(err);
    s = fetch_and_compare(&a, err);
    s = sync_and_close(&a, s, err);
    if (s == LDB_OK && fetch->out_digest != NULL)
        *fetch->out_digest = ldb_digester_result(a.digester);
    /* Not to be gone on with: what is wrong, or what nobody has any more. Where
     * that fails it is found out once more, or swept. */
    if (s == LDB_CORRUPTION || s == LDB_NOT_FOUND)
        LDB_IGNORE(env->ops->remove_file(env, a.path, NULL));
    ldb_digester_destroy(a.digester);
    ldb_mem_free(a.path);
    return s;
}
