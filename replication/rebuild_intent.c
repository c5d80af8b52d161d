#include "replication/rebuild_intent.h"

#include <inttypes.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

/* Bytes of the lines; chosen: they have less than half of it. */
#define LINES_MAX 1024

/* Hex digits of an id. */
#define ID_LEN (REPL_ID_SIZE - 1)

/* The line "name VALUE". */
static bool read_word(struct ldb_slice *lines, const char *name,
                      struct ldb_slice *out)
{
    struct repl_words words;

    if (!repl_words_next(lines, &words) || !repl_words_are(&words, name, 2))
        return false;
    *out = words.word[1];
    return true;
}

static bool read_number(struct ldb_slice *lines, const char *name,
                        uint64_t *out)
{
    struct ldb_slice word;

    return read_word(lines, name, &word) && ldb_parse_u64(word, out);
}

static bool read_phase(struct ldb_slice *lines, enum repl_rebuild_phase *out)
{
    struct ldb_slice word;

    if (!read_word(lines, "phase", &word))
        return false;
    *out = REPL_REBUILD_FETCHING;
    if (ldb_slice_equal(word, ldb_slice_str("switching")))
        *out = REPL_REBUILD_SWITCHING;
    else if (!ldb_slice_equal(word, ldb_slice_str("fetching")))
        return false;
    return true;
}

static bool read_cluster(struct ldb_slice *lines, char out[REPL_ID_SIZE])
{
    struct ldb_slice word;
    uint64_t half;

    if (!read_word(lines, "cluster", &word) || word.len != ID_LEN)
        return false;
    for (size_t i = 0; i < ID_LEN; i += 16) {
        if (!repl_parse_hex(ldb_slice_make(word.data + i, 16), 64, &half))
            return false;
    }
    memcpy(out, word.data, ID_LEN);
    out[ID_LEN] = '\0';
    return true;
}

/* "manifest NUMBER LEN DIGEST DIGEST", the digest in halves. */
static bool read_manifest(struct ldb_slice *lines,
                          struct repl_rebuild_intent *out)
{
    struct repl_words words;

    if (!repl_words_next(lines, &words) ||
        !repl_words_are(&words, "manifest", 5) ||
        !ldb_parse_u64(words.word[1], &out->manifest_number) ||
        !ldb_parse_u64(words.word[2], &out->manifest_len))
        return false;
    for (size_t half = 0; half < 2; half++) {
        uint64_t value;

        if (!repl_parse_hex(words.word[3 + half], 64, &value))
            return false;
        for (size_t i = 0; i < 8; i++)
            out->manifest_digest.bytes[8 * half + i] =
                (uint8_t)(value >> (56 - 8 * i));
    }
    return true;
}

static uint64_t digest_half(const struct ldb_digest *digest, size_t half)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        value = value << 8 | digest->bytes[8 * half + i];
    return value;
}

static bool parse(struct ldb_slice lines, struct repl_rebuild_intent *out)
{
    uint64_t is_unknown = 0;

    if (!read_phase(&lines, &out->phase) ||
        !read_cluster(&lines, out->cluster_id) ||
        !repl_epoch_read(&lines, &out->epoch) ||
        !repl_epoch_follows(NULL, &out->epoch) ||
        !read_number(&lines, "unknown", &is_unknown) || is_unknown > 1 ||
        !read_number(&lines, "fork", &out->fork) ||
        out->fork > LDB_SEQUENCE_MAX ||
        !read_number(&lines, "rewind", &out->rewind) ||
        !read_manifest(&lines, out))
        return false;
    out->is_unknown = is_unknown == 1;
    return lines.len == 0;
}

enum ldb_status repl_rebuild_intent_load(struct ldb_env *env, const char *dir,
                                         struct ldb_error *err,
                                         struct repl_rebuild_intent *out)
{
    struct ldb_buf lines = LDB_BUF_INIT(LINES_MAX);
    struct repl_rebuild_intent loaded = {0};
    enum ldb_status s;

    s = repl_sidecar_read(env, dir, REPL_REBUILD_FILE, REPL_REBUILD_VERSION,
                          err, &lines);
    if (s == LDB_OK && !parse(ldb_slice_of_buf(&lines), &loaded))
        s = ldb_error_set(err, LDB_CORRUPTION,
                          REPL_SIDECAR_FOLDER "/" REPL_REBUILD_FILE
                                              ": not a rebuild's mark");
    if (s == LDB_OK)
        *out = loaded;
    ldb_buf_release(&lines);
    return s;
}

enum ldb_status
repl_rebuild_intent_store(struct ldb_env *env, const char *dir,
                          const struct repl_rebuild_intent *intent,
                          struct ldb_error *err)
{
    const struct repl_epoch *epoch = &intent->epoch;
    struct ldb_buf lines = LDB_BUF_INIT(LINES_MAX);
    enum ldb_status s;

    s = ldb_buf_printf(
        &lines,
        "phase %s\ncluster %s\nepoch %" PRIu64 " %016" PRIx64 " %" PRIu64
        " %" PRIu64 " %" PRIu64 "\nunknown %d\nfork %" PRIu64
        "\nrewind %" PRIu64 "\nmanifest %" PRIu64 " %" PRIu64 " %016" PRIx64
        " %016" PRIx64 "\n",
        intent->phase == REPL_REBUILD_SWITCHING ? "switching" : "fetching",
        intent->cluster_id, epoch->number, epoch->id, epoch->previous_last,
        epoch->base, epoch->first_journal, intent->is_unknown ? 1 : 0,
        intent->fork, intent->rewind, intent->manifest_number,
        intent->manifest_len, digest_half(&intent->manifest_digest, 0),
        digest_half(&intent->manifest_digest, 1));
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = repl_sidecar_write(env, dir, REPL_REBUILD_FILE,
                               REPL_REBUILD_VERSION, ldb_slice_of_buf(&lines),
                               err);
    ldb_buf_release(&lines);
    return s;
}

enum ldb_status repl_rebuild_intent_remove(struct ldb_env *env, const char *dir,
                                           struct ldb_error *err)
{
    return repl_sidecar_remove(env, dir, REPL_REBUILD_FILE, err);
}

bool repl_rebuild_intent_forbids(const struct repl_rebuild_intent *intent,
                                 const struct repl_epoch *epoch)
{
    return intent->epoch.number > epoch->number ||
           (intent->epoch.number == epoch->number &&
            intent->epoch.id != epoch->id);
}

enum ldb_status
repl_rebuild_intent_tell(const struct repl_rebuild_intent *intent,
                         struct ldb_error *err, struct repl_identity *identity,
                         struct repl_epoch_history *history)
{
    const struct repl_epoch *last = repl_epoch_history_last(history);
    struct repl_epoch epoch = intent->epoch;

    if (last != NULL && epoch.number <= last->number)
        return LDB_OK;
    if (last != NULL && epoch.base <= last->base)
        epoch.base = last->base + 1;
    if (identity->cluster_id[0] == '\0')
        memcpy(identity->cluster_id, intent->cluster_id, REPL_ID_SIZE);
    return repl_epoch_history_append(history, &epoch, err);
}
