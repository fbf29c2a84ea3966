#include "cmd/pod_file.h"

#include "client/pod_manifest.h"

#include <errno.h>
#include <string.h>

struct flag pod_file_pod_flag(struct pod_file *file)
{
    return (struct flag){ "pod", FLAG_STRING, &file->pod, "FILE",
                          "The Pod's manifest; \"-\" is standard input." };
}

struct flag pod_file_name_flag(struct pod_file *file)
{
    return (struct flag){ "name", FLAG_STRING, &file->name, "[NAMESPACE/]NAME",
                          "Which Pod, if the file has several." };
}

static int print(const struct pod_file *file, const void *options, struct arena *a, struct err *e)
{
    struct pod_dns pod;
    const char *text;
    int rc = pod_manifest_load(file->pod, file->name, a, &pod, e);
    if (rc == 0)
        rc = file->text(options, &pod, a, &text, e);
    if (rc < 0)
        return rc;
    fputs(text, stdout);
    if (fflush(stdout) != 0)
        return err_set(e, -errno, "cannot write: %s", strerror(errno));
    return 0;
}

int pod_file_run(const struct pod_file *file, const void *options, const struct flag *flags,
                 size_t n_flags, int argc, char **argv)
{
    struct err e = { 0 };
    struct arena a;
    int left = 0;
    int rc = flags_parse(file->command, flags, n_flags, argc, argv, &left, &e);
    if (rc == 1)
        return 0;
    if (rc == 0 && left)
        rc = err_set(&e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    if (rc == 0 && !file->pod)
        rc = err_set(&e, ERR_INVALID, "name the Pod's manifest with --pod FILE");
    arena_init(&a, 64 << 10);
    if (rc == 0)
        rc = print(file, options, &a, &e);
    arena_done(&a);
    if (rc < 0)
        fprintf(stderr, "signpost %s: %s\n", file->command->name, e.text);
    return rc < 0 ? 1 : 0;
}
