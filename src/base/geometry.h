/* base/geometry.h - the sizes everything else is built on
 *
 * A block lies in a pool, a pool is a run of slots, a slot is one of at most 64 in
 * an arena: so the free slots of an arena are one 64-bit word.  Two geometries
 * are built from the same source: server, whose arenas are a huge page each, and
 * classic (CPython's obmalloc's).
 * Each constant is held by an assertion where something relies on it.
 */
#ifndef TIDE_BASE_GEOMETRY_H
#define TIDE_BASE_GEOMETRY_H

#include "config.h"

#include <stddef.h>
#include <stdint.h>

#if TIDE_GEOMETRY_CLASSIC
#define TIDE_GEOMETRY_NAME "classic"
#define TIDE_ARENA_SHIFT 18
#define TIDE_SLOT_SHIFT 12
#else
#define TIDE_GEOMETRY_NAME "server"
#define TIDE_ARENA_SHIFT 21
#define TIDE_SLOT_SHIFT 16
#endif

#define TIDE_ARENA_BYTES ((size_t)1 << TIDE_ARENA_SHIFT)
#define TIDE_SLOT_BYTES ((size_t)1 << TIDE_SLOT_SHIFT)
#define TIDE_SLOTS (TIDE_ARENA_BYTES / TIDE_SLOT_BYTES)
_Static_assert(TIDE_SLOTS <= 64, "the free slots of an arena are one 64-bit word");

#define TIDE_CACHE_LINE 64
#define TIDE_DESCRIPTOR_SHIFT 7 /* log2 of a pool descriptor's size */

/* Alignment of every block larger than TIDE_WORD_BYTES, and the step between
 * small size classes. */
#define TIDE_ALIGNMENT 16
#define TIDE_WORD_BYTES 8

/* Blocks up to SMALL_MAX come from size classes spaced by TIDE_ALIGNMENT,
 * those up to POOLED_MAX from classes spaced 8 per doubling, larger ones from
 * the store. */
#define TIDE_SMALL_MAX ((size_t)256)
#define TIDE_POOLED_MAX (TIDE_SLOT_BYTES / 2)

/* A pool is one slot for blocks up to NARROW_MAX and four above, so that it has
 * enough of them. */
#define TIDE_NARROW_MAX (TIDE_SLOT_BYTES / 8)
#define TIDE_WIDE_SLOTS 4

/* User addresses have this many bits (x86-64 and arm64 give more only to a
 * program that asks for them). */
#if defined(__x86_64__)
#define TIDE_ADDRESS_BITS 47
#else
#define TIDE_ADDRESS_BITS 48
#endif

/* A table of the address map has a byte for each arena that there can be in its
 * part of the address space. */
#define TIDE_MAP_PART_BYTES ((size_t)512 * 1024)

#endif
