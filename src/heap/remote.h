/* heap/remote.h - blocks freed by a thread that does not own their pool
 *
 * They go to the list that the freeing thread's malloc takes from: blocks that
 * circulate cost no atomic and are still in its cache.  When there may be more
 * of them than TIDEPOOL_STASH allows they are counted, and the surplus is sent
 * home: the older half, or all if malloc took none; gathered into a chain for
 * each pool, each chain pushed with one atomic.  Blocks smaller than a cache
 * line are gathered in the outbox and all go home.
 */
#ifndef TIDE_HEAP_REMOTE_H
#define TIDE_HEAP_REMOTE_H

#include "heap/heap.h"

/* Frees a block of a pool that heap (the caller's; NULL: it has none) does not
 * own.  One that was freed just before is reported as call's. */
void tide_heap_free_remote(struct heap *heap, struct pool *pool, struct block *block,
                           const char *call);

/* Sends the foreign blocks in the list of a class home, but for the first keep. */
void tide_heap_send_foreign(struct heap *heap, unsigned size_class, uint32_t keep);

/* The same for all classes and to the last one, and the outbox. */
void tide_heap_send_all_foreign(struct heap *heap);

/* Sends blocks home, to whichever pools they are of. */
void tide_heap_send_home(struct block *blocks);

#endif
