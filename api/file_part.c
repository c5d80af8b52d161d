#include "api/file_part.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/byte_range.h"
#include "api/problem.h"
#include "api/response.h"
#include "storage/base/slice.h"

const char *api_file_tag(struct api_exchange *x, const char *name, uint64_t len)
{
    size_t size = strlen(name) + API_NUMBER_TEXT_SIZE + 4;
    char *tag = ldb_arena_alloc(x->arena, size);

    if (tag != NULL)
        (void)snprintf(tag, size, "\"%s-%" PRIu64 "\"", name, len);
    return tag;
}

/* The tag is in quotes, so that it is found wherever it stands in a list. */
bool api_file_is_unchanged(struct api_exchange *x, const char *tag)
{
    struct ldb_slice value = api_exchange_header(x, "If-None-Match", NULL);

    if (value.data == NULL || tag == NULL)
        return false;
    return ldb_slice_equal(value, ldb_slice_str("*")) ||
           memmem(value.data, value.len, tag, strlen(tag)) != NULL;
}

void api_file_answer_outside(struct api_exchange *x, uint64_t len)
{
    struct api_problem problem = {.kind = API_PROBLEM_MALFORMED, .status = 416};

    if (!api_header_printf(x, "Content-Range", "bytes */%" PRIu64, len)) {
        api_answer_no_memory(x);
        return;
    }
    api_problem_detail(&problem, "the file has %" PRIu64 " bytes now", len);
    api_answer_problem(x, &problem);
}

static enum api_byte_range find_range(struct api_exchange *x, const char *tag,
                                      uint64_t len, struct api_file_part *part)
{
    unsigned sent = 0;
    struct ldb_slice range = api_exchange_header(x, "Range", &sent);
    struct ldb_slice if_range = api_exchange_header(x, "If-Range", NULL);

    /* Section 14.2: of a GET alone. */
    if (x->method != API_GET || sent != 1 ||
        (if_range.data != NULL &&
         !ldb_slice_equal(if_range, ldb_slice_str(tag))))
        return API_RANGE_WHOLE;
    return api_byte_range_parse(range, len, &part->start, &part->len);
}

bool api_file_part_find(struct api_exchange *x, const char *tag, uint64_t len,
                        struct api_file_part *out)
{
    struct api_file_part part = {.status = 200, .len = len};

    switch (find_range(x, tag, len, &part)) {
    case API_RANGE_WHOLE:
        break;
    case API_RANGE_OUTSIDE:
        api_file_answer_outside(x, len);
        return false;
    case API_RANGE_PART:
        part.status = 206;
        if (!api_header_printf(x, "Content-Range",
                               "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                               part.start, part.start + part.len - 1, len)) {
            api_answer_no_memory(x);
            return false;
        }
        break;
    }
    *out = part;
    return true;
}
