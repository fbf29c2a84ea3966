/* `nsid [TEXT...]`: says which server answered to those who ask (RFC 5001). Default: the host's
 * name. */
#include "dns/plugin.h"

#include <string.h>

#define NSID_MAX 512 /* bytes; the smallest reply is not to be filled with it */

struct nsid {
    const char *text;
    uint16_t len;
};

/* DO in the reply is what the reference's clients have always seen next to its identifier. */
static void nsid_out(struct query *q, void *conf)
{
    const struct nsid *n = conf;
    struct edns *edns = &q->reply.edns;
    if (!q->msg.edns.options_len || !edns_has(&q->msg.edns, EDNS_NSID))
        return;
    size_t cap = (size_t)edns->options_len + 4 + n->len;
    if (cap > UINT16_MAX)
        return;
    uint8_t *options = arena_alloc(&q->arena, cap);
    struct wbuf w = wbuf_of(options, cap);
    edns_copy(edns, edns_bit(EDNS_NSID), &w);
    wbuf_u16(&w, EDNS_NSID);
    wbuf_u16(&w, n->len);
    wbuf_put(&w, n->text, n->len);
    edns->options = options;
    edns->options_len = (uint16_t)w.pos;
    edns->do_bit = true;
}

static const char *host_name(struct arena *a)
{
    char name[256];
    if (gethostname(name, sizeof name) < 0)
        return "localhost";
    name[sizeof name - 1] = '\0';
    return arena_strdup(a, name);
}

static int nsid_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    struct nsid *n = arena_zalloc(a, sizeof *n);
    dispenser_next_directive(d);
    while (dispenser_next_arg(d))
        n->text = n->text ? arena_printf(a, "%s %s", n->text, dispenser_val(d)) : dispenser_val(d);
    if (!n->text)
        n->text = host_name(a);
    if (strlen(n->text) > NSID_MAX)
        return dispenser_err(d, e, "the text is longer than %d bytes", NSID_MAX);
    n->len = (uint16_t)strlen(n->text);
    setup_out(s, nsid_out, n);
    return dispenser_end(d, e);
}

const struct plugin plugin_nsid = { .name = "nsid", .setup = nsid_setup };
