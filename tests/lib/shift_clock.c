/* To be preloaded: all clocks of a process are ahead by as many seconds as the file SHIFT_CLOCK
 * says (a little-endian uint64), at any moment. Waits are short, so that a jump of the clocks is
 * noticed. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MAX_MS 20

static const volatile uint64_t *shift;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SHIFT_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (p == MAP_FAILED)
        abort();
    shift = p;
    close(fd);
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = next("clock_gettime");
    int code = real(id, t);
    if (code == 0 && shift)
        t->tv_sec += (time_t)*shift;
    return code;
}

static int shorter(int ms)
{
    return ms > WAIT_MAX_MS ? WAIT_MAX_MS : ms;
}

int epoll_wait(int fd, struct epoll_event *events, int n, int ms)
{
    static int (*real)(int, struct epoll_event *, int, int);
    if (!real)
        *(void **)&real = next("epoll_wait");
    return real(fd, events, n, shorter(ms));
}

int epoll_pwait(int fd, struct epoll_event *events, int n, int ms, const sigset_t *set)
{
    static int (*real)(int, struct epoll_event *, int, int, const sigset_t *);
    if (!real)
        *(void **)&real = next("epoll_pwait");
    return real(fd, events, n, shorter(ms), set);
}
