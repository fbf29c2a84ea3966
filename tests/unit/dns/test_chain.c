#include "dns/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Each step and hook writes its letter; what a step returns is its conf. */
static char trail[64];

static void mark(char c)
{
    size_t n = strlen(trail);
    trail[n] = c;
    trail[n + 1] = 0;
}

struct act {
    char letter;
    enum step step;
};

static enum step step_in(struct query *q, void *conf)
{
    const struct act *a = conf;
    (void)q;
    mark(a->letter);
    return a->step;
}

static void hook(struct query *q, void *conf)
{
    (void)q;
    mark(*(const char *)conf);
}

static const struct plugin names[] = { { .name = "first" },
                                       { .name = "second" },
                                       { .name = "third" } };

struct fixture {
    struct arena arena;
    struct act acts[3];
    const struct chain *chain;
    struct query query;
};

static int always = -1; /* whose hook hears of bare replies and drops */

/* Three plugins: a (in, out A), b (in, out B), c (in, out C). */
static struct fixture *build(enum step a, enum step b, enum step c)
{
    static struct fixture f;
    struct chain_part parts[3];
    arena_init(&f.arena, 1024);
    arena_init(&f.query.arena, 1024);
    f.acts[0] = (struct act){ 'a', a };
    f.acts[1] = (struct act){ 'b', b };
    f.acts[2] = (struct act){ 'c', c };
    for (int i = 0; i < 3; i++)
        parts[i] = (struct chain_part){ .plugin = &names[i],
                                        .in = step_in,
                                        .in_conf = &f.acts[i],
                                        .out = hook,
                                        .out_always = i == always,
                                        .out_conf = (void *)(uintptr_t) & "ABC"[i] };
    f.chain = chain_build(&f.arena, parts, 3, NULL, false);
    f.query.bare = false;
    f.query.error = NULL;
    f.query.dropped = false;
    trail[0] = 0;
    return &f;
}

static void done(struct fixture *f)
{
    arena_done(&f->arena);
    arena_done(&f->query.arena);
}

static void test_only_outer_hooks_run(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_DONE, STEP_DONE);
    assert_int_equal(chain_run(f->chain, &f->query), STEP_DONE);
    assert_string_equal(trail, "abA"); /* b ended the chain: its own hook does not run */
    assert_int_equal(f->query.answerer, 2);
    done(f);
}

static void test_innermost_hook_runs_first(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_NEXT, STEP_DONE);
    assert_int_equal(chain_run(f->chain, &f->query), STEP_DONE);
    assert_string_equal(trail, "abcBA");
    done(f);
}

static void test_nobody_answers(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_NEXT, STEP_NEXT);
    assert_int_equal(chain_run(f->chain, &f->query), STEP_DONE);
    assert_int_equal(f->query.reply.rcode, RCODE_SERVFAIL);
    assert_string_equal(f->query.error, "plugin/third: no next plugin found");
    assert_string_equal(trail, "abc"); /* a bare reply passes no hook */
    done(f);
}

static void test_waiting_goes_on_behind_its_step(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_WAIT, STEP_DONE);
    assert_int_equal(chain_run(f->chain, &f->query), STEP_WAIT);
    assert_string_equal(trail, "ab");
    assert_int_equal(chain_continue(f->chain, &f->query, STEP_NEXT), STEP_DONE);
    assert_string_equal(trail, "abcBA");
    done(f);
}

static void test_drop_runs_no_hook(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_DROP, STEP_DONE);
    assert_int_equal(chain_run(f->chain, &f->query), STEP_DROP);
    assert_string_equal(trail, "ab");
    done(f);
}

static void test_some_hear_of_every_end(void **state)
{
    static const struct {
        enum step b, c;
        enum step end;
        const char *trail;
    } cases[] = {
        { STEP_NEXT, STEP_DROP, STEP_DROP, "abcB" },
        { STEP_NEXT, STEP_NEXT, STEP_DONE, "abcB" }, /* nobody answers */
        { STEP_DROP, STEP_DONE, STEP_DROP, "ab" },   /* its own doing */
        { STEP_NEXT, STEP_DONE, STEP_DONE, "abcBA" },
    };
    (void)state;
    always = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture *f = build(STEP_NEXT, cases[i].b, cases[i].c);
        assert_int_equal(chain_run(f->chain, &f->query), cases[i].end);
        assert_string_equal(trail, cases[i].trail);
        done(f);
    }
    always = -1;
}

/* Of the plugin that it begins behind, neither step nor hook. */
static void test_below(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_NEXT, STEP_DONE);
    assert_int_equal(chain_run_below(f->chain, &f->query, 0), STEP_DONE);
    assert_string_equal(trail, "bcB");
    assert_int_equal(f->query.answerer, 3);
    trail[0] = 0;
    assert_int_equal(chain_run_below(f->chain, &f->query, 2), STEP_DONE);
    assert_string_equal(trail, "");
    assert_int_equal(f->query.reply.rcode, RCODE_SERVFAIL);
    done(f);
}

static bool at_once(const struct query *q, const void *conf)
{
    (void)q;
    return ((const struct act *)conf)->letter == 'c';
}

/* a before c: b has a hook, a step, or nothing. */
static void test_next_at_once(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_NEXT, STEP_DONE);
    struct chain_part parts[3] = {
        [0] = { .plugin = &names[0], .in = step_in },
        [1] = { .plugin = &names[1] },
        [2] = { .plugin = &names[2], .in = step_in, .in_conf = &f->acts[2], .at_once = at_once }
    };
    struct route route = { 0 };
    f->query.route = &route;
    f->query.step = 0;
    route.chain = chain_build(&f->arena, parts, 3, NULL, false);
    assert_true(query_next_at_once(&f->query));
    parts[1].out = hook;
    route.chain = chain_build(&f->arena, parts, 3, NULL, false);
    assert_false(query_next_at_once(&f->query));
    parts[1].out = NULL;
    parts[1].in = step_in;
    route.chain = chain_build(&f->arena, parts, 3, NULL, false);
    assert_false(query_next_at_once(&f->query));
    f->query.step = 1;
    assert_true(query_next_at_once(&f->query));
    f->query.step = 2;
    assert_false(query_next_at_once(&f->query));
    done(f);
}

static void test_empty_chain_refuses(void **state)
{
    (void)state;
    struct fixture *f = build(STEP_NEXT, STEP_NEXT, STEP_NEXT);
    const struct chain *empty = chain_build(&f->arena, NULL, 0, NULL, false);
    assert_int_equal(chain_run(empty, &f->query), STEP_DONE);
    assert_int_equal(f->query.reply.rcode, RCODE_REFUSED);
    done(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_outer_hooks_run),
        cmocka_unit_test(test_innermost_hook_runs_first),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_waiting_goes_on_behind_its_step),
        cmocka_unit_test(test_drop_runs_no_hook),
        cmocka_unit_test(test_some_hear_of_every_end),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_next_at_once),
        cmocka_unit_test(test_empty_chain_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
