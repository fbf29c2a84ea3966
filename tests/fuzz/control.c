/* What comes over the control socket: bytes into lines on either side, and the words of "why". */
#include "net/control.h"
#include "base/mem.h"
#include "cmd/dns_why.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* dns_why.c looks pods up in these; there are none. */
struct cluster *clusters_next(const struct clusters *all, const struct cluster *c)
{
    (void)all, (void)c;
    return NULL;
}

struct store *cluster_store(struct cluster *c)
{
    (void)c;
    return NULL;
}

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void parse_why(const char *words)
{
    struct why_request r = { 0 };
    struct err e;
    char *copy = xstrdup(words);
    int code = dns_why_parse(copy, NULL, &r, &e);
    require(code < 0 || (r.name.len > 0 && r.type != 0));
    require(code == 0 || *e.text);
    free(copy);
}

/* ---- the client's side ---- */

static void read_as_client(const uint8_t *data, size_t size)
{
    int fds[2];
    char line[256];
    struct err e;
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    require(send(fds[0], data, size, MSG_DONTWAIT) == (ssize_t)size);
    close(fds[0]);
    struct control_link link = { .fd = fds[1] };
    int code;
    while ((code = control_next(&link, line, sizeof line, &e)) == 1) {
        require(memchr(line, 0, sizeof line) != NULL);
        parse_why(line);
    }
    require(code == 0 || *e.text);
    control_link_done(&link);
}

/* ---- the server's side ---- */

struct talk {
    const uint8_t *data;
    size_t size, at; /* what the lines have to be */
    bool gone;
};

static void on_gone(void *ctx)
{
    struct talk *t = ctx;
    t->gone = true;
}

/* Each line is what stands up to the next end of line, and none is too long. */
static void on_line(void *ctx, struct control_client *client, char *line)
{
    struct talk *t = ctx;
    const uint8_t *from = t->data + t->at;
    const uint8_t *end = memchr(from, '\n', t->size - t->at);
    require(end && (size_t)(end - from) < CONTROL_LINE_MAX);
    require(memcmp(from, line, (size_t)(end - from)) == 0 && line[end - from] == 0);
    t->at += (size_t)(end - from) + 1;
    control_on_gone(client, on_gone, t);
    if (str_starts(line, "why "))
        parse_why(line + 4);
    control_send(client, line, strlen(line));
    if (str_eq(line, "end"))
        control_end(client);
}

static void listen_and_read(const uint8_t *data, size_t size)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct talk t = { .data = data, .size = size };
    struct control_server *s;
    struct err e;
    uv_loop_t loop;
    (void)snprintf(sa.sun_path, sizeof sa.sun_path, "/tmp/signpost-fuzz-%d", (int)getpid());
    require(uv_loop_init(&loop) == 0);
    require(control_server_open(&loop, sa.sun_path, true, on_line, &t, &s, &e) == 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    require(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    for (size_t at = 0; at < size;) { /* in pieces, so that lines come in parts */
        size_t n = MIN(size - at, (size_t)1 + data[at] * 8);
        if (send(fd, data + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
        at += n;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    close(fd);
    for (int i = 0; i < 20 && !t.gone; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    control_server_close(s);
    uv_run(&loop, UV_RUN_DEFAULT);
    require(uv_loop_close(&loop) == 0);
    require(access(sa.sun_path, F_OK) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 60000)
        return 0;
    read_as_client(data, size);
    listen_and_read(data, size);
    return 0;
}
