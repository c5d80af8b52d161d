#include "replication/edit_walk.h"

#include <inttypes.h>

#include "storage/base/status.h"
#include "storage/journal/journal_feed.h"
#include "storage/version/file_names.h"

static enum ldb_status take_record(uint64_t number, struct ldb_slice record,
                                   uint64_t at, repl_edit_take *take,
                                   void *context, struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    enum ldb_status s = ldb_version_edit_decode(&edit, record, err);

    if (s == LDB_OK)
        s = take(context, &edit, at, err);
    else
        s = ldb_error_prefix(err, s, "MANIFEST-%06" PRIu64 ": edit at %" PRIu64,
                             number, at);
    ldb_version_edit_release(&edit);
    return s;
}

enum ldb_status repl_edit_walk(uint64_t number, uint64_t offset,
                               struct ldb_slice bytes, repl_edit_take *take,
                               void *context, struct ldb_error *err,
                               uint64_t *out_end)
{
    struct ldb_journal_feed *feed;
    struct ldb_slice record;
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status s;

    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    feed = ldb_journal_feed_create(name, offset);
    if (feed == NULL)
        return ldb_error_no_memory(err);
    s = ldb_journal_feed_add(feed, bytes, err);
    while (s == LDB_OK) {
        s = ldb_journal_feed_next(feed, err, &record);
        if (s == LDB_OK)
            s = take_record(number, record,
                            ldb_journal_feed_record_offset(feed), take, context,
                            err);
    }
    *out_end = ldb_journal_feed_whole_end(feed);
    ldb_journal_feed_destroy(feed);
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}
