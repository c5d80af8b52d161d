#include "tests/support/manifest_text.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/version_rows.h"

#define RECORD_MAX ((size_t)1 << 16)

void manifest_text_open(struct manifest_text *f)
{
    *f = (struct manifest_text){0};
    memory_file_init(&f->file);
    assert_ldb_ok(
        ldb_journal_writer_create(&f->file.base, 0, &f->err, &f->writer),
        &f->err);
}

void manifest_text_close(struct manifest_text *f)
{
    assert_ldb_ok(ldb_journal_writer_close(f->writer, NULL), NULL);
    memory_file_release(&f->file);
}

void manifest_text_write_record(struct manifest_text *f,
                                struct ldb_slice record)
{
    assert_in_range(f->count, 0, MANIFEST_TEXT_RECORDS_MAX - 1);
    assert_ldb_ok(ldb_journal_writer_add(f->writer, &record, 1, &f->err),
                  &f->err);
    assert_ldb_ok(ldb_journal_writer_flush(f->writer, &f->err), &f->err);
    f->ends[f->count++] = f->file.bytes.len;
}

static void add_word(struct ldb_version_edit *edit, const char *word)
{
    const char *colon = strchr(word, ':');
    uint64_t number = strtoull(colon == NULL ? word + 1 : colon + 1, NULL, 10);
    uint32_t level = colon == NULL ? 0 : (uint32_t)strtoul(word + 1, NULL, 10);
    const struct version_row row = {level, number, 100, "a@1", "b@1"};

    if (word[0] == 'l')
        ldb_version_edit_set_log_number(edit, number);
    else if (word[0] == 'n')
        ldb_version_edit_set_next_file_number(edit, 50);
    else if (word[0] == 's')
        ldb_version_edit_set_last_sequence(edit, 7);
    else if (word[0] == '+')
        version_rows_add(edit, &row);
    else if (word[0] == '-')
        assert_ldb_ok(ldb_version_edit_delete_file(edit, level, number), NULL);
    else
        fail_msg("no word: %s", word);
}

void manifest_text_write(struct manifest_text *f, const char *text)
{
    char *copy = strdup(text);
    char *rest = copy;
    char *line;

    assert_non_null(copy);
    while ((line = strsep(&rest, ";")) != NULL) {
        struct ldb_version_edit edit = {0};
        struct ldb_buf record = LDB_BUF_INIT(RECORD_MAX);
        char *word;

        while ((word = strsep(&line, " ")) != NULL) {
            if (word[0] != '\0')
                add_word(&edit, word);
        }
        assert_ldb_ok(ldb_version_edit_encode(&edit, &record), NULL);
        manifest_text_write_record(f, ldb_slice_of_buf(&record));
        ldb_version_edit_release(&edit);
        ldb_buf_release(&record);
    }
    free(copy);
}
