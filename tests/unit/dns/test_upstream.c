/* The wheel, and what an upstream does at its limits; tests/functional/test_forward.py has the
 * rest. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "dns/upstream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define MS 1000000LL

/* ---- the wheel ---- */

struct ring {
    struct deadline deadline;
    int number;
};

struct wheel_test {
    struct worker worker;
    struct wheel wheel;
    struct ring rings[6];
    int fired[16], n;
    int64_t at_ns[16];
    uv_sem_t done;
};

static struct wheel_test wheel_test;

static void ring_fired(struct deadline *d)
{
    struct wheel_test *t = &wheel_test;
    struct ring *r = container_of(d, struct ring, deadline);
    t->fired[t->n] = r->number;
    t->at_ns[t->n++] = clock_ns() - d->at_ns;
    if (r->number == 0) { /* what fires may set and clear others, also such as are due at once */
        wheel_clear(&t->rings[1].deadline);
        wheel_set(&t->wheel, &t->rings[2].deadline, clock_ns() + 20 * MS);
    }
    if (r->number == 5)
        uv_sem_post(&t->done);
}

static void set_rings(struct worker *w, void *arg)
{
    /* 0, 1: together; 2: far away, moved near; 3: cleared; 4: in the past; 5: the last */
    static const int64_t in_ms[] = { 30, 30, 60000, 30, -500, 100 };
    struct wheel_test *t = arg;
    wheel_init(&t->wheel, w);
    for (int i = 5; i >= 0; i--) {
        t->rings[i] = (struct ring){ .deadline.fn = ring_fired, .number = i };
        wheel_set(&t->wheel, &t->rings[i].deadline, clock_ns() + in_ms[i] * MS);
    }
    wheel_clear(&t->rings[3].deadline);
    wheel_clear(&t->rings[3].deadline); /* twice is no harm */
}

static void close_wheel(struct worker *w, void *arg)
{
    (void)w;
    wheel_close(arg);
}

static void test_wheel(void **state)
{
    struct wheel_test *t = &wheel_test;
    struct err e;
    (void)state;
    uv_sem_init(&t->done, 0);
    assert_int_equal(worker_start(&t->worker, 0, &e), 0);
    worker_call_wait(&t->worker, set_rings, t);
    uv_sem_wait(&t->done);
    worker_call_wait(&t->worker, close_wheel, &t->wheel);
    worker_stop(&t->worker);
    uv_sem_destroy(&t->done);
    /* 1 lies before 0 in the slot or behind it: cleared when 0 comes first. */
    int seen[6] = { 0 };
    for (int i = 0; i < t->n; i++) {
        seen[t->fired[i]]++;
        assert_true(t->at_ns[i] >= 0);
    }
    assert_int_equal(t->fired[0], 4);
    assert_int_equal(t->fired[t->n - 1], 5);
    assert_int_equal(seen[0], 1);
    assert_true(seen[1] <= 1);
    assert_int_equal(seen[2], 1);
    assert_int_equal(seen[3], 0);
}

/* ---- limits ---- */

struct ask_test {
    bool tcp;
    int server; /* a socket that takes all and answers nothing by itself */
    struct worker worker;
    struct upstream upstream;
    struct upstream_options options;
    struct upstream_worker *uw;
    struct question q;
    unsigned asked, wanted, last_error;
    unsigned answered, cancelled, others;
    struct exchange *x;
};

static void on_done(void *ctx, const struct upstream_reply *reply)
{
    struct ask_test *t = ctx;
    if (reply->error == 0)
        t->answered++;
    else if (reply->error == -ECANCELED)
        t->cancelled++;
    else
        t->others++;
}

/* Asks until that is refused, or wanted times. */
static void ask_all(struct worker *w, void *arg)
{
    struct ask_test *t = arg;
    struct upstream_reply error = { 0 };
    uint8_t msg[NAME_MAX_WIRE + 32];
    size_t len = msg_encode_query(msg, 0, t->q.name.wire, t->q.type, 0);
    if (!t->uw)
        t->uw = upstream_worker_new(w);
    for (unsigned i = 0; i < t->wanted; i++) {
        struct upstream_request r = { .msg = msg,
                                      .len = len,
                                      .q = &t->q,
                                      .tcp = t->tcp,
                                      .read_ns = 60000 * MS,
                                      .limit_ns = clock_ns() + 60000 * MS };
        t->x = upstream_ask(t->uw, &t->upstream, &r, on_done, t, &error);
        if (!t->x)
            break;
        t->asked++;
    }
    t->last_error = (unsigned)-error.error;
}

static void cancel_last(struct worker *w, void *arg)
{
    struct ask_test *t = arg;
    (void)w;
    upstream_cancel(t->x);
}

static void nothing(struct worker *w, void *arg)
{
    (void)w, (void)arg;
}

static void close_uw(struct worker *w, void *arg)
{
    struct ask_test *t = arg;
    (void)w;
    upstream_worker_close(t->uw);
}

static void begin(struct ask_test *t, bool tcp)
{
    struct sockaddr_storage addr;
    struct ip ip;
    socklen_t len;
    int room = 8 << 20;
    struct err e;
    *t = (struct ask_test){ .tcp = tcp, .wanted = UINT32_MAX, .options.expire_ns = 60000 * MS };
    t->server = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    assert_true(t->server >= 0);
    (void)setsockopt(t->server, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    assert_int_equal(ip_parse("127.0.0.1", &ip), 0);
    len = ip_to_sockaddr(&ip, 0, &addr);
    assert_int_equal(bind(t->server, (struct sockaddr *)&addr, len), 0);
    if (tcp)
        assert_int_equal(listen(t->server, 64), 0);
    assert_int_equal(getsockname(t->server, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(name_from_text("Www.example.org.", &t->q.name), 0);
    name_lower(t->q.lower, t->q.name.wire, t->q.name.len);
    t->q.type = RR_A;
    t->q.class = CLASS_IN;
    upstream_init(&t->upstream, 3, &addr, NULL, &t->options, "test");
    assert_int_equal(worker_start(&t->worker, 0, &e), 0);
}

static void end(struct ask_test *t)
{
    worker_call_wait(&t->worker, close_uw, t);
    t->wanted = 1;
    unsigned asked = t->asked;
    worker_call_wait(&t->worker, ask_all, t); /* whoever asks now hears so at once */
    assert_int_equal(t->asked, asked);
    assert_int_equal(t->last_error, ECANCELED);
    worker_stop(&t->worker);
    upstream_worker_free(t->uw);
    close(t->server);
}

static void test_limit(void **state)
{
    struct ask_test t;
    begin(&t, *state != NULL);
    worker_call_wait(&t.worker, ask_all, &t);
    unsigned limit = t.tcp ? UPSTREAM_CHANNELS * UPSTREAM_PER_CONN : UPSTREAM_OUTSTANDING;
    assert_int_equal(t.asked, limit);
    assert_int_equal(t.last_error, ENOBUFS);
    assert_int_equal(metric_value(t.upstream.full), 1);
    assert_int_equal(metric_value(t.upstream.misses[t.tcp]), UPSTREAM_CHANNELS);
    end(&t);
    assert_int_equal(t.cancelled, limit);
    assert_int_equal(t.answered + t.others, 0);
}

/* Every datagram that waits is answered `times` times; returns how many there were. */
static unsigned answer_all(int fd, int times)
{
    unsigned n = 0;
    uint8_t msg[512];
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;
    ssize_t len;
    while ((len = recvfrom(fd, msg, sizeof msg, MSG_DONTWAIT, (struct sockaddr *)&peer,
                           &peer_len)) > 0) {
        n++;
        msg[2] |= 0x80;
        for (ssize_t i = MSG_HEADER + 1; i < len - 5; i++)
            if (msg[i] >= 'a' && msg[i] <= 'z')
                msg[i] = (uint8_t)(msg[i] ^ 0x20); /* letter case does not matter */
        for (int i = 0; i < times; i++)
            (void)sendto(fd, msg, (size_t)len, 0, (struct sockaddr *)&peer, peer_len);
        peer_len = sizeof peer;
    }
    return n;
}

static void test_answers_and_cancelling(void **state)
{
    struct ask_test t;
    (void)state;
    begin(&t, false);
    t.wanted = 100;
    worker_call_wait(&t.worker, ask_all, &t);
    assert_int_equal(t.asked, 100);
    worker_call_wait(&t.worker, cancel_last, &t);
    assert_int_equal(answer_all(t.server, 2), 100);
    for (int i = 0; i < 1000 && t.answered < 99; i++) { /* a round trip through its loop each */
        worker_call_wait(&t.worker, nothing, NULL);
        (void)usleep(1000);
    }
    assert_int_equal(t.answered, 99);
    end(&t);
    assert_int_equal(t.cancelled + t.others, 0);
}

int main(void)
{
    static int tcp;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel),
        cmocka_unit_test(test_limit),
        cmocka_unit_test_prestate(test_limit, &tcp),
        cmocka_unit_test(test_answers_and_cancelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
