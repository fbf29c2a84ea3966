#include "net/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define UDP_BUFFER  (4 << 20) /* bytes wanted; the kernel caps it at net.core.rmem_max */
#define TCP_BACKLOG 1024

static int set_on(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on);
}

static int wildcard_options(int fd, int type, bool v6)
{
    int off = 0;
    if (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return -errno;
    if (type != SOCK_DGRAM)
        return 0;
    if (v6 && set_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) < 0)
        return -errno;
    return set_on(fd, IPPROTO_IP, IP_PKTINFO) < 0 ? -errno : 0;
}

static int bind_socket(const struct ip *ip, uint16_t port, int type, bool wildcard)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(ip, port, &sa);
    bool v6 = ip->family == 6;
    int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int ret = 0;
    if (set_on(fd, SOL_SOCKET, SO_REUSEPORT) < 0 || set_on(fd, SOL_SOCKET, SO_REUSEADDR) < 0)
        ret = -errno;
    if (ret == 0 && wildcard)
        ret = wildcard_options(fd, type, v6);
    else if (ret == 0 && v6 && set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0)
        ret = -errno;
    if (ret == 0 && bind(fd, (struct sockaddr *)&sa, len) < 0)
        ret = -errno;
    if (ret < 0) {
        close(fd);
        return ret;
    }
    return fd;
}

static int listen_any(const struct ip *ip, uint16_t port, int type)
{
    static const struct ip any6 = { .family = 6 }, any4 = { .family = 4 };
    if (ip->family)
        return bind_socket(ip, port, type, ip_is_any(ip));
    int fd = bind_socket(&any6, port, type, true);
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
        fd = bind_socket(&any4, port, type, true);
    return fd;
}

static int listen_error(struct err *e, int code, const char *proto, const struct ip *ip,
                        uint16_t port)
{
    char text[IP_TEXT_MAX];
    return err_set(e, code, "listen %s %s%s%s:%u: %s", proto, ip->family == 6 ? "[" : "",
                   ip_text(ip, text), ip->family == 6 ? "]" : "", port, err_str(code));
}

int listen_udp(const struct ip *ip, uint16_t port, struct err *e)
{
    int fd = listen_any(ip, port, SOCK_DGRAM);
    if (fd < 0)
        return listen_error(e, fd, "udp", ip, port);
    int size = UDP_BUFFER;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size); /* best effort */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
}

int listen_tcp(const struct ip *ip, uint16_t port, struct err *e)
{
    int fd = listen_any(ip, port, SOCK_STREAM);
    if (fd >= 0 && listen(fd, TCP_BACKLOG) < 0) {
        int code = -errno;
        close(fd);
        fd = code;
    }
    return fd < 0 ? listen_error(e, fd, "tcp", ip, port) : fd;
}
