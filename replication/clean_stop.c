#include "replication/clean_stop.h"

#include <inttypes.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/current_file.h"
#include "storage/version/file_names.h"

/* ---- the folder ---- */

static enum ldb_status see_name(void *context, const char *name)
{
    uint64_t *newest = context;
    uint64_t number;

    if (ldb_file_name_parse(name, &number) == LDB_FILE_JOURNAL &&
        number > *newest)
        *newest = number;
    return LDB_OK;
}

static enum ldb_status file_len(struct ldb_env *env, const char *dir,
                                enum ldb_file_type type, uint64_t number,
                                struct ldb_error *err, uint64_t *out)
{
    char *path = ldb_file_path(dir, type, number);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->file_size(env, path, err, out);
    ldb_mem_free(path);
    return s;
}

enum ldb_status repl_clean_stop_scan(struct ldb_env *env, const char *dir,
                                     struct ldb_error *err,
                                     struct repl_clean_stop *out)
{
    struct repl_clean_stop found = *out;
    bool is_settled = false;
    enum ldb_status s;

    found.journal_number = 0;
    found.journal_len = 0;
    s = ldb_current_read(env, dir, err, &found.manifest_number, &is_settled);
    if (s != LDB_OK)
        return s;
    if (!is_settled)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: CURRENT is not settled after a close", dir);
    s = file_len(env, dir, LDB_FILE_MANIFEST, found.manifest_number, err,
                 &found.manifest_len);
    if (s == LDB_OK)
        s = env->ops->list_dir(env, dir, see_name, &found.journal_number, err);
    if (s == LDB_OK && found.journal_number != 0)
        s = file_len(env, dir, LDB_FILE_JOURNAL, found.journal_number, err,
                     &found.journal_len);
    if (s == LDB_OK)
        *out = found;
    return s;
}

/* ---- the mark ---- */

/* The line "name FIRST SECOND". */
static bool read_pair(struct ldb_slice *lines, const char *name,
                      uint64_t *first, uint64_t *second)
{
    struct repl_words words;

    return repl_words_next(lines, &words) && repl_words_are(&words, name, 3) &&
           ldb_parse_u64(words.word[1], first) &&
           ldb_parse_u64(words.word[2], second);
}

static bool parse(struct ldb_slice lines, struct repl_clean_stop *out)
{
    struct repl_words words;

    return repl_words_next(&lines, &words) &&
           repl_words_are(&words, "epoch", 3) &&
           ldb_parse_u64(words.word[1], &out->epoch_number) &&
           repl_parse_hex(words.word[2], 64, &out->epoch_id) &&
           read_pair(&lines, "manifest", &out->manifest_number,
                     &out->manifest_len) &&
           read_pair(&lines, "journal", &out->journal_number,
                     &out->journal_len) &&
           repl_words_next(&lines, &words) &&
           repl_words_are(&words, "sequence", 2) &&
           ldb_parse_u64(words.word[1], &out->last_sequence) && lines.len == 0;
}

enum ldb_status repl_clean_stop_load(struct ldb_env *env, const char *dir,
                                     struct ldb_error *err,
                                     struct repl_clean_stop *out)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    struct repl_clean_stop loaded = {0};
    enum ldb_status s;

    s = repl_sidecar_read(env, dir, REPL_CLEAN_STOP_FILE,
                          REPL_CLEAN_STOP_VERSION, err, &text);
    if (s == LDB_OK && !parse(ldb_slice_of_buf(&text), &loaded))
        s = ldb_error_set(err, LDB_CORRUPTION,
                          REPL_SIDECAR_FOLDER "/" REPL_CLEAN_STOP_FILE
                                              ": not a clean stop's mark");
    if (s == LDB_OK)
        *out = loaded;
    ldb_buf_release(&text);
    return s;
}

enum ldb_status repl_clean_stop_store(struct ldb_env *env, const char *dir,
                                      const struct repl_clean_stop *mark,
                                      struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s;

    s = ldb_buf_printf(&lines,
                       "epoch %" PRIu64 " %016" PRIx64 "\n"
                       "manifest %" PRIu64 " %" PRIu64 "\n"
                       "journal %" PRIu64 " %" PRIu64 "\n"
                       "sequence %" PRIu64 "\n",
                       mark->epoch_number, mark->epoch_id,
                       mark->manifest_number, mark->manifest_len,
                       mark->journal_number, mark->journal_len,
                       mark->last_sequence);
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = repl_sidecar_write(env, dir, REPL_CLEAN_STOP_FILE,
                               REPL_CLEAN_STOP_VERSION,
                               ldb_slice_of_buf(&lines), err);
    ldb_buf_release(&lines);
    return s;
}

enum ldb_status repl_clean_stop_remove(struct ldb_env *env, const char *dir,
                                       struct ldb_error *err)
{
    return repl_sidecar_remove(env, dir, REPL_CLEAN_STOP_FILE, err);
}
