/* bench/workloads/pin.h - threads on cores of their own, where there are enough
 *
 * hwloc knows the cores, but allocates while it looks, and would do so with the
 * allocator that is measured.  So the program `cores`, beside this one, asks it
 * in a process of its own.  Where that isn't built, nothing is pinned.
 */
#ifndef BENCH_PIN_H
#define BENCH_PIN_H

#include <stdbool.h>

/* Finds the cores, for so many threads.  Before any thread is started. */
void pin_prepare(unsigned threads);

/* Ties the calling thread to a core, if pin_prepare found one for each. */
void pin_thread(unsigned index);

bool pin_is_on(void);

/* How many threads of so many can run at once. */
unsigned parallel(unsigned threads);

#endif
