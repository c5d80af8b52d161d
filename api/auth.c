#include "api/auth.h"

#include <strings.h>

#include "api/context.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/tokens.h"
#include "storage/base/slice.h"

/* ---- the token ---- */

static bool refuse(struct api_exchange *x, const char *challenge,
                   const char *detail)
{
    if (!api_header_add(x, "WWW-Authenticate", challenge)) {
        api_answer_no_memory(x);
        return false;
    }
    api_answer_problemf(x, API_PROBLEM_UNAUTHORIZED, "%s", detail);
    return false;
}

static bool refuse_scope(struct api_exchange *x, unsigned scope)
{
    if (!api_header_printf(x, "WWW-Authenticate",
                           "Bearer error=\"insufficient_scope\", scope=\"%s\"",
                           api_scope_name(scope))) {
        api_answer_no_memory(x);
        return false;
    }
    api_answer_problemf(x, API_PROBLEM_FORBIDDEN,
                        "the token lacks the scope %s", api_scope_name(scope));
    return false;
}

/* "Bearer SECRET"; the word in any case (RFC 9110 section 11.1). */
static bool take_secret(struct ldb_slice header, struct ldb_slice *out)
{
    static const char word[] = "Bearer ";
    const size_t len = sizeof(word) - 1;

    if (header.len <= len ||
        strncasecmp((const char *)header.data, word, len) != 0)
        return false;
    header = ldb_slice_make(header.data + len, header.len - len);
    while (header.len > 0 && header.data[0] == ' ')
        header = ldb_slice_make(header.data + 1, header.len - 1);
    *out = header;
    return true;
}

bool api_auth_check(struct api_exchange *x, unsigned scope)
{
    struct ldb_slice header;
    struct ldb_slice secret;

    if (scope == 0)
        return true;
    x->tokens = api_token_store_get(x->context->tokens);
    if (x->tokens == NULL)
        return true;
    if (!api_header_once(x, "Authorization", &header))
        return false;
    if (header.data == NULL)
        return refuse(x, "Bearer realm=\"leveld\"",
                      "a token is needed: -H 'Authorization: Bearer TOKEN'");
    if (!take_secret(header, &secret))
        return refuse(x, "Bearer realm=\"leveld\"",
                      "Authorization is \"Bearer TOKEN\" here");
    x->token = api_tokens_find(x->tokens, secret);
    if (x->token == NULL)
        return refuse(x, "Bearer realm=\"leveld\", error=\"invalid_token\"",
                      "no such token");
    return (x->token->scopes & scope) != 0 || refuse_scope(x, scope);
}

void api_auth_release(struct api_exchange *x)
{
    api_tokens_unref(x->tokens);
    x->tokens = NULL;
    x->token = NULL;
}

/* ---- its keys ---- */

static bool has_prefix(const struct api_exchange *x)
{
    return LDB_UNLIKELY(x->token != NULL && x->token->has_prefix);
}

void api_auth_problem(struct api_problem *out)
{
    *out = (struct api_problem){.kind = API_PROBLEM_FORBIDDEN};
    api_problem_detail(out, "the token is for keys of another prefix");
}

static bool forbid(struct api_exchange *x)
{
    struct api_problem problem;

    api_auth_problem(&problem);
    api_answer_problem(x, &problem);
    return false;
}

bool api_auth_has_key(const struct api_exchange *x, struct ldb_slice key)
{
    return !has_prefix(x) || ldb_slice_starts_with(key, x->token->prefix);
}

bool api_auth_key(struct api_exchange *x, struct ldb_slice key)
{
    return api_auth_has_key(x, key) || forbid(x);
}

/* Whether every key below upper that is not below prefix has it. */
static bool ends_within(struct ldb_slice prefix, const struct ldb_slice *upper)
{
    size_t len = prefix.len;

    /* The first key behind the prefix's is it with its last byte one more;
     * with all bytes 255 there is none. */
    while (len > 0 && prefix.data[len - 1] == UINT8_MAX)
        len--;
    if (len == 0)
        return true;
    if (upper == NULL)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned most = prefix.data[i] + (i + 1 == len ? 1u : 0u);

        if (i == upper->len || upper->data[i] < most)
            return true;
        if (upper->data[i] > most)
            return false;
    }
    return upper->len == len;
}

bool api_auth_has_range(const struct api_exchange *x, struct ldb_slice lower,
                        const struct ldb_slice *upper)
{
    return !has_prefix(x) || (ldb_slice_compare(lower, x->token->prefix) >= 0 &&
                              ends_within(x->token->prefix, upper));
}

bool api_auth_range(struct api_exchange *x, struct ldb_slice lower,
                    const struct ldb_slice *upper)
{
    return api_auth_has_range(x, lower, upper) || forbid(x);
}

static bool has_all(const struct api_exchange *x, const struct ldb_batch *batch,
                    const struct api_batch_json *json)
{
    struct ldb_batch_cursor cursor =
        ldb_batch_cursor_make(ldb_slice_of_buf(&batch->rep));
    struct ldb_batch_op op;

    while (ldb_batch_cursor_next(&cursor, &op)) {
        if (!api_auth_has_key(x, op.key))
            return false;
    }
    for (size_t i = 0; i < json->condition_count; i++) {
        if (!api_auth_has_key(x, json->conditions[i].key))
            return false;
    }
    for (size_t i = 0; i < json->range_count; i++) {
        const struct ldb_delete_range *range = &json->ranges[i];

        if (!api_auth_has_range(x, range->start,
                                range->has_end ? &range->end : NULL))
            return false;
    }
    return true;
}

bool api_auth_has_batch(const struct api_exchange *x,
                        const struct ldb_batch *batch,
                        const struct api_batch_json *json)
{
    return !has_prefix(x) || has_all(x, batch, json);
}

bool api_auth_batch(struct api_exchange *x, const struct ldb_batch *batch,
                    const struct api_batch_json *json)
{
    return api_auth_has_batch(x, batch, json) || forbid(x);
}
