/* exchange/depot.c - see depot.h.  Each class of each depot has a lock of its own, held for
 * a few instructions: an owner that finds it busy goes on to the next depot.  If all are, it
 * tries its own some times, as touching new memory instead costs more, and then does
 * without, as who holds it may have been stopped. */
#include "exchange/depot.h"

#include "arena/layout.h"
#include "arena/shard.h"
#include "base/due.h"
#include "base/lock.h"
#include "base/options.h"

enum {
    MOST_BATCH = 32, /* blocks */
    BATCH_BYTES = 4096,
    FEW_HEAPS = 16,  /* with more, a batch is smaller, so that all their batches aren't more */
    FEW_BLOCKS = 8,  /* a batch is never smaller, or as many as are FEW_BYTES */
    FEW_BYTES = 32768,
    MOST_DEPOTS = 8, /* with more shards, some share one */
};

/* What the first block of a stored batch holds. */
struct head {
    struct block block; /* links the blocks of the batch */
    struct head *next;  /* the next batch */
};
_Static_assert(sizeof(struct head) <= TIDE_CACHE_LINE, "smaller blocks don't come here");

struct depot {
    _Alignas(TIDE_CACHE_LINE) struct tide_lock lock;
    struct head *newest;      /* under lock: last in, first out */
    _Atomic uint32_t batches; /* under lock; read by any thread: how many are linked there */
    uint32_t least;           /* under lock: what there was since the last look for idle ones */
};

static struct depot depots[MOST_DEPOTS][TIDE_CLASSES]; /* an open lock is all zero */
static _Atomic size_t most_bytes; /* of a class; about, as it is compared without a lock */

_Atomic uint8_t tide_depot_batch[TIDE_CLASSES];
_Atomic uint32_t tide_depot_stored[TIDE_CLASSES];

void tide_depot_fit(unsigned heaps)
{
    size_t bytes = heaps > FEW_HEAPS ? BATCH_BYTES * FEW_HEAPS / heaps : BATCH_BYTES;

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        size_t count = bytes / tide_class_bytes[c], fewest = FEW_BYTES / tide_class_bytes[c];

        fewest = fewest > FEW_BLOCKS ? FEW_BLOCKS : fewest;
        count = count > MOST_BATCH ? MOST_BATCH : count < fewest ? fewest : count;
        tide_set_relaxed(&tide_depot_batch[c], (uint8_t)count);
    }
    tide_set_relaxed(&most_bytes, (size_t)tide_options.depot * heaps);
}

/* One for each shard.  Shards are added under a lock that forks hold. */
static unsigned depot_count(void)
{
    unsigned shards = tide_relaxed(&tide_shard_count);

    return shards < MOST_DEPOTS ? shards : MOST_DEPOTS;
}

static bool is_suitable(const struct depot *depot, bool is_for_batch)
{
    return !is_for_batch || tide_relaxed(&depot->batches) > 0;
}

/* Locks the shard's depot, or the next one that isn't busy; one with batches, if they are
 * wanted.  NULL: there is none, or it is busy, as who holds it may have been stopped. */
static struct depot *lock_one(unsigned shard, unsigned size_class, bool is_for_batch)
{
    unsigned count = depot_count();
    struct depot *depot;

    for (unsigned n = 0; n < count; n++) {
        depot = &depots[(shard + n) % count][size_class];
        if (is_suitable(depot, is_for_batch) && tide_lock_try(&depot->lock))
            return depot;
    }
    depot = &depots[shard % count][size_class];
    return is_suitable(depot, is_for_batch) && tide_lock_soon(&depot->lock) ? depot : NULL;
}

/* Under the depot's lock; the class's count is of all depots. */
static void count(struct depot *depot, unsigned size_class, uint32_t batches)
{
    tide_count(&depot->batches, batches);
    atomic_fetch_add_explicit(&tide_depot_stored[size_class], batches, memory_order_relaxed);
}

/* Two batches are never too many, unless none may be. */
static bool has_room(unsigned size_class, size_t batch_bytes)
{
    size_t stored = tide_relaxed(&tide_depot_stored[size_class]), most = tide_relaxed(&most_bytes);

    return most > 0 && (stored < 2 || (stored + 1) * batch_bytes <= most);
}

bool tide_depot_put(unsigned shard, unsigned size_class, struct batch batch)
{
    struct head *head = (struct head *)batch.first;
    struct depot *depot;

    if (!has_room(size_class, batch.count * tide_class_bytes[size_class]))
        return false;
    depot = lock_one(shard, size_class, false);
    if (!depot)
        return false;
    head->next = depot->newest;
    depot->newest = head;
    count(depot, size_class, 1);
    tide_unlock(&depot->lock);
    tide_ring();
    return true;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

struct block *tide_depot_take_stored(unsigned shard, unsigned size_class)
{
    struct depot *depot = lock_one(shard, size_class, true);
    struct head *head;

    if (!depot)
        return NULL;
    head = depot->newest;
    if (head) {
        depot->newest = head->next;
        count(depot, size_class, -1u);
        depot->least = least(depot->least, tide_relaxed(&depot->batches));
    }
    tide_unlock(&depot->lock);
    return head ? &head->block : NULL;
}

/* The blocks of the batches, before some others. */
static struct block *join(struct head *head, struct block *all)
{
    struct block *last;

    for (; head; head = head->next) {
        for (last = &head->block; last->next; last = last->next)
            ;
        last->next = all;
        all = &head->block;
    }
    return all;
}

/* Takes out all but the newest batches, or only what was idle. */
static struct head *cut(struct depot *depot, unsigned size_class, bool is_only_idle)
{
    uint32_t batches, keep;
    struct head **link = &depot->newest, *oldest;

    tide_lock(&depot->lock);
    batches = tide_relaxed(&depot->batches);
    keep = is_only_idle ? batches - least(batches, depot->least) : 0;
    for (uint32_t n = 0; n < keep; n++)
        link = &(*link)->next;
    oldest = *link;
    *link = NULL;
    count(depot, size_class, keep - batches);
    depot->least = keep;
    tide_unlock(&depot->lock);
    return oldest;
}

struct block *tide_depot_empty(unsigned size_class, bool is_only_idle)
{
    struct block *blocks = NULL;

    if (tide_relaxed(&tide_depot_stored[size_class]) == 0)
        return NULL;
    for (unsigned n = 0; n < depot_count(); n++)
        blocks = join(cut(&depots[n][size_class], size_class, is_only_idle), blocks);
    return blocks;
}

/* ---- All of them ----------------------------------------------------------- */

#define FOR_EACH(depot)                                                                      \
    for (struct depot *depot = depots[0], *end = depot + depot_count() * TIDE_CLASSES;       \
         depot < end; depot++)

void tide_depot_visit(void (*visit)(void *argument, const struct block *block), void *argument)
{
    FOR_EACH(depot) {
        tide_lock(&depot->lock);
        for (struct head *head = depot->newest; head; head = head->next)
            for (const struct block *block = &head->block; block; block = block->next)
                visit(argument, block);
        tide_unlock(&depot->lock);
    }
}

void tide_depot_lock_counts(struct tide_lock *sum)
{
    FOR_EACH(depot)
        tide_lock_add_counts(sum, &depot->lock);
}

void tide_depot_lock_all(void)
{
    FOR_EACH(depot)
        tide_lock(&depot->lock);
}

void tide_depot_unlock_all(bool in_child)
{
    FOR_EACH(depot)
        tide_lock_after_fork(&depot->lock, in_child);
}

void tide_depot_forget(void)
{
    FOR_EACH(depot) {
        tide_lock_reset(&depot->lock, false);
        depot->newest = NULL;
        depot->least = 0;
        tide_set_relaxed(&depot->batches, 0);
    }
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        tide_set_relaxed(&tide_depot_stored[c], 0);
}
