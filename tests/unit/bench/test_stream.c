#include "load_stream.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "names.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define PATIENCE_NS 5000000000LL

/* A stream to a listener of ours, whose side of the connection is `peer`. */
struct world {
    struct queries queries;
    struct load load;
    struct stream stream;
    int listener, peer;
};

static int accept_peer(struct world *w)
{
    w->peer = accept(w->listener, NULL, NULL);
    return w->peer;
}

static int setup(void **state)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    struct world *w = calloc(1, sizeof *w);
    struct err e;
    *state = w;
    if (!w || queries_of("a.example A\n", &w->queries) < 0)
        return -1;
    w->load = (struct load){ .queries = &w->queries, .left = 100, .timeout_ns = PATIENCE_NS };
    w->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(w->listener, (struct sockaddr *)&sa, len) < 0 || listen(w->listener, 4) < 0 ||
        getsockname(w->listener, (struct sockaddr *)&sa, &len) < 0 ||
        stream_init(&w->stream, (struct sockaddr *)&sa, len, NULL, 3, &e) < 0)
        return -1;
    return accept_peer(w) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    stream_done(&w->stream);
    queries_done(&w->queries);
    close(w->peer);
    close(w->listener);
    free(w);
    return 0;
}

/* The three queries of the window, as they came. */
static size_t read_queries(struct world *w, uint8_t *data, size_t size)
{
    size_t want = 3 * (2 + (size_t)w->queries.list.items[0].len), got = 0;
    assert_true(want <= size);
    while (got < want) {
        ssize_t n = recv(w->peer, data + got, size - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, want);
    return got;
}

static void receive(struct world *w, uint64_t answered)
{
    struct err e;
    for (int64_t end = clock_ns() + PATIENCE_NS; clock_ns() < end && w->load.answered < answered;) {
        struct pollfd p = { .fd = w->stream.fd, .events = POLLIN };
        poll(&p, 1, 10);
        assert_true(stream_receive(&w->stream, &w->load, &e) >= 0);
    }
    assert_int_equal(w->load.answered, answered);
}

static void the_window_goes_in_frames(void **state)
{
    struct world *w = *state;
    struct err e;
    uint8_t data[512];
    assert_int_equal(stream_send(&w->stream, &w->load, &e), 0);
    read_queries(w, data, sizeof data);
    uint16_t len = w->queries.list.items[0].len;
    for (unsigned i = 0; i < 3; i++) {
        const uint8_t *at = data + i * (2 + (size_t)len);
        assert_int_equal(get_u16(at), len);
        assert_memory_equal(at + 4, query_packet(&w->queries, &w->queries.list.items[0]) + 2,
                            (size_t)len - 2);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(get_u16(at + 2), get_u16(data + j * (2 + (size_t)len) + 2));
    }
    assert_false(window_may_send(&w->stream.window, &w->load));
}

/* Frames that are cut anywhere are put together. */
static void answers_come_in_pieces(void **state)
{
    struct world *w = *state;
    struct err e;
    uint8_t data[512];
    assert_int_equal(stream_send(&w->stream, &w->load, &e), 0);
    size_t n = read_queries(w, data, sizeof data), each = n / 3;
    for (unsigned i = 0; i < 3; i++)
        data[i * each + 4] |= 0x80;
    assert_int_equal(send(w->peer, data, each + 1, 0), each + 1);
    receive(w, 1);
    assert_int_equal(w->stream.n_in, 1);
    assert_int_equal(send(w->peer, data + each + 1, n - each - 1, 0), n - each - 1);
    receive(w, 3);
    assert_true(window_idle(&w->stream.window));
    assert_int_equal(w->load.late, 0);
}

static void a_closed_connection_is_opened_again(void **state)
{
    struct world *w = *state;
    struct err e;
    uint8_t data[512];
    assert_int_equal(stream_send(&w->stream, &w->load, &e), 0);
    read_queries(w, data, sizeof data);
    close(w->peer);
    for (int64_t end = clock_ns() + PATIENCE_NS; clock_ns() < end && w->load.reconnects == 0;)
        assert_true(stream_receive(&w->stream, &w->load, &e) >= 0);
    assert_int_equal(w->load.reconnects, 1);
    assert_int_equal(w->load.lost, 3);
    assert_true(accept_peer(w) >= 0);
    assert_int_equal(stream_send(&w->stream, &w->load, &e), 0);
    read_queries(w, data, sizeof data);
}

static void a_server_that_is_gone_is_an_error(void **state)
{
    struct world *w = *state;
    struct err e;
    int code = 0;
    close(w->listener);
    close(w->peer);
    for (int64_t end = clock_ns() + PATIENCE_NS; clock_ns() < end && code == 0;)
        code = stream_receive(&w->stream, &w->load, &e);
    assert_true(code < 0);
    assert_non_null(strstr(e.text, "connect"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_window_goes_in_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_come_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_connection_is_opened_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_that_is_gone_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
