/* bench/workloads/common.c - see common.h */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pin.h"

#define STACK_BYTES (128 * KIB)
#define CHUNKS_EACH 64   /* pieces of work per thread: the grain of fairness */
#define MOST_CHUNK  8192

/* ---- Failures: without malloc, which may be what is broken ------------------- */

void fail(const char *format, ...)
{
    char text[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof text - 2)
        length = (int)sizeof text - 2;
    text[length] = '\n';
    if (write(STDERR_FILENO, "workload: ", 10) < 0 ||
        write(STDERR_FILENO, text, (size_t)length + 1) < 0)
        _exit(3);
    _exit(1);
}

void fail_memory(size_t bytes)
{
    fail("no memory: the allocator refused %zu bytes", bytes);
}

void fail_block(const void *block, size_t bytes)
{
    fail("corrupted: block %p of %zu bytes isn't as it was left", block, bytes);
}

/* ---- Memory ------------------------------------------------------------------ */

static _Atomic size_t areas;

void *area(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (bytes + page - 1) / page * page;
    void *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        fail("mmap of %zu bytes for the harness: %s", whole, strerror(errno));
    atomic_fetch_add(&areas, whole);
    return memory;
}

size_t area_bytes(void)
{
    return atomic_load(&areas);
}

size_t resident_bytes(void)
{
    char text[128];
    unsigned long total, resident;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);

    if (length <= 0)
        fail("/proc/self/statm can't be read: %s", strerror(errno));
    close(file);
    text[length] = 0;
    if (sscanf(text, "%lu %lu", &total, &resident) != 2)
        fail("/proc/self/statm isn't understood: %s", text);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

int64_t live_bytes(const struct run *run)
{
    int64_t live = 0;

    for (unsigned i = 0; i < run->threads; i++)
        live += atomic_load_explicit(&run->workers[i].live, memory_order_relaxed);
    return live;
}

/* ---- Timed calls ---------------------------------------------------------------- */

void *take_with_clock(struct worker *worker, size_t size)
{
    uint64_t before = now_ticks();
    void *block = hide(malloc(size));

    histogram_add(worker->malloc_ticks, now_ticks() - before);
    return mark_sized(block, size);
}

void give_with_clock(struct worker *worker, void *block)
{
    uint64_t before;

    check_sized(block);
    before = now_ticks();
    free(block);
    histogram_add(worker->free_ticks, now_ticks() - before);
}

/* ---- Small things --------------------------------------------------------------- */

uint64_t scaled(const struct run *run, uint64_t quantity)
{
    uint64_t part = quantity * run->scale / 100;

    return part ? part : 1;
}

void add_metric(struct run *run, const char *name, double value)
{
    if (run->metric_count == MOST_METRICS)
        fail("more than %d metrics", MOST_METRICS);
    run->metrics[run->metric_count++] = (struct metric){ name, value };
}

void sleep_seconds(double seconds)
{
    struct timespec left = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

void meet(struct worker *worker)
{
    if (worker->run->threads > 1)
        pthread_barrier_wait(&worker->run->meeting);
}

void idle(struct worker *worker, double seconds)
{
    uint64_t before;

    meet(worker);
    before = now_ns();
    sleep_seconds(seconds);
    meet(worker);
    if (worker->index == 0)
        worker->run->idle_seconds += (double)(now_ns() - before) / 1e9;
}

/* ---- Threads ---------------------------------------------------------------------- */

void start_thread(pthread_t *thread, void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(thread, &attributes, function, argument);
    pthread_attr_destroy(&attributes);
    if (error)
        fail("a thread can't be started: %s", strerror(error));
}

void join_thread(pthread_t thread)
{
    int error = pthread_join(thread, NULL);

    if (error)
        fail("a thread can't be joined: %s", strerror(error));
}

struct crew {
    struct run *run;
    const struct stages *stages;
    pthread_barrier_t gate; /* the workers and the main thread */
};

static struct crew crew;

static void stage(void (*function)(struct worker *worker), struct worker *worker)
{
    if (function)
        function(worker);
}

static void loop(const struct stages *stages, struct worker *worker)
{
    worker->timed = worker->run->timed;
    stage(stages->loop, worker);
    worker->end_ns = now_ns();
    worker->timed = false;
}

static void *work(void *argument)
{
    struct worker *worker = argument;

    pin_thread(worker->index);
    stage(crew.stages->set_up, worker);
    pthread_barrier_wait(&crew.gate); /* all are ready */
    pthread_barrier_wait(&crew.gate); /* go */
    loop(crew.stages, worker);
    pthread_barrier_wait(&crew.gate); /* all have done */
    stage(crew.stages->tear_down, worker);
    return NULL;
}

/* ---- Measuring ---------------------------------------------------------------------- */

struct reading {
    uint64_t ns, ticks;
    struct rusage usage;
};

static void read_all(struct reading *reading)
{
    getrusage(RUSAGE_SELF, &reading->usage);
    reading->ticks = now_ticks();
    reading->ns = now_ns();
}

static double cpu_seconds(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static void take_results(struct run *run, const struct reading *before,
                         const struct reading *after)
{
    const struct rusage *from = &before->usage, *to = &after->usage;
    uint64_t end = 0;

    for (unsigned i = 0; i < run->threads; i++)
        if (run->workers[i].end_ns > end)
            end = run->workers[i].end_ns;
    run->seconds = (double)(end - before->ns) / 1e9 - run->idle_seconds;
    run->ticks_per_ns = (double)(after->ticks - before->ticks) / (double)(after->ns - before->ns);
    add_metric(run, "pinned", pin_is_on());
    add_metric(run, "cpu_seconds", cpu_seconds(to) - cpu_seconds(from));
    add_metric(run, "voluntary_switches", (double)(to->ru_nvcsw - from->ru_nvcsw));
    add_metric(run, "involuntary_switches", (double)(to->ru_nivcsw - from->ru_nivcsw));
    add_metric(run, "minor_faults", (double)(to->ru_minflt - from->ru_minflt));
    if (run->idle_seconds > 0)
        add_metric(run, "idle_seconds", run->idle_seconds);
}

static void run_alone(struct run *run, const struct stages *stages)
{
    struct worker *worker = run->workers;
    struct reading before, after;

    pin_thread(0);
    stage(stages->set_up, worker);
    read_all(&before);
    loop(stages, worker);
    read_all(&after);
    stage(stages->tear_down, worker);
    take_results(run, &before, &after);
}

static void run_together(struct run *run, const struct stages *stages)
{
    struct reading before, after;

    crew.run = run;
    crew.stages = stages;
    pthread_barrier_init(&crew.gate, NULL, run->threads + 1);
    for (unsigned i = 0; i < run->threads; i++)
        start_thread(&run->workers[i].thread, work, &run->workers[i]);
    pthread_barrier_wait(&crew.gate);
    read_all(&before);
    pthread_barrier_wait(&crew.gate);
    pthread_barrier_wait(&crew.gate);
    read_all(&after);
    for (unsigned i = 0; i < run->threads; i++)
        join_thread(run->workers[i].thread);
    take_results(run, &before, &after);
}

/* How the work is cut, unless the workload has said. */
static void cut_work(struct run *run)
{
    if (run->chunk)
        return;
    run->chunk = run->work / run->threads / CHUNKS_EACH;
    if (run->chunk < 1)
        run->chunk = 1;
    if (run->chunk > MOST_CHUNK)
        run->chunk = MOST_CHUNK;
}

void run_stages(struct run *run, const struct stages *stages)
{
    cut_work(run);
    for (unsigned i = 0; i < run->threads; i++) {
        struct worker *worker = &run->workers[i];

        worker->run = run;
        worker->index = i;
        random_seed(worker, i);
        if (run->timed) {
            worker->malloc_ticks = area(sizeof(struct histogram));
            worker->free_ticks = area(sizeof(struct histogram));
        }
    }
    pthread_barrier_init(&run->meeting, NULL, run->threads);
    run->baseline_bytes = resident_bytes();
    if (run->threads == 1)
        run_alone(run, stages);
    else
        run_together(run, stages);
    run->final_bytes = resident_bytes();
}
