/* bench/workloads/churn.c - a server that runs for long, in small
 *
 * Each thread replaces its own blocks.  What is asked for drifts: the size of
 * blocks up and down between 256 bytes and 16 KiB, the bytes alive between a
 * quarter of PEAK and all of it, and how long a block lives.  So pools and
 * arenas that one time of the day has filled are half empty at another, and
 * which of them are filled again decides how many can go.  The run ends with the
 * least load, is idle, and leaves its blocks alive, so that an allocator which
 * prints statistics at exit counts what it still needs.
 * Most blocks are short-lived: where long-lived ones lie in every pool, no pool
 * empties, and the order of arenas decides nothing.
 *
 * The scale changes how many operations there are, not how many bytes.
 */
#include "churn.h"

#include <math.h>

#define PEAK      (128.0 * MIB)
#define CENTRE    256 /* bytes; blocks are of half to twice as many */
#define DOUBLINGS 6   /* of that, at most */

/* How often each goes up and down again.  No one is a multiple of another. */
enum { SIZE_SWINGS = 3, LOAD_SWINGS = 5, LIFE_SWINGS = 2 };

#define LONG_LIVED 10    /* of 1,000 replacements */
#define LAST       10000 /* replacements of each thread at the end */

static const int percent_of_bytes[LIVES] = { 75, 22, 3 };

/* What is asked for at some time of the run. */
struct demand {
    size_t centre;         /* of block sizes */
    int64_t wanted[LIVES]; /* bytes of each thread */
    uint32_t medium;       /* of 1,000 replacements */
};

/* 0 at the begin and the end, 1 so many times between. */
static double swing(double time, int swings)
{
    double phase = time * swings - floor(time * swings);

    return 1 - fabs(2 * phase - 1);
}

/* time: 0 to 1 */
static struct demand demand_at(const struct worker *worker, double time)
{
    double load = 0.25 + 0.75 * swing(time, LOAD_SWINGS);
    struct demand demand = {
        .centre = (size_t)(CENTRE * exp2(DOUBLINGS * swing(time, SIZE_SWINGS))),
        .medium = 40 + (uint32_t)(120 * swing(time, LIFE_SWINGS)),
    };

    for (int life = 0; life < LIVES; life++)
        demand.wanted[life] = (int64_t)(PEAK * load * percent_of_bytes[life] / 100) /
                              worker->run->threads;
    return demand;
}

static enum lives some_life(struct worker *worker, const struct demand *demand)
{
    uint32_t dice = random_below(worker, 1000);

    return dice < LONG_LIVED ? LONG : dice < LONG_LIVED + demand->medium ? MEDIUM : SHORT;
}

static void remove_one(struct worker *worker, struct population *population)
{
    void **block = &population->blocks[random_below(worker, population->count)];

    population->bytes -= ((struct sized *)*block)->size;
    give_live(worker, *block);
    *block = population->blocks[--population->count];
}

/* A block comes, and as many go as are too many by now. */
static void renew(struct worker *worker, const struct demand *demand)
{
    enum lives life = some_life(worker, demand);
    struct population *population = (struct population *)worker->state + life;
    size_t size = random_between(worker, demand->centre / 2, 2 * demand->centre);

    while (population->count && population->bytes + (int64_t)size > demand->wanted[life])
        remove_one(worker, population);
    if (population->count == population->room)
        fail("return-churn: more than %u blocks of one kind", population->room);
    population->blocks[population->count++] = take_held(worker, size);
    population->bytes += (int64_t)size;
}

void set_up_churn(struct worker *worker)
{
    struct population *populations = worker->state = area(LIVES * sizeof *populations);

    for (int life = 0; life < LIVES; life++) {
        populations[life].room = (uint32_t)(PEAK / worker->run->threads / (CENTRE / 2)) + 1000;
        populations[life].blocks = area(populations[life].room * sizeof *populations->blocks);
    }
}

void churn(struct worker *worker)
{
    struct demand demand;

    for (uint64_t n; (n = claim(worker));) {
        demand = demand_at(worker, (double)worker->first / (double)worker->run->work);
        while (n--)
            renew(worker, &demand);
    }
    demand = demand_at(worker, 1); /* also for who had no part in the end */
    for (unsigned i = 0; i < LAST; i++)
        renew(worker, &demand);
}
