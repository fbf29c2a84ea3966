/* DNS messages: both readers, text forms, and writing what was read. */
#include "base/arena.h"
#include "base/err.h"
#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>

static uint8_t out[MSG_MAX];

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* Whatever the limit, the message is whole and within it. */
static void cut(const struct reply *r, size_t limit, struct arena *a)
{
    struct msg m;
    size_t len = msg_encode(r, out, limit);
    require(len <= limit);
    require(msg_parse(out, len, a, &m) == 0);
    require(m.edns.present == r->edns.present);
}

static void same_lists(const struct rrset_list *a, const struct rrset_list *b)
{
    require(a->n == b->n);
    for (unsigned i = 0; i < a->n; i++) {
        const struct rrset *x = &a->items[i], *y = &b->items[i];
        require(x->type == y->type && x->class == y->class && x->ttl == y->ttl);
        require(x->count == y->count && x->rdlen == y->rdlen);
        require(name_wire_len(x->owner) == name_wire_len(y->owner));
        require(memcmp(x->owner, y->owner, name_wire_len(x->owner)) == 0);
        size_t len = (size_t)x->rdlen * x->count;
        for (unsigned k = 0; x->rdlen == 0 && k < x->count; k++)
            len += 2u + get_u16(x->rdata + len);
        require(memcmp(x->rdata, y->rdata, len) == 0);
    }
}

static void same_messages(const struct msg *a, const struct msg *b)
{
    require(a->id == b->id && a->rcode == b->rcode);
    require(((a->flags ^ b->flags) & ~FLAG_TC) == 0);
    require(a->q.name.len == b->q.name.len && a->q.type == b->q.type);
    require(memcmp(a->q.name.wire, b->q.name.wire, a->q.name.len) == 0);
    require(a->edns.present == b->edns.present && a->edns.udp_size == b->edns.udp_size);
    require(a->edns.options_len == b->edns.options_len);
    require(!a->edns.options_len ||
            memcmp(a->edns.options, b->edns.options, a->edns.options_len) == 0);
    for (unsigned s = 0; s < SECTION_COUNT; s++)
        same_lists(&a->section[s], &b->section[s]);
}

static void write_again(const struct msg *m, struct arena *a)
{
    struct reply r = {
        .id = m->id, .flags = m->flags, .rcode = m->rcode, .q = &m->q, .edns = m->edns
    };
    struct msg again;
    memcpy(r.section, m->section, sizeof r.section);
    size_t len = msg_encode(&r, out, sizeof out);
    require(msg_parse(out, len, a, &again) == 0);
    if (!(again.flags & FLAG_TC)) /* else expanded rdata outgrew a message */
        same_messages(m, &again);
    cut(&r, 512, a);
    cut(&r, 1232, a);
    for (unsigned s = 0; s < SECTION_COUNT; s++) { /* and as a server would put it */
        for (unsigned i = 0; i < r.section[s].n; i++) {
            struct rrset *rr = &r.section[s].items[i];
            rr->owner = name_equal(rr->owner, m->q.name.wire) ? NULL : rr->owner;
        }
    }
    cut(&r, 512, a);
}

/* Each record's text must read back as the same bytes. */
static void through_text(const struct rrset *rr)
{
    static uint8_t back[MSG_MAX];
    const uint8_t *p = rr->rdata;
    for (unsigned i = 0; i < rr->count && i < 8; i++) {
        struct strbuf text = { 0 };
        struct wbuf w = wbuf_of(back, sizeof back);
        size_t len = rr->rdlen;
        if (!len) {
            len = get_u16(p);
            p += 2;
        }
        rdata_to_text(rr->type, p, len, &text);
        int rc = rdata_from_text(rr->type, text.p, NULL, &w, NULL);
        require(rc == ERR_LIMIT || (rc == 0 && w.pos == len && memcmp(back, p, len) == 0));
        strbuf_done(&text);
        p += len;
    }
}

static void read_reply(const uint8_t *data, size_t size)
{
    struct arena a;
    struct msg m;
    struct strbuf text = { 0 };
    arena_init(&a, 4096);
    if (msg_parse(data, size, &a, &m) == 0) {
        for (unsigned s = 0; s < SECTION_COUNT; s++) {
            for (unsigned i = 0; i < m.section[s].n && i < 8; i++)
                through_text(&m.section[s].items[i]);
        }
        if (size < 4096)
            msg_to_text(&m, &text);
        if (m.has_question && (m.rcode < 16 || m.edns.present) && m.edns.options_len < 128)
            write_again(&m, &a);
    }
    strbuf_done(&text);
    arena_done(&a);
}

static void read_query(const uint8_t *data, size_t size)
{
    static struct query_msg q;
    struct arena a;
    struct msg m;
    if (msg_parse_query(data, size, &q) != QUERY_OK)
        return;
    arena_init(&a, 4096);
    /* The slow reader must agree. */
    require(msg_parse(data, size, &a, &m) == 0);
    require(m.q.name.len == q.q.name.len && m.q.type == q.q.type && m.q.class == q.q.class);
    require(memcmp(m.q.name.wire, q.q.name.wire, q.q.name.len) == 0);
    require(memcmp(m.q.lower, q.q.lower, q.q.name.len) == 0);
    require(m.edns.present == q.edns.present && m.edns.options_len == q.edns.options_len);
    require(m.edns.udp_size == q.edns.udp_size && m.edns.do_bit == q.edns.do_bit);
    arena_done(&a);
}

static void read_line(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct arena a;
    struct rrset rr;
    arena_init(&a, 4096);
    if (rr_from_text(text, (const uint8_t *)"\7example\3org", 5, &a, &rr, NULL) == 0)
        through_text(&rr);
    arena_done(&a);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MSG_MAX)
        return 0;
    read_query(data, size);
    read_reply(data, size);
    read_line(data, size);
    return 0;
}
