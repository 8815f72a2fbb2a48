/* os/huge_pages.h - pages of 2 MiB: transparent ones, and the kernel's own pool
 *
 * Any thread may call these at any time; no lock is taken, nothing allocated,
 * errno kept.  Ranges start and end at a page; those for collapse at a huge one.
 */
#ifndef TIDE_OS_HUGE_PAGES_H
#define TIDE_OS_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bits.h"
#include "base/geometry.h"
#include "base/options.h"

#define TIDE_HUGE_PAGE_SHIFT 21
#define TIDE_HUGE_PAGE_BYTES ((size_t)1 << TIDE_HUGE_PAGE_SHIFT)

/* In classic geometry they are smaller than a huge page. */
#define TIDE_ARENAS_MAY_BE_HUGE (TIDE_ARENA_BYTES == TIDE_HUGE_PAGE_BYTES)
_Static_assert(TIDE_ARENA_BYTES <= TIDE_HUGE_PAGE_BYTES, "an arena has one huge page, or none");

/* To which memory the system gives transparent huge pages. */
enum tide_huge_pages {
    TIDE_HUGE_PAGES_UNKNOWN, /* not read yet */
    TIDE_HUGE_PAGES_NEVER,   /* none; or they are not of 2 MiB */
    TIDE_HUGE_PAGES_MADVISE, /* where a program asks for them */
    TIDE_HUGE_PAGES_ALWAYS,
};

/* Read from /sys at the first call. */
enum tide_huge_pages tide_os_huge_pages(void);

/* Asks for huge pages in the range, or for none.  False when the kernel doesn't
 * take it. */
bool tide_os_ask_huge_pages(void *start, size_t bytes);
bool tide_os_refuse_huge_pages(void *start, size_t bytes);

/* Applies TIDEPOOL_THP to a new mapping.  No system call with the default. */
void tide_os_advise_huge_pages_slow(void *start, size_t bytes);
static inline void tide_os_advise_huge_pages(void *start, size_t bytes)
{
    if (TIDE_UNLIKELY(tide_options.thp != TIDE_THP_AUTO))
        tide_os_advise_huge_pages_slow(start, bytes);
}

/* Whether it has asked for huge pages wherever they can be. */
bool tide_os_has_huge_pages(void);

/* Makes the pages that the range has huge ones now, if the kernel can (6.1);
 * else it does so in its own time where it was asked. */
bool tide_os_collapse(void *start, size_t bytes);

/* How many bytes of one huge page's range are resident. */
size_t tide_os_resident_bytes(void *start);

/* ---- The kernel's pool (vm.nr_hugepages) ------------------------------- */

struct tide_huge_page_pool {
    size_t pages;     /* that it has; 0 also when the kernel has no such pool */
    size_t available; /* of those neither in use nor promised */
};

struct tide_huge_page_pool tide_os_huge_page_pool(void);

/* Zeroed memory of pages from the pool, which are promised to this process but
 * taken when they are used.  NULL when it hasn't so many.  bytes: whole huge
 * pages. */
void *tide_os_map_huge_pages(size_t bytes, size_t alignment);

/* Takes the range's pages now.  False when that fails, as it does in the child
 * of a fork when the pool has no more; a later use would be a SIGBUS.  *is_told
 * becomes false when the kernel can't do this (before 5.14). */
bool tide_os_populate(void *start, size_t bytes, bool *is_told);

#endif
