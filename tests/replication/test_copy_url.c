/* Which URLs are of copies, and what of. */
#include "replication/copy_url.h"
#include "tests/support/assert_ldb.h"

static void a_url_says_what_it_is_of(void **state)
{
    static const struct {
        const char *url;
        const char *web;
        const char *folder;
    } rows[] = {
        {"", NULL, NULL},
        {"http://leader:8080", NULL, NULL},
        {"https://leader/copy/", NULL, NULL},
        {"files+http://web/copy/", "http://web/copy/", NULL},
        {"files+https://web", "https://web", NULL},
        {"files+", "", NULL},
        {"files:/srv/copy", NULL, "/srv/copy"},
        {"files:///srv/copy", NULL, "///srv/copy"},
        {"files:srv", NULL, NULL},
        {"files", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *web = repl_copy_url_web(rows[i].url);
        const char *folder = repl_copy_url_folder(rows[i].url);

        assert_int_equal(rows[i].web != NULL, web != NULL);
        assert_int_equal(rows[i].folder != NULL, folder != NULL);
        assert_int_equal(web != NULL || folder != NULL,
                         repl_copy_url_is(rows[i].url));
        if (web != NULL)
            assert_string_equal(rows[i].web, web);
        if (folder != NULL)
            assert_string_equal(rows[i].folder, folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_says_what_it_is_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
