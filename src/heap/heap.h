/* heap/heap.h - one thread's usedpools
 *
 * A heap is changed only by its owner, the thread it belongs to, in sections; by
 * whoever has taken it, through its door; or, for the common heap that threads
 * share, by whoever holds its lock.  Others reach it in one way: they put pools with
 * returned blocks, or purged pages, in its two inboxes.
 *
 * A section is what the owner does between tide_heap_begin and tide_heap_end.  Who
 * takes the heap closes the door (one compare-and-swap, so only one can), lets every
 * thread pass a barrier (membarrier), and then looks whether the owner is inside.
 * If not, it isn't before the door is open again: it finds it closed, does without
 * its heap and waits for nobody.  src/README.md, "Why this is safe", has the argument.
 *
 * For each class there is the list malloc takes from; the current pool, which
 * that list was last filled from, whose blocks go back there when freed; and
 * the used pools, which have free blocks.  Full pools are in no list: a free
 * brings them back.  The list may have blocks of any pools as well: foreign
 * ones, which this thread freed for others, and what came from the depot or the
 * common heap.  More foreign blocks wait as the surplus; those smaller than a
 * cache line aren't given again, as other threads' blocks are on their line:
 * they wait in the outbox.  Blocks of a cached class, whose pools have few, go back to
 * the list whichever of the heap's pools they are of: see lists.h.
 * Invariants: a current pool is not in the used list, every pool in the used
 * list is POOL_USED, and a list with foreign == 0 is all the current pool's or, of a
 * cached class, the heap's.
 */
#ifndef TIDE_HEAP_HEAP_H
#define TIDE_HEAP_HEAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "arena/manager.h"
#include "base/fatal.h"
#include "exchange/depot.h"
#include "pool/returned.h"

enum heap_state {
    HEAP_NONE,    /* stands for the heap of a thread that has none */
    HEAP_OWNED,
    HEAP_COMMON,  /* the one that threads share, under a lock: see common.h */
    HEAP_ORPHAN,  /* its thread has ended; waits to be adopted */
    HEAP_RETIRED, /* its thread is in the parent of this fork child; never used again */
};

enum { OUTBOX_CHAINS = 16 };

/* Blocks to go home, a chain for each of so many pools. */
struct outbox {
    struct chain chains[OUTBOX_CHAINS];
    size_t bytes;
};

/* While somebody else than its owner uses a heap, and always in the common one. */
struct aside {
    struct pool *emptied; /* pools that nobody owns any more, linked by next */
    struct pool *fetched; /* a new one, of no class yet, or NULL */
};

/* How far tidying a heap has come: see upkeep/tidy.h. */
struct tidying {
    struct pool *cursor;   /* the next used pool to be looked at */
    uint8_t step;          /* enum tidy_step */
    uint8_t size_class;    /* within the step */
    bool is_only_idle;     /* it leaves out what is in use */
    bool is_disturbed;     /* the owner used the heap since it began */
    uint32_t moves;        /* the heap's, after the last slice */
};

struct heap {
    struct heap *_Atomic door; /* the heap; tide_heap_none while someone has taken it */
    _Atomic uint32_t inside;   /* owner: it is in a section */
    struct free_list list[TIDE_CLASSES];
    struct pool *current[TIDE_CLASSES];
    struct pool *used[TIDE_CLASSES];
    uint8_t foreign[TIDE_CLASSES]; /* blocks put in the list that may be of other pools */
    uint8_t depth[TIDE_CLASSES];   /* of a cached class: how often its list has been let grow */
    bool ran_dry[TIDE_CLASSES];    /* likewise: it was refilled since it was last too long */
    uint32_t deepened;             /* bytes that all the lists may have more than at first */
    uint8_t given_back;            /* the class whose list last went as memory was needed */
    uint8_t shares[TIDE_CLASSES];  /* batches of small blocks that came from the common heap */
    struct batch surplus[TIDE_CLASSES]; /* foreign blocks for the next refill, or the depot */
    struct outbox outbox;          /* those that go home */
    struct tide_tenant tenant;
    struct pool *stock;       /* empty pools of one slot, linked by next */
    uint32_t stock_count;
    struct pool *wide;        /* likewise one of several slots, or NULL */
    struct aside *aside;      /* where empty pools go, if not to their arenas at once */
    struct pool *arrived[2];  /* taken out of the inboxes, not collected yet */
    struct tidying tidying;
    uint32_t used_slots;         /* of the pools in the used lists */
    _Atomic size_t loose;        /* bytes of pages that are likely to be free in used pools, as
                                  * far as these told; read by the owner outside sections */
    struct heap *next_orphan; /* under the orphans' lock */
    bool is_whole;            /* likewise: an orphan that kept its lists and pools */
    struct heap *next_heap;   /* constant: all heaps */
    _Atomic uint32_t state;   /* enum heap_state; written by the owner, read by any */
    pid_t thread;             /* the owner's, or 0; written by it before the door opens */
    _Atomic uint32_t moves;   /* owner: refills, and pools that change state or get emptier */
    _Atomic uint32_t moves_seen;   /* who looks: at the last look */
    _Atomic uint32_t moves_rested; /* likewise: when it gave back all that could go */
    uint8_t refusals;         /* under the look's lock: looks that found its owner inside */

    /* A cache line that other threads write: pools with returned blocks, and those
     * with purged pages. */
    _Alignas(TIDE_CACHE_LINE) struct pool *_Atomic inbox;
    struct pool *_Atomic purged;
};

_Static_assert(sizeof(struct free_list) == 2 * sizeof(struct block *),
               "malloc finds a class's list at twice the class");

#define TIDE_TLS __attribute__((tls_model("initial-exec"))) _Thread_local

/* Has no blocks and owns no pool: what the fast paths find where they are to miss.
 * Nothing but its mark is ever written. */
extern TIDE_HIDDEN struct heap tide_heap_none;

/* What the calling thread's fast paths start from; never NULL. */
extern TIDE_HIDDEN TIDE_TLS struct heap *tide_heap_fast;

/* ---- Sections ---------------------------------------------------------- */

/* The owner, outside a section, begins one; what may be used in it: the heap, or
 * tide_heap_none.  The door is looked at after the mark is set; for others the
 * barrier that takers make (upkeep/idle.c) sees to that order. */
static inline struct heap *tide_heap_begin(struct heap *heap)
{
    TIDE_ASSERT(heap == &tide_heap_none || tide_relaxed(&heap->inside) == 0);
    tide_set_relaxed(&heap->inside, 1);
    atomic_signal_fence(memory_order_seq_cst);
    return tide_acquire(&heap->door); /* pairs with the release in tide_heap_open */
}

static inline void tide_heap_end(struct heap *heap)
{
    tide_set_release(&heap->inside, 0); /* pairs with the acquire in tide_heap_is_left */
}

/* Takes a heap: closes the door, if it is open.  Once a barrier was passed, or
 * if it is an orphan, and it is left, it belongs to the caller until it opens the
 * door. */
static inline bool tide_heap_close(struct heap *heap)
{
    struct heap *open = heap;

    return atomic_compare_exchange_strong(&heap->door, &open, &tide_heap_none);
}

static inline bool tide_heap_is_left(struct heap *heap)
{
    return tide_acquire(&heap->inside) == 0;
}

static inline void tide_heap_open(struct heap *heap)
{
    tide_set_release(&heap->door, heap);
}

/* ---- Whose heap -------------------------------------------------------- */

/* The calling thread's own; NULL when it has none. */
struct heap *tide_heap_own(void);

/* Whether the calling thread has not asked for memory before; it then gets a heap, or
 * none for good.  See birth.h. */
bool tide_heap_is_unborn(void);

/* The heap is the calling thread's from now on; NULL: it has none for good. */
void tide_heap_set_own(struct heap *heap);

/* In a fork child: its heap can't be trusted; the thread will get another. */
void tide_heap_lose_own(void);

/* The calling thread is the process's first, whose number it has. */
void tide_heap_note_first(void);

/* It is the owner of its heap in this process. */
void tide_heap_note_owner(void);

static inline bool tide_heap_is_own(const struct heap *heap)
{
    return tide_heap_own() == heap;
}

/* Whether the calling thread may do more than was asked of it.  Not so in the
 * child of a vfork, which lives in its parent's memory, nor in a thread that is
 * past its destructors. */
bool tide_heap_is_at_home(void);

static inline bool tide_heap_is_common(const struct heap *heap)
{
    return tide_relaxed(&heap->state) == HEAP_COMMON;
}

/* ---- All heaps --------------------------------------------------------- */

/* All heaps ever made: NULL gives the first, NULL ends it. */
struct heap *tide_heap_next(struct heap *heap);
void tide_heap_enlist(struct heap *heap);

/* How many threads have one of their own; written under the orphans' lock. */
extern TIDE_HIDDEN _Atomic unsigned tide_heaps_owned;

static inline unsigned tide_heap_count(void)
{
    return tide_relaxed(&tide_heaps_owned);
}

/* Held while the allocator is made ready, and while shards are added to it. */
struct tide_lock *tide_heap_start_lock(void);

/* ---- Its lists ---------------------------------------------------------- */

/* The surplus of a class, which is empty then. */
static inline struct block *tide_heap_take_surplus(struct heap *heap, unsigned size_class)
{
    struct block *first = heap->surplus[size_class].first;

    heap->surplus[size_class] = (struct batch){ .first = NULL };
    return first;
}

#endif
