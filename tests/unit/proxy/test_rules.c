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

#include "dump.h"
#include "proxy/render_nft.h"
#include "world.h"

static struct ruleset *rules_of(unsigned family)
{
    struct ruleset_options o = { .family = family == 0 ? 4 : 6 };
    assert_int_equal(
        ip_prefix_parse(family == 0 ? "10.244.0.0/16" : "fd00:10:244::/48", &o.cluster_cidr), 0);
    return ruleset_new(&o);
}

static char *read_step(const char *name, unsigned step)
{
    char path[512];
    size_t len;
    (void)snprintf(path, sizeof path, "%s/%s/%u.yaml", GOLDEN_DIR, name, step);
    return file_read(path, &len);
}

static void run_step(struct world *w, struct ruleset *rules[2], const char *name, unsigned step)
{
    char path[512];
    struct strbuf out = { 0 };
    struct vip_change *changes;
    model_refresh(w->model);
    size_t n = model_take_changes(w->model, &changes);
    for (unsigned f = 0; f < 2; f++) {
        if (step == 0)
            ruleset_skeleton(rules[f], &out);
        (void)ruleset_stage(rules[f], changes, n, &out);
        ruleset_commit(rules[f]);
    }
    (void)snprintf(path, sizeof path, "%s/%s/%u.nft", GOLDEN_DIR, name, step);
    golden_check(path, out.p ? out.p : "");
    free(changes);
    strbuf_done(&out);
}

static void run_case(const char *name)
{
    char path[512], *yaml;
    struct world w;
    struct ruleset *rules[2] = { rules_of(0), rules_of(1) };
    world_init(&w);
    unsigned step = 0;
    for (; (yaml = read_step(name, step)) != NULL; step++) {
        world_apply(&w, yaml);
        free(yaml);
        run_step(&w, rules, name, step);
    }
    assert_true(step > 0);
    (void)snprintf(path, sizeof path, "%s/%s/warnings.txt", GOLDEN_DIR, name);
    golden_check(path, w.warnings.p ? w.warnings.p : "");
    ruleset_free(rules[0]);
    ruleset_free(rules[1]);
    world_done(&w);
}

static void test_cases(void **state)
{
    (void)state;
    char **names;
    size_t n = folder_list(GOLDEN_DIR, &names);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        run_case(names[i]);
        free(names[i]);
    }
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
