/* A journey is complete only when every step was observed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "explain/journey.h"

#include <stdlib.h>

static char *printed(const struct journey *j)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    journey_print(j, "A walk", f);
    (void)fclose(f);
    return text;
}

static void complete(void **state)
{
    (void)state;
    struct journey j = { 0 };
    journey_step(&j, "name");
    journey_saw(&j, -1, "typed %s", "bar");
    journey_step(&j, "reply");
    journey_saw(&j, 1250000, "came");
    journey_saw(&j, -1, "and went");
    assert_null(journey_first_missing(&j));
    char *text = printed(&j);
    assert_non_null(strstr(text, "typed bar"));
    assert_non_null(strstr(text, "1.25"));
    assert_null(strstr(text, "NOT SEEN"));
    free(text);
    journey_done(&j);
}

static void something_is_missing(void **state)
{
    (void)state;
    struct journey j = { 0 };
    journey_step(&j, "name");
    journey_saw(&j, -1, "typed");
    journey_step(&j, "reply");
    journey_saw(&j, -1, "something");
    journey_missed(&j, "the end of it");
    assert_string_equal(journey_first_missing(&j), "reply");
    char *text = printed(&j);
    assert_non_null(strstr(text, "NOT SEEN: the end of it"));
    assert_null(strstr(text, "NOT SEEN: something"));
    free(text);
    journey_done(&j);
}

static void what_could_not_be_looked_at(void **state)
{
    (void)state;
    struct journey j = { 0 };
    journey_step(&j, "name typed");
    journey_saw(&j, -1, "typed");
    journey_step(&j, "arrival");
    journey_blind(&j, "on another node");
    assert_string_equal(journey_first_missing(&j), "arrival");
    char *text = printed(&j);
    assert_non_null(strstr(text, "BLIND: on another node"));
    assert_null(strstr(text, "NOT SEEN"));
    free(text);
    journey_done(&j);
}

static void nothing_was_told(void **state)
{
    (void)state;
    struct journey j = { 0 };
    assert_non_null(journey_first_missing(&j)); /* no step at all is no success */
    journey_step(&j, "route");
    assert_string_equal(journey_first_missing(&j), "route");
    journey_done(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete),
        cmocka_unit_test(something_is_missing),
        cmocka_unit_test(what_could_not_be_looked_at),
        cmocka_unit_test(nothing_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
