/* bench/workloads/pages.h - how many bytes of pages have a live block
 *
 * No allocator can give those back, so what is resident beyond them is what it
 * keeps.  A block counts with the bytes that were asked for, so the sum is the
 * least that must stay.  The table is mapped while it is counted and no longer:
 * malloc isn't called, and the count is not in what is measured afterwards.
 * One thread, no locks.
 */
#ifndef BENCH_PAGES_H
#define BENCH_PAGES_H

#include <stddef.h>
#include <stdint.h>

struct pages {
    uint64_t *table; /* numbers of the pages seen, open addressing; 0: free */
    uint64_t room;   /* a power of two, more than twice the most pages */
    uint64_t count;
    size_t page;     /* bytes */
};

/* For so many blocks that have no more bytes together. */
void pages_begin(struct pages *pages, uint64_t blocks, uint64_t bytes);
void pages_add(struct pages *pages, const void *block, size_t size);

/* Bytes of the pages that have a part of a block, each counted once. */
uint64_t pages_end(struct pages *pages);

#endif
