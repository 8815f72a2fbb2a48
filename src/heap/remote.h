/* heap/remote.h - blocks freed by a thread that does not own their pool
 *
 * They wait in the freeing thread's stash of their class, where malloc finds
 * them first: blocks that circulate cost no atomic.  A stash that grows past
 * its bound is sent home: gathered into a chain for each pool, each chain
 * pushed with one atomic.
 */
#ifndef TIDE_HEAP_REMOTE_H
#define TIDE_HEAP_REMOTE_H

#include "heap/heap.h"

/* Frees a block of a pool that heap (the caller's; NULL: it has none) does not
 * own.  One that was freed just before is reported as call's. */
void tide_heap_free_remote(struct heap *heap, struct pool *pool, struct block *block,
                           const char *call);

/* Sends the stash of a class home. */
void tide_heap_send_stash(struct heap *heap, unsigned size_class);

/* Sends blocks home, to whichever pools they are of. */
void tide_heap_send_home(struct block *blocks);

#endif
