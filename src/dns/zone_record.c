/* One record of a zone file. */
#include "dns/zone_reader.h"

#include <string.h>

#define RDATA_MAX 65535

static int read_owner(struct zone_reader *r, const char **at, bool blank, struct err *e)
{
    const char *word;
    size_t n;
    if (blank)
        return r->has_owner ? 0 : zone_error(r, e, "the first record has no owner name");
    if (!zone_word(at, &word, &n) || name_from_text_at(word, n, r->origin.wire, &r->owner) < 0)
        return zone_error(r, e, "\"%.*s\" is not a domain name", (int)MIN(n, 80), word);
    name_lower(r->owner.wire, r->owner.wire, r->owner.len);
    r->has_owner = true;
    return 0;
}

/* TTL and class, at most once each and in either order, then the type. */
static int read_head(struct zone_reader *r, const char **at, struct zone_record *rr, struct err *e)
{
    bool has_ttl = false, has_class = false;
    const char *word;
    size_t n;
    char text[32];
    uint16_t class;
    while (zone_word(at, &word, &n)) {
        (void)snprintf(text, sizeof text, "%.*s", (int)MIN(n, sizeof text - 1), word);
        if (!has_ttl && zone_seconds(word, n, &rr->ttl)) {
            has_ttl = true;
        } else if (!has_class && n < sizeof text && rr_class_from_text(text, &class) == 0) {
            has_class = true;
            if (class != CLASS_IN)
                return zone_error(r, e, "class %s: only IN is served from files", text);
        } else if (n < sizeof text && rr_type_from_text(text, &rr->type) == 0) {
            if (!has_ttl && !r->has_ttl)
                return zone_error(r, e, "no TTL: write one, or $TTL before the first record");
            if (!has_ttl)
                rr->ttl = r->ttl;
            else if (!r->ttl_fixed) {
                r->ttl = rr->ttl;
                r->has_ttl = true;
            }
            return 0;
        } else {
            return zone_error(r, e, "\"%s\" is not a TTL, class or record type", text);
        }
    }
    return zone_error(r, e, "the record type is missing");
}

int zone_record_read(struct zone_reader *r, const char *text, bool blank, struct err *e)
{
    struct zone_record rr = { 0 };
    struct wbuf rdata = wbuf_of(r->sink->rdata, RDATA_MAX);
    char type[16];
    int code = read_owner(r, &text, blank, e);
    if (code == 0)
        code = read_head(r, &text, &rr, e);
    if (code < 0)
        return code;
    if (rr_type_is_meta(rr.type))
        return zone_error(r, e, "type %s cannot stand in a zone", rr_type_text(rr.type, type));
    code = rdata_from_text(rr.type, text, r->origin.wire, &rdata, e);
    if (code < 0)
        return err_wrap(e, "%s:%d", r->file, r->entry_line);
    rr.owner = r->owner.wire;
    rr.rdata = rdata.base;
    rr.rdlen = (uint16_t)rdata.pos;
    code = r->sink->record(r->sink->ctx, &rr, e);
    return code < 0 ? err_wrap(e, "%s:%d", r->file, r->entry_line) : 0;
}
