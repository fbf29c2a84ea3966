#include "registry/age.h"

#include "kube/timestamp.h"

#include <stdio.h>
#include <time.h>

/* "5m3s", "3d": about as exact as people want it. */
static void span_text(int64_t s, char out[32])
{
    long long m = s / 60, h = s / 3600, d = h / 24;
    if (s < 120)
        (void)snprintf(out, 32, "%llds", s < 0 ? 0LL : (long long)s);
    else if (m < 10 && s % 60)
        (void)snprintf(out, 32, "%lldm%llds", m, (long long)s % 60);
    else if (m < 180)
        (void)snprintf(out, 32, "%lldm", m);
    else if (h < 8 && m % 60)
        (void)snprintf(out, 32, "%lldh%lldm", h, m % 60);
    else if (h < 48)
        (void)snprintf(out, 32, "%lldh", h);
    else if (h < 192 && h % 24)
        (void)snprintf(out, 32, "%lldd%lldh", d, h % 24);
    else if (d < 730)
        (void)snprintf(out, 32, "%lldd", d);
    else if (d < 2920 && d % 365)
        (void)snprintf(out, 32, "%lldy%lldd", d / 365, d % 365);
    else
        (void)snprintf(out, 32, "%lldy", d / 365);
}

json_t *age_since(const char *stamp)
{
    char text[32];
    int64_t ns;
    if (!stamp || timestamp_parse(stamp, &ns) < 0)
        return json_string("<unknown>");
    span_text((int64_t)time(NULL) - ns / 1000000000, text);
    return json_string(text);
}
