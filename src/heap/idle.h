/* heap/idle.h - what heaps give back that aren't used now
 *
 * Who looks for idle memory may stand in for a thread that sleeps outside the
 * allocator: it is then the owner of that thread's heap for a moment.  A heap
 * that wasn't in use since the last look (heap->moves tells) gives back all it
 * can; one that was, the free pages of used pools that no block was taken from
 * since.  Heaps without a thread, and the common one, give back such pages too.
 *
 * Looks, and tide_idle_give_back_all, are made under the maintenance lock.
 */
#ifndef TIDE_HEAP_IDLE_H
#define TIDE_HEAP_IDLE_H

#include "heap/heap.h"

/* How often someone stood in for a thread; written under the maintenance lock. */
extern TIDE_HIDDEN _Atomic size_t tide_idle_lent;

/* The calling thread becomes the heap's owner. */
void tide_idle_note_owner(struct heap *heap);

/* The owner, which is about to use its heap: waits until nobody stands in. */
void tide_idle_wait(struct heap *heap);

/* The owner ends: nobody will stand in for it. */
void tide_idle_forbid(struct heap *heap);

/* How much a look may do. */
struct tide_effort {
    unsigned idle;   /* heaps that are idle */
    unsigned busy;   /* those that are in use */
    unsigned slices; /* of the work in each */
    bool is_same;    /* look: it goes on with the last one */
};

/* Goes on with the heap at which the last look stopped.  How many heaps wait for
 * a later look. */
size_t tide_idle_look(struct tide_effort effort);

/* Lets every heap that nobody uses at this moment (and that was used since it did so
 * last) give back all it can.  Bytes of pages of used pools. */
size_t tide_idle_give_back_all(bool is_only_moved);

/* The same for one heap, by its owner. */
size_t tide_idle_give_back(struct heap *heap);

#endif
