/* bench/trace/run.c - carries out a plan on the malloc in use, and measures
 *
 * Synchronisation: a slot that is not shared belongs to one thread.  A shared
 * slot's turn (release) hands its block to the thread that waits for that turn
 * (acquire).  The last thread through a span adds up all threads' bytes, each
 * thread's own stores being ordered by spans_left, and publishes span_now.
 * Who waits spins a little, then sleeps on a futex.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINS       200
#define CLOCK_TRIES 1000

struct slot {
    void *block;
    size_t size;              /* bytes */
    _Atomic uint32_t turn;    /* shared: the step that is next; release */
    _Atomic uint32_t waiters; /* shared: someone sleeps on turn; seq_cst, with turn */
    uint64_t padding;         /* two to a cache line */
};

struct runner {
    _Alignas(64) _Atomic int64_t live; /* bytes; written by its thread */
    const struct plan_thread *plan;
    uint64_t operations;
    uint64_t waited; /* ns */
    struct latencies *latencies;
};

/* The run; set up before the threads, then constant unless atomic. */
static struct {
    const struct plan *plan;
    struct run_options options;
    struct run_result *result;
    struct slot *slots;
    struct runner *runners;
    _Atomic uint32_t *spans_left; /* threads that are not through with a span */
    size_t page_bytes;
    int statm;
    _Atomic uint64_t start; /* ns; 0: not yet */
    _Alignas(64) _Atomic uint32_t span_now;
    _Alignas(64) _Atomic uint32_t unfinished; /* threads */
    _Alignas(64) _Atomic uint32_t is_over;
    _Alignas(64) _Atomic uint64_t calls_done; /* with counts_points */
    _Atomic int64_t live_now;
} run;

/* ---- Clock and futex ----------------------------------------------------- */

static uint64_t clock_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void pause_a_moment(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static void sleep_on(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* ---- Waiting for others -------------------------------------------------- */

static bool spin_for(_Atomic uint32_t *word, uint32_t wanted)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) == wanted)
            return true;
        pause_a_moment();
    }
    return false;
}

static void wait_for_turn(struct runner *runner, struct slot *slot, uint32_t turn)
{
    if (atomic_load_explicit(&slot->turn, memory_order_acquire) == turn)
        return;
    uint64_t began = clock_now();
    if (!spin_for(&slot->turn, turn)) {
        atomic_fetch_add(&slot->waiters, 1);
        for (uint32_t seen; (seen = atomic_load(&slot->turn)) != turn;)
            sleep_on(&slot->turn, seen);
        atomic_fetch_sub(&slot->waiters, 1);
    }
    runner->waited += clock_now() - began;
}

static void pass_turn(struct slot *slot, uint32_t turn)
{
    atomic_store(&slot->turn, turn + 1);
    if (atomic_load(&slot->waiters) != 0)
        wake_all(&slot->turn);
}

static void wait_for_span(struct runner *runner, uint32_t span)
{
    uint32_t seen = atomic_load_explicit(&run.span_now, memory_order_acquire);
    if (seen >= span)
        return;
    uint64_t began = clock_now();
    for (int i = 0; i < SPINS && seen < span; i++) {
        pause_a_moment();
        seen = atomic_load_explicit(&run.span_now, memory_order_acquire);
    }
    for (; seen < span; seen = atomic_load_explicit(&run.span_now, memory_order_acquire))
        sleep_on(&run.span_now, seen);
    runner->waited += clock_now() - began;
}

static int64_t live_of_all(void)
{
    int64_t live = 0;
    for (uint32_t i = 0; i < run.plan->thread_count; i++)
        live += atomic_load_explicit(&run.runners[i].live, memory_order_relaxed);
    return live;
}

/* This thread is through with the span; the last one opens the next. */
static void leave_span(uint32_t span)
{
    if (atomic_fetch_sub(&run.spans_left[span], 1) != 1)
        return;
    run.result->span_live[span] = (uint64_t)live_of_all();
    atomic_store(&run.span_now, span + 1);
    wake_all(&run.span_now);
}

/* ---- A call -------------------------------------------------------------- */

static void touch_block(char *block, size_t size)
{
    if (run.options.touch == TOUCH_NOTHING || size == 0)
        return;
    volatile char *bytes = block;
    if (run.options.touch == TOUCH_PAGES)
        for (size_t at = run.page_bytes; at < size; at += run.page_bytes)
            bytes[at] = 1;
    bytes[0] = 1;
    bytes[size - 1] = 1;
}

__attribute__((noreturn, noinline)) static void stop_failed(const struct step *step)
{
    fprintf(stderr, "replay: the allocator failed to give a block of %llu bytes\n",
            (unsigned long long)step->size);
    _exit(3);
}

static inline void *allocate(const struct step *step, void *old)
{
    void *block = NULL;
    switch (step->kind) {
    case STEP_MALLOC:
        return malloc(step->size);
    case STEP_CALLOC:
        return calloc(1, step->size);
    case STEP_REALLOC: /* to no bytes: a free, in some allocators */
        return realloc(old, step->size ? step->size : 1);
    default: /* least alignment of posix_memalign: a pointer's */
        if (posix_memalign(&block, (size_t)1 << (step->align_log2 < 3 ? 3 : step->align_log2),
                           step->size) != 0)
            return NULL;
        return block;
    }
}

static void add_latency(struct histogram *histogram, uint64_t ns)
{
    unsigned index = (unsigned)ns;
    if (ns >= HISTOGRAM_SUB) {
        unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 5;
        index = (shift + 1) * HISTOGRAM_SUB + (unsigned)(ns >> shift & (HISTOGRAM_SUB - 1));
    }
    histogram->buckets[index]++;
    histogram->count++;
    if (ns > histogram->most)
        histogram->most = ns;
}

/* Counts the call and the change of bytes alive. */
static inline void add_live(struct runner *runner, int64_t change)
{
    int64_t live = atomic_load_explicit(&runner->live, memory_order_relaxed) + change;
    atomic_store_explicit(&runner->live, live, memory_order_relaxed);
    runner->operations++;
    if (!run.options.counts_points)
        return;
    int64_t all = atomic_fetch_add(&run.live_now, change) + change;
    uint64_t done = atomic_fetch_add(&run.calls_done, 1) + 1;
    if (done % run.plan->stride == 0)
        run.result->point_live[done / run.plan->stride - 1] = (uint64_t)all;
}

static inline void do_allocation(struct runner *runner, const struct step *step, bool is_timed)
{
    struct slot *slot = &run.slots[step->slot];
    bool is_realloc = step->kind == STEP_REALLOC;
    int64_t old_size = is_realloc ? (int64_t)slot->size : 0;
    uint64_t began = is_timed ? clock_now() : 0;
    void *block = allocate(step, slot->block);
    if (is_timed)
        add_latency(is_realloc ? &runner->latencies->realloc : &runner->latencies->malloc,
                    clock_now() - began);
    if (block == NULL && step->size > 0)
        stop_failed(step);
    touch_block(block, step->size);
    slot->block = block;
    slot->size = step->size;
    add_live(runner, (int64_t)step->size - old_size);
}

static inline void do_free(struct runner *runner, void *block, size_t size, bool is_timed)
{
    uint64_t began = is_timed ? clock_now() : 0;
    free(block);
    if (is_timed)
        add_latency(&runner->latencies->free, clock_now() - began);
    add_live(runner, -(int64_t)size);
}

/* ---- A thread ------------------------------------------------------------ */

static void *run_thread(void *argument);

static void create_thread(uint32_t number)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int failure = pthread_create(&thread, &attributes, run_thread, &run.runners[number]);
    if (failure != 0) {
        fprintf(stderr, "replay: can't create thread %u: %s\n", number, strerror(failure));
        _exit(3);
    }
    pthread_attr_destroy(&attributes);
}

static inline void do_call(struct runner *runner, const struct step *step, bool is_timed)
{
    struct slot *slot = &run.slots[step->slot];
    if (step->kind == STEP_FREE_NULL) {
        do_free(runner, NULL, 0, is_timed);
        return;
    }
    if (step->is_shared)
        wait_for_turn(runner, slot, step->turn);
    if (step->kind == STEP_FREE)
        do_free(runner, slot->block, slot->size, is_timed);
    else
        do_allocation(runner, step, is_timed);
    if (step->is_shared)
        pass_turn(slot, step->turn);
}

static inline __attribute__((always_inline)) void run_steps(struct runner *runner, bool is_timed)
{
    uint32_t span = runner->plan->first_span;
    const struct step *end = runner->plan->steps + runner->plan->step_count;
    if (!runner->plan->takes_part)
        return;
    wait_for_span(runner, span);
    for (const struct step *step = runner->plan->steps; step < end; step++) {
        if (step->kind == STEP_SPAN) {
            leave_span(span);
            span = step->turn;
            wait_for_span(runner, span);
        } else if (step->kind == STEP_CREATE) {
            create_thread(step->slot);
        } else {
            do_call(runner, step, is_timed);
        }
    }
    leave_span(span);
}

static void run_all_steps(struct runner *runner)
{
    if (run.options.times_calls)
        run_steps(runner, true);
    else
        run_steps(runner, false);
    if (atomic_fetch_sub(&run.unfinished, 1) == 1)
        wake_all(&run.unfinished);
}

static void wait_until_over(void)
{
    while (atomic_load(&run.is_over) == 0)
        sleep_on(&run.is_over, 0);
}

static void *run_thread(void *argument)
{
    struct runner *runner = argument;
    bool ends = runner->plan->ends;
    run_all_steps(runner);
    if (!ends)
        wait_until_over();
    return NULL;
}

/* ---- Memory -------------------------------------------------------------- */

static uint64_t resident_bytes(void)
{
    char text[128];
    ssize_t length = pread(run.statm, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = 0;
    const char *second = strchr(text, ' ');
    return second != NULL ? strtoull(second, NULL, 10) * run.page_bytes : 0;
}

/* The highest resident size since reset_peak, from the kernel; 0: unknown. */
static uint64_t kernel_peak(void)
{
    static char text[8192];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = 0;
    const char *line = strstr(text, "VmHWM:");
    return line != NULL ? strtoull(line + 6, NULL, 10) * 1024 : 0;
}

static bool reset_peak(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool was_reset = file >= 0 && write(file, "5", 1) == 1;
    if (file >= 0)
        close(file);
    return was_reset;
}

/* Samples thin themselves out: when the table is full every second goes. */
static void *take_samples(void *argument)
{
    uint64_t *most = argument;
    struct run_result *result = run.result;
    long interval = 1000000; /* ns */
    while (atomic_load(&run.is_over) == 0) {
        uint64_t resident = resident_bytes(), start = run.start;
        if (resident > *most)
            *most = resident;
        if (result->sample_count == RUN_SAMPLES) {
            for (unsigned i = 0; i < RUN_SAMPLES / 2; i++)
                result->samples[i] = result->samples[2 * i];
            result->sample_count = RUN_SAMPLES / 2;
            interval *= 2;
        }
        result->samples[result->sample_count++] = (struct run_sample){
            .seconds = start != 0 ? (double)(clock_now() - start) / 1e9 : 0,
            .resident_bytes = resident > result->base_bytes ? resident - result->base_bytes : 0,
            .live_bytes = (uint64_t)live_of_all(),
        };
        struct timespec pause = {.tv_sec = interval / 1000000000, .tv_nsec = interval % 1000000000};
        syscall(SYS_futex, &run.is_over, FUTEX_WAIT_PRIVATE, 0, &pause, NULL, 0);
    }
    return NULL;
}

/* ---- The run ------------------------------------------------------------- */

static double processor_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double cost_of_clock(void)
{
    uint64_t began = clock_now(), last = began;
    for (int i = 0; i < CLOCK_TRIES; i++)
        last = clock_now();
    return (double)(last - began) / CLOCK_TRIES;
}

/* Touched here, so that they don't count as the allocator's. */
static void *map_touched(uint64_t size)
{
    char *memory = trace_map(size);
    for (uint64_t at = 0; memory != NULL && at < size; at += run.page_bytes)
        memory[at] = 0;
    return memory;
}

static bool prepare(const struct plan *plan, struct trace_error *error)
{
    uint64_t spans = plan->span_count;
    run.plan = plan;
    run.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    run.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    run.slots = map_touched(plan->slot_count * sizeof *run.slots);
    run.runners = map_touched(plan->thread_count * sizeof *run.runners);
    run.spans_left = map_touched(spans * sizeof *run.spans_left);
    run.result->span_live = map_touched(spans * sizeof(uint64_t));
    run.result->point_live = map_touched((plan->point_most + 1) * sizeof(uint64_t));
    struct latencies *latencies =
        run.options.times_calls ? trace_map((plan->thread_count + 1) * sizeof *latencies) : NULL;
    run.result->latencies = latencies;
    if (run.slots == NULL || run.runners == NULL || run.spans_left == NULL ||
        run.result->span_live == NULL || run.result->point_live == NULL ||
        (run.options.times_calls && latencies == NULL))
        return trace_fail(error, "no memory to replay it");
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        run.runners[i].plan = &plan->threads[i];
        run.runners[i].latencies = latencies != NULL ? &latencies[i + 1] : NULL;
        run.unfinished += i == 0 || plan->threads[i].is_used;
    }
    for (uint64_t i = 0; i < spans; i++)
        run.spans_left[i] = plan->span_threads[i];
    return true;
}

static void add_histogram(struct histogram *sum, const struct histogram *histogram)
{
    for (unsigned i = 0; histogram->count > 0 && i < HISTOGRAM_BUCKETS; i++)
        sum->buckets[i] += histogram->buckets[i];
    sum->count += histogram->count;
    if (histogram->most > sum->most)
        sum->most = histogram->most;
}

static void collect(struct run_result *result)
{
    result->live_bytes = live_of_all();
    for (uint32_t i = 0; i < run.plan->thread_count; i++) {
        const struct runner *runner = &run.runners[i];
        result->operations += runner->operations;
        result->wait_seconds += (double)runner->waited / 1e9;
        if (runner->latencies == NULL)
            continue;
        add_histogram(&result->latencies->malloc, &runner->latencies->malloc);
        add_histogram(&result->latencies->free, &runner->latencies->free);
        add_histogram(&result->latencies->realloc, &runner->latencies->realloc);
    }
}

static uint64_t above_base(const struct run_result *result, uint64_t bytes)
{
    return bytes > result->base_bytes ? bytes - result->base_bytes : 0;
}

/* The main thread is the recorded one's. */
static void measure(struct run_result *result)
{
    double processor = processor_seconds();
    atomic_store_explicit(&run.start, clock_now(), memory_order_relaxed);
    run_all_steps(&run.runners[0]);
    for (uint32_t left; (left = atomic_load(&run.unfinished)) != 0;)
        sleep_on(&run.unfinished, left);
    result->seconds = (double)(clock_now() - run.start) / 1e9;
    result->processor_seconds = processor_seconds() - processor;
}

bool run_plan(const struct plan *plan, const struct run_options *options,
              struct run_result *result, struct trace_error *error)
{
    pthread_t sampler;
    uint64_t sampled_peak = 0;
    *result = (struct run_result){0};
    run.result = result;
    run.options = *options;
    if (!prepare(plan, error))
        return false;
    result->clock_ns = cost_of_clock();
    result->base_bytes = resident_bytes();
    bool has_peak = reset_peak();
    int failure = pthread_create(&sampler, NULL, take_samples, &sampled_peak);
    if (failure != 0)
        return trace_fail(error, "can't create a thread: %s", strerror(failure));
    measure(result);
    uint64_t final = resident_bytes();
    uint64_t peak = has_peak ? kernel_peak() : 0;
    atomic_store(&run.is_over, 1);
    wake_all(&run.is_over);
    pthread_join(sampler, NULL);
    if (peak < final)
        peak = sampled_peak > final ? sampled_peak : final;
    result->final_bytes = above_base(result, final);
    result->peak_bytes = above_base(result, peak);
    collect(result);
    return true;
}

uint64_t histogram_value(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen <= wanted)
            continue;
        unsigned shift = i < HISTOGRAM_SUB ? 0 : i / HISTOGRAM_SUB - 1;
        uint64_t low =
            i < HISTOGRAM_SUB ? i : ((uint64_t)HISTOGRAM_SUB + i % HISTOGRAM_SUB) << shift;
        uint64_t high = low + ((uint64_t)1 << shift) - 1;
        return high < histogram->most ? high : histogram->most;
    }
    return histogram->most;
}
