/* heap/birth.h - a thread gets its heap, uses it, and leaves it at its end */
#ifndef TIDE_HEAP_BIRTH_H
#define TIDE_HEAP_BIRTH_H

#include "heap/heap.h"

/* The allocator starts: the thread that calls is the process's first, if it has its
 * number.  end is what a thread that has a heap calls at its end, with the heap. */
void tide_heap_start(void (*end)(void *heap));

/* A thread that is unborn gets a heap, made or adopted; one of tidepool's own none.
 * False and ENOMEM when there is no memory. */
bool tide_heap_be_born(void);

/* The CPU that a heap was born or adopted on while there was one. */
extern TIDE_HIDDEN _Atomic unsigned tide_heap_first_cpu;

/* The heap that the calling thread, which was born, may use, in a section: its own, or
 * the common one, locked, while someone has taken its own, and if it has none.  Must be
 * followed by tide_heap_leave. */
struct heap *tide_heap_enter(void);
void tide_heap_leave(struct heap *heap);

#endif
