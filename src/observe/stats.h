/* observe/stats.h - what the program holds, gathered on demand
 *
 * Nothing is counted on the fast paths: a walk over the arenas reads the pools'
 * own counters.  Other threads go on meanwhile, and blocks that wait in those
 * threads' lists count as allocated: figures are near.
 */
#ifndef TIDE_OBSERVE_STATS_H
#define TIDE_OBSERVE_STATS_H

#include "arena/manager.h"
#include "arena/reserve.h"
#include "pool/size_class.h"
#include "store/store.h"

struct class_stats {
    size_t pools, full_pools; /* counts; full ones are among the pools */
    size_t blocks;            /* that all pools together have room for */
    size_t allocated;         /* blocks */
};

enum lock_kind {
    LOCK_GLOBAL,
    LOCK_ARENA,
    LOCK_SHARD,
    LOCK_STORE,
    LOCK_ORPHANS,
    LOCK_COMMON,
    LOCK_DEPOT,
    LOCK_KINDS,
};

struct stats {
    struct class_stats classes[TIDE_CLASSES];
    struct tide_arena_totals arenas;
    struct tide_reserve_totals reserve;
    size_t huge_arenas;                 /* with a huge page, or to get one */
    struct tide_lock locks[LOCK_KINDS]; /* their counts only, summed up by kind */
    struct tide_store_totals store;
    size_t empty_pools, free_slots;    /* counts */
    size_t arena_bytes;                /* mapped */
    size_t returnable_bytes;           /* resident in free slots and ranges */
    size_t heaps, orphans;             /* counts without the common one; orphans are among them */
    size_t record_bytes;
    size_t pooled_bytes;               /* in allocated blocks of pools */
};

/* Behind the gate of forks (api/fork.h). */
void tide_stats_gather(struct stats *stats);

const char *tide_stats_lock_name(enum lock_kind kind);

#endif
