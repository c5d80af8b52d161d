#include "api/families.h"

#include <ctype.h>
#include <string.h>

#include "tests/support/assert_ldb.h"

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);

    return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static void names_follow_the_rules_of_prometheus(void **state)
{
    (void)state;
    for (enum api_family_id id = API_FAMILY_NONE + 1; id < API_FAMILY_END;
         id++) {
        const struct api_family *family = api_family_get(id);

        assert_true(strncmp(family->name, "leveld_", 7) == 0 ||
                    strncmp(family->name, "process_", 8) == 0);
        for (const char *c = family->name; *c != '\0'; c++)
            assert_true(islower((unsigned char)*c) || *c == '_');
        assert_int_equal(ends_with(family->name, "_total"),
                         family->type == API_COUNTER);
        if (family->unit == API_MICROSECONDS)
            assert_non_null(strstr(family->name, "_seconds"));
        assert_false(ends_with(family->name, "_count"));
        assert_false(ends_with(family->name, "_sum"));
        assert_false(ends_with(family->name, "_bucket"));
    }
}

static void each_family_is_explained_in_one_line(void **state)
{
    (void)state;
    for (enum api_family_id id = API_FAMILY_NONE + 1; id < API_FAMILY_END;
         id++) {
        const char *help = api_family_get(id)->help;

        assert_true(ends_with(help, "."));
        assert_null(strpbrk(help, "\\\n"));
    }
}

static void no_name_is_there_twice(void **state)
{
    (void)state;
    for (enum api_family_id a = API_FAMILY_NONE + 1; a < API_FAMILY_END; a++) {
        for (enum api_family_id b = a + 1; b < API_FAMILY_END; b++)
            assert_string_not_equal(api_family_get(a)->name,
                                    api_family_get(b)->name);
    }
}

static void types_have_their_texts(void **state)
{
    (void)state;
    assert_string_equal(api_family_type_text(API_COUNTER), "counter");
    assert_string_equal(api_family_type_text(API_GAUGE), "gauge");
    assert_string_equal(api_family_type_text(API_HISTOGRAM), "histogram");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_follow_the_rules_of_prometheus),
        cmocka_unit_test(each_family_is_explained_in_one_line),
        cmocka_unit_test(no_name_is_there_twice),
        cmocka_unit_test(types_have_their_texts),
    };

    return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
