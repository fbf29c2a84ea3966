/* Limits, the hash, and files that cannot be read: what the golden cases cannot hold. */
#include "base/mem.h"
#include "base/str.h"
#include "config/corefile.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct corefile *parse(const char *text)
{
    struct corefile *c = NULL;
    struct err e = { 0 };
    int r = corefile_parse(text, strlen(text), "Corefile", NULL, &c, &e);
    if (r < 0)
        fail_msg("%s", e.text);
    return c;
}

static void assert_refused(const char *text, size_t len, int code, const char *words)
{
    struct corefile *c = NULL;
    struct err e = { 0 };
    assert_int_equal(corefile_parse(text, len, "Corefile", NULL, &c, &e), code);
    assert_null(c);
    assert_true(str_starts(e.text, "Corefile:"));
    if (!strstr(e.text, words))
        fail_msg("\"%s\" is not in: %s", words, e.text);
    assert_int_equal(corefile_parse(text, len, "Corefile", NULL, &c, NULL), code);
}

static bool same_hash(const char *a, const char *b)
{
    struct corefile *ca = parse(a), *cb = parse(b);
    bool same = memcmp(ca->sha512, cb->sha512, sizeof ca->sha512) == 0;
    corefile_free(ca);
    corefile_free(cb);
    return same;
}

static void test_hash(void **state)
{
    (void)state;
    const char *base = ".:53 {\n  cache 30 {\n  a b\n  }\n}\n";
    assert_true(same_hash(base, "# hello\n.:53 {\n\n  cache 30 {\n a b # x\n  }\n}\n"));
    assert_true(same_hash(base, "(s) {\n a b\n}\n.:53 {\n  cache 30 {\n import s\n  }\n}\n"));
    assert_false(same_hash(base, ".:53 {\n  cache 31 {\n  a b\n  }\n}\n"));
    assert_false(same_hash(base, ".:54 {\n  cache 30 {\n  a b\n  }\n}\n"));
    assert_false(same_hash(base, ".:53 {\n  cache 30 {\n  a\n b\n  }\n}\n"));
    assert_false(same_hash(base, ".:53 {\n  cache 30 {\n  ab\n  }\n}\n"));
    assert_false(same_hash("a.test {\n}\nb.test {\n}\n", "a.test b.test {\n}\n"));
}

static void test_hash_sees_variables(void **state)
{
    (void)state;
    const char *text = ".:53 {\n cache {$T_HASH}\n}\n";
    setenv("T_HASH", "1", 1);
    struct corefile *a = parse(text);
    setenv("T_HASH", "2", 1);
    struct corefile *b = parse(text);
    assert_memory_not_equal(a->sha512, b->sha512, sizeof a->sha512);
    corefile_free(a);
    corefile_free(b);
}

static void test_size_limits(void **state)
{
    (void)state;
    size_t mib = 1024 * 1024;
    char *text = xmalloc(mib + 1);
    struct corefile *c = NULL;
    memset(text, '#', mib + 1);
    assert_int_equal(corefile_parse(text, mib, "Corefile", NULL, &c, NULL), 0);
    corefile_free(c);
    assert_refused(text, mib + 1, ERR_LIMIT, "1 MiB");
    free(text);
    assert_refused(".:53 {\n who\0ami\n}\n", 17, ERR_PARSE, "NUL");
}

static void test_count_limits(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    for (int i = 0; i < 600; i++)
        strbuf_puts(&b, "10.0.0.0/9 ");
    assert_refused(b.p, b.len, ERR_LIMIT, "65536 zones");
    strbuf_reset(&b);
    strbuf_puts(&b, ".:53 {\n");
    for (int i = 0; i < 300; i++)
        strbuf_printf(&b, "d%d\n", i);
    assert_refused(b.p, b.len, ERR_LIMIT, "256 different directives");
    strbuf_reset(&b);
    for (int i = 0; i < 10001; i++)
        strbuf_puts(&b, ". {\n}\n");
    assert_refused(b.p, b.len, ERR_LIMIT, "10000 server blocks");
    strbuf_done(&b);
}

/* Snippets that double each time would stand for 2^30 words. */
static void test_growth(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    strbuf_puts(&b, "(s0) {\n a b c d e f g h i j k l m n o p\n}\n");
    for (int i = 1; i < 30; i++)
        strbuf_printf(&b, "(s%d) {\n import s%d\n import s%d\n}\n", i, i - 1, i - 1);
    strbuf_puts(&b, ". {\n import s29\n}\n");
    assert_refused(b.p, b.len, ERR_LIMIT, "maximum snippet import depth (10000) exceeded");
    strbuf_reset(&b);
    strbuf_puts(&b, "(s) {\n a");
    for (int i = 0; i < 1000; i++)
        strbuf_puts(&b, " x");
    strbuf_puts(&b, "\n}\n. {\n");
    for (int i = 0; i < 1100; i++)
        strbuf_puts(&b, " import s\n");
    assert_refused(b.p, b.len, ERR_LIMIT, "1000000 words");
    strbuf_done(&b);
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Imports are found beside the importing file, even when its folder's name looks like a pattern. */
static void test_odd_folder(void **state)
{
    (void)state;
    char base[] = "/tmp/signpost-config-XXXXXX", dir[64], core[96], part[96];
    struct corefile *c = NULL;
    struct err e = { 0 };
    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/o*d[d]?", base);
    snprintf(core, sizeof core, "%s/Corefile", dir);
    snprintf(part, sizeof part, "%s/x.part", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    put_file(core, "import *.part\nimport x.part\n");
    put_file(part, "x.test {\n}\n");
    int r = corefile_load(core, NULL, &c, &e);
    (void)(unlink(core) | unlink(part) | rmdir(dir) | rmdir(base));
    assert_int_equal(r, 0);
    assert_int_equal(c->n_blocks, 2);
    assert_string_equal(c->blocks[1].file, part);
    corefile_free(c);
}

static void test_unreadable(void **state)
{
    (void)state;
    struct corefile *c = NULL;
    struct err e = { 0 };
    assert_int_equal(corefile_load("/nonexistent/Corefile", NULL, &c, &e), -ENOENT);
    assert_string_equal(e.text, "open /nonexistent/Corefile: No such file or directory");
    assert_true(corefile_load("/", NULL, &c, &e) < 0);
    assert_refused("import /dev/null\n", 17, ERR_INVALID, "/dev/null: is not a regular file");
    corefile_free(NULL);
}

static void test_defaults(void **state)
{
    (void)state;
    const struct corefile_options o = { .default_port = 1053 };
    const char *text = ". dns://a.test tls://a.test b.test:5 {\n}\n";
    struct corefile *c = NULL;
    assert_int_equal(corefile_parse(text, strlen(text), "C", &o, &c, NULL), 0);
    assert_int_equal(c->blocks[0].keys[0].port, 1053);
    assert_int_equal(c->blocks[0].keys[1].port, 1053);
    assert_int_equal(c->blocks[0].keys[2].port, 853);
    assert_int_equal(c->blocks[0].keys[3].port, 5);
    corefile_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),        cmocka_unit_test(test_hash_sees_variables),
        cmocka_unit_test(test_size_limits), cmocka_unit_test(test_count_limits),
        cmocka_unit_test(test_growth),      cmocka_unit_test(test_odd_folder),
        cmocka_unit_test(test_unreadable),  cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
