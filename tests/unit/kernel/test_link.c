/* Links, addresses, routes and captures, for real, in a world of our own; skipped where the machine
 * does not allow one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/capture.h"
#include "kernel/link.h"
#include "kernel/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct link_table here, there;
static int other = -1, home = -1;

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(text, &ip), 0);
    return ip;
}

static void wire_two_namespaces(void **state)
{
    (void)state;
    struct ip mine = ip_of("10.9.0.1"), theirs = ip_of("10.9.0.2");
    assert_int_equal(link_add_veth(&here, "left", "right", other), 0);
    assert_int_equal(link_add_veth(&here, "left", "right", other), -EEXIST);
    assert_true(link_index(&here, "left") > 0);
    assert_int_equal(link_index(&here, "right"), -ENODEV);
    assert_true(link_index(&there, "right") > 0);
    assert_int_equal(link_add_address(&here, "left", &mine, 32), 0);
    assert_int_equal(link_add_address(&there, "right", &theirs, 32), 0);
    assert_int_equal(link_set_up(&here, "left"), 0);
    assert_int_equal(link_set_up(&there, "right"), 0);
}

static void routes(void **state)
{
    (void)state;
    struct ip gateway = ip_of("10.9.0.2"), far = ip_of("192.0.2.7"), mine = ip_of("10.9.0.1");
    struct ip_prefix on_link = { gateway, 32 }, net = { ip_of("192.0.2.0"), 24 };
    struct ip_prefix back = { mine, 32 };
    struct link_route r;
    char name[16];
    assert_true(route_get(&here, &far, NULL, 0, &r) < 0); /* nowhere to go yet */
    assert_int_equal(route_add(&here, &on_link, NULL, "left"), 0);
    assert_int_equal(route_add(&here, &net, &gateway, "left"), 0);
    assert_int_equal(route_add(&there, &back, NULL, "right"), 0);
    assert_int_equal(route_get(&here, &far, NULL, 0, &r), 0);
    assert_true(ip_equal(&r.gateway, &gateway));
    assert_string_equal(link_name(&here, r.out, name), "left");
    assert_true(route_is_local(&here, &mine));
    assert_false(route_is_local(&here, &gateway));
    assert_int_equal(route_get(&here, &gateway, NULL, 0, &r), 0);
    assert_int_equal(r.gateway.family, 0);
    assert_string_equal(link_name(&here, 9999, name), "if9999");
}

static void send_hello(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(5353) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = inet_addr("10.9.0.2");
    assert_int_equal(sendto(fd, "hello", 5, 0, (struct sockaddr *)&to, sizeof to), 5);
    close(fd);
}

/* The one UDP packet, among the neighbour searches that are passed over. */
static bool next_udp(struct capture *c, uint8_t *buf, struct packet *p)
{
    struct pollfd wait = { .fd = c->fd, .events = POLLIN };
    while (poll(&wait, 1, 2000) > 0) {
        while (capture_read(c, buf, p) > 0) {
            if (p->protocol == IPPROTO_UDP && p->to_port == 5353)
                return true;
        }
    }
    return false;
}

static void capture_in_both_directions(void **state)
{
    (void)state;
    struct capture sent = { -1 }, got = { -1 };
    struct packet p;
    uint8_t buf[CAPTURE_BYTES];
    assert_int_equal(capture_open(&sent, "none"), -ENODEV);
    assert_int_equal(capture_open(&sent, "left"), 0);
    assert_int_equal(netns_enter(other), 0);
    assert_int_equal(capture_open(&got, "right"), 0);
    assert_int_equal(netns_enter(home), 0);
    send_hello();
    assert_true(next_udp(&sent, buf, &p));
    assert_true(p.outgoing);
    assert_int_equal(p.payload_len, 5);
    int64_t left_at = p.time_ns;
    assert_true(next_udp(&got, buf, &p));
    assert_false(p.outgoing);
    assert_memory_equal(p.payload, "hello", 5);
    assert_true(left_at > 0 && p.time_ns >= left_at);
    capture_done(&sent);
    capture_done(&got);
}

static void bridges(void **state)
{
    (void)state;
    assert_int_equal(link_add_bridge(&here, "bridge"), 0);
    assert_int_equal(link_set_master(&here, "left", "bridge"), 0);
    assert_int_equal(link_set_master(&here, "left", "none"), -ENODEV);
    assert_int_equal(link_set_hairpin(&here, "left"), 0);
    assert_int_equal(link_set_hairpin(&here, "none"), -ENODEV);
    assert_int_not_equal(link_set_hairpin(&here, "bridge"), 0); /* no port of any */
    assert_int_equal(link_delete(&here, "left"), 0);
    assert_int_equal(link_index(&there, "right"), -ENODEV); /* a pair goes together */
}

static int set_up(void **state)
{
    (void)state;
    home = netns_current();
    other = netns_new();
    if (home < 0 || other < 0 || link_table_open(&here) < 0 || netns_enter(other) < 0 ||
        link_table_open(&there) < 0)
        return -1;
    return netns_enter(home);
}

static int tear_down(void **state)
{
    (void)state;
    link_table_done(&here);
    link_table_done(&there);
    close(other);
    close(home);
    return 0;
}

int main(void)
{
    struct err e = { 0 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_two_namespaces),
        cmocka_unit_test(routes),
        cmocka_unit_test(capture_in_both_directions),
        cmocka_unit_test(bridges),
    };
    if (netns_enter_own_world(&e) < 0) {
        (void)fprintf(stderr, "skipped: %s\n", e.text);
        return 77;
    }
    /* The first child is the new PID namespace's init; this process itself is not inside. */
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        return cmocka_run_group_tests(tests, set_up, tear_down);
    waitpid(pid, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
