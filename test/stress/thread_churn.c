/* thread_churn.c - short-lived threads that leave blocks behind
 *
 * usage: thread_churn [rounds [threads]]
 *
 * In each round that many threads start, allocate, swap blocks with a shared
 * pool, free some of each other's and end; blocks in the pool outlive their
 * owner by many rounds.  When the pool is emptied RSS must be back.
 */
#include <stdatomic.h>
#include <stdint.h>

#include "common.h"

enum { SHARED = 2048, THREADS_MAX = 1000, SWAPS = 60, OWN = 20 };

static _Atomic(struct parcel *) shared[SHARED];
static struct worker {
    pthread_t thread;
    struct rng rng;
} workers[THREADS_MAX];

/* Also frees what it displaces. */
static void swap_in(struct rng *rng, struct parcel *parcel)
{
    parcel_free(atomic_exchange(&shared[rng_below(rng, SHARED)], parcel));
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct parcel *own[OWN];
    for (int i = 0; i < OWN; i++)
        own[i] = parcel_new(&worker->rng, 10);
    for (int i = 0; i < SWAPS; i++)
        swap_in(&worker->rng,
                rng_below(&worker->rng, 4) == 0
                    ? NULL
                    : parcel_new(&worker->rng, rng_below(&worker->rng, 50) == 0 ? 17 : 11));
    for (int i = 0; i < OWN; i++) {
        if (i % 4 == 0)
            swap_in(&worker->rng, own[i]);
        else
            parcel_free(own[i]);
    }
    return NULL;
}

static void run(size_t rounds, size_t threads)
{
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < threads; i++) {
            workers[i].rng = rng_make(round * threads + i);
            thread_start(&workers[i].thread, run_worker, &workers[i]);
        }
        for (size_t i = 0; i < threads; i++)
            thread_join(workers[i].thread);
        if (round % 16 == 0)
            check_heap();
    }
    for (size_t i = 0; i < SHARED; i++)
        parcel_free(atomic_exchange(&shared[i], NULL));
    check_heap();
}

int main(int argc, char **argv)
{
    test_begin("thread_churn");
    size_t rounds = test_argument(argc, argv, 1, test_work(200));
    size_t threads = test_argument(argc, argv, 2, TEST_TSAN ? 20 : 100);
    REQUIRE(threads <= THREADS_MAX, "at most %d threads", THREADS_MAX);

    run(2, threads);
    size_t before = rss_settled();
    run(rounds, threads);
    check_rss_returned(before, RSS_ALLOWANCE);
    say("%zu rounds of %zu threads", rounds, threads);
    return 0;
}
