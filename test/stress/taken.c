/* taken.c - threads that work all the time, while others take their heaps
 *
 * usage: taken [rounds]
 *
 * Each worker has blocks of its own, replaces random ones, hands some around through
 * shared places, and never rests; workers end and are born.  Meanwhile one thread lets
 * all heaps be tidied without a pause, another looks for idle memory, and the process
 * forks.  So heaps are taken in the middle of bursts of calls, threads find their doors
 * closed, end while their heaps are taken, and use pools whose pages are on their way
 * to the OS.  Blocks are checked whenever they are met again: one given twice, lost or
 * purged would show.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "upkeep/idle.h"
#include "upkeep/look.h"
#include "os/barrier.h"
#include "tidepool/malloc.h"

enum {
    WORKERS = 6,
    OWN = 600,      /* blocks of a worker */
    SHARED = 64,    /* places where blocks are handed around */
    SIZE_BITS = 13, /* log2 of the most */
    BURSTS = 60,    /* of a worker's life */
    BURST_MAX = 1200,
    LIVES = 4,      /* of a worker in a round */
};

static _Atomic(struct parcel *) shared[SHARED];
static atomic_bool is_over;
static pthread_barrier_t have_begun;

/* ---- Workers ------------------------------------------------------------------- */

/* Leaves pools with a few blocks: one of so many stays. */
static void thin_out(struct parcel **own, struct rng *rng)
{
    size_t one_stays_in = 1 + rng_below(rng, 20);

    for (int i = 0; i < OWN; i++)
        if (rng_below(rng, one_stays_in) != 0) {
            parcel_free(own[i]);
            own[i] = NULL;
        }
}

static void work(struct parcel **own, struct rng *rng)
{
    size_t count = rng_below(rng, BURST_MAX);

    for (size_t i = 0; i < count; i++) {
        struct parcel **place = &own[rng_below(rng, OWN)];

        parcel_free(*place);
        *place = parcel_new(rng, SIZE_BITS);
        if (rng_below(rng, 4) == 0)
            *place = atomic_exchange(&shared[rng_below(rng, SHARED)], *place);
    }
}

static void live(struct rng *rng)
{
    struct parcel *own[OWN] = { NULL };

    for (int burst = 0; burst < BURSTS; burst++) {
        work(own, rng);
        if (rng_below(rng, 4) == 0)
            thin_out(own, rng);
        if (rng_below(rng, 16) == 0)
            tide_thread_idle();
    }
    for (int i = 0; i < OWN; i++)
        parcel_free(own[i]);
}

static void *run_worker(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);

    live(&rng);
    return NULL;
}

/* One worker after another, so that ends and births fall anywhere. */
static void *run_line(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    pthread_t worker;

    for (int life = 0; life < LIVES; life++) {
        thread_start(&worker, run_worker, (void *)(uintptr_t)rng_next(&rng));
        thread_join(worker);
    }
    return NULL;
}

/* ---- Those who take heaps ------------------------------------------------------- */

static void *run_purges(void *unused)
{
    struct rng rng = rng_make(12345);

    parcel_free(parcel_new(&rng, SIZE_BITS)); /* so it has a heap */
    barrier_wait(&have_begun);
    while (!is_over) {
        tide_purge();
        parcel_free(parcel_new(&rng, SIZE_BITS));
    }
    return unused;
}

static void *run_looks(void *unused)
{
    barrier_wait(&have_begun);
    while (!is_over)
        tide_upkeep_look();
    return unused;
}

/* ---- A child -------------------------------------------------------------------- */

static _Noreturn void be_child(struct rng *rng)
{
    test_set_watchdog();
    for (int i = 0; i < SHARED; i++)
        parcel_free(atomic_exchange(&shared[i], parcel_new(rng, SIZE_BITS)));
    tide_purge();
    for (int i = 0; i < SHARED; i++)
        parcel_free(shared[i]);
    check_heap();
    _exit(3);
}

static void fork_and_wait(struct rng *rng)
{
    int status = 0;
    pid_t child = fork();

    REQUIRE(child >= 0, "fork: %s", strerror(errno));
    if (child == 0)
        be_child(rng);
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3,
            "a child ended with wait status %#x", (unsigned)status);
}

static void run(size_t rounds, struct rng *rng)
{
    pthread_t lines[WORKERS], looks, purges;

    is_over = false;
    pthread_barrier_init(&have_begun, NULL, 3);
    thread_start(&looks, run_looks, NULL);
    thread_start(&purges, run_purges, NULL);
    barrier_wait(&have_begun);
    for (size_t round = 0; round < rounds; round++) {
        for (int i = 0; i < WORKERS; i++)
            thread_start(&lines[i], run_line, (void *)(uintptr_t)rng_next(rng));
        fork_and_wait(rng);
        for (int i = 0; i < WORKERS; i++)
            thread_join(lines[i]);
    }
    is_over = true;
    thread_join(looks);
    thread_join(purges);
    for (int i = 0; i < SHARED; i++)
        parcel_free(atomic_exchange(&shared[i], NULL));
    check_heap();
}

int main(int argc, char **argv)
{
    test_begin("taken");
    size_t rounds = test_argument(argc, argv, 1, test_work(20)), before;
    struct rng rng = rng_make(0);

    test_set_watchdog();
    run(1, &rng);
    before = rss_settled();
    run(rounds, &rng);
    check_rss_returned(before, RSS_ALLOWANCE);
    REQUIRE(!tide_os_has_barrier() || atomic_load(&tide_idle_taken) > rounds,
            "heaps were taken %zu times: nothing was tested", atomic_load(&tide_idle_taken));
    say("%zu rounds of %d threads at a time; heaps were taken from them %zu times", rounds, WORKERS,
        atomic_load(&tide_idle_taken));
    return 0;
}
