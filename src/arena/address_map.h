/* arena/address_map.h - is there an arena at this address?
 *
 * One byte for each arena-sized, arena-aligned piece of the address space.  The
 * space is cut in parts, and a part's table is made when something is first
 * entered there; it is a read-only mapping, stretches of which become writable as
 * they are needed, so what isn't written costs neither memory nor commit charge.
 * Tables stay for good.
 *
 * Two neighbouring parts are the home window: their table is one, made at the
 * start, and a free looks there alone.  The kernel maps where it mapped last, so
 * that's where nearly all blocks are; an address elsewhere takes longer.
 *
 * There are no locks.  Reading takes none as a caller with a block has seen its
 * entry; tables and writable stretches are made before they are published, and two
 * threads that make the same one do no harm.
 */
#ifndef TIDE_ARENA_ADDRESS_MAP_H
#define TIDE_ARENA_ADDRESS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/geometry.h"

/* The home window; constant after the start. */
extern TIDE_HIDDEN _Atomic uint8_t *tide_map_home; /* its table */
extern TIDE_HIDDEN uintptr_t tide_map_base;        /* its first address */
extern TIDE_HIDDEN uintptr_t tide_map_pieces;      /* its entries; 0 before the start */

/* Any address: whether it is in an arena in the home window. */
static inline bool tide_is_in_home_arena(const void *address)
{
    uintptr_t piece = ((uintptr_t)address - tide_map_base) >> TIDE_ARENA_SHIFT;

    return TIDE_LIKELY(piece < tide_map_pieces) && tide_byte_is(&tide_map_home[piece], true);
}

bool tide_is_in_far_arena(const void *address); /* away from home */

/* Any address: whether it is in an arena; else it may be the store's, or foreign. */
static inline bool tide_is_in_arena(const void *address)
{
    uintptr_t piece = ((uintptr_t)address - tide_map_base) >> TIDE_ARENA_SHIFT;

    return TIDE_LIKELY(piece < tide_map_pieces) ? tide_relaxed(&tide_map_home[piece])
                                                : tide_is_in_far_arena(address);
}

/* Makes the home window.  Called once, before any other thread can look. */
bool tide_address_map_start(void);

/* There is an arena from now on.  False and ENOMEM when a table can't be made or
 * written.  Any thread. */
bool tide_address_map_enter(const void *arena);

/* There was one. */
void tide_address_map_leave(const void *arena);

/* The first arena after another; NULL for that is the first of all, and NULL is the
 * end.  For the child of a fork. */
void *tide_address_map_next(const void *arena);

#endif
