/* Any text as what stands in a `template`. */
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const allowed[] = { "bind", "metadata", "template", "whoami", NULL };
    static const char corefile[] = ".:1053 {\n bind 127.0.0.1\n metadata\n"
                                   " template IN ANY {\n%.*s\n }\n whoami\n}\n";
    rules_run(data, size, corefile, allowed);
    return 0;
}
