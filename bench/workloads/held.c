/* bench/workloads/held.c - see held.h */
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void note_held(struct worker *worker)
{
    meet(worker);
    if (worker->index == 0) {
        add_metric(worker->run, "held_resident_bytes", (double)resident_bytes());
        add_metric(worker->run, "held_live_bytes", (double)live_bytes(worker->run));
    }
    meet(worker);
}

void note_settled(struct worker *worker)
{
    meet(worker);
    if (worker->index == 0)
        worker->run->settled_bytes = resident_bytes();
    meet(worker);
}

static unsigned count_mappings(void)
{
    static char text[64 * KIB];
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    unsigned lines = 0;
    ssize_t got;

    if (file < 0)
        fail("/proc/self/maps can't be opened: %s", strerror(errno));
    while ((got = read(file, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < got; i++)
            lines += text[i] == '\n';
    if (got < 0)
        fail("/proc/self/maps can't be read: %s", strerror(errno));
    close(file);
    return lines;
}

void note_mappings(struct worker *worker)
{
    struct run *run = worker->run;
    uint64_t before;

    meet(worker);
    before = now_ns();
    if (worker->index == 0) {
        unsigned count = count_mappings();

        if (count > run->mappings)
            run->mappings = count;
    }
    meet(worker);
    if (worker->index == 0)
        run->idle_seconds += (double)(now_ns() - before) / 1e9;
}

void run_sampled(struct run *run, const struct stages *stages)
{
    sampler_start(run);
    run_stages(run, stages);
    sampler_stop(run);
    run->final_bytes = resident_bytes();
}

void run_then_idle(struct run *run, const struct stages *stages, double seconds)
{
    sampler_start(run);
    run_stages(run, stages);
    sleep_seconds(seconds);
    sampler_stop(run);
    run->final_bytes = run->settled_bytes = resident_bytes();
}
