#include "floor.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define BUFFER_WANT (4 << 20) /* bytes; what the server's own sockets ask for */

struct options {
    long port, tls_port, batch, workers;
    const char *cert, *key;
};

/* A thread with its socket. */
struct server {
    int fd, type;
    long batch;
    SSL_CTX *tls;
    pthread_t thread;
};

static int usage(void)
{
    fprintf(stderr,
            "usage: floor --port N [--batch 1..%d] [--workers 1..%d]\n"
            "             [--tls-port N --cert FILE --key FILE]\n"
            "Echoes on 127.0.0.1, over UDP and TCP on one port and over TLS on the other.\n",
            BATCH_MAX, WORKERS_MAX);
    return 2;
}

int floor_socket(int type, uint16_t port, struct err *e)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1, size = BUFFER_WANT;
    if (fd < 0)
        return err_set(e, -errno, "socket: %s", strerror(errno));
    if (type == SOCK_DGRAM) { /* best effort; connections' buffers grow by themselves */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        int code = -errno;
        close(fd);
        return err_set(e, code, "127.0.0.1:%u: %s", port, strerror(-code));
    }
    return fd;
}

/* The server is over when one of its threads is. */
static void *run(void *ctx)
{
    struct server *s = ctx;
    struct err e = { 0 };
    if (s->type == SOCK_DGRAM)
        floor_udp(s->fd, (unsigned)s->batch, &e);
    else
        floor_stream(s->fd, s->tls, &e);
    fprintf(stderr, "floor: %s\n", e.text);
    exit(1);
}

static int start(struct server *s, int type, long port, SSL_CTX *tls, const struct options *o,
                 struct err *e)
{
    *s = (struct server){ .type = type, .batch = o->batch, .tls = tls };
    s->fd = floor_socket(type, (uint16_t)port, e);
    if (s->fd < 0)
        return s->fd;
    int code = pthread_create(&s->thread, NULL, run, s);
    return code ? err_set(e, -code, "thread: %s", strerror(code)) : 0;
}

static int read_tls(const struct options *o, SSL_CTX **ret, struct err *e)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, o->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, o->key, SSL_FILETYPE_PEM) != 1) {
        SSL_CTX_free(tls);
        return err_set(e, ERR_INVALID, "%s, %s: not a certificate and its key", o->cert, o->key);
    }
    SSL_CTX_set_read_ahead(tls, 1);
    *ret = tls;
    return 0;
}

static int start_all(struct server *all, const struct options *o, SSL_CTX *tls, struct err *e)
{
    int code = 0;
    for (long i = 0; i < o->workers && code == 0; i++) {
        code = start(&all[3 * i], SOCK_DGRAM, o->port, NULL, o, e);
        if (code == 0)
            code = start(&all[3 * i + 1], SOCK_STREAM, o->port, NULL, o, e);
        if (code == 0 && tls)
            code = start(&all[3 * i + 2], SOCK_STREAM, o->tls_port, tls, o, e);
    }
    return code;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = { { "port", 1, NULL, 0 },
                                             { "batch", 1, NULL, 1 },
                                             { "workers", 1, NULL, 2 },
                                             { "tls-port", 1, NULL, 3 },
                                             { "cert", 1, NULL, 'c' },
                                             { "key", 1, NULL, 'k' },
                                             { 0 } };
    const struct {
        long *value, max;
    } numbers[] = { { &o->port, UINT16_MAX },
                    { &o->batch, BATCH_MAX },
                    { &o->workers, WORKERS_MAX },
                    { &o->tls_port, UINT16_MAX } };
    int c, code = 0;
    while (code == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'c')
            o->cert = optarg;
        else if (c == 'k')
            o->key = optarg;
        else if (c >= (int)ARRAY_SIZE(numbers))
            code = ERR_INVALID;
        else
            code = str_to_long(optarg, 1, numbers[c].max, numbers[c].value);
    }
    bool whole = !o->tls_port == !o->cert && !o->cert == !o->key;
    return code == 0 && optind == argc && o->port && whole ? 0 : ERR_INVALID;
}

int main(int argc, char **argv)
{
    static struct server servers[3 * WORKERS_MAX];
    struct options o = { .batch = 64, .workers = 1 };
    struct err e = { 0 };
    SSL_CTX *tls = NULL;
    if (parse(argc, argv, &o) < 0)
        return usage();
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without asking for none */
    int code = o.cert ? read_tls(&o, &tls, &e) : 0;
    if (code == 0)
        code = start_all(servers, &o, tls, &e);
    while (code == 0)
        pause(); /* it serves until a signal ends it */
    fprintf(stderr, "floor: %s\n", e.text);
    return 1;
}
