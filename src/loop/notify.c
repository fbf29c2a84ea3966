#include "loop/notify.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* Fills the address; false: nobody wants to be told, or not in a way that is known here. */
static bool find_manager(struct sockaddr_un *sa, socklen_t *ret_len)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof sa->sun_path || (path[0] != '/' && path[0] != '@'))
        return false;
    *sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(sa->sun_path, path, len);
    if (path[0] == '@')
        sa->sun_path[0] = '\0'; /* of no folder: Linux's abstract names */
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

/* A manager that does not listen has nothing to be told again. */
static void tell(const char *text)
{
    struct sockaddr_un sa;
    socklen_t len;
    if (!find_manager(&sa, &len))
        return;
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sa, len);
}

void notify_ready(void)
{
    tell("READY=1");
}

void notify_reloading(void)
{
    char text[64];
    struct timespec t = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &t);
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                   (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
    tell(text);
}

void notify_stopping(void)
{
    tell("STOPPING=1");
}
