/* bench/workloads/contention.c - many threads, each with blocks of its own
 *
 * Independent threads; threads that start, allocate a little and end; false
 * sharing.  What hands blocks from thread to thread is in exchange.c and
 * server.c.
 */
#include "table.h"

#include "held.h"

/* ---- Independent threads ------------------------------------------------------------ */

#define OWN_SLOTS 1000

static void fill(struct worker *worker)
{
    void **slots = worker->state = area(OWN_SLOTS * sizeof *slots);

    for (uint32_t i = 0; i < OWN_SLOTS; i++)
        slots[i] = take_sized(random_between(worker, 16, 1024));
}

/* Small blocks; where the argument is 1, one in 256 large and one in 16384 huge. */
static size_t random_size(struct worker *worker)
{
    if (worker->run->workload->argument) {
        uint32_t dice = random_below(worker, 16384);

        if (dice == 0)
            return random_between(worker, 2 * MIB, 8 * MIB);
        if (dice <= 64)
            return random_between(worker, 32 * KIB, MIB);
    }
    return random_between(worker, 16, 1024);
}

static void replace(struct worker *worker)
{
    void **slots = worker->state;

    for (uint64_t n; (n = claim(worker));)
        while (n--) {
            void **slot = &slots[random_below(worker, OWN_SLOTS)];

            give_timed(worker, *slot);
            *slot = take_timed(worker, random_size(worker));
        }
}

static void empty(struct worker *worker)
{
    void **slots = worker->state;

    for (uint32_t i = 0; i < OWN_SLOTS; i++)
        give_sized(slots[i]);
}

void run_independent(struct run *run)
{
    run_stages(run, &(struct stages){ fill, replace, empty });
}

/* ---- Threads that start, allocate a little and end -------------------------------------- */

#define LIFE_BLOCKS 100

struct life {
    struct worker *worker;       /* lent to the thread while it lives */
    void *left[LIFE_BLOCKS / 2]; /* for the thread that started this one */
};

/* Frees every other block; the rest outlives the thread. */
static void *live(void *argument)
{
    struct life *life = argument;
    struct worker *worker = life->worker;
    void *blocks[LIFE_BLOCKS];

    for (unsigned i = 0; i < LIFE_BLOCKS; i++)
        blocks[i] = take_timed(worker, random_between(worker, 16, 512));
    for (unsigned i = 0; i < LIFE_BLOCKS; i += 2) {
        give_timed(worker, blocks[i]);
        life->left[i / 2] = blocks[i + 1];
    }
    return NULL;
}

static void lives(struct worker *worker)
{
    struct life life = { .worker = worker };
    pthread_t thread;

    while (claim(worker)) {
        start_thread(&thread, live, &life);
        join_thread(thread);
        for (unsigned i = 0; i < LIFE_BLOCKS / 2; i++)
            give_timed(worker, life.left[i]);
    }
}

void run_thread_lives(struct run *run)
{
    run->chunk = 1;
    run_stages(run, &(struct stages){ NULL, lives, NULL });
}

/* ---- False sharing --------------------------------------------------------------------------- */

#define SHARE_BLOCKS 8   /* that a thread holds at a time */
#define SHARE_BYTES  16  /* of each; four fit in a cache line */
#define SHARE_WRITES 100 /* to each */

/* What all threads are handed in the passive case: one's blocks lie between
 * the others'. */
static void *handed(const struct worker *worker, unsigned block)
{
    void **blocks = worker->run->shared;

    return blocks[block * worker->run->threads + worker->index];
}

static void free_handed(struct worker *worker)
{
    if (!worker->run->shared)
        return;
    for (unsigned i = 0; i < SHARE_BLOCKS; i++)
        give(handed(worker, i), SHARE_BYTES);
}

/* An operation is a block: taken together with others, written, freed. */
static void write_blocks(struct worker *worker)
{
    volatile uint32_t *blocks[SHARE_BLOCKS];

    for (uint64_t n; (n = claim(worker));)
        for (; n; n -= SHARE_BLOCKS) {
            for (unsigned i = 0; i < SHARE_BLOCKS; i++) {
                blocks[i] = take(SHARE_BYTES);
                blocks[i][1] = 0;
            }
            for (unsigned i = 0; i < SHARE_BLOCKS * SHARE_WRITES; i++)
                blocks[i % SHARE_BLOCKS][1]++;
            for (unsigned i = 0; i < SHARE_BLOCKS; i++) {
                if (blocks[i][1] != SHARE_WRITES)
                    fail_block((void *)blocks[i], SHARE_BYTES);
                give((void *)blocks[i], SHARE_BYTES);
            }
        }
}

static void run_sharing(struct run *run)
{
    run->chunk = 16 * SHARE_BLOCKS;
    run->work = (run->work + run->chunk - 1) / run->chunk * run->chunk;
    run_stages(run, &(struct stages){ free_handed, write_blocks, NULL });
}

void run_sharing_active(struct run *run)
{
    run_sharing(run);
}

void run_sharing_passive(struct run *run)
{
    void **blocks = run->shared = area(SHARE_BLOCKS * run->threads * sizeof *blocks);

    for (unsigned i = 0; i < SHARE_BLOCKS * run->threads; i++)
        blocks[i] = take(SHARE_BYTES);
    run_sharing(run);
}

/* ---- Blocks of their own, of larger sizes ----------------------------------------- */

#define OWN_BLOCKS 16 /* that a thread has at a time */

static void take_own(const struct worker *worker, void **blocks, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        blocks[i] = take((size_t)worker->run->workload->argument);
}

static void give_own(const struct worker *worker, void **blocks, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        give(blocks[i], (size_t)worker->run->workload->argument);
}

static void own_blocks(struct worker *worker)
{
    void *blocks[OWN_BLOCKS];

    for (uint64_t n, some; (n = claim(worker));)
        for (; n; n -= some) {
            some = n < OWN_BLOCKS ? n : OWN_BLOCKS;
            take_own(worker, blocks, some);
            give_own(worker, blocks, some);
        }
    take_own(worker, blocks, OWN_BLOCKS);
    note_mappings(worker);
    give_own(worker, blocks, OWN_BLOCKS);
}

void run_own_blocks(struct run *run)
{
    run_stages(run, &(struct stages){ NULL, own_blocks, NULL });
}
