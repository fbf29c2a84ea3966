#include "dns/plugins/tsig.h"

#include "base/mem.h"
#include "wire/radix.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX (2 * TSIG_KEY_MAX)

void tsig_keys_done(struct tsig_keys *k)
{
    ht_each (entry, &k->by_name) {
        explicit_bzero(entry->value, sizeof(struct tsig_key));
        free(entry->value);
    }
    ht_done(&k->by_name);
}

static bool read_secret(const char *text, struct tsig_key *key)
{
    struct radix_reader reader = { .r = &radix_64 };
    struct wbuf w = wbuf_of(key->secret, sizeof key->secret);
    bool good = radix_read(&reader, text, strlen(text), &w) && radix_end(&reader) && !w.bad;
    key->len = w.pos;
    return good && w.pos;
}

int tsig_keys_add(struct tsig_keys *k, const char *name, const char *secret, struct err *e)
{
    struct name n;
    uint8_t lower[NAME_MAX_WIRE];
    if (name_from_text(name, &n) < 0)
        return err_set(e, ERR_PARSE, "key '%s' is not a domain name", name);
    name_lower(lower, n.wire, n.len);
    if (ht_get(&k->by_name, lower, n.len))
        return err_set(e, ERR_INVALID, "key '%s' redefined", name);
    struct tsig_key *key = xcalloc(1, sizeof *key);
    if (!read_secret(secret, key)) {
        free(key);
        return err_set(e, ERR_PARSE, "the secret of key '%s' is not base64 of 1 to %d bytes", name,
                       TSIG_KEY_MAX);
    }
    ht_put(&k->by_name, lower, n.len, key);
    return 0;
}

/* ---- a file of keys ---- */

struct scanner {
    const char *p, *end;
    int line;
    char word[WORD_MAX]; /* the word at hand; "" at the end */
};

static void skip_to(struct scanner *s, const char *stop)
{
    size_t n = strlen(stop);
    while (s->p < s->end && ((size_t)(s->end - s->p) < n || memcmp(s->p, stop, n) != 0))
        s->line += *s->p++ == '\n';
}

/* Blanks and the three kinds of comments. */
static void skip_blanks(struct scanner *s)
{
    for (;;) {
        size_t left = (size_t)(s->end - s->p);
        if (left && isspace((unsigned char)*s->p)) {
            s->line += *s->p++ == '\n';
        } else if ((left && *s->p == '#') || (left > 1 && !memcmp(s->p, "//", 2))) {
            skip_to(s, "\n");
        } else if (left > 1 && !memcmp(s->p, "/*", 2)) {
            skip_to(s, "*/");
            s->p += MIN((size_t)2, (size_t)(s->end - s->p));
        } else {
            return;
        }
    }
}

static void next_word(struct scanner *s)
{
    size_t n = 0;
    skip_blanks(s);
    bool quoted = s->p < s->end && *s->p == '"';
    s->p += quoted;
    while (s->p < s->end && n + 1 < sizeof s->word) {
        if (quoted ? *s->p == '"' : isspace((unsigned char)*s->p) || (n && strchr("{};", *s->p)))
            break;
        s->line += *s->p == '\n';
        s->word[n++] = *s->p++;
        if (!quoted && n == 1 && strchr("{};", s->word[0]))
            break;
    }
    s->p += quoted && s->p < s->end && *s->p == '"';
    s->word[n] = '\0';
}

static int expect(struct scanner *s, const char *wanted, struct err *e)
{
    next_word(s);
    if (strcmp(s->word, wanted) == 0)
        return 0;
    return err_set(e, ERR_PARSE, "expected '%s' and not '%.100s'", wanted, s->word);
}

static int check_algorithm(const char *text, struct err *e)
{
    struct name n;
    if (name_from_text(text, &n) == 0 && tsig_algorithm_find(n.wire))
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "algorithm '%.100s' is not supported", text);
}

/* Behind the word "key". */
static int read_key(struct scanner *s, struct tsig_keys *k, struct err *e)
{
    char name[WORD_MAX], secret[WORD_MAX] = "";
    next_word(s);
    memcpy(name, s->word, sizeof name);
    int ret = expect(s, "{", e);
    for (next_word(s); ret == 0 && strcmp(s->word, "}") != 0; next_word(s)) {
        bool is_secret = strcmp(s->word, "secret") == 0;
        if (!is_secret && strcmp(s->word, "algorithm") != 0)
            return err_set(e, ERR_PARSE, "expected 'secret', 'algorithm' or '}' and not '%.100s'",
                           s->word);
        next_word(s);
        if (is_secret)
            memcpy(secret, s->word, sizeof secret);
        else
            ret = check_algorithm(s->word, e);
        if (ret == 0)
            ret = expect(s, ";", e);
    }
    if (ret == 0)
        ret = expect(s, ";", e);
    return ret < 0 ? ret : tsig_keys_add(k, name, secret, e);
}

int tsig_keys_parse(struct tsig_keys *k, const char *text, size_t len, const char *file,
                    struct err *e)
{
    struct scanner s = { .p = text, .end = text + len, .line = 1 };
    int ret = 0;
    for (next_word(&s); ret == 0 && s.word[0]; next_word(&s)) {
        if (strcmp(s.word, "key") == 0)
            ret = read_key(&s, k, e);
        else
            ret = err_set(e, ERR_PARSE, "expected 'key' and not '%.100s'", s.word);
        if (ret < 0)
            return err_wrap(e, "%s:%d", file, s.line);
    }
    return ret;
}
