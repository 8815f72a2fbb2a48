/* arena/manager.c - see manager.h
 *
 * Locks: arena, then its shard; against that order only by trylock.  A bucket
 * list, its nonempty bit and tenants are guarded by the shard's lock;
 * arena->bucket is written under both locks, so either suffices to read it.
 * Whoever holds neither lock may use an arena only as its tenant or while a
 * block in it is allocated.
 *
 * Buckets: 0 for arenas without a free slot, 1 to 16 for those with some, by
 * fours, EMPTY for those with nothing else.
 */
#include "arena/manager.h"

#include <errno.h>

#include "arena/arena.h"
#include "base/fatal.h"
#include "base/geometry.h"
#include "os/map.h"

enum { SLOTS_PER_BUCKET = 4, EMPTY = TIDE_SLOTS / SLOTS_PER_BUCKET + 1, BUCKETS };
enum { MOST_SHARDS = 64, MOST_TRIES = 16 };

struct shard {
    _Alignas(TIDE_CACHE_LINE) struct tide_lock own_lock;
    struct tide_lock *lock;         /* own_lock, or the global one */
    struct arena *buckets[BUCKETS]; /* under lock */
    uint32_t nonempty;              /* under lock: bit n for bucket n */
    struct arena *all;              /* under lock: every arena of the shard */
};

static struct shard shards[MOST_SHARDS];
static unsigned shard_count = 1;           /* constant after the start */
static struct tide_lock global_lock = TIDE_LOCK_RECURSIVE_INITIALIZER;
static struct tide_lock *shared_lock;      /* &global_lock or NULL; constant after the start */
static _Atomic size_t created, released;

void tide_arena_start(unsigned count, bool is_lock_global)
{
    shared_lock = is_lock_global ? &global_lock : NULL;
    shard_count = count < 1 ? 1 : count > MOST_SHARDS ? MOST_SHARDS : count;
    for (unsigned n = 0; n < shard_count; n++) {
        tide_lock_reset(&shards[n].own_lock, false);
        shards[n].lock = shared_lock ? shared_lock : &shards[n].own_lock;
    }
}

static struct tide_lock *lock_of(struct arena *arena)
{
    return shared_lock ? shared_lock : &arena->lock;
}

unsigned tide_arena_shard_for_cpu(unsigned cpu)
{
    return cpu % shard_count;
}

struct tide_lock *tide_arena_global_lock(void)
{
    return shared_lock;
}

/* ---- Buckets: all under the shard's lock ------------------------------- */

static struct shard *shard_of(const struct arena *arena)
{
    return &shards[arena->shard];
}

static unsigned bucket_for(unsigned free_slots)
{
    return (free_slots + SLOTS_PER_BUCKET - 1) / SLOTS_PER_BUCKET;
}

static bool is_empty(const struct arena *arena)
{
    return tide_relaxed(&arena->free) == TIDE_ALL_FREE;
}

static unsigned right_bucket(const struct arena *arena)
{
    return is_empty(arena) ? EMPTY : bucket_for(tide_arena_free_slots(arena));
}

static void link_arena(struct arena *arena, unsigned bucket)
{
    struct shard *shard = shard_of(arena);

    arena->bucket = (uint8_t)bucket;
    arena->prev = NULL;
    arena->next = shard->buckets[bucket];
    if (arena->next)
        arena->next->prev = arena;
    shard->buckets[bucket] = arena;
    shard->nonempty |= 1u << bucket;
}

static void unlink_arena(struct arena *arena)
{
    struct shard *shard = shard_of(arena);

    if (arena->next)
        arena->next->prev = arena->prev;
    if (arena->prev)
        arena->prev->next = arena->next;
    else
        shard->buckets[arena->bucket] = arena->next;
    if (!shard->buckets[arena->bucket])
        shard->nonempty &= ~(1u << arena->bucket);
}

static void enlist(struct arena *arena)
{
    struct shard *shard = shard_of(arena);

    arena->next_all = shard->all;
    if (arena->next_all)
        arena->next_all->prev_all = arena;
    shard->all = arena;
    link_arena(arena, right_bucket(arena));
}

static void delist(struct arena *arena)
{
    if (arena->next_all)
        arena->next_all->prev_all = arena->prev_all;
    if (arena->prev_all)
        arena->prev_all->next_all = arena->next_all;
    else
        shard_of(arena)->all = arena->next_all;
    unlink_arena(arena);
}

/* Nobody needs it and the shard has another empty one. */
static bool is_surplus(const struct arena *arena)
{
    return arena->bucket == EMPTY && arena->tenants == 0 && (arena->next || arena->prev);
}

/* ---- Settling an arena after its free slots changed -------------------- */

static void release(struct arena *arena)
{
    atomic_fetch_add_explicit(&released, 1, memory_order_relaxed);
    tide_arena_destroy(arena);
}

/* Under the arena's lock, which it gives up; the arena may be gone after. */
static void settle_and_unlock(struct arena *arena)
{
    struct shard *shard = shard_of(arena);
    unsigned bucket = right_bucket(arena);
    bool is_to_go = false;

    if (bucket != arena->bucket) {
        tide_lock(shard->lock);
        unlink_arena(arena);
        link_arena(arena, bucket);
        is_to_go = is_surplus(arena);
        if (is_to_go)
            delist(arena);
        tide_unlock(shard->lock);
    }
    tide_unlock(lock_of(arena));
    if (is_to_go)
        release(arena);
}

/* Takes back one tenancy. */
static void leave(struct arena *arena)
{
    struct shard *shard = shard_of(arena);
    bool is_to_go;

    tide_lock(lock_of(arena));
    tide_lock(shard->lock);
    arena->tenants--;
    is_to_go = is_surplus(arena);
    if (is_to_go)
        delist(arena);
    tide_unlock(shard->lock);
    tide_unlock(lock_of(arena));
    if (is_to_go)
        release(arena);
}

void tide_arena_leave(struct tide_tenant *tenant)
{
    if (tenant->arena)
        leave(tenant->arena);
    tenant->arena = NULL;
}

/* Under the shard's lock, given up meanwhile: waits until the arena's lock has
 * been free. */
static void wait_for(struct shard *shard, struct arena *arena)
{
    arena->tenants++;
    tide_unlock(shard->lock);
    tide_lock(lock_of(arena));
    tide_unlock(lock_of(arena));
    leave(arena);
    tide_lock(shard->lock);
}

/* ---- Taking ------------------------------------------------------------ */

/* Large runs are taken wherever they fit; only pools make a heap a tenant. */
static bool is_for_pools(unsigned slots)
{
    return slots <= TIDE_WIDE_SLOTS;
}

static struct pool *take_from_home(struct tide_tenant *tenant, unsigned slots, unsigned alignment)
{
    struct arena *arena = tenant->arena;
    struct pool *run;

    if (!arena || !tide_lock_try(lock_of(arena)))
        return NULL;
    run = tide_arena_take_locked(arena, slots, alignment);
    settle_and_unlock(arena);
    return run;
}

/* Under the shard's lock. */
static struct pool *take_from_arena(struct arena *arena, unsigned slots, unsigned alignment,
                                    bool is_tenancy)
{
    struct pool *run = tide_arena_take_locked(arena, slots, alignment);

    if (run && right_bucket(arena) != arena->bucket) {
        unlink_arena(arena);
        link_arena(arena, right_bucket(arena));
    }
    if (run && is_tenancy)
        arena->tenants++;
    tide_unlock(lock_of(arena));
    return run;
}

/* Under the shard's lock: a run from the fullest arena that suits and whose
 * lock is free.  *busy becomes the last one that was passed over. */
static struct pool *take_from_free(struct shard *shard, unsigned slots, unsigned alignment,
                                   unsigned most_tries, struct arena **busy)
{
    uint32_t candidates = shard->nonempty & (~0u << bucket_for(slots));
    unsigned tries = 0;

    for (; candidates != 0; candidates &= candidates - 1) {
        struct arena *arena = shard->buckets[tide_lowest_bit(candidates)], *next;

        for (; arena && tries++ < most_tries; arena = next) {
            struct pool *run;

            next = arena->next;
            if (!tide_lock_try(lock_of(arena))) {
                *busy = arena;
                continue;
            }
            run = take_from_arena(arena, slots, alignment, is_for_pools(slots));
            if (run)
                return run;
        }
    }
    return NULL;
}

/* As a last resort, every arena is tried and busy ones are waited for. */
static struct pool *take_from_shard(struct shard *shard, unsigned slots, unsigned alignment,
                                    bool is_last_resort)
{
    struct pool *run;

    tide_lock(shard->lock);
    for (;;) {
        struct arena *busy = NULL;

        run = take_from_free(shard, slots, alignment, is_last_resort ? UINT32_MAX : MOST_TRIES,
                             &busy);
        if (run || !busy || !is_last_resort)
            break;
        wait_for(shard, busy);
    }
    tide_unlock(shard->lock);
    return run;
}

static struct pool *take_from_new(struct tide_tenant *tenant, unsigned slots, unsigned alignment)
{
    struct arena *arena = tide_arena_create(tenant->shard);
    struct pool *run;

    if (!arena)
        return NULL;
    atomic_fetch_add_explicit(&created, 1, memory_order_relaxed);
    run = tide_arena_take_locked(arena, slots, alignment); /* no one else can see it */
    arena->tenants = is_for_pools(slots);
    tide_lock(shard_of(arena)->lock);
    enlist(arena);
    tide_unlock(shard_of(arena)->lock);
    return run;
}

static struct pool *take_from_all(struct tide_tenant *tenant, unsigned slots, unsigned alignment,
                                  bool is_last_resort)
{
    struct pool *run = NULL;

    for (unsigned n = 0; n < shard_count && !run; n++)
        run = take_from_shard(&shards[(tenant->shard + n) % shard_count], slots, alignment,
                              is_last_resort);
    return run;
}

struct pool *tide_arena_take_run(struct tide_tenant *tenant, unsigned slots, unsigned alignment)
{
    struct pool *run = take_from_home(tenant, slots, alignment);
    int saved_errno = errno;

    if (run)
        return run;
    run = take_from_all(tenant, slots, alignment, false);
    if (!run)
        run = take_from_new(tenant, slots, alignment);
    if (!run) {
        run = take_from_all(tenant, slots, alignment, true);
        errno = run ? saved_errno : ENOMEM;
    }
    if (run && is_for_pools(slots)) {
        tide_arena_leave(tenant);
        tenant->arena = tide_arena_of(run);
    }
    return run;
}

void tide_arena_put_run(struct pool *run)
{
    struct arena *arena = tide_arena_of(run);

    tide_lock(lock_of(arena));
    tide_arena_put_locked(arena, run);
    settle_and_unlock(arena);
}

bool tide_arena_resize_run(struct pool *run, unsigned slots)
{
    struct arena *arena = tide_arena_of(run);
    bool is_resized;

    tide_lock(lock_of(arena));
    is_resized = tide_arena_resize_locked(arena, run, slots);
    settle_and_unlock(arena);
    return is_resized;
}

/* ---- Walking and trimming ---------------------------------------------- */

/* The first arena at or after arena in the shard or a later one, held. */
static struct arena *hold_from(struct arena *arena, unsigned shard)
{
    for (;; arena = shards[shard].all) {
        if (arena) {
            arena->tenants++;
            tide_unlock(shards[shard].lock);
            return arena;
        }
        tide_unlock(shards[shard].lock);
        if (++shard == shard_count)
            return NULL;
        tide_lock(shards[shard].lock);
    }
}

struct arena *tide_arena_next(struct arena *arena)
{
    unsigned shard = arena ? arena->shard : 0;
    struct arena *next;

    tide_lock(shards[shard].lock);
    next = hold_from(arena ? arena->next_all : shards[0].all, shard);
    if (arena)
        leave(arena);
    return next;
}

/* Returns the pages of free slots.  The slots are claimed meanwhile, so that
 * no lock is held over the system calls. */
static size_t purge(struct arena *arena)
{
    uint64_t claim, rest;

    tide_lock(lock_of(arena));
    claim = tide_relaxed(&arena->free) & tide_relaxed(&arena->dirty);
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) & ~claim);
    settle_and_unlock(arena);
    if (claim == 0)
        return 0;
    for (rest = claim; rest != 0;) {
        unsigned first = tide_lowest_bit(rest);
        unsigned count = ~(rest >> first) != 0 ? tide_lowest_bit(~(rest >> first)) : 64;

        tide_os_purge((char *)arena + ((size_t)first << TIDE_SLOT_SHIFT),
                      (size_t)count << TIDE_SLOT_SHIFT);
        rest &= ~tide_bit_run(first, count);
    }
    tide_lock(lock_of(arena));
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | claim);
    tide_set_relaxed(&arena->dirty, tide_relaxed(&arena->dirty) & ~claim);
    settle_and_unlock(arena);
    return (size_t)tide_bit_count(claim) << TIDE_SLOT_SHIFT;
}

/* Releases the empty arenas that the shards keep. */
static void release_spares(void)
{
    for (unsigned n = 0; n < shard_count; n++) {
        struct arena *spare = NULL;

        tide_lock(shards[n].lock);
        for (struct arena *arena = shards[n].buckets[EMPTY]; arena && !spare; arena = arena->next)
            if (arena->tenants == 0 && tide_lock_try(lock_of(arena))) {
                spare = arena;
                delist(arena);
                tide_unlock(lock_of(arena));
            }
        tide_unlock(shards[n].lock);
        if (spare)
            release(spare);
    }
}

size_t tide_arena_trim(size_t keep)
{
    size_t returnable = tide_arena_returnable(), returned = 0;

    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        if (returnable > keep + returned)
            returned += purge(arena);
    if (keep == 0)
        release_spares();
    return returned;
}

size_t tide_arena_returnable(void)
{
    size_t slots = 0;

    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        slots += tide_bit_count(tide_relaxed(&arena->free) & tide_relaxed(&arena->dirty));
    return slots << TIDE_SLOT_SHIFT;
}

struct tide_arena_totals tide_arena_totals(void)
{
    size_t gone = tide_relaxed(&released), made = tide_relaxed(&created);

    return (struct tide_arena_totals){ .arenas = made - gone, .created = made, .released = gone };
}

static void add_counts(struct tide_lock *sum, const struct tide_lock *lock)
{
    tide_count(&sum->acquired, tide_relaxed(&lock->acquired));
    tide_count(&sum->contended, tide_relaxed(&lock->contended));
    tide_count(&sum->waited_ns, tide_relaxed(&lock->waited_ns));
}

void tide_arena_lock_counts(struct tide_lock *sum)
{
    if (shared_lock) {
        add_counts(sum, shared_lock);
        return;
    }
    for (unsigned n = 0; n < shard_count; n++)
        add_counts(sum, shards[n].lock);
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        add_counts(sum, lock_of(arena));
}

/* ---- Fork -------------------------------------------------------------- */

/* Under all shards' locks: locks every arena; else the one that is busy, with
 * none locked. */
static struct arena *lock_all_arenas(void)
{
    for (unsigned n = 0; n < shard_count; n++)
        for (struct arena *arena = shards[n].all; arena; arena = arena->next_all) {
            arena->is_fork_locked = tide_lock_try(lock_of(arena));
            if (arena->is_fork_locked)
                continue;
            for (unsigned done = 0; done <= n; done++)
                for (struct arena *locked = shards[done].all; locked && locked != arena;
                     locked = locked->next_all)
                    tide_unlock(lock_of(locked));
            return arena;
        }
    return NULL;
}

void tide_arena_before_fork(void)
{
    for (;;) {
        struct arena *busy;

        for (unsigned n = 0; n < shard_count; n++)
            tide_lock(shards[n].lock);
        busy = lock_all_arenas();
        if (!busy)
            return;
        busy->tenants++;
        for (unsigned n = 0; n < shard_count; n++)
            tide_unlock(shards[n].lock);
        tide_lock(lock_of(busy));
        tide_unlock(lock_of(busy));
        leave(busy);
    }
}

void tide_arena_after_fork(bool in_child)
{
    if (in_child)
        tide_lock_reset(&global_lock, true);
    for (unsigned n = 0; n < shard_count; n++) {
        for (struct arena *arena = shards[n].all; arena; arena = arena->next_all) {
            if (in_child)
                tide_lock_reset(&arena->lock, false);
            else if (arena->is_fork_locked) /* not made since, by a fork handler */
                tide_unlock(lock_of(arena));
            arena->is_fork_locked = false;
        }
        if (in_child)
            tide_lock_reset(&shards[n].own_lock, false);
        else
            tide_unlock(shards[n].lock);
    }
}

/* ---- Invariants -------------------------------------------------------- */

static void check_shard(struct shard *shard)
{
    size_t listed = 0, all = 0;

    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        TIDE_REQUIRE(!(shard->nonempty >> bucket & 1) == !shard->buckets[bucket]);
        for (struct arena *arena = shard->buckets[bucket]; arena; arena = arena->next, listed++) {
            TIDE_REQUIRE(arena->bucket == bucket && shard_of(arena) == shard);
            TIDE_REQUIRE(!arena->next || arena->next->prev == arena);
        }
    }
    for (struct arena *arena = shard->all; arena; arena = arena->next_all, all++)
        TIDE_REQUIRE(!arena->next_all || arena->next_all->prev_all == arena);
    TIDE_REQUIRE(listed == all);
}

void tide_arena_check(void)
{
    for (unsigned n = 0; n < shard_count; n++) {
        tide_lock(shards[n].lock);
        check_shard(&shards[n]);
        tide_unlock(shards[n].lock);
    }
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena)) {
        tide_lock(lock_of(arena));
        tide_arena_check_locked(arena);
        TIDE_REQUIRE(arena->bucket == right_bucket(arena));
        tide_unlock(lock_of(arena));
    }
}
