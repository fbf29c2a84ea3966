/* The files of http_client's TLS, looked at before they are used: by the reader that servers and
 * upstreams have. */
#include "net/http_client.h"
#include "net/tls.h"

int http_tls_check(const struct http_tls *t, struct err *e)
{
    const struct tls_options o = { .cert = t->cert, .key = t->key, .ca = t->ca };
    struct tls_config *c = NULL;
    if (!t->cert != !t->key)
        return err_set(e, ERR_INVALID, "a client's certificate and key come together");
    int code = tls_config_new(&o, &c, e);
    tls_config_free(c);
    return code;
}
