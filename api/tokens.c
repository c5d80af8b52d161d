#include "api/tokens.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdatomic.h>
#include <string.h>

#include "api/params.h"
#include "storage/base/arena.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

static_assert(API_TOKEN_HASH_BYTES == SHA256_DIGEST_SIZE, "SHA-256");

/* NAME, SHA256, SCOPES, prefix=. */
#define WORDS_MAX 4

static const struct {
    const char *name;
    unsigned scope;
} scopes[] = {
    {"read", API_SCOPE_READ},
    {"write", API_SCOPE_WRITE},
    {"admin", API_SCOPE_ADMIN},
    {"replicate", API_SCOPE_REPLICATE},
};

#define SCOPE_COUNT (sizeof(scopes) / sizeof(scopes[0]))

struct api_tokens {
    _Atomic(unsigned) refs;
    struct ldb_arena arena; /* names and prefixes */
    struct api_token *items;
    size_t count;
};

const char *api_scope_name(unsigned scope)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if (scopes[i].scope == scope)
            return scopes[i].name;
    }
    return "";
}

/* ---- lines ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The words of a line; WORDS_MAX + 1 of them: too many. */
static size_t split(struct ldb_slice line,
                    struct ldb_slice words[WORDS_MAX + 1])
{
    size_t count = 0;
    size_t at = 0;

    while (count <= WORDS_MAX) {
        size_t begin;

        while (at < line.len && is_blank(line.data[at]))
            at++;
        if (at == line.len)
            break;
        begin = at;
        while (at < line.len && !is_blank(line.data[at]))
            at++;
        words[count++] = ldb_slice_make(line.data + begin, at - begin);
    }
    return count;
}

/* "read,write": at least one, each known. */
static bool parse_scopes(struct ldb_slice word, unsigned *out)
{
    *out = 0;
    for (;;) {
        const uint8_t *comma = memchr(word.data, ',', word.len);
        size_t len = comma == NULL ? word.len : (size_t)(comma - word.data);
        unsigned scope = 0;

        for (size_t i = 0; i < SCOPE_COUNT; i++) {
            if (ldb_slice_equal(ldb_slice_make(word.data, len),
                                ldb_slice_str(scopes[i].name)))
                scope = scopes[i].scope;
        }
        if (scope == 0)
            return false;
        *out |= scope;
        if (comma == NULL)
            return true;
        word = ldb_slice_make(comma + 1, word.len - len - 1);
    }
}

static enum ldb_status fail(struct ldb_error *err, uint64_t line,
                            const char *what)
{
    return ldb_error_set(err, LDB_INVALID_ARGUMENT, "tokens, line %llu: %s",
                         (unsigned long long)line, what);
}

static enum ldb_status parse_hash(struct api_tokens *tokens,
                                  struct ldb_slice word, uint64_t line,
                                  struct ldb_error *err,
                                  uint8_t out[API_TOKEN_HASH_BYTES])
{
    struct ldb_slice bytes = {0};

    switch (api_text_decode(&tokens->arena, API_ENCODING_HEX, word, &bytes)) {
    case API_DECODE_NO_MEMORY:
        return ldb_error_no_memory(err);
    case API_DECODE_OK:
    case API_DECODE_BAD:
        break;
    }
    if (bytes.len != API_TOKEN_HASH_BYTES)
        return fail(err, line, "the second word is a SHA-256, 64 hex digits");
    memcpy(out, bytes.data, API_TOKEN_HASH_BYTES);
    return LDB_OK;
}

static enum ldb_status keep(struct api_tokens *tokens, struct ldb_slice bytes,
                            struct ldb_error *err, struct ldb_slice *out)
{
    const uint8_t *copy = ldb_arena_dup(&tokens->arena, bytes);

    if (copy == NULL)
        return ldb_error_no_memory(err);
    *out = ldb_slice_make(copy, bytes.len);
    return LDB_OK;
}

static enum ldb_status parse_prefix(struct api_tokens *tokens,
                                    struct ldb_slice word, uint64_t line,
                                    struct ldb_error *err,
                                    struct api_token *token)
{
    const struct ldb_slice name = ldb_slice_str("prefix=");
    struct ldb_slice bytes = {0};

    if (!ldb_slice_starts_with(word, name))
        return fail(err, line, "the fourth word is prefix=...");
    if ((token->scopes & ~(API_SCOPE_READ | API_SCOPE_WRITE)) != 0)
        return fail(err, line, "a prefix goes with read and write alone");
    word = ldb_slice_make(word.data + name.len, word.len - name.len);
    switch (api_percent_decode(&tokens->arena, word, &bytes)) {
    case API_DECODE_OK:
        break;
    case API_DECODE_BAD:
        return fail(err, line, "the prefix is percent-encoded");
    case API_DECODE_NO_MEMORY:
        return ldb_error_no_memory(err);
    }
    token->has_prefix = true;
    /* It may lie in the text. */
    return keep(tokens, bytes, err, &token->prefix);
}

static enum ldb_status add_line(struct api_tokens *tokens,
                                struct ldb_slice text, uint64_t line,
                                struct ldb_error *err)
{
    struct ldb_slice words[WORDS_MAX + 1];
    size_t count = split(text, words);
    struct api_token token = {0};
    enum ldb_status s;

    if (count == 0 || words[0].data[0] == '#')
        return LDB_OK;
    if (count < 3 || count > WORDS_MAX)
        return fail(err, line, "NAME SHA256 SCOPES [prefix=BYTES] expected");
    s = parse_hash(tokens, words[1], line, err, token.hash);
    if (s != LDB_OK)
        return s;
    if (!parse_scopes(words[2], &token.scopes))
        return fail(err, line, "scopes are read, write, admin, replicate");
    if (tokens->count == API_TOKENS_MAX)
        return fail(err, line, "more than 1000 tokens");
    for (size_t i = 0; i < tokens->count; i++) {
        if (ldb_slice_equal(tokens->items[i].name, words[0]))
            return fail(err, line, "a name that was there before");
    }
    s = keep(tokens, words[0], err, &token.name);
    if (s == LDB_OK && count == WORDS_MAX)
        s = parse_prefix(tokens, words[3], line, err, &token);
    if (s == LDB_OK)
        tokens->items[tokens->count++] = token;
    return s;
}

static size_t count_lines(struct ldb_slice text)
{
    size_t lines = 1;

    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    return lines;
}

static enum ldb_status add_lines(struct api_tokens *tokens,
                                 struct ldb_slice text, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (uint64_t line = 1; s == LDB_OK && text.len > 0; line++) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);

        s = add_line(tokens, ldb_slice_make(text.data, len), line, err);
        if (end != NULL)
            len++;
        text = ldb_slice_make(text.data + len, text.len - len);
    }
    return s;
}

enum ldb_status api_tokens_parse(struct ldb_slice text, struct ldb_error *err,
                                 struct api_tokens **out)
{
    struct api_tokens *tokens = ldb_mem_zalloc(1, sizeof(*tokens));
    size_t lines = count_lines(text);
    enum ldb_status s;

    if (tokens == NULL)
        return ldb_error_no_memory(err);
    atomic_init(&tokens->refs, 1);
    ldb_arena_init(&tokens->arena, 0);
    tokens->items =
        ldb_mem_zalloc(lines < API_TOKENS_MAX ? lines : API_TOKENS_MAX,
                       sizeof(*tokens->items));
    s = tokens->items == NULL ? ldb_error_no_memory(err)
                              : add_lines(tokens, text, err);
    if (s == LDB_OK)
        *out = tokens;
    else
        api_tokens_unref(tokens);
    return s;
}

struct api_tokens *api_tokens_ref(struct api_tokens *tokens)
{
    (void)atomic_fetch_add_explicit(&tokens->refs, 1, memory_order_relaxed);
    return tokens;
}

void api_tokens_unref(struct api_tokens *tokens)
{
    if (tokens == NULL ||
        atomic_fetch_sub_explicit(&tokens->refs, 1, memory_order_acq_rel) != 1)
        return;
    ldb_arena_release(&tokens->arena);
    ldb_mem_free(tokens->items);
    ldb_mem_free(tokens);
}

size_t api_tokens_count(const struct api_tokens *tokens)
{
    return tokens->count;
}

const struct api_token *api_tokens_find(const struct api_tokens *tokens,
                                        struct ldb_slice secret)
{
    const struct api_token *found = NULL;
    uint8_t hash[API_TOKEN_HASH_BYTES];
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, secret.len, secret.data);
    sha256_digest(&sha, sizeof(hash), hash);
    for (size_t i = 0; i < tokens->count; i++) {
        if (memeql_sec(hash, tokens->items[i].hash, sizeof(hash)))
            found = &tokens->items[i];
    }
    return found;
}

/* ---- the set in force ---- */

/*
 * Locking: has_tokens is atomic, released with a set and acquired by get, which
 * without a set needs no lock that all loops would take for each request.
 */
struct api_token_store {
    atomic_bool has_tokens; /* as tokens says */
    struct ldb_mutex mu;
    struct api_tokens *tokens; /* guarded by mu */
};

struct api_token_store *api_token_store_create(void)
{
    struct api_token_store *store = ldb_mem_zalloc(1, sizeof(*store));

    if (store == NULL)
        return NULL;
    atomic_init(&store->has_tokens, false);
    ldb_mutex_init(&store->mu);
    return store;
}

void api_token_store_destroy(struct api_token_store *store)
{
    if (store == NULL)
        return;
    api_tokens_unref(store->tokens);
    ldb_mutex_release(&store->mu);
    ldb_mem_free(store);
}

void api_token_store_set(struct api_token_store *store,
                         struct api_tokens *tokens)
{
    struct api_tokens *old;

    ldb_mutex_lock(&store->mu);
    old = store->tokens;
    store->tokens = tokens;
    atomic_store_explicit(&store->has_tokens, tokens != NULL,
                          memory_order_release);
    ldb_mutex_unlock(&store->mu);
    api_tokens_unref(old);
}

struct api_tokens *api_token_store_get(struct api_token_store *store)
{
    struct api_tokens *tokens;

    if (!atomic_load_explicit(&store->has_tokens, memory_order_acquire))
        return NULL;
    ldb_mutex_lock(&store->mu);
    tokens = store->tokens == NULL ? NULL : api_tokens_ref(store->tokens);
    ldb_mutex_unlock(&store->mu);
    return tokens;
}
