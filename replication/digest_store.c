#include "replication/digest_store.h"

#include <inttypes.h>
#include <stdlib.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/retained.h"

/* Of a line: the longer word, two numbers of 20 digits, 32 hex digits, blanks
 * and the end. */
#define LINE_MAX_LEN (7 + 20 + 20 + 2 * LDB_DIGEST_SIZE + 4)

static_assert(REPL_DIGESTS_STORED_MAX * LINE_MAX_LEN + 1024 <
                  REPL_SIDECAR_BYTES_MAX,
              "what may be stored has room");

void repl_digest_list_release(struct repl_digest_list *list)
{
    ldb_mem_free(list->items);
    *list = (struct repl_digest_list){0};
}

/* ---- lines ---- */

static const char *word_of(enum ldb_file_type type)
{
    return type == LDB_FILE_TABLE ? "table" : "journal";
}

static bool parse_type(const struct repl_words *words, enum ldb_file_type *out)
{
    *out = LDB_FILE_TABLE;
    if (repl_words_are(words, word_of(*out), 4))
        return true;
    *out = LDB_FILE_JOURNAL;
    return repl_words_are(words, word_of(*out), 4);
}

static bool parse_digest(struct ldb_slice word, struct ldb_digest *out)
{
    if (word.len != 2 * LDB_DIGEST_SIZE)
        return false;
    for (size_t i = 0; i < LDB_DIGEST_SIZE; i++) {
        uint64_t byte;

        if (!repl_parse_hex(ldb_slice_make(word.data + 2 * i, 2), 8, &byte))
            return false;
        out->bytes[i] = (uint8_t)byte;
    }
    return true;
}

static bool parse_line(struct ldb_slice *lines, struct repl_digest_record *out)
{
    struct repl_words words;

    return repl_words_next(lines, &words) &&
           parse_type(&words, &out->file.type) &&
           ldb_parse_u64(words.word[1], &out->file.number) &&
           ldb_parse_u64(words.word[2], &out->file.size) &&
           parse_digest(words.word[3], &out->digest);
}

static size_t count_lines(struct ldb_slice lines)
{
    size_t count = 0;

    for (size_t i = 0; i < lines.len; i++)
        count += lines.data[i] == '\n';
    return count;
}

/* False: no memory. What is no line of ours ends the list. */
static bool parse_lines(struct ldb_slice lines, struct repl_digest_list *out)
{
    size_t capacity = count_lines(lines);

    if (capacity > REPL_DIGESTS_STORED_MAX)
        capacity = REPL_DIGESTS_STORED_MAX;
    out->items = ldb_mem_alloc(capacity, sizeof(*out->items));
    if (out->items == NULL)
        return false;
    while (out->count < capacity && parse_line(&lines, &out->items[out->count]))
        out->count++;
    return true;
}

enum ldb_status repl_digest_store_load(struct ldb_env *env, const char *dir,
                                       struct ldb_error *err,
                                       struct repl_digest_list *out)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s = repl_sidecar_read(env, dir, REPL_DIGESTS_FILE,
                                          REPL_DIGESTS_VERSION, err, &text);

    if (s == LDB_OK && !parse_lines(ldb_slice_of_buf(&text), out))
        s = ldb_error_no_memory(err);
    ldb_buf_release(&text);
    return s == LDB_NOT_FOUND || s == LDB_CORRUPTION ? LDB_OK : s;
}

/* ---- files that are gone ---- */

static bool is_present(const struct repl_digest_file *file,
                       const struct ldb_folder_files *folder,
                       const struct ldb_folder_files *archive)
{
    if (file->type == LDB_FILE_TABLE)
        return ldb_folder_files_has_table(folder, file->number);
    return ldb_folder_files_has(folder, file->type, file->number) ||
           ldb_folder_files_has(archive, file->type, file->number);
}

enum ldb_status repl_digest_store_sort_out(struct ldb_env *env, const char *dir,
                                           struct repl_digest_list *list,
                                           struct ldb_error *err,
                                           size_t *out_gone)
{
    char *archive_path = ldb_mem_printf("%s/" LDB_ARCHIVE_FOLDER, dir);
    struct ldb_folder_files folder = {0};
    struct ldb_folder_files archive = {0};
    size_t kept = 0;
    enum ldb_status s = LDB_OK;

    if (archive_path == NULL)
        return ldb_error_no_memory(err);
    /* In this order: a journal has its name in the archive before that in the
     * folder goes. */
    s = ldb_folder_files_list(env, dir, err, &folder);
    if (s == LDB_OK)
        s = ldb_folder_files_list(env, archive_path, err, &archive);
    if (s == LDB_NOT_FOUND)
        s = LDB_OK; /* of an archive that never was */
    for (size_t i = 0; s == LDB_OK && i < list->count; i++) {
        struct repl_digest_record record = list->items[i];

        if (!is_present(&record.file, &folder, &archive))
            continue;
        list->items[i] = list->items[kept];
        list->items[kept++] = record;
    }
    if (s == LDB_OK)
        *out_gone = list->count - kept;
    ldb_folder_files_release(&folder);
    ldb_folder_files_release(&archive);
    ldb_mem_free(archive_path);
    return s;
}

/* ---- storing ---- */

static int compare_records(const void *a, const void *b)
{
    const struct repl_digest_file *left =
        &((const struct repl_digest_record *)a)->file;
    const struct repl_digest_file *right =
        &((const struct repl_digest_record *)b)->file;

    if (left->number != right->number)
        return left->number < right->number ? -1 : 1;
    return (left->type > right->type) - (left->type < right->type);
}

static enum ldb_status print_line(const struct repl_digest_record *record,
                                  struct ldb_buf *lines)
{
    enum ldb_status s = ldb_buf_printf(lines, "%s %" PRIu64 " %" PRIu64 " ",
                                       word_of(record->file.type),
                                       record->file.number, record->file.size);

    for (size_t i = 0; s == LDB_OK && i < LDB_DIGEST_SIZE; i++)
        s = ldb_buf_printf(lines, "%02x", record->digest.bytes[i]);
    return s == LDB_OK ? ldb_buf_append_byte(lines, '\n') : s;
}

enum ldb_status repl_digest_store_save(struct ldb_env *env, const char *dir,
                                       struct repl_digest_list *list,
                                       size_t count, struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    size_t first = 0;
    enum ldb_status s = LDB_OK;

    assert(count <= list->count);
    if (count > 0)
        qsort(list->items, count, sizeof(*list->items), compare_records);
    if (count > REPL_DIGESTS_STORED_MAX)
        first = count - REPL_DIGESTS_STORED_MAX;
    for (size_t i = first; s == LDB_OK && i < count; i++)
        s = print_line(&list->items[i], &lines);
    if (s != LDB_OK)
        s = ldb_error_set(err, s,
                          REPL_SIDECAR_FOLDER "/" REPL_DIGESTS_FILE ": %s",
                          ldb_status_text(s));
    else
        s = repl_sidecar_write(env, dir, REPL_DIGESTS_FILE,
                               REPL_DIGESTS_VERSION, ldb_slice_of_buf(&lines),
                               err);
    ldb_buf_release(&lines);
    return s;
}
