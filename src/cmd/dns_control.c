#include "cmd/dns_control.h"

#include "base/log.h"
#include "cmd/dns_why.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKETS_AT_ONCE (CONTROL_FDS_MAX / 2)

const char *dns_control_path(const char *flag)
{
    return flag ? flag : DNS_CONTROL_PATH;
}

static void send_error(struct control_client *client, const char *text)
{
    cleanup(strbuf_done) struct strbuf line = { 0 };
    strbuf_printf(&line, "error %s\n", text);
    control_send(client, line.p, line.len);
    control_end(client);
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
    strbuf_printf(out, "socket %s %u %s\n", h->ip.family ? ip_text(&h->ip, text) : "*", h->port,
                  scheme_text(h->scheme));
}

static bool send_sockets(struct control_client *client, const struct dns_handed_list *list)
{
    for (size_t i = 0; i < list->n;) {
        cleanup(strbuf_done) struct strbuf lines = { 0 };
        int fds[CONTROL_FDS_MAX];
        unsigned n = 0;
        for (; i < list->n && n + 1 < CONTROL_FDS_MAX; i++) {
            add_socket(&list->items[i], &lines);
            for (int k = 0; k < 2; k++)
                if (list->items[i].fd[k] >= 0)
                    fds[n++] = list->items[i].fd[k];
        }
        if (!control_send_fds(client, lines.p, fds, n))
            return false;
    }
    return true;
}

static void hand_over(struct dns_control *c, struct control_client *client)
{
    char line[64];
    if (!c->taken) {
        send_error(client, "this process serves more than DNS: it is not taken over");
        return;
    }
    if (c->successor) {
        send_error(client, "another process is taking over at this moment");
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
    if (!c->taken || client != c->successor) {
        control_end(client);
        return;
    }
    c->taken(c->ctx);
    control_send(client, "ending\n", 7);
    control_end(client);
}

/* ---- why ---- */

static void on_rows(void *ctx, const struct why_row *rows, size_t n)
{
    struct control_client *client = ctx;
    cleanup(strbuf_done) struct strbuf text = { 0 };
    dns_why_rows(rows, n, &text);
    control_send(client, text.p, text.len);
    control_end(client);
    control_release(client);
}

/* The client may be gone when the rows are there, but the object is not. */
static void explain(struct dns_control *c, struct control_client *client, char *words)
{
    struct why_request request;
    struct err e = { 0 };
    int ret = dns_why_parse(words, c->clusters, &request, &e);
    if (ret == 0)
        ret = dns_server_why(c->server, &request, on_rows, client, &e);
    if (ret < 0)
        send_error(client, e.text);
    else
        control_hold(client);
}

/* ---- requests ---- */

static void on_line(void *ctx, struct control_client *client, char *line)
{
    struct dns_control *c = ctx;
    if (strcmp(line, "sockets") == 0) {
        hand_over(c, client);
    } else if (strcmp(line, "taken") == 0) {
        taken(c, client);
    } else if (str_starts(line, "why ")) {
        explain(c, client, line + strlen("why "));
    } else {
        send_error(client, "unknown request");
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
