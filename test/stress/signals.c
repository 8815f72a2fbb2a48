/* signals.c - an owner is interrupted while others free its blocks
 *
 * usage: signals [blocks]
 *
 * Owners allocate without pause, mostly in slow paths (changing sizes, new
 * pools, large blocks); freers free all of it.  A third kind of thread sends
 * signals to the owners; their handler allocates nothing and stays until the
 * freers have gone on for a while, wherever in the allocator the owner is.
 * A free that needs a lock which the owner holds has to wait for the handler,
 * so the handler's patience is bounded; but some frees must get through.  An owner is
 * interrupted again once it has done some work: on a busy machine it would do none else.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "common.h"
#include "tidepool/malloc.h"

enum { OWNERS = 2, FREERS = 2, RING = 4096, PATIENCE = 20, PATIENCE_US = 2000, PROGRESS = 20 };
enum { WORK = 100 }; /* blocks between two interrupts */

static struct owner {
    pthread_t thread;
    _Atomic(struct parcel *) ring[RING]; /* NULL: room */
    atomic_size_t allocated;
    size_t allocated_before; /* interrupter: when it was last interrupted */
} owners[OWNERS];

static size_t blocks_each;
static atomic_size_t freed;
static atomic_size_t interrupts, interrupts_with_progress;
static atomic_int owners_at_work;

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_signal(int signal_number)
{
    (void)signal_number;
    int saved = errno;
    size_t start = atomic_load(&freed);
    uint64_t begin = now_us();
    atomic_fetch_add(&interrupts, 1);
    for (int i = 0; i < PATIENCE && now_us() - begin < PATIENCE_US; i++) {
        if (atomic_load(&freed) - start >= PROGRESS) {
            atomic_fetch_add(&interrupts_with_progress, 1);
            break;
        }
        sched_yield();
    }
    errno = saved;
}

static void *run_owner(void *argument)
{
    struct owner *owner = argument;
    struct rng rng = rng_make((uint64_t)(owner - owners));
    for (size_t i = 0; i < blocks_each; i++) {
        uint64_t kind = rng_below(&rng, 1000);
        struct parcel *parcel = parcel_new(&rng, kind == 0 ? 22 : kind < 50 ? 17 : 13);
        size_t at = rng_below(&rng, RING);
        struct parcel *room = NULL;
        while (!atomic_compare_exchange_strong(&owner->ring[at], &room, parcel)) {
            room = NULL;
            at = (at + 1) % RING;
            if (at == 0)
                sched_yield();
        }
        if (kind == 1)
            tide_malloc_trim(0);
        atomic_fetch_add(&owner->allocated, 1);
    }
    atomic_fetch_sub(&owners_at_work, 1);
    return NULL;
}

static void free_from_ring(struct owner *owner, size_t at)
{
    struct parcel *parcel = atomic_exchange(&owner->ring[at], NULL);
    if (parcel == NULL)
        return;
    parcel_free(parcel);
    atomic_fetch_add(&freed, 1);
}

/* Leaves most of the ring filled, so that there is something to free also
 * while the owner is interrupted. */
static void *run_freer(void *argument)
{
    uint64_t number = (uintptr_t)argument;
    struct rng rng = rng_make(100 + number);
    for (size_t turn = number; atomic_load(&owners_at_work) > 0; turn++) {
        for (size_t i = 0; i < RING / 8; i++)
            free_from_ring(&owners[turn % OWNERS], rng_below(&rng, RING));
        sched_yield();
    }
    return NULL;
}

static void *run_interrupter(void *argument)
{
    (void)argument;
    struct rng rng = rng_make(1000);
    while (atomic_load(&owners_at_work) > 0) {
        struct owner *owner = &owners[rng_below(&rng, OWNERS)];
        size_t allocated = atomic_load(&owner->allocated);
        if (allocated - owner->allocated_before >= WORK) {
            int error = pthread_kill(owner->thread, SIGUSR1);
            REQUIRE(error == 0 || error == ESRCH, "pthread_kill: %s", strerror(error));
            owner->allocated_before = allocated;
        }
        struct timespec pause = {.tv_nsec = 1000 * (long)(100 + rng_below(&rng, 400))};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    test_begin("signals");
    size_t blocks = test_argument(argc, argv, 1, test_work(1500000));
    blocks_each = blocks / OWNERS + 1;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction: %s", strerror(errno));

    pthread_t freers[FREERS], interrupter;
    atomic_store(&owners_at_work, OWNERS);
    for (int i = 0; i < OWNERS; i++)
        thread_start(&owners[i].thread, run_owner, &owners[i]);
    for (uintptr_t i = 0; i < FREERS; i++)
        thread_start(&freers[i], run_freer, (void *)i);
    thread_start(&interrupter, run_interrupter, NULL);
    /* The owners are joined last: their ids stay valid for pthread_kill. */
    thread_join(interrupter);
    for (int i = 0; i < FREERS; i++)
        thread_join(freers[i]);
    for (int i = 0; i < OWNERS; i++) {
        thread_join(owners[i].thread);
        for (size_t at = 0; at < RING; at++)
            free_from_ring(&owners[i], at);
    }

    check_heap();
    REQUIRE(atomic_load(&freed) == blocks_each * OWNERS, "%zu blocks allocated, %zu freed",
            blocks_each * OWNERS, atomic_load(&freed));
    REQUIRE(atomic_load(&interrupts) < 100 || atomic_load(&interrupts_with_progress) > 0,
            "in %zu interrupts of an owner its blocks were never freed", atomic_load(&interrupts));
    say("%zu blocks, %zu interrupts, in %zu of them frees went on", atomic_load(&freed),
        atomic_load(&interrupts), atomic_load(&interrupts_with_progress));
    return 0;
}
