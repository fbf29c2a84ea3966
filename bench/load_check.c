#include "load_check.h"

#include "base/cursor.h"

enum { RCODE_NOERROR = 0, RCODE_NXDOMAIN = 3, TYPE_A = 1, CLASS_IN = 1 };

static void skip_name(struct cursor *c)
{
    uint8_t len;
    do {
        len = cursor_u8(c);
        if (len >= 0xc0)
            cursor_take(c, 1);
        else
            cursor_take(c, len);
    } while (!c->bad && len != 0 && len < 0xc0);
}

/* Steps over one record; ret_data is empty unless it is an address record. */
static void read_record(struct cursor *c, const uint8_t **ret_data)
{
    skip_name(c);
    uint16_t type = cursor_u16(c), class = cursor_u16(c);
    cursor_u32(c);
    uint16_t len = cursor_u16(c);
    const uint8_t *data = cursor_take(c, len);
    *ret_data = data && type == TYPE_A && class == CLASS_IN && len == 4 ? data : NULL;
}

static const char *find_address(struct cursor *c, unsigned count, const uint8_t want[4])
{
    bool found = false;
    for (unsigned i = 0; i < count && !c->bad; i++) {
        const uint8_t *data;
        read_record(c, &data);
        found |= data && memcmp(data, want, 4) == 0;
    }
    return c->bad ? "records cut short" : found ? NULL : "expected address missing";
}

/* An answer made of two states of the name has both addresses or neither, or some are missing. */
static const char *find_either(struct cursor *c, unsigned count, const struct query *q)
{
    unsigned addresses = 0, either = 0;
    for (unsigned i = 0; i < count && !c->bad; i++) {
        const uint8_t *data;
        read_record(c, &data);
        addresses += data != NULL;
        either += data && (memcmp(data, q->address, 4) == 0 || memcmp(data, q->other, 4) == 0);
    }
    if (c->bad)
        return "records cut short";
    if (addresses != q->count)
        return "not as many addresses as expected";
    return either == 1 ? NULL
           : either    ? "both the old address and the new one"
                       : "neither the old address nor the new one";
}

static const char *check_expect(const struct query *q, struct cursor *c, unsigned rcode,
                                unsigned count)
{
    if (q->expect == EXPECT_ANY)
        return NULL;
    if (q->expect == EXPECT_NXDOMAIN)
        return rcode == RCODE_NXDOMAIN ? NULL : "not NXDOMAIN";
    if (rcode != RCODE_NOERROR)
        return "not NOERROR";
    if (q->expect == EXPECT_NODATA)
        return count == 0 ? NULL : "an answer where none was expected";
    if (count == 0)
        return "no answer";
    if (q->expect == EXPECT_EITHER)
        return find_either(c, count, q);
    return q->expect == EXPECT_ADDRESS ? find_address(c, count, q->address) : NULL;
}

const char *check_answer(const struct queries *all, const struct query *q, const uint8_t *answer,
                         size_t len)
{
    struct cursor c = cursor_of(answer, len);
    cursor_u16(&c);
    uint16_t flags = cursor_u16(&c), questions = cursor_u16(&c), answers = cursor_u16(&c);
    cursor_u32(&c);
    const uint8_t *question = cursor_take(&c, q->question_len);
    if (c.bad || questions != 1)
        return "question missing";
    if (!(flags & 0x8000))
        return "not a response";
    if (memcmp(question, query_packet(all, q) + QUERY_HEADER_LEN, q->question_len) != 0)
        return "another question";
    return check_expect(q, &c, flags & 0xf, answers);
}
