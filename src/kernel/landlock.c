#include "kernel/landlock.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Rights of later versions than that of the build's kernel headers (linux/landlock.h). */
#define FS_REFER    (1ULL << 13) /* version 2: rename from folder to folder */
#define FS_TRUNCATE (1ULL << 14) /* version 3 */

/* In files and sockets: what a plugin that keeps a file does. */
#define FS_KEEP                                                                                    \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK)

#define FS_NEVER                                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR |   \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |  \
     LANDLOCK_ACCESS_FS_MAKE_SYM)

static int version(void)
{
    long n = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return n < 0 ? -errno : (int)n;
}

static int allow(int ruleset, const char *folder, uint64_t rights)
{
    cleanup_close int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
    if (fd < 0)
        return 0;
    long ret = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    return ret < 0 ? -errno : 0;
}

int landlock_write_only_below(const char *const *folders, size_t n)
{
    int v = version();
    if (v < 0)
        return v;
    uint64_t keep = FS_KEEP | (v >= 3 ? FS_TRUNCATE : 0);
    struct landlock_ruleset_attr attr = { .handled_access_fs =
                                              keep | FS_NEVER | (v >= 2 ? FS_REFER : 0) };
    cleanup_close int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return -errno;
    for (size_t i = 0; i < n; i++) {
        int ret = allow(ruleset, folders[i], keep);
        if (ret < 0)
            return ret;
    }
    return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
