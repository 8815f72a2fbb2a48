/* upkeep/look.h - what has been free for long goes back to the OS
 *
 * Twice in TIDEPOOL_DECAY_MS somebody looks: what was free at the last look and still
 * is goes.  Under one lock, so that a fork finds everything at rest; no others are held.
 */
#ifndef TIDE_UPKEEP_LOOK_H
#define TIDE_UPKEEP_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena/manager.h"
#include "base/atomic.h"
#include "store/store.h"

/* Two looks in the time that free memory waits. */
uint64_t tide_upkeep_pause_ms(void);

static inline size_t tide_upkeep_mapped(void)
{
    return tide_relaxed(&tide_store_used) + tide_relaxed(&tide_store_dirty);
}

/* One look.  What waits for the next: bytes, heaps, classes of the depot, arenas
 * that are walked. */
size_t tide_upkeep_look(void);

/* A part of one, if it is time, for who has something else to do. */
void tide_upkeep_look_on(void);

/* Returns to the OS at once what no thread has allocated, but for about keep bytes
 * and what threads hold that are running just then (or have moved no pool since they
 * last gave back, if so wanted).  Bytes that were returned. */
size_t tide_upkeep_purge(size_t keep, bool is_only_moved);

/* Returns free ranges to the OS with their address space. */
void tide_upkeep_unmap(void);

struct tide_lock *tide_upkeep_lock(void);

#endif
