#include "replication/copy_journal.h"

#include "storage/base/reader.h"
#include "storage/base/status.h"
#include "storage/journal/journal_feed.h"
#include "storage/journal/journal_format.h"
#include "storage/journal/write_batch.h"
#include "storage/version/file_names.h"

static_assert(REPL_COPY_JOURNAL_BEGIN ==
                  LDB_JOURNAL_HEADER_SIZE + LDB_BATCH_HEADER_SIZE,
              "the first chunk's header, and the batch's in it");

void repl_copy_journal_release(struct repl_copy_journal *journal)
{
    ldb_journal_feed_destroy(journal->feed);
    ldb_digester_destroy(journal->digester);
    *journal = (struct repl_copy_journal){0};
}

static enum ldb_status begin(struct repl_copy_journal *journal, uint64_t number,
                             struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];

    repl_copy_journal_release(journal);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    journal->feed = ldb_journal_feed_create(name, 0);
    journal->digester = ldb_digester_create();
    if (journal->feed == NULL || journal->digester == NULL) {
        repl_copy_journal_release(journal);
        return ldb_error_no_memory(err);
    }
    journal->number = number;
    return LDB_OK;
}

/* ---- bytes ---- */

struct reading {
    struct repl_copy_journal *journal;
    bool is_over; /* no more of it can be used */
};

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    struct reading *reading = context;

    (void)err;
    reading->journal->file_len = head->size;
    return LDB_OK;
}

/* False: it is no batch, or its sequences do not ascend. */
static bool take_batch(struct repl_copy_journal *journal,
                       struct ldb_slice record)
{
    ldb_sequence first = 0;
    uint32_t count = 0;

    if (ldb_batch_check(record, NULL, &first, &count) != LDB_OK)
        return false;
    if (count == 0)
        return true;
    if (first <= journal->last)
        return false;
    if (journal->first == 0)
        journal->first = first;
    journal->last = first + count - 1;
    return true;
}

static enum ldb_status take_records(struct reading *reading,
                                    struct ldb_error *err)
{
    struct repl_copy_journal *journal = reading->journal;
    struct ldb_slice record = {0};
    enum ldb_status s;

    while ((s = ldb_journal_feed_next(journal->feed, err, &record)) == LDB_OK) {
        if (!take_batch(journal, record)) {
            ldb_journal_feed_reject(journal->feed);
            reading->is_over = true;
            break;
        }
    }
    if (s != LDB_OK && s != LDB_NOT_FOUND)
        return s;
    ldb_digester_add(journal->digester, ldb_journal_feed_whole(journal->feed));
    journal->len = ldb_journal_feed_whole_end(journal->feed);
    ldb_journal_feed_take(journal->feed);
    return LDB_OK;
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct reading *reading = context;
    struct repl_copy_journal *journal = reading->journal;
    enum ldb_status added = ldb_journal_feed_add(journal->feed, bytes, err);
    enum ldb_status s;

    if (added != LDB_OK && added != LDB_CORRUPTION)
        return added;
    reading->is_over = added == LDB_CORRUPTION;
    s = take_records(reading, err);
    if (s != LDB_OK)
        return s;
    if (reading->is_over)
        return ldb_error_set(err, LDB_CANCELLED, "the rest is no journal's");
    return LDB_OK;
}

enum ldb_status repl_copy_journal_read(struct repl_copy_journal *journal,
                                       uint64_t number, const char *path,
                                       struct repl_transport *transport,
                                       struct ldb_error *err)
{
    struct reading reading = {.journal = journal};
    struct repl_get get = {
        .name = path,
        .head = take_head,
        .bytes = take_bytes,
        .context = &reading,
    };
    enum ldb_status s = LDB_OK;

    if (journal->feed == NULL || journal->number != number)
        s = begin(journal, number, err);
    if (s != LDB_OK)
        return s;
    get.from = ldb_journal_feed_end(journal->feed);
    s = transport->ops->get(transport, &get, err);
    if (reading.is_over)
        return LDB_OK;
    /* A shorter one lies there now: it is another file. */
    if (s == LDB_INVALID_ARGUMENT)
        repl_copy_journal_release(journal);
    return s;
}

bool repl_copy_journal_is_whole(const struct repl_copy_journal *journal,
                                struct ldb_digest *out)
{
    if (journal->feed == NULL || journal->len != journal->file_len)
        return false;
    *out = ldb_digester_result(journal->digester);
    return true;
}

ldb_sequence repl_copy_journal_first(struct ldb_slice bytes)
{
    struct ldb_reader reader = ldb_reader_make(bytes);
    uint32_t crc;
    uint16_t len = 0;
    uint8_t type = 0;
    uint64_t sequence = 0;

    (void)ldb_reader_fixed32(&reader, &crc);
    (void)ldb_reader_fixed16(&reader, &len);
    (void)ldb_reader_u8(&reader, &type);
    (void)ldb_reader_fixed64(&reader, &sequence);
    if (reader.failed || (type != LDB_CHUNK_FULL && type != LDB_CHUNK_FIRST) ||
        len < LDB_BATCH_HEADER_SIZE)
        return 0;
    return sequence > LDB_SEQUENCE_MAX ? 0 : sequence;
}
