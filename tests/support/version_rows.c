#include "tests/support/version_rows.h"

#include <inttypes.h>

#include "storage/base/checked.h"
#include "storage/version/version_builder.h"
#include "tests/support/assert_ldb.h"

/* Limit of a key or a list of numbers; chosen. */
#define TEXT_MAX 4096

struct ldb_buf version_rows_key(const char *text)
{
    struct ldb_buf key = LDB_BUF_INIT(TEXT_MAX);
    struct ldb_slice all = ldb_slice_str(text);
    enum ldb_kind kind = LDB_KIND_PUT;
    const char *at = strrchr(text, '@');
    uint64_t sequence = 0;
    size_t user_len;

    assert_non_null(at);
    user_len = (size_t)(at - text);
    if (all.data[all.len - 1] == 'd') {
        kind = LDB_KIND_DELETE;
        all.len--;
    }
    assert_true(ldb_parse_u64(ldb_slice_make(at + 1, all.len - user_len - 1),
                              &sequence));
    assert_ldb_ok(ldb_internal_key_append(&key, ldb_slice_make(text, user_len),
                                          ldb_tag_make(sequence, kind)),
                  NULL);
    return key;
}

void version_rows_add(struct ldb_version_edit *edit,
                      const struct version_row *row)
{
    struct ldb_buf smallest = version_rows_key(row->smallest);
    struct ldb_buf largest = version_rows_key(row->largest);
    struct ldb_file_meta *meta = ldb_file_meta_create(
        row->number, row->size, ldb_slice_of_buf(&smallest),
        ldb_slice_of_buf(&largest));

    assert_non_null(meta);
    assert_ldb_ok(ldb_version_edit_add_file(edit, row->level, meta), NULL);
    ldb_file_meta_unref(meta);
    ldb_buf_release(&smallest);
    ldb_buf_release(&largest);
}

struct ldb_version *version_rows_make(const struct version_row *rows,
                                      size_t count)
{
    struct ldb_version_edit edit = {0};
    struct ldb_version_builder *builder = NULL;
    struct ldb_version *version = NULL;
    struct ldb_error err = {0};

    for (size_t i = 0; i < count; i++)
        version_rows_add(&edit, &rows[i]);
    assert_ldb_ok(ldb_version_builder_create(ldb_comparator_bytewise(), NULL,
                                             &err, &builder),
                  &err);
    assert_ldb_ok(ldb_version_builder_apply(builder, &edit, &err), &err);
    assert_ldb_ok(ldb_version_builder_finish(builder, &err, &version), &err);
    ldb_version_builder_destroy(builder);
    ldb_version_edit_release(&edit);
    return version;
}

void assert_file_numbers_at(const char *text,
                            struct ldb_file_meta *const *files, size_t count,
                            const char *file, int line)
{
    struct ldb_buf actual = LDB_BUF_INIT(TEXT_MAX);

    for (size_t i = 0; i < count; i++)
        assert_ldb_ok(ldb_buf_printf(&actual, "%s%" PRIu64, i == 0 ? "" : " ",
                                     files[i]->number),
                      NULL);
    if (!ldb_slice_equal(ldb_slice_str(text), ldb_slice_of_buf(&actual))) {
        print_error("tables are \"%.*s\", expected \"%s\"\n", (int)actual.len,
                    actual.len == 0 ? "" : (const char *)actual.data, text);
        _fail(file, line);
    }
    ldb_buf_release(&actual);
}
