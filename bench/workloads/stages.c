/* bench/workloads/stages.c - the threads of a run, and its measuring; see common.h
 *
 * Apart from common.c, so that a program that must create no thread can have the
 * rest (lone.c).
 */
#include "common.h"

#include <string.h>
#include <sys/resource.h>

#include "pin.h"

#define STACK_BYTES (128 * KIB)
#define CHUNKS_EACH 64   /* pieces of work per thread: the grain of fairness */
#define MOST_CHUNK  8192

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
    if (run->mappings)
        add_metric(run, "mappings", run->mappings);
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
