/*
 * A version edit from any bytes. What decodes is within its bounds, can be
 * described, and encoded it decodes to the same again; what does not leaves
 * the edit empty.
 */
#include "storage/version/version_edit.h"

#include "storage/version/file_names.h"

/* Bytes of an encoded or described edit; more than any input makes. */
#define LIMIT ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void assert_internal_key(struct ldb_slice key)
{
    struct ldb_parsed_key parsed;

    assert(ldb_internal_key_parse(key, &parsed));
}

static void assert_in_bounds(const struct ldb_version_edit *edit)
{
    assert(edit->has_comparator == (edit->comparator != NULL));
    assert(edit->log_number <= LDB_FILE_NUMBER_MAX);
    assert(edit->prev_log_number <= LDB_FILE_NUMBER_MAX);
    assert(edit->next_file_number <= LDB_FILE_NUMBER_MAX);
    assert(edit->last_sequence <= LDB_SEQUENCE_MAX);
    for (size_t i = 0; i < edit->pointer_count; i++) {
        assert(edit->pointers[i].level < LDB_LEVEL_COUNT);
        assert_internal_key(edit->pointers[i].key);
    }
    for (size_t i = 0; i < edit->deleted_count; i++) {
        assert(edit->deleted[i].level < LDB_LEVEL_COUNT);
        assert(edit->deleted[i].number <= LDB_FILE_NUMBER_MAX);
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        const struct ldb_file_meta *meta = edit->added[i].meta;

        assert(edit->added[i].level < LDB_LEVEL_COUNT);
        assert(meta->refs == 1);
        assert(meta->number <= LDB_FILE_NUMBER_MAX);
        assert(meta->size <= (uint64_t)INT64_MAX);
        assert_internal_key(meta->smallest);
        assert_internal_key(meta->largest);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ldb_slice input = ldb_slice_make(bytes, len);
    struct ldb_buf first = LDB_BUF_INIT(LIMIT);
    struct ldb_buf second = LDB_BUF_INIT(LIMIT);
    struct ldb_version_edit edit = {0};
    enum ldb_status s = ldb_version_edit_decode(&edit, input, NULL);

    assert(s == LDB_OK || s == LDB_CORRUPTION);
    assert_in_bounds(&edit);
    if (s != LDB_OK) {
        assert(edit.pointer_count + edit.deleted_count + edit.added_count == 0);
        assert(!edit.has_comparator);
        goto out;
    }
    if (ldb_version_edit_describe(&edit, &first) != LDB_OK)
        goto out;
    ldb_buf_clear(&first);
    if (ldb_version_edit_encode(&edit, &first) != LDB_OK)
        goto out;
    assert(first.len <= len);
    s = ldb_version_edit_decode(&edit, ldb_slice_of_buf(&first), NULL);
    assert(s == LDB_OK);
    if (ldb_version_edit_encode(&edit, &second) == LDB_OK)
        assert(ldb_slice_equal(ldb_slice_of_buf(&first),
                               ldb_slice_of_buf(&second)));
out:
    ldb_version_edit_release(&edit);
    ldb_buf_release(&first);
    ldb_buf_release(&second);
    return 0;
}
