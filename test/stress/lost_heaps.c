/* lost_heaps.c - threads whose first call comes when their destructors have run
 *
 * usage: lost_heaps [threads]
 *
 * Such a thread gets a heap, and nothing that the thread still runs can give it
 * back.  Later threads must take such heaps over: the number of heaps depends
 * on how many threads there are at once, not on how many there ever were.  And
 * nobody but its new owner may end a heap that was taken over.
 *
 * Not under ThreadSanitizer: that the former owner's writes come before its
 * end, and the end before tgkill's answer, is ordered by the kernel alone.
 */
#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/geometry.h"
#include "common.h"
#include "heap/heap.h"
#include "tidepool/malloc.h"

enum { AT_ONCE = 20, HEAPS_MAX = 3 * AT_ONCE };

static size_t count_heaps(void)
{
    size_t count = 0;
    for (struct heap *heap = tide_heap_next(NULL); heap != NULL; heap = tide_heap_next(heap))
        count++;
    return count;
}

/* A thread that can be joined, or that has left its last line, may still be
 * there for the kernel. */
static void wait_for_end(pid_t thread)
{
    while (tgkill(getpid(), thread, 0) == 0)
        usleep(100);
    REQUIRE(errno == ESRCH, "tgkill: %s", strerror(errno));
}

static void check_count(const char *what, size_t threads)
{
    size_t heaps = count_heaps();
    check_heap();
    REQUIRE(heaps <= HEAPS_MAX, "%s: %zu heaps after %zu threads, at most %d of them at once", what,
            heaps, threads, AT_ONCE);
    say("%s: %zu heaps after %zu threads", what, heaps, threads);
}

/* ---- The first call is in the last round of destructors ----------------------- */

/* Made after the allocator's own key, whose destructor has then had its turn. */
static pthread_key_t key;
static pid_t ended;

struct visitor {
    int rounds_left;
};

static void destroy(void *argument)
{
    struct visitor *visitor = argument;
    if (--visitor->rounds_left > 0)
        pthread_setspecific(key, visitor);
    else
        tide_free(tide_malloc(20));
}

static void *run_visitor(void *argument)
{
    ended = gettid();
    pthread_setspecific(key, argument);
    return NULL;
}

static void test_last_destructor(size_t threads)
{
    size_t before = count_heaps();
    REQUIRE(pthread_key_create(&key, destroy) == 0, "no key");
    for (size_t i = 0; i < threads; i++) {
        struct visitor visitor = {PTHREAD_DESTRUCTOR_ITERATIONS};
        pthread_t thread;
        thread_start(&thread, run_visitor, &visitor);
        thread_join(thread);
        REQUIRE(visitor.rounds_left == 0, "%d rounds of destructors are missing",
                visitor.rounds_left);
        wait_for_end(ended);
    }
    pthread_key_delete(key);
    REQUIRE(count_heaps() > before, "no thread got a heap: nothing was tested");
    check_count("first call in the last destructor", threads);
}

/* ---- The first call is the C library's, at the very end ------------------------ */

/* With stacks larger than the C library caches, a detached thread frees what
 * belonged to those that ended before it; its own code never allocates. */
static const size_t stack_bytes = 48 * MIB;

static struct standing {
    pid_t id;
    bool allocates;
    sem_t stands, may_end;
} together[AT_ONCE], former, latter, reuser;

static void *run_standing(void *argument)
{
    struct standing *standing = argument;
    standing->id = gettid();
    if (standing->allocates)
        tide_free(tide_malloc(20));
    sem_post(&standing->stands);
    sem_wait(&standing->may_end);
    return NULL;
}

static void start_standing(struct standing *standing, bool allocates)
{
    pthread_t thread;
    pthread_attr_t attributes;
    standing->allocates = allocates;
    sem_init(&standing->stands, 0, 0);
    sem_init(&standing->may_end, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &attributes, run_standing, standing);
    REQUIRE(error == 0, "no new thread: %s", strerror(error));
    pthread_attr_destroy(&attributes);
    sem_wait(&standing->stands);
}

static void end_standing(struct standing *standing)
{
    sem_post(&standing->may_end);
    wait_for_end(standing->id);
}

static void start_together(bool allocate)
{
    for (int i = 0; i < AT_ONCE; i++)
        start_standing(&together[i], allocate);
}

static void end_together(void)
{
    for (int i = 0; i < AT_ONCE; i++)
        sem_post(&together[i].may_end);
    for (int i = 0; i < AT_ONCE; i++)
        wait_for_end(together[i].id);
}

static void test_detached(size_t threads)
{
    size_t rounds = threads / AT_ONCE + 1;
    for (size_t round = 0; round < rounds; round++) {
        start_together(false);
        end_together();
    }
    check_count("first call by the C library", rounds * AT_ONCE);
}

/* ---- A stack that is used again ------------------------------------------------ */

static struct heap *find_heap_of(pid_t thread)
{
    struct heap *heap = tide_heap_next(NULL);
    while (heap != NULL && heap->thread != thread)
        heap = tide_heap_next(heap);
    return heap;
}

/* A thread that gets a stack out of the C library's cache gets with it what a
 * former one left in its keys: it must not end the heap that is found there,
 * which a third thread has taken over meanwhile. */
static void test_stack_used_again(void)
{
    start_standing(&former, false);
    start_standing(&latter, false);
    end_standing(&former);
    end_standing(&latter);
    struct heap *lost = find_heap_of(latter.id);
    REQUIRE(lost != NULL, "no heap was lost: nothing is tested");

    start_standing(&reuser, false);
    start_together(true);
    REQUIRE(lost->thread != latter.id, "no thread took the lost heap over");
    end_standing(&reuser);
    REQUIRE(atomic_load(&lost->state) == HEAP_OWNED, "a thread that had no heap ended another's");
    end_together();
    check_heap();
    say("a stack that is used again: the heap stays its owner's");
}

int main(int argc, char **argv)
{
    test_begin("lost_heaps");
    if (TEST_TSAN) {
        say("skipped: ThreadSanitizer doesn't know that a thread's end comes before what follows");
        return TEST_SKIPPED;
    }
    test_set_watchdog();
    tide_free(tide_malloc(100));

    size_t threads = test_argument(argc, argv, 1, test_work(400));
    test_last_destructor(threads);
    if (TIDE_OVERRIDE) {
        test_detached(threads);
        test_stack_used_again();
    }
    return 0;
}
