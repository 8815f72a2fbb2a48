/* heap/remote.h - blocks freed by a thread that does not own their pool
 *
 * They go to the list that the freeing thread's malloc takes from: blocks that
 * circulate cost no atomic and are still in its cache.  Once a batch of a class
 * has gone there, further ones are gathered in a batch of their own until the
 * list is used up; when that batch is full, too, it goes to the depot, from
 * where other threads take it.
 *
 * What the depot has no room for goes home, and so do blocks smaller than a
 * cache line, as other threads' blocks share their lines: gathered in the
 * outbox into a chain for each pool, each chain pushed with one atomic.
 */
#ifndef TIDE_HEAP_REMOTE_H
#define TIDE_HEAP_REMOTE_H

#include "heap/heap.h"
#include "pool/hollow.h"

/* In a section: frees a block of a pool that heap, the calling thread's own, does not own.  One
 * that was freed just before is reported as call's. */
void tide_heap_free_remote(struct heap *heap, struct pool *pool, struct block *block,
                           const char *call);

/* The same for a thread that has no heap of its own. */
void tide_heap_send_block_home(struct block *block);

/* Sends what the heap has of other pools than its current ones home. */
void tide_heap_send_all_foreign(struct heap *heap);

/* Sends blocks home, to whichever pools they are of. */
void tide_heap_send_home(struct block *blocks);

/* Sends pages that were set aside, and purged, back to their pool. */
void tide_heap_send_pages_home(const struct tide_pages *pages);

/* Sends the depot's blocks home, all or those that nobody needed since the last
 * such call.  How many classes still have some there. */
size_t tide_heap_empty_depot(bool is_only_idle);

#endif
