#include "kernel/nft_elements.h"

#include "base/mem.h"
#include "kernel/nft_batch.h"
#include "kernel/nft_netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ELEMENT_BYTES_MAX 512   /* of one element's attributes, three keys with their heads */
#define MESSAGE_BYTES_MAX 512   /* of a message's head with the names of table and map */
#define LIST_BYTES_MAX    60000 /* an attribute's length is of 16 bits */
#define SEND_ROOM         4096  /* what the socket counts beside the bytes */

static uint8_t *tail(struct nft_elements *t, size_t room)
{
    if (t->len + room > t->capacity) {
        t->capacity = 2 * t->capacity + room;
        t->buf = xrealloc(t->buf, t->capacity);
    }
    return t->buf + t->len;
}

static struct nlmsghdr *message_of(const struct nft_elements *t)
{
    return (struct nlmsghdr *)(t->buf + t->message);
}

static struct nlmsghdr *put_head(struct nft_elements *t, uint16_t type, uint16_t flags,
                                 uint8_t family)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(tail(t, MESSAGE_BYTES_MAX));
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = t->messages++;
    m->nfgen_family = family;
    m->version = NFNETLINK_V0;
    return h;
}

void nft_elements_init(struct nft_elements *t, uint8_t family, const char *table)
{
    *t = (struct nft_elements){ .family = family, .table = table };
    struct nlmsghdr *h = put_head(t, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC);
    ((struct nfgenmsg *)mnl_nlmsg_get_payload(h))->res_id = htons(NFNL_SUBSYS_NFTABLES);
    t->len += h->nlmsg_len;
}

void nft_elements_done(struct nft_elements *t)
{
    free(t->buf);
    *t = (struct nft_elements){ 0 };
}

static void begin_message(struct nft_elements *t, const char *map, bool add)
{
    uint16_t message = add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
    struct nlmsghdr *h =
        put_head(t, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), add ? NLM_F_CREATE : 0,
                 t->family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, t->table);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, map);
    t->message = t->len;
    t->len += h->nlmsg_len;
    t->map = map;
    t->add = add;
}

static void put_verdict(struct nlmsghdr *h, const struct nft_item *i)
{
    static const int codes[] = {
        [NFT_ITEM_DROP] = NF_DROP, [NFT_ITEM_JUMP] = NFT_JUMP, [NFT_ITEM_GOTO] = NFT_GOTO
    };
    struct nlattr *nest = mnl_attr_nest_start(h, NFTA_SET_ELEM_DATA);
    struct nlattr *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    nft_put_u32(h, NFTA_VERDICT_CODE, (uint32_t)codes[i->verdict]);
    if (i->chain[0])
        mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, i->chain);
    mnl_attr_nest_end(h, verdict);
    mnl_attr_nest_end(h, nest);
}

static void put_item(struct nlmsghdr *h, const struct nft_item *i, bool with_value)
{
    struct nlattr *one = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    if (i->interval_end)
        nft_put_u32(h, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    nft_put_data(h, NFTA_SET_ELEM_KEY, i->key, i->key_len);
    if (i->key_end_len > 0)
        nft_put_data(h, NFTA_SET_ELEM_KEY_END, i->key_end, i->key_end_len);
    if (with_value && i->verdict != NFT_ITEM_NO_VERDICT)
        put_verdict(h, i);
    else if (with_value && i->data_len > 0)
        nft_put_data(h, NFTA_SET_ELEM_DATA, i->data, i->data_len);
    mnl_attr_nest_end(h, one);
}

static void begin_list(struct nft_elements *t, const char *map, bool add)
{
    begin_message(t, map, add);
    (void)tail(t, ELEMENT_BYTES_MAX);
    t->list = t->len;
    (void)mnl_attr_nest_start(message_of(t), NFTA_SET_ELEM_LIST_ELEMENTS);
    t->len = t->message + message_of(t)->nlmsg_len;
}

void nft_elements_put(struct nft_elements *t, const char *map, bool add, const struct nft_item *i)
{
    bool open = t->list > 0 && t->add == add && strcmp(t->map, map) == 0;
    if (!open || t->len - t->list > LIST_BYTES_MAX)
        begin_list(t, map, add);
    (void)tail(t, ELEMENT_BYTES_MAX);
    struct nlmsghdr *h = message_of(t);
    put_item(h, i, add);
    mnl_attr_nest_end(h, (struct nlattr *)(t->buf + t->list));
    t->len = t->message + h->nlmsg_len;
    t->n++;
}

void nft_elements_clear(struct nft_elements *t, const char *map)
{
    begin_message(t, map, false);
    t->list = 0;
    t->n++;
}

/* ---- looking at it */

struct looking {
    void (*fn)(void *ctx, const char *map, bool add, const struct nft_item *i);
    void *ctx;
    bool add;
};

static void each_of_list(const struct nlattr *list, const char *map, const struct looking *l)
{
    const struct nlattr *a;
    struct nft_item i;
    mnl_attr_for_each_nested(a, list)
    {
        nft_read_item(a, &i);
        l->fn(l->ctx, map, l->add, &i);
    }
}

static void each_of_message(const struct nlmsghdr *h, const struct looking *l)
{
    const struct nlattr *list = nft_find(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    const char *map = nft_find_name(h, NFTA_SET_ELEM_LIST_SET);
    if (list)
        each_of_list(list, map, l);
    else
        l->fn(l->ctx, map, false, NULL);
}

static const struct nlmsghdr *first_message(const struct nft_elements *t, int *ret_len)
{
    *ret_len = (int)t->len;
    return mnl_nlmsg_next((const struct nlmsghdr *)t->buf, ret_len);
}

void nft_elements_each(const struct nft_elements *t,
                       void (*fn)(void *ctx, const char *map, bool add, const struct nft_item *i),
                       void *ctx)
{
    int len;
    for (const struct nlmsghdr *h = first_message(t, &len); mnl_nlmsg_ok(h, len);
         h = mnl_nlmsg_next(h, &len))
        each_of_message(h,
                        &(struct looking){ fn, ctx, (h->nlmsg_type & 0xff) == NFT_MSG_NEWSETELEM });
}

/* ---- handing it over */

/* Which map's message has this number. */
static const char *map_of_message(const struct nft_elements *t, uint32_t number)
{
    int len;
    const struct nlmsghdr *h = first_message(t, &len);
    while (mnl_nlmsg_ok(h, len) && h->nlmsg_seq != number)
        h = mnl_nlmsg_next(h, &len);
    return mnl_nlmsg_ok(h, len) ? nft_find_name(h, NFTA_SET_ELEM_LIST_SET) : NULL;
}

/* Room for all of it, where we may ask for that; and short errors. */
static void prepare(struct nl *n, size_t len)
{
    int size = (int)len + SEND_ROOM, yes = 1, fd = mnl_socket_get_fd(n->sock);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    (void)mnl_socket_setsockopt(n->sock, NETLINK_CAP_ACK, &yes, sizeof yes);
}

static int refusal(const struct nft_elements *t, const struct nft_batch *b, int code, struct err *e)
{
    const char *map = map_of_message(t, b->refused);
    int grade = code == -EMSGSIZE || code == -EPERM ? code : ERR_REFUSED;
    return err_set(e, grade, "the kernel refused %zu elements%s%s: %s", t->n,
                   map ? ", first those of " : "", map ? map : "", err_str(code));
}

int nft_write_elements(void *ctx, struct nft_elements *t, bool check, struct err *e)
{
    struct nl n;
    (void)ctx;
    if (t->n == 0)
        return 0;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return err_set(e, ret, "no netlink socket: %s", err_str(ret));
    prepare(&n, t->len);
    n.seq = t->messages;
    (void)tail(t, MESSAGE_BYTES_MAX);
    struct nft_batch b = { .nl = &n, .first = (struct nlmsghdr *)t->buf, .last = message_of(t) };
    ret = nft_batch_try(&b, check);
    nl_done(&n);
    return ret < 0 ? refusal(t, &b, ret, e) : 0;
}
