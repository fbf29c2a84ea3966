#include "client/resolvconf_lint.h"

#include "base/ip.h"
#include "client/resolvconf.h"
#include "client/stub_conf.h"

#include <ctype.h>
#include <string.h>

#define BLANKS          " \t\r"
#define MUSL_LINE_MAX   254 /* bytes of a line that musl reads */
#define CLUSTER_MARK    "svc."
#define WALK_WORTH_TOLD 2 /* names tried in vain before the one that was meant */

struct lint {
    struct arena *arena;
    resolvconf_finding_fn *fn;
    void *ctx;
    int line;
    unsigned servers;
    int search_line; /* of the last search or domain; 0: none */
    struct strlist searches;
    long ndots;
    int ndots_line;
};

static void tell(struct lint *l, int line, bool breaks, const char *text)
{
    const struct resolvconf_finding f = { line, breaks, text };
    l->fn(l->ctx, &f);
}

static void breaks(struct lint *l, const char *text)
{
    tell(l, l->line, true, text);
}

static void costs(struct lint *l, const char *text)
{
    tell(l, l->line, false, text);
}

/* ---- nameserver ---- */

static void lint_server(struct lint *l, const struct strlist *words)
{
    const char *value = words->n > 1 ? words->items[1] : "";
    cleanup_free char *address = strndup(value, strcspn(value, "%"));
    struct ip ip;
    if (ip_parse(address, &ip) < 0) {
        breaks(l, arena_printf(l->arena,
                               "nameserver '%s' is no IP address, and every resolver passes over "
                               "it; write the address",
                               value));
        return;
    }
    if (++l->servers == STUB_SERVERS_USED + 1)
        costs(l, "this is the fourth name server: resolvers ask the first three; take those that "
                 "are not needed out");
    if (ip_is_loopback(&ip))
        breaks(l, "this name server is the host itself: Pods with dnsPolicy Default, the cluster "
                  "DNS among them, would ask themselves in a circle; give the kubelet the file "
                  "with the real servers as resolvConf, with systemd-resolved "
                  "/run/systemd/resolve/resolv.conf");
}

/* ---- search, domain ---- */

static void lint_element(struct lint *l, const char *name)
{
    if (str_eq(name, "."))
        costs(l, "search element '.': musl before 1.2.4 waits 5 seconds for each name because of "
                 "it; put a dot behind names that are complete instead");
    else if (strlen(name) > DNS_SEARCH_NAME_MAX + 1)
        breaks(l, "a search element longer than 253 characters makes no name; take it out");
}

static void lint_search(struct lint *l, const struct strlist *words)
{
    if (l->search_line)
        breaks(l, arena_printf(l->arena,
                               "only the last search or domain counts, so line %d has no effect; "
                               "put all names in one line",
                               l->search_line));
    l->search_line = l->line;
    l->searches = (struct strlist){ 0 };
    for (size_t i = 1; i < words->n; i++) {
        lint_element(l, words->items[i]);
        strlist_add(&l->searches, l->arena, words->items[i]);
    }
    if (words->n - 1 > DNS_SEARCHES_MAX_OLD)
        costs(l, arena_printf(l->arena,
                              "%zu search elements: glibc before 2.26 walks the first %d; take out "
                              "what nobody needs",
                              words->n - 1, DNS_SEARCHES_MAX_OLD));
}

/* ---- options ---- */

#define OUT "take it out, or leave it for what runs with glibc"

/* musl knows those with a number here, and no other. */
static const struct {
    const char *name;
    long max;          /* glibc's; 0: takes no number */
    const char *there; /* what musl does instead, and what to do; NULL: it does no harm */
} options[] = {
    { "ndots", STUB_NDOTS_MAX, NULL },
    { "timeout", STUB_TIMEOUT_MAX, NULL },
    { "attempts", STUB_ATTEMPTS_MAX, NULL },
    { "rotate", 0, "it asks all servers at once; " OUT },
    { "edns0", 0, "its messages have 512 bytes; keep answers for it small" },
    { "single-request", 0,
      "it sends A and AAAA at once; against answers that are lost by that, let pods ask a cache on "
      "their node" },
    { "single-request-reopen", 0,
      "it sends A and AAAA at once; against answers that are lost by that, let pods ask a cache on "
      "their node" },
    { "no-tld-query", 0, "it asks for names without a dot, too; put the domain behind them" },
    { "use-vc", 0, "it asks over UDP; let pods ask a cache on their node, which asks over TCP" },
    { "no-reload", 0, "it reads the file for each name; " OUT },
    { "trust-ad", 0, "it does not show AD to programs; let such a program ask by itself" },
    { "no-aaaa", 0,
      "it asks for AAAA all the same; let the server say quickly that there is none" },
    { "strict-error", 0, "it has no such choice; " OUT },
    { "inet6", 0, "and newer glibc has none, either; take it out" },
    { "debug", 0, NULL },
};

static void lint_number(struct lint *l, const char *option, const char *value, long max)
{
    long n;
    if (!value || str_to_long(value, 0, 1000000, &n) < 0) {
        breaks(l, arena_printf(l->arena, "option %s takes a number, '%s' counts as 0; write %s:N",
                               option, value ? value : "", option));
        return;
    }
    if (n > max)
        costs(l,
              arena_printf(l->arena,
                           "option %s:%ld counts as %ld, the most that glibc takes; write %s:%ld",
                           option, n, max, option, max));
    if (str_eq(option, "attempts") && n == 0)
        breaks(l, "option attempts:0 makes glibc ask nobody; write attempts:1 or more");
    if (str_eq(option, "ndots")) {
        l->ndots = MIN(n, max);
        l->ndots_line = l->line;
    }
}

static void lint_option(struct lint *l, const char *option)
{
    size_t len = strcspn(option, ":");
    const char *value = option[len] ? option + len + 1 : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (strlen(options[i].name) != len || strncmp(options[i].name, option, len) != 0)
            continue;
        if (options[i].max)
            lint_number(l, options[i].name, value, options[i].max);
        else if (options[i].there)
            costs(l, arena_printf(l->arena, "option %s has no effect in musl (Alpine): %s", option,
                                  options[i].there));
        return;
    }
    costs(l,
          arena_printf(l->arena,
                       "option '%s' is known to no resolver and has no effect; write it right, or "
                       "take it out",
                       option));
}

/* ---- lines ---- */

static void lint_known(struct lint *l, const struct strlist *words)
{
    const char *key = words->items[0];
    if (str_eq(key, "nameserver"))
        lint_server(l, words);
    else if (str_eq(key, "search") || str_eq(key, "domain"))
        lint_search(l, words);
    else if (str_eq(key, "options"))
        for (size_t i = 1; i < words->n; i++)
            lint_option(l, words->items[i]);
    else if (!str_eq(key, "sortlist") && !str_eq(key, "lookup") && !str_eq(key, "family"))
        costs(l, arena_printf(l->arena,
                              "'%s' is known to no resolver, and the line has no effect; write it "
                              "right, or take it out",
                              key));
}

static void lint_line(struct lint *l, const char *line, size_t len)
{
    struct strlist words = { 0 };
    strlist_split(&words, l->arena, line, len, BLANKS);
    if (words.n == 0 || words.items[0][0] == '#' || words.items[0][0] == ';')
        return;
    if (isblank((unsigned char)line[0]))
        breaks(l, "a line that begins with a blank is passed over by glibc and musl; take the "
                  "blank away");
    else
        lint_known(l, &words);
    if (len > MUSL_LINE_MAX)
        breaks(l, arena_printf(l->arena,
                               "musl (Alpine) passes over this line of %zu bytes as a whole; keep "
                               "lines below 255 bytes",
                               len));
}

/* ---- the whole ---- */

static bool is_of_a_cluster(const struct strlist *searches)
{
    for (size_t i = 0; i < searches->n; i++)
        if (str_starts(searches->items[i], CLUSTER_MARK))
            return true;
    return false;
}

/* With as many dots as that, or more, musl does not walk the list at all. */
static void lint_musl_walk(struct lint *l)
{
    long ndots = l->ndots_line ? l->ndots : 1;
    const char *name = ndots > 1 ? "NAME.NAMESPACE.svc" : ndots ? "NAME.NAMESPACE" : "NAME";
    if (ndots > 2 || !is_of_a_cluster(&l->searches))
        return;
    tell(l, l->ndots_line, false,
         arena_printf(l->arena,
                      "ndots:%ld with a cluster's search list: musl (Alpine) looks for a name with "
                      "%ld dots or more only as it stands, so that %s is not found there; write "
                      "such names with the cluster's domain, or set ndots:5",
                      ndots, ndots, name));
}

static void lint_whole(struct lint *l)
{
    size_t n = l->searches.n;
    if (l->servers == 0)
        tell(l, 0, true, "no name server: resolvers ask 127.0.0.1; name one");
    if (l->servers > 1 && is_of_a_cluster(&l->searches))
        tell(l, 0, true,
             "several name servers with a cluster's search list: musl (Alpine) asks all of them at "
             "once, and a server that does not know the cluster wins with its NXDOMAIN; name the "
             "cluster DNS alone");
    if (l->ndots > 1 && n >= WALK_WORTH_TOLD)
        tell(
            l, l->ndots_line, false,
            arena_printf(l->arena,
                         "ndots:%ld with %zu search elements: a name outside with fewer than %ld "
                         "dots takes %zu queries instead of 2; put a dot behind complete names, or "
                         "set ndots:1 or 2 in the Pod's dnsConfig and write the cluster's names in "
                         "full",
                         l->ndots, n, l->ndots, 2 * (n + 1)));
    lint_musl_walk(l);
}

void resolvconf_lint(const char *text, struct arena *a, resolvconf_finding_fn *fn, void *ctx)
{
    struct lint l = { .arena = a, .fn = fn, .ctx = ctx };
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        l.line++;
        lint_line(&l, line, len);
        line += len + (line[len] == '\n');
    }
    lint_whole(&l);
}
