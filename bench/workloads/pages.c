/* bench/workloads/pages.c - see pages.h */
#include "pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"

void pages_begin(struct pages *pages, uint64_t blocks, uint64_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t most = bytes / page + 2 * blocks; /* both ends in a page that is partly its */

    *pages = (struct pages){ .page = page, .room = 1024 };
    while (pages->room <= 2 * most) /* so that it is never more than half full */
        pages->room *= 2;
    pages->table = mmap(NULL, pages->room * sizeof *pages->table, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages->table == MAP_FAILED)
        fail("no memory for a table of %llu pages: %s", (unsigned long long)pages->room,
             strerror(errno));
}

static void add_page(struct pages *pages, uint64_t number)
{
    uint64_t at = number * UINT64_C(0x9E3779B97F4A7C15) >> 20;

    for (at &= pages->room - 1; pages->table[at]; at = (at + 1) & (pages->room - 1))
        if (pages->table[at] == number)
            return;
    if (pages->count == pages->room / 2)
        fail("the blocks are in more pages than they should be: %llu",
             (unsigned long long)pages->count);
    pages->table[at] = number;
    pages->count++;
}

void pages_add(struct pages *pages, const void *block, size_t size)
{
    uint64_t first = (uintptr_t)block / pages->page;
    uint64_t last = ((uintptr_t)block + size - 1) / pages->page;

    for (uint64_t number = first; number <= last; number++)
        add_page(pages, number);
}

uint64_t pages_end(struct pages *pages)
{
    munmap(pages->table, pages->room * sizeof *pages->table);
    return pages->count * pages->page;
}
