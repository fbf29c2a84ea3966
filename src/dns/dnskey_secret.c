/* Private key files: lines "Name: value", as dnssec-keygen writes them. */
#include "dns/dnskey_private.h"
#include "wire/radix.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_CHARS 1024 /* base64 of 512 bytes and a name */

static const char *const names[FIELD_COUNT] = {
    [FIELD_MODULUS] = "Modulus",
    [FIELD_PUBLIC_EXPONENT] = "PublicExponent",
    [FIELD_PRIVATE_EXPONENT] = "PrivateExponent",
    [FIELD_PRIME1] = "Prime1",
    [FIELD_PRIME2] = "Prime2",
    [FIELD_EXPONENT1] = "Exponent1",
    [FIELD_EXPONENT2] = "Exponent2",
    [FIELD_COEFFICIENT] = "Coefficient",
    [FIELD_PRIVATE_KEY] = "PrivateKey",
};

static int read_format(const char *value, struct err *e)
{
    if (strcmp(value, "v1.2") == 0 || strcmp(value, "v1.3") == 0)
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "private key format '%.20s' is not v1.2 or v1.3", value);
}

/* "13 (ECDSAP256SHA256)" */
static int read_algorithm(const char *value, struct dnskey_secret *s, struct err *e)
{
    char number[8];
    long n;
    (void)snprintf(number, sizeof number, "%.*s", (int)strcspn(value, " \t("), value);
    if (str_to_long(number, 1, 255, &n) < 0)
        return err_set(e, ERR_PARSE, "'%.20s' is not an algorithm number", value);
    s->algorithm = (uint8_t)n;
    return 0;
}

static int read_field(const char *name, const char *value, struct dnskey_secret *s, struct err *e)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (strcasecmp(names[i], name) != 0)
            continue;
        struct radix_reader reader = { .r = &radix_64 };
        struct wbuf w = wbuf_of(s->field[i].bytes, sizeof s->field[i].bytes);
        if (!radix_read(&reader, value, strlen(value), &w) || !radix_end(&reader) || w.bad)
            return err_set(e, ERR_PARSE, "%s is not base64 of up to %d bytes", names[i],
                           DNSKEY_SIG_MAX);
        s->field[i].len = w.pos;
        return 0;
    }
    return 0; /* dates and labels of other tools */
}

static int read_line(char *line, struct dnskey_secret *s, bool *has_format, struct err *e)
{
    char *colon = strchr(line, ':');
    line[strcspn(line, "\r")] = 0;
    if (!*line || *line == ';')
        return 0;
    if (!colon)
        return err_set(e, ERR_PARSE, "a line is not of the form 'Name: value'");
    *colon = 0;
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    if (strcasecmp(line, "Private-key-format") == 0) {
        *has_format = true;
        return read_format(value, e);
    }
    if (strcasecmp(line, "Algorithm") == 0)
        return read_algorithm(value, s, e);
    return read_field(line, value, s, e);
}

int dnskey_secret_parse(const char *text, size_t len, const char *file, struct dnskey_secret *ret,
                        struct err *e)
{
    char line[LINE_MAX_CHARS];
    const char *end = text + len;
    bool has_format = false;
    int code = 0, number = 1;
    for (; code == 0 && text < end; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((stop ? stop : end) - text);
        if (n >= sizeof line) {
            code = err_set(e, ERR_LIMIT, "a line of more than %zu characters", sizeof line - 1);
        } else {
            memcpy(line, text, n);
            line[n] = 0;
            code = read_line(line, ret, &has_format, e);
        }
        if (code < 0)
            code = err_wrap(e, "%s:%d", file, number);
        text = stop ? stop + 1 : end;
    }
    OPENSSL_cleanse(line, sizeof line);
    if (code == 0 && (!has_format || !ret->algorithm))
        code = err_set(e, ERR_PARSE,
                       "%s: no private key: Private-key-format or Algorithm is missing", file);
    return code;
}
