/* Any text as rules of `rewrite`, in front of a plugin whose answers have names everywhere. */
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const allowed[] = { "bind", "metadata", "rewrite", "template", NULL };
    static const char corefile[] =
        ".:1053 {\n bind 127.0.0.1\n metadata\n%.*s\n"
        " template ANY ANY {\n"
        "  answer \"{{ .Name }} 60 {{ .Class }} CNAME b.example.org.\"\n"
        "  answer \"b.example.org. 60 {{ .Class }} SRV 1 2 3 www.example.org.\"\n"
        "  authority \"example.org. 60 {{ .Class }} SOA ns.example.org. root.example.org. 1 2 3 4 "
        "5\"\n"
        "  additional \"www.example.org. 600 {{ .Class }} A 192.0.2.1\"\n }\n}\n";
    rules_run(data, size, corefile, allowed);
    return 0;
}
