/* bench/workloads/micro.c - one kind of call at a time, by size
 *
 * Meant for one thread; with more, each does the same on blocks of its own.
 * An operation is an allocation and its free, but for realloc: there it is a
 * step of growth.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#define MOST_SLOTS 10000
#define SLOT_BYTES (8 * MIB) /* at most in all slots, unless said otherwise */

/* Blocks that the worker holds. */
struct slots {
    uint32_t count;
    uint32_t next;                /* of a queue: the oldest */
    uint32_t order[MOST_SLOTS];   /* a permutation of the slots */
    void *blocks[MOST_SLOTS];
};

static size_t argument(const struct worker *worker)
{
    return (size_t)worker->run->workload->argument;
}

static struct slots *make_slots(struct worker *worker, size_t count)
{
    struct slots *slots = worker->state = area(sizeof *slots);

    slots->count = count < MOST_SLOTS ? (uint32_t)count : MOST_SLOTS;
    return slots;
}

/* ---- One size ------------------------------------------------------------------ */

static void lifo(struct worker *worker)
{
    size_t size = argument(worker);

    for (uint64_t n; (n = claim(worker));)
        while (n--)
            give(take(size), size);
}

void run_lifo(struct run *run)
{
    run_stages(run, &(struct stages){ NULL, lifo, NULL });
}

static void fill_one_size(struct worker *worker)
{
    size_t size = argument(worker);
    struct slots *slots = make_slots(worker, 1000);

    for (uint32_t i = 0; i < slots->count; i++)
        slots->blocks[i] = take(size);
}

static void empty_one_size(struct worker *worker)
{
    struct slots *slots = worker->state;

    for (uint32_t i = 0; i < slots->count; i++)
        give(slots->blocks[i], argument(worker));
}

/* Frees the oldest of 1,000 blocks and takes another. */
static void fifo(struct worker *worker)
{
    size_t size = argument(worker);
    struct slots *slots = worker->state;

    for (uint64_t n; (n = claim(worker));)
        while (n--) {
            void **oldest = &slots->blocks[slots->next];

            give(*oldest, size);
            *oldest = take(size);
            if (++slots->next == slots->count)
                slots->next = 0;
        }
}

void run_fifo(struct run *run)
{
    run_stages(run, &(struct stages){ fill_one_size, fifo, empty_one_size });
}

/* The order in which a batch is freed: as taken. */
static void order_batch(struct worker *worker)
{
    struct slots *slots = make_slots(worker, SLOT_BYTES / argument(worker));

    for (uint32_t i = 0; i < slots->count; i++)
        slots->order[i] = i;
}

/* ... shuffled. */
static void order_random(struct worker *worker)
{
    struct slots *slots;

    order_batch(worker);
    slots = worker->state;
    for (uint32_t i = slots->count - 1; i > 0; i--) {
        uint32_t j = random_below(worker, i + 1), other = slots->order[j];

        slots->order[j] = slots->order[i];
        slots->order[i] = other;
    }
}

/* Takes all, then frees all, over and over. */
static void batches(struct worker *worker)
{
    size_t size = argument(worker);
    struct slots *slots = worker->state;

    for (uint64_t n; (n = claim(worker));)
        for (uint64_t done = 0; done < n; done += slots->count) {
            uint32_t count = n - done < slots->count ? (uint32_t)(n - done) : slots->count;

            for (uint32_t i = 0; i < count; i++)
                slots->blocks[i] = take(size);
            for (uint32_t i = 0; i < slots->count; i++)
                if (slots->order[i] < count)
                    give(slots->blocks[slots->order[i]], size);
        }
}

static void run_batches(struct run *run, void (*order)(struct worker *worker))
{
    run->chunk = SLOT_BYTES / (uint64_t)run->workload->argument;
    if (run->chunk > MOST_SLOTS)
        run->chunk = MOST_SLOTS;
    run_stages(run, &(struct stages){ order, batches, NULL });
}

void run_batch(struct run *run)
{
    run_batches(run, order_batch);
}

void run_random_order(struct run *run)
{
    run_batches(run, order_random);
}

/* ---- Random sizes ---------------------------------------------------------------- */

/* What replaces a random one of the slots, and how. */
struct mix {
    uint32_t slots;
    size_t least, most; /* bytes */
    void *(*take)(size_t size);
};

static void *take_plain(size_t size)
{
    return take_sized(size);
}

static void *take_aligned(size_t alignment, size_t size)
{
    void *block = aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));

    if ((uintptr_t)block & (alignment - 1))
        fail("aligned_alloc: block %p isn't aligned to %zu bytes", block, alignment);
    return mark_sized(block, size);
}

static void *take_aligned_64(size_t size)
{
    return take_aligned(64, size);
}

static void *take_aligned_4096(size_t size)
{
    return take_aligned(4096, size);
}

static const struct mix mixes[] = {
    [MIX_SMALL] = { 10000, 16, 1024, take_plain },
    [MIX_LARGE] = { 32, 64 * KIB, MIB, take_plain },
    [MIX_CALLOC_SMALL] = { 1000, 16, 1024, take_zeroed },
    [MIX_CALLOC_LARGE] = { 16, 64 * KIB, MIB, take_zeroed },
    [MIX_ALIGNED_64] = { 1000, 16, 1024, take_aligned_64 },
    [MIX_ALIGNED_4096] = { 100, 512, 16384, take_aligned_4096 },
};

static const struct mix *mix_of(const struct worker *worker)
{
    return &mixes[worker->run->workload->argument];
}

static void fill_mix(struct worker *worker)
{
    const struct mix *mix = mix_of(worker);
    struct slots *slots = make_slots(worker, mix->slots);

    for (uint32_t i = 0; i < slots->count; i++)
        slots->blocks[i] = mix->take(random_between(worker, mix->least, mix->most));
}

static void replace_mix(struct worker *worker)
{
    const struct mix *mix = mix_of(worker);
    struct slots *slots = worker->state;

    for (uint64_t n; (n = claim(worker));)
        while (n--) {
            void **slot = &slots->blocks[random_below(worker, slots->count)];

            give_sized(*slot);
            *slot = mix->take(random_between(worker, mix->least, mix->most));
        }
}

static void empty_mix(struct worker *worker)
{
    struct slots *slots = worker->state;

    for (uint32_t i = 0; i < slots->count; i++)
        give_sized(slots->blocks[i]);
}

void run_mix(struct run *run)
{
    run_stages(run, &(struct stages){ fill_mix, replace_mix, empty_mix });
}

/* ---- Huge blocks ------------------------------------------------------------------- */

static void huge(struct worker *worker)
{
    size_t step = argument(worker); /* bytes from one touched place to the next */

    for (uint64_t n; (n = claim(worker));)
        while (n--) {
            size_t size = random_between(worker, 4 * MIB, 32 * MIB);
            unsigned char *block = take(size);

            for (size_t at = step; at < size - 1; at += step)
                block[at] = 1;
            give(block, size);
        }
}

void run_huge(struct run *run)
{
    run_stages(run, &(struct stages){ NULL, huge, NULL });
}

/* ---- realloc ------------------------------------------------------------------------- */

#define GROWN_BYTES MIB
#define GROW_SIDES  2 /* blocks that grow in turn, so that neither is always last */

static size_t grown(size_t size, size_t step)
{
    return step ? size + step : 2 * size;
}

static void *grow(void *block, size_t from, size_t to)
{
    unsigned char *bytes = hide(realloc(block, to)), tag = (unsigned char)(from >> 4 | 1);

    if (!bytes)
        fail_memory(to);
    if (from && (bytes[0] != 0x5A || bytes[from - 1] != tag))
        fail("realloc from %zu to %zu bytes lost what the block held", from, to);
    bytes[0] = 0x5A;
    bytes[to - 1] = (unsigned char)(to >> 4 | 1);
    return bytes;
}

/* From 16 bytes to 1 MiB; the argument is the step, 0 for doubling. */
static void reallocs(struct worker *worker)
{
    size_t step = argument(worker);
    void *blocks[GROW_SIDES] = { NULL };
    size_t sizes[GROW_SIDES] = { 0 };
    unsigned side = 0;

    for (uint64_t n; (n = claim(worker));)
        while (n--) {
            size_t from = sizes[side], to = from ? grown(from, step) : 16;

            if (to > GROWN_BYTES) {
                free(blocks[side]);
                blocks[side] = NULL;
                from = 0;
                to = 16;
            }
            blocks[side] = grow(blocks[side], from, to);
            sizes[side] = to;
            side = (side + 1) % GROW_SIDES;
        }
    for (side = 0; side < GROW_SIDES; side++)
        free(blocks[side]);
}

void run_realloc(struct run *run)
{
    run_stages(run, &(struct stages){ NULL, reallocs, NULL });
}
