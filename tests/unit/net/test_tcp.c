/* The server's loop runs here; the client is a thread with a blocking socket. */
#include "base/cursor.h"
#include "base/mem.h"
#include "net/listen.h"
#include "net/tcp.h"
#include "segments.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cmocka.h>

#define HELD_MAX 512

struct world {
    uv_loop_t loop;
    uv_async_t client_done;
    uv_timer_t timer;
    struct tcp_server *server;
    struct sockaddr_storage address;
    unsigned messages, most_held, entered;
    size_t reply_len; /* of each reply; 0: what came */
    bool hold;        /* replies come from the timer */
    struct tcp_limits limits;
    struct held {
        struct tcp_conn *conn;
        uint8_t byte;
    } held[HELD_MAX];
    unsigned n_held;
    int (*client)(struct world *w, int fd); /* returns 0 when content */
    int result;
    pthread_t thread;
};

static uint8_t reply[65535];

static void enter(void *ctx)
{
    ((struct world *)ctx)->entered++;
}

static void leave(void *ctx)
{
    ((struct world *)ctx)->entered--;
}

static void message(void *ctx, struct tcp_conn *c, const uint8_t *data, size_t len)
{
    struct world *w = ctx;
    __atomic_add_fetch(&w->messages, 1, __ATOMIC_RELAXED); /* a client looks */
    if (!w->entered)
        w->result = -1;
    if (w->hold && w->n_held < HELD_MAX) {
        w->held[w->n_held++] = (struct held){ c, data[0] };
        w->most_held = MAX(w->most_held, w->n_held);
    } else if (data[0] == 0xff) {
        tcp_no_reply(c);
    } else if (w->reply_len) {
        tcp_reply(c, reply, w->reply_len);
    } else {
        tcp_reply(c, data, len);
    }
}

/* Half of what is held is answered, the last first. */
static void answer_some(uv_timer_t *t)
{
    struct world *w = t->data;
    enter(w);
    for (unsigned n = (w->n_held + 1) / 2; n > 0; n--) {
        struct held h = w->held[--w->n_held];
        tcp_reply(h.conn, &h.byte, 1);
    }
    leave(w);
}

static void on_client_done(uv_async_t *a)
{
    struct world *w = a->data;
    if (w->n_held) {
        uv_async_send(a); /* what is owed first */
        return;
    }
    tcp_server_close(w->server);
    uv_close((uv_handle_t *)a, NULL);
    uv_close((uv_handle_t *)&w->timer, NULL);
}

static void *run_client(void *arg)
{
    struct world *w = arg;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct timeval limit = { .tv_sec = 5 };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int ret = connect(fd, (struct sockaddr *)&w->address, sizeof(struct sockaddr_in));
    if (ret == 0)
        ret = w->client(w, fd);
    close(fd);
    if (ret != 0)
        w->result = ret;
    uv_async_send(&w->client_done);
    return NULL;
}

static void run(struct world *w, int (*client)(struct world *w, int fd))
{
    const struct ip loopback = { 4, { 127, 0, 0, 1 } };
    struct err e;
    socklen_t len = sizeof w->address;
    const struct tcp_handler handler = { { w, enter, leave }, message };
    int fd = listen_tcp(&loopback, 0, &e);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&w->address, &len), 0);
    uv_loop_init(&w->loop);
    uv_async_init(&w->loop, &w->client_done, on_client_done);
    uv_timer_init(&w->loop, &w->timer);
    w->client_done.data = w->timer.data = w;
    if (w->hold)
        uv_timer_start(&w->timer, answer_some, 20, 5);
    assert_int_equal(tcp_server_open(&w->loop, fd, &handler, &w->server, &e), 0);
    tcp_server_set_limits(w->server, &w->limits);
    w->client = client;
    assert_int_equal(pthread_create(&w->thread, NULL, run_client, w), 0);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    pthread_join(w->thread, NULL);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    assert_int_equal(w->result, 0);
    assert_int_equal(w->entered, 0);
}

/* ---- clients; each returns the line on which it lost patience ---- */

#define want(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

static bool send_all(int fd, const void *p, size_t n)
{
    return send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static ssize_t receive(int fd, uint8_t *out)
{
    uint8_t len[2];
    if (recv(fd, len, 2, MSG_WAITALL) != 2)
        return -1;
    return recv(fd, out, get_u16(len), MSG_WAITALL);
}

static int split_byte_by_byte(struct world *w, int fd)
{
    uint8_t in[8];
    (void)w;
    for (int i = 0; i < 7; i++)
        want(send_all(fd, &"\0\005hello"[i], 1));
    want(receive(fd, in) == 5);
    want(memcmp(in, "hello", 5) == 0);
    return 0;
}

static void test_split(void **state)
{
    struct world w = { 0 };
    (void)state;
    run(&w, split_byte_by_byte);
    assert_int_equal(w.messages, 1);
}

/* 200 messages of one byte, their number, in one write. */
static bool send_200(int fd)
{
    uint8_t out[600];
    for (unsigned i = 0; i < 200; i++) {
        put_u16(out + 3 * i, 1);
        out[3 * i + 2] = (uint8_t)i;
    }
    return send_all(fd, out, sizeof out);
}

static int pipeline(struct world *w, int fd)
{
    uint8_t in;
    (void)w;
    want(send_200(fd));
    for (unsigned i = 0; i < 200; i++) {
        want(receive(fd, &in) == 1);
        want(in == i);
    }
    return 0;
}

static void test_many_in_one_write(void **state)
{
    struct world w = { 0 };
    (void)state;
    run(&w, pipeline);
    assert_int_equal(w.messages, 200);
}

static int few_segments(struct world *w, int fd)
{
    want(pipeline(w, fd) == 0);
    want(segments_in(fd) >= 1 &&
         segments_in(fd) <= 3); /* the queries themselves may come in parts */
    return 0;
}

/* Replies that are ready together leave together. */
static void test_replies_are_gathered(void **state)
{
    struct world w = { 0 };
    (void)state;
    run(&w, few_segments);
}

static int many_long_replies(struct world *w, int fd)
{
    static uint8_t in[65535];
    want(send_200(fd));
    for (unsigned i = 0; i < 200; i++) {
        want(receive(fd, in) == (ssize_t)w->reply_len);
        want(memcmp(in, reply, w->reply_len) == 0);
    }
    return 0;
}

/* More than is gathered at a time, and replies that are longer than that. */
static void test_gathering_has_an_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reply; i++)
        reply[i] = (uint8_t)(i * 7);
    const size_t lens[] = { STREAM_GATHER / 3, STREAM_GATHER - 2, STREAM_GATHER - 1, 40000 };
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        struct world w = { .reply_len = lens[i] };
        run(&w, many_long_replies);
    }
}

static int pipeline_any_order(struct world *w, int fd)
{
    bool seen[200] = { 0 };
    (void)w;
    want(send_200(fd));
    for (unsigned i = 0; i < 200; i++) {
        uint8_t in;
        want(receive(fd, &in) == 1);
        want(in < 200 && !seen[in]);
        seen[in] = true;
    }
    return 0;
}

/* Messages beyond the limit wait in the buffer; all of them are answered in the end. */
static void test_pause(void **state)
{
    struct world w = { .hold = true };
    (void)state;
    run(&w, pipeline_any_order);
    assert_int_equal(w.messages, 200);
    assert_int_equal(w.most_held, TCP_PENDING_MAX);
}

static int leave_early(struct world *w, int fd)
{
    (void)w;
    want(send_200(fd));
    const struct linger now = { .l_onoff = 1 };
    want(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    return 0;
}

/* The handler still owes replies for a connection that is gone. */
static void test_peer_leaves(void **state)
{
    struct world w = { .hold = true };
    (void)state;
    run(&w, leave_early);
}

static int empty_and_silent(struct world *w, int fd)
{
    uint8_t in;
    (void)w;
    want(send_all(fd, "\0\0", 2));        /* no message at all */
    want(send_all(fd, "\0\002\377x", 4)); /* one that gets no reply */
    want(send_all(fd, "\0\001y", 3));
    want(receive(fd, &in) == 1);
    want(in == 'y');
    return 0;
}

static void test_no_reply(void **state)
{
    struct world w = { 0 };
    (void)state;
    run(&w, empty_and_silent);
    assert_int_equal(w.messages, 2);
}

static int longest(struct world *w, int fd)
{
    uint8_t *out = xcalloc(1, TCP_BUFFER), *in = xcalloc(1, TCP_BUFFER);
    (void)w;
    put_u16(out, 65535);
    memset(out + 2, 'x', 65535);
    bool good = true;
    for (int i = 0; i < 3 && good; i++)
        good = send_all(fd, out, TCP_BUFFER) && receive(fd, in) == 65535 &&
               memcmp(in, out + 2, 65535) == 0;
    free(out);
    free(in);
    return good ? 0 : __LINE__;
}

static void test_longest_message(void **state)
{
    struct world w = { 0 };
    (void)state;
    run(&w, longest);
}

#define GREEDY 5000

/* Asks as long as it can without reading anything, then reads it all. */
static int ask_without_reading(struct world *w, int fd)
{
    static uint8_t in[65535];
    const struct timeval soon = { .tv_usec = 200000 };
    want(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) == 0);
    unsigned sent = 0;
    while (sent < GREEDY && send(fd, "\0\001z", 3, MSG_NOSIGNAL) == 3)
        sent++;
    unsigned answered, before;
    do { /* until the server has come to rest */
        before = __atomic_load_n(&w->messages, __ATOMIC_RELAXED);
        usleep(100000);
        answered = __atomic_load_n(&w->messages, __ATOMIC_RELAXED);
    } while (answered != before);
    want(answered < GREEDY / 2);
    for (unsigned i = 0; i < sent; i++)
        want(receive(fd, in) == (ssize_t)w->reply_len);
    return 0;
}

/* Replies of 20 kB to queries of 3 bytes: what the peer does not read is bounded. */
static void test_peer_does_not_read(void **state)
{
    struct world w = { .reply_len = 20000 };
    (void)state;
    run(&w, ask_without_reading);
}

/* As above, and then waits for longer than it is given to take a reply. */
static int never_read(struct world *w, int fd)
{
    static uint8_t in[65535];
    const struct timeval soon = { .tv_usec = 200000 };
    (void)w;
    want(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) == 0);
    want(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    for (unsigned sent = 0; sent < GREEDY && send(fd, "\0\001z", 3, MSG_NOSIGNAL) == 3;)
        sent++;
    sleep(2); /* the server looks every second */
    ssize_t n;
    while ((n = recv(fd, in, sizeof in, 0)) > 0)
        ;
    want(n == 0 || errno == ECONNRESET);
    return 0;
}

static void test_write_limit(void **state)
{
    struct world w = { .reply_len = 20000, .limits = { .times.write_ms = 100 } };
    (void)state;
    run(&w, never_read);
}

/* Five questions at once to a server that answers three a connection. */
static int ask_too_often(struct world *w, int fd)
{
    static uint8_t in[65535];
    (void)w;
    want(send(fd, "\0\001a\0\001b\0\001c\0\001d\0\001e", 15, MSG_NOSIGNAL) == 15);
    for (int i = 0; i < 3; i++) /* in any order */
        want(receive(fd, in) == 1 && in[0] >= 'a' && in[0] <= 'c');
    want(recv(fd, in, sizeof in, 0) <= 0);
    return 0;
}

static void test_message_limit(void **state)
{
    struct world w = { .limits = { .messages = 3 } };
    struct world slow = { .limits = { .messages = 3 }, .hold = true };
    (void)state;
    run(&w, ask_too_often);
    assert_int_equal(w.messages, 3);
    run(&slow, ask_too_often);
    assert_int_equal(slow.messages, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_many_in_one_write),
        cmocka_unit_test(test_replies_are_gathered),
        cmocka_unit_test(test_gathering_has_an_end),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_peer_leaves),
        cmocka_unit_test(test_no_reply),
        cmocka_unit_test(test_longest_message),
        cmocka_unit_test(test_peer_does_not_read),
        cmocka_unit_test(test_write_limit),
        cmocka_unit_test(test_message_limit),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
