/* Runs a fuzz target over a corpus without libFuzzer: every file whole, and cut short at many
 * places. Each input is handed over in a heap block of exactly its size, so that a sanitizer sees
 * the first byte read behind it. */
#include "base/cleanup.h"
#include "base/mem.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#define INPUT_MAX (1 << 20) /* bytes of a corpus file */
#define CUTS_MAX  256       /* shortened inputs made from one file */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs;

static void run_input(const uint8_t *data, size_t size)
{
    uint8_t *exact = xmalloc(size);
    if (size)
        memcpy(exact, data, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    inputs++;
}

static void run_cuts(const uint8_t *data, size_t size)
{
    size_t step = size / CUTS_MAX + 1;
    for (size_t cut = 0; cut < size; cut += step)
        run_input(data, cut);
    run_input(data, size);
}

static int run_file(const char *path)
{
    static uint8_t data[INPUT_MAX + 1];
    cleanup_fclose FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    size_t size = fread(data, 1, sizeof data, f);
    if (ferror(f) || size > INPUT_MAX) {
        (void)fprintf(stderr, "%s: cannot be read, or longer than %d bytes\n", path, INPUT_MAX);
        return -1;
    }
    run_cuts(data, size);
    return 0;
}

static int run_folder(const char *folder)
{
    int files = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        perror(folder);
        return -1;
    }
    for (struct dirent *entry; files >= 0 && (entry = readdir(dir));) {
        char path[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        files = run_file(path) < 0 ? -1 : files + 1;
    }
    closedir(dir);
    return files;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    int files = run_folder(argv[1]);
    if (files == 0)
        (void)fprintf(stderr, "%s: no files in the corpus\n", argv[1]);
    if (files <= 0)
        return 1;
    printf("%d files, %zu inputs\n", files, inputs);
    return 0;
}
