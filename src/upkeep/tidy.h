/* upkeep/tidy.h - gives back what a heap keeps, a slice at a time
 *
 * Its owner does it in a section, whoever has taken the heap, or holds the common
 * heap's lock.  A slice makes no system call and looks at so many blocks and pools at
 * most: what can go is set aside, and disposed of when the heap is free again.
 */
#ifndef TIDE_UPKEEP_TIDY_H
#define TIDE_UPKEEP_TIDY_H

#include "heap/heap.h"
#include "pool/hollow.h"

enum tidy_step {
    TIDY_LISTS,   /* foreign blocks, malloc's lists, current pools; class by class */
    TIDY_STOCK,   /* what came back, empty pools, the tenancy */
    TIDY_POOLS,   /* free pages of used pools */
    TIDY_DONE,
};

enum { ASIDE_PAGES = 32 };

/* What was set aside. */
struct tide_aside {
    struct block *blocks; /* of other heaps, to go home */
    struct aside pools;   /* empty ones */
    struct arena *arena;  /* the heap was its tenant */
    struct tide_pages pages[ASIDE_PAGES];
    unsigned page_count;
};

void tide_aside_init(struct tide_aside *aside);

/* Begins anew: all that can go, or, of a heap that is in use, only free pages of pools
 * that no block was taken from since the last look. */
void tide_heap_tidy_begin(struct heap *heap, bool is_only_idle);

/* A slice.  Whether there is more to do. */
bool tide_heap_tidy(struct heap *heap, struct tide_aside *aside);

/* Without locks and outside sections.  Bytes that went to the OS. */
size_t tide_aside_dispose(struct tide_aside *aside);

/* The calling thread, in a section of its heap, lets all go that can. */
void tide_heap_tidy_all(struct heap *heap);

/* Numbers the looks, for pools in use. */
void tide_tidy_count_look(void);

#endif
