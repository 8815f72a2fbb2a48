/* upkeep/idle.h - what heaps give back that aren't used now
 *
 * Who looks for idle memory takes the heaps of others, a few at a time and for a slice
 * of work each.  A heap that wasn't in use since the last look (heap->moves tells)
 * gives back all it can; one that was, the free pages of used pools that no block was
 * taken from since.
 *
 * All of it is done under the look's lock, outside sections.
 */
#ifndef TIDE_UPKEEP_IDLE_H
#define TIDE_UPKEEP_IDLE_H

#include "heap/heap.h"

/* How often a heap was taken from its owner; written under the look's lock. */
extern TIDE_HIDDEN _Atomic size_t tide_idle_taken;

/* A look at all heaps.  How many wait for a later one. */
size_t tide_idle_look(void);

/* The same a round at a time, for who has no time.  Whether there is more of it. */
bool tide_idle_look_on(void);

/* In a copy of the process: others were in the middle of it. */
void tide_idle_forget(void);

/* Lets every heap whose owner is outside it (and that was used since it did so last)
 * give back all it can.  Bytes of pages of used pools. */
size_t tide_idle_give_back_all(bool is_only_moved);

/* A round for the next heap that blocks wait to come home to. */
void tide_idle_collect_on(void);

/* Lets the calling thread's own heap give back all it can; without the look's
 * lock, too. */
size_t tide_idle_give_back_own(void);

#endif
