#include "kernel/nat_watch.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define FAMILY_AT 16 /* of struct nfgenmsg, behind the netlink header */
/* The first attribute is the original tuple, the first in it its addresses, the first of these the
 * source: three headers of four bytes. */
#define SOURCE_AT 32
#define CODE_MAX  (NAT_WATCH_IPS * 11 + 2)

/* An event passes when its source is one of the addresses: for each the family, then the words. */
static size_t put_address(struct sock_filter *code, const struct ip *ip)
{
    uint32_t words[4];
    size_t n = 0, n_words = ip_len(ip) / 4, len = 2 + 2 * n_words + 1;
    memcpy(words, ip->bytes, sizeof words);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FAMILY_AT);
    code[n++] = (struct sock_filter)BPF_JUMP(
        BPF_JMP | BPF_JEQ | BPF_K, ip->family == 6 ? AF_INET6 : AF_INET, 0, (uint8_t)(len - 2));
    for (size_t i = 0; i < n_words; i++) {
        code[n++] =
            (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SOURCE_AT + 4 * i));
        code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(words[i]), 0,
                                               (uint8_t)(len - n - 1));
        n++;
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    return n;
}

static int filter(int fd, const struct ip *ips, size_t n)
{
    struct sock_filter code[CODE_MAX];
    size_t len = 0;
    for (size_t i = 0; i < MIN(n, (size_t)NAT_WATCH_IPS); i++)
        len += put_address(code + len, &ips[i]);
    code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = { (unsigned short)len, code };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

/* A question for an entry that cannot be there has the kernel load what answers it, before it
 * matters, and tells whether we may ask. */
static int try_to_ask(struct conntrack *c)
{
    const struct tuple nobody = { .from = { .family = 4 }, .to = { .family = 4 }, .protocol = 6 };
    struct flow f;
    int code = conntrack_find(c, &nobody, &f);
    return code == -ENOENT ? 0 : code;
}

int nat_watch_open(struct nat_watch *w, const struct ip *ips, size_t n)
{
    *w = (struct nat_watch){ .n = 0 };
    int code = conntrack_open(&w->asks);
    if (code == 0)
        code = try_to_ask(&w->asks);
    if (code == 0)
        code = conntrack_open(&w->tells);
    if (code == 0)
        code = filter(conntrack_fd(&w->tells), ips, n);
    if (code == 0)
        code = conntrack_listen(&w->tells);
    if (code < 0)
        nat_watch_done(w);
    else
        w->flows = xcalloc(NAT_WATCH_FLOWS, sizeof *w->flows);
    return code;
}

void nat_watch_done(struct nat_watch *w)
{
    conntrack_done(&w->asks);
    conntrack_done(&w->tells);
    free(w->flows);
    w->flows = NULL;
}

static void remember(void *ctx, const struct flow *f)
{
    struct nat_watch *w = ctx;
    w->flows[w->n++ % NAT_WATCH_FLOWS] = *f;
}

static bool is_same(const struct tuple *a, const struct tuple *b)
{
    return a->protocol == b->protocol && a->from_port == b->from_port && a->to_port == b->to_port &&
           ip_equal(&a->from, &b->from) && ip_equal(&a->to, &b->to);
}

static const struct flow *beginning_of(const struct nat_watch *w, const struct tuple *original)
{
    for (size_t i = 1; i <= NAT_WATCH_FLOWS && i <= w->n; i++) {
        const struct flow *f = &w->flows[(w->n - i) % NAT_WATCH_FLOWS];
        if (is_same(&f->original, original))
            return f;
    }
    return NULL;
}

bool nat_watch_find(struct nat_watch *w, const struct tuple *original, struct flow *ret,
                    bool *ret_began)
{
    if (!w->flows)
        return false;
    w->lost += conntrack_events(&w->tells, remember, w) < 0;
    const struct flow *began = beginning_of(w, original);
    if (ret_began)
        *ret_began = began;
    if (conntrack_find(&w->asks, original, ret) == 0)
        return true;
    if (began)
        *ret = *began;
    return began;
}
