/* arena/address_map.h - is this address ours, and what is there?
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

enum tide_memory {
    TIDE_OTHER, /* a block of the store's, or foreign */
    TIDE_ARENA,
};

/* The home window; constant after the start. */
extern TIDE_HIDDEN _Atomic uint8_t *tide_map_home; /* its table */
extern TIDE_HIDDEN uintptr_t tide_map_base;        /* its first address */
extern TIDE_HIDDEN uintptr_t tide_map_pieces;      /* its entries; 0 before the start */

/* From here on half an arena isn't mapped, though its piece is entered; 0: none.
 * See arena.h. */
extern TIDE_HIDDEN _Atomic uintptr_t tide_map_hole;

/* Any address: whether it is in an arena in the home window. */
static inline bool tide_is_in_home_arena(const void *address)
{
    uintptr_t piece = ((uintptr_t)address - tide_map_base) >> TIDE_ARENA_SHIFT;

    return TIDE_LIKELY(piece < tide_map_pieces) && tide_byte_is(&tide_map_home[piece], TIDE_ARENA);
}

enum tide_memory tide_memory_away(const void *address); /* from home */

/* Any address. */
static inline enum tide_memory tide_memory_at(const void *address)
{
    uintptr_t piece = ((uintptr_t)address - tide_map_base) >> TIDE_ARENA_SHIFT;
    enum tide_memory memory = TIDE_LIKELY(piece < tide_map_pieces)
                                  ? (enum tide_memory)tide_relaxed(&tide_map_home[piece])
                                  : tide_memory_away(address);
    bool is_in_hole = (uintptr_t)address - tide_relaxed(&tide_map_hole) < TIDE_ARENA_BYTES / 2;

    return TIDE_UNLIKELY(is_in_hole) ? TIDE_OTHER : memory;
}

/* Makes the home window.  Called once, before any other thread can look. */
bool tide_address_map_start(void);

/* Enters what is in [start, start + bytes): what for the first piece, rest for
 * further ones.  False and ENOMEM when a table can't be made or written; then
 * nothing is entered.  Any thread. */
bool tide_address_map_set(const void *start, size_t bytes, enum tide_memory what,
                          enum tide_memory rest);

void tide_address_map_clear(const void *start, size_t bytes);

/* The first piece after start that has what; NULL for start is the first of all, and
 * NULL is the end.  For the child of a fork. */
void *tide_address_map_next(const void *start, enum tide_memory what);

#endif
