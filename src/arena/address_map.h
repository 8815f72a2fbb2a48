/* arena/address_map.h - is this address ours, and what is there?
 *
 * One byte for each arena-sized, arena-aligned piece of the address space, in
 * one flat table.  The table is a read-only mapping whose pages become
 * writable as they are needed, so it costs neither memory nor commit charge.
 * Reading takes no lock: a caller with a block has seen its entry.
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
    TIDE_FOREIGN,
    TIDE_ARENA,
    TIDE_HUGE,         /* a huge block's record is at the piece's first byte */
    TIDE_HUGE_ALIGNED, /* a huge block starts at the piece's first byte, its record a page before */
    TIDE_HUGE_REST,    /* a later part of a huge block */
};

extern TIDE_HIDDEN _Atomic uint8_t *tide_address_map;
extern TIDE_HIDDEN uintptr_t tide_address_pieces; /* entries; 0 before the start */

static inline enum tide_memory tide_memory_at(const void *address)
{
    uintptr_t piece = (uintptr_t)address >> TIDE_ARENA_SHIFT;

    if (piece >= tide_address_pieces)
        return TIDE_FOREIGN;
    return (enum tide_memory)tide_relaxed(&tide_address_map[piece]);
}

/* Makes the table.  Called once, before any other thread can look. */
bool tide_address_map_start(void);

/* Enters what is in [start, start + bytes): what for the first piece, rest for
 * further ones.  False and ENOMEM when part of the table can't be made
 * writable; then nothing is entered.  Any thread. */
bool tide_address_map_set(const void *start, size_t bytes, enum tide_memory what,
                          enum tide_memory rest);

void tide_address_map_clear(const void *start, size_t bytes);

/* The first piece after start that has what; NULL for start is the first of all, and
 * NULL is the end.  For the child of a fork. */
void *tide_address_map_next(const void *start, enum tide_memory what);

/* For fork. */
struct tide_lock;
struct tide_lock *tide_address_map_lock(void);

#endif
