#include "storage/base/lock_holder.h"

#include "tests/support/assert_ldb.h"

static const struct {
    const char *name;
    const char *text;
    uint64_t pid;
} rows[] = {
    {"nothing", "", 0},
    {"a flock", "1: FLOCK  ADVISORY  WRITE 1234 fd:1a:99 0 EOF\n", 1234},
    {"an fcntl lock", "1: POSIX  ADVISORY  WRITE 1234 fd:1a:99 0 EOF\n", 1234},
    {"a reader", "12: FLOCK  ADVISORY  READ  7 fd:1a:99 0 EOF\n", 7},
    {"no newline", "1: FLOCK  ADVISORY  WRITE 1234 fd:1a:99 0 EOF", 1234},
    {"another inode", "1: FLOCK  ADVISORY  WRITE 1234 fd:1a:999 0 EOF\n", 0},
    {"another minor", "1: FLOCK  ADVISORY  WRITE 1234 fd:1b:99 0 EOF\n", 0},
    {"another major", "1: FLOCK  ADVISORY  WRITE 1234 fe:1a:99 0 EOF\n", 0},
    {"a waiter", "1: -> FLOCK  ADVISORY  WRITE 1234 fd:1a:99 0 EOF\n", 0},
    {"no process", "1: OFDLCK ADVISORY  WRITE -1 fd:1a:99 0 EOF\n", 0},
    {"the second line",
     "1: OFDLCK ADVISORY  WRITE -1 fd:1a:99 0 EOF\n"
     "2: FLOCK  ADVISORY  WRITE 55 fd:1a:99 0 EOF\n",
     55},
    {"cut in the number", "1: FLOCK  ADVISORY  WRITE 12", 0},
    {"cut in the file", "1: FLOCK  ADVISORY  WRITE 1234 fd:1a", 0},
    {"no hex", "1: FLOCK  ADVISORY  WRITE 1234 fg:1a:99 0 EOF\n", 0},
    {"long hex", "1: FLOCK  ADVISORY  WRITE 1 0000000fd:1a:99 0 EOF\n", 0},
    {"blank lines", "\n\n  \n3: FLOCK ADVISORY WRITE 8 fd:1a:99 0 EOF\n", 8},
};

static void finds_the_process_that_holds_the_file(void **state)
{
    static const struct ldb_lock_file_id file = {
        .major = 0xfd, .minor = 0x1a, .inode = 99};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t pid = ldb_lock_holder_find(ldb_slice_str(rows[i].text), &file);

        if (pid != rows[i].pid)
            fail_msg("%s: %llu", rows[i].name, (unsigned long long)pid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_process_that_holds_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
