#include "replication/slot_store.h"

#include <inttypes.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

/* Hex digits of an id. */
#define ID_LEN (REPL_ID_SIZE - 1)

#define NO_URL "-"

/* ---- reading ---- */

static bool parse_id(struct ldb_slice word, char out[REPL_ID_SIZE])
{
    uint64_t half;

    if (word.len != ID_LEN)
        return false;
    for (size_t i = 0; i < ID_LEN; i += 16) {
        if (!repl_parse_hex(ldb_slice_make(word.data + i, 16), 64, &half))
            return false;
    }
    memcpy(out, word.data, ID_LEN);
    out[ID_LEN] = '\0';
    return true;
}

static bool parse_url(struct ldb_slice word, char out[REPL_URL_SIZE])
{
    if (word.len >= REPL_URL_SIZE)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] <= 0x20 || word.data[i] > 0x7e)
            return false;
    }
    if (ldb_slice_equal(word, ldb_slice_str(NO_URL)))
        word.len = 0;
    memcpy(out, word.data, word.len);
    out[word.len] = '\0';
    return true;
}

static bool parse_line(struct ldb_slice *lines, struct repl_slot_record *out)
{
    struct repl_words words;

    return repl_words_next(lines, &words) &&
           repl_words_are(&words, "slot", 6) &&
           parse_id(words.word[1], out->node_id) &&
           ldb_parse_u64(words.word[2], &out->place.journal) &&
           ldb_parse_u64(words.word[3], &out->place.offset) &&
           ldb_parse_u64(words.word[4], &out->place.sequence) &&
           out->place.sequence <= LDB_SEQUENCE_MAX &&
           parse_url(words.word[5], out->url);
}

/* False: they are not ours. */
static bool parse_lines(struct ldb_slice lines, struct repl_slot_record *out,
                        size_t *count)
{
    while (lines.len > 0) {
        if (*count == REPL_SLOTS_MAX || !parse_line(&lines, &out[*count]) ||
            (*count > 0 &&
             strcmp(out[*count - 1].node_id, out[*count].node_id) >= 0))
            return false;
        (*count)++;
    }
    return true;
}

enum ldb_status repl_slot_store_load(struct ldb_env *env, const char *dir,
                                     struct ldb_error *err,
                                     struct repl_slot_record *out,
                                     size_t *out_count)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    size_t count = 0;
    enum ldb_status s = repl_sidecar_read(env, dir, REPL_SLOTS_FILE,
                                          REPL_SLOTS_VERSION, err, &text);

    if (s == LDB_OK && !parse_lines(ldb_slice_of_buf(&text), out, &count))
        count = 0;
    if (s == LDB_NOT_FOUND || s == LDB_CORRUPTION)
        s = LDB_OK;
    if (s == LDB_OK)
        *out_count = count;
    ldb_buf_release(&text);
    return s;
}

/* ---- writing ---- */

enum ldb_status repl_slot_store_print(const struct repl_slot_record *record,
                                      struct ldb_buf *lines)
{
    /* A URL with a blank is none, and would be two words. */
    bool has_url = record->url[0] != '\0' && strchr(record->url, ' ') == NULL;

    return ldb_buf_printf(
        lines, "slot %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n",
        record->node_id, record->place.journal, record->place.offset,
        record->place.sequence, has_url ? record->url : NO_URL);
}

enum ldb_status repl_slot_store_save(struct ldb_env *env, const char *dir,
                                     struct ldb_slice lines,
                                     struct ldb_error *err)
{
    return repl_sidecar_write(env, dir, REPL_SLOTS_FILE, REPL_SLOTS_VERSION,
                              lines, err);
}
