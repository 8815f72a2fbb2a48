/* exchange/depot.h - blocks on their way from threads that free to threads that allocate
 *
 * A thread that frees more foreign blocks than its own malloc takes puts them
 * here, a batch of one class at a time, and one that runs out takes a batch
 * before it touches new memory.  So blocks go from consumers to producers with
 * a lock for each batch and without being sorted by pool, and memory that one
 * thread needed at its peak serves another at its own.  A class holds up to
 * TIDEPOOL_DEPOT bytes for each heap, or two batches; what is more goes home.
 * While here, a block counts as allocated.  Each shard has a depot (some share one).
 */
#ifndef TIDE_EXCHANGE_DEPOT_H
#define TIDE_EXCHANGE_DEPOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "pool/size_class.h"

struct block;
struct tide_lock;

/* Blocks of one class, linked by their first word. */
struct batch {
    struct block *first;
    uint32_t count;
};

/* How many blocks of a class make a batch: fewer the more heaps there are, but 8 or as many
 * as are 32 KiB at least.  Any thread reads it. */
extern TIDE_HIDDEN _Atomic uint8_t tide_depot_batch[TIDE_CLASSES];

/* Batches of a class that are here. */
extern TIDE_HIDDEN _Atomic uint32_t tide_depot_stored[TIDE_CLASSES];

/* Sets the sizes for so many heaps. */
void tide_depot_fit(unsigned heaps);

/* By a thread of that shard, whose depot comes first.  False when the class has enough, or
 * all locks are busy. */
bool tide_depot_put(unsigned shard, unsigned size_class, struct batch batch);

struct block *tide_depot_take_stored(unsigned shard, unsigned size_class);

/* The blocks of a batch; NULL when none is to be had. */
static inline struct block *tide_depot_take(unsigned shard, unsigned size_class)
{
    if (TIDE_LIKELY(tide_relaxed(&tide_depot_stored[size_class]) == 0))
        return NULL;
    return tide_depot_take_stored(shard, size_class);
}

/* All of a class, linked, to go home; when is_only_idle, only as many batches, the
 * oldest, as nobody needed since the last such call. */
struct block *tide_depot_empty(unsigned size_class, bool is_only_idle);

/* Calls visit with every block. */
void tide_depot_visit(void (*visit)(void *argument, const struct block *block), void *argument);

/* Adds the counts of its locks to those of sum. */
void tide_depot_lock_counts(struct tide_lock *sum);

/* All its locks, around fork: after the orphans', before the arenas'. */
void tide_depot_lock_all(void);
void tide_depot_unlock_all(bool in_child);

/* In a fork child that none of them was taken for: what is here is nobody's for good. */
void tide_depot_forget(void);

#endif
