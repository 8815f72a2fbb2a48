/* heap/idle.h - what heaps give back that aren't used now
 *
 * Who looks for idle memory may stand in for a thread that sleeps outside the
 * allocator: it is then the owner of that thread's heap for a moment.  A heap
 * that its thread hasn't moved a pool in since the last look gives back all it
 * can; one in use, the free pages of used pools that no block was taken from
 * since.  Heaps without a thread, and the common one, give back such pages too.
 *
 * All but the first two functions are called under the maintenance lock.
 */
#ifndef TIDE_HEAP_IDLE_H
#define TIDE_HEAP_IDLE_H

#include "heap/heap.h"

/* How often someone stood in for a thread; written under the maintenance lock. */
extern TIDE_HIDDEN _Atomic size_t tide_idle_lent;

/* The owner, which is about to use its heap: waits until nobody stands in. */
void tide_idle_wait(struct heap *heap);

/* The owner ends: nobody will stand in for it. */
void tide_idle_forbid(struct heap *heap);

/* Looks at all heaps, or until most_idle that are idle were seen, going on where
 * the last look stopped; of those in use, at most_busy.  How many wait for a
 * later look. */
size_t tide_idle_look(unsigned most_idle, unsigned most_busy);

/* Lets every heap that nobody uses at this moment give back all it can.  Bytes of
 * pages of used pools. */
size_t tide_idle_give_back_all(void);

/* The same for one heap, by its owner. */
size_t tide_idle_give_back(struct heap *heap);

#endif
