/* arena/manager.h - chooses, creates, orders and returns arenas
 *
 * Arenas belong to shards, about one for each CPU.  In its shard an arena is
 * listed by how many slots it has free, and a request takes the fullest arena
 * that suits, so that others can empty and go back to the OS.  A heap stays a
 * tenant of the arena it last took a pool from: a slot there whose pages are
 * resident needs that arena's lock alone.  Else such a slot of another arena in
 * the shard comes before one that has no pages yet.  An arena whose lock is
 * busy is passed over for the next one.
 *
 * An arena goes back when it is empty, has no tenants, and its shard has enough
 * other empty ones: one, and as many as it lately released too soon; or when
 * its pages have gone because nobody needed them (tide_arena_decay).
 */
#ifndef TIDE_ARENA_MANAGER_H
#define TIDE_ARENA_MANAGER_H

#include <stdbool.h>
#include <stddef.h>

#include "arena/layout.h"

/* A heap's relation to the manager; the heap's owner alone uses it. */
struct tide_tenant {
    struct arena *arena; /* the one it holds on to, or NULL */
    unsigned shard;
};

struct tide_arena_totals {
    size_t arenas, created, released; /* counts */
    size_t waiting;                   /* of those released: for walks that may be at them */
};

/* Before anything else: how many shards (1 to 64), and whether all locks of
 * the manager are one. */
void tide_arena_start(unsigned shards, bool is_lock_global);

/* The shard that a heap born on this CPU belongs to. */
unsigned tide_arena_shard_for_cpu(unsigned cpu);

/* A run of slots whose first is a multiple of alignment (in slots, a power of
 * two).  NULL when no arena has one and none can be made (errno is ENOMEM). */
struct pool *tide_arena_take_run(struct tide_tenant *tenant, unsigned slots, unsigned alignment);

/* Gives a run (or an empty pool without owner) back. */
void tide_arena_put_run(struct pool *run);

/* Changes a run's length where it is; false when it can't grow there. */
bool tide_arena_resize_run(struct pool *run, unsigned slots);

/* The tenant's heap ends or is idle. */
void tide_arena_leave(struct tide_tenant *tenant);

/* Returns free slots' pages and empty arenas to the OS, but for about keep
 * bytes.  Bytes returned. */
size_t tide_arena_trim(size_t keep);

/* Returns the pages of slots that were free at the last call and stayed so, and
 * empty arenas without pages.  Bytes that a later call may return. */
size_t tide_arena_decay(void);

/* Bytes that tide_arena_trim(0) would return. */
size_t tide_arena_returnable(void);

/* Walks all arenas to change them: NULL gives the first; NULL ends it.  The arena
 * walked to stays until the next call; others come and go.  For reading there is
 * walk.h. */
struct arena *tide_arena_next(struct arena *arena);

size_t tide_arena_count(void);
struct tide_arena_totals tide_arena_totals(void);

/* Sums up the counts of the arenas' own locks (of those that are still there)
 * and of the shards'. */
void tide_arena_lock_counts(struct tide_lock *arenas, struct tide_lock *all_shards);

/* The lock that huge blocks share with the arenas in global mode, or NULL. */
struct tide_lock *tide_arena_global_lock(void);

void tide_arena_before_fork(void);
void tide_arena_after_fork(bool in_child);

/* Walks everything and asserts its invariants. */
void tide_arena_check(void);

#endif
