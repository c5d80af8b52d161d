#include "replication/identity.h"

#include "replication/sidecar.h"
#include "storage/base/status.h"

/* Hex digits of an id. */
#define ID_LEN (REPL_ID_SIZE - 1)

static enum ldb_status make_id(struct ldb_env *env, struct ldb_error *err,
                               char out[REPL_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[ID_LEN / 2];
    enum ldb_status s;

    s = env->ops->random_bytes(env, bytes, sizeof bytes, err);
    if (s != LDB_OK)
        return s;
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[ID_LEN] = '\0';
    return LDB_OK;
}

enum ldb_status repl_identity_make(struct ldb_env *env, struct ldb_error *err,
                                   struct repl_identity *out)
{
    struct repl_identity made;
    enum ldb_status s;

    s = make_id(env, err, made.cluster_id);
    if (s == LDB_OK)
        s = make_id(env, err, made.node_id);
    if (s == LDB_OK)
        *out = made;
    return s;
}

/* The line "name ID". */
static bool read_id(struct ldb_slice *lines, const char *name,
                    char out[REPL_ID_SIZE])
{
    struct repl_words words;
    uint64_t half;

    if (!repl_words_next(lines, &words) || !repl_words_are(&words, name, 2) ||
        words.word[1].len != ID_LEN)
        return false;
    for (size_t i = 0; i < ID_LEN; i += 16) {
        if (!repl_parse_hex(ldb_slice_make(words.word[1].data + i, 16), 64,
                            &half))
            return false;
    }
    memcpy(out, words.word[1].data, ID_LEN);
    out[ID_LEN] = '\0';
    return true;
}

enum ldb_status repl_identity_load(struct ldb_env *env, const char *dir,
                                   struct ldb_error *err,
                                   struct repl_identity *out)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    struct repl_identity loaded;
    struct ldb_slice lines;
    enum ldb_status s;

    s = repl_sidecar_read(env, dir, REPL_IDENTITY_FILE, REPL_IDENTITY_VERSION,
                          err, &text);
    if (s == LDB_OK) {
        lines = ldb_slice_of_buf(&text);
        if (read_id(&lines, "cluster", loaded.cluster_id) &&
            read_id(&lines, "node", loaded.node_id) && lines.len == 0)
            *out = loaded;
        else
            s = ldb_error_set(err, LDB_CORRUPTION,
                              REPL_SIDECAR_FOLDER "/" REPL_IDENTITY_FILE
                                                  ": not two ids");
    }
    ldb_buf_release(&text);
    return s;
}

enum ldb_status repl_identity_store(struct ldb_env *env, const char *dir,
                                    const struct repl_identity *identity,
                                    struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s;

    s = ldb_buf_printf(&lines, "cluster %s\nnode %s\n", identity->cluster_id,
                       identity->node_id);
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = repl_sidecar_write(env, dir, REPL_IDENTITY_FILE,
                               REPL_IDENTITY_VERSION, ldb_slice_of_buf(&lines),
                               err);
    ldb_buf_release(&lines);
    return s;
}
