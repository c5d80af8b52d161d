/* The readers' side of the list of journals (contracts: retained.h). */
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/retained_internal.h"
#include "storage/version/file_names.h"

/* ---- looking up ---- */

size_t ldb_retained_index_after(struct ldb_retained *r, uint64_t number)
{
    size_t low = 0;
    size_t high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ldb_retained_item(r, middle)->number <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct ldb_retained_journal *ldb_retained_find_number(struct ldb_retained *r,
                                                      uint64_t number)
{
    size_t i = ldb_retained_index_after(r, number);

    if (i == 0 || ldb_retained_item(r, i - 1)->number != number)
        return NULL;
    return ldb_retained_item(r, i - 1);
}

ldb_sequence ldb_retained_oldest(struct ldb_retained *retained)
{
    ldb_sequence oldest;

    ldb_mutex_lock(&retained->mu);
    assert(retained->count > 0);
    oldest = ldb_retained_item(retained, 0)->first - 1;
    ldb_mutex_unlock(&retained->mu);
    return oldest;
}

enum ldb_status ldb_retained_find(struct ldb_retained *retained,
                                  ldb_sequence after,
                                  struct ldb_retained_journal *out)
{
    struct ldb_retained *r = retained;
    enum ldb_status s = LDB_NOT_FOUND;
    size_t low = 0;
    size_t high;

    ldb_mutex_lock(&r->mu);
    /* The first that begins after what is asked for; the one before it. */
    high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ldb_retained_item(r, middle)->first <= after + 1)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        *out = *ldb_retained_item(r, low - 1);
        s = LDB_OK;
    }
    ldb_mutex_unlock(&r->mu);
    return s;
}

enum ldb_status ldb_retained_get(struct ldb_retained *retained, uint64_t number,
                                 struct ldb_retained_journal *out)
{
    const struct ldb_retained_journal *found;
    enum ldb_status s = LDB_NOT_FOUND;

    ldb_mutex_lock(&retained->mu);
    found = ldb_retained_find_number(retained, number);
    if (found != NULL) {
        *out = *found;
        s = LDB_OK;
    }
    ldb_mutex_unlock(&retained->mu);
    return s;
}

enum ldb_status ldb_retained_after(struct ldb_retained *retained,
                                   uint64_t number,
                                   struct ldb_retained_journal *out)
{
    enum ldb_status s = LDB_NOT_FOUND;
    size_t i;

    ldb_mutex_lock(&retained->mu);
    i = ldb_retained_index_after(retained, number);
    /* A number between the two was of a journal without a record. */
    if (i < retained->count &&
        ldb_retained_item(retained, i)->before <= number) {
        *out = *ldb_retained_item(retained, i);
        s = LDB_OK;
    }
    ldb_mutex_unlock(&retained->mu);
    return s;
}

size_t ldb_retained_list(struct ldb_retained *retained, size_t index,
                         struct ldb_retained_journal *out, size_t max)
{
    size_t n = 0;

    ldb_mutex_lock(&retained->mu);
    for (; n < max && index + n < retained->count; n++)
        out[n] = *ldb_retained_item(retained, index + n);
    ldb_mutex_unlock(&retained->mu);
    return n;
}

void ldb_retained_figures(struct ldb_retained *retained,
                          struct ldb_retained_figures *out)
{
    struct ldb_retained *r = retained;

    *out = (struct ldb_retained_figures){0};
    ldb_mutex_lock(&r->mu);
    while (out->journals < r->count &&
           ldb_retained_item(r, out->journals)->is_archived)
        out->journals++;
    out->bytes = r->bytes;
    out->oldest = r->count > 0 ? ldb_retained_item(r, 0)->first - 1 : 0;
    out->pins = r->pin_count;
    out->pins_lost = r->pins_lost;
    ldb_mutex_unlock(&r->mu);
}

bool ldb_retained_pin(struct ldb_retained *retained, struct ldb_pin *pin,
                      uint64_t number)
{
    struct ldb_retained *r = retained;
    bool is_here;

    ldb_mutex_lock(&r->mu);
    is_here = ldb_retained_find_number(r, number) != NULL;
    pin->number = number;
    pin->is_lost = !is_here;
    pin->lost_len = UINT64_MAX;
    if (!pin->is_linked) {
        pin->is_linked = true;
        pin->prev = NULL;
        pin->next = r->pins;
        if (r->pins != NULL)
            r->pins->prev = pin;
        r->pins = pin;
        r->pin_count++;
    }
    ldb_mutex_unlock(&r->mu);
    return is_here;
}

void ldb_retained_unpin(struct ldb_retained *retained, struct ldb_pin *pin)
{
    struct ldb_retained *r = retained;

    ldb_mutex_lock(&r->mu);
    if (pin->is_linked) {
        if (pin->prev != NULL)
            pin->prev->next = pin->next;
        else
            r->pins = pin->next;
        if (pin->next != NULL)
            pin->next->prev = pin->prev;
        r->pin_count--;
        *pin = (struct ldb_pin){0};
    }
    ldb_mutex_unlock(&r->mu);
}

bool ldb_retained_pin_is_lost(struct ldb_retained *retained,
                              const struct ldb_pin *pin, uint64_t *out_len)
{
    bool is_lost;

    ldb_mutex_lock(&retained->mu);
    is_lost = pin->is_lost;
    if (is_lost)
        *out_len = pin->lost_len;
    ldb_mutex_unlock(&retained->mu);
    return is_lost;
}

/* ---- opening a journal ---- */

enum ldb_status ldb_retained_open_sequential(struct ldb_retained *retained,
                                             uint64_t number,
                                             struct ldb_error *err,
                                             struct ldb_sequential_file **out)
{
    /* It has its name in the archive before that in the folder goes. */
    const char *const dirs[] = {retained->dir, retained->archive};
    enum ldb_status s = LDB_NOT_FOUND;

    for (size_t i = 0; s == LDB_NOT_FOUND && i < 2; i++) {
        char *path = ldb_file_path(dirs[i], LDB_FILE_JOURNAL, number);

        if (path == NULL)
            return ldb_error_no_memory(err);
        s = retained->env->ops->open_sequential(retained->env, path, err, out);
        ldb_mem_free(path);
    }
    return s;
}

enum ldb_status ldb_retained_open_random(struct ldb_retained *retained,
                                         uint64_t number, struct ldb_error *err,
                                         struct ldb_random_file **out)
{
    const char *const dirs[] = {retained->dir, retained->archive};
    enum ldb_status s = LDB_NOT_FOUND;

    for (size_t i = 0; s == LDB_NOT_FOUND && i < 2; i++) {
        char *path = ldb_file_path(dirs[i], LDB_FILE_JOURNAL, number);

        if (path == NULL)
            return ldb_error_no_memory(err);
        s = retained->env->ops->open_random(retained->env, path, err, out);
        ldb_mem_free(path);
    }
    return s;
}
