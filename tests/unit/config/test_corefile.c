/* Runs every case of tests/golden/corefile: a Corefile and what comes of it, the blocks or the
 * error. GOLDEN_UPDATE=1 in the environment rewrites the expectations. */
#include "base/mem.h"
#include "base/str.h"
#include "config/corefile.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const directives[] = { "bind",       "cache",    "errors", "forward", "hosts",
                                          "kubernetes", "template", "whoami", "geoip",   NULL };

static const char *unsupported(const char *directive)
{
    return str_eq(directive, "geoip") ? "geoip is not offered: it needs a database" : NULL;
}

static const struct corefile_options options = {
    .default_port = 53,
    .directives = directives,
    .why_unsupported = unsupported,
};

static const char *const scheme_names[SCHEME_COUNT] = { "dns",  "tls",   "quic",
                                                        "grpc", "https", "https3" };

static void dump_word(struct strbuf *out, const char *s)
{
    strbuf_putc(out, '[');
    for (; *s; s++) {
        if (*s == '\n')
            strbuf_puts(out, "\\n");
        else
            strbuf_putc(out, *s);
    }
    strbuf_putc(out, ']');
}

/* One line a line of the directive, after "FILE:LINE" of its first word. */
static void dump_directive(struct strbuf *out, const struct directive *d)
{
    for (size_t i = 0; i < d->n_tokens; i++) {
        const struct token *t = &d->tokens[i];
        assert_true(i > 0 || (t->name && t->first));
        if (t->first)
            strbuf_printf(out, "%s  %s%s:%d", i ? "\n" : "", t->name ? "" : "  ", t->file, t->line);
        strbuf_putc(out, ' ');
        dump_word(out, t->text);
    }
    strbuf_putc(out, '\n');
}

/* Runs of keys from one CIDR are shown by their first and last. */
static void dump_keys(struct strbuf *out, const struct block *b)
{
    for (size_t i = 0; i < b->n_keys; i++) {
        const struct key *k = &b->keys[i];
        bool inside = i > 0 && i + 1 < b->n_keys && b->keys[i - 1].token == k->token &&
                      b->keys[i + 1].token == k->token;
        if (inside)
            continue;
        strbuf_printf(out, "key %s://%s:%u from %s:%d\n", scheme_names[k->scheme], k->zone, k->port,
                      k->token->file, k->token->line);
    }
}

static void dump(struct strbuf *out, const struct corefile *c)
{
    for (size_t i = 0; i < c->n_blocks; i++) {
        const struct block *b = &c->blocks[i];
        strbuf_printf(out, "block %s:%d, %zu keys\n", b->file, b->line, b->n_keys);
        dump_keys(out, b);
        for (size_t d = 0; d < b->n_directives; d++)
            dump_directive(out, &b->directives[d]);
    }
    strbuf_printf(out, "%zu blocks\n", c->n_blocks);
}

static char *slurp(const char *path)
{
    struct strbuf b = { 0 };
    char part[4096];
    FILE *f = fopen(path, "re");
    if (!f)
        return xstrdup("(no such file)");
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        strbuf_add(&b, part, n);
    fclose(f);
    return strbuf_steal(&b);
}

static bool check_case(const char *name)
{
    struct strbuf out = { 0 };
    struct corefile *c = NULL;
    struct err e = { 0 };
    assert_int_equal(chdir(name), 0);
    if (corefile_load("Corefile", &options, &c, &e) == 0)
        dump(&out, c);
    else
        strbuf_printf(&out, "error: %s\n", e.text);
    if (getenv("GOLDEN_UPDATE")) {
        FILE *f = fopen("expect", "we");
        assert_non_null(f);
        fputs(out.p, f);
        fclose(f);
    }
    char *expect = slurp("expect");
    bool same = str_eq(expect, out.p);
    if (!same)
        print_error("%s: expected\n%sbut have\n%s", name, expect, out.p);
    free(expect);
    strbuf_done(&out);
    corefile_free(c);
    assert_int_equal(chdir(".."), 0);
    return same;
}

static void test_golden(void **state)
{
    (void)state;
    size_t n = 0, bad = 0;
    assert_int_equal(chdir(GOLDEN_DIR), 0);
    setenv("T_ZONE", "env.test", 1);
    setenv("T_TWO", "two words", 1);
    setenv("T_BRACE", "{", 1);
    setenv("T_NEST", "{$T_ZONE}", 1);
    setenv("T_SELF", "x{$T_SELF}", 1);
    unsetenv("T_UNSET");
    DIR *d = opendir(".");
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d)) != NULL;) {
        if (f->d_name[0] == '.')
            continue;
        bad += !check_case(f->d_name);
        n++;
    }
    closedir(d);
    assert_true(n > 50);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
