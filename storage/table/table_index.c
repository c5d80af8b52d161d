#include "storage/table/table_index.h"

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/table/common_prefix.h"

#define WORD_SIZE 8

/* Chosen: fewer keys are found by comparing them in about the same time. */
#define WORDS_MIN 8

/* ---- building ---- */

/* What follows the first from bytes of the user key, which has those. */
static inline uint64_t word_of(struct ldb_slice internal_key, size_t from)
{
    size_t rest = internal_key.len - LDB_TAG_SIZE - from;
    uint64_t word;

    assert_slow(internal_key.len - LDB_TAG_SIZE >= from);
    if (rest == 0)
        return 0;
    /* The tag is there to be read, then taken off. */
    word = ldb_load_ordered64(internal_key.data + from);
    if (rest < WORD_SIZE)
        word &= UINT64_MAX << 8 * (WORD_SIZE - rest);
    return word;
}

/*
 * Whether each restart point is an entry and each entry a restart point; the
 * bytes that all user keys but the last one begin with.
 */
static bool find_prefix(struct ldb_block_iter *it, struct ldb_slice *out)
{
    uint32_t last = it->block.restart_count - 1;
    struct ldb_slice prefix = {0};
    uint32_t i = 0;

    for (ldb_block_iter_seek_first(it); it->valid; ldb_block_iter_next(it)) {
        struct ldb_slice key = ldb_internal_user_key(it->key);

        if (i > last || ldb_block_restart(&it->block, i) != it->offset ||
            it->key.data == it->key_bytes)
            return false;
        if (i == 0)
            prefix = key;
        else if (i < last)
            prefix.len =
                ldb_common_prefix(prefix.data, key.data,
                                  prefix.len < key.len ? prefix.len : key.len);
        i++;
    }
    *out = prefix;
    return it->status == LDB_OK && i == last + 1;
}

static bool read_place(struct ldb_slice value, struct ldb_block_place *out)
{
    struct ldb_reader r = ldb_reader_make(value);
    struct ldb_block_handle handle;

    if (!ldb_block_handle_read(&r, &handle) || handle.offset > UINT32_MAX ||
        handle.size > UINT32_MAX)
        return false;
    *out = (struct ldb_block_place){.offset = (uint32_t)handle.offset,
                                    .size = (uint32_t)handle.size};
    return true;
}

/* False when words do not ascend, or a handle is not for here. */
static bool fill(struct ldb_block_iter *it, struct ldb_table_index *index)
{
    ldb_block_iter_seek_first(it);
    for (uint32_t i = 0; i < index->count; i++) {
        index->words[i] = word_of(it->key, index->prefix.len);
        if (i > 0 && index->words[i] < index->words[i - 1])
            return false;
        if (!read_place(it->value, &index->places[i]))
            return false;
        ldb_block_iter_next(it);
    }
    return true;
}

enum ldb_status
ldb_table_index_init(const struct ldb_block *block,
                     const struct ldb_comparator *user_comparator,
                     struct ldb_table_index *out)
{
    struct ldb_table_index index = {.count = block->restart_count - 1};
    struct ldb_block_iter it;
    enum ldb_status s = LDB_OK;
    bool is_filled = false;

    *out = (struct ldb_table_index){0};
    if (user_comparator != ldb_comparator_bytewise() || index.count < WORDS_MIN)
        return LDB_OK;
    ldb_block_iter_init(&it, user_comparator);
    ldb_block_iter_set(&it, block);
    if (find_prefix(&it, &index.prefix)) {
        index.words = ldb_mem_alloc(index.count, sizeof(index.words[0]));
        index.places = ldb_mem_alloc(index.count, sizeof(index.places[0]));
        if (index.words == NULL || index.places == NULL)
            s = LDB_NO_MEMORY;
        else
            is_filled = fill(&it, &index);
    }
    ldb_block_iter_release(&it);
    if (is_filled)
        *out = index;
    else
        ldb_table_index_release(&index);
    return s;
}

void ldb_table_index_release(struct ldb_table_index *index)
{
    ldb_mem_free(index->words);
    ldb_mem_free(index->places);
    *index = (struct ldb_table_index){0};
}

size_t ldb_table_index_memory_bytes(const struct ldb_table_index *index)
{
    return index->count * (sizeof(index->words[0]) + sizeof(index->places[0]));
}

/* ---- searching ---- */

/* How many words are below word; without a branch that depends on them, as
 * each would be guessed wrong every other time. */
static uint32_t count_below(const struct ldb_table_index *index, uint64_t word)
{
    const uint64_t *base = index->words;
    size_t left = index->count;

    while (left > 1) {
        size_t half = left / 2;

        base += half & (0 - (size_t)(base[half - 1] < word));
        left -= half;
    }
    return (uint32_t)(base - index->words) + (*base < word);
}

/*
 * Below *out_below the entries are below the target, from *out_past on they are
 * not, but for the last entry of the block, the one at count: unknown.
 */
static void find_range(const struct ldb_table_index *index,
                       struct ldb_slice target, uint32_t *out_below,
                       uint32_t *out_past)
{
    size_t prefix_len = index->prefix.len;
    size_t user_len = target.len - LDB_TAG_SIZE;
    int order = ldb_slice_compare(
        ldb_slice_make(target.data,
                       user_len < prefix_len ? user_len : prefix_len),
        index->prefix);
    uint64_t word;

    assert_slow(target.len >= LDB_TAG_SIZE);
    if (LDB_UNLIKELY(order != 0)) {
        *out_below = *out_past = order < 0 ? 0 : index->count;
        return;
    }
    word = word_of(target, prefix_len);
    *out_below = *out_past = count_below(index, word);
    if (*out_below < index->count && index->words[*out_below] == word)
        *out_past =
            word == UINT64_MAX ? index->count : count_below(index, word + 1);
}

bool ldb_table_index_find(const struct ldb_table_index *index,
                          struct ldb_slice target, struct ldb_block_handle *out)
{
    uint32_t below, past;

    if (LDB_UNLIKELY(index->count == 0))
        return false;
    find_range(index, target, &below, &past);
    if (LDB_UNLIKELY(below < past || below == index->count))
        return false;
    *out = (struct ldb_block_handle){.offset = index->places[below].offset,
                                     .size = index->places[below].size};
    return true;
}

void ldb_table_index_seek(const struct ldb_table_index *index,
                          struct ldb_block_iter *it, struct ldb_slice target)
{
    uint32_t below, past;

    if (index->count == 0) {
        ldb_block_iter_seek(it, target);
        return;
    }
    find_range(index, target, &below, &past);
    if (below == past && below < index->count)
        ldb_block_iter_seek_restart(it, below);
    else
        ldb_block_iter_seek_between(it, target, below == 0 ? 0 : below - 1,
                                    past < index->count ? past - 1
                                                        : index->count);
}
