/* Any text as what stands in a `view`. */
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const allowed[] = { "bind", "metadata", "view", "whoami", NULL };
    static const char corefile[] = ".:1053 {\n bind 127.0.0.1\n metadata\n"
                                   " view v {\n%.*s\n }\n whoami\n}\n"
                                   ".:1053 {\n bind 127.0.0.1\n whoami\n}\n";
    rules_run(data, size, corefile, allowed);
    return 0;
}
