/* arena/upkeep.c - the rest of manager.h: trimming, counts, fork and
 * checks.  The locks are explained in shard.h. */
#include <string.h>

#include "arena/address_map.h"
#include "arena/arena.h"
#include "arena/huge_pages.h"
#include "arena/manager.h"
#include "arena/retired.h"
#include "arena/shard.h"
#include "arena/walk.h"
#include "base/fatal.h"
#include "os/map.h"

/* ---- Trimming ------------------------------------------------------------ */

/* Those of an arena's slots that were marked by the last call and have been free
 * since; marks all.  Under the arena's lock. */
static uint64_t idle_slots(struct arena *arena, uint64_t slots)
{
    uint64_t idle = 0, rest;

    for (rest = slots; rest != 0; rest &= rest - 1) {
        struct pool *pool = (struct pool *)arena + tide_lowest_bit(rest);

        if (pool->is_idle)
            idle |= rest & -rest;
        pool->is_idle = true;
    }
    return idle;
}

/* Where work on all arenas goes on, one thread at a time: held. */
static struct arena *purged_next, *decayed_next;

/* As many of the slots, the highest ones. */
static uint64_t highest(uint64_t slots, unsigned most)
{
    unsigned surplus = tide_bit_count(slots);

    for (surplus = surplus > most ? surplus - most : 0; surplus > 0; surplus--)
        slots &= slots - 1;
    return slots;
}

/* Returns the pages of free slots, or only of idle ones, of so many at most.  The slots
 * are claimed meanwhile, so that no lock is held over the system calls. */
static size_t purge(struct arena *arena, bool is_only_idle, unsigned most)
{
    uint64_t claim;
    bool is_split;

    tide_lock(tide_arena_lock(arena));
    claim = tide_relaxed(&arena->free) & tide_arena_resident_slots(arena);
    if (is_only_idle)
        claim = idle_slots(arena, claim);
    claim = tide_arena_split_locked(arena, highest(claim, most), !is_only_idle, &is_split);
    tide_arena_count_idle(arena, -(size_t)tide_bit_count(claim & tide_relaxed(&arena->dirty)));
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) & ~claim);
    tide_shard_settle_and_unlock(arena);
    if (claim == 0)
        return 0;
    if (is_split)
        tide_arena_make_ordinary(arena);
    tide_os_purge_units(arena, TIDE_SLOT_BYTES, claim);
    tide_lock(tide_arena_lock(arena));
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | claim);
    tide_set_relaxed(&arena->dirty, tide_relaxed(&arena->dirty) & ~claim);
    tide_shard_settle_and_unlock(arena);
    return (size_t)tide_bit_count(claim) << TIDE_SLOT_SHIFT;
}

size_t tide_arena_trim(size_t keep)
{
    size_t returnable = tide_arena_returnable(), returned = 0;

    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        if (returnable > keep + returned)
            returned += purge(arena, false, TIDE_SLOTS);
    tide_retired_reclaim();
    return returned;
}

size_t tide_arena_purge_some(unsigned slots)
{
    struct arena *next = purged_next;
    size_t wanted = (size_t)slots << TIDE_SLOT_SHIFT, returned = 0;
    bool is_begun = next != NULL;

    for (;;) {
        if (!next && (next = tide_arena_next(NULL)) == NULL)
            break;
        returned += purge(next, false, (unsigned)((wanted - returned) >> TIDE_SLOT_SHIFT));
        if (returned >= wanted)
            break;
        next = tide_arena_next(next);
        if (!next && !is_begun)
            break;
        is_begun &= next != NULL;
    }
    purged_next = next;
    return returned;
}

bool tide_arena_decay(unsigned arenas, bool makes_huge, size_t *waiting)
{
    struct arena *next = decayed_next;
    static struct tide_huge_look look;
    static size_t decaying;

    if (!next) {
        next = tide_arena_next(NULL);
        look = tide_huge_look_begin();
        decaying = 0;
    }
    for (; next && arenas > 0; arenas--, next = tide_arena_next(next)) {
        purge(next, true, TIDE_SLOTS);
        if (makes_huge)
            tide_huge_look_at(&look, next);
        decaying += tide_bit_count(tide_arena_decaying_slots(next));
    }
    decayed_next = next;
    if (next)
        return false;
    *waiting = (decaying << TIDE_SLOT_SHIFT) + tide_huge_look_end(&look);
    return true;
}

size_t tide_arena_returnable(void)
{
    size_t slots = 0;

    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        slots += tide_bit_count(tide_relaxed(&arena->free) & tide_arena_resident_slots(arena));
    return slots << TIDE_SLOT_SHIFT;
}

struct tide_arena_totals tide_arena_totals(void)
{
    size_t gone = tide_relaxed(&tide_arena_released), made = tide_relaxed(&tide_arena_created);

    return (struct tide_arena_totals){
        .arenas = made - gone,
        .created = made,
        .released = gone,
        .waiting = tide_retired_count(),
    };
}

void tide_arena_lock_counts(struct tide_lock *arenas, struct tide_lock *all_shards)
{
    struct tide_walk walk;
    const struct arena *arena;

    for (unsigned n = 0; n < tide_shard_count; n++)
        tide_lock_add_counts(all_shards, &tide_shards[n].own_lock);
    tide_walk_begin(&walk);
    while ((arena = tide_walk_next(&walk)))
        tide_lock_add_counts(arenas, &arena->lock);
    tide_walk_end(&walk);
}

/* ---- Fork -------------------------------------------------------------- */

/* Under all shards' locks: locks every arena; else the one that is busy, with
 * none locked.  A global lock is all theirs already. */
static struct arena *lock_all_arenas(void)
{
    if (tide_arena_global_lock)
        return NULL;
    for (unsigned n = 0; n < tide_shard_count; n++)
        for (struct arena *arena = tide_shard_first(&tide_shards[n]); arena;
             arena = tide_shard_next(arena)) {
            arena->is_fork_locked = tide_lock_try(tide_arena_lock(arena));
            if (arena->is_fork_locked)
                continue;
            for (unsigned done = 0; done <= n; done++)
                for (struct arena *locked = tide_shard_first(&tide_shards[done]);
                     locked && locked != arena; locked = tide_shard_next(locked))
                    tide_unlock(tide_arena_lock(locked));
            return arena;
        }
    return NULL;
}

void tide_arena_before_fork(void)
{
    for (;;) {
        struct arena *busy;

        for (unsigned n = 0; n < tide_shard_count; n++)
            tide_lock(tide_shards[n].lock);
        busy = lock_all_arenas();
        if (!busy)
            return;
        busy->tenants++;
        for (unsigned n = 0; n < tide_shard_count; n++)
            tide_unlock(tide_shards[n].lock);
        tide_lock(tide_arena_lock(busy));
        tide_unlock(tide_arena_lock(busy));
        tide_shard_leave(busy);
    }
}

void tide_arena_after_fork(bool in_child)
{
    if (in_child && tide_arena_global_lock)
        tide_lock_reset(tide_arena_global_lock, true);
    for (unsigned n = 0; n < tide_shard_count; n++) {
        for (struct arena *arena = tide_shard_first(&tide_shards[n]); arena;
             arena = tide_shard_next(arena)) {
            if (in_child || arena->is_fork_locked) /* not made since, by a fork handler */
                tide_lock_after_fork(&arena->lock, in_child);
            arena->is_fork_locked = false;
        }
        if (in_child)
            tide_lock_reset(&tide_shards[n].own_lock, false);
        else
            tide_unlock(tide_shards[n].lock);
    }
}

static void empty_shard(struct shard *shard)
{
    tide_lock_reset(&shard->own_lock, false);
    memset(shard->buckets, 0, sizeof shard->buckets);
    shard->nonempty = 0;
    tide_set_relaxed(&shard->all, NULL);
}

void tide_arena_mend_in_child(void)
{
    size_t count = 0;

    tide_set_relaxed(&tide_arena_idle_slots, 0);
    purged_next = decayed_next = NULL;
    if (tide_arena_global_lock)
        tide_lock_reset(tide_arena_global_lock, true);
    for (unsigned n = 0; n < tide_shard_count; n++)
        empty_shard(&tide_shards[n]);
    for (struct arena *arena = tide_address_map_next(NULL); arena;
         arena = tide_address_map_next(arena)) {
        tide_lock_reset(&arena->lock, false);
        arena->tenants = 0;
        arena->is_fork_locked = false;
        tide_shard_enlist(arena);
        tide_arena_count_idle(arena, tide_arena_idle(arena));
        count++;
    }
    tide_set_relaxed(&tide_arena_created, tide_relaxed(&tide_arena_released) + count);
}

/* ---- Invariants -------------------------------------------------------- */

static void check_shard(struct shard *shard)
{
    size_t listed = 0, all = 0;

    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        TIDE_REQUIRE(!(shard->nonempty >> bucket & 1) == !shard->buckets[bucket]);
        for (struct arena *arena = shard->buckets[bucket]; arena; arena = arena->next, listed++) {
            TIDE_REQUIRE(arena->bucket == bucket && tide_shard_of(arena) == shard);
            TIDE_REQUIRE(!arena->next || arena->next->prev == arena);
        }
    }
    for (struct arena *arena = tide_shard_first(shard), *next; arena; arena = next, all++) {
        next = tide_shard_next(arena);
        TIDE_REQUIRE(!next || next->prev_all == arena);
    }
    TIDE_REQUIRE(listed == all);
}

void tide_arena_check(void)
{
    for (unsigned n = 0; n < tide_shard_count; n++) {
        tide_lock(tide_shards[n].lock);
        check_shard(&tide_shards[n]);
        tide_unlock(tide_shards[n].lock);
    }
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena)) {
        tide_lock(tide_arena_lock(arena));
        tide_arena_check_locked(arena);
        TIDE_REQUIRE(arena->bucket == tide_shard_bucket_of(arena));
        tide_unlock(tide_arena_lock(arena));
    }
}
