#include "replication/role_file.h"

#include <inttypes.h>
#include <string.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

/* The word of a URL that is not there. */
#define NO_URL "-"

bool repl_role_url_is_storable(const char *url)
{
    size_t len = strlen(url);

    if (len >= REPL_URL_SIZE || strcmp(url, NO_URL) == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (url[i] <= ' ' || url[i] == 0x7f)
            return false;
    }
    return true;
}

void repl_role_url_copy(const char *url, char out[REPL_URL_SIZE])
{
    size_t len = strnlen(url, REPL_URL_SIZE - 1);

    if (len > 0 && url[len - 1] == '/')
        len--;
    memcpy(out, url, len);
    out[len] = '\0';
}

/* ---- reading ---- */

static bool read_role(struct ldb_slice word, enum repl_role *out)
{
    if (ldb_slice_equal(word, ldb_slice_str("leader")))
        *out = REPL_ROLE_LEADER;
    else if (ldb_slice_equal(word, ldb_slice_str("follower")))
        *out = REPL_ROLE_FOLLOWER;
    else
        return false;
    return true;
}

/* "NAME ROLE URL" */
static bool read_assignment(struct ldb_slice *lines, const char *name,
                            struct repl_assignment *out)
{
    struct repl_words words;

    if (!repl_words_next(lines, &words) || !repl_words_are(&words, name, 3) ||
        !read_role(words.word[1], &out->role) ||
        words.word[2].len >= sizeof out->leader_url)
        return false;
    if (ldb_slice_equal(words.word[2], ldb_slice_str(NO_URL)))
        words.word[2].len = 0;
    if (words.word[2].len > 0)
        memcpy(out->leader_url, words.word[2].data, words.word[2].len);
    out->leader_url[words.word[2].len] = '\0';
    return true;
}

static bool parse(struct ldb_slice lines, struct repl_role_file *out)
{
    struct repl_words words;

    if (!read_assignment(&lines, "now", &out->now) ||
        !read_assignment(&lines, "configured", &out->configured))
        return false;
    if (lines.len == 0)
        return true;
    out->is_promotion_open = true;
    return repl_words_next(&lines, &words) &&
           repl_words_are(&words, "promotion", 4) &&
           ldb_parse_u64(words.word[1], &out->epoch_floor.number) &&
           ldb_parse_u64(words.word[2], &out->epoch_floor.base) &&
           ldb_parse_u64(words.word[3], &out->file_floor) &&
           out->epoch_floor.base <= LDB_SEQUENCE_MAX &&
           out->file_floor <= LDB_FILE_NUMBER_MAX &&
           out->now.role == REPL_ROLE_LEADER && lines.len == 0;
}

enum ldb_status repl_role_file_load(struct ldb_env *env, const char *dir,
                                    struct ldb_error *err,
                                    struct repl_role_file *out)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    struct repl_role_file loaded = {0};
    enum ldb_status s;

    s = repl_sidecar_read(env, dir, REPL_ROLE_FILE, REPL_ROLE_VERSION, err,
                          &text);
    if (s == LDB_OK && !parse(ldb_slice_of_buf(&text), &loaded))
        s = ldb_error_set(err, LDB_CORRUPTION,
                          REPL_SIDECAR_FOLDER "/" REPL_ROLE_FILE
                                              ": not a role");
    if (s == LDB_OK)
        *out = loaded;
    ldb_buf_release(&text);
    return s;
}

/* ---- writing ---- */

static enum ldb_status print_assignment(struct ldb_buf *lines, const char *name,
                                        const struct repl_assignment *a)
{
    return ldb_buf_printf(lines, "%s %s %s\n", name,
                          a->role == REPL_ROLE_LEADER ? "leader" : "follower",
                          a->leader_url[0] == '\0' ? NO_URL : a->leader_url);
}

enum ldb_status repl_role_file_store(struct ldb_env *env, const char *dir,
                                     const struct repl_role_file *file,
                                     struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s;

    assert(!file->is_promotion_open || file->now.role == REPL_ROLE_LEADER);
    if (!repl_role_url_is_storable(file->now.leader_url) ||
        !repl_role_url_is_storable(file->configured.leader_url))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "a leader's URL has no blanks and fewer than %d "
                             "bytes",
                             REPL_URL_SIZE);
    s = print_assignment(&lines, "now", &file->now);
    if (s == LDB_OK)
        s = print_assignment(&lines, "configured", &file->configured);
    if (s == LDB_OK && file->is_promotion_open)
        s = ldb_buf_printf(
            &lines, "promotion %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            file->epoch_floor.number, file->epoch_floor.base, file->file_floor);
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = repl_sidecar_write(env, dir, REPL_ROLE_FILE, REPL_ROLE_VERSION,
                               ldb_slice_of_buf(&lines), err);
    ldb_buf_release(&lines);
    return s;
}

enum ldb_status repl_role_file_remove(struct ldb_env *env, const char *dir,
                                      struct ldb_error *err)
{
    return repl_sidecar_remove(env, dir, REPL_ROLE_FILE, err);
}

/* ---- deciding ---- */

static bool is_same(const struct repl_assignment *a,
                    const struct repl_assignment *b)
{
    return a->role == b->role && strcmp(a->leader_url, b->leader_url) == 0;
}

enum ldb_status repl_role_decide(struct ldb_env *env, const char *dir,
                                 const struct repl_assignment *configured,
                                 struct ldb_error *err,
                                 struct repl_role_file *out, bool *out_kept)
{
    struct repl_role_file found = {.now = *configured,
                                   .configured = *configured};
    enum ldb_status s = repl_role_file_load(env, dir, err, &found);
    bool has_file = s == LDB_OK;
    bool is_kept = has_file && (found.is_promotion_open ||
                                is_same(&found.configured, configured));

    if (s != LDB_OK && s != LDB_NOT_FOUND)
        return s;
    if (has_file && !is_kept) {
        s = repl_role_file_remove(env, dir, err);
        if (s != LDB_OK)
            return s;
        found = (struct repl_role_file){.now = *configured};
    }
    found.configured = *configured;
    *out = found;
    *out_kept = is_kept;
    return LDB_OK;
}
