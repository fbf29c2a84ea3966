/* Keys and signatures, with the examples of RFC 4034, 5702, 6605 and 8080. */
#include "dns/rrsig.h"
#include "dns/zone_file.h"
#include "wire/canonical.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What the records of an RFC look like: key, set, and the signature over it. */
struct example {
    const char *key, *private_key, *ds, *set, *rrsig;
    bool repeatable; /* signing gives the very bytes of the RFC */
};

static const struct example rsa = {
    "example.net. 3600 IN DNSKEY 256 3 8 AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexPGcnUFtR2Fh36Bp"
    "oncwtkZ4cAgtvd4Qs8PkxUdp6p/DlUmObdk=\n",
    "Private-key-format: v1.2\nAlgorithm: 8 (RSASHA256)\n"
    "Modulus: wVwaxrHF2CK64aYKRUibLiH30KpPuPBjel7E8ZydQW1HYWHfoGmidzC2RnhwCC293hCzw+TFR2nqn8OVSY5t"
    "2Q==\nPublicExponent: AQAB\n"
    "PrivateExponent: UR44xX6zB3eaeyvTRzmskHADrPCmPWnr8dxsNwiDGHzrMKLN+i/HAam+97HxIKVWNDH2ba9Mf1SA"
    "8xu9dcHZAQ==\n"
    "Prime1: 4c8IvFu1AVXGWeFLLFh5vs7fbdzdC6U82fduE6KkSWk=\n"
    "Prime2: 2zZpBE8ZXVnL74QjG4zINlDfH+EOEtjJJ3RtaYDugvE=\n"
    "Exponent1: G2xAPfK0KGxGANDVNxd1K1c9wOmmJ51mGbzKFFNMFFk=\n"
    "Exponent2: GYxP1Pa7CAwtHm8SAGX594qZVofOMhgd6YFCNyeVpKE=\n"
    "Coefficient: icQdNRjlZGPmuJm2TIadubcO8X7V4y07aVhX464tx8Q=\n",
    NULL,
    "www.example.net. 3600 IN A 192.0.2.91",
    "www.example.net. 3600 IN RRSIG A 8 3 3600 20300101000000 20000101000000 9033 example.net. "
    "kRCOH6u7l0QGy9qpC9l1sLncJcOKFLJ7GhiUOibu4teYp5VE9RncriShZNz85mwlMgNEacFYK/lPtPiVYP4bwg==",
    true,
};

static const struct example ecdsa = {
    "; a comment\n\nexample.net. 3600 IN DNSKEY 257 3 13 (\n GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv"
    "7bR6edb ; and another\n krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA== )\n",
    "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n"
    "PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n",
    "55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17",
    "www.example.net. 3600 IN A 192.0.2.1",
    "www.example.net. 3600 IN RRSIG A 13 3 3600 20100909100439 20100812100439 55648 example.net. "
    "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
    false,
};

static const struct example eddsa = {
    "example.com. IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n",
    "Private-key-format: v1.2\r\nAlgorithm: 15 (ED25519)\r\n"
    "PrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\r\nCreated: 20150101000000\r\n",
    "3613 15 2 3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b",
    "example.com. 3600 IN MX 10 mail.example.com.",
    "example.com. 3600 IN RRSIG MX 15 2 3600 1440021600 1438207200 3613 example.com. "
    "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
    true,
};

static int parse(const char *key, const char *private_key, struct dnskey **ret, struct err *e)
{
    struct dnskey_text t = { "K.key",     key,         strlen(key),
                             "K.private", private_key, strlen(private_key) };
    return dnskey_parse(&t, ret, e);
}

static struct dnskey *key_of(const struct example *x)
{
    struct err e;
    struct dnskey *k = NULL;
    if (parse(x->key, x->private_key, &k, &e) < 0)
        fail_msg("%s", e.text);
    return k;
}

/* ---- examples ---- */

static void check_signature(const struct example *x)
{
    struct arena a;
    struct rrset set, sig;
    struct rrsig_image image;
    uint8_t made[RRSIG_RDATA_MAX];
    struct dnskey *k = key_of(x);
    arena_init(&a, 4096);
    assert_int_equal(rr_from_text(x->set, NULL, 0, &a, &set, NULL), 0);
    assert_int_equal(rr_from_text(x->rrsig, NULL, 0, &a, &sig, NULL), 0);
    const uint8_t *wanted = sig.rdata + 2;
    const struct rrset *sets[] = { &set };
    rrsig_image_make(&a, set.owner, sets, 1, 3600, &image);
    struct rrsig_times times = { get_u32(wanted + 12), get_u32(wanted + 8) };
    size_t len = rrsig_make(k, &image, k->owner, &times, made);
    size_t fixed = RRSIG_FIXED + name_wire_len(k->owner);
    assert_int_equal(len, get_u16(sig.rdata));
    assert_memory_equal(made, wanted, x->repeatable ? len : fixed);
    /* The signed bytes are still in front of the image. */
    assert_true(
        dnskey_verify(k, image.records - fixed, fixed + image.len, wanted + fixed, len - fixed));
    assert_true(
        dnskey_verify(k, image.records - fixed, fixed + image.len, made + fixed, len - fixed));
    image.records[image.len - 1] ^= 1;
    assert_false(
        dnskey_verify(k, image.records - fixed, fixed + image.len, made + fixed, len - fixed));
    arena_done(&a);
    dnskey_free(k);
}

static void test_signatures(void **state)
{
    (void)state;
    check_signature(&rsa);
    check_signature(&ecdsa);
    check_signature(&eddsa);
}

static void check_ds(const struct example *x)
{
    uint8_t ds[DNSKEY_DS_MAX], wanted[64];
    struct wbuf w = wbuf_of(wanted, sizeof wanted);
    struct dnskey *k = key_of(x);
    dnskey_ds(k, k->owner, ds);
    assert_int_equal(rdata_from_text(RR_DS, x->ds, NULL, &w, NULL), 0);
    assert_int_equal(w.pos, sizeof ds);
    assert_memory_equal(ds, wanted, sizeof ds);
    dnskey_free(k);
}

static void test_ds(void **state)
{
    (void)state;
    check_ds(&ecdsa);
    check_ds(&eddsa);
}

/* RFC 4034 section 5.4. */
static void test_tag(void **state)
{
    uint8_t rdata[512];
    struct wbuf w = wbuf_of(rdata, sizeof rdata);
    (void)state;
    assert_int_equal(
        rdata_from_text(RR_DNSKEY,
                        "256 3 5 AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzN"
                        "XxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2ww"
                        "jM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==",
                        NULL, &w, NULL),
        0);
    assert_int_equal(dnskey_tag(rdata, w.pos), 60485);
}

/* ---- key files ---- */

static void test_what_a_key_says(void **state)
{
    struct dnskey *zsk = key_of(&rsa), *ksk = key_of(&eddsa);
    (void)state;
    assert_true(dnskey_is_zsk(zsk) && !dnskey_is_ksk(zsk));
    assert_true(dnskey_is_ksk(ksk) && !dnskey_is_zsk(ksk));
    assert_int_equal(zsk->tag, 9033);
    assert_int_equal(ksk->tag, 3613);
    assert_int_equal(ksk->ttl, DNSKEY_TTL);
    assert_int_equal(ksk->algorithm, 15);
    dnskey_free(zsk);
    dnskey_free(ksk);
}

static void check_refused(const char *key, const char *private_key, const char *words)
{
    struct err e = { 0 };
    struct dnskey *k = NULL;
    assert_true(parse(key, private_key, &k, &e) < 0);
    assert_null(k);
    if (!strstr(e.text, words))
        fail_msg("\"%s\" is not in \"%s\"", words, e.text);
}

static void test_refused_public_parts(void **state)
{
    (void)state;
    check_refused("", eddsa.private_key, "K.key: no public key found");
    check_refused("x. A 1.2.3.4\n", eddsa.private_key, "K.key: no public key found");
    check_refused("\nx. IN DNSKEY 257 3 15 !\n", eddsa.private_key, "K.key:2");
    check_refused("$INCLUDE /etc/passwd\n", eddsa.private_key, "$INCLUDE");
    check_refused("x. IN DNSKEY 257 3 16 AAAA\n", eddsa.private_key, "algorithm 16");
    check_refused("x. IN DNSKEY 257 3 1 AAAA\n", eddsa.private_key, "algorithm 1 ");
    check_refused("x. IN DNSKEY 257 3 15 AAAA\n", eddsa.private_key, "not the private key");
    check_refused("x. IN DNSKEY 257 3 13 AAAA\n", ecdsa.private_key, "not the private key");
    check_refused("x. IN DNSKEY 257 3 8 AAAA\n", rsa.private_key, "not the private key");
    check_refused("x. IN DNSKEY 257 3 8 AwEAAQ==\n", rsa.private_key, "not the private key");
}

static void test_refused_private_parts(void **state)
{
    static const char head[] = "Private-key-format: v1.3\nAlgorithm: 15\n";
    char text[2000];
    (void)state;
    check_refused(eddsa.key, ecdsa.private_key, "not the private key");
    check_refused(eddsa.key, head, "not the private key");
    check_refused(eddsa.key, "", "K.private: no private key");
    check_refused(eddsa.key, "Algorithm: 15\n", "no private key");
    check_refused(eddsa.key, "garbage\n", "K.private:1: a line");
    check_refused(eddsa.key, "\nPrivate-key-format: v1.9\n", "K.private:2: private key format");
    check_refused(eddsa.key, "Algorithm: x\n", "'x' is not an algorithm");
    check_refused(eddsa.key, "PrivateKey: ODIy!\n", "PrivateKey is not base64");
    (void)snprintf(text, sizeof text, "%sPrivateKey: %01200d\n", head, 0);
    check_refused(eddsa.key, text, "K.private:3: a line of more");
    (void)snprintf(text, sizeof text, "%sPrivateKey: %s\n", head,
                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="); /* of another key */
    check_refused(eddsa.key, text, "K.private is not the private key to K.key");
}

/* ---- images ---- */

static void check_image(const struct rrset *const *sets, size_t n, const char *owner,
                        const uint8_t *expect, size_t len, uint8_t labels)
{
    struct arena a;
    struct name name;
    struct rrsig_image image;
    arena_init(&a, 256);
    assert_int_equal(name_from_text(owner, &name), 0);
    rrsig_image_make(&a, name.wire, sets, n, 60, &image);
    assert_int_equal(image.len, len);
    assert_memory_equal(image.records, expect, len);
    assert_int_equal(image.labels, labels);
    arena_done(&a);
}

#define HEAD "\001x\001y\0\0\001\0\001\0\0\0\074\0\004"

/* Sorted, each once, owners lowered, whatever pieces the set came in. */
static void test_image_of_a_set(void **state)
{
    static const uint8_t first[] = "\012\0\0\002\011\0\0\001\012\0\0\002";
    static const uint8_t second[] = "\0\004\012\0\0\001";
    static const uint8_t expect[] = HEAD "\011\0\0\001" HEAD "\012\0\0\001" HEAD "\012\0\0\002";
    struct rrset a = { .type = RR_A, .class = CLASS_IN, .rdlen = 4, .count = 3, .rdata = first };
    struct rrset b = { .type = RR_A, .class = CLASS_IN, .count = 1, .rdata = second, .ttl = 5 };
    const struct rrset *sets[] = { &a, &b };
    (void)state;
    check_image(sets, 2, "X.y.", expect, sizeof expect - 1, 2);
}

static void test_image_of_a_wildcard(void **state)
{
    static const uint8_t rdata[] = "\012\0\0\002";
    static const uint8_t expect[] = "\001*\001y\0\0\001\0\001\0\0\0\074\0\004\012\0\0\002";
    struct rrset a = { .type = RR_A, .class = CLASS_IN, .rdlen = 4, .count = 1, .rdata = rdata };
    const struct rrset *sets[] = { &a };
    (void)state;
    check_image(sets, 1, "*.y.", expect, sizeof expect - 1, 1);
}

/* More records than fit a fixed space, in the worst order. */
static void test_order_of_many(void **state)
{
    enum { N = 1000 };
    static uint8_t rdata[N * 4];
    struct rrset set = { .type = RR_A, .class = CLASS_IN, .rdlen = 4, .count = N, .rdata = rdata };
    const struct rrset *sets[] = { &set };
    struct rrsig_image image;
    struct arena a;
    (void)state;
    for (uint32_t i = 0; i < N; i++)
        put_u32(rdata + (size_t)i * 4, (N - i) * 2654435761u);
    arena_init(&a, 4096);
    rrsig_image_make(&a, (const uint8_t *)"", sets, 1, 0, &image);
    size_t step = image.len / N;
    assert_int_equal(step, 1 + 8 + 2 + 4);
    for (size_t i = 1; i < N; i++)
        assert_true(memcmp(image.records + (i - 1) * step, image.records + i * step, step) < 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_ds),
        cmocka_unit_test(test_tag),
        cmocka_unit_test(test_what_a_key_says),
        cmocka_unit_test(test_refused_public_parts),
        cmocka_unit_test(test_refused_private_parts),
        cmocka_unit_test(test_image_of_a_set),
        cmocka_unit_test(test_image_of_a_wildcard),
        cmocka_unit_test(test_order_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
