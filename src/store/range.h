/* store/range.h - a stretch of address space that the store has from the OS
 *
 *   USED    the record is with who uses it
 *   BLOCK   a block of the program's, found by its first address
 *   DIRTY   free, its pages may be resident
 *   PURGED  free, reads as zero and has no pages
 *   BUSY    nobody's, someone is giving its pages back
 * Neighbours are never both dirty or both purged, if they are of one memory node.
 */
#ifndef TIDE_STORE_RANGE_H
#define TIDE_STORE_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

enum tide_range_state {
    RANGE_DIRTY,  /* these two are free */
    RANGE_PURGED,
    RANGE_BUSY,
    RANGE_BLOCK,
    RANGE_USED,
    RANGE_STATES,
};

struct tide_range {
    char *start;                       /* under the store's lock; constant while not free */
    size_t bytes;                      /* likewise, but for its user's changes */
    struct tide_range *left, *right;   /* under the lock: the tree of free ones of this state */
    struct tide_range *older, *newer;  /* likewise: all of this state, but for used ones */
    _Atomic uint64_t stamp;            /* likewise: ms; when it was freed, or purged; of a
                                          block: 0, or it waits to be taken again: who has it */
    uint8_t state;                     /* likewise; read by who has the block */
    uint8_t home;                      /* constant while not free: of its memory node */
    uint16_t patches : 15;             /* likewise: how often it was made several mappings */
    uint16_t is_patched : 1;           /* likewise: may be several, that another piece counts */
    uint32_t copy;                     /* likewise: the number of this copy of the process */
};

/* Whether it is a live block, for who has it. */
static inline bool tide_range_is_live(const struct tide_range *range)
{
    return range->state == RANGE_BLOCK && tide_relaxed(&range->stamp) == 0;
}

/* What somebody asks the store for. */
struct tide_request {
    size_t bytes;                /* whole pages */
    size_t alignment;            /* a power of two of at least a page */
    unsigned node;               /* the memory node */
    enum tide_range_state state; /* RANGE_BLOCK or RANGE_USED */
    bool is_zero_wanted;         /* rather one that is zero than one that has pages */
};

#endif
