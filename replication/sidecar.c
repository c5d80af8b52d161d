#include "replication/sidecar.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/base/checked.h"
#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* "crc32c 01234567\n" */
#define TRAILER_LEN 16

/* A first line, and more. */
#define HEAD_LEN 64

static char *folder_path(const char *dir)
{
    return ldb_mem_printf("%s/" REPL_SIDECAR_FOLDER, dir);
}

static char *file_path(const char *dir, const char *name, const char *suffix)
{
    return ldb_mem_printf("%s/" REPL_SIDECAR_FOLDER "/%s%s", dir, name, suffix);
}

enum ldb_status repl_sidecar_make_folder(struct ldb_env *env, const char *dir,
                                         struct ldb_error *err)
{
    char *path = folder_path(dir);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->create_dir(env, path, err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, dir, err);
    ldb_mem_free(path);
    return s;
}

/* ---- words ---- */

/* The bytes up to stop, which is taken off too; false: there is none. */
static bool take_until(struct ldb_slice *bytes, uint8_t stop,
                       struct ldb_slice *out)
{
    const uint8_t *at =
        bytes->len == 0 ? NULL : memchr(bytes->data, stop, bytes->len);

    if (at == NULL)
        return false;
    out->data = bytes->data;
    out->len = (size_t)(at - bytes->data);
    bytes->data += out->len + 1;
    bytes->len -= out->len + 1;
    return true;
}

bool repl_words_next(struct ldb_slice *lines, struct repl_words *out)
{
    struct ldb_slice rest = *lines;
    struct ldb_slice line;

    out->count = 0;
    if (!take_until(&rest, '\n', &line))
        return false;
    while (out->count < REPL_WORDS_MAX) {
        struct ldb_slice *word = &out->word[out->count];
        bool is_last = !take_until(&line, ' ', word);

        if (is_last)
            *word = line;
        if (word->len == 0)
            return false;
        out->count++;
        if (is_last) {
            *lines = rest;
            return true;
        }
    }
    return false;
}

bool repl_words_are(const struct repl_words *words, const char *first,
                    size_t count)
{
    return words->count == count &&
           ldb_slice_equal(words->word[0], ldb_slice_str(first));
}

bool repl_parse_hex(struct ldb_slice word, unsigned bits, uint64_t *out)
{
    uint64_t value = 0;

    assert(bits % 4 == 0 && bits <= 64);
    if (word.len != bits / 4)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.data[i];

        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = value;
    return true;
}

/* ---- files ---- */

static enum ldb_status damaged(struct ldb_error *err, const char *name,
                               const char *what)
{
    return ldb_error_set(err, LDB_CORRUPTION, REPL_SIDECAR_FOLDER "/%s: %s",
                         name, what);
}

/* Takes the first line off text. */
static enum ldb_status check_first_line(struct ldb_slice *text,
                                        const char *name, uint64_t version,
                                        struct ldb_error *err)
{
    struct repl_words words;
    char first[64];
    uint64_t found;

    snprintf(first, sizeof first, "leveld-%s", name);
    if (!repl_words_next(text, &words) || !repl_words_are(&words, first, 2) ||
        !ldb_parse_u64(words.word[1], &found) || found == 0)
        return damaged(err, name, "the first line is not a name and version");
    if (found > version)
        return ldb_error_set(err, LDB_NOT_SUPPORTED,
                             REPL_SIDECAR_FOLDER
                             "/%s has version %" PRIu64
                             ", this build knows up to %" PRIu64,
                             name, found, version);
    return LDB_OK;
}

/* Checks the last line and takes it off both. */
static enum ldb_status check_last_line(struct ldb_slice whole,
                                       struct ldb_slice *lines,
                                       const char *name, struct ldb_error *err)
{
    struct repl_words words;
    struct ldb_slice trailer;
    uint64_t stored;
    uint32_t actual;

    if (lines->len < TRAILER_LEN)
        return damaged(err, name, "it is cut short");
    lines->len -= TRAILER_LEN;
    trailer = ldb_slice_make(lines->data + lines->len, TRAILER_LEN);
    if (!repl_words_next(&trailer, &words) ||
        !repl_words_are(&words, "crc32c", 2) ||
        !repl_parse_hex(words.word[1], 32, &stored))
        return damaged(err, name, "the last line is not a checksum");
    whole.len -= TRAILER_LEN;
    actual = ldb_crc32c(whole);
    if (actual != stored)
        return ldb_error_set(err, LDB_CORRUPTION,
                             REPL_SIDECAR_FOLDER "/%s: checksum %08" PRIx32
                                                 ", stored %08" PRIx64,
                             name, actual, stored);
    return LDB_OK;
}

enum ldb_status repl_sidecar_read(struct ldb_env *env, const char *dir,
                                  const char *name, uint64_t version,
                                  struct ldb_error *err, struct ldb_buf *out)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    char *path = file_path(dir, name, "");
    struct ldb_slice whole;
    struct ldb_slice lines;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_env_read_file(env, path, err, &text);
    if (s != LDB_OK)
        goto out;
    whole = ldb_slice_of_buf(&text);
    lines = whole;
    s = check_first_line(&lines, name, version, err);
    if (s == LDB_OK)
        s = check_last_line(whole, &lines, name, err);
    if (s == LDB_OK && ldb_buf_assign(out, lines) != LDB_OK)
        s = ldb_error_no_memory(err);
out:
    ldb_buf_release(&text);
    ldb_mem_free(path);
    return s;
}

/* The first bytes of a file, which may be none. */
static enum ldb_status read_head(struct ldb_env *env, const char *path,
                                 uint8_t head[HEAD_LEN], struct ldb_error *err,
                                 size_t *out_len)
{
    struct ldb_sequential_file *file = NULL;
    enum ldb_status s = env->ops->open_sequential(env, path, err, &file);
    size_t len = 0;
    size_t more = 1;

    while (s == LDB_OK && more > 0 && len < HEAD_LEN) {
        s = ldb_sequential_read(file, HEAD_LEN - len, head + len, &more, err);
        if (s == LDB_OK)
            len += more;
    }
    if (file != NULL)
        ldb_sequential_close(file);
    if (s == LDB_OK)
        *out_len = len;
    return s;
}

enum ldb_status repl_sidecar_check_version(struct ldb_env *env, const char *dir,
                                           const char *name, uint64_t version,
                                           struct ldb_error *err)
{
    char *path = file_path(dir, name, "");
    struct ldb_error why = {0};
    uint8_t head[HEAD_LEN];
    struct ldb_slice text;
    size_t len = 0;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = read_head(env, path, head, &why, &len);
    ldb_mem_free(path);
    text = ldb_slice_make(head, len);
    if (s == LDB_OK)
        s = check_first_line(&text, name, version, &why);
    if (s == LDB_NOT_FOUND || s == LDB_CORRUPTION)
        return LDB_OK;
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status print_file(struct ldb_buf *text, const char *name,
                                  uint64_t version, struct ldb_slice lines,
                                  struct ldb_error *err)
{
    enum ldb_status s;

    s = ldb_buf_printf(text, "leveld-%s %" PRIu64 "\n", name, version);
    if (s == LDB_OK)
        s = ldb_buf_append(text, lines);
    if (s == LDB_OK)
        s = ldb_buf_printf(text, "crc32c %08" PRIx32 "\n",
                           ldb_crc32c(ldb_slice_of_buf(text)));
    if (s != LDB_OK)
        return ldb_error_set(err, s, REPL_SIDECAR_FOLDER "/%s: %s", name,
                             ldb_status_text(s));
    return LDB_OK;
}

enum ldb_status repl_sidecar_write(struct ldb_env *env, const char *dir,
                                   const char *name, uint64_t version,
                                   struct ldb_slice lines,
                                   struct ldb_error *err)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    char *temporary = file_path(dir, name, ".new");
    char *path = file_path(dir, name, "");
    char *folder = folder_path(dir);
    enum ldb_status s;

    if (temporary == NULL || path == NULL || folder == NULL)
        s = ldb_error_no_memory(err);
    else
        s = print_file(&text, name, version, lines, err);
    if (s == LDB_OK)
        s = ldb_env_replace_file(env, folder, path, temporary,
                                 ldb_slice_of_buf(&text), err);
    ldb_buf_release(&text);
    ldb_mem_free(temporary);
    ldb_mem_free(path);
    ldb_mem_free(folder);
    return s;
}

enum ldb_status repl_sidecar_remove(struct ldb_env *env, const char *dir,
                                    const char *name, struct ldb_error *err)
{
    char *path = file_path(dir, name, "");
    char *folder = folder_path(dir);
    enum ldb_status s;

    if (path == NULL || folder == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    s = env->ops->remove_file(env, path, err);
    if (s == LDB_NOT_FOUND)
        s = LDB_OK;
    else if (s == LDB_OK)
        s = env->ops->sync_dir(env, folder, err);
out:
    ldb_mem_free(path);
    ldb_mem_free(folder);
    return s;
}
