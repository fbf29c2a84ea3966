#include "cmd/dns_control.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKETS_AT_ONCE (CONTROL_FDS_MAX / 2)

const char *dns_control_path(const char *flag)
{
    return flag ? flag : DNS_CONTROL_PATH;
}

/* ---- handing over ---- */

static void successor_gone(void *ctx)
{
    struct dns_control *c = ctx;
    c->successor = NULL;
}

static void add_socket(const struct dns_handed *h, struct strbuf *out)
{
    char text[IP_TEXT_MAX];
    strbuf_printf(out, "socket %s %u\n", h->ip.family ? ip_text(&h->ip, text) : "*", h->port);
}

static bool send_sockets(struct control_client *client, const struct dns_handed_list *list)
{
    for (size_t i = 0; i < list->n;) {
        cleanup(strbuf_done) struct strbuf lines = { 0 };
        int fds[CONTROL_FDS_MAX];
        unsigned n = 0;
        for (; i < list->n && n < CONTROL_FDS_MAX; i++) {
            add_socket(&list->items[i], &lines);
            fds[n++] = list->items[i].fd[0];
            fds[n++] = list->items[i].fd[1];
        }
        if (!control_send_fds(client, lines.p, fds, n))
            return false;
    }
    return true;
}

static void hand_over(struct dns_control *c, struct control_client *client)
{
    char line[64];
    if (c->successor) {
        static const char busy[] = "error another process is taking over at this moment\n";
        control_send(client, busy, sizeof busy - 1);
        control_end(client);
        return;
    }
    c->successor = client;
    control_on_gone(client, successor_gone, c);
    struct dns_handed_list list = dns_server_sockets(c->server);
    bool sent = send_sockets(client, &list);
    (void)snprintf(line, sizeof line, "sockets %zu\n", list.n);
    free(list.items);
    if (sent)
        control_send(client, line, strlen(line));
    else
        control_end(client);
}

static void taken(struct dns_control *c, struct control_client *client)
{
    if (client != c->successor) {
        control_end(client);
        return;
    }
    c->taken(c->ctx);
    control_send(client, "ending\n", 7);
    control_end(client);
}

/* ---- requests ---- */

static void on_line(void *ctx, struct control_client *client, char *line)
{
    struct dns_control *c = ctx;
    if (strcmp(line, "sockets") == 0) {
        hand_over(c, client);
    } else if (strcmp(line, "taken") == 0) {
        taken(c, client);
    } else {
        static const char unknown[] = "error unknown request\n";
        control_send(client, unknown, sizeof unknown - 1);
        control_end(client);
    }
}

bool dns_control_folder(const char *flag, char *out, size_t size)
{
    if (flag && !*flag)
        return false;
    if (!flag && mkdir(DNS_CONTROL_FOLDER, 0755) < 0 && errno != EEXIST)
        return false;
    const char *path = dns_control_path(flag), *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= size)
        return false;
    (void)snprintf(out, size, "%.*s", slash ? (int)MAX(n, 1u) : 1, slash ? path : ".");
    return access(out, W_OK) == 0;
}

int dns_control_open(struct dns_control *c, const char *flag, bool replace, struct err *e)
{
    struct err why = { 0 };
    if (flag && !*flag)
        return 0;
    int ret = control_server_open(c->loop, dns_control_path(flag), replace, on_line, c, &c->socket,
                                  flag ? e : &why);
    if (ret == 0 || flag)
        return ret;
    log_debug("without a control socket: %s", why.text);
    return 0;
}

void dns_control_close(struct dns_control *c)
{
    control_server_close(c->socket);
    c->socket = NULL;
}

bool dns_control_hands_over(const struct dns_control *c)
{
    return c->successor != NULL;
}
