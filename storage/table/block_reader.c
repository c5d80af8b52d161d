/*
 * An entry is decoded from its offset and the key before it:
 *
 *   varint shared | varint unshared | varint value length | key tail | value
 *
 * key is a pointer into the block where shared is 0, so that restart points
 * and index blocks copy nothing; otherwise it stands in key_bytes, where only
 * the tail is written when the key before stood there too.
 *
 * Going back: the entries between a restart point and the position are decoded
 * once and kept in a past, from which the following prev calls take them.
 */
#include "storage/table/block_reader.h"

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/reader.h"
#include "storage/table/common_prefix.h"

/* Chosen: restart intervals of 16 (the default) and 32 fit whole. */
#define PAST_ENTRIES_MAX 32
/* Chosen: 32 keys of 128 bytes; longer ones are decoded again instead. */
#define PAST_KEY_BYTES_MAX 4096

struct past_entry {
    uint32_t offset;
    uint32_t value_offset;
    uint32_t value_len;
    uint32_t key_len;
    const uint8_t *key; /* in the block or in key_bytes of the past */
};

struct ldb_block_past {
    uint32_t end; /* offset of the entry after the last one kept */
    unsigned count;
    size_t key_bytes_used;
    struct past_entry entries[PAST_ENTRIES_MAX];
    uint8_t key_bytes[PAST_KEY_BYTES_MAX];
};

bool ldb_block_init(struct ldb_slice contents, struct ldb_block *out,
                    const char **out_problem)
{
    uint32_t count;
    size_t most;

    if (contents.len < 8 || contents.len > UINT32_MAX) {
        *out_problem = contents.len < 8 ? "block too short for restart array"
                                        : "block longer than 4 GiB";
        return false;
    }
    count = ldb_load_fixed32(contents.data + contents.len - 4);
    most = (contents.len - 4) / 4;
    if (count == 0 || count > most) {
        *out_problem = "bad number of restart points";
        return false;
    }
    if (ldb_load_fixed32(contents.data + contents.len - 4 -
                         4 * (size_t)count) != 0) {
        *out_problem = "first restart point is not 0";
        return false;
    }
    *out = (struct ldb_block){
        .data = contents.data,
        .entries_len = (uint32_t)(contents.len - 4 - 4 * (size_t)count),
        .restart_count = count,
    };
    return true;
}

void ldb_block_iter_init(struct ldb_block_iter *it,
                         const struct ldb_comparator *user_comparator)
{
    /* Member by member: inline_key is not to be cleared on each get. */
    it->valid = false;
    it->status = LDB_OK;
    it->problem = "";
    it->key = (struct ldb_slice){0};
    it->value = (struct ldb_slice){0};
    it->block = (struct ldb_block){0};
    it->comparator = user_comparator;
    it->is_bytewise =
        user_comparator == NULL || user_comparator == ldb_comparator_bytewise();
    it->key_len_min = user_comparator == NULL ? 0 : LDB_TAG_SIZE;
    it->offset = 0;
    it->next_offset = 0;
    it->key_bytes = it->inline_key;
    it->key_capacity = sizeof(it->inline_key);
    it->past = NULL;
}

void ldb_block_iter_release(struct ldb_block_iter *it)
{
    if (it->key_bytes != it->inline_key)
        ldb_mem_free(it->key_bytes);
    ldb_mem_free(it->past);
    it->key_bytes = it->inline_key;
    it->key_capacity = sizeof(it->inline_key);
    it->past = NULL;
    it->valid = false;
}

void ldb_block_iter_set(struct ldb_block_iter *it,
                        const struct ldb_block *block)
{
    it->block = *block;
    it->valid = false;
    it->status = LDB_OK;
    if (it->past != NULL)
        it->past->count = 0;
}

static void fail(struct ldb_block_iter *it, enum ldb_status status,
                 const char *problem)
{
    it->valid = false;
    it->status = status;
    it->problem = problem;
}

/* The lengths before an entry, and where its key's tail begins. */
struct entry_head {
    uint32_t shared;
    uint32_t unshared;
    uint32_t value_len;
    const uint8_t *tail;
};

static bool decode_long_head(const uint8_t *p, const uint8_t *end,
                             struct entry_head *out)
{
    struct ldb_reader r = ldb_reader_make(
        (struct ldb_slice){.data = p, .len = (size_t)(end - p)});

    if (!ldb_reader_varint32(&r, &out->shared) ||
        !ldb_reader_varint32(&r, &out->unshared) ||
        !ldb_reader_varint32(&r, &out->value_len))
        return false;
    out->tail = r.p;
    return true;
}

/* False when the entry does not lie within p..end. */
static inline bool decode_head(const uint8_t *p, const uint8_t *end,
                               struct entry_head *out)
{
    if (LDB_LIKELY(end - p >= 3 && ((p[0] | p[1] | p[2]) & 0x80) == 0)) {
        out->shared = p[0];
        out->unshared = p[1];
        out->value_len = p[2];
        out->tail = p + 3;
    } else if (!decode_long_head(p, end, out)) {
        return false;
    }
    return (uint64_t)out->unshared + out->value_len <=
           (uint64_t)(end - out->tail);
}

/* Room for len key bytes, the first keep of them preserved. */
static bool grow_key(struct ldb_block_iter *it, size_t len, size_t keep)
{
    size_t capacity = len > SIZE_MAX / 2 ? len : 2 * len;
    uint8_t *bytes = ldb_mem_alloc(capacity, 1);

    if (bytes == NULL) {
        fail(it, LDB_NO_MEMORY, "out of memory for a key");
        return false;
    }
    memcpy(bytes, it->key.data, keep);
    it->key.data = bytes;
    if (it->key_bytes != it->inline_key)
        ldb_mem_free(it->key_bytes);
    it->key_bytes = bytes;
    it->key_capacity = capacity;
    return true;
}

/* key becomes its own first shared bytes and the tail. */
static inline bool join_key(struct ldb_block_iter *it,
                            const struct entry_head *head)
{
    size_t shared = head->shared;
    size_t len = shared + head->unshared;

    if (LDB_UNLIKELY(shared > it->key.len)) {
        fail(it, LDB_CORRUPTION, "entry shares more than the key before it");
        return false;
    }
    if (LDB_UNLIKELY(len > it->key_capacity) && !grow_key(it, len, shared))
        return false;
    if (it->key.data != it->key_bytes)
        memcpy(it->key_bytes, it->key.data, shared);
    /* A short tail goes over in two registers: behind the entries stand eight
     * bytes of restart array at least, so the block has them to read. */
    if (LDB_LIKELY(head->unshared <= 16 && it->key_capacity - shared >= 16 &&
                   it->block.data + it->block.entries_len + 8 - head->tail >=
                       16))
        memcpy(it->key_bytes + shared, head->tail, 16);
    else
        memcpy(it->key_bytes + shared, head->tail, head->unshared);
    it->key = (struct ldb_slice){.data = it->key_bytes, .len = len};
    return true;
}

/*
 * Decodes the entry at next_offset, given that key is the one before it (len 0
 * at a restart point). False at the end of the entries and on damage.
 */
static inline bool decode_next(struct ldb_block_iter *it)
{
    const uint8_t *end = it->block.data + it->block.entries_len;
    struct entry_head head;

    it->offset = it->next_offset;
    if (LDB_UNLIKELY(it->offset >= it->block.entries_len)) {
        it->valid = false;
        return false;
    }
    if (LDB_UNLIKELY(!decode_head(it->block.data + it->offset, end, &head))) {
        fail(it, LDB_CORRUPTION, "entry passes the end of its block");
        return false;
    }
    if (head.shared == 0)
        it->key = (struct ldb_slice){.data = head.tail, .len = head.unshared};
    else if (!join_key(it, &head))
        return false;
    if (LDB_UNLIKELY(it->key.len < it->key_len_min)) {
        fail(it, LDB_CORRUPTION, "internal key shorter than 8 bytes");
        return false;
    }
    it->value = (struct ldb_slice){.data = head.tail + head.unshared,
                                   .len = head.value_len};
    it->next_offset =
        (uint32_t)(it->value.data + it->value.len - it->block.data);
    it->valid = true;
    return true;
}

/* Stands before the entry at restart point index; the next decode takes it. */
static bool go_to_restart(struct ldb_block_iter *it, uint32_t index)
{
    uint32_t offset = ldb_block_restart(&it->block, index);

    it->status = LDB_OK;
    it->key.len = 0;
    it->next_offset = offset;
    if (offset >= it->block.entries_len && it->block.entries_len != 0) {
        it->offset = offset;
        fail(it, LDB_CORRUPTION, "restart point passes the entries");
        return false;
    }
    return true;
}

void ldb_block_iter_seek_first(struct ldb_block_iter *it)
{
    if (go_to_restart(it, 0))
        (void)decode_next(it);
}

void ldb_block_iter_seek_restart(struct ldb_block_iter *it, uint32_t index)
{
    if (go_to_restart(it, index))
        (void)decode_next(it);
}

void ldb_block_iter_next(struct ldb_block_iter *it)
{
    assert_slow(it->valid);
    (void)decode_next(it);
}

void ldb_block_iter_seek_last(struct ldb_block_iter *it)
{
    if (!go_to_restart(it, it->block.restart_count - 1))
        return;
    while (decode_next(it) && it->next_offset < it->block.entries_len)
        continue;
}

/* <0, 0, >0: a block's key against the target. */
static inline int compare_key(const struct ldb_block_iter *it,
                              struct ldb_slice key, struct ldb_slice target)
{
    if (it->comparator == NULL)
        return ldb_slice_compare(key, target);
    if (LDB_LIKELY(it->is_bytewise))
        return ldb_internal_compare_bytewise(key, target);
    return ldb_internal_compare(it->comparator, key, target);
}

/*
 * The last restart point whose key is below target, from low to high, or low.
 * False on damage.
 */
static bool find_restart(struct ldb_block_iter *it, struct ldb_slice target,
                         uint32_t low, uint32_t high, uint32_t *out_index)
{
    const uint8_t *end = it->block.data + it->block.entries_len;

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        uint32_t offset = ldb_block_restart(&it->block, middle);
        struct entry_head head;

        if (LDB_UNLIKELY(offset >= it->block.entries_len ||
                         !decode_head(it->block.data + offset, end, &head) ||
                         head.shared != 0 || head.unshared < it->key_len_min)) {
            it->offset = offset;
            fail(it, LDB_CORRUPTION, "bad entry at a restart point");
            return false;
        }
        if (compare_key(
                it, (struct ldb_slice){.data = head.tail, .len = head.unshared},
                target) < 0)
            low = middle;
        else
            high = middle - 1;
    }
    *out_index = low;
    return true;
}

enum scan_result {
    SCAN_BELOW,    /* the entry is below the target; the scan is behind it */
    SCAN_FOUND,    /* it is not, and shares only bytes of the target */
    SCAN_TOO_HARD, /* cannot be told without its whole key */
    SCAN_CUT,      /* it does not lie within the bytes */
};

/*
 * Compares an entry with the target by what its key has that the key before
 * had not. Where that one matched m bytes of the target and was below it:
 *
 *   shared > m    the byte at m, which made it less, is in this key as well:
 *                 below, and m stays;
 *   shared <= m   the shared bytes are the target's: the tails decide.
 */
static inline enum scan_result scan_entry(struct ldb_block_scan *scan,
                                          const struct entry_head *head)
{
    size_t key_len = (size_t)head->shared + head->unshared;
    size_t user_len = key_len - LDB_TAG_SIZE;
    size_t target_user_len = scan->target.len - LDB_TAG_SIZE;
    size_t tail_len, rest_len, common;

    if (LDB_UNLIKELY(head->shared > scan->key_len || key_len < LDB_TAG_SIZE))
        return SCAN_TOO_HARD;
    if (head->shared > scan->matched) {
        if (LDB_UNLIKELY(scan->matched >= scan->user_len ||
                         scan->matched >= target_user_len ||
                         scan->matched >= user_len))
            return SCAN_TOO_HARD;
        scan->key_len = key_len;
        scan->user_len = user_len;
        return SCAN_BELOW;
    }
    if (LDB_UNLIKELY(head->unshared < LDB_TAG_SIZE))
        return SCAN_TOO_HARD;
    tail_len = head->unshared - LDB_TAG_SIZE;
    rest_len = target_user_len - head->shared;
    common = ldb_common_prefix(head->tail, scan->target.data + head->shared,
                               tail_len < rest_len ? tail_len : rest_len);
    if (common < tail_len && common < rest_len) {
        if (head->tail[common] > scan->target.data[head->shared + common])
            return SCAN_FOUND;
    } else if (tail_len > rest_len) {
        return SCAN_FOUND;
    } else if (tail_len == rest_len &&
               ldb_load_fixed64(head->tail + tail_len) <=
                   ldb_internal_tag(scan->target)) {
        return SCAN_FOUND;
    }
    scan->matched = head->shared + common;
    scan->key_len = key_len;
    scan->user_len = user_len;
    return SCAN_BELOW;
}

/*
 * Goes on to the first entry not below the target, at scan's offset, *head; or
 * to the first that is cut. SCAN_BELOW: there is neither.
 */
static inline enum scan_result scan_entries(struct ldb_block_scan *scan,
                                            struct ldb_slice entries,
                                            struct entry_head *head)
{
    const uint8_t *end = entries.data + entries.len;
    const uint8_t *p = entries.data + scan->offset;
    enum scan_result result = SCAN_BELOW;

    while (p < end) {
        result = LDB_LIKELY(decode_head(p, end, head)) ? scan_entry(scan, head)
                                                       : SCAN_CUT;
        if (result != SCAN_BELOW)
            break;
        p = head->tail + head->unshared + head->value_len;
    }
    scan->offset = (size_t)(p - entries.data);
    return result;
}

/* The target stands for the key before the entry: it has what is shared. */
static void take_scanned(struct ldb_block_iter *it,
                         const struct ldb_block_scan *scan, size_t shared)
{
    it->next_offset = (uint32_t)scan->offset;
    it->key = (struct ldb_slice){.data = scan->target.data, .len = shared};
    (void)decode_next(it);
}

/*
 * From the restart point at next_offset to the first entry >= target, without
 * the keys of those before. False: it must be done with them.
 */
static bool scan_bytewise(struct ldb_block_iter *it, struct ldb_slice target)
{
    struct ldb_block_scan scan = {.target = target, .offset = it->next_offset};
    struct entry_head head;

    switch (scan_entries(&scan,
                         (struct ldb_slice){.data = it->block.data,
                                            .len = it->block.entries_len},
                         &head)) {
    case SCAN_FOUND:
        take_scanned(it, &scan, head.shared);
        return true;
    case SCAN_BELOW:
        it->offset = it->next_offset = it->block.entries_len;
        it->valid = false;
        return true;
    case SCAN_TOO_HARD:
    case SCAN_CUT:
        break;
    }
    return false;
}

enum ldb_block_scan_result ldb_block_iter_scan(struct ldb_block_iter *it,
                                               struct ldb_block_scan *scan,
                                               struct ldb_slice beginning)
{
    struct entry_head head;

    assert_slow(scan->target.len >= LDB_TAG_SIZE);
    if (!it->is_bytewise || it->key_len_min == 0 || beginning.len > UINT32_MAX)
        return LDB_BLOCK_SCAN_HARD;
    switch (scan_entries(scan, beginning, &head)) {
    case SCAN_FOUND:
        it->block = (struct ldb_block){.data = beginning.data,
                                       .entries_len = (uint32_t)beginning.len};
        take_scanned(it, scan, head.shared);
        return it->valid ? LDB_BLOCK_SCAN_FOUND : LDB_BLOCK_SCAN_HARD;
    case SCAN_BELOW:
    case SCAN_CUT:
        return LDB_BLOCK_SCAN_MORE;
    case SCAN_TOO_HARD:
        break;
    }
    return LDB_BLOCK_SCAN_HARD;
}

void ldb_block_iter_seek_between(struct ldb_block_iter *it,
                                 struct ldb_slice target, uint32_t first,
                                 uint32_t last)
{
    uint32_t index;

    assert_slow(target.len >= it->key_len_min);
    if (!find_restart(it, target, first, last, &index) ||
        !go_to_restart(it, index))
        return;
    if (it->key_len_min != 0 && LDB_LIKELY(it->is_bytewise)) {
        if (LDB_LIKELY(scan_bytewise(it, target)) || !go_to_restart(it, index))
            return;
    }
    while (decode_next(it) && compare_key(it, it->key, target) < 0)
        continue;
}

void ldb_block_iter_seek(struct ldb_block_iter *it, struct ldb_slice target)
{
    ldb_block_iter_seek_between(it, target, 0, it->block.restart_count - 1);
}

/* Takes the last entry of the past for the position. */
static void take_from_past(struct ldb_block_iter *it)
{
    struct ldb_block_past *past = it->past;
    const struct past_entry *entry = &past->entries[--past->count];

    it->key = (struct ldb_slice){.data = entry->key, .len = entry->key_len};
    it->value = (struct ldb_slice){.data = it->block.data + entry->value_offset,
                                   .len = entry->value_len};
    it->offset = entry->offset;
    it->next_offset = entry->value_offset + entry->value_len;
    past->end = entry->offset;
}

/* Adds the current entry; a full past is emptied, which costs time alone. */
static void keep_in_past(const struct ldb_block_iter *it,
                         struct ldb_block_past *past)
{
    struct past_entry *entry;

    if (past->count == PAST_ENTRIES_MAX ||
        (it->key.data == it->key_bytes &&
         it->key.len > sizeof(past->key_bytes) - past->key_bytes_used)) {
        past->count = 0;
        past->key_bytes_used = 0;
        if (it->key.len > sizeof(past->key_bytes))
            return;
    }
    entry = &past->entries[past->count++];
    entry->offset = it->offset;
    entry->value_offset = (uint32_t)(it->value.data - it->block.data);
    entry->value_len = (uint32_t)it->value.len;
    entry->key_len = (uint32_t)it->key.len;
    if (it->key.data == it->key_bytes) {
        entry->key = past->key_bytes + past->key_bytes_used;
        memcpy(past->key_bytes + past->key_bytes_used, it->key.data,
               it->key.len);
        past->key_bytes_used += it->key.len;
    } else {
        entry->key = it->key.data;
    }
}

/* The last restart point before offset: restart offsets ascend. */
static uint32_t restart_before(const struct ldb_block_iter *it, uint32_t offset)
{
    uint32_t low = 0;
    uint32_t high = it->block.restart_count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;

        if (ldb_block_restart(&it->block, middle) < offset)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void ldb_block_iter_prev(struct ldb_block_iter *it)
{
    uint32_t end = it->offset;
    struct ldb_block_past *past = it->past;

    assert_slow(it->valid);
    if (past != NULL && past->count > 0 && past->end == end) {
        take_from_past(it);
        return;
    }
    if (end == 0) {
        it->valid = false;
        return;
    }
    /* Without memory for a past each prev decodes anew. */
    if (past == NULL)
        past = it->past = ldb_mem_alloc(1, sizeof(*past));
    if (past != NULL) {
        past->count = 0;
        past->key_bytes_used = 0;
    }
    if (!go_to_restart(it, restart_before(it, end)))
        return;
    while (decode_next(it) && it->next_offset < end) {
        if (past != NULL)
            keep_in_past(it, past);
    }
    if (it->valid && it->next_offset != end)
        fail(it, LDB_CORRUPTION, "restart point within an entry");
    if (past != NULL)
        past->end = it->offset;
}
