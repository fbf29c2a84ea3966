/* `root FOLDER`: where relative paths of the block's other plugins start. */
#include "dns/plugin.h"

#include <sys/stat.h>

static int root_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct stat st;
    dispenser_next_directive(d);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    const char *folder = dispenser_val(d);
    if (stat(folder, &st) < 0)
        log_warning("plugin/root: Root path does not exist: %s", folder);
    else if (!S_ISDIR(st.st_mode))
        return dispenser_err(d, e, "not a folder: %s", folder);
    setup_root(s, folder);
    return dispenser_end(d, e);
}

const struct plugin plugin_root = { .name = "root", .setup = root_setup };
