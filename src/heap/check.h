/* heap/check.h - what holds of every heap */
#ifndef TIDE_HEAP_CHECK_H
#define TIDE_HEAP_CHECK_H

#include "heap/heap.h"

/* Walks the lists of a heap that is not in use meanwhile. */
void tide_heap_check(struct heap *heap);

#endif
