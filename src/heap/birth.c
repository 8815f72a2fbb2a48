/* heap/birth.c - see birth.h */
#include "heap/birth.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/options.h"
#include "heap/common.h"
#include "heap/orphans.h"
#include "machine/cgroup.h"
#include "machine/cpu.h"
#include "os/process.h"
#include "os/records.h"
#include "os/thread.h"

_Atomic unsigned tide_heap_first_cpu;

static pthread_key_t key; /* its destructor runs when a thread with a heap ends */

void tide_heap_start(void (*end)(void *heap))
{
    if (gettid() == (pid_t)tide_relaxed(tide_os_process_number))
        tide_heap_note_first();
    if (pthread_key_create(&key, end) != 0)
        tide_base_fatal("the program has used up all pthread keys, and one is needed to see "
                        "threads end");
    tide_common_start();
}

/* A program with a second thread has shards for the CPUs it may use at a time;
 * one with a single thread doesn't read files for that. */
static void fit_shards(void)
{
    static _Atomic bool is_done;
    struct tide_cgroup group;
    unsigned cpus;

    if (tide_options.shards || tide_heap_count() < 2 || atomic_exchange(&is_done, true))
        return;
    if (tide_machine_cgroup_find(&group, "cpu") && tide_machine_cgroup_cpus(&group, &cpus))
        tide_arena_limit_homes(cpus);
}

/* A heap for the calling thread, that nobody else uses; NULL when there is no memory. */
static struct heap *make(void)
{
    struct heap *heap = tide_heap_adopt();

    if (heap)
        return heap;
    heap = tide_os_record(sizeof *heap);
    if (!heap)
        return NULL;
    tide_set_relaxed(&heap->door, &tide_heap_none);
    tide_set_relaxed(&heap->state, HEAP_OWNED);
    tide_heap_enlist(heap);
    tide_heap_count_born();
    return heap;
}

bool tide_heap_be_born(void)
{
    int saved_errno = errno;
    struct heap *heap;
    unsigned cpu;

    if (tide_os_is_own_thread()) {
        tide_heap_set_own(NULL);
        return true;
    }
    heap = make();
    if (!heap)
        return false;
    fit_shards();
    cpu = tide_machine_cpu_now();
    tide_arena_settle(&heap->tenant, cpu);
    if (tide_heap_count() == 1)
        tide_set_relaxed(&tide_heap_first_cpu, cpu);
    atomic_store(&heap->state, HEAP_OWNED);
    tide_heap_set_own(heap); /* a signal finds its door closed */
    tide_heap_note_owner();
    tide_heap_open(heap);
    pthread_setspecific(key, heap); /* may allocate, from the heap just made; may fail */
    errno = saved_errno;
    return true;
}

struct heap *tide_heap_enter(void)
{
    struct heap *heap = tide_heap_own();

    if (TIDE_LIKELY(heap != NULL)) {
        if (TIDE_LIKELY(tide_heap_begin(heap) == heap))
            return heap;
        tide_heap_end(heap);
    }
    return tide_common_enter();
}

void tide_heap_leave(struct heap *heap)
{
    if (TIDE_UNLIKELY(tide_heap_is_common(heap)))
        tide_common_leave();
    else
        tide_heap_end(heap);
}
