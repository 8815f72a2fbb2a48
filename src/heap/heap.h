/* heap/heap.h - one thread's usedpools
 *
 * A heap is changed only by its owner: the thread it belongs to; a thread that
 * visits it as an orphan, or stands in for an owner that sleeps (idle.h), under
 * the heap's lock; or, for the common heap that threads share, whoever holds its
 * lock.  Others reach it in one way: they put pools with returned blocks in its
 * inbox.
 *
 * For each class there is the list malloc takes from; the current pool, which
 * that list was last filled from, whose blocks go back there when freed; and
 * the used pools, which have free blocks.  Full pools are in no list: a free
 * brings them back.  The list may have blocks of any pools as well: foreign
 * ones, which this thread freed for others, and what came from the depot or the
 * common heap.  More foreign blocks wait as the surplus; those smaller than a
 * cache line aren't given again, as other threads' blocks are on their line:
 * they wait in the outbox.
 * Invariants: a current pool is not in the used list, every pool in the used
 * list is POOL_USED, and a list with foreign == 0 is all the current pool's.
 */
#ifndef TIDE_HEAP_HEAP_H
#define TIDE_HEAP_HEAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "arena/manager.h"
#include "heap/depot.h"
#include "pool/returned.h"

enum heap_state {
    HEAP_NONE,    /* stands for the heap of a thread that has none */
    HEAP_OWNED,
    HEAP_ORPHAN,  /* its thread has ended; waits to be adopted */
    HEAP_RETIRED, /* its thread is in the parent of this fork child; never used again */
};

enum { OUTBOX_CHAINS = 16 };

/* Blocks to go home, a chain for each of so many pools. */
struct outbox {
    struct chain chains[OUTBOX_CHAINS];
    size_t bytes;
};

struct heap {
    struct free_list list[TIDE_CLASSES];
    struct pool *current[TIDE_CLASSES];
    struct pool *used[TIDE_CLASSES];
    uint8_t foreign[TIDE_CLASSES]; /* blocks put in the list that may be of other pools */
    uint8_t shares[TIDE_CLASSES];  /* batches of small blocks that came from the common heap */
    struct batch surplus[TIDE_CLASSES]; /* foreign blocks for the next refill, or the depot */
    struct outbox outbox;          /* those that go home */
    struct tide_tenant tenant;
    struct pool *stock;       /* empty pools of one slot, linked by next */
    uint32_t stock_count;
    struct heap *next_orphan; /* under the orphans' lock */
    bool is_idle;             /* likewise (the common heap: its): unused since the last look */
    struct heap *next_heap;   /* constant: all heaps */
    _Atomic uint32_t state;   /* enum heap_state; written by the owner under lock, read by any */
    _Atomic pid_t thread;     /* the owner's; written under lock or before the heap is listed */
    pid_t process;            /* likewise */
    uint64_t owned_at;        /* likewise: in ticks (os/waiting.h) */

    /* Standing in for the owner: see idle.c. */
    struct heap **_Atomic fast; /* where the owner finds its heap; set and cleared by it */
    _Atomic uint8_t inside;   /* owner: calls under way that may wait with the heap in use */
    _Atomic bool is_lent;     /* under lock: someone stands in */
    _Atomic uint32_t moves;   /* owner: refills, and pools that change state or get emptier */
    uint32_t moves_seen;      /* under the maintenance lock: at the last look */
    uint32_t moves_rested;    /* likewise: when it gave back all that could go */
    uint8_t refusals;         /* likewise: vain tries to stand in since it last moved */
    struct pool *cursor;      /* owner: the next used pool to be looked at */
    uint8_t pass_class;       /* likewise: the class after it */
    bool is_passing;          /* likewise: not all pools have been looked at */
    bool is_pass_partial;     /* likewise: it leaves out pools that are in use */
    uint32_t moves_at_pass;   /* likewise: when it began */
    uint64_t blocked;         /* as owned_at: signals that the thread blocked then */

    /* A cache line that other threads write: pools with returned blocks. */
    _Alignas(TIDE_CACHE_LINE) struct pool *_Atomic inbox;
    struct tide_lock lock; /* held to visit an orphan, and to make or adopt one */
};

_Static_assert(sizeof(struct free_list) == 2 * sizeof(struct block *),
               "malloc finds a class's list at twice the class");

/* Has no blocks and owns no pool, and is never written: what the fast paths start
 * from where they are to miss. */
extern TIDE_HIDDEN struct heap tide_heap_none;

/* ---- Whose heap -------------------------------------------------------- */

/* The calling thread's heap, made or adopted if it has none; NULL and ENOMEM
 * when that fails.  Must be followed by tide_heap_leave. */
struct heap *tide_heap_enter(void);
void tide_heap_leave(struct heap *heap);

/* Around what the owner does with its heap, if it may wait in it for a lock or
 * for memory; so that nobody stands in for it then. */
static inline void tide_heap_begin(struct heap *heap)
{
    tide_owner_add(&heap->inside, 1);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void tide_heap_end(struct heap *heap)
{
    atomic_signal_fence(memory_order_seq_cst);
    tide_owner_add(&heap->inside, -1);
}

/* Whether the calling thread may do more than was asked of it.  Not so in the
 * child of a vfork, which lives in its parent's memory, nor in a thread that is
 * past its destructors. */
bool tide_heap_is_at_home(void);

/* All heaps ever made: NULL gives the first, NULL ends it. */
struct heap *tide_heap_next(struct heap *heap);

/* How many threads have one of their own. */
unsigned tide_heap_count(void);

/* Whether it is the one that threads share: see common.h. */
bool tide_heap_is_common(const struct heap *heap);

/* The lock under which a heap is used by others than its owner. */
struct tide_lock *tide_heap_lock_of(struct heap *heap);

/* ---- Pools of a heap: its owner only ----------------------------------- */

/* A block for the class whose list is empty, and a new list.  NULL when there is
 * no memory; errno stays. */
void *tide_heap_refill(struct heap *heap, unsigned size_class);

/* The surplus of a class, which is empty then. */
static inline struct block *tide_heap_take_surplus(struct heap *heap, unsigned size_class)
{
    struct block *first = heap->surplus[size_class].first;

    heap->surplus[size_class] = (struct batch){ .first = NULL };
    return first;
}

/* Collects all pools in the inbox. */
void tide_heap_drain_inbox(struct heap *heap);

/* Makes a pool (NULL: none) the current one, for a class whose list is empty. */
void tide_heap_make_current(struct heap *heap, unsigned size_class, struct pool *pool);

/* Moves a pool to where its change of state puts it. */
void tide_heap_place(struct heap *heap, struct pool *pool, enum pool_change change);

/* Moves a used pool to where it belongs now: those with freed blocks come first. */
void tide_heap_relink(struct heap *heap, struct pool *pool);

/* Gives back every list, current pool and stocked pool that can go. */
void tide_heap_give_back(struct heap *heap);

/* ---- Orphans (orphans.c) ----------------------------------------------- */

/* A thread has made itself a heap; under all locks, one is retired. */
void tide_heap_count_born(void);
void tide_heap_count_retired(void);

/* Makes the heap of the calling thread, which uses it no more, an orphan. */
void tide_heap_hand_over(struct heap *heap);

/* A heap without a thread, now the calling one's; NULL when there is none. */
struct heap *tide_heap_adopt(void);

/* Lets an orphan's returned blocks go, so that memory comes back though no
 * thread adopts it. */
void tide_heap_visit_orphan(struct heap *heap);

/* Lets what no thread owns give back what it can: orphans, the common heap, the
 * depot.  Any thread, without locks. */
void tide_heap_give_back_unowned(void);

/* The same for what was so, and not used, since the last call already.  How many
 * others (heaps, classes of the depot) have something to give back. */
size_t tide_heap_decay_unowned(void);

/* ---- Locks ------------------------------------------------------------- */

/* The heaps' own locks, around fork: after the orphans', before the arenas'. */
void tide_heap_lock_all(void);
void tide_heap_unlock_all(bool in_child);

/* The module's locks, for fork and for their counts. */
struct tide_lock *tide_heap_start_lock(void);
struct tide_lock *tide_heap_orphans_lock(void);

/* ---- Start and fork ---------------------------------------------------- */

/* Whether the allocator is ready; the first caller makes it so, with the
 * settings in environment.  NULL (it came before the C library was ready)
 * leaves the defaults, and a later caller that has one warns of settings that
 * came too late. */
bool tide_heap_start(char *const *environment);

/* In a fork child, under all locks: retires the heaps of threads that are not
 * in it. */
void tide_heap_after_fork_in_child(void);

/* ---- Invariants -------------------------------------------------------- */

/* Walks the lists of a heap that is not in use meanwhile. */
void tide_heap_check(struct heap *heap);

#endif
