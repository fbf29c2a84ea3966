/* The process that takes over. */
#include "base/log.h"
#include "base/vec.h"
#include "cmd/dns_control.h"

#include <string.h>

#define ANSWER_MS   10000 /* for the old process, to each question */
#define SOCKETS_MAX 16384

bool dns_successor_is_there(const char *path)
{
    struct control_link link;
    bool there = *path && control_connect(path, ANSWER_MS, &link, NULL) == 0;
    if (*path)
        control_link_done(&link);
    return there;
}

/* SCHEME_COUNT: none that has a listener. */
static enum scheme read_scheme(const char *text)
{
    enum scheme s = SCHEME_DNS;
    while (s < SCHEME_COUNT && !str_eq(text, scheme_text(s)))
        s++;
    return s;
}

/* "IP PORT SCHEME" */
static int read_socket(char *text, struct dns_handed *ret, struct err *e)
{
    long port;
    char *ip = strsep(&text, " "), *number = strsep(&text, " ");
    *ret =
        (struct dns_handed){ .scheme = text ? read_scheme(text) : SCHEME_COUNT, .fd = { -1, -1 } };
    if (ret->scheme == SCHEME_COUNT || str_to_long(number, 1, 65535, &port) < 0 ||
        (strcmp(ip, "*") != 0 && ip_parse(ip, &ret->ip) < 0))
        return err_set(e, ERR_PARSE,
                       "take-over: the old process tells of a socket that cannot be "
                       "understood");
    ret->port = (uint16_t)port;
    return 0;
}

/* Lines up to "sockets N". */
static int read_sockets(struct dns_successor *s, struct dns_handed_list *ret, struct err *e)
{
    VEC(struct dns_handed) all = { 0 };
    char line[256];
    int code;
    while ((code = control_next(&s->link, line, sizeof line, e)) == 1) {
        struct dns_handed h;
        if (!str_starts(line, "socket "))
            break;
        code = read_socket(line + strlen("socket "), &h, e);
        if (code < 0 || all.n == SOCKETS_MAX)
            break;
        if (h.scheme == SCHEME_DNS)
            h.fd[0] = control_take_fd(&s->link);
        h.fd[1] = control_take_fd(&s->link);
        vec_push(&all, h);
    }
    *ret = (struct dns_handed_list){ all.items, all.n };
    if (code < 0)
        return code;
    long n;
    if (code == 0 || !str_starts(line, "sockets ") ||
        str_to_long(line + strlen("sockets "), 0, SOCKETS_MAX, &n) < 0 || (size_t)n != all.n)
        return err_set(e, ERR_REFUSED, "take-over: the old process does not give its sockets%s%s",
                       code == 1 ? ": " : "", code == 1 ? line : "");
    return 0;
}

static bool is_whole(const struct dns_handed *h)
{
    return h->fd[1] >= 0 && (h->fd[0] >= 0 || h->scheme != SCHEME_DNS);
}

int dns_successor_ask(struct dns_successor *s, const char *path, struct dns_handed_list *ret,
                      struct err *e)
{
    struct err why = { 0 };
    s->open = true;
    if (control_connect(path, ANSWER_MS, &s->link, &why) < 0) {
        log_info("No process to take over from any more: %s", why.text);
        dns_successor_done(s);
        return 0;
    }
    int code = control_tell(&s->link, "sockets\n", e);
    if (code == 0)
        code = read_sockets(s, ret, e);
    for (size_t i = 0; code == 0 && i < ret->n; i++)
        if (!is_whole(&ret->items[i]))
            code = err_set(e, ERR_LIMIT,
                           "take-over: not all sockets came; is the limit of open files too low?");
    return code;
}

int dns_successor_tell(struct dns_successor *s, struct err *e)
{
    char line[64];
    if (!s->open)
        return 0;
    int code = control_tell(&s->link, "taken\n", e);
    /* It may have ended by itself: the sockets are served here in any case. */
    if (code < 0 || control_next(&s->link, line, sizeof line, e) != 1)
        log_warning("take-over: the old process did not confirm: %s", e->text);
    return 0;
}

void dns_successor_done(struct dns_successor *s)
{
    if (s->open)
        control_link_done(&s->link);
    s->open = false;
}
