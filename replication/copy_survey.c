#include "replication/copy_survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replication/copy_files.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/retained.h"

/* Journals kept for others, at most. Chosen: as many as a gibibyte has of those
 * of a small memtable. */
#define ARCHIVED_MAX 1024

/* Looks at a journal in tables that is not whole, before it is given up.
 * Chosen: a pass of rsync brings what it lacks within a few seconds, or never.
 */
#define TRIES_MAX 8

/* Sequences between two journals that no write that failed explains. */
#define JUMP (UINT64_C(1) << 31)

#define FILES_MIN 16

void repl_copy_survey_release(struct repl_copy_survey *survey)
{
    repl_epoch_history_release(&survey->history);
    repl_digest_list_release(&survey->digests);
    repl_copy_manifest_release(&survey->manifest);
    repl_copy_journal_release(&survey->newest);
    ldb_mem_free(survey->journals);
    *survey = (struct repl_copy_survey){0};
}

/* ---- the list of journals ---- */

/* Where the number is, or belongs. */
static size_t place_of(const struct repl_copy_survey *survey, uint64_t number)
{
    size_t at = survey->journal_count;

    while (at > 0 && survey->journals[at - 1].number >= number)
        at--;
    return at;
}

static bool is_at(const struct repl_copy_survey *survey, size_t at,
                  uint64_t number)
{
    return at < survey->journal_count && survey->journals[at].number == number;
}

struct repl_copy_file *repl_copy_survey_journal(struct repl_copy_survey *survey,
                                                uint64_t number)
{
    size_t at = place_of(survey, number);

    return is_at(survey, at, number) ? &survey->journals[at] : NULL;
}

static struct repl_copy_file *newest_of(struct repl_copy_survey *survey)
{
    return survey->journal_count == 0
               ? NULL
               : &survey->journals[survey->journal_count - 1];
}

void repl_copy_survey_path(const struct repl_copy_file *file,
                           char out[REPL_COPY_PATH_SIZE])
{
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_JOURNAL, file->number);
    (void)snprintf(out, REPL_COPY_PATH_SIZE, "%s%s",
                   file->is_archived ? LDB_ARCHIVE_FOLDER "/" : "", name);
}

/* It is not there: that one and all before it are not told of any more. */
static void forget(struct repl_copy_survey *survey, uint64_t number)
{
    size_t gone = 0;

    while (gone < survey->journal_count &&
           survey->journals[gone].number <= number)
        gone++;
    survey->journal_count -= gone;
    if (gone > 0)
        memmove(survey->journals, survey->journals + gone,
                survey->journal_count * sizeof(survey->journals[0]));
    if (number > survey->forgotten)
        survey->forgotten = number;
}

static enum ldb_status insert(struct repl_copy_survey *survey,
                              const struct repl_copy_file *file,
                              struct ldb_error *err)
{
    size_t at = place_of(survey, file->number);

    if (survey->journal_count == survey->journal_capacity) {
        size_t capacity = survey->journal_capacity == 0
                              ? FILES_MIN
                              : 2 * survey->journal_capacity;
        struct repl_copy_file *longer =
            ldb_mem_realloc(survey->journals, capacity, sizeof(*longer));

        if (longer == NULL)
            return ldb_error_no_memory(err);
        survey->journals = longer;
        survey->journal_capacity = capacity;
    }
    assert(survey->journals != NULL);
    memmove(&survey->journals[at + 1], &survey->journals[at],
            (survey->journal_count - at) * sizeof(survey->journals[0]));
    survey->journals[at] = *file;
    survey->journal_count++;
    return LDB_OK;
}

/* ---- one journal ---- */

static enum ldb_status size_at(struct repl_transport *transport,
                               struct repl_copy_file *file, bool is_archived,
                               struct ldb_error *err)
{
    struct repl_copy_file there = *file;
    struct repl_file_head head = {0};
    char path[REPL_COPY_PATH_SIZE];
    enum ldb_status s;

    there.is_archived = is_archived;
    repl_copy_survey_path(&there, path);
    s = transport->ops->head(transport, path, err, &head);
    if (s != LDB_OK)
        return s;
    there.len = head.size;
    *file = there;
    return LDB_OK;
}

/*
 * Where it lies, and its length. One that has moved to the archive may have
 * left the beginning of an older copy behind: the longer one is the later.
 */
static enum ldb_status find_file(const struct repl_copy_survey *survey,
                                 struct repl_transport *transport,
                                 struct repl_copy_file *file,
                                 struct ldb_error *err)
{
    struct repl_copy_file archived = *file;
    enum ldb_status s = size_at(transport, file, false, err);
    enum ldb_status t;

    if ((s != LDB_OK && s != LDB_NOT_FOUND) ||
        file->number >= survey->manifest.log_number)
        return s;
    t = size_at(transport, &archived, true, err);
    if (t == LDB_OK && (s == LDB_NOT_FOUND || archived.len > file->len))
        *file = archived;
    return t == LDB_NOT_FOUND ? s : t;
}

static enum ldb_status read_first(struct repl_transport *transport,
                                  struct repl_copy_file *file,
                                  struct ldb_error *err)
{
    struct ldb_buf bytes = LDB_BUF_INIT(REPL_COPY_JOURNAL_BEGIN);
    char path[REPL_COPY_PATH_SIZE];
    enum ldb_status s;

    if (file->first != 0 || file->len < REPL_COPY_JOURNAL_BEGIN)
        return LDB_OK;
    repl_copy_survey_path(file, path);
    s = repl_copy_read(transport, path, REPL_COPY_JOURNAL_BEGIN, err, &bytes);
    if (s == LDB_OK)
        file->first = repl_copy_journal_first(ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
    return s;
}

/*
 * Whether there is such a journal; it is on the list then. One without an
 * operation is not, unless the MANIFEST names it: nothing goes on with it yet.
 */
static enum ldb_status try_number(struct repl_copy_survey *survey,
                                  struct repl_transport *transport,
                                  uint64_t number, struct ldb_error *err,
                                  bool *out_is_there)
{
    struct repl_copy_file file = {.number = number, .must_size = true};
    enum ldb_status s;

    *out_is_there = repl_copy_survey_journal(survey, number) != NULL;
    /* A number is one file's: what is a table is no journal. */
    if (*out_is_there || number <= survey->forgotten ||
        repl_copy_manifest_table(&survey->manifest, number) != NULL)
        return LDB_OK;
    s = find_file(survey, transport, &file, err);
    if (s == LDB_OK)
        s = read_first(transport, &file, err);
    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s != LDB_OK)
        return s;
    *out_is_there = true;
    if (file.first == 0 && number > survey->manifest.log_number)
        return LDB_OK;
    return insert(survey, &file, err);
}

/* ---- all of them ---- */

/* Tries the numbers from *from on, until none has been there for a while; *from
 * is then the first that was not tried. */
static enum ldb_status try_upwards(struct repl_copy_survey *survey,
                                   struct repl_transport *transport,
                                   uint64_t *from, struct ldb_error *err)
{
    unsigned missed = 0;
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && missed < REPL_COPY_NUMBERS_TRIED &&
           *from < LDB_FILE_NUMBER_MAX) {
        bool is_there = false;

        s = try_number(survey, transport, *from, err, &is_there);
        missed = is_there ? 0 : missed + 1;
        (*from)++;
    }
    return s;
}

/* Those before the oldest that is known: in the archive, the latest first. */
static enum ldb_status try_downwards(struct repl_copy_survey *survey,
                                     struct repl_transport *transport,
                                     struct ldb_error *err)
{
    uint64_t number = survey->manifest.log_number;
    unsigned missed = 0;
    unsigned found = 0;
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && number > 1 && missed < REPL_COPY_NUMBERS_TRIED &&
           found < ARCHIVED_MAX) {
        bool is_there = false;

        number--;
        s = try_number(survey, transport, number, err, &is_there);
        missed = is_there ? 0 : missed + 1;
        found += is_there;
    }
    return s;
}

static enum ldb_status try_from(struct repl_copy_survey *survey,
                                struct repl_transport *transport,
                                uint64_t start, uint64_t *tried,
                                struct ldb_error *err)
{
    if (start < *tried)
        return LDB_OK;
    *tried = start;
    return try_upwards(survey, transport, tried, err);
}

/* Journals that there may be since: behind the newest one, where an epoch
 * began, and where the numbers are by now. */
static enum ldb_status find_journals(struct repl_copy_survey *survey,
                                     struct repl_transport *transport,
                                     struct ldb_error *err)
{
    const struct repl_copy_manifest *manifest = &survey->manifest;
    const struct repl_epoch *epoch = repl_epoch_history_last(&survey->history);
    const struct repl_copy_file *newest = newest_of(survey);
    bool is_first = newest == NULL;
    uint64_t tried = is_first ? manifest->log_number : newest->number + 1;
    uint64_t next = manifest->next_file_number;
    enum ldb_status s = try_upwards(survey, transport, &tried, err);

    if (s == LDB_OK)
        s = try_from(survey, transport, manifest->log_number, &tried, err);
    if (s == LDB_OK && epoch != NULL)
        s = try_from(survey, transport, epoch->first_journal, &tried, err);
    if (s == LDB_OK && next > REPL_COPY_NUMBERS_TRIED)
        s = try_from(survey, transport, next - REPL_COPY_NUMBERS_TRIED, &tried,
                     err);
    if (s == LDB_OK && is_first)
        s = try_downwards(survey, transport, err);
    return s;
}

/* After all were found: one that another follows does not grow any more. */
static enum ldb_status size_journals(struct repl_copy_survey *survey,
                                     struct repl_transport *transport,
                                     struct ldb_error *err)
{
    for (size_t i = 0; i < survey->journal_count; i++) {
        struct repl_copy_file *file = &survey->journals[i];
        enum ldb_status s;

        if (!file->must_size)
            continue;
        s = find_file(survey, transport, file, err);
        if (s == LDB_OK)
            s = read_first(transport, file, err);
        if (s == LDB_NOT_FOUND) {
            forget(survey, file->number);
            return ldb_error_set(err, LDB_IO,
                                 "a journal of the copy has gone just now");
        }
        if (s != LDB_OK)
            return s;
        file->must_size = i + 1 == survey->journal_count || file->tries > 0;
    }
    return LDB_OK;
}

/* ---- the newest one ---- */

static enum ldb_status read_on(struct repl_copy_survey *survey,
                               const struct repl_copy_file *file,
                               struct repl_transport *transport,
                               struct ldb_error *err)
{
    char path[REPL_COPY_PATH_SIZE];

    repl_copy_survey_path(file, path);
    return repl_copy_journal_read(&survey->newest, file->number, path,
                                  transport, err);
}

static enum ldb_status read_newest(struct repl_copy_survey *survey,
                                   struct repl_transport *transport,
                                   struct ldb_error *err)
{
    struct repl_copy_file *newest = newest_of(survey);
    struct repl_copy_file *before;
    enum ldb_status s = LDB_OK;

    if (newest == NULL)
        return LDB_OK;
    before = repl_copy_survey_journal(survey, survey->newest.number);
    if (survey->newest.feed != NULL && before != NULL && before != newest) {
        s = read_on(survey, before, transport, err);
        if (s == LDB_OK) /* whoever asks for it checks it again */
            (void)!repl_copy_survey_check(survey, before->number,
                                          &survey->newest);
        newest = newest_of(survey); /* what was forgotten is older */
        assert(newest != NULL);
    }
    if (s == LDB_OK)
        s = read_on(survey, newest, transport, err);
    if (s != LDB_OK)
        return s;
    newest->len = survey->newest.len;
    newest->last = survey->newest.last;
    if (survey->newest.first != 0)
        newest->first = survey->newest.first;
    return LDB_OK;
}

/* ---- whether journals are whole ---- */

ldb_sequence repl_copy_survey_next_first(const struct repl_copy_survey *survey,
                                         size_t at)
{
    for (size_t i = at + 1; i < survey->journal_count; i++) {
        if (survey->journals[i].first != 0)
            return survey->journals[i].first;
    }
    return 0;
}

/* An epoch begins between the two, and found nothing later of the one before.
 */
static bool is_epochs_gap(const struct repl_epoch_history *history,
                          ldb_sequence last, ldb_sequence next)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct repl_epoch *epoch = &history->items[i];

        if (epoch->base >= last && epoch->base < next)
            return epoch->previous_last <= last;
    }
    return false;
}

/* Nothing is wanting between its last sequence and what the copy has besides.
 */
static bool is_continued(const struct repl_copy_survey *survey, size_t at,
                         ldb_sequence last)
{
    const struct repl_copy_manifest *manifest = &survey->manifest;
    ldb_sequence next = repl_copy_survey_next_first(survey, at);

    if (next != 0)
        return next == last + 1 || is_epochs_gap(&survey->history, last, next);
    return survey->journals[at].number < manifest->log_number &&
           repl_epoch_history_last_entry(&survey->history,
                                         manifest->last_sequence) <= last;
}

static bool is_all_there(const struct repl_copy_survey *survey, size_t at,
                         const struct repl_copy_journal *content,
                         struct ldb_digest *digest)
{
    const struct repl_copy_file *file = &survey->journals[at];
    struct ldb_digest known;

    if (!repl_copy_journal_is_whole(content, digest) ||
        content->len != file->len)
        return false;
    if (repl_copy_survey_digest(survey, LDB_FILE_JOURNAL, file->number,
                                file->len, &known))
        return ldb_digest_equal(&known, digest);
    /* What an empty one lacks, lacks between those beside it. */
    return content->first == 0 ? at + 1 < survey->journal_count
                               : is_continued(survey, at, content->last);
}

bool repl_copy_survey_check(struct repl_copy_survey *survey, uint64_t number,
                            const struct repl_copy_journal *content)
{
    size_t at = place_of(survey, number);
    struct ldb_digest digest;
    struct repl_copy_file *file;

    if (!is_at(survey, at, number))
        return false;
    file = &survey->journals[at];
    if (is_all_there(survey, at, content, &digest)) {
        file->is_checked = true;
        file->digest = digest;
        file->last = content->last;
        file->tries = 0;
        return true;
    }
    file->tries++;
    file->must_size = true;
    if (number < survey->manifest.log_number && file->tries >= TRIES_MAX)
        forget(survey, number);
    return false;
}

/* No number of writes explains where a journal goes on: its epoch is one that
 * the copy does not know of yet. */
static enum ldb_status check_epochs(const struct repl_copy_survey *survey,
                                    struct ldb_error *err)
{
    const struct repl_copy_file *before = NULL;

    for (size_t i = 0; i < survey->journal_count; i++) {
        const struct repl_copy_file *file = &survey->journals[i];

        if (file->first == 0)
            continue;
        if (before != NULL &&
            file->first > before->first + before->len + JUMP &&
            !is_epochs_gap(&survey->history,
                           before->is_checked ? before->last
                                              : before->first + before->len,
                           file->first))
            return ldb_error_set(err, LDB_IO,
                                 "%06" PRIu64 ".log is of a later epoch than "
                                 "the copy's leveld/epochs knows of",
                                 file->number);
        before = file;
    }
    return LDB_OK;
}

/* ---- a look ---- */

static enum ldb_status read_who(struct repl_copy_survey *survey,
                                struct repl_transport *transport,
                                struct ldb_error *err)
{
    struct repl_epoch_history history = {0};
    enum ldb_status s =
        repl_copy_read_who(transport, err, &survey->identity, &history);

    if (s != LDB_OK)
        return s;
    repl_epoch_history_release(&survey->history);
    survey->history = history;
    return LDB_OK;
}

/* What the leader found out of its files, when there may be more of it. */
static enum ldb_status read_digests(struct repl_copy_survey *survey,
                                    struct repl_transport *transport,
                                    struct ldb_error *err)
{
    struct repl_digest_list digests = {0};
    enum ldb_status s;

    if (survey->digests_manifest == survey->manifest.number &&
        survey->digests_manifest_len == survey->manifest.len)
        return LDB_OK;
    s = repl_copy_read_digests(transport, err, &digests);
    if (s != LDB_OK)
        return s;
    repl_digest_list_release(&survey->digests);
    survey->digests = digests;
    survey->digests_manifest = survey->manifest.number;
    survey->digests_manifest_len = survey->manifest.len;
    return LDB_OK;
}

enum ldb_status repl_copy_survey_look(struct repl_copy_survey *survey,
                                      struct repl_transport *transport,
                                      struct ldb_error *err)
{
    uint64_t number = 0;
    enum ldb_status s = read_who(survey, transport, err);

    if (s == LDB_OK)
        s = repl_copy_read_current(transport, err, &number);
    if (s == LDB_OK)
        s = repl_copy_manifest_read(&survey->manifest, number, transport, err);
    if (s == LDB_OK)
        s = read_digests(survey, transport, err);
    if (s == LDB_OK)
        s = find_journals(survey, transport, err);
    if (s == LDB_OK)
        s = size_journals(survey, transport, err);
    if (s == LDB_OK)
        s = read_newest(survey, transport, err);
    return s == LDB_OK ? check_epochs(survey, err) : s;
}

/* The first record of that number or a later one; they ascend. */
static size_t find_record(const struct repl_digest_list *digests,
                          uint64_t number)
{
    size_t low = 0;
    size_t high = digests->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (digests->items[middle].file.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool repl_copy_survey_digest(const struct repl_copy_survey *survey,
                             enum ldb_file_type type, uint64_t number,
                             uint64_t size, struct ldb_digest *out)
{
    const struct repl_digest_list *digests = &survey->digests;

    for (size_t i = find_record(digests, number);
         i < digests->count && digests->items[i].file.number == number; i++) {
        const struct repl_digest_record *record = &digests->items[i];

        if (record->file.type == type && record->file.size == size) {
            *out = record->digest;
            return true;
        }
    }
    return false;
}
