/* A zone transfer as it comes over a connection: messages, each behind its length. Whatever they
 * hold, what was taken over is a zone that can be handed out again. */
#include "dns/axfr.h"
#include "base/mem.h"
#include "dns/zone_data.h"

#include <stdlib.h>

static const uint8_t origin[] = "\1z\4test";

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_zone(const struct zone_data *z, const struct axfr *a)
{
    size_t records = 0;
    require(z->serial == a->serial && z->n_records + z->n_outside == a->records);
    for (size_t i = 0; i < z->n_nodes; i++)
        for (uint32_t k = 0; k < z->nodes[i].n; k++) {
            const struct rrset *rr = &z->nodes[i].sets[k].rr;
            require(rr->ttl <= ZONE_TTL_MAX && rr->type != RR_SOA && !rr_type_is_meta(rr->type));
            records += rr->count;
        }
    require(records < a->records); /* repeated ones are left out, the SOA stands apart */
}

/* Returns what axfr_message() said last. */
static int run(struct axfr *a, const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(data, size);
    struct err e = { 0 };
    int code = 0;
    while (code == 0 && cursor_left(&c)) {
        uint16_t len = cursor_u16(&c);
        const uint8_t *message = cursor_take(&c, len);
        if (!message)
            break;
        code = axfr_message(a, message, len, &e);
        require(code >= 0 || e.text[0]);
    }
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct axfr *a = xmalloc(sizeof *a);
    struct zone_builder *b = zone_builder_new(origin);
    struct zone_data *z = NULL;
    axfr_init(a, origin, size >= 4 ? get_u16(data + 2) : 0, zone_builder_add, b);
    if (run(a, data, size) == 1) {
        require(zone_builder_end(b, &z, NULL) == 0);
        check_zone(z, a);
        zone_data_free(z);
    } else {
        zone_builder_free(b);
    }
    free(a);
    return 0;
}
