/* TSIG: any bytes as a query with a signature, whose record is found, taken off and written again;
 * and any text as a file of keys. */
#include "dns/plugins/tsig.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void same_record(const struct tsig_record *a, const struct tsig_record *b)
{
    require(name_equal(a->key.wire, b->key.wire) && a->offset == b->offset);
    require(name_equal(a->algorithm.wire, b->algorithm.wire));
    require(a->time == b->time && a->fudge == b->fudge && a->error == b->error);
    require(a->original_id == b->original_id && a->mac_len == b->mac_len);
    require(a->other_len == b->other_len && memcmp(a->mac, b->mac, a->mac_len) == 0);
    require(memcmp(a->other, b->other, a->other_len) == 0);
}

/* The message without its record, and with it again: the same. The record's names were perhaps
 * compressed, so that it may have become longer. */
static void sign_again(const uint8_t *msg, const struct tsig_record *r, struct arena *a)
{
    static const struct tsig_key key = { .secret = "secret", .len = 6 };
    size_t room = r->offset + tsig_record_room(r) + r->mac_len;
    uint8_t *copy = arena_memdup(a, msg, r->offset), mac[TSIG_MAC_MAX];
    const struct tsig_algorithm *algorithm = tsig_algorithm_find(r->algorithm.wire);
    struct tsig_input in = {
        .before = r->mac, .before_len = r->mac_len, .msg = copy, .msg_len = r->offset, .record = r
    };
    struct tsig_record signed_again = *r, back;
    uint8_t *out = arena_zalloc(a, room);
    put_u16(copy + 10, (uint16_t)(get_u16(copy + 10) - 1));
    memcpy(out, copy, r->offset);
    if (!algorithm)
        return;
    require(tsig_mac(algorithm, &key, &in, a, mac));
    signed_again.mac = mac;
    signed_again.mac_len = (uint16_t)tsig_mac_len(algorithm);
    size_t len = tsig_append(out, r->offset, &signed_again);
    require(len <= room && tsig_find(out, len, &back) == 1);
    same_record(&signed_again, &back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct query_msg q;
    struct tsig_keys keys = { 0 };
    struct tsig_record r;
    struct err e;
    struct arena a;
    arena_init(&a, 4096);
    if (msg_parse_query(data, size, &q) == QUERY_OK && tsig_find(data, size, &r) == 1)
        sign_again(data, &r, &a);
    if (tsig_keys_parse(&keys, (const char *)data, size, "keys", &e) < 0)
        require(strncmp(e.text, "keys:", 5) == 0);
    tsig_keys_done(&keys);
    arena_done(&a);
    return 0;
}
