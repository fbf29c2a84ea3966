#include "client/stub_conf.h"

#include "base/cursor.h"

#include <arpa/inet.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t"

struct reader {
    struct arena *arena;
    struct stub_conf *conf;
    bool searches_fixed; /* $LOCALDOMAIN rules */
};

/* atoi() of a leading number, whatever follows it; never undefined for huge ones. */
static int leading_number(const char *s, int max)
{
    long n = strtol(s, NULL, 10);
    return n > max ? max : n < INT_MIN ? INT_MIN : (int)n;
}

static bool *option_flag(struct stub_conf *c, const char *word)
{
    struct {
        const char *prefix;
        bool *flag;
    } flags[] = {
        { "rotate", &c->rotate },
        { "edns0", &c->edns0 },
        { "single-request-reopen", &c->single_request_reopen },
        { "single-request", &c->single_request },
        { "no_tld_query", &c->no_tld_query },
        { "no-tld-query", &c->no_tld_query },
        { "use-vc", &c->use_vc },
        { "trust-ad", &c->trust_ad },
        { "no-aaaa", &c->no_aaaa },
    };
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (str_starts(word, flags[i].prefix))
            return flags[i].flag;
    }
    return NULL;
}

/* Names of options are compared as prefixes: "rotated" rotates. */
static void read_option(struct reader *r, const char *word)
{
    struct stub_conf *c = r->conf;
    bool *flag = option_flag(c, word);
    if (flag)
        *flag = true;
    else if (str_starts(word, "ndots:")) /* four bits in glibc: -1 becomes the most */
        c->ndots = leading_number(word + 6, STUB_NDOTS_MAX) & STUB_NDOTS_MAX;
    else if (str_starts(word, "timeout:"))
        c->timeout = leading_number(word + 8, STUB_TIMEOUT_MAX);
    else if (str_starts(word, "attempts:"))
        c->attempts = leading_number(word + 9, STUB_ATTEMPTS_MAX);
    else if (!str_starts(word, "no-reload")) /* every look-up here reads the file once */
        strlist_add(&c->ignored, r->arena, word);
}

static void read_options(struct reader *r, const char *text)
{
    struct strlist options = { 0 };
    strlist_split(&options, r->arena, text, strlen(text), BLANKS);
    for (size_t i = 0; i < options.n; i++)
        read_option(r, options.items[i]);
}

bool stub_server_parse(const char *word, bool old_forms, struct arena *a, struct stub_server *ret)
{
    const char *percent = strchr(word, '%');
    const char *bare = percent ? arena_strndup(a, word, (size_t)(percent - word)) : word;
    struct stub_server s = { .port = STUB_PORT };
    struct in_addr four;
    if (old_forms && inet_aton(word, &four)) { /* "10.1" and "0x7f.1" count */
        s.ip.family = 4;
        memcpy(s.ip.bytes, &four, 4);
    } else if (ip_parse(bare, &s.ip) < 0 || (percent && s.ip.family != 6)) {
        return false;
    } else if (percent) {
        s.scope = if_nametoindex(percent + 1);
        if (s.scope == 0)
            s.scope = (uint32_t)strtoul(percent + 1, NULL, 10);
    }
    *ret = s;
    return true;
}

void stub_server_v4(struct stub_conf *c, uint32_t address)
{
    struct stub_server s = { .port = STUB_PORT, .ip.family = 4 };
    put_u32(s.ip.bytes, address);
    c->servers[c->n_servers++] = s;
}

socklen_t stub_server_address(const struct stub_server *s, struct sockaddr_storage *ret)
{
    socklen_t len = ip_to_sockaddr(&s->ip, s->port, ret);
    if (s->ip.family == 6)
        ((struct sockaddr_in6 *)ret)->sin6_scope_id = s->scope;
    return len;
}

const char *stub_env_domain(const struct stub_env *env)
{
    const char *dot = env && env->hostname ? strchr(env->hostname, '.') : NULL;
    return dot && dot[1] ? dot + 1 : NULL;
}

static bool read_server(struct reader *r, const char *text)
{
    struct stub_server s;
    const char *word = arena_strndup(r->arena, text, strcspn(text, BLANKS));
    if (!stub_server_parse(word, true, r->arena, &s) || r->conf->n_servers == STUB_SERVERS_USED)
        return false;
    r->conf->servers[r->conf->n_servers++] = s;
    return true;
}

/* A keyword counts only at the start of the line and with a blank behind it. */
static const char *after_keyword(const char *line, const char *keyword)
{
    size_t len = strlen(keyword);
    if (strncmp(line, keyword, len) != 0 || (line[len] != ' ' && line[len] != '\t'))
        return NULL;
    return line + len + strspn(line + len, BLANKS);
}

static bool read_searches(struct reader *r, const char *text, size_t max)
{
    struct strlist found = { 0 };
    strlist_split(&found, r->arena, text, strlen(text), BLANKS);
    if (r->searches_fixed || found.n == 0)
        return false;
    found.n = MIN(found.n, max);
    r->conf->searches = found;
    return true;
}

static bool read_line(struct reader *r, const char *line)
{
    const char *rest;
    if ((rest = after_keyword(line, "domain")))
        return read_searches(r, rest, 1);
    if ((rest = after_keyword(line, "search")))
        return read_searches(r, rest, SIZE_MAX);
    if ((rest = after_keyword(line, "nameserver")))
        return read_server(r, rest);
    if ((rest = after_keyword(line, "options"))) {
        read_options(r, rest);
        return true;
    }
    return line[0] == '#' || line[0] == ';' || line[strspn(line, BLANKS)] == '\0';
}

static void read_defaults(struct reader *r, const struct stub_env *env)
{
    struct stub_conf *c = r->conf;
    const char *domain = stub_env_domain(env);
    if (c->searches.n == 0 && domain)
        strlist_add(&c->searches, r->arena, arena_strdup(r->arena, domain));
    if (c->n_servers == 0)
        stub_server_v4(c, INADDR_LOOPBACK);
}

void stub_conf_parse(const char *text, const struct stub_env *env, struct arena *a,
                     struct stub_conf *ret)
{
    struct stub_conf c = { .ndots = 1, .timeout = 5, .attempts = 2 };
    struct reader r = { .arena = a, .conf = &c };
    if (env && env->localdomain)
        r.searches_fixed = read_searches(&r, env->localdomain, SIZE_MAX);
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        const char *line = arena_strndup(a, text, len);
        if (!read_line(&r, line))
            strlist_add(&c.ignored, a, line);
        text += len + (text[len] == '\n');
    }
    read_defaults(&r, env);
    if (env && env->res_options)
        read_options(&r, env->res_options);
    c.timeout_ms = 1000 * c.timeout;
    *ret = c;
}
