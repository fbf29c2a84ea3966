#include "kernel/privilege.h"

#include "base/cleanup.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- the user ---- */

static bool parse_id(const char *text, size_t len, uint32_t *ret)
{
    uint64_t id = 0;
    if (!len || len > 10)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        id = id * 10 + (uint64_t)(text[i] - '0');
    }
    if (id >= UINT32_MAX) /* (uid_t)-1 means "leave it" to the kernel */
        return false;
    *ret = (uint32_t)id;
    return true;
}

int privilege_user_parse(const char *text, struct privilege_user *ret, struct err *e)
{
    struct privilege_user u;
    char name[256];
    size_t len = strcspn(text, ":");
    if (len >= sizeof name)
        return err_set(e, ERR_INVALID, "user \"%s\": the name is too long", text);
    memcpy(name, text, len);
    name[len] = '\0';
    bool is_id = parse_id(text, len, &u.uid);
    const struct passwd *known = is_id ? getpwuid(u.uid) : getpwnam(name);
    if (!known && !is_id)
        return err_set(e, ERR_NOT_FOUND,
                       "user \"%s\": there is no such user; give a UID or a name "
                       "of the user database",
                       name);
    u.uid = known ? known->pw_uid : u.uid;
    u.gid = known ? known->pw_gid : u.uid;
    if (text[len] && !parse_id(text + len + 1, strlen(text + len + 1), &u.gid))
        return err_set(e, ERR_INVALID, "user \"%s\": behind the colon stands a GID, a number",
                       text);
    *ret = u;
    return 0;
}

static bool is_already(const struct privilege_user *u)
{
    uid_t uid[3];
    gid_t gid[3];
    return getresuid(&uid[0], &uid[1], &uid[2]) == 0 && getresgid(&gid[0], &gid[1], &gid[2]) == 0 &&
           uid[0] == u->uid && uid[1] == u->uid && uid[2] == u->uid && gid[0] == u->gid &&
           gid[1] == u->gid && gid[2] == u->gid;
}

int privilege_become(const struct privilege_user *u, struct err *e)
{
    if (is_already(u))
        return 0;
    if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
        return err_set(e, -errno,
                       "cannot become user %u, group %u: %s; this takes root, or "
                       "CAP_SETUID and CAP_SETGID",
                       u->uid, u->gid, strerror(errno));
    return prctl(PR_SET_KEEPCAPS, 0) < 0 ? err_set(e, -errno, "keepcaps: %s", strerror(errno)) : 0;
}

/* ---- capabilities ---- */

int privilege_limit_bounding(uint64_t keep, uint64_t harmless)
{
    int ret = 0;
    for (int cap = 0; cap < CAPABILITIES_MAX; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap);
        if (has < 0)
            break; /* the kernel has no more of them */
        if (has && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap) < 0 && !(harmless >> cap & 1))
            ret = -errno;
    }
    return ret;
}

int privilege_keep_only(uint64_t capabilities)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(capabilities >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int privilege_no_new(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int privilege_no_dump(void)
{
    static const struct rlimit none;
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return -errno;
    return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}
