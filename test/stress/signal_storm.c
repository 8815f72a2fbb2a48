/* signal_storm.c - signal handlers that do all that handlers may, every 200 us
 *
 * usage: signal_storm [rounds [microseconds [threads]]]
 *
 * Workers replace blocks, and sleep now and then; each has timers whose signals go to
 * itself. A handler mallocs and frees where its thread was outside malloc and outside
 * other handlers' malloc; there it also may leave by siglongjmp. Anywhere it may
 * sleep, and in a program of one thread fork, also when malloc was interrupted: then
 * the child just ends, else it allocates first. Each signal has flags of its own:
 * plain; on an alternate stack; not blocked in its handler; and a System V one that is
 * reset when its handler is called, which installs it again. A thread besides the
 * workers gives back what all threads keep, all the time. Blocks are checked when
 * they are freed.
 *
 * With one thread (threads = 1) there is no such other thread, and the handlers fork;
 * without the third argument both are run, one after the other.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "tidepool/malloc.h"

enum {
    WORKERS_MOST = 6,
    OWN = 400,        /* blocks of a worker */
    OF_HANDLERS = 60, /* blocks of its handlers */
    DEPTH_MOST = 3,   /* handlers in handlers that do anything */
    STACK_BYTES = 256 << 10,
};

enum kind { PLAIN, OTHER_STACK, NESTED, SYSTEM_V, KINDS };

static struct worker {
    pthread_t thread;
    int number;
    timer_t timers[KINDS];
    struct parcel *own[OWN], *of_handlers[OF_HANDLERS];
    struct rng rng, handler_rng;
    size_t round;
    sigjmp_buf again;
    volatile sig_atomic_t is_busy; /* in malloc, or in what mustn't be left half-way */
    volatile sig_atomic_t depth;   /* of handlers */
    size_t handled, allocated, jumped, forked;
} workers[WORKERS_MOST];

static _Thread_local struct worker *volatile self;
static size_t rounds_each, interval_us;
static bool has_one_thread;
static atomic_int workers_at_work;

/* A System V signal for each worker, as the default action of one that was reset
 * would end the process; the others are shared. */
static int signal_of(const struct worker *worker, enum kind kind)
{
    return SIGRTMIN + (kind == SYSTEM_V ? (int)SYSTEM_V + worker->number : (int)kind);
}

static void arm(struct worker *worker, enum kind kind)
{
    long us = (long)(interval_us * KINDS);
    struct itimerspec once = {.it_value = {us / 1000000, us % 1000000 * 1000 + 1}};
    REQUIRE(timer_settime(worker->timers[kind], 0, &once, NULL) == 0, "timer_settime: %s",
            strerror(errno));
}

/* ---- What handlers do ---------------------------------------------------------- */

static void allocate_in_handler(struct worker *worker)
{
    struct rng *rng = &worker->handler_rng;
    for (int i = 0; i < 4; i++) {
        struct parcel **place = &worker->of_handlers[rng_below(rng, OF_HANDLERS)];
        parcel_free(*place);
        *place = NULL;
        if (rng_below(rng, 8) > 0)
            *place = parcel_new(rng, rng_below(rng, 50) == 0 ? 21 : 11);
    }
    worker->allocated++;
}

static void fork_in_handler(struct worker *worker, bool was_busy)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (!was_busy) {
            for (int i = 0; i < 10; i++)
                allocate_in_handler(worker);
            for (int i = 0; i < OWN; i += 3)
                parcel_free(worker->own[i]);
        }
        _exit(5);
    }
    REQUIRE(child > 0, "fork: %s", strerror(errno));
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR, "waitpid: %s", strerror(errno));
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 5, "fork in a handler: wait status %#x",
            (unsigned)status);
    worker->forked++;
}

static void sleep_in_handler(struct worker *worker)
{
    struct timespec time = {.tv_nsec = 100000 * (long)(1 + rng_below(&worker->handler_rng, 30))};
    nanosleep(&time, NULL);
}

static void handle(struct worker *worker)
{
    struct rng *rng = &worker->handler_rng;
    bool was_busy = worker->is_busy;
    worker->handled++;
    if (worker->depth > DEPTH_MOST)
        return;
    if (!was_busy) {
        worker->is_busy = true;
        allocate_in_handler(worker);
        worker->is_busy = false;
    }
    if (rng_below(rng, 16) == 0)
        sleep_in_handler(worker);
    /* A signal that interrupts a fork, or the wait for its child, is not to go away
     * from there. Sanitizers can't fork wherever they are. */
    if (has_one_thread && !TEST_SANITIZED && worker->depth == 1 && rng_below(rng, 12) == 0) {
        worker->is_busy = true;
        fork_in_handler(worker, was_busy);
        worker->is_busy = was_busy;
    }
    /* AddressSanitizer takes a lock of the thread's at each jump, also when a signal finds
     * it there. */
    if (!was_busy && !TEST_ASAN && rng_below(rng, 6) == 0) {
        worker->jumped++;
        siglongjmp(worker->again, 1);
    }
}

static void install(int number, enum kind kind);

static void on_signal(int number)
{
    struct worker *worker = self;
    enum kind kind = number - SIGRTMIN < SYSTEM_V ? (enum kind)(number - SIGRTMIN) : SYSTEM_V;
    int saved = errno;
    if (kind == SYSTEM_V)
        install(number, kind);
    worker->depth++;
    handle(worker);
    worker->depth--;
    arm(worker, kind);
    errno = saved;
}

static void install(int number, enum kind kind)
{
    static const int flags[KINDS] = {
        [PLAIN] = SA_RESTART,
        [OTHER_STACK] = SA_ONSTACK,
        [NESTED] = SA_NODEFER | SA_ONSTACK,
        [SYSTEM_V] = (int)(SA_RESETHAND | SA_NODEFER),
    };
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags[kind]};
    REQUIRE(sigaction(number, &action, NULL) == 0, "sigaction: %s", strerror(errno));
}

/* ---- Workers ------------------------------------------------------------------- */

static void create_timers(struct worker *worker)
{
    stack_t stack = {.ss_sp = shadow_map(STACK_BYTES), .ss_size = STACK_BYTES};
    REQUIRE(sigaltstack(&stack, NULL) == 0, "sigaltstack: %s", strerror(errno));
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                                 .sigev_signo = signal_of(worker, kind)};
        event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
        install(event.sigev_signo, kind);
        REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &worker->timers[kind]) == 0,
                "timer_create: %s", strerror(errno));
    }
}

/* No signal comes any more, nor is one left that came before. */
static void stop_timers(struct worker *worker)
{
    sigset_t all;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (enum kind kind = 0; kind < KINDS; kind++)
        timer_delete(worker->timers[kind]);
    sigaltstack(&none, NULL);
}

static void replace_own(struct worker *worker)
{
    struct rng *rng = &worker->rng;
    struct parcel **place = &worker->own[rng_below(rng, OWN)];
    uint64_t kind = rng_below(rng, 1000);
    parcel_free(*place);
    *place = NULL; /* also while another one is made */
    *place = parcel_new(rng, kind == 0 ? 22 : kind < 30 ? 16 : 9);
    if (has_one_thread && rng_below(rng, 500) == 0)
        tide_malloc_trim(0);
}

static void free_all(struct parcel **parcels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        parcel_free(parcels[i]);
        parcels[i] = NULL;
    }
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    self = worker;
    worker->is_busy = true;
    worker->rng = rng_make((uint64_t)worker->number);
    worker->handler_rng = rng_make(100 + (uint64_t)worker->number);
    worker->round = 0;
    if (sigsetjmp(worker->again, 1) == 0) {
        create_timers(worker);
    } else {
        /* Handlers that were interrupted don't do what they were going to. */
        worker->is_busy = true;
        worker->depth = 0;
        install(signal_of(worker, SYSTEM_V), SYSTEM_V);
    }
    for (enum kind kind = 0; kind < KINDS; kind++)
        arm(worker, kind);
    while (worker->round < rounds_each) {
        worker->is_busy = true;
        for (int i = 0; i < 20; i++)
            replace_own(worker);
        worker->round += 20;
        bool is_time_to_sleep = rng_below(&worker->rng, 400) == 0;
        worker->is_busy = false;
        if (is_time_to_sleep) {
            struct timespec time = {.tv_nsec = 2000000};
            nanosleep(&time, NULL);
        }
    }
    worker->is_busy = true;
    stop_timers(worker);
    free_all(worker->own, OWN);
    free_all(worker->of_handlers, OF_HANDLERS);
    atomic_fetch_sub(&workers_at_work, 1);
    return NULL;
}

static void report(int count)
{
    size_t handled = 0, allocated = 0, jumped = 0, forked = 0;
    for (int i = 0; i < count; i++) {
        handled += workers[i].handled;
        allocated += workers[i].allocated;
        jumped += workers[i].jumped;
        forked += workers[i].forked;
    }
    say("%zu signals to %d threads; %zu handlers allocated, %zu jumped, %zu forked", handled, count,
        allocated, jumped, forked);
}

static void run_storm(int count)
{
    memset(workers, 0, sizeof(workers));
    rounds_each = rounds_each / 20 * 20 + 20;
    has_one_thread = count == 1;
    atomic_store(&workers_at_work, count);
    for (int i = 0; i < count; i++)
        workers[i].number = i;
    if (has_one_thread) {
        sigset_t before;
        pthread_sigmask(SIG_BLOCK, NULL, &before);
        run_worker(&workers[0]);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    } else {
        for (int i = 0; i < count; i++)
            thread_start(&workers[i].thread, run_worker, &workers[i]);
        for (size_t i = 0; atomic_load(&workers_at_work) > 0; i++) {
            if (i % 2 == 0)
                tide_purge();
            else
                tide_malloc_trim(0);
            sched_yield();
        }
        for (int i = 0; i < count; i++)
            thread_join(workers[i].thread);
    }
    check_heap();
    report(count);
}

int main(int argc, char **argv)
{
    test_begin("signal_storm");
    test_set_watchdog();
    rounds_each = test_argument(argc, argv, 1, test_work(4000000));
    interval_us = test_argument(argc, argv, 2, 200);
    size_t threads = test_argument(argc, argv, 3, WORKERS_MOST);
    REQUIRE(threads <= WORKERS_MOST, "at most %d threads", (int)WORKERS_MOST);
    if (argc <= 3 || threads == 1)
        run_storm(1);
    if (threads > 1)
        run_storm((int)threads);
    return 0;
}
