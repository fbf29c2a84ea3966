#include "base/cleanup.h"
#include "base/err.h"
#include "base/rand.h"
#include "wire/rdata_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t bytes[65536];

static const uint8_t *const origin = (const uint8_t *)"\7example\3org";

static int from_text(uint16_t type, const char *text, size_t *ret_len)
{
    struct wbuf out = wbuf_of(bytes, sizeof bytes);
    struct err e = { 0 };
    int rc = rdata_from_text(type, text, origin, &out, &e);
    assert_true(rc == 0 || e.text[0]); /* a failure says why */
    *ret_len = out.pos;
    return rc;
}

static char *to_text(uint16_t type, const uint8_t *p, size_t len)
{
    static struct strbuf out;
    strbuf_reset(&out);
    rdata_to_text(type, p, len, &out);
    return out.p;
}

struct text_case {
    uint16_t type;
    const char *text, *again; /* again: NULL when it is the same */
    const char *wire;         /* hexadecimal; NULL: only the round trip counts */
};

static const struct text_case text_cases[] = {
    { RR_A, "10.0.0.1", NULL, "0a000001" },
    { RR_AAAA, "fd00:0::10", "fd00::10", "fd000000000000000000000000000010" },
    { RR_NS, "ns1", "ns1.example.org.", "036e7331076578616d706c65036f726700" },
    { RR_CNAME, "@", "example.org.", "076578616d706c65036f726700" },
    { RR_SOA, "ns. h. 12345 7200 1800 86400 5", NULL,
      "026e73000168000000303900001c20000007080001518000000005" },
    { RR_SOA, "ns. h. 1 2h 30m 1d1s 5", "ns. h. 1 7200 1800 86401 5", NULL },
    { RR_PTR, "a\\.b.c\\032d.\\001\\255.example.", NULL,
      "03612e6203632064"
      "0201ff"
      "076578616d706c6500" },
    { RR_HINFO, "\"PC 12\" Linux", "\"PC 12\" \"Linux\"", "055043203132054c696e7578" },
    { RR_MX, "10 mail", "10 mail.example.org.", NULL },
    { RR_MINFO, "a. b.", NULL, "016100016200" },
    { RR_TXT, "\"hello world\" x \"a\\\"b\\\\c\\255\\001;\"",
      "\"hello world\" \"x\" \"a\\\"b\\\\c\\255\\001;\"",
      "0b68656c6c6f20776f726c640178086122625c63ff013b" },
    { RR_TXT, "\"\"", NULL, "00" },
    { RR_TXT, "a (b c) d ; a comment", "\"a\" \"b\" \"c\" \"d\"", "0161016201630164" },
    { RR_SPF, "\"v=spf1 -all\"", NULL, "0b763d73706631202d616c6c" },
    { RR_RP, "m.example. t.example.", NULL, NULL },
    { RR_AFSDB, "1 afs.example.", NULL, NULL },
    { RR_SRV, "0 50 80 web.default.svc.cluster.local.", NULL, NULL },
    { RR_NAPTR, "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:i@example.com!\" .", NULL,
      "0064000a0155074532552b73697018215e2e2a24217369703a69406578616d706c652e636f6d2100" },
    { RR_CERT,
      "PKIX 1 RSASHA256 AQIDBAUGBwg=", "PKIX 1 8 AQIDBAUGBwg=", "00010001080102030405060708" },
    { RR_CERT, "65280 1 8 AQI=", NULL, "ff000001080102" },
    { RR_DNAME, "d.example.", NULL, NULL },
    { RR_DS, "60485 RSASHA1 1 2BB183AF 5f22588179a5", "60485 5 1 2BB183AF5F22588179A5",
      "ec4505012bb183af5f22588179a5" },
    { RR_CDS, "0 0 0 00", NULL, "0000000000" },
    { RR_SSHFP, "2 1 123456789ABCDEF6", NULL, "0201123456789abcdef6" },
    { RR_RRSIG, "A 5 3 86400 20030322173103 20030220173103 2642 example.com. oJB1W6WNGv8=", NULL,
      "00010503000151803e7c9dd73e5510d70a52076578616d706c6503636f6d00a090755ba58d1aff" },
    { RR_RRSIG, "A 5 3 86400 1048354263 1045762263 2642 . oA==",
      "A 5 3 86400 20030322173103 20030220173103 2642 . oA==", NULL },
    { RR_NSEC, "host.example.com. NSEC TYPE1234 MX A RRSIG",
      "host.example.com. A MX RRSIG NSEC TYPE1234",
      "04686f7374076578616d706c6503636f6d00"
      "0006400100000003"
      "041b000000000000000000000000000000000000000000000000000020" },
    { RR_NSEC, "host.", NULL, "04686f737400" },
    { RR_DNSKEY, "256 3 5 AQPSKmynfzW4", NULL, "010003050103d22a6ca77f35b8" },
    { RR_CDNSKEY, "0 3 0 AA==", NULL, "0000030000" },
    { RR_DHCID, "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=", NULL, NULL },
    { RR_NSEC3, "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX NS SOA",
      "1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR NS SOA MX",
      "0101000c04aabbccdd14174eb2409fe28bcb4887a1836f957f0a8425e27b00022201" },
    { RR_NSEC3, "1 1 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR", NULL, NULL },
    { RR_NSEC3PARAM, "1 0 12 AABBCCDD", NULL, "0100000c04aabbccdd" },
    { RR_NSEC3PARAM, "1 0 0 -", NULL, "0100000000" },
    { RR_TLSA, "3 1 1 D2ABDE24", NULL, "030101d2abde24" },
    { RR_SMIMEA, "3 1 1 D2ABDE24", NULL, "030101d2abde24" },
    { RR_OPENPGPKEY, "AQIDBAUGBwg=", NULL, "0102030405060708" },
    { RR_CSYNC, "66 3 A NS AAAA", NULL,
      "0000004200030004"
      "60000008" },
    { RR_ZONEMD, "2018031500 1 1 FEBE3D4C", NULL, "7848b78c0101febe3d4c" },
    { RR_SVCB, "0 foo.example.com.", NULL, "000003666f6f076578616d706c6503636f6d00" },
    { RR_SVCB, "16 foo. port=53", NULL, "001003666f6f00000300020035" },
    { RR_SVCB, "1 foo. key667=\"hello\\210qoo\"", NULL,
      "000103666f6f00029b000968656c6c6fd2716f6f" },
    { RR_SVCB, "1 foo. ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
      "1 foo. ipv6hint=2001:db8::1,2001:db8::53:1", NULL },
    { RR_SVCB, "16 foo. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
      "16 foo. mandatory=alpn,ipv4hint alpn=\"h2,h3-19\" ipv4hint=192.0.2.1",
      "001003666f6f000000000400010004000100090268320568332d313900040004c0000201" },
    { RR_SVCB, "16 foo. alpn=f\\\\\\092oo\\092,bar,h2", "16 foo. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
      "001003666f6f000001000c08665c6f6f2c626172026832" },
    { RR_HTTPS, "1 . alpn=\"h2,h3\" no-default-alpn ipv4hint=1.2.3.4,5.6.7.8 ech=AEn+DQBF", NULL,
      NULL },
    { RR_HTTPS, "1 . key7=\"/dns-query{?dns}\" key65000=\"a b,c\"",
      "1 . dohpath=\"/dns-query{?dns}\" key65000=\"a b,c\"", NULL },
    { RR_EUI48, "00-00-5e-00-53-2a", NULL, "00005e00532a" },
    { RR_EUI64, "00-00-5E-ef-10-00-00-2a", "00-00-5e-ef-10-00-00-2a", "00005eef1000002a" },
    { RR_URI, "10 1 \"ftp://ftp1.example.com/public\"", NULL, NULL },
    { RR_CAA, "0 issue \"ca.example.net; account=230123\"", NULL, NULL },
    { RR_CAA, "128 tbs \"\"", NULL, "8003746273" },
    { RR_TSIG, "hmac-sha256. 1700000000 300 4 AAECAw== 1234 BADTIME 6 AABlU/EA", NULL,
      "0b686d61632d736861323536"
      "00"
      "00006553f100"
      "012c"
      "0004"
      "00010203"
      "04d2"
      "0012"
      "0006"
      "00006553f100" },
    { RR_TSIG, "hmac-sha256. 1700000000 300 4 AAECAw== 1234 BADSIG 0", NULL, NULL },
    { RR_TKEY, "gss-tsig. 20260101000000 20260102000000 3 NOERROR 4 AAECAw== 0", NULL, NULL },
    { RR_LOC, "42 21 54 N 71 06 18 W -24m 30m",
      "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
      "0033161389172dd070be15f000988d20" },
    { RR_LOC, "0 0 0.001 S 179 59 59.999 W 42849672.95m 90000000.00m 0.00m 0.09m", NULL, NULL },
    { RR_LOC, "60 N 10 30 E 0", "60 0 0.000 N 10 30 0.000 E 0.00m 1.00m 10000.00m 10.00m", NULL },
    { RR_APL, "1:192.168.32.0/21 !1:192.168.38.0/28", NULL,
      "0001150"
      "3c0a820"
      "00011c83c0a826" },
    { RR_APL, "1:224.0.0.0/4 2:ff00::/8", NULL, NULL },
    { RR_IPSECKEY, "10 1 2 192.0.2.38 AQNRU3mG", NULL,
      "0a0102c00002260103515379"
      "86" },
    { RR_IPSECKEY, "10 2 2 2001:db8::1 AQNRU3mG", NULL, NULL },
    { RR_IPSECKEY, "10 3 2 gw.example.com. AQNRU3mG", NULL, NULL },
    { RR_IPSECKEY, "10 0 0 .", NULL, "0a0000" },
    { RR_HIP, "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx rvs1.example.com. r2.", NULL, NULL },
    { RR_KX, "10 kx.example.", NULL, NULL },
    { RR_KEY, "256 3 5 AQPS", NULL, "010003050103d2" },
    { RR_SIG, "A 5 3 86400 20030322173103 20030220173103 2642 . oA==", NULL, NULL },
    { 65280, "\\# 4 0A00 0001", "\\# 4 0a000001", "0a000001" },
    { 65280, "\\# 0", NULL, "" },
    { RR_A, "\\# 4 0a000001", "10.0.0.1", "0a000001" },
};

static void hex_of(const uint8_t *p, size_t n, char *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", p[i]);
}

static void reads_and_prints_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(text_cases); i++) {
        const struct text_case *t = &text_cases[i];
        char hex[1024];
        size_t len;
        assert_int_equal(from_text(t->type, t->text, &len), 0);
        hex_of(bytes, len, hex);
        if (t->wire)
            assert_string_equal(hex, t->wire);
        uint8_t first[512];
        memcpy(first, bytes, len);
        char *text = to_text(t->type, first, len);
        assert_string_equal(text, t->again ? t->again : t->text);
        size_t again;
        assert_int_equal(from_text(t->type, text, &again), 0);
        assert_int_equal(again, len);
        assert_memory_equal(bytes, first, len);
    }
}

static const struct {
    uint16_t type;
    const char *text;
} bad_texts[] = {
    { RR_A, "" },
    { RR_A, "10.0.0.256" },
    { RR_A, "10.0.0.1 x" },
    { RR_A, "fd00::1" },
    { RR_AAAA, "10.0.0.1" },
    { RR_MX, "10" },
    { RR_MX, "65536 a." },
    { RR_MX, "-1 a." },
    { RR_SRV, "0 50 80 \"web\"" },
    { RR_NS, "a..b." },
    { RR_TXT, "" },
    { RR_TXT, "\"abc" },
    { RR_TXT, "a\\256" },
    { RR_TXT, "a\\" },
    { RR_TXT, "a\"b\"" },
    { RR_DS, "1 8 2" },
    { RR_DS, "1 8 2 0" },
    { RR_DS, "1 NOSUCH 2 00" },
    { RR_DNSKEY, "256 3 5 AQP" },
    { RR_DNSKEY, "256 3 5 AQ=P" },
    { RR_DNSKEY, "256 3 5 AQ!=" },
    { RR_RRSIG, "A 5 3 86400 20031322173103 20030220173103 2642 . oA==" },
    { RR_RRSIG, "FOO 5 3 86400 20031222173103 20030220173103 2642 . oA==" },
    { RR_NSEC, "a. FOO" },
    { RR_NSEC3, "1 1 0 - ZZ" },
    { RR_NSEC3PARAM, "1 0 0 abc" },
    { RR_SVCB, "1 foo. mandatory=alpn" },
    { RR_SVCB, "1 foo. mandatory=mandatory" },
    { RR_SVCB, "1 foo. mandatory=port,port port=1" },
    { RR_SVCB, "1 foo. port=1 port=2" },
    { RR_SVCB, "1 foo. port=65536" },
    { RR_SVCB, "1 foo. port" },
    { RR_SVCB, "1 foo. no-default-alpn" },
    { RR_SVCB, "1 foo. alpn=h2 no-default-alpn=x" },
    { RR_SVCB, "1 foo. alpn=h2,,h3" },
    { RR_SVCB, "1 foo. alpn=\"h2" },
    { RR_SVCB, "1 foo. ipv4hint=1.2.3.4,fd00::1" },
    { RR_SVCB, "1 foo. ipv4hint=" },
    { RR_SVCB, "1 foo. key65535=a" },
    { RR_SVCB, "1 foo. nosuch=a" },
    { RR_SVCB, "1 foo. ech=A" },
    { RR_EUI48, "00-00-5e-00-53" },
    { RR_EUI48, "00:00:5e:00:53:2a" },
    { RR_CAA, "0 is-sue \"x\"" },
    { RR_CAA, "256 issue \"x\"" },
    { RR_TSIG, "a. 1 300 5 AAECAw== 1234 NOERROR 0" },
    { RR_TSIG, "a. 281474976710656 300 0 1234 NOERROR 0" },
    { RR_LOC, "91 N 10 E 0m" },
    { RR_LOC, "60 N 181 E 0m" },
    { RR_LOC, "60 60 N 10 E 0m" },
    { RR_LOC, "60 X 10 E 0m" },
    { RR_LOC, "60 N 10 E" },
    { RR_LOC, "60 N 10 E 0m 1m 1m 1m 1m" },
    { RR_LOC, "60 N 10 E 0m 90000001m" },
    { RR_APL, "1:10.0.0.0/33" },
    { RR_APL, "2:10.0.0.0/8" },
    { RR_APL, "3:10.0.0.0/8" },
    { RR_APL, "10.0.0.0/8" },
    { RR_IPSECKEY, "10 1 2 fd00::1 AQNR" },
    { RR_IPSECKEY, "10 4 2 . AQNR" },
    { RR_OPT, "foo" },
    { 65280, "foo" },
    { 65280, "\\# 2 00" },
    { 65280, "\\# 2 0000 0" },
    { 65280, "\\# x" },
    { 65280, "\\# 65536 00" },
    { RR_A, "\\# 3 0a0000" },
    { RR_MX, "\\# 4 000ac000" },
};

static void refuses_bad_rdata_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_texts); i++) {
        size_t len;
        int rc = from_text(bad_texts[i].type, bad_texts[i].text, &len);
        if (rc == 0)
            fail_msg("\"%s\" was taken", bad_texts[i].text);
        assert_int_equal(len, 0);
    }
}

static void error_says_what_and_where(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct wbuf out = wbuf_of(bytes, sizeof bytes);
    assert_int_equal(rdata_from_text(RR_MX, "ten a.", NULL, &out, &e), ERR_PARSE);
    assert_non_null(strstr(e.text, "MX"));
    assert_non_null(strstr(e.text, "\"ten\""));
    assert_non_null(strstr(e.text, "a number up to 65535"));
    out = wbuf_of(bytes, 3);
    assert_int_equal(rdata_from_text(RR_A, "10.0.0.1", NULL, &out, &e), ERR_LIMIT);
    assert_int_equal(out.pos, 0);
    assert_false(out.bad);
}

static void string_limits(void **state)
{
    (void)state;
    char text[300];
    size_t len;
    memset(text, 'a', sizeof text);
    text[255] = 0;
    assert_int_equal(from_text(RR_TXT, text, &len), 0);
    assert_int_equal(len, 256);
    text[255] = 'a';
    text[256] = 0;
    assert_int_equal(from_text(RR_TXT, text, &len), ERR_PARSE);
    assert_int_equal(from_text(RR_URI, "1 2 x", &len), 0);
}

/* What a type's form cannot express prints as bytes, and comes back as the same bytes. */
static void prints_malformed_rdata_as_bytes(void **state)
{
    (void)state;
    static const struct {
        uint16_t type;
        const char *bytes;
        size_t len;
        const char *text;
    } cases[] = {
        { RR_A, "\1\2\3", 3, "\\# 3 010203" },
        { RR_MX, "\0\1\300\0", 4, "\\# 4 0001c000" },
        { RR_TXT, "", 0, "\\# 0" },
        { RR_TXT, "\5ab", 3, "\\# 3 056162" },
        { RR_SVCB, "\0\1\0\0\3\0\1\5", 8, "\\# 8 0001000003000105" },
        { RR_LOC, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20", 16,
          "\\# 16 0102030405060708090a0b0c0d0e0f10" },
        { RR_APL, "\0\3\10\1\12", 5, "\\# 5 000308010a" },
        { RR_LOC, "\0\1\26\23\200\0\0\0\200\0\0\0\0\0\0\0", 16, /* zero in an odd form */
          "\\# 16 00011613800000008000000000000000" },
        { RR_SVCB, "\0\1\0\0\0\0\2\0\3", 9, "\\# 9 000100000000020003" }, /* no port */
        { RR_SVCB, "\0\1\0\0\2\0\0", 7, "\\# 7 00010000020000" },         /* no alpn */
        { RR_SVCB, "\0\1\0\377\377\0\0", 7, "\\# 7 000100ffff0000" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(to_text(cases[i].type, (const uint8_t *)cases[i].bytes, cases[i].len),
                            cases[i].text);
}

static bool expands(uint16_t type, const char *p, size_t len)
{
    struct cursor c = cursor_of(p, len);
    struct wbuf out = wbuf_of(bytes, sizeof bytes);
    return rdata_expand(&c, type, (uint16_t)len, &out) == 0;
}

static void expands_names(void **state)
{
    (void)state;
    static const char msg[] = "\3com\0"
                              "\0\12\4mail\300\0"
                              "tail";
    struct cursor c = cursor_of(msg, sizeof msg - 1);
    struct wbuf out = wbuf_of(bytes, sizeof bytes);
    c.pos = 5;
    assert_int_equal(rdata_expand(&c, RR_MX, 9, &out), 0);
    assert_int_equal(c.pos, 14);
    assert_int_equal(out.pos, 12);
    assert_memory_equal(bytes, "\0\12\4mail\3com", 12);
}

static void refuses_bad_rdata(void **state)
{
    (void)state;
    assert_true(expands(RR_A, "\1\2\3\4", 4));
    assert_false(expands(RR_A, "\1\2\3", 3));
    assert_false(expands(RR_A, "\1\2\3\4\5", 5));
    assert_false(expands(RR_A, "", 0));
    assert_false(expands(RR_MX, "\0\1", 2));
    assert_false(expands(RR_MX, "\0\1\0x", 4));
    assert_false(expands(RR_SOA, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 21));
    assert_true(expands(RR_SOA, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22));
    assert_false(expands(RR_TXT, "\3ab", 3));
    assert_false(expands(RR_NSEC, "\0\0\0", 3));                  /* empty window */
    assert_false(expands(RR_NSEC, "\0\0\1\0", 4));                /* zero byte at its end */
    assert_false(expands(RR_NSEC, "\0\0\1\1\0\1\1", 7));          /* the same window again */
    assert_false(expands(RR_NSEC, "\0\0\41\1", 4));               /* too long a window */
    assert_false(expands(RR_SVCB, "\0\1\0\0\3\0\0\0\3\0\0", 11)); /* a key twice */
    assert_false(expands(RR_SVCB, "\0\1\0\0\3\0\1", 7));          /* cut value */
    assert_false(expands(RR_CAA, "\0\1-x", 4));
    assert_false(expands(RR_CAA, "\0\0", 2));
    assert_false(expands(RR_IPSECKEY, "\1\4\1\1", 4));
    assert_false(expands(RR_HIP, "\1\1\0\1xx\300\0", 8)); /* pointers are not for HIP */
    assert_true(expands(RR_HIP, "\1\1\0\1xx\1a\0\0", 10));
    assert_false(expands(RR_OPT, "\0\1\0\2x", 5));
    assert_true(expands(65280, "anything", 8));
}

static void length_beyond_message(void **state)
{
    (void)state;
    struct cursor c = cursor_of("\1\2\3\4", 4);
    struct wbuf out = wbuf_of(bytes, sizeof bytes);
    assert_int_equal(rdata_expand(&c, 65280, 5, &out), ERR_PARSE);
    c = cursor_of("\1\2\3\4", 4);
    out = wbuf_of(bytes, 2);
    assert_int_equal(rdata_expand(&c, RR_A, 4, &out), ERR_PARSE);
}

struct seen {
    unsigned n;
    size_t off[8];
    bool compressible[8];
};

static void see(void *ctx, size_t off, bool compressible)
{
    struct seen *s = ctx;
    s->off[s->n] = off;
    s->compressible[s->n++] = compressible;
}

static struct seen names_in(uint16_t type, const char *text)
{
    struct seen s = { 0 };
    size_t len;
    assert_int_equal(from_text(type, text, &len), 0);
    rdata_each_name(type, bytes, len, see, &s);
    return s;
}

static void finds_names_in_rdata(void **state)
{
    (void)state;
    struct seen s = names_in(RR_SOA, "ns. h.x. 1 2 3 4 5");
    assert_int_equal(s.n, 2);
    assert_int_equal(s.off[0], 0);
    assert_int_equal(s.off[1], 4);
    assert_true(s.compressible[0] && s.compressible[1]);
    s = names_in(RR_SRV, "1 2 3 a.");
    assert_int_equal(s.n, 1);
    assert_int_equal(s.off[0], 6);
    assert_false(s.compressible[0]);
    s = names_in(RR_NAPTR, "1 2 a bc d x.");
    assert_int_equal(s.n, 1);
    assert_int_equal(s.off[0], 11);
    assert_int_equal(names_in(RR_IPSECKEY, "10 3 2 gw. AQNR").n, 1);
    assert_int_equal(names_in(RR_IPSECKEY, "10 1 2 10.0.0.1 AQNR").n, 0);
    assert_int_equal(names_in(RR_HIP, "2 00 AQNR a. b. c.").n, 3);
    assert_int_equal(names_in(RR_TXT, "a.").n, 0);
    assert_int_equal(names_in(65280, "\\# 2 0100").n, 0);
}

/* The flag that spares encoders a look at the fields must agree with them. */
static void table_is_consistent(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RR_ROWS; i++) {
        const char *f = rr_rows[i].fields;
        bool compressed = f && strchr(f, 'n');
        bool plain = f && strpbrk(f, "NRg");
        assert_int_equal(rr_rows[i].names, compressed ? NAMES_COMPRESSED
                                           : plain    ? NAMES_PLAIN
                                                      : NAMES_NONE);
        assert_true(!f || rr_rows[i].name);
        /* msg_parse() reserves room for two names. */
        unsigned names = 0, expanding = 0;
        for (; f && *f; f++) {
            names += strchr("nNRg", *f) != NULL;
            expanding += *f == 'n' || *f == 'N';
        }
        assert_int_equal(rr_rows[i].n_names, names);
        assert_true(expanding <= 2);
    }
}

static void names_of_numbers(void **state)
{
    (void)state;
    char buf[16];
    uint16_t v;
    assert_string_equal(rr_type_text(RR_AAAA, buf), "AAAA");
    assert_string_equal(rr_type_text(0, buf), "TYPE0");
    assert_string_equal(rr_type_text(65280, buf), "TYPE65280");
    assert_string_equal(rr_class_text(1, buf), "IN");
    assert_string_equal(rr_class_text(5, buf), "CLASS5");
    assert_string_equal(rcode_text(3, buf), "NXDOMAIN");
    assert_string_equal(rcode_text(4095, buf), "RCODE4095");
    for (unsigned i = 0; i < 65536; i++) {
        assert_int_equal(rr_type_from_text(rr_type_text((uint16_t)i, buf), &v), 0);
        assert_int_equal(v, i);
    }
    assert_int_equal(rr_type_from_text("https", &v), 0);
    assert_int_equal(v, RR_HTTPS);
    assert_int_equal(rr_type_from_text("TYPE1", &v), 0);
    assert_int_equal(v, RR_A);
    assert_int_equal(rr_type_from_text("TYPE65536", &v), ERR_PARSE);
    assert_int_equal(rr_type_from_text("TYPE", &v), ERR_PARSE);
    assert_int_equal(rr_type_from_text("nope", &v), ERR_PARSE);
    assert_int_equal(rr_class_from_text("ch", &v), 0);
    assert_int_equal(v, CLASS_CH);
    assert_int_equal(rr_class_from_text("CLASS77", &v), 0);
    assert_int_equal(rcode_from_text("servfail", &v), 0);
    assert_int_equal(v, RCODE_SERVFAIL);
    assert_int_equal(rcode_from_text("", &v), ERR_PARSE);
}

/* Random bytes of every type: what is well-formed prints, and reads back as the same bytes. */
static void any_rdata_survives_text(void **state)
{
    (void)state;
    struct rand r = { { 5, 6, 7, 8 } };
    unsigned sound = 0;
    for (unsigned i = 0; i < 60000; i++) {
        uint8_t in[48];
        uint16_t type = (uint16_t)rand_below(&r, RR_ROWS + 2);
        size_t len = rand_below(&r, sizeof in), again;
        for (size_t k = 0; k < len; k++)
            in[k] = (uint8_t)rand_below(&r, rand_below(&r, 2) ? 6 : 256);
        if (!rdata_check_plain(type, in, len))
            continue;
        sound++;
        char *text = to_text(type, in, len);
        if (from_text(type, text, &again) != 0)
            fail_msg("type %u \"%s\" does not read back", type, text);
        assert_int_equal(again, len);
        assert_memory_equal(bytes, in, len);
    }
    assert_true(sound > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_prints_every_type),
        cmocka_unit_test(refuses_bad_rdata_text),
        cmocka_unit_test(error_says_what_and_where),
        cmocka_unit_test(string_limits),
        cmocka_unit_test(prints_malformed_rdata_as_bytes),
        cmocka_unit_test(expands_names),
        cmocka_unit_test(refuses_bad_rdata),
        cmocka_unit_test(length_beyond_message),
        cmocka_unit_test(finds_names_in_rdata),
        cmocka_unit_test(table_is_consistent),
        cmocka_unit_test(names_of_numbers),
        cmocka_unit_test(any_rdata_survives_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
