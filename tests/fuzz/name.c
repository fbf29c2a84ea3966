/* Domain names: wire from outside, and their text form there and back. */
#include "wire/name.h"
#include "base/err.h"
#include "base/ip.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct name *n)
{
    char text[NAME_TEXT_MAX];
    uint8_t lower[NAME_MAX_WIRE];
    struct name again;
    struct ip ip;
    if (name_wire_len(n->wire) != n->len || name_wire_labels(n->wire) != n->n_labels)
        abort();
    if (name_from_text(name_to_text(n->wire, text), &again) != 0 || again.len != n->len ||
        memcmp(again.wire, n->wire, n->len) != 0 ||
        memcmp(again.off, n->off, n->n_labels + 1u) != 0)
        abort();
    name_lower(lower, n->wire, n->len);
    if (!name_equal(lower, n->wire) || name_compare(lower, n->wire) != 0)
        abort();
    if (name_to_ip(n->wire, &ip) == 0) {
        name_from_ip(&ip, &again);
        if (!name_equal(again.wire, n->wire))
            abort();
    }
}

/* The first byte says where in the message the name begins. */
static void from_wire(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(data + 1, size - 1);
    struct name n, plain;
    if (data[0] > c.len)
        return;
    c.pos = data[0];
    struct cursor p = c;
    bool is_plain = name_parse_plain(&p, &plain) == 0;
    if (name_parse(&c, &n) != 0) {
        if (is_plain)
            abort();
        return;
    }
    if (is_plain &&
        (p.pos != c.pos || plain.len != n.len || memcmp(plain.wire, n.wire, n.len) != 0))
        abort();
    check(&n);
}

static void from_text(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct name n;
    if (name_from_text(text, &n) == 0)
        check(&n);
    if (name_from_text_at(text, strlen(text), (const uint8_t *)"\7example\3org", &n) == 0)
        check(&n);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size) {
        from_wire(data, size);
        from_text(data, size);
    }
    return 0;
}
