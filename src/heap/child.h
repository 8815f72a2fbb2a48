/* heap/child.h - what becomes of heaps in the child of a fork */
#ifndef TIDE_HEAP_CHILD_H
#define TIDE_HEAP_CHILD_H

/* Under all locks: retires the heaps of threads that are not in it. */
void tide_heap_after_fork_in_child(void);

/* The same in one that no handler ran in: also what had no thread is not trusted. */
void tide_heap_mend_in_child(void);

#endif
