/*
 * What another node answers over HTTP, from any bytes: the head of an answer,
 * line by line, and what follows it as the body of a refusal. The first byte
 * says what was asked for.
 *
 * What is taken stands in the bytes: numbers, and a digest as it prints itself
 * again. A head that is taken as a file's is the one that was asked for. What
 * is refused has a reason that can go to a log.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "replication/file_headers.h"
#include "replication/http_answer.h"
#include "replication/refusal.h"

#define INPUT_MAX ((size_t)80 << 10)

/* Of the first byte. */
#define ASKED_HEAD   1
#define ASKED_FOLLOW 2
#define ASKED_REST   4 /* from byte 10 on */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static void must_stand(struct ldb_slice input, const char *text)
{
    must(memmem(input.data, input.len, text, strlen(text)) != NULL);
}

static void must_stand_u64(struct ldb_slice input, uint64_t number)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, number);
    must_stand(input, text);
}

static void check_text(const char *text, size_t size)
{
    size_t len = strnlen(text, size);

    must(len < size);
    for (size_t i = 0; i < len; i++)
        must(text[i] >= ' ' && text[i] <= '~');
}

static void check_head(struct ldb_slice input,
                       const struct repl_http_answer *answer)
{
    char text[REPL_DIGEST_HEADER_SIZE];
    struct ldb_digest again;

    must(answer->http >= 200 && answer->http <= 999);
    must_stand_u64(input, answer->http);
    must(answer->bytes <= REPL_HTTP_HEAD_BYTES_MAX);
    if (answer->has_length)
        must_stand_u64(input, answer->length);
    if (answer->has_size)
        must_stand_u64(input, answer->head.size);
    if (answer->head.epoch != 0)
        must_stand_u64(input, answer->head.epoch);
    if (answer->has_range && answer->http != 416)
        must(answer->range_first < answer->range_size);
    if (!answer->head.has_digest)
        return;
    repl_digest_header_print(&answer->head.digest, text);
    must_stand(input, text);
    must(repl_digest_header_parse(ldb_slice_str(text), &again));
    must(ldb_digest_equal(&again, &answer->head.digest));
}

/* A reason, of IO. */
static void check_error(enum ldb_status s, const struct ldb_error *err)
{
    must(s == LDB_IO && err->status == LDB_IO && err->message[0] != '\0');
}

static void check_answer(struct ldb_slice input,
                         struct repl_http_answer *answer, unsigned asked)
{
    struct repl_http_wanted wanted = {
        .is_head_alone = (asked & ASKED_HEAD) != 0,
        .follow = (asked & ASKED_FOLLOW) != 0,
        .from = (asked & ASKED_REST) != 0 ? 10 : 0,
    };
    struct ldb_error err = {0};
    enum ldb_status s;

    if (repl_http_answer_is_at_end(answer, &wanted))
        must(answer->http == 416 && !wanted.follow);
    if (!repl_http_answer_is_success(answer))
        return;
    s = repl_http_answer_check(answer, &err);
    if (s != LDB_OK)
        check_error(s, &err);
    s = repl_http_answer_check_file(answer, &wanted, &err);
    if (s != LDB_OK) {
        check_error(s, &err);
        return;
    }
    must(answer->http == 200 || answer->http == 206);
    if (answer->http == 206)
        must(answer->range_first == 10);
    if (!wanted.is_head_alone)
        must(answer->has_length || answer->is_chunked);
    if (answer->head.size != wanted.from)
        must_stand_u64(input, answer->head.size);
}

static void check_refusal(unsigned http, struct ldb_slice body)
{
    struct repl_refusal refusal;
    struct ldb_error err = {0};
    enum ldb_status s;

    repl_refusal_read(http, body, &refusal);
    must(refusal.http == http);
    check_text(refusal.type, sizeof(refusal.type));
    check_text(refusal.detail, sizeof(refusal.detail));
    check_text(refusal.leader, sizeof(refusal.leader));
    s = repl_refusal_error(&refusal, "path", &err);
    must(s != LDB_OK && err.status == s);
    check_text(err.message, sizeof(err.message));
    s = repl_refusal_file_error(&refusal, "name", &err);
    must(s == LDB_IO || s == LDB_NOT_FOUND || s == LDB_INVALID_ARGUMENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct repl_http_answer answer = {0};
    struct ldb_slice input;
    struct ldb_error err = {0};
    size_t at = 0;
    enum ldb_status s = LDB_OK;

    if (len == 0 || len > INPUT_MAX)
        return -1;
    input = ldb_slice_make(bytes + 1, len - 1);
    while (s == LDB_OK && !answer.is_whole && at < input.len) {
        const uint8_t *end = memchr(input.data + at, '\n', input.len - at);
        size_t line_len =
            end == NULL ? input.len - at : (size_t)(end + 1 - input.data) - at;

        s = repl_http_answer_line(
            &answer, ldb_slice_make(input.data + at, line_len), &err);
        at += line_len;
    }
    if (s != LDB_OK) {
        check_error(s, &err);
        return 0;
    }
    if (!answer.is_whole)
        return 0;
    check_head(input, &answer);
    check_answer(input, &answer, bytes[0]);
    check_refusal(answer.http, ldb_slice_make(input.data + at, input.len - at));
    return 0;
}
