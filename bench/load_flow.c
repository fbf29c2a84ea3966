#include "load_flow.h"

#include "base/cursor.h"
#include "load_check.h"

#include <errno.h>
#include <unistd.h>

static void wire_up(struct flow *f)
{
    for (unsigned i = 0; i < f->window; i++) {
        f->in_iov[i] = (struct iovec){ f->answers[i], FLOW_ANSWER_MAX };
        f->in[i].msg_hdr = (struct msghdr){ .msg_iov = &f->in_iov[i], .msg_iovlen = 1 };
        f->out[i].msg_hdr = (struct msghdr){ .msg_iov = &f->out_iov[i], .msg_iovlen = 1 };
        f->places[i].id = (uint16_t)i;
        f->free[i] = (uint8_t)i;
    }
    f->n_free = f->window;
}

int flow_init(struct flow *f, const struct sockaddr *to, socklen_t to_len, unsigned window,
              struct err *e)
{
    f->window = window;
    f->fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        return err_set(e, -errno, "socket: %s", strerror(errno));
    if (connect(f->fd, to, to_len) < 0)
        return err_set(e, -errno, "connect: %s", strerror(errno));
    wire_up(f);
    return 0;
}

void flow_done(struct flow *f)
{
    if (f->fd > 0)
        close(f->fd);
}

/* The id changes with each use of a place, so that a late answer is not taken for a new one. */
static void prepare(struct flow *f, struct load *l, unsigned i)
{
    uint8_t at = f->free[--f->n_free];
    struct place *p = &f->places[at];
    const struct query *q = &l->queries->list.items[l->next];
    uint8_t *packet = query_packet(l->queries, q);
    *p = (struct place){ .busy = true,
                         .id = (uint16_t)(p->id + 0x100),
                         .query = (uint32_t)l->next,
                         .sent_ns = l->now_ns };
    put_u16(packet, p->id);
    f->out_iov[i] = (struct iovec){ packet, q->len };
    l->next = l->next + 1 == l->queries->list.n ? 0 : l->next + 1;
    l->left--;
    l->sent++;
}

static int server_gone(struct err *e)
{
    return err_set(e, -errno, "the server does not take queries: %s", strerror(errno));
}

/* One packet may not be in two places of a batch, because its id is written into it: a file with
 * fewer queries than a window is sent in parts. */
int flow_send(struct flow *f, struct load *l, struct err *e)
{
    while (f->n_free && l->left) {
        unsigned n = 0;
        while (f->n_free && l->left && n < l->queries->list.n)
            prepare(f, l, n++);
        for (unsigned done = 0; done < n;) {
            int sent = sendmmsg(f->fd, f->out + done, n - done, 0);
            if (sent < 0 && errno != EINTR && errno != EAGAIN && errno != ENOBUFS)
                return server_gone(e);
            done += sent > 0 ? (unsigned)sent : 0;
        }
    }
    return 0;
}

static void check(struct load *l, const struct place *p, const uint8_t *answer, size_t len)
{
    const struct query *q = &l->queries->list.items[p->query];
    const char *wrong = check_answer(l->queries, q, answer, len);
    l->checked++;
    if (!wrong)
        return;
    if (l->wrong++ == 0) {
        l->first_wrong = wrong;
        l->first_wrong_query = p->query;
    }
}

static void count(struct load *l, const uint8_t *answer)
{
    unsigned rcode = answer[3] & 0xf;
    l->answered++;
    l->rcodes[rcode]++;
    l->truncated += (answer[2] >> 1) & 1;
    l->nodata += rcode == 0 && get_u16(answer + 6) == 0;
}

static void take(struct flow *f, struct load *l, const uint8_t *answer, size_t len)
{
    if (len < QUERY_HEADER_LEN || !(answer[2] & 0x80)) {
        l->late++;
        return;
    }
    uint16_t id = get_u16(answer);
    struct place *p = &f->places[id & 0xff];
    if ((id & 0xff) >= f->window || !p->busy || p->id != id) {
        l->late++;
        return;
    }
    p->busy = false;
    f->free[f->n_free++] = (uint8_t)(id & 0xff);
    count(l, answer);
    if (l->check_every && l->answered % l->check_every == 0)
        check(l, p, answer, len);
}

int flow_receive(struct flow *f, struct load *l, struct err *e)
{
    int n = recvmmsg(f->fd, f->in, f->window, MSG_DONTWAIT, NULL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : server_gone(e);
    for (int i = 0; i < n; i++)
        take(f, l, f->answers[i], f->in[i].msg_len);
    return n;
}

void flow_expire(struct flow *f, struct load *l)
{
    for (unsigned i = 0; i < f->window; i++) {
        struct place *p = &f->places[i];
        if (!p->busy || l->now_ns - p->sent_ns < l->timeout_ns)
            continue;
        p->busy = false;
        f->free[f->n_free++] = (uint8_t)i;
        l->lost++;
    }
}
