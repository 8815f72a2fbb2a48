/* arena/retired.c - see retired.h
 *
 * An arena that goes while somebody walks is pushed to waiting, without a lock.
 * Whoever holds the lock takes all of them to taken, and from there unmaps them or
 * lets a grace period begin for them.  Every one of these lists is linked by next;
 * count is how many are in all of them.
 */
#include "arena/retired.h"

#include "arena/address_map.h"
#include "arena/arena.h"
#include "os/map.h"
#include "os/rcu.h"

static struct arena *_Atomic waiting; /* pushed to by any thread, taken whole under lock */
static _Atomic size_t count;

static struct tide_lock lock = TIDE_LOCK_INITIALIZER;
static struct arena *taken; /* under lock */
static struct arena *grace; /* likewise: wait for the grace period that has begun */

/* The header is all that walkers read. */
static void strip(struct arena *arena)
{
    size_t header_bytes = TIDE_HEADER_SLOTS << TIDE_SLOT_SHIFT;

    tide_address_map_leave(arena);
    if (tide_reserve_has(arena))
        return;
    if (tide_relaxed(&arena->dirty) != 0)
        tide_os_purge((char *)arena + header_bytes, TIDE_ARENA_BYTES - header_bytes);
    tide_set_relaxed(&arena->dirty, 0);
}

static void push(struct arena *arena)
{
    struct arena *first = tide_relaxed(&waiting);

    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    do
        arena->next = first;
    while (!atomic_compare_exchange_weak_explicit(&waiting, &first, arena, memory_order_release,
                                                  memory_order_relaxed)); /* with take */
}

void tide_retired_add(struct arena *arena)
{
    if (!tide_rcu_has_readers()) {
        tide_arena_destroy(arena);
        return;
    }
    strip(arena);
    push(arena);
    tide_retired_reclaim(); /* the last walk may have ended before it saw this one */
}

/* Under lock, as all that follow. */
static void move(struct arena **to, struct arena *from)
{
    while (from) {
        struct arena *next = from->next;

        from->next = *to;
        *to = from;
        from = next;
    }
}

static void take(void)
{
    move(&taken, atomic_exchange_explicit(&waiting, NULL, memory_order_acquire)); /* with push */
}

static void unmap(struct arena **list)
{
    while (*list) {
        struct arena *arena = *list;

        *list = arena->next;
        tide_arena_unmap(arena);
        atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
    }
}

/* What is taken was delisted before anyone is asked whether there are readers. */
static void unmap_unread(void)
{
    take();
    if (!tide_rcu_has_readers())
        unmap(&taken);
}

size_t tide_retired_reclaim(void)
{
    if (tide_retired_count() != 0 && !tide_rcu_has_readers() && tide_lock_try(&lock)) {
        unmap_unread();
        tide_unlock(&lock);
    }
    return tide_retired_count();
}

static bool begin_grace(void)
{
    tide_lock(&lock);
    take();
    move(&grace, taken);
    taken = NULL;
    tide_unlock(&lock);
    return grace != NULL;
}

static void end_grace(bool is_over)
{
    tide_lock(&lock);
    if (is_over)
        unmap(&grace);
    move(&taken, grace);
    grace = NULL;
    tide_unlock(&lock);
}

void tide_retired_outwait(void)
{
    bool is_over = true;

    while (is_over && begin_grace()) {
        is_over = tide_rcu_synchronize();
        end_grace(is_over);
    }
}

size_t tide_retired_count(void)
{
    return tide_relaxed(&count);
}

/* ---- Fork -------------------------------------------------------------- */

struct tide_lock *tide_retired_lock(void)
{
    return &lock;
}

/* Under lock.  What other threads push from now on isn't for the child, as fork
 * may copy the list and what is in it at different moments. */
void tide_retired_before_fork(void)
{
    take();
}

/* Under all locks.  The thread that waited isn't here. */
void tide_retired_after_fork_in_child(void)
{
    size_t left = 0;

    tide_set_relaxed(&waiting, NULL);
    move(&taken, grace);
    grace = NULL;
    for (const struct arena *arena = taken; arena; arena = arena->next)
        left++;
    tide_set_relaxed(&count, left);
}

void tide_retired_forget(void)
{
    tide_set_relaxed(&waiting, NULL);
    taken = grace = NULL;
    tide_set_relaxed(&count, 0);
}
