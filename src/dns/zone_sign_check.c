/* Whether a signed zone has to be signed anew. */
#include "base/file.h"
#include "dns/zone_sign.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define HEAD_MAX    (256 << 10) /* bytes of the file that are looked at */
#define RECORDS_MAX 100         /* the SOA's signatures stand among the first ones, or nowhere */

struct check {
    const struct zone_signing *s;
    const struct zone_sign_limits *limits;
    uint32_t now;
    size_t records, signatures;
    uint32_t seen; /* one bit a key */
};

/* By serial number arithmetic: RFC 4034 section 3.1.5. */
static int32_t seconds_between(uint32_t from, uint32_t to)
{
    return (int32_t)(to - from);
}

static int check_times(const struct check *c, const uint8_t *rdata, struct err *e)
{
    int32_t left = seconds_between(c->now, get_u32(rdata + 8));
    int32_t age = seconds_between(get_u32(rdata + 12), c->now);
    if (age < 0)
        return err_set(e, ERR_INVALID, "its signatures are not valid yet");
    if (age > c->limits->age)
        return err_set(e, ERR_INVALID, "its signatures are %d hours old", age / 3600);
    if (left < c->limits->left)
        return err_set(e, ERR_INVALID, "its signatures expire in %d hours", left / 3600);
    return 0;
}

static int check_record(void *ctx, const struct zone_record *r, struct err *e)
{
    struct check *c = ctx;
    if (++c->records > RECORDS_MAX)
        return err_set(e, ERR_LIMIT, "enough"); /* check_head() does not take this as wrong */
    if (r->type != RR_RRSIG || get_u16(r->rdata) != RR_SOA)
        return 0;
    for (size_t i = 0; i < c->s->n_keys; i++)
        if (c->s->keys[i]->algorithm == r->rdata[2] && c->s->keys[i]->tag == get_u16(r->rdata + 16))
            c->seen |= 1u << i;
    c->signatures++;
    return check_times(c, r->rdata, e);
}

static int check_head(struct check *c, const char *path, const char *text, size_t len,
                      const uint8_t *origin, struct err *e)
{
    struct zone_sink sink = { .record = check_record, .ctx = c, .no_include = true };
    int code = zone_text_parse(&sink, path, text, len, origin, e);
    zone_sink_done(&sink);
    if (code < 0 && c->records <= RECORDS_MAX)
        return code;
    if (!c->signatures)
        return err_set(e, ERR_INVALID, "%s: the SOA record is not signed", path);
    if (c->signatures != c->s->n_keys || c->seen != (1u << c->s->n_keys) - 1)
        return err_set(e, ERR_INVALID, "%s was signed with other keys", path);
    return 0;
}

int zone_sign_check(const char *path, const uint8_t *origin, const struct zone_signing *s,
                    const struct zone_sign_limits *limits, int64_t now, struct err *e)
{
    struct check c = { .s = s, .limits = limits, .now = (uint32_t)now };
    cleanup_free char *text = NULL;
    size_t len = 0;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int code = fd < 0 ? -errno : file_read(fd, HEAD_MAX, &text, &len);
    if (code < 0)
        return err_set(e, code, "open %s: %s", path, strerror(-code));
    while (len && text[len - 1] != '\n') /* the last line may be cut */
        len--;
    return check_head(&c, path, text, len, origin, e);
}
