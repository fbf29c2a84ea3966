/* Any bytes as the reply of an upstream: what `forward`, `cache` and the plugins outside them make
 * of it, and what the client gets. The first byte chooses how the question is asked, the second
 * how much of the reply is put right: id and question, so that it is not passed over. */
#include "world.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* clang-format off */
static const char corefile[] =
    "plain.test:1053 {\n bind 127.0.0.1\n cache {\n  serve_stale\n  servfail 1s\n }\n"
    " forward . %1$s {\n  max_fails 0\n  max_connect_attempts 1\n  read_timeout 20ms\n }\n}\n"
    "other.test:1053 {\n bind 127.0.0.1\n loadbalance round_robin\n minimal\n"
    " rewrite stop {\n  name suffix .other.test .back.test answer auto\n }\n rewrite ttl suffix test. 5-50\n"
    " cache\n header {\n  response set aa\n }\n"
    " forward . %1$s {\n  max_fails 0\n  max_connect_attempts 1\n  read_timeout 20ms\n  failover SERVFAIL\n"
    "  next NXDOMAIN\n  next_on_nodata\n  prefer_udp\n }\n erratic\n}\n"
    "six.test:1053 {\n bind 127.0.0.1\n dns64 64:ff9b::/96\n cache\n"
    " forward . %1$s {\n  max_fails 0\n  max_connect_attempts 1\n  read_timeout 20ms\n }\n}\n"
    "ways.test:1053 {\n bind 127.0.0.1\n rewrite cname suffix b.test. www.file.test.\n"
    " rewrite name regex (.*)\\.ways\\.test {1}.x.test answer name (.*)\\.x\\.test {1}.ways.test"
    " answer value (.*)\\.y\\.test {1}.z.test\n"
    " any\n forward . %1$s {\n  max_fails 0\n  max_connect_attempts 1\n  read_timeout 20ms\n }\n}\n";
/* clang-format on */

enum { RIGHT_ID = 1, RIGHT_QUESTION = 2 };

static const uint8_t *reply;
static size_t reply_len;
static uint8_t right;
static bool given;

static size_t question_end(const uint8_t *q, size_t len)
{
    size_t end = MSG_HEADER;
    while (end < len && q[end])
        end += q[end] + 1u;
    return end + 5 > len ? len : end + 5;
}

/* The input's reply to this question; short ones as they are. */
static size_t made_reply(const uint8_t *question, size_t len, uint8_t *out)
{
    size_t end = question_end(question, len), n = reply_len;
    if (n < MSG_HEADER || !(right & RIGHT_ID)) {
        memcpy(out, reply, n);
        return n;
    }
    memcpy(out, reply, MSG_HEADER);
    memcpy(out, question, 2);
    out[2] |= 0x80;
    if (!(right & RIGHT_QUESTION)) {
        memcpy(out + MSG_HEADER, reply + MSG_HEADER, n - MSG_HEADER);
        return n;
    }
    n = n + end - MSG_HEADER > MSG_MAX ? MSG_MAX + MSG_HEADER - end : n;
    put_u16(out + 4, 1);
    memcpy(out + MSG_HEADER, question + MSG_HEADER, end - MSG_HEADER);
    memcpy(out + end, reply + MSG_HEADER, n - MSG_HEADER);
    return n + end - MSG_HEADER;
}

/* First what the input says, then (when that was passed over) an answer without records. */
static size_t upstream(const uint8_t *question, size_t len, bool tcp, unsigned nth, uint8_t *out)
{
    size_t head = tcp ? 2 : 0, n;
    if (nth > 1)
        return 0;
    if (nth == 0 && !given && reply_len) {
        given = true;
        n = made_reply(question, len, out + head);
    } else {
        n = question_end(question, len);
        memcpy(out + head, question, n);
        out[head + 2] |= 0x80;
        memset(out + head + 6, 0, 6);
    }
    if (tcp)
        put_u16(out, (uint16_t)n);
    return head + n;
}

static void begin(void)
{
    struct strbuf text = { 0 };
    struct err e;
    strbuf_printf(&text, corefile, world_upstream());
    world_answer = upstream;
    if (world_serve(text.p, text.len, &e) < 0) {
        (void)fprintf(stderr, "%s\n", e.text);
        abort();
    }
    strbuf_done(&text);
}

static void ask(const uint8_t *msg, size_t len, bool tcp)
{
    static uint8_t out[MSG_MAX];
    size_t n = tcp ? world_ask_tcp(msg, len) : world_ask(msg, len, out);
    if (!n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const zones[] = { "plain", "other", "six", "ways" };
    static const uint16_t types[] = { RR_A, RR_AAAA, RR_PTR, RR_TXT };
    static unsigned runs;
    uint8_t msg[NAME_MAX_WIRE + 32];
    char name[32];
    if (!runs++)
        begin();
    if (size < 2 || size > MSG_MAX)
        return 0;
    reply = data + 2;
    reply_len = size - 2;
    right = data[1];
    given = false;
    /* Names that were not asked yet, all of one length. */
    (void)snprintf(name, sizeof name, "n%08x.%s.test", runs, zones[data[0] & 3]);
    size_t len =
        world_query(msg, (uint16_t)runs, name, types[data[0] >> 2 & 3], data[0] & 16 ? 1232 : 0);
    if (data[0] & 16 && data[0] & 32)
        msg[len - 4] |= 0x80; /* DO */
    ask(msg, len, data[0] & 64);
    ask(msg, len, data[0] & 64); /* now perhaps from the cache */
    return 0;
}
