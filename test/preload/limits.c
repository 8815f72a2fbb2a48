/* limits.c - a server that meets its limits; run under the library
 *
 * usage: limits cache      fills a cache without end, and gives it up when told
 *        limits megabytes  allocates and writes so many, then says "ok N" or "failed N"
 *        limits probe      asks for sizes that no machine has
 *        limits idle       frees what nearly fills its control group, and waits until it has gone
 *        limits mappings   allocates with as many mappings as the system allows
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tidepool/malloc.h>

enum { ITEM = 100000, MOST = 4000 }; /* 400 MB */

static void *items[MOST];
static int first, next, calls;

static void give_up(size_t bytes_in_use, size_t limit, void *argument)
{
    int half = (next - first) / 2;

    if (argument != items || bytes_in_use == 0 || limit == 0)
        abort();
    calls++;
    while (half-- > 0)
        free(items[first++]);
}

static int fill_cache(void)
{
    tide_pressure_handler *(*on_pressure)(tide_pressure_handler *, void *) =
        (tide_pressure_handler *(*)(tide_pressure_handler *, void *))dlsym(RTLD_DEFAULT,
                                                                           "tide_on_pressure");

    if (!on_pressure || on_pressure(give_up, items))
        return 1;
    for (; next < MOST; next++) {
        items[next] = malloc(ITEM);
        if (!items[next])
            return 1;
        memset(items[next], next, ITEM);
    }
    for (int n = first; n < next; n++)
        if (*(unsigned char *)items[n] != (unsigned char)n)
            return 1;
    puts(calls > 1 ? "told" : "not told");
    return 0;
}

static int allocate(size_t megabytes)
{
    static char *blocks[100000];
    size_t n = 0;

    for (; n < megabytes; n++) {
        errno = 0;
        blocks[n] = malloc(1 << 20);
        if (!blocks[n])
            break;
        memset(blocks[n], (int)n, 1 << 20);
    }
    if (n < megabytes && errno != ENOMEM)
        return 1;
    for (size_t i = 0; i < n; i++)
        if (blocks[i][12345] != (char)i)
            return 1;
    printf("%s %zu\n", n == megabytes ? "ok" : "failed", n);
    return 0;
}

static int probe(void)
{
    static volatile size_t sizes[] = { SIZE_MAX, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX,
                                       (size_t)1 << 60, (size_t)1 << 46 };

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        for (int times = 0; times < 3; times++) {
            errno = 0;
            if (malloc(sizes[n]) || errno != ENOMEM || calloc(sizes[n], 2))
                return 1;
        }
    puts("ok");
    return 0;
}

/* Every second page of a mapping is read-only. */
static int use_up_mappings(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), most = 300000;
    char *pages = mmap(NULL, 2 * most * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        return 1;
    for (size_t n = 0; n < most; n++)
        if (mprotect(pages + 2 * n * page, page, PROT_READ) != 0)
            return allocate(2000);
    puts("too many");
    return 0;
}

static long resident_megabytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = -1;

    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        abort();
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) >> 20;
}

static int be_idle(void)
{
    enum { COUNT = 280 };
    static char *blocks[COUNT];

    for (int n = 0; n < COUNT; n++) {
        if (!(blocks[n] = malloc(1 << 20)))
            return 1;
        memset(blocks[n], 1, 1 << 20);
    }
    for (int n = 0; n < COUNT; n++)
        free(blocks[n]);
    while (resident_megabytes() > COUNT / 4)
        usleep(10000);
    puts("gone");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    if (strcmp(argv[1], "cache") == 0)
        return fill_cache();
    if (strcmp(argv[1], "probe") == 0)
        return probe();
    if (strcmp(argv[1], "idle") == 0)
        return be_idle();
    if (strcmp(argv[1], "mappings") == 0)
        return use_up_mappings();
    return allocate(strtoul(argv[1], NULL, 10));
}
