/* What is kept and what goes; what is found at open. The readers' side is
 * retained_read.c. */
#include "storage/retained_internal.h"

#include <inttypes.h>

#include "storage/base/log.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_scan.h"
#include "storage/version/file_names.h"

/* What a file takes of a disk at least, and in steps of. Chosen: the usual
 * block; it bounds the number of journals, too. */
#define DISK_BLOCK_BYTES UINT64_C(4096)

/* Too old ones that go at a time, each a sync. Chosen: a moment's work. */
#define TOO_OLD_MAX 16

/* ---- life ---- */

enum ldb_status ldb_retained_create(const struct ldb_retained_options *options,
                                    struct ldb_error *err,
                                    struct ldb_retained **out)
{
    struct ldb_retained *r = ldb_mem_zalloc(1, sizeof(*r));

    if (r == NULL)
        return ldb_error_no_memory(err);
    r->env = options->env;
    r->log = options->log;
    r->bytes_max = options->bytes_max;
    r->age_us = options->age_us;
    ldb_mutex_init(&r->work_mu);
    ldb_mutex_init(&r->mu);
    r->dir = ldb_mem_strdup(options->dir);
    r->archive = ldb_mem_printf("%s/" LDB_ARCHIVE_FOLDER, options->dir);
    if (r->dir == NULL || r->archive == NULL) {
        ldb_retained_destroy(r);
        return ldb_error_no_memory(err);
    }
    *out = r;
    return LDB_OK;
}

void ldb_retained_destroy(struct ldb_retained *retained)
{
    if (retained == NULL)
        return;
    assert(retained->pins == NULL);
    ldb_mutex_release(&retained->mu);
    ldb_mutex_release(&retained->work_mu);
    ldb_mem_free(retained->items);
    ldb_mem_free(retained->archive);
    ldb_mem_free(retained->dir);
    ldb_mem_free(retained);
}

/* ---- the list ---- */

static struct ldb_retained_journal *newest(struct ldb_retained *r)
    LDB_REQUIRES(r->mu)
{
    return r->count == 0 ? NULL : ldb_retained_item(r, r->count - 1);
}

/* Room for n more, of few. */
static enum ldb_status reserve(struct ldb_retained *r, size_t n)
    LDB_REQUIRES(r->mu)
{
    size_t capacity = r->capacity * 2 + 16;
    struct ldb_retained_journal *more;

    if (n <= r->capacity - r->head - r->count)
        return LDB_OK;
    if (r->head > r->capacity / 2 && n <= r->head) {
        memmove(r->items, r->items + r->head, r->count * sizeof(*r->items));
        r->head = 0;
        return LDB_OK;
    }
    more = ldb_mem_realloc(r->items, capacity, sizeof(*more));
    if (more == NULL)
        return LDB_NO_MEMORY;
    r->items = more;
    r->capacity = capacity;
    return LDB_OK;
}

/* There is room. */
static void push(struct ldb_retained *r, struct ldb_retained_journal *journal)
    LDB_REQUIRES(r->mu)
{
    const struct ldb_retained_journal *last = newest(r);

    assert(r->head + r->count < r->capacity);
    assert(last == NULL || last->number < journal->number);
    journal->before = last == NULL ? 0 : last->number;
    r->items[r->head + r->count++] = *journal;
}

static void lose_pins(struct ldb_retained *r, uint64_t number, uint64_t len)
    LDB_REQUIRES(r->mu)
{
    for (struct ldb_pin *p = r->pins; p != NULL; p = p->next) {
        if (p->number > number || p->is_lost)
            continue;
        p->is_lost = true;
        p->lost_len = p->number == number ? len : UINT64_MAX;
        r->pins_lost++;
    }
}

/* The oldest is gone; who pinned it has lost it. */
static void pop_oldest(struct ldb_retained *r) LDB_REQUIRES(r->mu)
{
    const struct ldb_retained_journal *oldest = ldb_retained_item(r, 0);

    lose_pins(r, oldest->number, oldest->len);
    r->head++;
    r->count--;
}

static bool is_pinned(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->mu)
{
    for (const struct ldb_pin *p = r->pins; p != NULL; p = p->next) {
        if (p->number <= number && !p->is_lost)
            return true;
    }
    return false;
}

/* ---- files ---- */

static uint64_t disk_bytes(uint64_t len)
{
    uint64_t blocks = len / DISK_BLOCK_BYTES;

    if (len % DISK_BLOCK_BYTES != 0 || blocks == 0)
        blocks++;
    return blocks * DISK_BLOCK_BYTES;
}

/* NOT_FOUND counts as done: it is not there. */
static bool remove_journal(struct ldb_retained *r, const char *dir,
                           uint64_t number)
{
    char *path = ldb_file_path(dir, LDB_FILE_JOURNAL, number);
    enum ldb_status s = LDB_NO_MEMORY;

    if (path != NULL)
        s = r->env->ops->remove_file(r->env, path, NULL);
    ldb_mem_free(path);
    return s == LDB_OK || s == LDB_NOT_FOUND;
}

static bool sync_archive(struct ldb_retained *r) LDB_REQUIRES(r->work_mu)
{
    if (r->env->ops->sync_dir(r->env, r->archive, NULL) != LDB_OK)
        return false;
    r->has_linked = false;
    r->has_removed = false;
    return true;
}

static bool make_folder(struct ldb_retained *r, struct ldb_error *err)
    LDB_REQUIRES(r->work_mu)
{
    char *own = ldb_mem_printf("%s/" LDB_OWN_FOLDER, r->dir);
    enum ldb_status s = LDB_OK;

    if (r->has_folder) {
        ldb_mem_free(own);
        return true;
    }
    s = own == NULL ? ldb_error_no_memory(err)
                    : ldb_env_create_folder(r->env, own, err);
    if (s == LDB_OK)
        s = ldb_env_create_folder(r->env, r->archive, err);
    ldb_mem_free(own);
    r->has_folder = s == LDB_OK;
    return r->has_folder;
}

static enum ldb_status link_once(struct ldb_retained *r, const char *from,
                                 const char *to, struct ldb_error *err)
{
    enum ldb_status s = ldb_env_link_or_copy(r->env, from, to, err);

    if (s != LDB_EXISTS)
        return s;
    /* What a crash left of an earlier try. */
    s = r->env->ops->remove_file(r->env, to, err);
    return s == LDB_OK ? ldb_env_link_or_copy(r->env, from, to, err) : s;
}

/* Gives the journal its second name. */
static bool link_journal(struct ldb_retained *r, uint64_t number,
                         struct ldb_error *err) LDB_REQUIRES(r->work_mu)
{
    char *from = ldb_file_path(r->dir, LDB_FILE_JOURNAL, number);
    char *to = ldb_file_path(r->archive, LDB_FILE_JOURNAL, number);
    enum ldb_status s = LDB_NO_MEMORY;

    if (from == NULL || to == NULL)
        ldb_error_no_memory(err);
    else if (make_folder(r, err))
        s = link_once(r, from, to, err);
    ldb_mem_free(from);
    ldb_mem_free(to);
    r->has_linked |= s == LDB_OK;
    r->has_strays |= s != LDB_OK; /* half a copy */
    return s == LDB_OK;
}

/* ---- letting journals go ---- */

static bool oldest_is_archived(struct ldb_retained *r) LDB_EXCLUDES(r->mu)
{
    bool result;

    ldb_mutex_lock(&r->mu);
    result = r->count > 0 && ldb_retained_item(r, 0)->is_archived;
    ldb_mutex_unlock(&r->mu);
    return result;
}

static bool is_kept(struct ldb_retained *r, uint64_t number) LDB_EXCLUDES(r->mu)
{
    const struct ldb_retained_journal *found;
    bool result;

    ldb_mutex_lock(&r->mu);
    found = ldb_retained_find_number(r, number);
    result = found != NULL && found->is_archived;
    ldb_mutex_unlock(&r->mu);
    return result;
}

/* Nothing but what is on the list lies in the archive. */
static void count_bytes(struct ldb_retained *r) LDB_EXCLUDES(r->mu)
{
    ldb_mutex_lock(&r->mu);
    r->bytes = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct ldb_retained_journal *journal = ldb_retained_item(r, i);

        if (journal->is_archived)
            r->bytes += disk_bytes(journal->len);
    }
    ldb_mutex_unlock(&r->mu);
}

static bool remove_unlisted(struct ldb_retained *r,
                            const struct ldb_folder_files *found)
    LDB_REQUIRES(r->work_mu)
{
    bool has_kept = oldest_is_archived(r);

    for (size_t i = 0; i < found->count; i++) {
        uint64_t number = found->files[i].number;

        if (found->files[i].type != LDB_FILE_JOURNAL || is_kept(r, number))
            continue;
        if (!remove_journal(r, r->archive, number)) {
            ldb_log_line(r->log, "journal@archive cannot remove @%" PRIu64,
                         number);
            return false;
        }
        if (has_kept && !sync_archive(r))
            return false;
    }
    return sync_archive(r);
}

/*
 * Removes what lies in the archive and is not on the list: the oldest first,
 * and each durably where newer ones are kept, so that no set of them is ever
 * left that lacks one in its middle. False: some stay, or may come back; until
 * they do not, nothing may be archived that would seem to follow on them.
 */
static bool remove_strays(struct ldb_retained *r) LDB_REQUIRES(r->work_mu)
{
    struct ldb_folder_files found;
    enum ldb_status s;

    if (!r->has_strays)
        return true;
    s = ldb_folder_files_list(r->env, r->archive, NULL, &found);
    if (s == LDB_NOT_FOUND || (s == LDB_OK && remove_unlisted(r, &found)))
        r->has_strays = false;
    ldb_folder_files_release(&found);
    if (r->has_strays)
        return false;
    count_bytes(r);
    return true;
}

/* Those up to that number are on the list no more; their files go on to count
 * until they are gone. */
static void let_go_up_to(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->work_mu)
{
    ldb_mutex_lock(&r->mu);
    while (r->count > 0 && ldb_retained_item(r, 0)->number <= number) {
        r->has_strays |= ldb_retained_item(r, 0)->is_archived;
        pop_oldest(r);
    }
    ldb_mutex_unlock(&r->mu);
}

/* Journal number cannot be kept: none before it is of use then. */
static void drop_up_to(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->work_mu)
{
    let_go_up_to(r, number);
    (void)remove_strays(r);
}

/* At open, when all that is listed is archived. */
static void drop_archive(struct ldb_retained *r) LDB_REQUIRES(r->work_mu)
{
    drop_up_to(r, UINT64_MAX);
}

/* Takes the oldest, an archived one, off the list, and its file away, while
 * those after it stay: only one removal may come back. */
static bool drop_oldest(struct ldb_retained *r) LDB_REQUIRES(r->work_mu)
{
    struct ldb_retained_journal journal;

    if (!remove_strays(r) || (r->has_removed && !sync_archive(r)))
        return false;
    ldb_mutex_lock(&r->mu);
    journal = *ldb_retained_item(r, 0);
    pop_oldest(r);
    ldb_mutex_unlock(&r->mu);
    assert(journal.is_archived);
    if (!remove_journal(r, r->archive, journal.number)) {
        r->has_strays = true;
        return remove_strays(r); /* again, and tells */
    }
    r->has_removed = true;
    ldb_mutex_lock(&r->mu);
    r->bytes -= disk_bytes(journal.len);
    ldb_mutex_unlock(&r->mu);
    return true;
}

/* Is there room for so many bytes more, or can it be made? None while there is
 * what should not be there. */
static bool make_room(struct ldb_retained *r, uint64_t bytes,
                      uint64_t bytes_max) LDB_REQUIRES(r->work_mu)
{
    if (!remove_strays(r))
        return false;
    for (;;) {
        bool fits;

        ldb_mutex_lock(&r->mu);
        fits = r->bytes <= bytes_max && bytes <= bytes_max - r->bytes;
        ldb_mutex_unlock(&r->mu);
        if (fits)
            return true;
        if (bytes > bytes_max || !oldest_is_archived(r) || !drop_oldest(r))
            return false;
    }
}

/* The oldest is past its time and nobody's. */
static bool oldest_is_too_old(struct ldb_retained *r) LDB_EXCLUDES(r->mu)
{
    uint64_t now = r->env->ops->monotonic_us(r->env);
    bool result = false;

    ldb_mutex_lock(&r->mu);
    if (r->count > 0) {
        const struct ldb_retained_journal *oldest = ldb_retained_item(r, 0);

        result = oldest->is_archived &&
                 now - oldest->archived_us >= r->age_us &&
                 !is_pinned(r, oldest->number);
    }
    ldb_mutex_unlock(&r->mu);
    return result;
}

static void trim(struct ldb_retained *r, uint64_t bytes_max)
    LDB_REQUIRES(r->work_mu)
{
    (void)make_room(r, 0, bytes_max < r->bytes_max ? bytes_max : r->bytes_max);
    for (unsigned n = 0; n < TOO_OLD_MAX && oldest_is_too_old(r); n++) {
        if (!drop_oldest(r))
            return;
    }
}

void ldb_retained_trim(struct ldb_retained *retained, uint64_t bytes_max)
{
    ldb_mutex_lock(&retained->work_mu);
    trim(retained, bytes_max);
    ldb_mutex_unlock(&retained->work_mu);
}

/* ---- taking journals in ---- */

static void log_failure(struct ldb_retained *r, uint64_t number,
                        const struct ldb_error *why)
{
    ldb_log_line(r->log, "journal@archive cannot keep @%" PRIu64 ": %s", number,
                 why->message[0] == '\0' ? "no room" : why->message);
}

static bool is_wanted(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->work_mu)
{
    bool result;

    if (r->is_off || r->bytes_max == 0)
        return false;
    ldb_mutex_lock(&r->mu);
    result = r->age_us > 0 || is_pinned(r, number);
    ldb_mutex_unlock(&r->mu);
    return result;
}

/* Its file in the folder has a second name from now on. */
static void note_archived(struct ldb_retained *r,
                          struct ldb_retained_journal *journal)
    LDB_REQUIRES(r->mu)
{
    journal->is_archived = true;
    journal->archived_us = r->env->ops->monotonic_us(r->env);
    r->bytes += disk_bytes(journal->len);
}

static bool archive_one(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->work_mu)
{
    const struct ldb_retained_journal *found;
    struct ldb_error err = {0};
    uint64_t len = 0;

    if (!is_wanted(r, number))
        return false;
    ldb_mutex_lock(&r->mu);
    found = ldb_retained_find_number(r, number);
    if (found != NULL && found->is_sealed)
        len = found->len;
    ldb_mutex_unlock(&r->mu);
    if (len == 0 || !make_room(r, disk_bytes(len), r->bytes_max) ||
        !link_journal(r, number, &err)) {
        log_failure(r, number, &err);
        return false;
    }
    ldb_mutex_lock(&r->mu);
    note_archived(r, ldb_retained_find_number(r, number));
    ldb_mutex_unlock(&r->mu);
    return true;
}

void ldb_retained_retire(struct ldb_retained *retained, const uint64_t *numbers,
                         size_t count)
{
    struct ldb_retained *r = retained;

    if (count == 0)
        return;
    ldb_mutex_lock(&r->work_mu);
    for (size_t i = 0; i < count; i++) {
        if (!archive_one(r, numbers[i]))
            drop_up_to(r, numbers[i]);
    }
    if (r->has_linked && !sync_archive(r))
        drop_up_to(r, numbers[count - 1]);
    /* One that stays is removed at the next open. */
    for (size_t i = 0; i < count; i++)
        (void)remove_journal(r, r->dir, numbers[i]);
    trim(r, UINT64_MAX);
    ldb_mutex_unlock(&r->work_mu);
}

enum ldb_status ldb_retained_reserve(struct ldb_retained *r,
                                     struct ldb_error *err)
{
    enum ldb_status s;

    ldb_mutex_lock(&r->mu);
    s = reserve(r, 1);
    ldb_mutex_unlock(&r->mu);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

void ldb_retained_seal(struct ldb_retained *retained, uint64_t len,
                       ldb_sequence last, uint64_t next)
{
    struct ldb_retained_journal opened = {
        .number = next, .first = last + 1, .last = LDB_SEQUENCE_MAX};
    struct ldb_retained_journal *sealed;

    ldb_mutex_lock(&retained->mu);
    sealed = newest(retained);
    assert(sealed != NULL && !sealed->is_sealed);
    sealed->is_sealed = true;
    sealed->len = len;
    sealed->last = last;
    push(retained, &opened);
    ldb_mutex_unlock(&retained->mu);
}

/* ---- opening: what lies in the archive ---- */

/* Puts an archived journal on the list; false: it cannot be read, and is no
 * journal of it. */
static bool add_found(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->work_mu)
{
    struct ldb_retained_journal journal = {.number = number, .is_sealed = true};
    char *path = ldb_file_path(r->archive, LDB_FILE_JOURNAL, number);
    char name[LDB_FILE_NAME_SIZE];
    bool is_good = false;

    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    if (path != NULL &&
        r->env->ops->file_size(r->env, path, NULL, &journal.len) == LDB_OK)
        is_good = ldb_journal_first(r->env, path, name, NULL, &journal.first) ==
                  LDB_OK;
    ldb_mem_free(path);
    ldb_mutex_lock(&r->mu);
    if (r->count > 0) {
        struct ldb_retained_journal *last = ldb_retained_item(r, r->count - 1);

        is_good = is_good && journal.first > last->first;
        last->last = is_good ? journal.first - 1 : last->first;
    }
    journal.last = journal.first;
    push(r, &journal);
    note_archived(r, ldb_retained_item(r, r->count - 1));
    ldb_mutex_unlock(&r->mu);
    return is_good;
}

static enum ldb_status load(struct ldb_retained *r, struct ldb_error *err)
    LDB_REQUIRES(r->work_mu)
{
    struct ldb_folder_files found;
    enum ldb_status s = ldb_folder_files_list(r->env, r->archive, NULL, &found);

    if (s != LDB_OK && s != LDB_NOT_FOUND && s != LDB_NO_MEMORY) {
        r->is_off = true; /* what is there cannot be counted */
        ldb_folder_files_release(&found);
        return LDB_OK;
    }
    if (s != LDB_NO_MEMORY)
        s = LDB_OK;
    for (size_t i = 0; s == LDB_OK && i < found.count; i++) {
        if (found.files[i].type != LDB_FILE_JOURNAL)
            continue;
        s = ldb_retained_reserve(r, err);
        if (s == LDB_OK && !add_found(r, found.files[i].number))
            let_go_up_to(r, found.files[i].number);
    }
    ldb_folder_files_release(&found);
    if (s == LDB_OK)
        (void)remove_strays(r);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

/* Reads an archived journal whole. False: it is not as it was put there. */
static bool check_whole(struct ldb_retained *r, uint64_t number,
                        ldb_sequence *out_last) LDB_REQUIRES(r->work_mu)
{
    char *path = ldb_file_path(r->archive, LDB_FILE_JOURNAL, number);
    struct ldb_journal_content content = {0};
    char name[LDB_FILE_NAME_SIZE];
    uint64_t size = 0;
    bool is_whole = false;

    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    if (path != NULL &&
        r->env->ops->file_size(r->env, path, NULL, &size) == LDB_OK &&
        ldb_journal_scan(r->env, path, name, NULL, &content) == LDB_OK)
        is_whole =
            !content.is_damaged && content.first != 0 && content.end == size;
    ldb_mem_free(path);
    *out_last = content.last;
    return is_whole;
}

/* The newest of the archive; false: it has none. */
static bool newest_archived(struct ldb_retained *r,
                            struct ldb_retained_journal *out)
    LDB_EXCLUDES(r->mu)
{
    bool has_one = false;

    ldb_mutex_lock(&r->mu);
    if (r->count > 0 && newest(r)->is_archived) {
        *out = *newest(r);
        has_one = true;
    }
    ldb_mutex_unlock(&r->mu);
    return has_one;
}

/* Is what was found in the archive of this history? Else it goes. */
static void check_loaded(struct ldb_retained *r,
                         const struct ldb_retained_found *found)
    LDB_REQUIRES(r->work_mu)
{
    struct ldb_retained_journal last = {0};
    ldb_sequence sequence = 0;

    if (!newest_archived(r, &last))
        return;
    if (found->is_new || r->bytes_max == 0 || r->age_us == 0 ||
        !check_whole(r, last.number, &sequence) ||
        sequence > found->in_tables) {
        drop_archive(r);
        return;
    }
    ldb_mutex_lock(&r->mu);
    ldb_retained_item(r, r->count - 1)->last = sequence;
    ldb_mutex_unlock(&r->mu);
}

/* ---- opening: journals that recovery has read ---- */

/* Cuts off what is torn, and makes the file durable. */
static enum ldb_status settle_file(struct ldb_retained *r, const char *path,
                                   uint64_t end, struct ldb_error *err)
{
    struct ldb_writable_file *file = NULL;
    uint64_t size = 0;
    enum ldb_status s = r->env->ops->file_size(r->env, path, err, &size);

    if (s == LDB_OK)
        s = r->env->ops->open_writable(r->env, path, LDB_OPEN_APPEND, err,
                                       &file);
    if (s == LDB_OK && size > end)
        s = ldb_file_truncate(file, end, err);
    if (s == LDB_OK)
        s = ldb_file_sync(file, err);
    if (file != NULL) {
        enum ldb_status closed = ldb_file_close(file, s == LDB_OK ? err : NULL);

        s = s == LDB_OK ? closed : s;
    }
    return s;
}

/* Does a journal with that first sequence follow on the newest archived one?
 * By its number, or because tables hold nothing that comes between. */
static bool follows(struct ldb_retained *r, ldb_sequence first,
                    ldb_sequence in_tables) LDB_EXCLUDES(r->mu)
{
    struct ldb_retained_journal last;

    return !newest_archived(r, &last) || first == last.last + 1 ||
           (first > last.last && last.last >= in_tables);
}

/* False: it is not kept, nor may those before it be. */
static bool adopt(struct ldb_retained *r, uint64_t number, const char *path,
                  ldb_sequence in_tables) LDB_REQUIRES(r->work_mu)
{
    struct ldb_journal_content content = {0};
    struct ldb_retained_journal journal = {.number = number, .is_sealed = true};
    struct ldb_error err = {0};
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    if (ldb_journal_scan(r->env, path, name, &err, &content) != LDB_OK ||
        content.is_damaged)
        return false;
    if (content.first == 0)
        return true; /* nothing to keep, and nothing is missing without it */
    if (!follows(r, content.first, in_tables))
        drop_archive(r);
    if (!is_wanted(r, number) ||
        !make_room(r, disk_bytes(content.end), r->bytes_max) ||
        settle_file(r, path, content.end, &err) != LDB_OK ||
        !link_journal(r, number, &err)) {
        log_failure(r, number, &err);
        return false;
    }
    journal.first = content.first;
    journal.last = content.last;
    journal.len = content.end;
    ldb_mutex_lock(&r->mu);
    push(r, &journal);
    note_archived(r, ldb_retained_item(r, r->count - 1));
    ldb_mutex_unlock(&r->mu);
    return true;
}

/* Those from number on go, the newest first: they still are in the folder. */
static void undo_from(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->work_mu)
{
    struct ldb_retained_journal last;

    while (newest_archived(r, &last) && last.number >= number) {
        bool is_removed = remove_journal(r, r->archive, last.number);

        r->has_removed = true;
        r->has_strays |= !is_removed;
        ldb_mutex_lock(&r->mu);
        if (is_removed)
            r->bytes -= disk_bytes(last.len);
        r->count--;
        ldb_mutex_unlock(&r->mu);
    }
}

/*
 * A crash came after the journal had its second name, or while it got it; or
 * its removal from the folder was undone when it had left the archive again.
 */
static bool is_here_already(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->work_mu)
{
    struct ldb_retained_journal last;
    bool is_listed;
    ldb_sequence sequence;

    if (!newest_archived(r, &last) || last.number < number)
        return false;
    ldb_mutex_lock(&r->mu);
    is_listed = ldb_retained_find_number(r, number) != NULL;
    ldb_mutex_unlock(&r->mu);
    if (!is_listed || check_whole(r, number, &sequence))
        return true;
    undo_from(r, number);
    return false;
}

static void take_in(struct ldb_retained *r, uint64_t number,
                    ldb_sequence in_tables) LDB_REQUIRES(r->work_mu)
{
    char *path = ldb_file_path(r->dir, LDB_FILE_JOURNAL, number);
    bool has_room = false;

    if (path != NULL) {
        ldb_mutex_lock(&r->mu);
        has_room = reserve(r, 2) == LDB_OK; /* and for the open one */
        ldb_mutex_unlock(&r->mu);
    }
    if (!has_room || r->bytes_max == 0 ||
        (!is_here_already(r, number) && !adopt(r, number, path, in_tables))) {
        drop_archive(r);
        ldb_mutex_lock(&r->mu);
        lose_pins(r, number, UINT64_MAX);
        ldb_mutex_unlock(&r->mu);
    }
    ldb_mem_free(path);
}

/* Those of the folder are found anew. */
static void forget_folder(struct ldb_retained *r) LDB_EXCLUDES(r->mu)
{
    ldb_mutex_lock(&r->mu);
    while (r->count > 0 && !newest(r)->is_archived)
        r->count--;
    ldb_mutex_unlock(&r->mu);
}

static void take_all_in(struct ldb_retained *r,
                        const struct ldb_retained_found *found)
    LDB_REQUIRES(r->work_mu)
{
    struct ldb_retained_journal last;

    for (size_t i = 0; i < found->count; i++)
        take_in(r, found->numbers[i], found->in_tables);
    /* Writes of somebody else, say, who left no journal of them. */
    if (newest_archived(r, &last) && last.last < found->in_all)
        drop_archive(r);
    if (r->has_linked && !sync_archive(r))
        drop_archive(r);
    for (size_t i = 0; i < found->count; i++)
        (void)remove_journal(r, r->dir, found->numbers[i]);
}

enum ldb_status ldb_retained_open(struct ldb_retained *retained,
                                  const struct ldb_retained_found *found,
                                  uint64_t number, ldb_sequence last,
                                  struct ldb_error *err)
{
    struct ldb_retained *r = retained;
    struct ldb_retained_journal opened = {
        .number = number, .first = last + 1, .last = LDB_SEQUENCE_MAX};
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&r->work_mu);
    forget_folder(r);
    if (!r->is_loaded) {
        s = load(r, err);
        if (s == LDB_OK)
            check_loaded(r, found);
        r->is_loaded = s == LDB_OK;
    }
    if (s == LDB_OK) {
        take_all_in(r, found);
        s = ldb_retained_reserve(r, err);
    }
    if (s == LDB_OK) {
        ldb_mutex_lock(&r->mu);
        push(r, &opened);
        ldb_mutex_unlock(&r->mu);
        trim(r, UINT64_MAX);
    }
    ldb_mutex_unlock(&r->work_mu);
    return s;
}

/* ---- without a database ---- */

void ldb_retained_discard(struct ldb_env *env, const char *dir)
{
    char *archive = ldb_mem_printf("%s/" LDB_ARCHIVE_FOLDER, dir);
    struct ldb_folder_files found;

    if (archive == NULL)
        return;
    if (ldb_folder_files_list(env, archive, NULL, &found) == LDB_OK &&
        found.count > 0) {
        for (size_t i = 0; i < found.count; i++) {
            char *path;

            if (found.files[i].type != LDB_FILE_JOURNAL)
                continue;
            path =
                ldb_file_path(archive, LDB_FILE_JOURNAL, found.files[i].number);
            if (path != NULL)
                (void)env->ops->remove_file(env, path, NULL);
            ldb_mem_free(path);
        }
        (void)env->ops->sync_dir(env, archive, NULL);
    }
    ldb_folder_files_release(&found);
    ldb_mem_free(archive);
}
