#include "dns/plugins/prometheus.h"

#include "base/metric.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Field 0 or 1 of statm, in bytes: the whole address space, what of it is in memory. */
static double memory_bytes(int field)
{
    long pages[2] = { 0, 0 };
    cleanup_fclose FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%ld %ld", &pages[0], &pages[1]) != 2)
        return 0;
    return (double)pages[field] * (double)sysconf(_SC_PAGESIZE);
}

static double virtual_bytes(void *ctx)
{
    (void)ctx;
    return memory_bytes(0);
}

static double resident_bytes(void *ctx)
{
    (void)ctx;
    return memory_bytes(1);
}

static double limit_of(int resource)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
        return 0;
    return (double)limit.rlim_cur; /* none: 2^64 - 1, as others show it */
}

static double virtual_max_bytes(void *ctx)
{
    (void)ctx;
    return limit_of(RLIMIT_AS);
}

static double max_fds(void *ctx)
{
    (void)ctx;
    return limit_of(RLIMIT_NOFILE);
}

static double open_fds(void *ctx)
{
    unsigned n = 0;
    (void)ctx;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    for (struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n - 1; /* without the folder's own */
}

static double cpu_seconds(void *ctx)
{
    struct timespec t = { 0 };
    (void)ctx;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_of(clockid_t clock)
{
    struct timespec t = { 0 };
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The kernel tells the start in ticks since boot (field 22, behind the name, which may hold
 * anything). */
static double started_after_boot(void)
{
    char text[1024];
    unsigned long long ticks = 0;
    cleanup_fclose FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    const char *p = strrchr(text, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (p)
        ticks = strtoull(p, NULL, 10);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double start_time(void *ctx)
{
    const double *found = ctx;
    return *found;
}

void prometheus_process_metrics(void)
{
    static double started; /* found out once: somebody may set the clock later */
    started = seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + started_after_boot();
    metric_counter_read("process_cpu_seconds_total",
                        "Total user and system CPU time spent in seconds.", "", cpu_seconds, NULL);
    metric_gauge("process_start_time_seconds", "When the process started, in Unix seconds.", "",
                 start_time, &started);
    metric_gauge("process_resident_memory_bytes", "Resident memory size in bytes.", "",
                 resident_bytes, NULL);
    metric_gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", "", virtual_bytes,
                 NULL);
    metric_gauge("process_virtual_memory_max_bytes", "Limit of the virtual memory in bytes.", "",
                 virtual_max_bytes, NULL);
    metric_gauge("process_open_fds", "Number of open file descriptors.", "", open_fds, NULL);
    metric_gauge("process_max_fds", "Limit of open file descriptors.", "", max_fds, NULL);
}
