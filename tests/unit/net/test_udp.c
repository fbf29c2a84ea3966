#include "net/listen.h"
#include "net/udp.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct ip any, loopback = { 4, { 127, 0, 0, 1 } };

struct world {
    int server, client;
    struct sockaddr_storage address; /* the server's, on loopback */
    struct udp_in in;
    struct udp_out out;
    uint8_t buf[UDP_BATCH][128];
    struct sockaddr_storage peer[UDP_BATCH];
    struct udp_local local[UDP_BATCH];
};

static void begin(struct world *w, const struct ip *ip)
{
    struct err e;
    memset(w, 0, sizeof *w);
    w->server = listen_udp(ip, 0, &e);
    if (w->server < 0)
        fail_msg("%s", e.text);
    socklen_t len = sizeof w->address;
    assert_int_equal(getsockname(w->server, (struct sockaddr *)&w->address, &len), 0);
    uint16_t port = port_of_sockaddr((struct sockaddr *)&w->address);
    (void)ip_to_sockaddr(&loopback, port, &w->address);
    w->client = socket(AF_INET, SOCK_DGRAM, 0);
    udp_in_init(&w->in);
    for (unsigned i = 0; i < UDP_BATCH; i++)
        udp_in_place(&w->in, i, w->buf[i], sizeof w->buf[i], &w->peer[i],
                     ip->family ? NULL : &w->local[i]);
}

static void end(struct world *w)
{
    close(w->server);
    close(w->client);
}

static void send_to(const struct world *w, const void *p, size_t n)
{
    assert_int_equal(sendto(w->client, p, n, 0, (const struct sockaddr *)&w->address,
                            sizeof(struct sockaddr_in)),
                     n);
}

/* Loopback delivers before sendto() returns; poll() is for slow machines. */
static int receive(struct world *w, unsigned n)
{
    struct pollfd p = { .fd = w->server, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 2000), 1);
    return udp_receive(w->server, &w->in, n);
}

static void test_nothing_there(void **state)
{
    static struct world w;
    (void)state;
    begin(&w, &loopback);
    assert_int_equal(udp_receive(w.server, &w.in, UDP_BATCH), 0);
    end(&w);
}

static void test_batch_and_back(void **state)
{
    static struct world w;
    char in[16];
    (void)state;
    begin(&w, &loopback);
    for (int i = 0; i < 10; i++)
        send_to(&w, "0123456789", (size_t)i + 1);
    int got = receive(&w, UDP_BATCH);
    assert_int_equal(got, 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(udp_in_len(&w.in, i), i + 1);
        udp_out_add(&w.out, w.buf[i], i + 1, &w.peer[i], NULL);
    }
    assert_int_equal(udp_flush(w.server, &w.out), 0);
    assert_int_equal(w.out.n, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(recv(w.client, in, sizeof in, 0), i + 1);
    end(&w);
}

static void test_no_more_than_asked_for(void **state)
{
    static struct world w;
    (void)state;
    begin(&w, &loopback);
    for (int i = 0; i < 5; i++)
        send_to(&w, "x", 1);
    assert_int_equal(receive(&w, 2), 2);
    assert_int_equal(receive(&w, UDP_BATCH), 3);
    end(&w);
}

static void test_long_datagrams_are_cut(void **state)
{
    static struct world w;
    char text[300];
    (void)state;
    memset(text, 'y', sizeof text);
    begin(&w, &loopback);
    send_to(&w, text, sizeof text);
    send_to(&w, "", 0);
    assert_int_equal(receive(&w, UDP_BATCH), 2);
    assert_int_equal(udp_in_len(&w.in, 0), sizeof w.buf[0]);
    assert_int_equal(udp_in_len(&w.in, 1), 0);
    end(&w);
}

/* A wildcard socket answers from the address that was asked. */
static void test_reply_address(void **state)
{
    static struct world w;
    static const struct ip other = { 4, { 127, 0, 0, 77 } };
    char in[16];
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    (void)state;
    begin(&w, &any);
    (void)ip_to_sockaddr(&other, port_of_sockaddr((struct sockaddr *)&w.address), &w.address);
    for (int round = 0; round < 2; round++) { /* the places are used again */
        send_to(&w, "q", 1);
        assert_int_equal(receive(&w, UDP_BATCH), 1);
        struct ip peer = ip_of_sockaddr((struct sockaddr *)&w.peer[0]);
        assert_true(ip_equal(&peer, &loopback));
        udp_out_add(&w.out, "r", 1, &w.peer[0], &w.local[0]);
        assert_int_equal(udp_flush(w.server, &w.out), 0);
        assert_int_equal(recvfrom(w.client, in, sizeof in, 0, (struct sockaddr *)&from, &len), 1);
        struct ip answered = ip_of_sockaddr((struct sockaddr *)&from);
        assert_true(ip_equal(&answered, &other));
    }
    end(&w);
}

/* One that the kernel refuses (port 0 cannot be sent to) does not hold up the others. */
static void test_refused_datagram(void **state)
{
    static struct world w;
    struct sockaddr_storage nowhere;
    char in[4];
    (void)state;
    begin(&w, &loopback);
    send_to(&w, "q", 1);
    assert_int_equal(receive(&w, UDP_BATCH), 1);
    (void)ip_to_sockaddr(&loopback, 0, &nowhere);
    udp_out_add(&w.out, "a", 1, &w.peer[0], NULL);
    udp_out_add(&w.out, "b", 1, &nowhere, NULL);
    udp_out_add(&w.out, "c", 1, &w.peer[0], NULL);
    assert_int_equal(udp_flush(w.server, &w.out), 1);
    assert_int_equal(recv(w.client, in, sizeof in, 0), 1);
    assert_int_equal(in[0], 'a');
    assert_int_equal(recv(w.client, in, sizeof in, 0), 1);
    assert_int_equal(in[0], 'c');
    end(&w);
}

static void test_listen(void **state)
{
    static const struct ip not_ours = { 4, { 192, 0, 2, 1 } };
    static const struct ip not_ours6 = { 6, { 0x20, 1, 0xd, 0xb8 } };
    struct err e;
    (void)state;
    assert_int_equal(listen_udp(&not_ours, 5353, &e), -EADDRNOTAVAIL);
    assert_string_equal(e.text, "listen udp 192.0.2.1:5353: Cannot assign requested address");
    assert_true(listen_tcp(&not_ours6, 5353, &e) < 0);
    assert_non_null(strstr(e.text, "listen tcp [2001:db8::]:5353: "));
}

/* Two sockets on one port: what every worker does. */
static void test_shared_port(void **state)
{
    struct err e;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    (void)state;
    int a = listen_tcp(&any, 0, &e);
    assert_true(a >= 0);
    assert_int_equal(getsockname(a, (struct sockaddr *)&sa, &len), 0);
    int b = listen_tcp(&any, port_of_sockaddr((struct sockaddr *)&sa), &e);
    assert_true(b >= 0);
    close(a);
    close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_batch_and_back),
        cmocka_unit_test(test_no_more_than_asked_for),
        cmocka_unit_test(test_long_datagrams_are_cut),
        cmocka_unit_test(test_reply_address),
        cmocka_unit_test(test_refused_datagram),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_shared_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
