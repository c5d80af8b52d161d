#include "api/dashboard.h"

#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <string.h>

#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"

static const uint8_t page[] = {
#include "api/dashboard_page.inc"
};

#define HASH_TEXT_SIZE (BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1)

/* What stands between the only begin and end of an element, which are there. */
static struct ldb_slice inside(const char *begin, const char *end)
{
    const uint8_t *from = memmem(page, sizeof(page), begin, strlen(begin));
    const uint8_t *to = memmem(page, sizeof(page), end, strlen(end));

    assert(from != NULL && to != NULL && from + strlen(begin) <= to);
    from += strlen(begin);
    return ldb_slice_make(from, (size_t)(to - from));
}

static void print_hash(struct ldb_slice text, char out[HASH_TEXT_SIZE])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, text.len, text.data);
    sha256_digest(&sha, sizeof(digest), digest);
    base64_encode_raw(out, sizeof(digest), digest);
    out[HASH_TEXT_SIZE - 1] = '\0';
}

static bool add_policies(struct api_exchange *x)
{
    char style[HASH_TEXT_SIZE];
    char script[HASH_TEXT_SIZE];

    print_hash(inside("<style>", "</style>"), style);
    print_hash(inside("<script>", "</script>"), script);
    return api_header_printf(x, "Content-Security-Policy",
                             "default-src 'none'; style-src 'sha256-%s'; "
                             "script-src 'sha256-%s'; connect-src 'self'; "
                             "base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'",
                             style, script) &&
           api_header_add(x, "X-Content-Type-Options", "nosniff") &&
           api_header_add(x, "Referrer-Policy", "no-referrer") &&
           api_header_add(x, "Cache-Control", "no-cache");
}

void api_dashboard_finish(struct api_exchange *x)
{
    static const char *const types[] = {"text/html"};
    size_t choice;

    if (!api_no_params(x) || !api_accept(x, types, 1, &choice))
        return;
    if (add_policies(x))
        api_answer_static(x, 200, "text/html; charset=utf-8",
                          ldb_slice_make(page, sizeof(page)));
    else
        api_answer_no_memory(x);
}
