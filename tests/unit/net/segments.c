#include "segments.h"

#include <linux/tcp.h>
#include <sys/socket.h>

#define LEVEL_TCP 6 /* IPPROTO_TCP, whose header does not go with linux/tcp.h either */

unsigned segments_in(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;
    return getsockopt(fd, LEVEL_TCP, TCP_INFO, &info, &len) < 0 ? 0 : info.tcpi_data_segs_in;
}
