/* arena/layout.h - what an arena looks like in memory
 *
 *   slot 0 (classic: slots 0 to 2)                     slots up to 31 (63)
 *   +-------+-----------------------------+-----------+------+------+---
 *   | arena | descriptors of slots 1 .. 31| live bits | pool | pool | ...
 *   +-------+-----------------------------+-----------+------+------+---
 *
 * Descriptors lie apart from user data: an overflowing block can't reach them
 * and they don't compete with blocks for cache sets.  A descriptor is as large
 * as the arena's own record, so slot n's is found by scaling n.  A pool of
 * several slots is described by the first one's; the others say how far back
 * that is, and repeat what a free looks at: its owner and frees_to.  A run has
 * no owner.  The live bits, one for each 16 bytes, are used
 * (and their pages touched) only with TIDEPOOL_CHECK=on.
 */
#ifndef TIDE_ARENA_LAYOUT_H
#define TIDE_ARENA_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/geometry.h"
#include "base/lock.h"

struct tide_range;
struct heap; /* known only to the heap layer; here no more than an identity */

/* A slot's use.  The pool layer calls a pool used (some block is free), full
 * or empty; EMPTY ones wait in a heap's stock. */
enum pool_state {
    POOL_FREE,  /* the slot is the arena manager's */
    POOL_REST,  /* a further slot of the pool or run that starts before it */
    POOL_RUN,   /* the first slot of a run that is no pool yet */
    POOL_EMPTY, /* a heap's, without a class */
    POOL_USED,  /* a heap's, with blocks that are free or untouched */
    POOL_FULL,  /* a heap's, (nearly) all blocks allocated */
};

struct block {
    struct block *next;
};

/* Where a free puts a block: the pool's own list, or, while the pool is its heap's current
 * one, and most of the time in a cached class, the list that malloc takes from. */
struct free_list {
    struct block *freed;    /* owner: linked by their first word, last in first out */
    _Atomic uint32_t left;  /* owner; read by walkers: frees until the pool's state changes,
                             * or a cached class's list is measured */
};

/*
 * Invariants, with freed the length of the freed list and returned the count
 * in the returned word:
 *   carved - freed - hollow == left + held   blocks allocated or in a heap's list
 *   returned <= left + held
 *   held == 0 unless the state is POOL_FULL, or it is POOL_USED and watched
 */
struct pool {
    struct heap *_Atomic owner;  /* NULL: none; written by the owner, read by any thread */
    struct free_list *frees_to;  /* owner: own, or the heap's list */
    union {
        struct free_list own;
        struct {
            struct block *freed;
            _Atomic uint32_t left;
            uint32_t inverse;    /* owner; as block_bytes: see tide_pool_has_block */
        };
    };
    _Atomic uint32_t held;       /* likewise: further ones until the pool is empty */
    _Atomic uint16_t carved;     /* likewise: blocks that are not untouched */
    uint16_t capacity;           /* blocks */
    uint32_t block_bytes;        /* owner; read by any thread that has a block of it */
    _Atomic uint8_t size_class;  /* likewise; and by walkers */
    _Atomic uint8_t state;       /* enum pool_state; owner or under arena->lock */
    _Atomic uint8_t slots;       /* likewise: length, in the first slot's only */
    uint8_t back;                /* under arena->lock: slots from the first one to this */
    struct pool *next, *prev;    /* owner: the heap's list for the class */

    /* A cache line that other threads write. */
    _Alignas(TIDE_CACHE_LINE) _Atomic uint64_t returned; /* see pool/returned.h */
    struct pool *next_inbox;     /* whoever set the queued bit in returned, then the owner */
    _Atomic uint64_t purged;     /* pages that were set aside and purged, for the owner */
    struct pool *next_purged;    /* whoever put the first of them there, then the owner */
    uint64_t hollow_pages;       /* owner: those that are; see pool/hollow.h */
    uint64_t pages_away;         /* owner: those that are set aside */
    _Atomic uint16_t hollow;     /* owner; read by walkers: carved blocks that start in them */
    uint16_t free_at_look;       /* owner: blocks that were free when such pages were looked for */
    uint16_t likely;             /* owner: free pages that it is counted for, in sixteenths */
    uint8_t unused_since;        /* owner: the first look since a block was taken; 0: none */
    uint8_t is_zero;             /* under arena->lock, then the owner: untouched bytes are zero */
    uint8_t fresh;               /* under arena->lock: slots that had no pages when it was taken */
    bool is_idle;                /* likewise: free, and so at the last tide_arena_decay already */
};
_Static_assert(sizeof(struct pool) == 1 << TIDE_DESCRIPTOR_SHIFT,
               "a slot's descriptor is found by scaling");

/* Of an arena's transparent huge page, which is the size of the arena (in classic
 * geometry arenas are smaller and have none); see arena/huge_pages.h. */
enum arena_huge {
    ARENA_HUGE = 1,     /* has one, or the kernel was asked for it */
    ARENA_FULL = 2,     /* no slot was free at the last look */
    ARENA_WANTING = 4,  /* full, but not worth one when last examined */
    ARENA_CHANGING = 8, /* the kernel is at it */
};

struct arena {
    struct tide_lock lock;   /* the manager takes its global one instead if it has one */
    _Atomic uint64_t free;   /* under lock, read by walkers: slots of no pool */
    _Atomic uint64_t dirty;  /* likewise: slots whose pages may be resident */
    struct arena *next, *prev;         /* under the shard's lock: its bucket */
    struct arena *_Atomic next_all;    /* likewise, read by walkers: all arenas of the shard */
    struct arena *prev_all;            /* likewise, but for walkers */
    uint32_t tenants;        /* under the shard's lock: heaps and walkers that hold on to it */
    uint8_t shard;           /* constant */
    _Atomic uint8_t huge;    /* under lock, read by walkers: enum arena_huge */
    uint8_t bucket;          /* written under both locks */
    bool is_fork_locked;     /* under the shard's lock: a fork has locked it */
    struct tide_range *range; /* constant: of the store's; NULL: from the reserve */
    struct pool pools[TIDE_SLOTS - 1]; /* of slots 1 and up */
    _Atomic uint64_t live[TIDE_ARENA_BYTES / TIDE_ALIGNMENT / 64];
};
_Static_assert(offsetof(struct arena, pools) == sizeof(struct pool),
               "slot 1's descriptor is the second");

#define TIDE_HEADER_SLOTS ((sizeof(struct arena) + TIDE_SLOT_BYTES - 1) / TIDE_SLOT_BYTES)
#define TIDE_ALL_FREE (~UINT64_C(0) >> (64 - TIDE_SLOTS) >> TIDE_HEADER_SLOTS << TIDE_HEADER_SLOTS)
_Static_assert(TIDE_HEADER_SLOTS < TIDE_SLOTS / 16, "most of an arena is for blocks");

static inline bool tide_arena_is(const struct arena *arena, enum arena_huge state)
{
    return tide_relaxed(&arena->huge) & state;
}

static inline struct arena *tide_arena_of(const void *address)
{
    return (struct arena *)((uintptr_t)address & ~(TIDE_ARENA_BYTES - 1));
}

static inline unsigned tide_slot_of(const void *address)
{
    return (unsigned)((uintptr_t)address >> TIDE_SLOT_SHIFT) & (TIDE_SLOTS - 1);
}

/* The descriptor of the slot that address lies in; slot 0 has none. */
static inline struct pool *tide_slot_pool(const void *address)
{
    return (struct pool *)tide_arena_of(address) + tide_slot_of(address);
}

/* The descriptor of the pool or run that address lies in. */
static inline struct pool *tide_pool_of(const void *address)
{
    struct pool *pool = tide_slot_pool(address);

    return pool - pool->back;
}

/* A descriptor's own slot, and that slot's first byte. */
static inline unsigned tide_pool_slot(const struct pool *pool)
{
    return (unsigned)(((uintptr_t)pool & (TIDE_ARENA_BYTES - 1)) >> TIDE_DESCRIPTOR_SHIFT);
}

static inline char *tide_pool_start(const struct pool *pool)
{
    return (char *)tide_arena_of(pool) + ((size_t)tide_pool_slot(pool) << TIDE_SLOT_SHIFT);
}

static inline size_t tide_pool_bytes(const struct pool *pool)
{
    return (size_t)pool->slots << TIDE_SLOT_SHIFT;
}

/* TIDEPOOL_CHECK=on: a bit for each block that is allocated, at its first
 * byte.  Any thread; marking and clearing return whether it was marked. */
static inline _Atomic uint64_t *tide_live_word(const void *block, uint64_t *mask)
{
    size_t bit = ((uintptr_t)block & (TIDE_ARENA_BYTES - 1)) / TIDE_ALIGNMENT;

    *mask = UINT64_C(1) << bit % 64;
    return &tide_arena_of(block)->live[bit / 64];
}

static inline bool tide_arena_is_live(const void *block)
{
    uint64_t mask;
    _Atomic uint64_t *word = tide_live_word(block, &mask);

    return tide_relaxed(word) & mask;
}

static inline bool tide_arena_mark_live(const void *block)
{
    uint64_t mask;
    _Atomic uint64_t *word = tide_live_word(block, &mask);

    return atomic_fetch_or(word, mask) & mask;
}

static inline bool tide_arena_clear_live(const void *block)
{
    uint64_t mask;
    _Atomic uint64_t *word = tide_live_word(block, &mask);

    return atomic_fetch_and(word, ~mask) & mask;
}

#endif
