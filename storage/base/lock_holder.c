/*
 * A line of /proc/locks (proc(5)), fields separated by blanks:
 *
 *   1: FLOCK  ADVISORY  WRITE 1234 fd:00:2531452 0 EOF
 *   2: OFDLCK ADVISORY  WRITE -1 fd:00:2531452 0 EOF
 *   2: -> FLOCK  ADVISORY  WRITE 99 fd:00:2531452 0 EOF     (a waiter)
 *
 * that is: number, kind, ADVISORY or MANDATORY, READ or WRITE, process id,
 * device major:minor in hex and inode in decimal, range.
 */
#include "storage/base/lock_holder.h"

#include "storage/base/checked.h"

#define FIELD_ARROW    1 /* "->" here marks a waiter */
#define FIELD_PID      4
#define FIELD_FILE     5
#define FIELD_COUNT    6 /* those before the range */
#define HEX_DIGITS_MAX 8

/* The bytes before the first end byte; *text moves past it. */
static struct ldb_slice cut_at(struct ldb_slice *text, uint8_t end)
{
    struct ldb_slice piece = *text;
    const uint8_t *at =
        text->len == 0 ? NULL : memchr(text->data, end, text->len);

    if (at == NULL) {
        *text = (struct ldb_slice){0};
        return piece;
    }
    piece.len = (size_t)(at - text->data);
    text->data += piece.len + 1;
    text->len -= piece.len + 1;
    return piece;
}

/* The next field of a line; empty at its end. */
static struct ldb_slice next_field(struct ldb_slice *line)
{
    struct ldb_slice field = {0};

    while (line->len > 0 && field.len == 0)
        field = cut_at(line, ' ');
    return field;
}

static bool parse_hex(struct ldb_slice text, unsigned *out)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > HEX_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        unsigned digit;

        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

static bool names_file(struct ldb_slice field,
                       const struct ldb_lock_file_id *file)
{
    unsigned major;
    unsigned minor;
    uint64_t inode;

    return parse_hex(cut_at(&field, ':'), &major) &&
           parse_hex(cut_at(&field, ':'), &minor) &&
           ldb_parse_u64(field, &inode) && major == file->major &&
           minor == file->minor && inode == file->inode;
}

uint64_t ldb_lock_holder_find(struct ldb_slice proc_locks,
                              const struct ldb_lock_file_id *file)
{
    while (proc_locks.len > 0) {
        struct ldb_slice line = cut_at(&proc_locks, '\n');
        struct ldb_slice fields[FIELD_COUNT];
        uint64_t pid;

        for (size_t i = 0; i < FIELD_COUNT; i++)
            fields[i] = next_field(&line);
        if (ldb_slice_equal(fields[FIELD_ARROW], ldb_slice_str("->")))
            continue;
        if (names_file(fields[FIELD_FILE], file) &&
            ldb_parse_u64(fields[FIELD_PID], &pid) && pid > 0)
            return pid;
    }
    return 0;
}
