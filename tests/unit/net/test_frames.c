#include "net/frames.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

#define CONTENT "protobuf:dnstap.Dnstap"

static void test_there_and_back(void **state)
{
    static const struct {
        enum frames_control type;
        const char *content;
        size_t len;
    } cases[] = {
        { FRAMES_READY, CONTENT, 42 }, { FRAMES_ACCEPT, CONTENT, 42 },
        { FRAMES_START, CONTENT, 42 }, { FRAMES_STOP, NULL, 12 },
        { FRAMES_FINISH, NULL, 12 },
    };
    uint8_t out[16 + FRAMES_CONTENT_MAX + 4];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum frames_control type;
        bool fits = false;
        size_t len = frames_write_control(out, cases[i].type, cases[i].content);
        assert_int_equal(len, cases[i].len);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(frames_read_control(out, cut, CONTENT, &type, &fits), 0);
        assert_int_equal(frames_read_control(out, len, CONTENT, &type, &fits), len);
        assert_int_equal(type, cases[i].type);
        assert_true(fits);
    }
}

static void check(const char *bytes, size_t len, int code, bool wanted_fits)
{
    enum frames_control type;
    bool fits = false;
    assert_int_equal(frames_read_control((const uint8_t *)bytes, len, "x", &type, &fits), code);
    if (code > 0)
        assert_int_equal(fits, wanted_fits);
}

#define CHECK(bytes, code, fits) check(bytes, sizeof bytes - 1, code, fits)
#define N(n)                     "\0\0\0" n

static void test_other_frames(void **state)
{
    (void)state;
    CHECK(N("\0") N("\15") N("\1") N("\1") N("\1") "y", 21, false);
    CHECK(N("\0") N("\26") N("\1") N("\1") N("\1") "y" N("\1") N("\1") "x", 30, true);
    CHECK(N("\1") "a", ERR_PARSE, false);                              /* a data frame */
    CHECK(N("\0") N("\3") "abc", ERR_PARSE, false);                    /* no room for a type */
    CHECK(N("\0") "\0\0\2\1", ERR_PARSE, false);                       /* too large */
    CHECK(N("\0") N("\4") N("\0"), ERR_PARSE, false);                  /* no such type */
    CHECK(N("\0") N("\4") N("\6"), ERR_PARSE, false);                  /* no such type */
    CHECK(N("\0") N("\14") N("\1") N("\2") N("\0"), ERR_PARSE, false); /* no such field */
    CHECK(N("\0") N("\14") N("\1") N("\1") N("\1"), ERR_PARSE, false); /* field too long */
    CHECK(N("\0") N("\6") N("\1") "ab", ERR_PARSE, false);             /* half a field */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_other_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
