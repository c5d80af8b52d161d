#include "storage/version/recovered.h"

#include <inttypes.h>

#include "storage/base/status.h"
#include "storage/version/manifest.h"
#include "storage/version/version_set.h"

/* ---- compaction pointers ---- */

void ldb_compact_pointers_init(struct ldb_buf pointers[LDB_LEVEL_COUNT])
{
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        pointers[level] = (struct ldb_buf)LDB_BUF_INIT(SIZE_MAX);
}

void ldb_compact_pointers_release(struct ldb_buf pointers[LDB_LEVEL_COUNT])
{
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        ldb_buf_release(&pointers[level]);
}

enum ldb_status
ldb_compact_pointers_copy(struct ldb_buf pointers[LDB_LEVEL_COUNT],
                          const struct ldb_version_edit *edit)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < edit->pointer_count; i++) {
        const struct ldb_edit_pointer *pointer = &edit->pointers[i];

        assert(pointer->level < LDB_LEVEL_COUNT);
        s = ldb_buf_assign(&pointers[pointer->level], pointer->key);
    }
    return s;
}

/* ---- the sum of the records ---- */

static enum ldb_status check_comparator(const struct ldb_recovered_sum *sum,
                                        const char *name, struct ldb_error *err)
{
    if (strcmp(name, sum->comparator->name) == 0)
        return LDB_OK;
    return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                         "made with comparator \"%s\", opened with \"%s\"",
                         name, sum->comparator->name);
}

static enum ldb_status check_number(const char *what, uint64_t number,
                                    struct ldb_error *err)
{
    /* Strictly below: there must be a next one. */
    if (number < LDB_FILE_NUMBER_MAX)
        return LDB_OK;
    return ldb_error_set(err, LDB_CORRUPTION, "%s %" PRIu64 " is out of range",
                         what, number);
}

/* Scalars: the last one read wins. */
static enum ldb_status add_scalars(struct ldb_recovered_sum *sum,
                                   const struct ldb_version_edit *edit,
                                   struct ldb_error *err)
{
    struct ldb_recovered *to = sum->recovered;
    enum ldb_status s = LDB_OK;

    if (edit->has_comparator) {
        sum->has_comparator = true;
        s = check_comparator(sum, edit->comparator, err);
    }
    if (s == LDB_OK && edit->has_log_number) {
        sum->has_log_number = true;
        to->log_number = edit->log_number;
        s = check_number("log number", to->log_number, err);
    }
    if (s == LDB_OK && edit->has_prev_log_number) {
        to->prev_log_number = edit->prev_log_number;
        s = check_number("previous log number", to->prev_log_number, err);
    }
    if (s == LDB_OK && edit->has_next_file_number) {
        sum->has_next_file_number = true;
        to->next_file_number = edit->next_file_number;
        s = check_number("next file number", to->next_file_number, err);
    }
    if (s == LDB_OK && edit->has_last_sequence) {
        sum->has_last_sequence = true;
        to->last_sequence = edit->last_sequence;
        if (to->last_sequence > LDB_SEQUENCE_MAX)
            s = ldb_error_set(err, LDB_CORRUPTION,
                              "last sequence %" PRIu64 " has over 56 bits",
                              to->last_sequence);
    }
    return s;
}

enum ldb_status ldb_recovered_sum_add(struct ldb_recovered_sum *sum,
                                      const struct ldb_version_edit *edit,
                                      struct ldb_error *err)
{
    enum ldb_status s = add_scalars(sum, edit, err);

    for (size_t i = 0; s == LDB_OK && i < edit->added_count; i++)
        s = check_number("table", edit->added[i].meta->number, err);
    if (s == LDB_OK)
        s = ldb_version_builder_apply(sum->builder, edit, err);
    if (s == LDB_OK &&
        ldb_compact_pointers_copy(sum->recovered->pointers, edit) != LDB_OK)
        s = ldb_error_no_memory(err);
    return s;
}

static enum ldb_status add_edit(void *context,
                                const struct ldb_version_edit *edit,
                                struct ldb_error *err)
{
    return ldb_recovered_sum_add(context, edit, err);
}

enum ldb_status ldb_recovered_sum_check(const struct ldb_recovered_sum *sum,
                                        uint64_t number, struct ldb_error *err)
{
    const char *missing = NULL;

    if (!sum->has_comparator)
        missing = "comparator";
    else if (!sum->has_log_number)
        missing = "log number";
    else if (!sum->has_next_file_number)
        missing = "next file number";
    else if (!sum->has_last_sequence)
        missing = "last sequence number";
    if (missing == NULL)
        return LDB_OK;
    return ldb_error_set(err, LDB_CORRUPTION,
                         "MANIFEST-%06" PRIu64 " has no %s", number, missing);
}

static void raise_sequence(struct ldb_recovered *recovered,
                           struct ldb_slice key)
{
    ldb_sequence sequence = ldb_tag_sequence(ldb_internal_tag(key));

    if (sequence > recovered->last_sequence)
        recovered->last_sequence = sequence;
}

static void mark_used(struct ldb_recovered *recovered, uint64_t number)
{
    if (number >= recovered->next_file_number)
        recovered->next_file_number = number + 1;
}

/* Field 4 can lag behind the tables (goleveldb's 64 MiB rotation loses it),
 * and nothing ties field 3 to the numbers in use. */
static void raise_counters(struct ldb_recovered *recovered, uint64_t number)
{
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &recovered->version->levels[l];

        for (size_t i = 0; i < level->count; i++) {
            raise_sequence(recovered, level->files[i]->smallest);
            raise_sequence(recovered, level->files[i]->largest);
            mark_used(recovered, level->files[i]->number);
        }
    }
    mark_used(recovered, number);
    mark_used(recovered, recovered->log_number);
    mark_used(recovered, recovered->prev_log_number);
}

static enum ldb_status recover(struct ldb_recovered *out, struct ldb_env *env,
                               const char *dir, uint64_t number,
                               const struct ldb_comparator *comparator,
                               bool skip_damage, struct ldb_error *err)
{
    struct ldb_recovered_sum sum = {.comparator = comparator, .recovered = out};
    enum ldb_status s;

    *out = (struct ldb_recovered){0};
    ldb_compact_pointers_init(out->pointers);
    s = check_number("MANIFEST", number, err);
    if (s == LDB_OK)
        s = ldb_version_builder_create(comparator, NULL, err, &sum.builder);
    if (s != LDB_OK)
        goto out;
    if (skip_damage)
        s = ldb_manifest_salvage(env, dir, number, add_edit, &sum, err,
                                 &out->manifest_len, &out->dropped_bytes);
    else
        s = ldb_manifest_read(env, dir, number, add_edit, &sum, err,
                              &out->manifest_len);
    if (s == LDB_NOT_FOUND)
        s = ldb_error_set(
            err, LDB_CORRUPTION,
            "CURRENT names MANIFEST-%06" PRIu64 ", which is missing", number);
    if (s == LDB_OK)
        s = ldb_recovered_sum_check(&sum, number, err);
    if (s == LDB_OK)
        s = ldb_version_builder_finish(sum.builder, err, &out->version);
    if (s == LDB_OK)
        raise_counters(out, number);
out:
    ldb_version_builder_destroy(sum.builder);
    if (s != LDB_OK)
        ldb_recovered_release(out);
    return s;
}

enum ldb_status ldb_recovered_read(struct ldb_recovered *out,
                                   struct ldb_env *env, const char *dir,
                                   uint64_t number,
                                   const struct ldb_comparator *comparator,
                                   struct ldb_error *err)
{
    return recover(out, env, dir, number, comparator, false, err);
}

enum ldb_status ldb_recovered_salvage(struct ldb_recovered *out,
                                      struct ldb_env *env, const char *dir,
                                      uint64_t number,
                                      const struct ldb_comparator *comparator,
                                      struct ldb_error *err)
{
    return recover(out, env, dir, number, comparator, true, err);
}

void ldb_recovered_release(struct ldb_recovered *recovered)
{
    ldb_version_unref(recovered->version);
    recovered->version = NULL;
    ldb_compact_pointers_release(recovered->pointers);
}
