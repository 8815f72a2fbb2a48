/* exchange/depot.c - see depot.h.  Each class has a lock of its own, held for a few
 * instructions: an owner that finds it busy tries some times, as touching new memory
 * instead costs more, and then does without, as who holds it may have been stopped. */
#include "exchange/depot.h"

#include "arena/layout.h"
#include "base/due.h"
#include "base/lock.h"
#include "base/options.h"

enum {
    MOST_BATCH = 32, /* blocks */
    BATCH_BYTES = 4096,
    FEW_HEAPS = 16,  /* with more, a batch is smaller, so that all their batches aren't more */
};

/* What the first block of a stored batch holds. */
struct head {
    struct block block; /* links the blocks of the batch */
    struct head *next;  /* the next batch */
    size_t bytes;       /* of the batch */
};
_Static_assert(sizeof(struct head) <= TIDE_CACHE_LINE, "smaller blocks don't come here");

struct depot {
    _Alignas(TIDE_CACHE_LINE) struct tide_lock lock;
    struct head *newest;  /* under lock: last in, first out */
    _Atomic size_t bytes; /* under lock; read by any thread */
    uint32_t least;       /* under lock: batches at least here since the last look for idle ones */
};

static struct depot depots[TIDE_CLASSES]; /* an open lock is all zero */
static _Atomic size_t most_bytes;         /* of a class; about, as it is compared without a lock */

_Atomic uint8_t tide_depot_batch[TIDE_CLASSES];
_Atomic uint32_t tide_depot_stored[TIDE_CLASSES];

void tide_depot_fit(unsigned heaps)
{
    size_t bytes = heaps > FEW_HEAPS ? BATCH_BYTES * FEW_HEAPS / heaps : BATCH_BYTES;

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        size_t count = bytes / tide_class_bytes[c];

        count = count > MOST_BATCH ? MOST_BATCH : count == 0 ? 1 : count;
        tide_set_relaxed(&tide_depot_batch[c], (uint8_t)count);
    }
    tide_set_relaxed(&most_bytes, (size_t)tide_options.depot * heaps);
}

bool tide_depot_put(unsigned size_class, struct batch batch)
{
    struct depot *depot = &depots[size_class];
    struct head *head = (struct head *)batch.first;
    size_t bytes = (size_t)batch.count * tide_class_bytes[size_class];

    if (tide_relaxed(&depot->bytes) + bytes > tide_relaxed(&most_bytes))
        return false;
    if (!tide_lock_soon(&depot->lock))
        return false;
    head->bytes = bytes;
    head->next = depot->newest;
    depot->newest = head;
    tide_count(&depot->bytes, bytes);
    tide_count(&tide_depot_stored[size_class], 1);
    tide_unlock(&depot->lock);
    tide_ring();
    return true;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

struct block *tide_depot_take_stored(unsigned size_class)
{
    struct depot *depot = &depots[size_class];
    struct head *head;

    if (!tide_lock_soon(&depot->lock))
        return NULL;
    head = depot->newest;
    if (head) {
        depot->newest = head->next;
        tide_count(&depot->bytes, -head->bytes);
        tide_count(&tide_depot_stored[size_class], -1u);
        depot->least = least(depot->least, tide_relaxed(&tide_depot_stored[size_class]));
    }
    tide_unlock(&depot->lock);
    return head ? &head->block : NULL;
}

static struct block *join(struct head *head)
{
    struct block *all = NULL, *last;

    for (; head; head = head->next) {
        for (last = &head->block; last->next; last = last->next)
            ;
        last->next = all;
        all = &head->block;
    }
    return all;
}

/* Under the lock: takes out all but the newest batches, which are so many. */
static struct head *cut(unsigned size_class, uint32_t keep)
{
    struct depot *depot = &depots[size_class];
    struct head **link = &depot->newest, *oldest;

    for (uint32_t n = 0; n < keep; n++)
        link = &(*link)->next;
    oldest = *link;
    *link = NULL;
    for (struct head *head = oldest; head; head = head->next)
        tide_count(&depot->bytes, -head->bytes);
    tide_set_relaxed(&tide_depot_stored[size_class], keep);
    return oldest;
}

struct block *tide_depot_empty(unsigned size_class, bool is_only_idle)
{
    struct depot *depot = &depots[size_class];
    uint32_t stored;
    struct head *out;

    if (tide_relaxed(&tide_depot_stored[size_class]) == 0)
        return NULL;
    tide_lock(&depot->lock);
    stored = tide_relaxed(&tide_depot_stored[size_class]);
    out = cut(size_class, is_only_idle ? stored - least(stored, depot->least) : 0);
    depot->least = tide_relaxed(&tide_depot_stored[size_class]);
    tide_unlock(&depot->lock);
    return join(out);
}

void tide_depot_visit(void (*visit)(void *argument, const struct block *block), void *argument)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        tide_lock(&depots[c].lock);
        for (struct head *head = depots[c].newest; head; head = head->next)
            for (const struct block *block = &head->block; block; block = block->next)
                visit(argument, block);
        tide_unlock(&depots[c].lock);
    }
}

void tide_depot_lock_counts(struct tide_lock *sum)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        tide_lock_add_counts(sum, &depots[c].lock);
}

void tide_depot_lock_all(void)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        tide_lock(&depots[c].lock);
}

void tide_depot_unlock_all(bool in_child)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        tide_lock_after_fork(&depots[c].lock, in_child);
}

void tide_depot_forget(void)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        tide_lock_reset(&depots[c].lock, false);
        depots[c].newest = NULL;
        depots[c].least = 0;
        tide_set_relaxed(&depots[c].bytes, 0);
        tide_set_relaxed(&tide_depot_stored[c], 0);
    }
}
