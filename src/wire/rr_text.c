/* One record as a line of text. */
#include "base/arena.h"
#include "base/err.h"
#include "wire/rr.h"
#include "wire/words.h"

#include <string.h>

#define RDATA_MAX 65535

struct line {
    const char *text; /* what is not read yet */
    struct rrset rr;
    bool has_ttl, has_class;
};

/* The next word as a string that the small grammar of line heads can use; false: none that fits. */
static bool next_word(struct line *l, char word[NAME_TEXT_MAX])
{
    struct word w;
    size_t n;
    const char *rest;
    if (!words_cut(l->text, &w, 1, &n, &rest) || n == 0 || w.quoted || w.n >= NAME_TEXT_MAX)
        return false;
    memcpy(word, w.p, w.n);
    word[w.n] = 0;
    l->text = rest;
    return true;
}

/* TTL and class, once each in either order, then the type. */
static int read_head(struct line *l, struct err *e)
{
    char word[NAME_TEXT_MAX];
    uint64_t ttl;
    while (next_word(l, word)) {
        if (!l->has_ttl && text_duration(word, strlen(word), &ttl)) {
            l->rr.ttl = (uint32_t)ttl;
            l->has_ttl = true;
        } else if (!l->has_class && rr_class_from_text(word, &l->rr.class) == 0) {
            l->has_class = true;
        } else if (rr_type_from_text(word, &l->rr.type) == 0) {
            return 0;
        } else {
            return err_set(e, ERR_PARSE, "\"%.80s\" is not a TTL, class or record type", word);
        }
    }
    return err_set(e, ERR_PARSE, "the record type is missing");
}

static int read_owner(struct line *l, const uint8_t *origin, struct name *ret_owner, struct err *e)
{
    char word[NAME_TEXT_MAX];
    bool blank = *l->text == ' ' || *l->text == '\t';
    if (blank || !next_word(l, word))
        return err_set(e, ERR_PARSE, "the record does not begin with a name");
    if (name_from_text_at(word, strlen(word), origin, ret_owner) != 0)
        return err_set(e, ERR_PARSE, "\"%.80s\" is not a domain name", word);
    return 0;
}

int rr_from_text(const char *text, const uint8_t *origin, uint32_t default_ttl, struct arena *a,
                 struct rrset *ret_rr, struct err *e)
{
    struct line l = { .text = text, .rr = { .ttl = default_ttl, .class = CLASS_IN, .count = 1 } };
    struct name owner;
    uint8_t rdata[2 + RDATA_MAX];
    struct wbuf out = wbuf_of(rdata, sizeof rdata);
    wbuf_u16(&out, 0);
    int rc = read_owner(&l, origin, &owner, e);
    if (rc == 0)
        rc = read_head(&l, e);
    if (rc == 0)
        rc = rdata_from_text(l.rr.type, l.text, origin, &out, e);
    if (rc != 0)
        return rc;
    put_u16(rdata, (uint16_t)(out.pos - 2));
    l.rr.owner = arena_memdup(a, owner.wire, owner.len);
    l.rr.rdata = arena_memdup(a, rdata, out.pos);
    *ret_rr = l.rr;
    return 0;
}
