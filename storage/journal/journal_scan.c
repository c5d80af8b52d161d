#include "storage/journal/journal_scan.h"

#include "storage/base/status.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_tail.h"
#include "storage/journal/write_batch.h"

static void add_record(struct ldb_journal_content *content,
                       struct ldb_slice record)
{
    ldb_sequence first = 0;
    uint32_t count = 0;

    if (ldb_batch_check(record, NULL, &first, &count) != LDB_OK) {
        content->is_damaged = true;
        return;
    }
    if (count == 0)
        return;
    if (content->first == 0)
        content->first = first;
    if (first + count - 1 > content->last)
        content->last = first + count - 1;
}

/* Records until the end, or until wants_all is false and one had operations. */
static enum ldb_status read_records(struct ldb_journal_reader *reader,
                                    bool wants_all, struct ldb_error *err,
                                    struct ldb_journal_content *out)
{
    struct ldb_slice record;
    enum ldb_status s;

    while ((s = ldb_journal_reader_next(reader, err, &record)) == LDB_OK) {
        add_record(out, record);
        if (!wants_all && (out->first != 0 || out->is_damaged))
            return LDB_OK;
    }
    out->end = ldb_journal_reader_end_offset(reader);
    if (s == LDB_CORRUPTION)
        out->is_damaged = true;
    return s == LDB_NOT_FOUND || s == LDB_CORRUPTION ? LDB_OK : s;
}

static enum ldb_status scan(struct ldb_env *env, const char *path,
                            const char *name, bool wants_all,
                            struct ldb_error *err,
                            struct ldb_journal_content *out)
{
    struct ldb_journal_reader_options options = {0};
    struct ldb_journal_content content = {0};
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    enum ldb_status s;

    s = ldb_journal_tail_may_have_gap(env, path, err, &options.ends_at_gap);
    options.strict = !options.ends_at_gap;
    if (s == LDB_OK)
        s = env->ops->open_sequential(env, path, err, &file);
    if (s == LDB_OK)
        s = ldb_journal_reader_create(file, name, &options, err, &reader);
    if (s == LDB_OK)
        s = read_records(reader, wants_all, err, &content);
    ldb_journal_reader_destroy(reader);
    if (file != NULL)
        ldb_sequential_close(file);
    if (s == LDB_OK)
        *out = content;
    return s;
}

enum ldb_status ldb_journal_scan(struct ldb_env *env, const char *path,
                                 const char *name, struct ldb_error *err,
                                 struct ldb_journal_content *out)
{
    return scan(env, path, name, true, err, out);
}

enum ldb_status ldb_journal_first(struct ldb_env *env, const char *path,
                                  const char *name, struct ldb_error *err,
                                  ldb_sequence *out_first)
{
    struct ldb_journal_content content = {0};
    enum ldb_status s = scan(env, path, name, false, err, &content);

    if (s != LDB_OK)
        return s;
    if (content.is_damaged)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: no batch can be read at its begin", name);
    if (content.first == 0)
        return ldb_error_set(err, LDB_NOT_FOUND, "%s: no operation", name);
    *out_first = content.first;
    return LDB_OK;
}
