/* bench/workloads/workload.c - runs one workload under whatever malloc is in use
 *
 * usage: workload list
 *        workload run NAME [--threads N] [--scale PERCENT]
 *
 * Nothing of tidepool's is linked: the allocator comes by LD_PRELOAD, and is
 * libc's without.  Prints one JSON object.  Status 1: a block was corrupted or
 * memory refused; 2: wrong usage.  The workloads are the rows of table.h.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "output.h"
#include "pin.h"
#include "table.h"

#define ENTRY(name_, group_, threads_, quick_, operations_, run_, argument_, unit_, about_)   \
    { .name = name_, .group = group_, .threads = threads_, .quick = quick_,                   \
      .operations = operations_, .run = run_, .argument = argument_, .unit = unit_,           \
      .about = about_ },
static const struct workload workloads[] = { WORKLOADS(ENTRY) };
#undef ENTRY

#define WORKLOAD_COUNT (sizeof workloads / sizeof *workloads)
#define MOST_THREADS   10000
#define MOST_SCALE     100000

static _Noreturn void wrong_usage(const char *what, const char *text)
{
    fprintf(stderr, "workload: %s%s\n"
            "usage: workload list\n"
            "       workload run NAME [--threads N] [--scale PERCENT]\n", what, text);
    exit(2);
}

static unsigned number(const char *text, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || value < 1 || value > most)
        wrong_usage("not a number of the range: ", text);
    return (unsigned)value;
}

static const struct workload *find(const char *name)
{
    for (unsigned i = 0; i < WORKLOAD_COUNT; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    wrong_usage("no such workload: ", name);
}

/* What two readings of the clock with nothing between them cost at best. */
static uint64_t timer_ticks(void)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < 10000; i++) {
        uint64_t before = now_ticks(), took = now_ticks() - before;

        if (took < least)
            least = took;
    }
    return least;
}

static void run_workload(struct run *run)
{
    uint64_t timer = timer_ticks();

    pin_prepare(run->threads);
    run->workers = area(run->threads * sizeof *run->workers);
    run->timed = strcmp(run->workload->group, "latency") == 0;
    run->work = scaled(run, run->workload->operations * parallel(run->threads));
    run->workload->run(run);
    if (run->timed)
        add_metric(run, "timer_ns", (double)timer / run->ticks_per_ns);
    add_metric(run, "baseline_bytes", (double)run->baseline_bytes);
    add_metric(run, "harness_bytes", (double)area_bytes());
    print_result(run);
}

static void parse_run(struct run *run, int argc, char **argv)
{
    static const struct option options[] = {
        { "threads", required_argument, NULL, 't' },
        { "scale", required_argument, NULL, 's' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    run->threads = (unsigned)strtoul(run->workload->threads, NULL, 10); /* the first */
    run->scale = 100;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (option == 't')
            run->threads = number(optarg, MOST_THREADS);
        else if (option == 's')
            run->scale = number(optarg, MOST_SCALE);
        else
            wrong_usage("", "unknown option");
    if (optind != argc)
        wrong_usage("too many arguments: ", argv[optind]);
}

int main(int argc, char **argv)
{
    static char out[64 * 1024]; /* stdio would ask malloc */
    static struct run run;

    setvbuf(stdout, out, _IOFBF, sizeof out);
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        print_list(workloads, WORKLOAD_COUNT);
    else if (argc >= 3 && strcmp(argv[1], "run") == 0) {
        run.workload = find(argv[2]);
        parse_run(&run, argc - 2, argv + 2);
        run_workload(&run);
    } else
        wrong_usage("", "list or run is missing");
    if (fflush(stdout) != 0) {
        perror("workload: stdout");
        return 1;
    }
    return 0;
}
