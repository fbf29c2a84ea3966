/* What a receiver of dnstap says: control frames, one behind the other. */
#include "net/frames.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define CONTENT "protobuf:dnstap.Dnstap"

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* What we would write for it is read as the same. */
static void write_again(enum frames_control type)
{
    uint8_t out[16 + FRAMES_CONTENT_MAX + 4];
    enum frames_control again;
    bool fits;
    size_t len = frames_write_control(out, type, CONTENT);
    require(frames_read_control(out, len, CONTENT, &again, &fits) == (int)len);
    require(again == type && fits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        enum frames_control type;
        bool fits;
        int n = frames_read_control(data + at, size - at, CONTENT, &type, &fits);
        require(n == ERR_PARSE || (n >= 0 && (size_t)n <= size - at));
        require(n != 0 || size - at < 8 + FRAMES_CONTROL_MAX);
        if (n <= 0)
            break;
        require(n >= 12 && type >= FRAMES_ACCEPT && type <= FRAMES_FINISH);
        write_again(type);
        at += (size_t)n;
    }
    return 0;
}
