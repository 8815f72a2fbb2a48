/* bench/workloads/held.c - see held.h */
#include "held.h"

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
