/*
 * What is durable when: a directory's changes may survive a power cut in any
 * set until it is synced. So each journal that goes is one sync, newest first;
 * tables have theirs before the MANIFEST that names them, and that one before
 * CURRENT, as ever. leveld/incoming/ is synced last: until then a name there
 * may come back, of a file that is in force.
 */
#include "replication/twin_switch.h"

#include <inttypes.h>

#include "replication/clean_stop.h"
#include "replication/digest_store.h"
#include "replication/incoming.h"
#include "replication/sidecar.h"
#include "replication/twin_mark.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/retained.h"
#include "storage/version/current_file.h"
#include "storage/version/manifest.h"

/* ---- small things ---- */

static enum ldb_status sync_main(const struct repl_switch *sw,
                                 struct ldb_error *err)
{
    return sw->env->ops->sync_dir(sw->env, sw->dir, err);
}

static char *path_of(const struct repl_switch *sw, const struct repl_step *step)
{
    return ldb_mem_printf("%s/%s%s", sw->dir,
                          step->is_archived ? LDB_ARCHIVE_FOLDER "/" : "",
                          step->name);
}

/* It may be gone: an earlier call came so far. */
static enum ldb_status remove_path(const struct repl_switch *sw,
                                   const char *path, struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status s = sw->env->ops->remove_file(sw->env, path, &why);

    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status remove_file(const struct repl_switch *sw,
                                   enum ldb_file_type type, uint64_t number,
                                   struct ldb_error *err)
{
    char *path = ldb_file_path(sw->dir, type, number);
    enum ldb_status s =
        path == NULL ? ldb_error_no_memory(err) : remove_path(sw, path, err);

    ldb_mem_free(path);
    return s;
}

/* An empty file of that path, which is synced, and so is its name. */
static enum ldb_status make_empty(const struct repl_switch *sw,
                                  const char *path, const char *name,
                                  struct ldb_error *err)
{
    char *temporary =
        ldb_mem_printf("%s/" LDB_INCOMING_FOLDER "/%s.empty", sw->dir, name);
    enum ldb_status s =
        temporary == NULL
            ? ldb_error_no_memory(err)
            : ldb_env_replace_file(sw->env, sw->dir, path, temporary,
                                   (struct ldb_slice){0}, err);

    ldb_mem_free(temporary);
    return s;
}

static enum ldb_status sync_archive(const struct repl_switch *sw,
                                    struct ldb_error *err)
{
    char *folder = ldb_mem_printf("%s/" LDB_ARCHIVE_FOLDER, sw->dir);
    enum ldb_status s = folder == NULL
                            ? ldb_error_no_memory(err)
                            : sw->env->ops->sync_dir(sw->env, folder, err);

    ldb_mem_free(folder);
    return s;
}

/* ---- journals out ---- */

static bool is_journal(const struct repl_step *step)
{
    uint64_t number;

    return ldb_file_name_parse(step->name, &number) == LDB_FILE_JOURNAL;
}

/*
 * One that is in the folder may have its name in the archive, too: a leader
 * gives it that first, and was killed before it took the other away. It goes
 * before that in the folder, for whose sake the step is taken again.
 */
static enum ldb_status remove_archived_name(const struct repl_switch *sw,
                                            const struct repl_step *step,
                                            struct ldb_error *err)
{
    struct ldb_error why = {0};
    char *path;
    enum ldb_status s;

    if (step->is_archived || !is_journal(step))
        return LDB_OK;
    path = ldb_mem_printf("%s/" LDB_ARCHIVE_FOLDER "/%s", sw->dir, step->name);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = sw->env->ops->remove_file(sw->env, path, &why);
    ldb_mem_free(path);
    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s == LDB_OK)
        return sync_archive(sw, err);
    if (err != NULL)
        *err = why;
    return s;
}

/*
 * The one that the MANIFEST in force asks for stays, empty: that it is gone
 * would tell of a MANIFEST that has lost records (recovered.h).
 */
static enum ldb_status take_out(const struct repl_switch *sw,
                                const struct repl_step *step, const char *path,
                                struct ldb_error *err)
{
    enum ldb_status s = remove_archived_name(sw, step, err);

    if (s != LDB_OK)
        return s;
    if (!step->is_archived && sw->input->is_in_force &&
        step->number == sw->input->held_log_number)
        return make_empty(sw, path, step->name, err);
    s = remove_path(sw, path, err);
    if (s != LDB_OK)
        return s;
    return step->is_archived ? sync_archive(sw, err) : sync_main(sw, err);
}

/* Among the rewind's files, or those of another one, where it has one of that
 * name already. */
static enum ldb_status keep_aside(struct repl_switch *sw,
                                  const struct repl_step *step,
                                  const char *path, struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status s = LDB_EXISTS;

    if (sw->intent.rewind != 0)
        s = repl_diverged_take(sw->env, sw->dir, sw->intent.rewind, path,
                               step->name, &why);
    if (s == LDB_EXISTS) {
        s = repl_diverged_begin(sw->env, sw->dir, &sw->rewind, &why,
                                &sw->intent.rewind);
        if (s == LDB_OK)
            s = repl_rebuild_intent_store(sw->env, sw->dir, &sw->intent, &why);
        if (s == LDB_OK)
            s = repl_diverged_take(sw->env, sw->dir, sw->intent.rewind, path,
                                   step->name, &why);
    }
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status set_aside(struct repl_switch *sw,
                                 const struct repl_step *step,
                                 struct ldb_error *err)
{
    char *path = path_of(sw, step);
    enum ldb_status s = path == NULL ? ldb_error_no_memory(err)
                                     : keep_aside(sw, step, path, err);

    /* A table goes when the folder is opened. */
    if (s == LDB_OK && is_journal(step))
        s = take_out(sw, step, path, err);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status drop(const struct repl_switch *sw,
                            const struct repl_step *step, struct ldb_error *err)
{
    char *path = path_of(sw, step);
    enum ldb_status s =
        path == NULL ? ldb_error_no_memory(err) : take_out(sw, step, path, err);

    ldb_mem_free(path);
    return s;
}

static enum ldb_status forget(const struct repl_switch *sw,
                              const struct repl_step *step,
                              struct ldb_error *err)
{
    char *path = path_of(sw, step);
    enum ldb_status s = path == NULL ? ldb_error_no_memory(err)
                                     : remove_archived_name(sw, step, err);

    if (s == LDB_OK)
        s = remove_path(sw, path, err);
    if (s == LDB_OK && step->is_archived)
        s = sync_archive(sw, err);
    ldb_mem_free(path);
    return s;
}

/* ---- an empty database ---- */

/* Above every number in the folder, and every one that is to come. */
static enum ldb_status free_number(const struct repl_switch *sw,
                                   struct ldb_error *err, uint64_t *out)
{
    const struct repl_plan_input *in = sw->input;
    struct ldb_folder_files files = {0};
    uint64_t max = in->manifest_number > in->log_number ? in->manifest_number
                                                        : in->log_number;
    enum ldb_status s = ldb_folder_files_list(sw->env, sw->dir, err, &files);

    if (s != LDB_OK)
        return s;
    if (ldb_folder_files_max(&files) > max)
        max = ldb_folder_files_max(&files);
    for (size_t i = 0; i < in->wanted_count; i++) {
        if (in->wanted[i].number > max)
            max = in->wanted[i].number;
    }
    for (size_t i = 0; i < in->leader_journal_count; i++) {
        if (in->leader_journals[i] > max)
            max = in->leader_journals[i];
    }
    ldb_folder_files_release(&files);
    if (max > LDB_FILE_NUMBER_MAX - 3)
        return ldb_error_set(err, LDB_NOT_SUPPORTED,
                             "%.160s: no file numbers are left", sw->dir);
    *out = max + 1;
    return LDB_OK;
}

/* The edit of an empty database; log_number 0: it has no journal yet. */
static enum ldb_status encode_empty(const struct repl_switch *sw,
                                    uint64_t log_number, uint64_t next_number,
                                    struct ldb_error *err, struct ldb_buf *out)
{
    struct ldb_version_edit edit = {0};
    enum ldb_status s =
        ldb_version_edit_set_comparator(&edit, sw->comparator->name);

    ldb_version_edit_set_log_number(&edit, log_number);
    ldb_version_edit_set_next_file_number(&edit, next_number);
    ldb_version_edit_set_last_sequence(&edit, 0);
    ldb_buf_clear(out);
    if (s == LDB_OK)
        s = ldb_version_edit_encode(&edit, out);
    ldb_version_edit_release(&edit);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

static enum ldb_status make_journal(const struct repl_switch *sw,
                                    uint64_t number, struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    char *path = ldb_file_path(sw->dir, LDB_FILE_JOURNAL, number);
    uint64_t size = 0;
    enum ldb_status s = LDB_NO_MEMORY;

    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    if (path == NULL)
        ldb_error_no_memory(err);
    else
        s = sw->env->ops->file_size(sw->env, path, err, &size);
    if (s == LDB_NOT_FOUND)
        s = make_empty(sw, path, name, err);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status set_current(const struct repl_switch *sw,
                                   uint64_t number, struct ldb_error *err)
{
    char *next = repl_incoming_path(sw->dir, "CURRENT", false);
    enum ldb_status s;

    if (next == NULL)
        return ldb_error_no_memory(err);
    s = ldb_current_exchange(sw->env, sw->dir, number, next, err);
    ldb_mem_free(next);
    return s;
}

/* Makes MANIFEST-number with that edit, and CURRENT to name it. */
static enum ldb_status set_empty(const struct repl_switch *sw, uint64_t number,
                                 uint64_t log_number, struct ldb_error *err,
                                 struct ldb_manifest **out)
{
    struct ldb_buf record = LDB_BUF_INIT(SIZE_MAX);
    enum ldb_status s = encode_empty(sw, log_number, number + 2, err, &record);

    if (s == LDB_OK)
        s = ldb_manifest_create(sw->env, sw->dir, number,
                                ldb_slice_of_buf(&record), err, out);
    if (s == LDB_OK)
        s = set_current(sw, number, err);
    ldb_buf_release(&record);
    return s;
}

/* In the order in which every database is made: a journal without CURRENT
 * would look like one that has lost it. */
static enum ldb_status make_database(const struct repl_switch *sw,
                                     uint64_t number, struct ldb_error *err)
{
    struct ldb_buf record = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_manifest *manifest = NULL;
    bool is_unknown = false; /* after a failure all is made anew */
    enum ldb_status s = set_empty(sw, number, 0, err, &manifest);

    if (s == LDB_OK)
        s = make_journal(sw, number + 1, err);
    if (s == LDB_OK)
        s = encode_empty(sw, number + 1, number + 2, err, &record);
    if (s == LDB_OK)
        s = ldb_manifest_append(manifest, ldb_slice_of_buf(&record), err,
                                &is_unknown);
    ldb_manifest_close(manifest);
    ldb_buf_release(&record);
    return s;
}

/* Beside tables, the MANIFEST's journal is there before it. */
static enum ldb_status empty_database(const struct repl_switch *sw,
                                      uint64_t number, struct ldb_error *err)
{
    struct ldb_manifest *manifest = NULL;
    enum ldb_status s = make_journal(sw, number + 1, err);

    if (s == LDB_OK)
        s = set_empty(sw, number, number + 1, err, &manifest);
    ldb_manifest_close(manifest);
    return s;
}

/* As a database is that was made just now, but for the numbers. */
static enum ldb_status clear(const struct repl_switch *sw,
                             struct ldb_error *err)
{
    struct ldb_error why = {0};
    uint64_t found = 0;
    uint64_t number = 0;
    bool is_settled = false;
    enum ldb_status s =
        ldb_current_read(sw->env, sw->dir, &why, &found, &is_settled);
    bool is_new = s == LDB_NOT_FOUND;

    if (s == LDB_NOT_FOUND || s == LDB_CORRUPTION)
        s = LDB_OK;
    if (s == LDB_OK)
        s = free_number(sw, &why, &number);
    if (s == LDB_OK)
        s = is_new ? make_database(sw, number, &why)
                   : empty_database(sw, number, &why);
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

/* ---- the leader's files in ---- */

/* NNNNNN.ldb is read before NNNNNN.sst: of the two only one may be there. */
static enum ldb_status remove_other_spelling(const struct repl_switch *sw,
                                             const struct repl_step *step,
                                             struct ldb_error *err)
{
    uint64_t number;
    enum ldb_file_type type = ldb_file_name_parse(step->name, &number);

    return remove_file(
        sw, type == LDB_FILE_TABLE ? LDB_FILE_TABLE_SST : LDB_FILE_TABLE,
        number, err);
}

static enum ldb_status move_in(const struct repl_switch *sw,
                               const struct repl_step *step,
                               struct ldb_error *err)
{
    char *from = repl_incoming_path(sw->dir, step->name, step->is_linked);
    char *to = ldb_mem_printf("%s/%s", sw->dir, step->name);
    enum ldb_status s = LDB_NO_MEMORY;

    if (from == NULL || to == NULL)
        ldb_error_no_memory(err);
    else
        s = sw->env->ops->rename_file(sw->env, from, to, err);
    ldb_mem_free(from);
    ldb_mem_free(to);
    return s;
}

static enum ldb_status place(const struct repl_switch *sw,
                             const struct repl_step *step,
                             struct ldb_error *err)
{
    enum ldb_status s = move_in(sw, step, err);

    return s == LDB_OK ? remove_other_spelling(sw, step, err) : s;
}

/* What was ours alone is out, and none of the leader's bytes is in force. */
static enum ldb_status adopt(const struct repl_switch *sw,
                             struct ldb_error *err)
{
    enum ldb_status s =
        repl_epoch_history_store(sw->env, sw->dir, sw->history, err);

    if (s == LDB_OK)
        s = repl_identity_store(sw->env, sw->dir, &sw->identity, err);
    return s;
}

/* The tables are there for good, and so is the journal; then the rest may be.
 */
static enum ldb_status begin(const struct repl_switch *sw,
                             const struct repl_step *step,
                             struct ldb_error *err)
{
    enum ldb_status s = sync_main(sw, err);

    if (s == LDB_OK)
        s = make_journal(sw, step->number, err);
    if (s == LDB_OK)
        s = adopt(sw, err);
    return s;
}

static enum ldb_status put_manifest(const struct repl_switch *sw,
                                    const struct repl_step *step,
                                    struct ldb_error *err)
{
    enum ldb_status s = move_in(sw, step, err);

    return s == LDB_OK ? sync_main(sw, err) : s;
}

/* ---- before and after ---- */

static enum ldb_status remove_pending(const struct repl_switch *sw,
                                      struct ldb_error *err)
{
    struct ldb_folder_files files = {0};
    enum ldb_status s = ldb_folder_files_list(sw->env, sw->dir, err, &files);

    for (size_t i = 0; s == LDB_OK && i < files.count; i++) {
        if (files.files[i].type == LDB_FILE_CURRENT_NEXT)
            s = remove_file(sw, LDB_FILE_CURRENT_NEXT, files.files[i].number,
                            err);
    }
    if (s == LDB_OK)
        s = sync_main(sw, err);
    ldb_folder_files_release(&files);
    return s;
}

/* CURRENT itself is what tells, and no CURRENT.N that lies about. */
static enum ldb_status settle(const struct repl_switch *sw,
                              struct ldb_error *err)
{
    struct ldb_error why = {0};
    uint64_t number = 0;
    bool is_settled = true;
    enum ldb_status s =
        ldb_current_read(sw->env, sw->dir, &why, &number, &is_settled);

    if (s == LDB_NOT_FOUND || s == LDB_CORRUPTION)
        return remove_pending(sw, err);
    if (s == LDB_OK && !is_settled) {
        s = ldb_current_set(sw->env, sw->dir, number, &why);
        if (s == LDB_OK)
            s = remove_pending(sw, &why);
    }
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status prepare(struct repl_switch *sw, struct ldb_error *err)
{
    enum ldb_status s;

    sw->intent.phase = REPL_REBUILD_SWITCHING;
    s = repl_rebuild_intent_store(sw->env, sw->dir, &sw->intent, err);
    if (s == LDB_OK)
        s = repl_clean_stop_remove(sw->env, sw->dir, err);
    if (s == LDB_OK)
        s = repl_twin_mark_remove(sw->env, sw->dir, err);
    /* They are of names that will be other files. */
    if (s == LDB_OK)
        s = repl_sidecar_remove(sw->env, sw->dir, REPL_DIGESTS_FILE, err);
    if (s == LDB_OK)
        s = settle(sw, err);
    return s;
}

/* A MANIFEST that CURRENT does not name; a journal left empty for one, which
 * none of the leader's asks for. */
static enum ldb_status is_leftover(const struct repl_switch *sw,
                                   const struct ldb_folder_file *file,
                                   struct ldb_error *err, bool *out)
{
    uint64_t size = 0;
    char *path;
    enum ldb_status s;

    *out = file->type == LDB_FILE_MANIFEST &&
           file->number != sw->input->manifest_number;
    if (file->type != LDB_FILE_JOURNAL || file->number <= sw->input->log_number)
        return LDB_OK;
    path = ldb_file_path(sw->dir, file->type, file->number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = sw->env->ops->file_size(sw->env, path, err, &size);
    ldb_mem_free(path);
    *out = s == LDB_OK && size == 0;
    return s;
}

static enum ldb_status remove_leftovers(const struct repl_switch *sw,
                                        struct ldb_error *err)
{
    struct ldb_folder_files files = {0};
    enum ldb_status s = ldb_folder_files_list(sw->env, sw->dir, err, &files);

    for (size_t i = 0; s == LDB_OK && i < files.count; i++) {
        bool is_one = false;

        s = is_leftover(sw, &files.files[i], err, &is_one);
        if (s == LDB_OK && is_one)
            s = remove_file(sw, files.files[i].type, files.files[i].number,
                            err);
    }
    if (s == LDB_OK)
        s = sync_main(sw, err);
    ldb_folder_files_release(&files);
    return s;
}

static enum ldb_status finish(const struct repl_switch *sw,
                              struct ldb_error *err)
{
    enum ldb_status s = remove_leftovers(sw, err);

    if (s == LDB_OK)
        s = repl_incoming_clean(sw->env, sw->dir, true, err);
    if (s == LDB_OK)
        s = repl_rebuild_intent_remove(sw->env, sw->dir, err);
    return s;
}

/* ---- all of it ---- */

static enum ldb_status run_step(struct repl_switch *sw,
                                const struct repl_step *step,
                                struct ldb_error *err)
{
    switch (step->kind) {
    case REPL_STEP_KEEP:
    case REPL_STEP_LINK:
    case REPL_STEP_FETCH:
        return LDB_OK; /* done before */
    case REPL_STEP_SET_ASIDE:
        return set_aside(sw, step, err);
    case REPL_STEP_DROP:
        return drop(sw, step, err);
    case REPL_STEP_CLEAR:
        return clear(sw, err);
    case REPL_STEP_PLACE:
        return place(sw, step, err);
    case REPL_STEP_BEGIN:
        return begin(sw, step, err);
    case REPL_STEP_MANIFEST:
        return put_manifest(sw, step, err);
    case REPL_STEP_CURRENT:
        return set_current(sw, step->number, err);
    case REPL_STEP_FORGET:
        return forget(sw, step, err);
    }
    return LDB_OK;
}

enum ldb_status repl_switch_run(struct repl_switch *sw, struct ldb_error *err)
{
    enum ldb_status s = prepare(sw, err);

    for (size_t i = 0; s == LDB_OK && i < sw->plan->count; i++) {
        const struct repl_step *step = &sw->plan->steps[i];

        s = run_step(sw, step, err);
        if (s != LDB_OK)
            s = ldb_error_prefix(err, s, "rebuild, %s %s",
                                 repl_step_text(step->kind), step->name);
    }
    if (s == LDB_OK)
        s = finish(sw, err);
    return s;
}
