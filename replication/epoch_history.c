#include "replication/epoch_history.h"

#include <inttypes.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

void repl_epoch_history_release(struct repl_epoch_history *history)
{
    ldb_mem_free(history->items);
    *history = (struct repl_epoch_history){0};
}

const struct repl_epoch *
repl_epoch_history_last(const struct repl_epoch_history *history)
{
    return history->count == 0 ? NULL : &history->items[history->count - 1];
}

bool repl_epoch_follows(const struct repl_epoch *before,
                        const struct repl_epoch *epoch)
{
    if (epoch->number == 0 || epoch->base > LDB_SEQUENCE_MAX ||
        epoch->previous_last > epoch->base)
        return false;
    return before == NULL ||
           (epoch->number > before->number && epoch->base > before->base);
}

ldb_sequence
repl_epoch_history_last_entry(const struct repl_epoch_history *history,
                              ldb_sequence sequence)
{
    for (size_t i = history->count; i > 0; i--) {
        if (history->items[i - 1].base == sequence)
            sequence = history->items[i - 1].previous_last;
    }
    return sequence;
}

enum ldb_status
repl_epoch_history_next(const struct repl_epoch_history *history,
                        struct ldb_env *env, ldb_sequence last, bool is_fresh,
                        uint64_t first_journal, struct ldb_error *err,
                        struct repl_epoch *out)
{
    const struct repl_epoch *before = repl_epoch_history_last(history);
    struct repl_epoch made = {.number = before == NULL ? 1 : before->number + 1,
                              .previous_last = last,
                              .base = last,
                              .first_journal = first_journal};
    uint8_t bytes[sizeof made.id];
    enum ldb_status s;

    if (before != NULL && before->base > made.base)
        made.base = before->base;
    if (before != NULL || !is_fresh) {
        if (made.base > LDB_SEQUENCE_MAX - REPL_EPOCH_SKIP)
            return ldb_error_set(err, LDB_NOT_SUPPORTED,
                                 "no sequence numbers are left above %" PRIu64,
                                 made.base);
        made.base += REPL_EPOCH_SKIP;
    }
    s = env->ops->random_bytes(env, bytes, sizeof bytes, err);
    if (s != LDB_OK)
        return s;
    memcpy(&made.id, bytes, sizeof bytes);
    *out = made;
    return LDB_OK;
}

enum ldb_status repl_epoch_history_append(struct repl_epoch_history *history,
                                          const struct repl_epoch *epoch,
                                          struct ldb_error *err)
{
    assert(history->count == 0 ||
           epoch->number > repl_epoch_history_last(history)->number);
    if (history->count == history->capacity) {
        size_t capacity = history->capacity * 2 + 16;
        struct repl_epoch *grown =
            ldb_mem_realloc(history->items, capacity, sizeof *grown);

        if (grown == NULL)
            return ldb_error_no_memory(err);
        history->items = grown;
        history->capacity = capacity;
    }
    history->items[history->count++] = *epoch;
    return LDB_OK;
}

enum ldb_status repl_epoch_history_copy(const struct repl_epoch_history *from,
                                        struct ldb_error *err,
                                        struct repl_epoch_history *out)
{
    struct repl_epoch_history copy = {0};
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < from->count; i++)
        s = repl_epoch_history_append(&copy, &from->items[i], err);
    if (s == LDB_OK)
        *out = copy;
    else
        repl_epoch_history_release(&copy);
    return s;
}

bool repl_epoch_read(struct ldb_slice *lines, struct repl_epoch *out)
{
    struct repl_words words;

    return repl_words_next(lines, &words) &&
           repl_words_are(&words, "epoch", 6) &&
           ldb_parse_u64(words.word[1], &out->number) &&
           repl_parse_hex(words.word[2], 64, &out->id) &&
           ldb_parse_u64(words.word[3], &out->previous_last) &&
           ldb_parse_u64(words.word[4], &out->base) &&
           ldb_parse_u64(words.word[5], &out->first_journal);
}

static enum ldb_status parse(struct ldb_slice lines, struct ldb_error *err,
                             struct repl_epoch_history *history)
{
    while (lines.len > 0) {
        struct repl_epoch epoch;
        enum ldb_status s;

        if (!repl_epoch_read(&lines, &epoch) ||
            !repl_epoch_follows(repl_epoch_history_last(history), &epoch))
            return ldb_error_set(err, LDB_CORRUPTION,
                                 REPL_SIDECAR_FOLDER
                                 "/" REPL_EPOCHS_FILE
                                 ": line %zu is not the next epoch",
                                 history->count + 2);
        s = repl_epoch_history_append(history, &epoch, err);
        if (s != LDB_OK)
            return s;
    }
    if (history->count == 0)
        return ldb_error_set(err, LDB_CORRUPTION,
                             REPL_SIDECAR_FOLDER "/" REPL_EPOCHS_FILE
                                                 ": no epoch in it");
    return LDB_OK;
}

enum ldb_status repl_epoch_history_load(struct ldb_env *env, const char *dir,
                                        struct ldb_error *err,
                                        struct repl_epoch_history *out)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    struct repl_epoch_history loaded = {0};
    enum ldb_status s;

    s = repl_sidecar_read(env, dir, REPL_EPOCHS_FILE, REPL_EPOCHS_VERSION, err,
                          &text);
    if (s == LDB_OK)
        s = parse(ldb_slice_of_buf(&text), err, &loaded);
    if (s == LDB_OK)
        *out = loaded;
    else
        repl_epoch_history_release(&loaded);
    ldb_buf_release(&text);
    return s;
}

enum ldb_status
repl_epoch_history_store(struct ldb_env *env, const char *dir,
                         const struct repl_epoch_history *history,
                         struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; i < history->count && s == LDB_OK; i++) {
        const struct repl_epoch *epoch = &history->items[i];

        s = ldb_buf_printf(&lines,
                           "epoch %" PRIu64 " %016" PRIx64 " %" PRIu64
                           " %" PRIu64 " %" PRIu64 "\n",
                           epoch->number, epoch->id, epoch->previous_last,
                           epoch->base, epoch->first_journal);
    }
    if (s != LDB_OK)
        s = ldb_error_set(err, s,
                          REPL_SIDECAR_FOLDER "/" REPL_EPOCHS_FILE ": %s",
                          ldb_status_text(s));
    else
        s = repl_sidecar_write(env, dir, REPL_EPOCHS_FILE, REPL_EPOCHS_VERSION,
                               ldb_slice_of_buf(&lines), err);
    ldb_buf_release(&lines);
    return s;
}
