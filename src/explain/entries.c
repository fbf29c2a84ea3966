#include "explain/entries.h"

#include "base/str.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 1024

/* The value behind "key=", the nth time that it comes (from 0); false: it does not. */
static bool find(const char *line, const char *key, unsigned nth, char out[IP_TEXT_MAX])
{
    size_t len = strlen(key);
    for (const char *p = line; (p = strstr(p, key)); p += len) {
        if (p > line && p[-1] != ' ')
            continue;
        if (nth-- > 0)
            continue;
        (void)snprintf(out, IP_TEXT_MAX, "%.*s", (int)strcspn(p + len, " \n"), p + len);
        return true;
    }
    return false;
}

static bool find_ip(const char *line, const char *key, unsigned nth, struct ip *ret)
{
    char text[IP_TEXT_MAX];
    return find(line, key, nth, text) && ip_parse(text, ret) == 0;
}

static bool find_port(const char *line, const char *key, unsigned nth, uint16_t *ret)
{
    char text[IP_TEXT_MAX];
    if (!find(line, key, nth, text))
        return false;
    *ret = (uint16_t)strtoul(text, NULL, 10);
    return true;
}

/* "ipv4 2 udp 17 29 src=10.244.1.5 dst=10.96.0.10 sport=4 dport=53 src=10.244.2.3 ...": the first
 * four are of the packets that come, the second four of the answers. */
static bool read_line(const char *line, struct entry *e)
{
    e->protocol = strstr(line, "udp ") ? IPPROTO_UDP : strstr(line, "tcp ") ? IPPROTO_TCP : 0;
    return e->protocol && find_ip(line, "src=", 0, &e->from) && find_ip(line, "dst=", 0, &e->to) &&
           find_port(line, "sport=", 0, &e->from_port) &&
           find_port(line, "dport=", 0, &e->to_port) && find_ip(line, "src=", 1, &e->chosen) &&
           find_port(line, "sport=", 1, &e->chosen_port);
}

void entries_read(const char *text, void (*fn)(void *ctx, const struct entry *e), void *ctx)
{
    char line[LINE_MAX_LEN];
    while (*text) {
        size_t len = strcspn(text, "\n");
        struct entry e;
        (void)snprintf(line, sizeof line, "%.*s", (int)len, text);
        if (read_line(line, &e))
            fn(ctx, &e);
        text += len + (text[len] == '\n');
    }
}
