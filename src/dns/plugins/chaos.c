/* `chaos [VERSION [AUTHOR...]]`: TXT of class CH says what runs here: version.bind, version.server,
 * authors.bind, hostname.bind and id.server. */
#include "dns/plugin.h"

#include <string.h>

#define CHAOS_VERSION "signpost-" SIGNPOST_VERSION
#define CHAOS_AUTHORS "The signpost authors"

struct texts {
    uint8_t *rdata; /* of TXT records, each behind its length */
    uint16_t n;
    size_t len;
};

struct chaos {
    struct texts version, authors, host;
};

static const struct texts *texts_for(const struct chaos *c, const uint8_t *name)
{
    const struct {
        const char *wire;
        const struct texts *texts;
    } names[] = {
        { "\007version\004bind", &c->version }, { "\007version\006server", &c->version },
        { "\007authors\004bind", &c->authors }, { "\010hostname\004bind", &c->host },
        { "\002id\006server", &c->host },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp((const char *)name, names[i].wire) == 0)
            return names[i].texts;
    return NULL;
}

/* A name with a zero byte inside a label compares unequal, as its length bytes come first. */
static enum step chaos_in(struct query *q, void *conf)
{
    if (q->msg.q.class != CLASS_CH || q->msg.q.type != RR_TXT)
        return STEP_NEXT;
    const struct texts *t = texts_for(conf, q->msg.q.lower);
    if (!t)
        return STEP_NEXT;
    query_add(
        q, SECTION_ANSWER,
        (struct rrset){ .type = RR_TXT, .class = CLASS_CH, .count = t->n, .rdata = t->rdata });
    return STEP_DONE;
}

/* Adds a record of one character string, which has room for 255 bytes. */
static void add_text(struct arena *a, struct texts *t, const char *text)
{
    size_t len = MIN(strlen(text), 255u);
    uint8_t *rdata = arena_alloc(a, t->len + 3 + len);
    if (t->n)
        memcpy(rdata, t->rdata, t->len);
    put_u16(rdata + t->len, (uint16_t)(len + 1));
    rdata[t->len + 2] = (uint8_t)len;
    memcpy(rdata + t->len + 3, text, len);
    t->rdata = rdata;
    t->len += 3 + len;
    t->n++;
}

static int chaos_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    struct chaos *c = arena_zalloc(a, sizeof *c);
    char host[256] = "localhost";
    (void)gethostname(host, sizeof host - 1);
    add_text(a, &c->host, host);
    dispenser_next_directive(d);
    add_text(a, &c->version, dispenser_next_arg(d) ? dispenser_val(d) : CHAOS_VERSION);
    while (dispenser_next_arg(d))
        add_text(a, &c->authors, dispenser_val(d));
    if (!c->authors.n)
        add_text(a, &c->authors, CHAOS_AUTHORS);
    setup_any_class(s);
    setup_in(s, chaos_in, c);
    return dispenser_end(d, e);
}

const struct plugin plugin_chaos = { .name = "chaos", .setup = chaos_setup };
