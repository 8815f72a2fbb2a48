/* late_free.c - allocating and freeing where programs do it surprisingly late
 *
 * usage: late_free [rounds]
 *
 * In destructors of thread-specific data (keys made before and after the first
 * allocation, and more of them than pthread_setspecific keeps without
 * allocating), of C11's tss and of thread_local objects; in atfork handlers
 * registered before and after the allocator's own, one of which empties whole
 * arenas; in atexit handlers, also after main's thread ended; in a vfork child.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "base/geometry.h"
#include "common.h"
#include "tidepool/malloc.h"

enum { KEYS = 80, EARLY_KEYS = 40, THREADS = 8, ATEXITS = 20, HELD = 8 * TIDE_SLOTS };

static pthread_key_t keys[KEYS];
static tss_t c11_key;
static atomic_size_t destroyed, handled;
static _Atomic(struct parcel *) shared[16]; /* blocks of other threads, many of them ended */

/* Something of each kind: a free, an allocation, another thread's block. */
static void work(struct rng *rng)
{
    struct parcel *parcel = parcel_new(rng, 13);
    parcel_free(atomic_exchange(&shared[rng_below(rng, 16)], parcel));
    parcel_free(parcel_new(rng, rng_below(rng, 20) == 0 ? 22 : 10));
}

/* ---- Destructors -------------------------------------------------------------- */

struct item {
    size_t key; /* index, or KEYS for one that isn't in keys[] */
    int lives;  /* how often the destructor puts it back */
    struct parcel *parcel;
};

static struct item *item_new(struct rng *rng, size_t key)
{
    struct item *item = tide_malloc(sizeof(*item));
    REQUIRE(item != NULL, "no memory");
    *item = (struct item){key, (int)rng_below(rng, 3), parcel_new(rng, 12)};
    return item;
}

static void destroy(void *argument)
{
    struct item *item = argument;
    struct rng rng = rng_make((uintptr_t)item->parcel ^ (uint64_t)item->lives);
    parcel_free(item->parcel);
    work(&rng);
    if (item->key < KEYS && item->lives-- > 0) {
        item->parcel = parcel_new(&rng, 12);
        int error = pthread_setspecific(keys[item->key], item);
        REQUIRE(error == 0, "pthread_setspecific: %s", strerror(error));
        return;
    }
    tide_free(item);
    atomic_fetch_add(&destroyed, 1);
}

/* The constructor may run before the first allocation of the process. */
__attribute__((constructor(101))) static void make_early_keys(void)
{
    for (int i = 0; i < EARLY_KEYS; i++)
        if (pthread_key_create(&keys[i], destroy) != 0)
            abort();
}

/* What a C++ compiler emits for a thread_local object with a destructor. */
int __cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library);
extern void *__dso_handle;

static void *run_thread(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    size_t shift = rng_below(&rng, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        size_t key = (i + shift) % KEYS;
        int error = pthread_setspecific(keys[key], item_new(&rng, key));
        REQUIRE(error == 0, "pthread_setspecific: %s", strerror(error));
    }
    REQUIRE(tss_set(c11_key, item_new(&rng, KEYS)) == thrd_success, "tss_set");
    REQUIRE(__cxa_thread_atexit_impl(destroy, item_new(&rng, KEYS), &__dso_handle) == 0,
            "__cxa_thread_atexit_impl");
    work(&rng);
    return NULL;
}

/* Its first allocation is in the destructor: the item is another thread's. */
static void *run_late_starter(void *argument)
{
    pthread_setspecific(keys[0], argument);
    return NULL;
}

static void test_destructors(struct rng *rng)
{
    pthread_t threads[THREADS];
    atomic_store(&destroyed, 0);
    for (int i = 0; i < THREADS; i++)
        thread_start(&threads[i], run_thread, (void *)(uintptr_t)rng_below(rng, 1 << 30));
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    for (int i = 0; i < THREADS; i++)
        thread_start(&threads[i], run_late_starter, item_new(rng, 0));
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    size_t expected = THREADS * (KEYS + 3);
    REQUIRE(atomic_load(&destroyed) == expected, "%zu destructors ended, not %zu",
            atomic_load(&destroyed), expected);
    check_heap();
}

/* ---- atfork handlers -------------------------------------------------------------- */

static void on_fork(void)
{
    struct rng rng = rng_make(atomic_fetch_add(&handled, 1));
    for (int i = 0; i < 20; i++)
        work(&rng);
}

static void *held_until_fork[HELD]; /* four arenas of them, or NULL */

/* Runs after the allocator has prepared, having been registered earlier: the
 * arenas that go meanwhile must not take anything of the preparation along. */
static void free_held(void)
{
    for (int i = 0; i < HELD; i++) {
        tide_free(held_until_fork[i]);
        held_until_fork[i] = NULL;
    }
}

__attribute__((constructor(101))) static void register_early(void)
{
    pthread_atfork(free_held, NULL, NULL);
    pthread_atfork(on_fork, on_fork, on_fork);
}

static atomic_bool is_over;

static void *run_busy(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    while (!atomic_load_explicit(&is_over, memory_order_relaxed))
        work(&rng);
    return NULL;
}

static void wait_for(pid_t child, int expected, const char *what)
{
    int status;
    REQUIRE(child >= 0, "%s: %s", what, strerror(errno));
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR, "waitpid: %s", strerror(errno));
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == expected, "%s: wait status %#x, not exit %d",
            what, (unsigned)status, expected);
}

static void test_fork_handlers(void)
{
    pthread_t busy;
    size_t before = atomic_load(&handled);
    atomic_store(&is_over, false);
    thread_start(&busy, run_busy, (void *)(uintptr_t)7);
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        if (child == 0) {
            check_heap();
            _exit(atomic_load(&handled) > before ? 5 : 6);
        }
        wait_for(child, 5, "fork with handlers that allocate");
    }
    atomic_store(&is_over, true);
    thread_join(busy);
    REQUIRE(atomic_load(&handled) >= before + 4 * 2 * 2, "%zu atfork handlers ran",
            atomic_load(&handled) - before);
    check_heap();
}

static void hold_until_fork(void)
{
    for (int i = 0; i < HELD; i++)
        REQUIRE((held_until_fork[i] = tide_malloc(TIDE_POOLED_MAX)) != NULL, "no memory");
}

static void *run_large(void *argument)
{
    for (int i = 0; i < 100; i++)
        tide_free(tide_malloc(TIDE_POOLED_MAX + 1));
    return argument;
}

/* Afterwards other threads, in the parent and in the child, can still allocate. */
static void test_fork_handler_that_empties_arenas(void)
{
    pthread_t thread;
    hold_until_fork();
    pid_t child = fork();
    if (child == 0) {
        test_set_watchdog();
        check_heap();
        if (!TEST_TSAN) { /* which doesn't know how to start a thread in a child */
            thread_start(&thread, run_large, NULL);
            thread_join(thread);
        }
        _exit(6);
    }
    wait_for(child, 6, "fork with a handler that empties arenas");
    REQUIRE(held_until_fork[0] == NULL, "the handler that empties arenas did not run");
    thread_start(&thread, run_large, NULL);
    thread_join(thread);
    check_heap();
}

/* ---- atexit handlers --------------------------------------------------------------- */

static int exits_left;
static struct parcel *kept_until_exit[ATEXITS];

/* Runs ATEXITS times; the last one, which was registered first, ends the
 * process with the status the parent expects. */
static void on_exit_of_child(void)
{
    struct rng rng = rng_make((uint64_t)exits_left);
    exits_left--;
    parcel_free(kept_until_exit[exits_left]);
    work(&rng);
    if (exits_left == 0) {
        check_heap();
        _exit(42);
    }
}

static void register_exits(struct rng *rng)
{
    for (exits_left = 0; exits_left < ATEXITS; exits_left++) {
        kept_until_exit[exits_left] = parcel_new(rng, 14);
        atexit(on_exit_of_child);
    }
}

static void *run_exit(void *argument)
{
    thread_join(*(pthread_t *)argument);
    exit(1); /* on_exit_of_child changes the status */
}

static void test_exit(struct rng *rng)
{
    pid_t child = fork();
    if (child == 0) {
        test_set_watchdog();
        register_exits(rng);
        exit(1);
    }
    wait_for(child, 42, "atexit handlers that allocate");
}

/* The main thread ends first, another one calls exit. */
static void test_exit_of_main_thread(struct rng *rng)
{
    pid_t child = fork();
    if (child == 0) {
        static pthread_t self;
        pthread_t other;
        test_set_watchdog();
        self = pthread_self();
        register_exits(rng);
        run_thread((void *)(uintptr_t)3);
        thread_start(&other, run_exit, &self);
        pthread_exit(NULL);
    }
    wait_for(child, 42, "exit after the main thread ended");
}

/* ---- vfork --------------------------------------------------------------------------- */

static struct parcel *volatile from_parent, *volatile from_child;

/* The child shares this thread's memory and its heap. */
__attribute__((noinline)) static pid_t vfork_and_work(void)
{
    pid_t child = vfork();
    if (child == 0) {
        struct rng rng = rng_make(11);
        for (int i = 0; i < 100; i++)
            work(&rng);
        parcel_free(from_parent);
        from_parent = NULL;
        from_child = parcel_new(&rng, 15);
        _exit(9);
    }
    return child;
}

static void test_vfork(struct rng *rng)
{
    from_parent = parcel_new(rng, 15);
    from_child = NULL;
    wait_for(vfork_and_work(), 9, "vfork child that allocates");
    /* Under a sanitizer vfork may be a fork, which shares nothing. */
    parcel_free(from_parent);
    parcel_free(from_child);
    check_heap();
}

int main(int argc, char **argv)
{
    test_begin("late_free");
    test_set_watchdog();
    struct rng rng = rng_make(1);
    tide_free(tide_malloc(100));
    for (int i = EARLY_KEYS; i < KEYS; i++)
        REQUIRE(pthread_key_create(&keys[i], destroy) == 0, "no key");
    REQUIRE(tss_create(&c11_key, destroy) == thrd_success, "no tss");
    pthread_atfork(on_fork, on_fork, on_fork);

    size_t rounds = test_argument(argc, argv, 1, test_work(60));
    for (size_t i = 0; i < rounds; i++) {
        test_destructors(&rng);
        test_fork_handlers();
        test_fork_handler_that_empties_arenas();
        test_vfork(&rng);
        test_exit(&rng);
        if (!TEST_SANITIZED) /* they can't start a thread in a child: their own locks may be held */
            test_exit_of_main_thread(&rng);
    }
    for (int i = 0; i < 16; i++)
        parcel_free(atomic_exchange(&shared[i], NULL));
    check_heap();
    say("%zu rounds", rounds);
    return 0;
}
