/* Where `forward` sends to: TO arguments, resolv.conf-style files, and how the list follows a file
 * that changes. All on the control thread. */
#include "base/file.h"
#include "dns/plugins/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>
#include <sys/stat.h>

#define DNS_PORT    53
#define TLS_PORT    853 /* RFC 7858 3.1 */
#define SETTLE_MS   100 /* after a change, so that a file that is written in pieces is read once */
#define TO_TEXT_MAX 512 /* bytes of one TO */

/* ---- one TO ---- */

/* "fe80::1%eth0": takes the zone out of text; the interface's number, 0 for none, -1 for one that
 * is not there. */
static int take_zone(char *text)
{
    char *percent = strchr(text, '%');
    if (!percent)
        return 0;
    char *end = strchrnul(percent, ']');
    char zone[IF_NAMESIZE + 1];
    long number;
    (void)snprintf(zone, sizeof zone, "%.*s", (int)(end - percent - 1), percent + 1);
    memmove(percent, end, strlen(end) + 1);
    if (str_to_long(zone, 1, INT32_MAX, &number) == 0)
        return (int)number;
    unsigned index = if_nametoindex(zone);
    return index ? (int)index : -1;
}

/* False: not an address. */
static bool read_address(const char *text, uint16_t default_port, struct sockaddr_storage *ret)
{
    char copy[TO_TEXT_MAX];
    struct ip ip;
    uint16_t port;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    int zone = take_zone(copy);
    if (zone < 0 || ip_port_parse(copy, default_port, &ip, &port) < 0)
        return false;
    ip_to_sockaddr(&ip, port, ret);
    if (ip.family == 6)
        ((struct sockaddr_in6 *)ret)->sin6_scope_id = (uint32_t)zone;
    return true;
}

static int resolve(const char *text, struct forward_to *ret, struct err *e)
{
    char host[TO_TEXT_MAX];
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV }, *all;
    (void)snprintf(host, sizeof host, "%s", text);
    char *colon = strchr(host, ':');
    char default_port[8];
    const char *port = default_port;
    (void)snprintf(default_port, sizeof default_port, "%u", ret->port);
    if (colon) {
        long number;
        *colon = 0;
        port = colon + 1;
        if (str_to_long(port, 1, 65535, &number) < 0)
            return err_set(e, ERR_INVALID, "not an IP address or file: \"%s\"", text);
    }
    int code = getaddrinfo(host, port, &hints, &all);
    if (code)
        return err_set(e, ERR_INVALID, "failed to resolve \"%s\": %s", text, gai_strerror(code));
    for (const struct addrinfo *i = all; i && ret->n < FORWARD_TO_MAX; i = i->ai_next)
        memcpy(&ret->addrs[ret->n++], i->ai_addr, i->ai_addrlen);
    freeaddrinfo(all);
    return 0;
}

/* Cuts the scheme off, which says how to ask. */
static int take_scheme(const char **text, struct forward_to *ret, struct err *e)
{
    static const char *const never[] = { "grpc", "quic", "https3", "unix" };
    ret->port = DNS_PORT;
    if (str_starts(*text, "dns://")) {
        *text += strlen("dns://");
    } else if (str_starts(*text, "tls://")) {
        *text += strlen("tls://");
        ret->tls = true;
        ret->port = TLS_PORT;
    }
    if (str_starts(*text, "https://"))
        return err_set(e, ERR_UNSUPPORTED,
                       "'%s': upstreams over HTTPS are not supported; use tls://", *text);
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        size_t len = strlen(never[i]);
        if (str_starts(*text, never[i]) && str_starts(*text + len, "://"))
            return err_set(e, ERR_UNSUPPORTED,
                           "'%s' is not supported as a destination protocol in forward: %s",
                           never[i], *text);
    }
    return 0;
}

/* "192.0.2.1%dns.example:853", "[2001:db8::1%dns.example]:853": cuts the server's name out. */
static const char *take_name(const char *text, struct arena *a, struct forward_to *ret)
{
    const char *percent = strchr(text, '%');
    if (!ret->tls || !percent)
        return text;
    size_t len = strcspn(percent + 1, ":]");
    if (len)
        ret->name = arena_strndup(a, percent + 1, len);
    return arena_printf(a, "%.*s%s", (int)(percent - text), text, percent + 1 + len);
}

int forward_to_read(const char *text, struct arena *a, struct forward_to *ret, struct err *e)
{
    struct stat st;
    int code = take_scheme(&text, ret, e);
    if (code < 0)
        return code;
    text = take_name(text, a, ret);
    if (ret->name && strlen(ret->name) >= TLS_NAME_MAX)
        return err_set(e, ERR_LIMIT, "the server name behind '%%' is longer than %d characters",
                       TLS_NAME_MAX - 1);
    if (read_address(text, ret->port, &ret->addrs[0])) {
        ret->n = 1;
        return 0;
    }
    if (*text && stat(text, &st) == 0 && !S_ISDIR(st.st_mode)) {
        ret->file = arena_strdup(a, text);
        return 0;
    }
    if (!*text || strpbrk(text, "/%[") || strlen(text) >= TO_TEXT_MAX)
        return err_set(e, ERR_INVALID, "not an IP address or file: \"%s\"", text);
    return resolve(text, ret, e);
}

/* ---- resolv.conf ---- */

/* Adds the file's nameservers. */
static int read_nameservers(const char *path, struct forward_to *to, struct err *e)
{
    cleanup_free char *text = NULL;
    size_t len;
    char *line, *rest, *word;
    int code = file_load(path, FORWARD_FILE_MAX, &text, &len, e), number = 0;
    if (code < 0)
        return code;
    for (rest = text; (line = strsep(&rest, "\n"));) {
        number++;
        const char *key = strtok_r(line, " \t\r", &word);
        const char *address = key ? strtok_r(NULL, " \t\r", &word) : NULL;
        if (!address || strcmp(key, "nameserver") != 0)
            continue;
        if (to->n == FORWARD_TO_MAX)
            return err_set(e, ERR_LIMIT, "%s:%d: more than %d nameservers", path, number,
                           FORWARD_TO_MAX);
        if (read_address(address, to->port, &to->addrs[to->n]))
            to->n++;
        else
            log_warning("plugin/forward: %s:%d: nameserver %s is not an IP address", path, number,
                        address);
    }
    return to->n ? 0 : err_set(e, ERR_INVALID, "no nameservers found in %s", path);
}

/* ---- the list ---- */

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    size_t len = a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    return a->ss_family == b->ss_family && memcmp(a, b, len) == 0;
}

/* What the certificate is to be for: the name of the TO, that of the line, or the address. */
static const char *tls_name_of(const struct forward *f, const struct forward_to *to,
                               const struct sockaddr_storage *addr, char buf[IP_TEXT_MAX])
{
    struct ip ip = ip_of_sockaddr((const struct sockaddr *)addr);
    if (!to->tls)
        return NULL;
    return to->name ? to->name : f->tls_name ? f->tls_name : ip_text(&ip, buf);
}

/* The upstream of that address and name, made on first sight: one that comes back finds its sockets
 * again. */
static struct upstream *upstream_of(struct forward *f, const struct forward_to *to,
                                    const struct sockaddr_storage *addr)
{
    char buf[IP_TEXT_MAX];
    const char *name = tls_name_of(f, to, addr, buf);
    for (unsigned i = 0; i < f->n_seen; i++)
        if (same_address(&f->seen[i]->addr, addr) && str_eq(f->seen[i]->tls_name, name))
            return f->seen[i];
    if (f->n_seen == FORWARD_SEEN_MAX)
        return NULL;
    struct upstream *u = xcalloc(1, sizeof *u);
    if (name)
        name = arena_strdup(f->block->arena, name);
    upstream_init(u, f->block->n_upstreams++, addr, name, &f->upstream, "forward");
    f->seen[f->n_seen++] = u;
    return u;
}

static int add_upstream(struct forward *f, const struct forward_to *to,
                        const struct sockaddr_storage *addr, struct forward_list *l, struct err *e)
{
    struct upstream *u = upstream_of(f, to, addr);
    if (!u)
        return err_set(e, ERR_LIMIT, "more than %d different upstreams since the start",
                       FORWARD_SEEN_MAX);
    for (unsigned i = 0; i < l->n; i++)
        if (l->items[i] == u)
            return 0;
    if (l->n == FORWARD_TO_MAX)
        return err_set(e, ERR_LIMIT, "more than %d TOs configured", FORWARD_TO_MAX);
    l->items[l->n++] = u;
    return 0;
}

static int build_list(struct forward *f, struct forward_list *l, struct err *e)
{
    int ret = 0;
    for (unsigned i = 0; ret == 0 && i < f->n_tos; i++) {
        struct forward_to to = f->tos[i];
        if (to.file)
            ret = read_nameservers(to.file, &to, e);
        for (unsigned k = 0; ret == 0 && k < to.n; k++)
            ret = add_upstream(f, &to, &to.addrs[k], l, e);
    }
    return ret;
}

static bool is_in(const struct forward_list *l, const struct upstream *u)
{
    for (unsigned i = 0; i < l->n; i++)
        if (l->items[i] == u)
            return true;
    return false;
}

static void log_list(const struct forward_list *l)
{
    struct strbuf text = { 0 };
    for (unsigned i = 0; i < l->n; i++)
        strbuf_printf(&text, " %s", l->items[i]->name);
    log_info("plugin/forward: upstreams are now%s", text.p);
    strbuf_done(&text);
}

int forward_list_update(struct forward *f, struct err *e)
{
    struct forward_list *l = xcalloc(1, sizeof *l), *old = atomic_load(&f->list);
    int ret = build_list(f, l, e);
    if (ret < 0 || (old && memcmp(l, old, sizeof *l) == 0)) {
        free(l);
        return ret;
    }
    for (unsigned i = 0; i < f->n_seen; i++)
        atomic_store(&f->seen[i]->gone, !is_in(l, f->seen[i]));
    rcu_publish(&f->list, l);
    if (old) {
        log_list(l);
        rcu_retire(old, free);
    }
    return 0;
}

void forward_lists_free(struct forward *f)
{
    free(atomic_load(&f->list));
    for (unsigned i = 0; i < f->n_seen; i++)
        free(f->seen[i]);
    f->n_seen = 0;
}

/* ---- watching ---- */

/* The folder tells of a file that is replaced, the file itself of one that is written in place,
 * also through a bind mount. */
struct watched {
    struct forward_watch *watch;
    const char *path, *folder_path, *base; /* base: the path's last part */
    uv_fs_event_t file, folder;
};

struct forward_watch {
    struct forward *f;
    uv_timer_t settle;
    struct watched files[FORWARD_TO_MAX];
    unsigned n, handles;
};

static void arm(struct watched *w);

static void settled(uv_timer_t *timer)
{
    struct forward_watch *w = timer->data;
    struct err e = { 0 };
    for (unsigned i = 0; i < w->n; i++) /* first, so that no change falls between the two */
        arm(&w->files[i]);
    if (forward_list_update(w->f, &e) < 0)
        log_warning("plugin/forward: the upstreams stay as they were: %s", e.text);
}

static void changed(uv_fs_event_t *event, const char *name, int events, int status)
{
    struct watched *w = event->data;
    (void)events, (void)status;
    if (event == &w->folder && name && strcmp(name, w->base) != 0)
        return;
    if (!uv_is_active((uv_handle_t *)&w->watch->settle))
        uv_timer_start(&w->watch->settle, settled, SETTLE_MS, 0);
}

/* Starts again, because a path may lead to another file by now. */
static void arm(struct watched *w)
{
    uv_fs_event_stop(&w->file);
    uv_fs_event_stop(&w->folder);
    int file = uv_fs_event_start(&w->file, changed, w->path, 0);
    int folder = uv_fs_event_start(&w->folder, changed, w->folder_path, 0);
    if (file < 0 && folder < 0)
        log_warning("plugin/forward: %s is not watched for changes: %s", w->path,
                    uv_strerror(file));
}

static void add_watched(struct forward_watch *w, struct arena *a, const char *path)
{
    struct watched *x = &w->files[w->n++];
    const char *slash = strrchr(path, '/');
    x->watch = w;
    x->path = path;
    x->base = slash ? slash + 1 : path;
    x->folder_path = !slash          ? "."
                     : slash == path ? "/"
                                     : arena_strndup(a, path, (size_t)(slash - path));
    x->file.data = x->folder.data = x;
    uv_fs_event_init(w->f->block->loop, &x->file);
    uv_fs_event_init(w->f->block->loop, &x->folder);
    w->handles += 2;
    arm(x);
}

void forward_watch_start(struct forward *f)
{
    for (unsigned i = 0; i < f->n_tos; i++) {
        if (!f->tos[i].file)
            continue;
        if (!f->watch) {
            f->watch = xcalloc(1, sizeof *f->watch);
            f->watch->f = f;
            f->watch->handles = 1;
            uv_timer_init(f->block->loop, &f->watch->settle);
            f->watch->settle.data = f->watch;
        }
        add_watched(f->watch, f->block->arena, f->tos[i].file);
    }
}

static void timer_closed(uv_handle_t *h)
{
    struct forward_watch *w = h->data;
    if (--w->handles == 0)
        free(w);
}

static void event_closed(uv_handle_t *h)
{
    const struct watched *x = h->data;
    struct forward_watch *w = x->watch;
    if (--w->handles == 0)
        free(w);
}

void forward_watch_stop(struct forward *f)
{
    struct forward_watch *w = f->watch;
    if (!w)
        return;
    f->watch = NULL;
    for (unsigned i = 0; i < w->n; i++) {
        uv_close((uv_handle_t *)&w->files[i].file, event_closed);
        uv_close((uv_handle_t *)&w->files[i].folder, event_closed);
    }
    uv_close((uv_handle_t *)&w->settle, timer_closed);
}
