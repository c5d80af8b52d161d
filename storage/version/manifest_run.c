#include "storage/version/manifest_run.h"

#include <inttypes.h>

#include "storage/base/status.h"
#include "storage/journal/journal_feed.h"
#include "storage/version/file_names.h"
#include "storage/version/recovered.h"
#include "storage/version/version_builder.h"

/* What a run is read with. */
struct reading {
    struct ldb_manifest_run *run;
    struct ldb_recovered_sum sum;
    struct ldb_recovered recovered; /* scalars and pointers */
    char name[LDB_FILE_NAME_SIZE];
};

/* A whole MANIFEST begins from nothing: what it does not add goes. */
static enum ldb_status delete_all(struct ldb_version_builder *builder,
                                  const struct ldb_version *base,
                                  struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    enum ldb_status s = LDB_OK;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        const struct ldb_level *files = &base->levels[level];

        for (size_t i = 0; s == LDB_OK && i < files->count; i++)
            s = ldb_version_edit_delete_file(&edit, level,
                                             files->files[i]->number);
    }
    if (s == LDB_OK)
        s = ldb_version_builder_apply(builder, &edit, err);
    else
        s = ldb_error_no_memory(err);
    ldb_version_edit_release(&edit);
    return s;
}

static enum ldb_status read_record(struct reading *reading,
                                   struct ldb_slice record,
                                   struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    enum ldb_status s = ldb_version_edit_decode(&edit, record, err);

    if (s == LDB_OK)
        s = ldb_recovered_sum_add(&reading->sum, &edit, err);
    ldb_version_edit_release(&edit);
    return s;
}

static enum ldb_status read_records(struct reading *reading,
                                    struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    struct ldb_manifest_run *run = reading->run;
    struct ldb_journal_feed *feed =
        ldb_journal_feed_create(reading->name, run->offset);
    struct ldb_slice record;
    enum ldb_status s;

    if (feed == NULL)
        return ldb_error_no_memory(err);
    s = ldb_journal_feed_add(feed, bytes, err);
    while (s == LDB_OK) {
        s = ldb_journal_feed_next(feed, err, &record);
        if (s == LDB_NO_MEMORY || s == LDB_NOT_FOUND)
            break;
        s = read_record(reading, record, err);
        if (s != LDB_OK)
            (void)ldb_error_prefix(err, s, "%s: record at %" PRIu64,
                                   reading->name,
                                   ldb_journal_feed_record_offset(feed));
        run->record_count++;
    }
    run->len = (size_t)(ldb_journal_feed_whole_end(feed) - run->offset);
    ldb_journal_feed_destroy(feed);
    if (s == LDB_NOT_FOUND)
        s = LDB_OK;
    if (s == LDB_OK && run->record_count == 0)
        s = ldb_error_set(err, LDB_INVALID_ARGUMENT,
                          "%s: no whole record in %zu bytes at %" PRIu64,
                          reading->name, bytes.len, run->offset);
    return s;
}

/* Do the tables make a version? One record is tried when it is installed. */
static enum ldb_status check_tables(const struct reading *reading,
                                    struct ldb_error *err)
{
    struct ldb_version *version = NULL;
    enum ldb_status s;

    if (reading->run->offset > 0 && reading->run->record_count == 1)
        return LDB_OK;
    s = ldb_version_builder_finish(reading->sum.builder, err, &version);
    if (s == LDB_OK)
        ldb_version_unref(version);
    return s;
}

static enum ldb_status make_edit(const struct reading *reading,
                                 struct ldb_error *err)
{
    struct ldb_version_edit *edit = &reading->run->edit;
    const struct ldb_recovered *to = &reading->recovered;
    enum ldb_status s =
        ldb_version_builder_edit(reading->sum.builder, err, edit);

    if (s != LDB_OK)
        return s;
    if (reading->sum.has_log_number)
        ldb_version_edit_set_log_number(edit, to->log_number);
    if (reading->sum.has_next_file_number)
        ldb_version_edit_set_next_file_number(edit, to->next_file_number);
    if (reading->sum.has_last_sequence)
        ldb_version_edit_set_last_sequence(edit, to->last_sequence);
    for (uint32_t level = 0; s == LDB_OK && level < LDB_LEVEL_COUNT; level++) {
        if (to->pointers[level].len > 0)
            s = ldb_version_edit_set_pointer(
                edit, level, ldb_slice_of_buf(&to->pointers[level]));
    }
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

enum ldb_status ldb_manifest_run_read(struct ldb_manifest_run *out,
                                      const struct ldb_comparator *comparator,
                                      struct ldb_version *base, uint64_t number,
                                      uint64_t offset, struct ldb_slice bytes,
                                      struct ldb_error *err)
{
    struct reading reading = {.run = out};
    enum ldb_status s;

    *out = (struct ldb_manifest_run){.number = number, .offset = offset};
    ldb_compact_pointers_init(reading.recovered.pointers);
    reading.sum.comparator = comparator;
    reading.sum.recovered = &reading.recovered;
    ldb_file_name_print(reading.name, LDB_FILE_MANIFEST, number);
    s = ldb_version_builder_create(comparator, base, err, &reading.sum.builder);
    if (s == LDB_OK && offset == 0)
        s = delete_all(reading.sum.builder, base, err);
    if (s == LDB_OK)
        s = read_records(&reading, bytes, err);
    if (s == LDB_OK && offset == 0)
        s = ldb_recovered_sum_check(&reading.sum, number, err);
    if (s == LDB_OK)
        s = make_edit(&reading, err);
    if (s == LDB_OK)
        s = check_tables(&reading, err);
    ldb_version_builder_destroy(reading.sum.builder);
    ldb_compact_pointers_release(reading.recovered.pointers);
    if (s != LDB_OK)
        ldb_manifest_run_release(out);
    return s;
}

void ldb_manifest_run_release(struct ldb_manifest_run *run)
{
    ldb_version_edit_release(&run->edit);
}
