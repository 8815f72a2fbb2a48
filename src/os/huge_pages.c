/* os/huge_pages.c - see huge_pages.h */
#include "os/huge_pages.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "os/kernel.h"
#include "os/map.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

enum { TEXT_BYTES = 100, MOST_PAGES = 512, MOST_TRIES = 4 };

/* The start of a file's first line; empty when it can't be read. */
static void read_text(const char *path, char text[TEXT_BYTES])
{
    struct tide_lines lines;
    const char *line;

    text[0] = '\0';
    if (!tide_os_lines_open(&lines, path))
        return;
    line = tide_os_lines_next(&lines);
    if (line)
        snprintf(text, TEXT_BYTES, "%s", line);
    tide_os_lines_close(&lines);
}

static bool advise(void *start, size_t bytes, int advice)
{
    int saved_errno = errno;
    bool is_taken = madvise(start, bytes, advice) == 0;

    errno = saved_errno;
    return is_taken;
}

/* ---- Transparent huge pages -------------------------------------------- */

/* Since 6.8 each size has a mode of its own, mostly "inherit". */
static enum tide_huge_pages read_mode(void)
{
    static const char *const paths[] = {
        "/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/enabled",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    };

    /* The kernel's huge page is what one page of page table entries maps. */
    if (tide_os_page_bytes / sizeof(uint64_t) * tide_os_page_bytes != TIDE_HUGE_PAGE_BYTES)
        return TIDE_HUGE_PAGES_NEVER;
    for (size_t n = 0; n < sizeof paths / sizeof *paths; n++) {
        char text[TEXT_BYTES];

        read_text(paths[n], text);
        if (strstr(text, "[always]"))
            return TIDE_HUGE_PAGES_ALWAYS;
        if (strstr(text, "[madvise]"))
            return TIDE_HUGE_PAGES_MADVISE;
        if (strstr(text, "[never]"))
            return TIDE_HUGE_PAGES_NEVER;
    }
    return TIDE_HUGE_PAGES_NEVER;
}

enum tide_huge_pages tide_os_huge_pages(void)
{
    static _Atomic uint8_t known;
    enum tide_huge_pages mode = (enum tide_huge_pages)tide_relaxed(&known);

    if (TIDE_UNLIKELY(mode == TIDE_HUGE_PAGES_UNKNOWN)) {
        mode = read_mode();
        tide_set_relaxed(&known, (uint8_t)mode);
    }
    return mode;
}

bool tide_os_ask_huge_pages(void *start, size_t bytes)
{
    return advise(start, bytes, MADV_HUGEPAGE);
}

bool tide_os_refuse_huge_pages(void *start, size_t bytes)
{
    return advise(start, bytes, MADV_NOHUGEPAGE);
}

bool tide_os_collapse(void *start, size_t bytes)
{
    return advise(start, bytes, MADV_COLLAPSE);
}

size_t tide_os_resident_bytes(void *start)
{
    unsigned char pages[MOST_PAGES] = { 0 };
    size_t count = TIDE_HUGE_PAGE_BYTES / tide_os_page_bytes, resident = 0;
    int saved_errno = errno;

    if (count <= MOST_PAGES && mincore(start, TIDE_HUGE_PAGE_BYTES, pages) == 0)
        for (size_t n = 0; n < count; n++)
            resident += pages[n] & 1;
    errno = saved_errno;
    return resident * tide_os_page_bytes;
}

bool tide_os_has_huge_pages(void)
{
    return tide_options.thp == TIDE_THP_ALWAYS && tide_os_huge_pages() != TIDE_HUGE_PAGES_NEVER;
}

void tide_os_advise_huge_pages_slow(void *start, size_t bytes)
{
    if (tide_options.thp == TIDE_THP_NEVER && tide_os_huge_pages() == TIDE_HUGE_PAGES_ALWAYS)
        tide_os_refuse_huge_pages(start, bytes);
    else if (tide_os_has_huge_pages())
        tide_os_ask_huge_pages(start, bytes);
}

/* ---- The kernel's pool ------------------------------------------------- */

static size_t read_count(const char *path)
{
    char text[TEXT_BYTES];

    read_text(path, text);
    return (size_t)strtoul(text, NULL, 10);
}

struct tide_huge_page_pool tide_os_huge_page_pool(void)
{
    static const char all[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    static const char free_ones[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    static const char promised[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages";
    size_t not_in_use = read_count(free_ones), taken = read_count(promised);

    return (struct tide_huge_page_pool){
        .pages = read_count(all),
        .available = not_in_use > taken ? not_in_use - taken : 0,
    };
}

/* Address space of that alignment that was free just now; 0: none. */
static uintptr_t find_room(size_t bytes, size_t alignment)
{
    size_t room = bytes + alignment;
    void *start = room < bytes ? MAP_FAILED
                               : mmap(NULL, room, PROT_NONE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (start == MAP_FAILED)
        return 0;
    munmap(start, room);
    return tide_round_up((uintptr_t)start, alignment);
}

/* Room that was found may be gone again, so the address is no more than a hint:
 * with MAP_FIXED it could replace another thread's mapping.  *is_over becomes
 * whether another try is of no use. */
static void *try_map(size_t bytes, size_t alignment, bool *is_over)
{
    uintptr_t hint = find_room(bytes, alignment);
    void *start = hint == 0 ? MAP_FAILED
                            : mmap((void *)hint, bytes, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
                                       TIDE_HUGE_PAGE_SHIFT << MAP_HUGE_SHIFT,
                                   -1, 0);

    *is_over = start == MAP_FAILED || ((uintptr_t)start & (alignment - 1)) == 0;
    if (!*is_over)
        munmap(start, bytes);
    return !*is_over || start == MAP_FAILED ? NULL : start;
}

void *tide_os_map_huge_pages(size_t bytes, size_t alignment)
{
    int saved_errno = errno;
    bool is_over = false;
    void *start = NULL;

    for (int tries = 0; tries < MOST_TRIES && !is_over; tries++)
        start = try_map(bytes, alignment, &is_over);
    errno = saved_errno;
    return start;
}

bool tide_os_populate(void *start, size_t bytes, bool *is_told)
{
    int saved_errno = errno;
    bool is_populated = madvise(start, bytes, MADV_POPULATE_WRITE) == 0;

    *is_told = is_populated || errno != EINVAL;
    errno = saved_errno;
    return is_populated;
}
