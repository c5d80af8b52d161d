/*
 * Conditional requests (RFC 9110 section 13): If-Match and If-None-Match.
 *
 * An entity tag of ours is a sequence number in quotes. Any other tag is legal
 * and matches nothing. If-Match compares strongly (a weak tag never matches),
 * If-None-Match weakly.
 *
 * Functions that take x and return bool answer a problem when they return
 * false. Thread-safety: the exchange's loop.
 */
#ifndef API_CONDITIONS_H
#define API_CONDITIONS_H

#include "api/exchange.h"

/* Tags in one header; more are an error. Chosen: a request line and headers
 * have about 16 KiB. */
#define API_TAGS_MAX 1024

/* One of the two headers, parsed. */
struct api_tag_list {
    bool given;
    bool any;                      /* "*" */
    const ldb_sequence *sequences; /* those that can match; in the arena */
    size_t sequence_count;
};

struct api_conditions {
    struct api_tag_list match;      /* If-Match */
    struct api_tag_list none_match; /* If-None-Match */
};

/*
 * Parses a header's value. weak_matches: W/"12" stands for 12 too.
 * API_TAGS_BAD: not a list of entity tags.
 */
enum api_tags_result {
    API_TAGS_OK,
    API_TAGS_BAD,
    API_TAGS_NO_MEMORY,
};
LDB_MUST_CHECK enum api_tags_result
api_tag_list_parse(struct ldb_arena *arena, struct ldb_slice value,
                   bool weak_matches, struct api_tag_list *out);

/* Both headers. False: answered 400. */
LDB_MUST_CHECK bool api_conditions_parse(struct api_exchange *x,
                                         struct api_conditions *out);

/* Answers 400 when either header was sent: for requests on no single key. */
LDB_MUST_CHECK bool api_conditions_refuse(struct api_exchange *x);

/* Whether the list names the entry: it exists and is at sequence. */
bool api_tag_list_has(const struct api_tag_list *list, bool exists,
                      ldb_sequence sequence);

/*
 * The engine's conditions for a write of key: 0 to 2 of them into out.
 * Returns how many.
 */
size_t api_conditions_for_write(const struct api_conditions *conditions,
                                struct ldb_slice key,
                                struct ldb_condition out[2]);

#endif
