/* Any bytes as a message to a server with nearly all plugins in its chains: it never fails, and
 * what it answers is a message. The first byte chooses the transport. */
#include "world.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* clang-format off */
static const char zone_text[] =
    "$ORIGIN file.test.\n@ 60 IN SOA ns root 7 60 60 60 60\n@ NS ns\nns A 192.0.2.1\n"
    "* TXT \"wild\"\nwww 60 A 192.0.2.2\nwww AAAA 2001:db8::2\nalias CNAME www\nout CNAME a.b.\n"
    "loop1 CNAME loop2\nloop2 CNAME loop1\nbelow DNAME www.file.test.\ncut NS ns.cut\n"
    "ns.cut A 192.0.2.3\nmail MX 10 www\n_a._tcp SRV 1 2 3 www\n"
    "big TXT \"0123456789012345678901234567890123456789\" \"1\" \"2\" \"3\" \"4\" \"5\"\n"
    "signed A 192.0.2.4\nsigned RRSIG A 8 3 60 20300101000000 20200101000000 1 file.test. AAAA\n";
static const char weights_text[] = "www.file.test.\n192.0.2.2 3\n";
static const char resolv_text[] = "search one.test two.test file.test\nnameserver 127.0.0.1\n";

/* Three files, the upstream. */
static const char corefile[] =
    ".:1053 {\n bind 127.0.0.1\n metadata\n cancel 5s\n nsid here\n bufsize 1400\n errors\n log\n"
    " prometheus 127.0.0.1:0\n"
    " local\n any\n chaos demo 1.0\n loadbalance round_robin\n cache 30 {\n  serve_stale\n }\n"
    " rewrite continue {\n  type HINFO A\n }\n rewrite edns0 local set 0xffee {qname}\n"
    " rewrite name regex (.*)\\.rw\\.test {1}.file.test answer auto\n"
    " rewrite ttl suffix test. 5-50\n rewrite cname exact a.b. c.d.\n"
    " acl {\n  block type AXFR\n  filter type LOC net 127.0.0.0/8\n  allow\n }\n"
    " header {\n  response set ra aa\n }\n minimal\n"
    " template IN ANY tpl.test {\n  match ^(?P<a>[a-z]+)-(?P<b>[0-9]+)\\.tpl\\.test\\.$\n"
    "  answer \"{{ .Name }} 60 IN CNAME {{ .Group.a }}.file.test.\"\n"
    "  additional \"{{ .Group.a }}. 60 IN A 10.0.0.{{ .Group.b }}\"\n  ederror 22 \"x\"\n"
    "  fallthrough\n }\n"
    " hosts {\n  192.0.2.9 h.test h2.test\n  2001:db8::9 h.test\n  fallthrough\n }\n"
    " forward . %2$s {\n  max_fails 0\n  read_timeout 50ms\n }\n}\n"
    "file.test:1053 {\n bind 127.0.0.1\n metadata\n dns64 {\n  translate_all\n }\n"
    " loadbalance weighted /proc/self/fd/%3$d\n autopath /proc/self/fd/%4$d\n cache\n"
    " transfer {\n  to *\n }\n file /proc/self/fd/%1$d\n}\n"
    "cluster.local:1053 in-addr.arpa:1053 {\n bind 127.0.0.1\n metadata\n log . \"{/kubernetes/endpoint}\"\n"
    " autopath @kubernetes\n cache\n transfer {\n  to *\n }\n k8s_external ext.test {\n  headless\n }\n"
    " kubernetes cluster.local in-addr.arpa {\n  manifests x\n  pods insecure\n  fallthrough in-addr.arpa\n }\n"
    " forward . %2$s {\n  max_fails 0\n  read_timeout 50ms\n }\n}\n"
    "signed.test:1053 {\n bind 127.0.0.1\n"
    " tsig {\n  secret key.test. MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n  require TXT\n }\n"
    " template IN ANY {\n  answer \"{{ .Name }} 60 IN TXT x\"\n }\n}\n"
    "view.test:1053 {\n bind 127.0.0.1\n metadata\n view v {\n  expr bufsize() > 600 || do()\n"
    "  expr name() matches '^[a-m]' || type() in ['TXT', 'MX'] || incidr(client_ip(), '10.0.0.0/8')\n }\n"
    " erratic {\n  drop 0\n  truncate 3\n  delay 0\n }\n}\n"
    "view.test:1053 {\n bind 127.0.0.1\n whoami\n}\n";
/* clang-format on */

static int file_of(const char *text)
{
    int fd = memfd_create("text", 0);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    return fd;
}

/* The question comes back with an address. */
static size_t upstream(const uint8_t *question, size_t len, bool tcp, unsigned nth, uint8_t *out)
{
    static const uint8_t record[] = "\300\014\0\1\0\1\0\0\0\74\0\4\300\0\2\1";
    size_t head = tcp ? 2 : 0, end = MSG_HEADER;
    while (end < len && question[end])
        end += question[end] + 1u;
    end += 5;
    if (nth > 0 || end > len)
        return 0;
    put_u16(out, (uint16_t)(end + sizeof record - 1));
    memcpy(out + head, question, end);
    memcpy(out + head + end, record, sizeof record - 1);
    put_u16(out + head + 2, FLAG_QR | FLAG_RA);
    put_u16(out + head + 6, 1);
    memset(out + head + 8, 0, 4);
    return head + end + sizeof record - 1;
}

static void begin(void)
{
    struct strbuf text = { 0 };
    struct err e;
    strbuf_printf(&text, corefile, file_of(zone_text), world_upstream(), file_of(weights_text),
                  file_of(resolv_text));
    world_answer = upstream;
    if (world_serve(text.p, text.len, &e) < 0) {
        (void)fprintf(stderr, "%s\n", e.text);
        abort();
    }
    strbuf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[MSG_MAX];
    static bool begun;
    if (!begun)
        begin();
    begun = true;
    if (size < 2)
        return 0;
    if (data[0] & 1)
        (void)world_ask_tcp(data + 1, size - 1);
    else
        (void)world_ask(data + 1, size - 1, out);
    return 0;
}
