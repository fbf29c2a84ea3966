/* What a request is, in the options of libcurl. */
#include "net/http_client_impl.h"

#include "base/clock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define CONNECT_MS    10000
#define READ_MAX      65536L /* bytes that are asked for at once */
#define KEEPALIVE_S   30L    /* an idle peer is asked whether it is still there */
#define KEEPALIVE_GAP 10L
#define UNACKED_MS    30000 /* so long without a sign of the peer's */

/* TLS asks for another name than the address it connects to. */
static int name_server(struct http_call *call, const char *url, const char *name)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *whole = NULL;
    struct strbuf to = { 0 };
    int ret = ERR_INVALID;
    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK) {
        strbuf_printf(&to, "::%s:%s", host, port);
        call->connect_to = curl_slist_append(NULL, to.p);
        curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
        curl_easy_setopt(call->easy, CURLOPT_URL, whole);
        ret = 0;
    }
    curl_free(host);
    curl_free(port);
    curl_free(whole);
    curl_url_cleanup(u);
    strbuf_done(&to);
    return ret;
}

static void set_blob(CURL *x, CURLoption option, const char *pem)
{
    struct curl_blob blob = { .flags = CURL_BLOB_COPY };
    if (!pem)
        return;
    blob.data = (void *)(uintptr_t)pem; /* it is only read */
    blob.len = strlen(pem);
    curl_easy_setopt(x, option, &blob);
}

static int set_tls(struct http_call *call, const char *url, const struct http_tls *t)
{
    CURL *x = call->easy;
    if (!t)
        return 0;
    if (t->ca)
        curl_easy_setopt(x, CURLOPT_CAINFO, t->ca);
    if (t->ca || t->ca_pem)
        curl_easy_setopt(x, CURLOPT_CAPATH, NULL);
    if (t->cert)
        curl_easy_setopt(x, CURLOPT_SSLCERT, t->cert);
    if (t->key)
        curl_easy_setopt(x, CURLOPT_SSLKEY, t->key);
    set_blob(x, CURLOPT_CAINFO_BLOB, t->ca_pem);
    if (t->insecure) {
        curl_easy_setopt(x, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(x, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return t->server_name ? name_server(call, url, t->server_name) : 0;
}

/* The kernel would try for a quarter of an hour to get rid of what nobody acknowledges. */
static int on_socket_made(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    unsigned ms = UNACKED_MS;
    (void)ctx;
    (void)purpose;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

static long seconds_since(int64_t ns)
{
    return (long)((clock_ns() - ns) / 1000000000);
}

static void set_limits(CURL *x, const struct http_request *r)
{
    curl_easy_setopt(x, CURLOPT_CONNECTTIMEOUT_MS, r->connect_ms ? r->connect_ms : CONNECT_MS);
    curl_easy_setopt(x, CURLOPT_TIMEOUT_MS, r->total_ms);
    curl_easy_setopt(x, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
    curl_easy_setopt(x, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(x, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    curl_easy_setopt(x, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_GAP);
}

void http_call_set_identity(struct http_call *call, const struct http_request *r)
{
    CURL *x = call->easy;
    if (r->tls) {
        set_blob(x, CURLOPT_SSLCERT_BLOB, r->tls->cert_pem);
        set_blob(x, CURLOPT_SSLKEY_BLOB, r->tls->key_pem);
    }
    if (r->bearer) {
        curl_easy_setopt(x, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(x, CURLOPT_XOAUTH2_BEARER, r->bearer);
    } else if (r->user) {
        curl_easy_setopt(x, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(x, CURLOPT_USERNAME, r->user);
        curl_easy_setopt(x, CURLOPT_PASSWORD, r->password ? r->password : "");
    }
}

static void set_message(struct http_call *call, const struct http_request *r)
{
    CURL *x = call->easy;
    if (r->body) {
        curl_easy_setopt(x, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        curl_easy_setopt(x, CURLOPT_COPYPOSTFIELDS, r->body);
    }
    if (r->method && strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(x, CURLOPT_NOBODY, 1L);
    else if (r->method)
        curl_easy_setopt(x, CURLOPT_CUSTOMREQUEST, r->method);
    for (size_t i = 0; i < r->n_headers; i++)
        call->headers = curl_slist_append(call->headers, r->headers[i]);
    call->headers = curl_slist_append(call->headers, "Expect:"); /* no round trip before a body */
    curl_easy_setopt(x, CURLOPT_HTTPHEADER, call->headers);
}

int http_call_set_options(struct http_call *call, const struct http_request *r)
{
    CURL *x = call->easy;
    curl_easy_setopt(x, CURLOPT_URL, r->url);
    curl_easy_setopt(x, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(x, CURLOPT_PROXY, r->proxy ? r->proxy : "");
    if (r->gzip)
        curl_easy_setopt(x, CURLOPT_ACCEPT_ENCODING, "gzip");
    call->fresh = call->client->doubts && call->shares;
    /* Rather one HTTP/2 connection for all than one each that is begun at the same moment; without
     * TLS there is no HTTP/2, and the first reply would be waited for. */
    curl_easy_setopt(x, CURLOPT_PIPEWAIT, call->shares && !call->fresh ? 1L : 0L);
    curl_easy_setopt(x, CURLOPT_FRESH_CONNECT, call->fresh ? 1L : 0L);
    if (call->client->doubt_ns)
        curl_easy_setopt(x, CURLOPT_MAXLIFETIME_CONN,
                         MAX(1, seconds_since(call->client->doubt_ns)));
    curl_easy_setopt(x, CURLOPT_BUFFERSIZE, READ_MAX);
    curl_easy_setopt(x, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(x, CURLOPT_USERAGENT, "signpost/" SIGNPOST_VERSION);
    curl_easy_setopt(x, CURLOPT_ERRORBUFFER, call->why);
    curl_easy_setopt(x, CURLOPT_PRIVATE, call);
    curl_easy_setopt(x, CURLOPT_WRITEFUNCTION, http_call_on_body);
    curl_easy_setopt(x, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(x, CURLOPT_HEADERFUNCTION, http_call_on_head);
    curl_easy_setopt(x, CURLOPT_HEADERDATA, call);
    set_limits(x, r);
    http_call_set_identity(call, r);
    set_message(call, r);
    return set_tls(call, r->url, r->tls);
}

int http_url_check(const char *url, struct err *e)
{
    CURLU *u = curl_url();
    bool good = (str_starts(url, "http://") || str_starts(url, "https://")) &&
                curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
    curl_url_cleanup(u);
    return good ? 0 : err_set(e, ERR_INVALID, "'%s' is not a http:// or https:// URL", url);
}
