/* bench/workloads/sampler.c - see sampler.h */
#include "sampler.h"

#define FIRST_INTERVAL 0.002 /* seconds */

static struct {
    struct run *run;
    pthread_t thread;
    uint64_t start_ns;
    double interval; /* seconds */
    _Atomic bool stop;
} sampler;

static void drop_every_other(struct run *run)
{
    for (unsigned i = 1; 2 * i < MOST_POINTS; i++)
        run->points[i] = run->points[2 * i];
    run->point_count = MOST_POINTS / 2;
    sampler.interval *= 2;
}

static void take_point(struct run *run)
{
    if (run->point_count == MOST_POINTS)
        drop_every_other(run);
    run->points[run->point_count++] = (struct point){
        .seconds = (double)(now_ns() - sampler.start_ns) / 1e9,
        .resident = (double)resident_bytes(),
        .live = (double)live_bytes(run),
    };
}

static void *sample(void *argument)
{
    struct run *run = argument;
    double next = 0;

    while (!atomic_load(&sampler.stop)) {
        double now = (double)(now_ns() - sampler.start_ns) / 1e9;

        if (now >= next) {
            take_point(run);
            next = now + sampler.interval;
        }
        sleep_seconds(sampler.interval < 0.02 ? sampler.interval : 0.02);
    }
    return NULL;
}

void sampler_start(struct run *run)
{
    sampler.run = run;
    sampler.start_ns = now_ns();
    sampler.interval = FIRST_INTERVAL;
    start_thread(&sampler.thread, sample, run);
}

/* Over time, not over points. */
static double mean(const struct run *run, bool live)
{
    double sum = 0, seconds = 0;

    for (unsigned i = 1; i < run->point_count; i++) {
        const struct point *from = &run->points[i - 1], *to = &run->points[i];
        double value = live ? from->live + to->live : from->resident + to->resident;

        sum += value / 2 * (to->seconds - from->seconds);
        seconds += to->seconds - from->seconds;
    }
    return seconds > 0 ? sum / seconds : 0;
}

static double most_live(const struct run *run)
{
    double most = 0;

    for (unsigned i = 0; i < run->point_count; i++)
        if (run->points[i].live > most)
            most = run->points[i].live;
    return most;
}

void sampler_stop(struct run *run)
{
    atomic_store(&sampler.stop, true);
    join_thread(sampler.thread);
    take_point(run);
    add_metric(run, "mean_resident_bytes", mean(run, false));
    add_metric(run, "mean_live_bytes", mean(run, true));
    add_metric(run, "most_live_bytes", most_live(run));
}
