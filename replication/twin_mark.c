#include "replication/twin_mark.h"

#include <inttypes.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

/* ---- reading ---- */

static bool read_manifests(struct ldb_slice *lines, struct repl_twin_mark *out)
{
    struct repl_words words;

    if (!repl_words_next(lines, &words) ||
        (!repl_words_are(&words, "manifest", 2) &&
         !repl_words_are(&words, "manifest", 3)))
        return false;
    out->manifest_count = words.count - 1;
    for (size_t i = 0; i < out->manifest_count; i++) {
        if (!ldb_parse_u64(words.word[i + 1], &out->manifests[i]))
            return false;
    }
    return true;
}

static bool parse(struct ldb_slice lines, struct repl_twin_mark *out)
{
    struct repl_words words;

    if (!read_manifests(&lines, out))
        return false;
    if (lines.len == 0)
        return true;
    out->has_last = true;
    return repl_words_next(&lines, &words) &&
           repl_words_are(&words, "last", 2) &&
           ldb_parse_u64(words.word[1], &out->last) &&
           out->last <= LDB_SEQUENCE_MAX && lines.len == 0;
}

enum ldb_status repl_twin_mark_load(struct ldb_env *env, const char *dir,
                                    struct ldb_error *err,
                                    struct repl_twin_mark *out)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    struct repl_twin_mark mark = {0};
    enum ldb_status s = repl_sidecar_read(env, dir, REPL_TWIN_FILE,
                                          REPL_TWIN_VERSION, err, &text);

    if (s == LDB_OK && !parse(ldb_slice_of_buf(&text), &mark))
        s = ldb_error_set(err, LDB_CORRUPTION,
                          REPL_SIDECAR_FOLDER "/" REPL_TWIN_FILE
                                              ": not the mark of a twin");
    if (s == LDB_OK)
        *out = mark;
    ldb_buf_release(&text);
    return s;
}

bool repl_twin_mark_has(const struct repl_twin_mark *mark, uint64_t manifest)
{
    for (size_t i = 0; i < mark->manifest_count; i++) {
        if (mark->manifests[i] == manifest)
            return true;
    }
    return false;
}

/* ---- writing ---- */

static enum ldb_status print(const struct repl_twin_mark *mark,
                             struct ldb_buf *lines)
{
    enum ldb_status s =
        ldb_buf_printf(lines, "manifest %" PRIu64, mark->manifests[0]);

    if (s == LDB_OK && mark->manifest_count > 1)
        s = ldb_buf_printf(lines, " %" PRIu64, mark->manifests[1]);
    if (s == LDB_OK)
        s = ldb_buf_append_byte(lines, '\n');
    if (s == LDB_OK && mark->has_last)
        s = ldb_buf_printf(lines, "last %" PRIu64 "\n", mark->last);
    return s;
}

static enum ldb_status store(struct ldb_env *env, const char *dir,
                             const struct repl_twin_mark *mark,
                             struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s = print(mark, &lines);

    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = repl_sidecar_write(env, dir, REPL_TWIN_FILE, REPL_TWIN_VERSION,
                               ldb_slice_of_buf(&lines), err);
    ldb_buf_release(&lines);
    return s;
}

enum ldb_status repl_twin_mark_begin(struct ldb_env *env, const char *dir,
                                     uint64_t manifest, struct ldb_error *err)
{
    const struct repl_twin_mark mark = {.manifests = {manifest},
                                        .manifest_count = 1};
    struct repl_twin_mark before = {0};

    /* It is so each time that the leader is reached again. Damage of the old
     * one is over: what the folder is was compared. */
    if (repl_twin_mark_load(env, dir, NULL, &before) == LDB_OK &&
        before.manifest_count == 1 && before.manifests[0] == manifest &&
        !before.has_last)
        return LDB_OK;
    return store(env, dir, &mark, err);
}

enum ldb_status repl_twin_mark_go_on(struct ldb_env *env, const char *dir,
                                     uint64_t from, uint64_t to,
                                     struct ldb_error *err)
{
    const struct repl_twin_mark mark = {.manifests = {from, to},
                                        .manifest_count = 2};

    return store(env, dir, &mark, err);
}

enum ldb_status repl_twin_mark_stop(struct ldb_env *env, const char *dir,
                                    uint64_t manifest, ldb_sequence last,
                                    struct ldb_error *err)
{
    const struct repl_twin_mark mark = {.manifests = {manifest},
                                        .manifest_count = 1,
                                        .has_last = true,
                                        .last = last};
    struct repl_twin_mark before = {0};
    struct ldb_error why = {0};
    enum ldb_status s = repl_twin_mark_load(env, dir, &why, &before);

    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s == LDB_OK && !repl_twin_mark_has(&before, manifest))
        return LDB_OK;
    if (s == LDB_OK)
        return store(env, dir, &mark, err);
    if (err != NULL)
        *err = why;
    return s;
}

enum ldb_status repl_twin_mark_remove(struct ldb_env *env, const char *dir,
                                      struct ldb_error *err)
{
    return repl_sidecar_remove(env, dir, REPL_TWIN_FILE, err);
}
