#include "kernel/syscalls.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/metric.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>

#define CALLS_MAX 512 /* numbers that are logged by name; Linux 6 uses some 460 */

/* The number of the refused call, and where its result goes. */
#if defined(__x86_64__)
#define RESULT_OF(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define RESULT_OF(context) ((context)->uc_mcontext.regs[0])
#endif

/* Whatever their arguments. */
static const char *const allowed[] = {
    /* memory, threads, time */
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "membarrier",
    "futex",
    "futex_waitv",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "set_tid_address",
    "arch_prctl",
    "exit",
    "exit_group",
    "restart_syscall",
    "sched_yield",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "getcpu",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    /* who and where */
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getresuid",
    "getresgid",
    "getgroups",
    "uname",
    "sysinfo",
    "times",
    "getrusage",
    "getrandom",
    "umask",
    "capget",
    "getpriority",
    "getpgrp",
    "getsid",
    /* signals */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigtimedwait",
    "sigaltstack",
    "signalfd4",
    /* descriptors and waiting */
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "lseek",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "pipe",
    "pipe2",
    "eventfd2",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    "memfd_create",
    "sendfile",
    /* files */
    "open",
    "openat",
    "openat2",
    "stat",
    "lstat",
    "fstat",
    "newfstatat",
    "statx",
    "statfs",
    "fstatfs",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getdents64",
    "getcwd",
    "flock",
    "fsync",
    "fdatasync",
    "truncate",
    "ftruncate",
    "fallocate",
    "fadvise64",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
    /* sockets; which kinds can be made: see below */
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "shutdown",
    "getsockname",
    "getpeername",
    "setsockopt",
    "getsockopt",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "recvmmsg",
};

static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };

static const unsigned long requests[] = { FIONBIO, FIONREAD,   FIOCLEX,     FIONCLEX,
                                          TCGETS,  TIOCGWINSZ, SIOCGIFNAME, SIOCGIFINDEX };

/* Libraries try these first and have another way. */
static const char *const not_there[] = { "clone3", "io_uring_setup", "io_uring_enter",
                                         "io_uring_register" };

/* Made where signals are blocked: a trap there would end the process. */
static const char *const no_processes[] = { "fork", "vfork" };

static metric m_refused;
static char *names[CALLS_MAX];
static _Atomic uint64_t logged[CALLS_MAX / 64];

/* ---- the list ---- */

static int add_names(scmp_filter_ctx f, uint32_t action, const char *const *list, size_t n)
{
    int ret = 0;
    for (size_t i = 0; i < n && ret == 0; i++) {
        int number = seccomp_syscall_resolve_name(list[i]);
        if (number != __NR_SCMP_ERROR) /* else unknown to the library: it stays refused */
            ret = seccomp_rule_add(f, action, number, 0);
    }
    return ret;
}

static struct scmp_arg_cmp arg_is(unsigned arg, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){ .arg = arg, .op = SCMP_CMP_EQ, .datum_a = value };
}

static struct scmp_arg_cmp arg_bits(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){
        .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value
    };
}

static int rule_if(scmp_filter_ctx f, uint32_t action, const char *name, struct scmp_arg_cmp test)
{
    return seccomp_rule_add_array(f, action, seccomp_syscall_resolve_name(name), 1, &test);
}

static int allow_if(scmp_filter_ctx f, const char *name, struct scmp_arg_cmp test)
{
    return rule_if(f, SCMP_ACT_ALLOW, name, test);
}

static int add_sockets(scmp_filter_ctx f)
{
    /* the list of links and addresses */
    const struct scmp_arg_cmp links[] = { arg_is(0, AF_NETLINK), arg_is(2, NETLINK_ROUTE) };
    int ret = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, links);
    for (size_t i = 0; i < ARRAY_SIZE(families) && ret == 0; i++)
        ret = allow_if(f, "socket", arg_is(0, (scmp_datum_t)families[i]));
    if (ret == 0)
        ret = allow_if(f, "socketpair", arg_is(0, AF_UNIX));
    for (size_t i = 0; i < ARRAY_SIZE(requests) && ret == 0; i++)
        ret = allow_if(f, "ioctl", arg_bits(1, UINT32_MAX, requests[i]));
    return ret;
}

/* Memory never is, nor becomes, writable and executable. Programs' text is mapped from files. */
static int add_memory(scmp_filter_ctx f)
{
    const scmp_datum_t both = PROT_EXEC | PROT_WRITE;
    int ret = allow_if(f, "mmap", arg_bits(2, PROT_EXEC, 0));
    if (ret == 0)
        ret = allow_if(f, "mmap", arg_bits(2, both, PROT_EXEC));
    if (ret == 0)
        ret = rule_if(f, SCMP_ACT_ERRNO(EPERM), "mmap", arg_bits(2, both, both));
    if (ret == 0)
        ret = allow_if(f, "mprotect", arg_bits(2, PROT_EXEC, 0));
    return ret;
}

static int add_processes(scmp_filter_ctx f)
{
    uint32_t no = SCMP_ACT_ERRNO(EPERM);
    int ret = allow_if(f, "clone", arg_bits(0, CLONE_THREAD, CLONE_THREAD));
    if (ret == 0)
        ret = rule_if(f, no, "clone", arg_bits(0, CLONE_THREAD, 0));
    if (ret == 0)
        ret = add_names(f, no, no_processes, ARRAY_SIZE(no_processes));
    if (ret == 0)
        ret = add_names(f, SCMP_ACT_ERRNO(ENOSYS), not_there, ARRAY_SIZE(not_there));
    if (ret == 0) /* of itself: abort() */
        ret = allow_if(f, "tgkill", arg_is(0, (scmp_datum_t)getpid()));
    if (ret == 0) /* reading limits, not setting them */
        ret = allow_if(f, "prlimit64", arg_is(2, 0));
    if (ret == 0)
        ret = allow_if(f, "prctl", arg_is(0, PR_SET_NAME));
    if (ret == 0)
        ret = allow_if(f, "prctl", arg_is(0, PR_GET_NAME));
    return ret;
}

/* ---- a refused call ---- */

/* The trap comes with the very call, so whatever the thread was in the middle of, it was not the
 * log, a counter or anything else that is used here. */
static void on_refused(int number, siginfo_t *info, void *context)
{
    unsigned call = (unsigned)info->si_syscall;
    int saved = errno;
    (void)number;
#ifdef RESULT_OF
    RESULT_OF((ucontext_t *)context) = -EPERM;
#else
    (void)context;
#endif
    metric_add(m_refused, 1);
    if (call < CALLS_MAX) {
        uint64_t bit = 1ULL << call % 64;
        if (!(atomic_fetch_or(&logged[call / 64], bit) & bit))
            log_error("system call %s (%u) refused: it is not among those that this server needs",
                      names[call] ? names[call] : "", call);
    }
    errno = saved;
}

/* Made now: in the handler nothing may be allocated. */
static void learn_names(void)
{
    for (int i = 0; i < CALLS_MAX; i++)
        if (!names[i])
            names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
}

static int handle_refused(void)
{
    struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigemptyset(&action.sa_mask);
    m_refused = metric_counter("signpost_syscalls_refused_total",
                               "System calls refused by the process's own filter.", "");
    learn_names();
    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

/* Sets how the filter is loaded: for every thread; as a tree, not a list; without the slower memory
 * that old kernels give filtered processes, meant for those that run foreign code. */
static int set_manner(scmp_filter_ctx f)
{
    int ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (ret == 0)
        ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (ret == 0)
        ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1);
    return ret;
}

int syscalls_limit(void)
{
#ifdef RESULT_OF
    uint32_t otherwise = SCMP_ACT_TRAP;
#else
    uint32_t otherwise = SCMP_ACT_ERRNO(EPERM);
#endif
    scmp_filter_ctx f = seccomp_init(otherwise);
    if (!f)
        return -ENOMEM;
    int ret = set_manner(f);
    if (ret == 0)
        ret = add_names(f, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));
    if (ret == 0)
        ret = add_sockets(f);
    if (ret == 0)
        ret = add_memory(f);
    if (ret == 0)
        ret = add_processes(f);
    if (ret == 0)
        ret = handle_refused();
    if (ret == 0)
        ret = seccomp_load(f);
    seccomp_release(f);
    return ret;
}
