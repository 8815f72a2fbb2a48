/* store/page_map.c - see page_map.h */
#include "store/page_map.h"

#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/geometry.h"
#include "os/map.h"
#include "os/records.h"
#include "store/range.h"

enum {
    LEAF_SHIFT = 9,    /* log2 of a leaf's entries */
    BRANCH_SHIFT = 11, /* of a branch's */
    LEAST_PAGE_SHIFT = 12,
    MOST_LEAVES = 256, /* that are made at a time */
    ROOTS = 1 << (TIDE_ADDRESS_BITS - LEAST_PAGE_SHIFT - LEAF_SHIFT - BRANCH_SHIFT),
};

struct leaf {
    struct tide_range *_Atomic entries[1 << LEAF_SHIFT];
};

struct branch {
    struct leaf *_Atomic leaves[1 << BRANCH_SHIFT];
};

static struct branch *_Atomic roots[ROOTS];

static uintptr_t leaf_of(const void *address)
{
    return (uintptr_t)address >> tide_os_page_shift >> LEAF_SHIFT;
}

/* NULL: nothing was ever entered there. */
static struct leaf *_Atomic *link_of(uintptr_t leaf)
{
    struct branch *branch;

    if (leaf >> BRANCH_SHIFT >= ROOTS)
        return NULL;
    branch = tide_acquire(&roots[leaf >> BRANCH_SHIFT]); /* pairs with make_branch's */
    return branch ? &branch->leaves[leaf & ((1 << BRANCH_SHIFT) - 1)] : NULL;
}

/* Of two threads that make one at the same time, the first one's stays. */
static bool make_branch(uintptr_t leaf)
{
    struct branch *none = NULL, *made;

    if (link_of(leaf))
        return true;
    made = tide_os_record(sizeof *made);
    if (!made)
        return false;
    atomic_compare_exchange_strong(&roots[leaf >> BRANCH_SHIFT], &none, made);
    return true;
}

/* What was made and isn't used yet. */
struct batch {
    struct leaf *next;
    size_t count, wanted;
};

static struct leaf *take_leaf(struct batch *batch)
{
    if (batch->count == 0) {
        batch->count = batch->wanted < MOST_LEAVES ? batch->wanted : MOST_LEAVES;
        batch->next = tide_os_record(batch->count * sizeof *batch->next);
    }
    if (!batch->next)
        return NULL;
    batch->count--;
    return batch->next++;
}

static bool make_leaf(uintptr_t leaf, struct batch *batch)
{
    struct leaf *none = NULL, *made;

    if (!make_branch(leaf))
        return false;
    if (tide_acquire(link_of(leaf))) /* pairs with what follows */
        return true;
    made = take_leaf(batch);
    if (!made)
        return false;
    atomic_compare_exchange_strong(link_of(leaf), &none, made);
    return true;
}

bool tide_page_map_cover(const void *start, size_t bytes)
{
    uintptr_t last = leaf_of((const char *)start + bytes - 1);
    struct batch batch = { .count = 0 };

    for (uintptr_t leaf = leaf_of(start); leaf <= last; leaf++) {
        batch.wanted = last - leaf + 1;
        if (!make_leaf(leaf, &batch))
            return false;
    }
    return true;
}

static struct tide_range *_Atomic *entry_of(const void *address)
{
    struct leaf *_Atomic *link = link_of(leaf_of(address));
    struct leaf *leaf = link ? tide_acquire(link) : NULL; /* pairs with make_leaf's */

    return leaf ? &leaf->entries[(uintptr_t)address >> tide_os_page_shift &
                                 ((1 << LEAF_SHIFT) - 1)]
                : NULL;
}

void tide_page_map_set(const void *page, struct tide_range *range)
{
    tide_set_release(entry_of(page), range); /* pairs with tide_page_map_get's */
}

struct tide_range *tide_page_map_get(const void *address)
{
    struct tide_range *_Atomic *entry = entry_of(address);

    return entry ? tide_acquire(entry) : NULL; /* pairs with tide_page_map_set's */
}

static bool is_block_of(const struct tide_range *range, uintptr_t page)
{
    return range && range->state == RANGE_BLOCK &&
           (uintptr_t)range->start >> tide_os_page_shift == page;
}

struct tide_range *tide_page_map_next_block(const struct tide_range *block)
{
    uintptr_t page = block ? ((uintptr_t)block->start >> tide_os_page_shift) + 1 : 0;

    while (page >> LEAF_SHIFT >> BRANCH_SHIFT < ROOTS) {
        struct leaf *_Atomic *link = link_of(page >> LEAF_SHIFT);
        struct leaf *leaf = link ? tide_relaxed(link) : NULL;
        unsigned skip = !link ? LEAF_SHIFT + BRANCH_SHIFT : !leaf ? LEAF_SHIFT : 0;
        struct tide_range *range =
            leaf ? tide_relaxed(&leaf->entries[page & ((1 << LEAF_SHIFT) - 1)]) : NULL;

        if (is_block_of(range, page))
            return range;
        page = ((page >> skip) + 1) << skip;
    }
    return NULL;
}
