/*
 * The head of an HTTP/1.1 answer, line by line as it comes: its status and what
 * counts of its headers. Bytes from a network: what is not of its form is an
 * error, what could be read in two ways too.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_HTTP_ANSWER_H
#define REPLICATION_HTTP_ANSWER_H

#include "replication/transport.h"

/* Bytes of a head; more is refused. Chosen: ours have under 1 KiB. */
#define REPL_HTTP_HEAD_BYTES_MAX ((size_t)64 << 10)

/* Zeroed at first. */
struct repl_http_answer {
    unsigned http; /* status; 0: it has not come */
    bool is_whole; /* the head has ended, and it is not one of 1xx */
    size_t bytes;  /* of heads so far */

    struct repl_file_head head; /* of a file: those of file_headers.h */
    bool has_size;              /* REPL_SIZE_HEADER was among them */
    bool has_length;
    uint64_t length; /* Content-Length */
    bool is_chunked;
    /* Content-Range: the first byte and the size of the whole; the size alone
     * when no byte was satisfied (416): then first is size. */
    bool has_range;
    uint64_t range_first;
    uint64_t range_size;
};

/* What of a file was asked for. */
struct repl_http_wanted {
    bool is_head_alone; /* HEAD */
    bool follow;
    uint64_t from;
    uint64_t count; /* 0: all from there on */
};

/*
 * One line, its end included. Lines behind the end of the head (trailers) are
 * passed over.
 *
 * Errors: IO: what is wrong with it.
 */
LDB_MUST_CHECK enum ldb_status
repl_http_answer_line(struct repl_http_answer *answer, struct ldb_slice line,
                      struct ldb_error *err);

/* 2xx. */
bool repl_http_answer_is_success(const struct repl_http_answer *answer);

/*
 * The head is whole and a success: whether it can be the answer to a request
 * for a document, or for a file, whose end can be told from a cut. Of a file
 * the size in its head is filled in where it came in another way than by our
 * header.
 *
 * Errors: IO: why not.
 */
LDB_MUST_CHECK enum ldb_status
repl_http_answer_check(const struct repl_http_answer *answer,
                       struct ldb_error *err);
LDB_MUST_CHECK enum ldb_status
repl_http_answer_check_file(struct repl_http_answer *answer,
                            const struct repl_http_wanted *wanted,
                            struct ldb_error *err);

/* A refusal of a range that begins where the file ends: nothing is wrong. */
bool repl_http_answer_is_at_end(const struct repl_http_answer *answer,
                                const struct repl_http_wanted *wanted);

#endif
