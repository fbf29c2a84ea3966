/* What a process gives up stays given up. None of it can be taken back, so each case is a child of
 * its own: it returns 0, or the line of what it found wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/metric.h"
#include "kernel/landlock.h"
#include "kernel/privilege.h"
#include "kernel/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 250 /* lines are below */

#define want(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            return __LINE__ % SKIPPED;                                                             \
    } while (0)

#define refused(x) want((errno = 0, (x) < 0) && errno == EPERM)

static void in_child(int (*fn)(void))
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn());
    assert_true(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status))
        fail_msg("ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip();
    if (WEXITSTATUS(status))
        fail_msg("line n * %d + %d", SKIPPED, WEXITSTATUS(status));
}

/* A line of /proc/self/status, as a number. */
static uint64_t status_of(const char *name)
{
    char line[256];
    uint64_t found = UINT64_MAX;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            found = strtoull(line + strlen(name) + 1, NULL, strncmp(name, "Cap", 3) ? 10 : 16);
    if (f)
        (void)fclose(f);
    return found;
}

/* ---- the list of system calls ---- */

static int no_programs(void)
{
    char *argv[] = { (char[]){ "true" }, NULL }, *env[] = { NULL };
    want(syscalls_limit() == 0);
    want(status_of("Seccomp") == 2 && status_of("NoNewPrivs") == 1);
    refused(execve("/bin/true", argv, env));
    refused(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, env, 0));
    refused(fork());
    refused(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    want(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
    return 0;
}

static int no_reach(void)
{
    want(syscalls_limit() == 0);
    refused(ptrace(PTRACE_ATTACH, getppid(), 0, 0));
    refused(mount("none", "/tmp", "tmpfs", 0, NULL));
    refused(unshare(CLONE_NEWUSER));
    refused(kill(getppid(), 0));
    refused(syscall(SYS_tgkill, getppid(), getppid(), 0));
    refused(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
    refused(syscall(SYS_bpf, 0, NULL, 0));
    refused(syscall(SYS_init_module, NULL, 0, ""));
    refused(setuid(getuid()));
    refused(prctl(PR_SET_DUMPABLE, 1));
    refused(syscall(SYS_seccomp, 0, 0, NULL));
    refused(socket(AF_PACKET, SOCK_RAW, 0));
    refused(socket(AF_NETLINK, SOCK_RAW, 12)); /* NETLINK_NETFILTER */
    return 0;
}

static int no_code(void)
{
    int both = PROT_READ | PROT_WRITE | PROT_EXEC;
    want(syscalls_limit() == 0);
    want(mmap(NULL, 4096, both, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    want(errno == EPERM);
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    want(p != MAP_FAILED);
    refused(mprotect(p, 4096, PROT_READ | PROT_EXEC));
    want(mprotect(p, 4096, PROT_READ) == 0);
    return 0;
}

static int are_counted(void)
{
    want(syscalls_limit() == 0);
    metric refusals = metric_counter("signpost_syscalls_refused_total", "", "");
    for (int i = 0; i < 3; i++)
        refused(unshare(0));
    want(metric_value(refusals) == 3);
    want(metric_thread_init() == 0); /* whatever shard the thread counts in */
    refused(unshare(0));
    want(metric_value(refusals) == 4);
    return 0;
}

static void *in_thread(void *arg)
{
    *(int *)arg = unshare(0) < 0 && errno == EPERM;
    return NULL;
}

/* What a server does all day. */
static int the_rest_works(void)
{
    int is_refused = 0;
    pthread_t thread;
    struct rlimit limit;
    struct addrinfo *found = NULL;
    want(syscalls_limit() == 0);
    want(pthread_create(&thread, NULL, in_thread, &is_refused) == 0);
    want(pthread_join(thread, NULL) == 0 && is_refused);
    want(getaddrinfo("localhost", "53", NULL, &found) == 0);
    freeaddrinfo(found);
    want(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    want(inotify_init1(IN_CLOEXEC) >= 0);
    for (int kind = 0; kind < 2; kind++) {
        want(socket(AF_INET, kind ? SOCK_STREAM : SOCK_DGRAM, 0) >= 0);
        want(socket(AF_INET6, kind ? SOCK_STREAM : SOCK_DGRAM, 0) >= 0 || errno == EAFNOSUPPORT);
        want(socket(AF_UNIX, kind ? SOCK_STREAM : SOCK_DGRAM, 0) >= 0);
    }
    want(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
    want(prctl(PR_SET_NAME, "worker") == 0);
    return 0;
}

/* A bug's own end goes on being one. */
static int abort_aborts(void)
{
    want(syscalls_limit() == 0);
    abort();
}

static void test_no_programs(void **state)
{
    (void)state;
    in_child(no_programs);
}

static void test_no_reach(void **state)
{
    (void)state;
    in_child(no_reach);
}

static void test_no_code(void **state)
{
    (void)state;
    in_child(no_code);
}

static void test_are_counted(void **state)
{
    (void)state;
    in_child(are_counted);
}

static void test_the_rest_works(void **state)
{
    (void)state;
    in_child(the_rest_works);
}

static void test_abort(void **state)
{
    int status = 0;
    (void)state;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(abort_aborts());
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- the file system ---- */

static char folder[] = "/tmp/guard-XXXXXX";

static char *in_folder(const char *name)
{
    static char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make(const char *name)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd < 0 ? -1 : 0;
}

static int file_system(void)
{
    char open_folder[64];
    (void)snprintf(open_folder, sizeof open_folder, "%s/open", folder);
    const char *folders[] = { open_folder, "/there/is/none" };
    want(make("old") == 0 && make("open/old") == 0 && privilege_no_new() == 0);
    int ret = landlock_write_only_below(folders, 2);
    if (ret == -ENOSYS || ret == -EOPNOTSUPP)
        return SKIPPED;
    want(ret == 0);
    want(make("new") < 0 && errno == EACCES);
    want(make("old") < 0 && errno == EACCES);
    want(unlink(in_folder("old")) < 0 && errno == EACCES);
    want(mkdir(in_folder("open/folder"), 0700) < 0 && errno == EACCES);
    want(open(in_folder("old"), O_RDONLY | O_CLOEXEC) >= 0);
    want(make("open/new") == 0 && make("open/old") == 0);
    want(unlink(in_folder("open/new")) == 0);
    want(truncate(in_folder("open/old"), 0) == 0);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && mkdir(in_folder("open"), 0700) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(in_folder("old"));
    (void)unlink(in_folder("open/old"));
    return rmdir(in_folder("open")) == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void test_file_system(void **state)
{
    (void)state;
    in_child(file_system);
}

/* ---- users and capabilities ---- */

static void test_parse(void **state)
{
    struct privilege_user u = { 0 };
    struct err e = { 0 };
    (void)state;
    assert_int_equal(privilege_user_parse("root", &u, &e), 0);
    assert_true(u.uid == 0 && u.gid == 0);
    assert_int_equal(privilege_user_parse("nobody:7", &u, &e), 0);
    assert_true(u.uid == 65534 && u.gid == 7);
    assert_int_equal(privilege_user_parse("4000000001", &u, &e), 0);
    assert_true(u.uid == 4000000001U && u.gid == 4000000001U);
    assert_int_equal(privilege_user_parse("12:34", &u, &e), 0);
    assert_true(u.uid == 12 && u.gid == 34);
    static const char *const wrong[] = {
        "",   "there-is-none", "4294967295", "99999999999",    "-1", "1:", "1:x",
        ":1", "1:2:3",         "1 ",         "root:4294967295"
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_true(privilege_user_parse(wrong[i], &u, &e) < 0);
    assert_true(u.uid == 12 && u.gid == 34);
}

static int drops(void)
{
    static const uint64_t bind_service = 1ULL << CAP_NET_BIND_SERVICE;
    const struct privilege_user u = { 65534, 65533 };
    struct rlimit core = { 1, 1 };
    bool could = geteuid() == 0;
    uint64_t permitted = status_of("CapPrm");
    if (could) {
        want(privilege_limit_bounding(0, 0) == 0 && privilege_become(&u, NULL) == 0);
        want(status_of("CapBnd") == 0);
        want(getuid() == 65534 && geteuid() == 65534 && getgid() == 65533);
        want(getgroups(0, NULL) == 0);
    } else {
        struct privilege_user self = { getuid(), getgid() };
        struct err e;
        want(privilege_become(&self, &e) == 0);
        want(privilege_become(&u, &e) == -EPERM && strstr(e.text, "65534"));
        if (status_of("CapBnd"))
            want(privilege_limit_bounding(0, 0) == -EPERM);
        want(privilege_limit_bounding(0, UINT64_MAX) == 0);
    }
    want(privilege_keep_only(bind_service) == 0);
    want(status_of("CapEff") == (permitted & bind_service));
    want(status_of("CapPrm") == (permitted & bind_service));
    want(status_of("CapInh") == 0 && status_of("CapAmb") == 0);
    want(!could || setuid(0) < 0);
    want(privilege_no_new() == 0 && status_of("NoNewPrivs") == 1);
    want(privilege_no_dump() == 0 && prctl(PR_GET_DUMPABLE) == 0);
    want(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
    return 0;
}

static void test_drops(void **state)
{
    (void)state;
    in_child(drops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_programs),
        cmocka_unit_test(test_no_reach),
        cmocka_unit_test(test_no_code),
        cmocka_unit_test(test_are_counted),
        cmocka_unit_test(test_the_rest_works),
        cmocka_unit_test(test_abort),
        cmocka_unit_test_setup_teardown(test_file_system, make_folder, remove_folder),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_drops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
