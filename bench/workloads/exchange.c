/* bench/workloads/exchange.c - blocks taken by one thread and freed by another
 *
 * Producers and consumers: every block is freed by another thread than took
 * it.  Relay: threads in a ring, each frees what the one before took and takes
 * as much for the next.  Blocks travel in batches through bounded queues, and
 * the work is counted in blocks.  One thread alone plays both parts in turn.
 */
#include "table.h"

#include "queue.h"

#define LEAST_BYTES 16
#define MOST_BYTES  512

static struct queue *make_queues(struct run *run, unsigned count)
{
    struct queue *queues = run->shared = area(count * sizeof *queues);

    for (unsigned i = 0; i < count; i++)
        queue_init(&queues[i]);
    return queues;
}

static void take_batch(struct worker *worker, void **batch)
{
    for (unsigned i = 0; i < BATCH; i++) {
        size_t size = random_between(worker, LEAST_BYTES, MOST_BYTES);

        batch[i] = take_timed(worker, size);
    }
}

static void give_batch(struct worker *worker, void **batch)
{
    for (unsigned i = 0; i < BATCH; i++)
        give_timed(worker, batch[i]);
}

/* Work in whole batches, one at a time. */
static uint64_t cut_batches(struct run *run)
{
    uint64_t batches = (run->work + BATCH - 1) / BATCH;

    run->chunk = BATCH;
    run->work = batches * BATCH;
    return batches;
}

/* ---- Producers and consumers ----------------------------------------------------------- */

/* The workload's argument is the producers' share of the threads in percent. */
static unsigned producers(const struct run *run)
{
    unsigned count = run->threads * (unsigned)run->workload->argument / 100;

    if (count < 1)
        return 1;
    return count < run->threads ? count : run->threads - 1;
}

static void produce(struct worker *worker)
{
    struct run *run = worker->run;
    struct queue *queues = run->shared;
    unsigned consumers = run->threads - producers(run);
    void *batch[BATCH];

    while (claim(worker)) {
        take_batch(worker, batch);
        queue_put(&queues[worker->first / BATCH % consumers], batch);
    }
}

/* Consumer i gets the batches i, i + consumers, i + 2 * consumers ... */
static void consume(struct worker *worker)
{
    struct run *run = worker->run;
    unsigned consumers = run->threads - producers(run);
    unsigned own = worker->index - producers(run);
    struct queue *queue = (struct queue *)run->shared + own;
    void *batch[BATCH];

    for (uint64_t number = own; number < run->work / BATCH; number += consumers) {
        queue_take(queue, batch);
        give_batch(worker, batch);
        worker->operations += BATCH;
    }
}

static void exchange(struct worker *worker)
{
    void *batch[BATCH];

    if (worker->run->threads == 1)
        while (claim(worker)) {
            take_batch(worker, batch);
            give_batch(worker, batch);
        }
    else if (worker->index < producers(worker->run))
        produce(worker);
    else
        consume(worker);
}

void run_exchange(struct run *run)
{
    cut_batches(run);
    make_queues(run, run->threads);
    run_stages(run, &(struct stages){ NULL, exchange, NULL });
    run->operations = run->work;
}

/* ---- Relay -------------------------------------------------------------------------------- */

/* Fewer under way than there is room for, so not all threads can wait. */
#define UNDER_WAY 4 /* batches for each thread */
_Static_assert(UNDER_WAY < QUEUE_BATCHES, "the ring would stand still");

static void start_relay(struct worker *worker)
{
    struct queue *queues = worker->run->shared;
    void *batch[BATCH];

    for (unsigned i = 0; i < UNDER_WAY; i++) {
        take_batch(worker, batch);
        queue_put(&queues[worker->index], batch);
    }
}

/* As many steps as every other thread. */
static void relay(struct worker *worker)
{
    struct run *run = worker->run;
    struct queue *queues = run->shared, *own = &queues[worker->index];
    struct queue *next = &queues[(worker->index + 1) % run->threads];
    void *batch[BATCH];

    random_seed(worker, worker->index);
    while (worker->operations < run->work / run->threads) {
        queue_take(own, batch);
        for (unsigned i = 0; i < BATCH; i++) {
            give_timed(worker, batch[i]);
            batch[i] = take_timed(worker, random_between(worker, LEAST_BYTES, MOST_BYTES));
        }
        queue_put(next, batch);
        worker->operations += BATCH;
    }
}

static void end_relay(struct worker *worker)
{
    struct queue *queues = worker->run->shared;
    void *batch[BATCH];

    for (unsigned i = 0; i < UNDER_WAY; i++) {
        queue_take(&queues[worker->index], batch);
        give_batch(worker, batch);
    }
}

void run_relay(struct run *run)
{
    uint64_t batches = cut_batches(run), threads = run->threads;

    run->work = (batches + threads - 1) / threads * threads * BATCH;
    make_queues(run, run->threads);
    run_stages(run, &(struct stages){ start_relay, relay, end_relay });
}
