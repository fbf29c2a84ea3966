/* tests/golden/rules/<case>: N.yaml is applied in turn (objects with the label "delete" go), N.nft
 * is the text for the kernel: the whole ruleset for 0, the commands for the difference afterwards.
 * warnings.txt: what the model had to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "proxy/ruleset.h"
#include "world.h"

static struct ruleset *rules_of(unsigned family)
{
    struct ruleset_options o = { .family = family == 0 ? 4 : 6,
                                 .local_mode = LOCAL_CIDR,
                                 .mark = 0x4000 };
    assert_int_equal(
        ip_prefix_parse(family == 0 ? "10.244.0.0/16" : "fd00:10:244::/48", &o.local_cidr), 0);
    return ruleset_new(&o);
}

static char *read_step(const char *folder, unsigned step)
{
    char path[GOLDEN_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%u.yaml", folder, step);
    return text_of_file(path, NULL);
}

/* Where node ports are open, and what cluster IPs are taken from. */
static const struct ip node_ips[] = { { 4, { 192, 168, 0, 1 } }, { 6, { 0xfd, 9, [15] = 1 } } };
static const struct ip_prefix ranges[] = { { { 4, { 10, 96 } }, 16 } };
static const struct surroundings around = { node_ips, 2, ranges, 1 };

static void run_step(struct world *w, struct ruleset *rules[2], const char *folder, unsigned step)
{
    char file[32];
    struct strbuf out = { 0 };
    struct portal_change *changes;
    model_refresh(w->model);
    size_t n = model_take_changes(w->model, &changes);
    for (unsigned f = 0; f < 2; f++) {
        if (step == 0)
            ruleset_skeleton(rules[f], &out);
        (void)ruleset_stage(rules[f], changes, n, &around, &out);
        ruleset_commit(rules[f]);
    }
    (void)snprintf(file, sizeof file, "%u.nft", step);
    golden_expect(folder, file, out.p);
    free(changes);
    strbuf_done(&out);
}

static void run_case(void *ctx, const char *folder)
{
    (void)ctx;
    char *yaml;
    struct world w;
    struct ruleset *rules[2] = { rules_of(0), rules_of(1) };
    world_init(&w);
    unsigned step = 0;
    for (; (yaml = read_step(folder, step)) != NULL; step++) {
        world_apply(&w, yaml);
        free(yaml);
        run_step(&w, rules, folder, step);
    }
    assert_true(step > 0);
    golden_expect(folder, "warnings.txt", w.warnings.p);
    ruleset_free(rules[0]);
    ruleset_free(rules[1]);
    world_done(&w);
}

static void test_cases(void **state)
{
    (void)state;
    golden_each(GOLDEN_DIR, run_case, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
