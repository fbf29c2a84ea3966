/* Any bytes as what a program prints for credentials: all of it is taken, or nothing and there is a
 * sentence. */
#include "source/exec_credential.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exec_credential c;
    struct err e = { 0 };
    char *text = malloc(size + 1); /* as it comes from the runner, with a NUL behind it */
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    int code = exec_credential_parse(text, size, "client.authentication.k8s.io/v1", &c, &e);
    free(text);
    if (code < 0 && !e.text[0])
        abort();
    if (code < 0)
        return 0;
    if (!c.cert_pem != !c.key_pem || c.expires_ns < 0)
        abort();
    exec_credential_done(&c);
    return 0;
}
