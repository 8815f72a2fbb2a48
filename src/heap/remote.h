/* heap/remote.h - blocks freed by a thread that does not own their pool
 *
 * They go to the list that the freeing thread's malloc takes from: blocks that
 * circulate cost no atomic and are still in its cache.  Once a batch of a class
 * has gone there, further ones are gathered in a batch of their own until the
 * list is used up; when that batch is full, too, it goes to the depot, from
 * where other threads take it, or home.
 */
#ifndef TIDE_HEAP_REMOTE_H
#define TIDE_HEAP_REMOTE_H

#include "heap/heap.h"

/* In a section: frees a block of a pool that heap, the calling thread's own, does not
 * own.  False, and nothing is done, if it was freed just before. */
bool tide_heap_free_remote(struct heap *heap, struct pool *pool, struct block *block);

/* Sends what the heap has of other heaps' pools home, and of its own ones what is in lists
 * that are the current pool's. */
void tide_heap_send_all_foreign(struct heap *heap);

#endif
