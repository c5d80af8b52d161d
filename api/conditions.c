#include "api/conditions.h"

#include <string.h>

#include "api/params.h"
#include "api/problem.h"
#include "storage/base/checked.h"

/* ---- entity tags ---- */

static void skip_blanks(struct ldb_slice *left)
{
    while (left->len > 0 && (left->data[0] == ' ' || left->data[0] == '\t')) {
        left->data++;
        left->len--;
    }
}

/* etagc of RFC 9110: %x21, %x23-7E, and bytes above 0x7f. */
static bool is_tag_char(uint8_t c)
{
    return c == 0x21 || (c >= 0x23 && c != 0x7f);
}

/* Takes W/"..." or "..." off the front. */
static bool take_tag(struct ldb_slice *left, bool *out_weak,
                     struct ldb_slice *out_tag)
{
    size_t len = 0;

    *out_weak = left->len >= 2 && left->data[0] == 'W' && left->data[1] == '/';
    if (*out_weak)
        *left = ldb_slice_make(left->data + 2, left->len - 2);
    if (left->len == 0 || left->data[0] != '"')
        return false;
    *left = ldb_slice_make(left->data + 1, left->len - 1);
    while (len < left->len && is_tag_char(left->data[len]))
        len++;
    if (len == left->len || left->data[len] != '"')
        return false;
    *out_tag = ldb_slice_make(left->data, len);
    *left = ldb_slice_make(left->data + len + 1, left->len - len - 1);
    return true;
}

/* A tag as we would have written it: no other text of the number is ours. */
static bool is_sequence(struct ldb_slice tag, ldb_sequence *out)
{
    uint64_t number;

    if (!ldb_parse_u64(tag, &number) || number > LDB_SEQUENCE_MAX ||
        (tag.len > 1 && tag.data[0] == '0'))
        return false;
    *out = number;
    return true;
}

static size_t count_commas(struct ldb_slice value)
{
    size_t count = 0;

    for (size_t i = 0; i < value.len; i++)
        count += value.data[i] == ',';
    return count;
}

enum api_tags_result api_tag_list_parse(struct ldb_arena *arena,
                                        struct ldb_slice value,
                                        bool weak_matches,
                                        struct api_tag_list *out)
{
    struct api_tag_list list = {.given = true};
    size_t most = count_commas(value) + 1;
    ldb_sequence *sequences;
    bool has_tag = false;

    skip_blanks(&value);
    while (value.len > 0 && (value.data[value.len - 1] == ' ' ||
                             value.data[value.len - 1] == '\t'))
        value.len--;
    if (value.len == 1 && value.data[0] == '*') {
        list.any = true;
        *out = list;
        return API_TAGS_OK;
    }
    if (most > API_TAGS_MAX)
        return API_TAGS_BAD;
    sequences = ldb_arena_alloc_aligned(arena, most * sizeof(*sequences));
    if (sequences == NULL)
        return API_TAGS_NO_MEMORY;
    while (value.len > 0) {
        struct ldb_slice tag;
        bool is_weak;

        if (!take_tag(&value, &is_weak, &tag))
            return API_TAGS_BAD;
        has_tag = true;
        if ((!is_weak || weak_matches) &&
            is_sequence(tag, &sequences[list.sequence_count]))
            list.sequence_count++;
        skip_blanks(&value);
        if (value.len == 0)
            break;
        if (value.data[0] != ',')
            return API_TAGS_BAD;
        value = ldb_slice_make(value.data + 1, value.len - 1);
        skip_blanks(&value);
        if (value.len == 0)
            return API_TAGS_BAD;
    }
    if (!has_tag)
        return API_TAGS_BAD;
    list.sequences = sequences;
    *out = list;
    return API_TAGS_OK;
}

/* ---- the request's ---- */

static bool parse_header(struct api_exchange *x, const char *name,
                         bool weak_matches, struct api_tag_list *out)
{
    struct ldb_slice value;

    *out = (struct api_tag_list){0};
    if (!api_header_once(x, name, &value))
        return false;
    if (value.data == NULL)
        return true;
    switch (api_tag_list_parse(x->arena, value, weak_matches, out)) {
    case API_TAGS_OK:
        return true;
    case API_TAGS_BAD:
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "header %s is no list of entity tags such as "
                            "\"12\", nor *",
                            name);
        return false;
    case API_TAGS_NO_MEMORY:
        break;
    }
    api_answer_no_memory(x);
    return false;
}

bool api_conditions_parse(struct api_exchange *x, struct api_conditions *out)
{
    return parse_header(x, "If-Match", false, &out->match) &&
           parse_header(x, "If-None-Match", true, &out->none_match);
}

bool api_conditions_refuse(struct api_exchange *x)
{
    static const char *const names[] = {"If-Match", "If-None-Match"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsigned count = 0;

        (void)api_exchange_header(x, names[i], &count);
        if (count == 0)
            continue;
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "header %s is for requests on one key; a batch "
                            "has its \"if\" member",
                            names[i]);
        return false;
    }
    return true;
}

bool api_tag_list_has(const struct api_tag_list *list, bool exists,
                      ldb_sequence sequence)
{
    if (!exists)
        return false;
    if (list->any)
        return true;
    for (size_t i = 0; i < list->sequence_count; i++) {
        if (list->sequences[i] == sequence)
            return true;
    }
    return false;
}

static struct ldb_condition condition(const struct api_tag_list *list,
                                      struct ldb_slice key,
                                      enum ldb_condition_kind for_any,
                                      enum ldb_condition_kind for_list)
{
    return (struct ldb_condition){
        .kind = list->any ? for_any : for_list,
        .key = key,
        .sequences = list->sequences,
        .sequence_count = list->sequence_count,
    };
}

size_t api_conditions_for_write(const struct api_conditions *conditions,
                                struct ldb_slice key,
                                struct ldb_condition out[2])
{
    size_t count = 0;

    if (conditions->match.given)
        out[count++] = condition(&conditions->match, key, LDB_CONDITION_PRESENT,
                                 LDB_CONDITION_SEQUENCE_IN);
    if (conditions->none_match.given)
        out[count++] =
            condition(&conditions->none_match, key, LDB_CONDITION_ABSENT,
                      LDB_CONDITION_SEQUENCE_NOT_IN);
    return count;
}
