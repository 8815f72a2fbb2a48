/* heap/orphans.h - what becomes of a heap whose thread has ended
 *
 * It is handed over as it is, with its lists and pools, to the next thread that
 * is born.  When that takes long, or there are many, it gives back what it can.
 */
#ifndef TIDE_HEAP_ORPHANS_H
#define TIDE_HEAP_ORPHANS_H

#include "heap/heap.h"

/* A thread has made itself a heap. */
void tide_heap_count_born(void);

/* Whether one more orphan may keep its lists and pools; else its thread lets all go that
 * can (upkeep/tidy.h) before it hands it over. */
bool tide_heap_is_to_stay_whole(void);

/* Makes the heap of the calling thread, which uses it no more, an orphan.  In a
 * section, which ends; is_taken: the door is closed. */
void tide_heap_hand_over(struct heap *heap, bool is_taken, bool is_whole);

/* A heap without a thread, taken, now the calling one's; NULL when there is none. */
struct heap *tide_heap_adopt(void);

/* An orphan has given back all it could: threads that are born take others first. */
void tide_heap_note_bare(struct heap *heap);

/* In a fork child, under the lock: retires all orphans, or those that someone had taken
 * when the process was copied; so many heaps have a thread. */
void tide_heap_drop_orphans_in_child(bool are_all, unsigned owned);

/* For fork, and its counts. */
struct tide_lock *tide_heap_orphans_lock(void);

#endif
