/* Who is told of which deletion, in a world of our own; skipped where the machine does not allow
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "kernel/netns.h"
#include "kernel/nft.h"
#include "kernel/nft_watch.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char seen[256]; /* "TABLE/CHAIN " of each deletion */

static enum nft_harm judge(const char *table, const char *chain)
{
    size_t n = strlen(seen);
    (void)snprintf(seen + n, sizeof seen - n, "%s/%s ", table, chain ? chain : "-");
    if (strcmp(table, "mine") != 0)
        return NFT_UNHARMED;
    return chain && strcmp(chain, "shared") == 0 ? NFT_DOUBTFUL : NFT_LOST;
}

static void apply(const char *text)
{
    struct err e;
    const struct nft_backend *b = nft_program();
    assert_int_equal(b->apply(b->ctx, text, strlen(text), false, &e), 0);
}

static struct nft_watch watch;

static void setup_tables(void)
{
    apply("add table ip mine\nadd set ip mine s { type ipv4_addr; }\n"
          "add element ip mine s { 10.0.0.1 }\n"
          "add chain ip mine own\nadd rule ip mine own accept\n"
          "add chain ip mine shared\nadd rule ip mine shared accept\n"
          "add table ip6 mine\nadd chain ip6 mine own\nadd rule ip6 mine own accept\n"
          "add table ip other\nadd chain ip other own\nadd rule ip other own accept\n");
    assert_int_equal(nft_watch_open(&watch), 0);
}

/* What a command of somebody else does: worst of IPv4 and IPv6. */
static void check(const char *command, const char *deletions, enum nft_harm four, enum nft_harm six)
{
    enum nft_harm harm[2] = { NFT_UNHARMED, NFT_UNHARMED };
    uint32_t own = nft_generation();
    seen[0] = '\0';
    apply(command);
    assert_int_equal(nft_generation(), own + 1);
    assert_int_equal(nft_watch_read(&watch, judge, own, harm), 0);
    assert_string_equal(seen, deletions);
    assert_int_equal(harm[0], four);
    assert_int_equal(harm[1], six);
}

static void deletions_are_judged(void **state)
{
    (void)state;
    setup_tables();
    check("flush chain ip mine own\n", "mine/own ", NFT_LOST, NFT_UNHARMED);
    check("flush chain ip mine shared\n", "mine/shared ", NFT_DOUBTFUL, NFT_UNHARMED);
    check("delete element ip mine s { 10.0.0.1 }\n", "mine/- ", NFT_LOST, NFT_UNHARMED);
    check("add rule ip mine own drop\n", "", NFT_UNHARMED, NFT_UNHARMED);
    check("delete chain ip mine shared\nflush chain ip other own\n", "mine/shared other/own ",
          NFT_DOUBTFUL, NFT_UNHARMED);
    check("flush chain ip6 mine own\n", "mine/own ", NFT_UNHARMED, NFT_LOST);
    check("delete table ip other\n", "other/own other/- ", NFT_UNHARMED, NFT_UNHARMED);
    nft_watch_done(&watch);
    apply("flush ruleset\n");
}

static void own_transactions_do_no_harm(void **state)
{
    (void)state;
    enum nft_harm harm[2] = { NFT_UNHARMED, NFT_UNHARMED };
    setup_tables();
    apply("flush chain ip mine own\n");
    assert_int_equal(nft_watch_read(&watch, judge, nft_generation(), harm), 0);
    assert_int_equal(harm[0], NFT_UNHARMED);
    nft_watch_done(&watch);
    apply("flush ruleset\n");
}

int main(void)
{
    struct err e = { 0 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deletions_are_judged),
        cmocka_unit_test(own_transactions_do_no_harm),
    };
    if (netns_enter_own_world(&e) < 0) {
        (void)fprintf(stderr, "skipped: %s\n", e.text);
        return 77;
    }
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        return cmocka_run_group_tests(tests, NULL, NULL);
    waitpid(pid, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
