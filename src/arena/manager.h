/* arena/manager.h - chooses, creates, orders and returns arenas
 *
 * Arenas belong to shards, about one for each CPU.  In its shard an arena is
 * listed by how many slots it has free, and a request takes the fullest arena
 * that suits, so that others can empty and go back to the OS.  A heap
 * stays a tenant of the arena it last took a pool from: a slot there whose pages
 * are resident needs that arena's lock alone.  Else such a slot of another arena
 * in the shard comes before one that has no pages yet.  An arena whose lock is
 * busy is passed over for the next one.
 *
 * An arena goes back to the store when it is empty and has no tenants.
 *
 * With several memory nodes each has shards of its own (nodes.h), whose arenas
 * are bound to it.  A heap takes what it needs from those of the node that its
 * thread runs on, and from another's only when there is no memory left.
 */
#ifndef TIDE_ARENA_MANAGER_H
#define TIDE_ARENA_MANAGER_H

#include <stdbool.h>
#include <stddef.h>

#include "arena/arena.h"

/* A heap's relation to the manager; the heap's owner alone uses it. */
struct tide_tenant {
    struct arena *arena; /* the one it holds on to, or NULL */
    unsigned shard;
    unsigned takes;      /* runs taken, with several memory nodes */
};

struct tide_arena_totals {
    size_t arenas, created, released; /* counts */
    size_t waiting;                   /* of those released: for walks that may be at them */
};

/* Before anything else: how many shards (1 to 64), and whether all locks of
 * the manager are one. */
void tide_arena_start(unsigned shards, bool is_lock_global);

/* Heaps that are born from now on belong to the first so many shards only (of each
 * node, its part of them): no more threads than that run at a time. */
void tide_arena_limit_homes(unsigned most);

/* The tenant's thread runs on that CPU: it gets the shard, and lets go of an
 * arena on another node. */
void tide_arena_settle(struct tide_tenant *tenant, unsigned cpu);

/* The memory node that the tenant takes from. */
unsigned tide_arena_home_node(const struct tide_tenant *tenant);

/* A run of slots, TIDE_WIDE_SLOTS at most.  NULL when no arena has one and none can be
 * made (errno is ENOMEM). */
struct pool *tide_arena_take_run(struct tide_tenant *tenant, unsigned slots);

/* Gives a run (or an empty pool without owner) back. */
void tide_arena_put_run(struct pool *run);

/* The tenant's heap ends or is idle. */
void tide_arena_leave(struct tide_tenant *tenant);

/* Returns free slots' pages to the OS, but for about keep bytes.  Bytes returned. */
size_t tide_arena_trim(size_t keep);

/* Returns the pages of so many free slots, at most; goes on where the last call ended.
 * Bytes returned.  One thread at a time, as with the next. */
size_t tide_arena_purge_some(unsigned slots);

/* Returns the pages of slots that were free at the last time and stayed so, and, if so
 * wanted, makes huge pages of what stays full (huge_pages.h), for the next so many
 * arenas.  Whether these were the last; then *waiting is the bytes that a later call may
 * see to.  One thread at a time. */
bool tide_arena_decay(unsigned arenas, bool makes_huge, size_t *waiting);

/* Bytes that tide_arena_trim(0) would return. */
size_t tide_arena_returnable(void);

struct tide_arena_totals tide_arena_totals(void);

/* Sums up the counts of the arenas' own locks (of those that are still there)
 * and of the shards'. */
void tide_arena_lock_counts(struct tide_lock *arenas, struct tide_lock *all_shards);

void tide_arena_before_fork(void);
void tide_arena_after_fork(bool in_child);

/* In a fork child that none of the locks was taken for: lists all arenas anew, as the
 * address map has them.  A slot that was changing hands is nobody's for good. */
void tide_arena_mend_in_child(void);

/* Walks everything and asserts its invariants. */
void tide_arena_check(void);

#endif
