#include "replication/slots.h"

#include <stdlib.h>

#include "replication/lag_clock.h"
#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/* From a store that failed to the next. Chosen. */
#define STORE_RETRY_US (UINT64_C(1) * 1000000)

struct slot {
    char node_id[REPL_ID_SIZE];
    struct repl_ack ack; /* zeroed but for its url, without has_ack */
    bool has_ack;
    uint64_t heard_us;
    struct repl_place place; /* up to there the follower has synced */
    struct ldb_pin pin;      /* number 0: not pinned */
    uint64_t passed; /* the place's journal, gone, when all of it is there */
    uint64_t kept_bytes; /* as of the last tick, as is: */
    bool is_over;        /* the limit: nothing is kept */
    bool is_lost;
    bool is_told_lost; /* what the owner knows */
};

/*
 * What a slot's follower needs is decided by the engine's list of journals at
 * each ack, and at each tick, which also counts the bytes.
 *
 * Locking.
 * Constant after creation: options, dir.
 * Protected by mu: the rest. The mu of the kept journals is taken under it. No
 * file is touched under it.
 */
struct repl_slots {
    struct repl_slots_options options;
    char *dir;

    struct ldb_mutex mu;
    struct slot *slots[REPL_SLOTS_MAX]; /* by node id */
    size_t count;
    struct ldb_retained_journal *journals; /* all, as of the last tick */
    size_t journal_count;
    struct repl_lag_clock clock;
    bool is_changed; /* since the last store */
    uint64_t store_after_us;
    uint64_t lost_total;
    uint64_t evicted_total;
};

static uint64_t now(const struct repl_slots *slots)
{
    struct ldb_env *env = slots->options.env;

    return env->ops->monotonic_us(env);
}

/* ---- the list ---- */

/* The index of the first slot with a node id that is not below. */
static size_t index_of(const struct repl_slots *slots, const char *node_id)
    LDB_REQUIRES(slots->mu)
{
    size_t i = 0;

    while (i < slots->count && strcmp(slots->slots[i]->node_id, node_id) < 0)
        i++;
    return i;
}

static struct slot *find(const struct repl_slots *slots, const char *node_id)
    LDB_REQUIRES(slots->mu)
{
    size_t i = index_of(slots, node_id);

    return i < slots->count && strcmp(slots->slots[i]->node_id, node_id) == 0
               ? slots->slots[i]
               : NULL;
}

/* There is room. NULL: no memory. */
static struct slot *add(struct repl_slots *slots, const char *node_id)
    LDB_REQUIRES(slots->mu)
{
    struct slot *slot = ldb_mem_zalloc(1, sizeof(*slot));
    size_t i = index_of(slots, node_id);

    assert(slots->count < REPL_SLOTS_MAX);
    if (slot == NULL)
        return NULL;
    memcpy(slot->node_id, node_id, REPL_ID_SIZE);
    memmove(&slots->slots[i + 1], &slots->slots[i],
            (slots->count - i) * sizeof(struct slot *));
    slots->slots[i] = slot;
    slots->count++;
    slots->is_changed = true;
    return slot;
}

static void unpin(struct repl_slots *slots, struct slot *slot)
    LDB_REQUIRES(slots->mu)
{
    ldb_retained_unpin(slots->options.retained, &slot->pin);
}

static void remove_slot(struct repl_slots *slots, struct slot *slot)
    LDB_REQUIRES(slots->mu)
{
    size_t i = index_of(slots, slot->node_id);

    assert(slots->slots[i] == slot);
    unpin(slots, slot);
    ldb_mem_free(slot);
    slots->count--;
    memmove(&slots->slots[i], &slots->slots[i + 1],
            (slots->count - i) * sizeof(struct slot *));
    slots->is_changed = true;
}

static bool is_alive(const struct slot *slot, uint64_t now_us)
{
    return slot->has_ack && now_us - slot->heard_us <= REPL_SLOT_ALIVE_US;
}

/* ---- what is kept ---- */

/*
 * Journal number is gone. Has the follower all of it, or of what it lacks no
 * operation? had_len: the bytes that it had; UINT64_MAX: that is not known.
 */
static bool has_all_before(const struct slot *slot, uint64_t had_len,
                           const struct ldb_retained_journal *next)
{
    return slot->place.offset >= had_len ||
           next->first <= slot->place.sequence + 1;
}

/*
 * Pins what the follower needs, if it is here: the journal it stands in, or,
 * once that is gone (or is not kept, as it had no record), the one that follows
 * on it, when the follower has all that comes before.
 */
static bool pin_needed(struct repl_slots *slots, struct slot *slot)
    LDB_REQUIRES(slots->mu)
{
    struct ldb_retained *retained = slots->options.retained;
    struct ldb_retained_journal next;
    uint64_t number = slot->place.journal;
    bool is_at_place = slot->pin.number == number;
    uint64_t had_len = UINT64_MAX;

    if (slot->pin.number != 0 && (is_at_place || slot->passed == number) &&
        !ldb_retained_pin_is_lost(retained, &slot->pin, &had_len))
        return true;
    if (!is_at_place)
        had_len = UINT64_MAX; /* of another one */
    if (ldb_retained_pin(retained, &slot->pin, number))
        return true;
    if (ldb_retained_after(retained, number, &next) != LDB_OK ||
        !has_all_before(slot, had_len, &next) ||
        !ldb_retained_pin(retained, &slot->pin, next.number))
        return false;
    slot->passed = number;
    return true;
}

/* Keeps what the slot needs, or finds that it is lost. */
static void keep(struct repl_slots *slots, struct slot *slot)
    LDB_REQUIRES(slots->mu)
{
    uint64_t before = slot->pin.number;
    bool was_lost = slot->is_lost;

    if (slot->place.journal == 0) {
        slot->is_lost = false;
        unpin(slots, slot);
    } else {
        slot->is_lost = slot->is_over || !pin_needed(slots, slot);
        if (slot->is_lost)
            unpin(slots, slot);
    }
    if (slot->is_lost && !was_lost)
        slots->lost_total++;
    if (slot->pin.number != before)
        slots->is_changed = true;
}

/* Of the sealed journals from number on. */
static uint64_t bytes_from(const struct repl_slots *slots, uint64_t number)
    LDB_REQUIRES(slots->mu)
{
    uint64_t bytes = 0;

    for (size_t i = slots->journal_count; i > 0; i--) {
        const struct ldb_retained_journal *journal = &slots->journals[i - 1];

        if (journal->number < number)
            break;
        if (journal->is_sealed)
            bytes += journal->len;
    }
    return bytes;
}

/* Of the journals, durable and behind place. */
static uint64_t bytes_behind(const struct repl_slots *slots,
                             const struct repl_place *place,
                             const struct ldb_position *durable)
    LDB_REQUIRES(slots->mu)
{
    uint64_t bytes = 0;

    for (size_t i = slots->journal_count; i > 0; i--) {
        const struct ldb_retained_journal *journal = &slots->journals[i - 1];
        uint64_t from = journal->number == place->journal ? place->offset : 0;

        if (journal->number < place->journal)
            break;
        if (journal->number < durable->journal && journal->is_sealed &&
            journal->len > from)
            bytes += journal->len - from;
    }
    if (place->journal < durable->journal)
        bytes += durable->offset;
    else if (place->journal == durable->journal &&
             durable->offset > place->offset)
        bytes += durable->offset - place->offset;
    return bytes;
}

/* ---- life ---- */

static enum ldb_status load(struct repl_slots *slots, struct ldb_error *err)
{
    struct repl_slot_record *records =
        ldb_mem_alloc(REPL_SLOTS_MAX, sizeof(*records));
    size_t count = 0;
    enum ldb_status s;

    if (records == NULL)
        return ldb_error_no_memory(err);
    s = repl_slot_store_load(slots->options.env, slots->dir, err, records,
                             &count);
    ldb_mutex_lock(&slots->mu);
    for (size_t i = 0; s == LDB_OK && i < count; i++) {
        struct slot *slot = add(slots, records[i].node_id);

        if (slot == NULL) {
            s = ldb_error_no_memory(err);
            break;
        }
        memcpy(slot->ack.url, records[i].url, REPL_URL_SIZE);
        slot->place = records[i].place;
        keep(slots, slot);
    }
    slots->is_changed = false;
    ldb_mutex_unlock(&slots->mu);
    ldb_mem_free(records);
    return s;
}

static void destroy(struct repl_slots *slots)
{
    ldb_mutex_lock(&slots->mu);
    while (slots->count > 0)
        remove_slot(slots, slots->slots[slots->count - 1]);
    ldb_mutex_unlock(&slots->mu);
    ldb_mutex_release(&slots->mu);
    ldb_mem_free(slots->journals);
    ldb_mem_free(slots->dir);
    ldb_mem_free(slots);
}

enum ldb_status repl_slots_open(const struct repl_slots_options *options,
                                struct ldb_error *err, struct repl_slots **out)
{
    struct repl_slots *slots = ldb_mem_zalloc(1, sizeof(*slots));
    enum ldb_status s;

    if (slots == NULL)
        return ldb_error_no_memory(err);
    slots->options = *options;
    if (slots->options.bytes_max == 0)
        slots->options.bytes_max = REPL_SLOT_BYTES;
    ldb_mutex_init(&slots->mu);
    slots->dir = ldb_mem_strdup(options->dir);
    slots->options.dir = slots->dir;
    s = slots->dir == NULL ? ldb_error_no_memory(err) : load(slots, err);
    if (s == LDB_OK)
        *out = slots;
    else
        destroy(slots);
    return s;
}

/* ---- storing ---- */

static enum ldb_status print_slots(const struct repl_slots *slots,
                                   struct ldb_buf *lines)
    LDB_REQUIRES(slots->mu)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < slots->count; i++) {
        const struct slot *slot = slots->slots[i];
        struct repl_slot_record record = {.place = slot->place};

        memcpy(record.node_id, slot->node_id, REPL_ID_SIZE);
        memcpy(record.url, slot->ack.url, REPL_URL_SIZE);
        s = repl_slot_store_print(&record, lines);
    }
    return s;
}

static enum ldb_status store(struct repl_slots *slots, struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s;

    ldb_mutex_lock(&slots->mu);
    slots->is_changed = false;
    s = print_slots(slots, &lines);
    ldb_mutex_unlock(&slots->mu);
    if (s != LDB_OK)
        s = ldb_error_set(err, s, REPL_SIDECAR_FOLDER "/slots: %s",
                          ldb_status_text(s));
    else
        s = repl_slot_store_save(slots->options.env, slots->dir,
                                 ldb_slice_of_buf(&lines), err);
    ldb_buf_release(&lines);
    if (s != LDB_OK) {
        ldb_mutex_lock(&slots->mu);
        slots->is_changed = true;
        slots->store_after_us = now(slots) + STORE_RETRY_US;
        ldb_mutex_unlock(&slots->mu);
    }
    return s;
}

enum ldb_status repl_slots_close(struct repl_slots *slots,
                                 struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (slots == NULL)
        return LDB_OK;
    /* Places have moved since the last store, if nothing else has. */
    if (slots->count > 0 || slots->is_changed)
        s = store(slots, err);
    destroy(slots);
    return s;
}

/* ---- acks ---- */

/* Room for one slot more, made where none is left. */
static bool make_room(struct repl_slots *slots, uint64_t now_us)
    LDB_REQUIRES(slots->mu)
{
    struct slot *oldest = NULL;

    if (slots->count < REPL_SLOTS_MAX)
        return true;
    for (size_t i = 0; i < slots->count; i++) {
        struct slot *slot = slots->slots[i];

        if (!is_alive(slot, now_us) &&
            (oldest == NULL || slot->heard_us < oldest->heard_us))
            oldest = slot;
    }
    if (oldest == NULL)
        return false;
    remove_slot(slots, oldest);
    slots->evicted_total++;
    return true;
}

static void take_ack(struct repl_slots *slots, struct slot *slot,
                     const struct repl_ack *ack, uint64_t now_us)
    LDB_REQUIRES(slots->mu)
{
    if (ack->synced.journal != slot->place.journal ||
        ack->synced.offset < slot->place.offset ||
        ack->synced.sequence < slot->place.sequence)
        slot->passed = 0;
    if (strcmp(slot->ack.url, ack->url) != 0)
        slots->is_changed = true;
    slot->ack = *ack;
    slot->has_ack = true;
    slot->heard_us = now_us;
    slot->place = ack->synced;
    keep(slots, slot);
}

enum ldb_status repl_slots_ack(struct repl_slots *slots,
                               const struct repl_ack *ack,
                               struct ldb_error *err, bool *out_is_lost)
{
    uint64_t now_us = now(slots);
    enum ldb_status s = LDB_OK;
    struct slot *slot;

    ldb_mutex_lock(&slots->mu);
    slot = find(slots, ack->node_id);
    if (slot == NULL) {
        if (!make_room(slots, now_us))
            s = ldb_error_set(err, LDB_STALLED,
                              "all %d slots are those of living followers",
                              REPL_SLOTS_MAX);
        else if ((slot = add(slots, ack->node_id)) == NULL)
            s = ldb_error_no_memory(err);
    }
    if (slot != NULL) {
        take_ack(slots, slot, ack, now_us);
        *out_is_lost = slot->is_lost;
    }
    ldb_mutex_unlock(&slots->mu);
    return s;
}

bool repl_slots_remove(struct repl_slots *slots, const char *node_id)
{
    struct slot *slot;

    ldb_mutex_lock(&slots->mu);
    slot = find(slots, node_id);
    if (slot != NULL)
        remove_slot(slots, slot);
    ldb_mutex_unlock(&slots->mu);
    return slot != NULL;
}

static int compare_descending(const void *a, const void *b)
{
    const ldb_sequence *left = a;
    const ldb_sequence *right = b;

    return (*left < *right) - (*left > *right);
}

size_t repl_slots_synced(struct repl_slots *slots, ldb_sequence *out,
                         size_t max)
{
    ldb_sequence all[REPL_SLOTS_MAX];
    size_t count = 0;

    ldb_mutex_lock(&slots->mu);
    for (size_t i = 0; i < slots->count; i++) {
        if (slots->slots[i]->has_ack)
            all[count++] = slots->slots[i]->ack.synced.sequence;
    }
    ldb_mutex_unlock(&slots->mu);
    if (count > 1)
        qsort(all, count, sizeof(all[0]), compare_descending);
    if (count > max)
        count = max;
    memcpy(out, all, count * sizeof(all[0]));
    return count;
}

/* ---- ticks ---- */

/* All journals there are, at one moment. */
static enum ldb_status list_journals(struct ldb_retained *retained,
                                     struct ldb_error *err,
                                     struct ldb_retained_journal **out,
                                     size_t *out_count)
{
    size_t capacity = 64;

    for (;;) {
        struct ldb_retained_journal *journals =
            ldb_mem_alloc(capacity, sizeof(*journals));
        size_t count;

        if (journals == NULL)
            return ldb_error_no_memory(err);
        count = ldb_retained_list(retained, 0, journals, capacity);
        if (count < capacity) {
            *out = journals;
            *out_count = count;
            return LDB_OK;
        }
        ldb_mem_free(journals);
        capacity *= 2;
    }
}

/* By the list that is new. */
static void judge(struct repl_slots *slots, struct slot *slot)
    LDB_REQUIRES(slots->mu)
{
    uint64_t number = slot->place.journal;

    slot->kept_bytes = number == 0 ? 0 : bytes_from(slots, number);
    slot->is_over = slot->kept_bytes > slots->options.bytes_max;
    keep(slots, slot);
    if (slot->is_lost)
        slot->kept_bytes = 0;
}

/* A slot that is lost, or found, and nobody was told yet. */
static bool next_to_tell(struct repl_slots *slots, char node_id[REPL_ID_SIZE],
                         bool *out_is_lost)
{
    bool result = false;

    ldb_mutex_lock(&slots->mu);
    for (size_t i = 0; !result && i < slots->count; i++) {
        struct slot *slot = slots->slots[i];

        if (slot->is_lost == slot->is_told_lost)
            continue;
        slot->is_told_lost = slot->is_lost;
        memcpy(node_id, slot->node_id, REPL_ID_SIZE);
        *out_is_lost = slot->is_lost;
        result = true;
    }
    ldb_mutex_unlock(&slots->mu);
    return result;
}

enum ldb_status repl_slots_tick(struct repl_slots *slots,
                                const struct ldb_position *durable,
                                struct ldb_error *err)
{
    uint64_t now_us = now(slots);
    struct ldb_retained_journal *journals = NULL;
    struct ldb_retained_journal *old;
    size_t count = 0;
    char node_id[REPL_ID_SIZE];
    bool is_lost;
    bool is_due;
    enum ldb_status s =
        list_journals(slots->options.retained, err, &journals, &count);

    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&slots->mu);
    old = slots->journals;
    slots->journals = journals;
    slots->journal_count = count;
    repl_lag_clock_note(&slots->clock, now_us, durable->sequence);
    for (size_t i = 0; i < slots->count; i++)
        judge(slots, slots->slots[i]);
    is_due = slots->is_changed && now_us >= slots->store_after_us;
    ldb_mutex_unlock(&slots->mu);
    ldb_mem_free(old);
    while (slots->options.on_lost != NULL &&
           next_to_tell(slots, node_id, &is_lost))
        slots->options.on_lost(slots->options.context, node_id, is_lost);
    return is_due ? store(slots, err) : LDB_OK;
}

/* ---- figures ---- */

static void describe(const struct repl_slots *slots, const struct slot *slot,
                     const struct ldb_position *durable, uint64_t now_us,
                     struct repl_slot *out) LDB_REQUIRES(slots->mu)
{
    ldb_sequence applied = slot->ack.applied.sequence;

    *out = (struct repl_slot){
        .has_ack = slot->has_ack,
        .ack = slot->ack,
        .heard_us = slot->heard_us,
        .is_alive = is_alive(slot, now_us),
        .is_lost = slot->is_lost,
        .journal = slot->pin.number,
        .kept_bytes = slot->kept_bytes,
    };
    memcpy(out->node_id, slot->node_id, REPL_ID_SIZE);
    if (!slot->has_ack) {
        out->ack.synced = slot->place;
        return;
    }
    if (durable->sequence > applied)
        out->lag_sequences = durable->sequence - applied;
    out->lag_bytes = bytes_behind(slots, &slot->place, durable);
    out->lag_us = repl_lag_clock_behind_us(&slots->clock, now_us, applied);
}

size_t repl_slots_list(struct repl_slots *slots,
                       const struct ldb_position *durable, const char *after,
                       struct repl_slot *out, size_t max)
{
    uint64_t now_us = now(slots);
    size_t count = 0;

    ldb_mutex_lock(&slots->mu);
    for (size_t i = 0; i < slots->count && count < max; i++) {
        if (strcmp(slots->slots[i]->node_id, after) > 0)
            describe(slots, slots->slots[i], durable, now_us, &out[count++]);
    }
    ldb_mutex_unlock(&slots->mu);
    return count;
}

void repl_slots_figures(struct repl_slots *slots,
                        struct repl_slots_figures *out)
{
    uint64_t now_us = now(slots);

    *out = (struct repl_slots_figures){0};
    ldb_mutex_lock(&slots->mu);
    out->slots = slots->count;
    out->lost_total = slots->lost_total;
    out->evicted_total = slots->evicted_total;
    for (size_t i = 0; i < slots->count; i++) {
        const struct slot *slot = slots->slots[i];

        out->alive += is_alive(slot, now_us);
        out->lost += slot->is_lost;
        if (slot->kept_bytes > out->kept_bytes)
            out->kept_bytes = slot->kept_bytes;
    }
    ldb_mutex_unlock(&slots->mu);
}
