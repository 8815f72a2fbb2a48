/* bench/trace/replay.c - replays a trace of libtidepool-record.so
 *
 * usage: replay [OPTION]... TRACE            replay --help tells the options
 *
 * The malloc is the one in use: LD_PRELOAD=LIBRARY replay TRACE.  bench/replay
 * compares several.  One JSON object comes out with --json, else a short text.
 *
 * Exit status: 0; 1 wrong usage; 2 the trace can't be read, with one line that
 * says what is wrong and where; 3 the replay failed.
 */
#include "plan.h"
#include "run.h"
#include "trace.h"

#include <dlfcn.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 1
#define EXIT_TRACE 2
#define EXIT_RUN   3

struct options {
    const char *path;
    bool is_json;
    bool is_info;
    struct plan_options plan;
    struct run_options run;
};

static const char help[] =
    "usage: replay [OPTION]... TRACE\n"
    "Replays a trace that libtidepool-record.so wrote, on the malloc in use.\n"
    "  --json            print one JSON object\n"
    "  --info            tell about the trace, without a replay\n"
    "  --scale PERCENT   only the first PERCENT of the trace [100]\n"
    "  --touch WHAT      what to write to of each block: nothing, ends (first and\n"
    "                    last byte) or pages (and a byte of every page) [pages]\n"
    "  --latency         time every call; adds two readings of the clock to each\n"
    "  --verify          compare bytes alive in the middle of spans too; slower\n"
    "  --points N        of the curve of bytes alive in the JSON, at most [1000]\n"
    "  --drift PERCENT   how far the bytes alive may be from the recorded ones after\n"
    "                    the same count of calls; threads wait for each other as\n"
    "                    often as that takes [1].  \"any\": they wait for blocks only,\n"
    "                    so that those idle in the recorded program run early\n";

/* ---- Options ------------------------------------------------------------- */

static unsigned long number_of(const char *text, const char *option, unsigned long most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != 0 || number < 1 || number > most) {
        fprintf(stderr, "replay: --%s takes a number from 1 to %lu, not \"%s\"\n", option, most,
                text);
        exit(EXIT_USAGE);
    }
    return number;
}

static enum run_touch touch_of(const char *text)
{
    static const char *const names[] = {"nothing", "ends", "pages"};
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum run_touch)i;
    fprintf(stderr, "replay: --touch takes nothing, ends or pages, not \"%s\"\n", text);
    exit(EXIT_USAGE);
}

static double drift_of(const char *text)
{
    char *end;
    double percent = strtod(text, &end);
    if (strcmp(text, "any") == 0)
        return 0;
    if (*end != 0 || !(percent >= 0.01 && percent <= 1000)) {
        fprintf(stderr, "replay: --drift takes a percentage from 0.01, or any, not \"%s\"\n", text);
        exit(EXIT_USAGE);
    }
    return percent / 100;
}

static void take_option(struct options *options, int letter)
{
    switch (letter) {
    case 'j':
        options->is_json = true;
        break;
    case 'i':
        options->is_info = true;
        break;
    case 's':
        options->plan.percent = (unsigned)number_of(optarg, "scale", 100);
        break;
    case 't':
        options->run.touch = touch_of(optarg);
        break;
    case 'l':
        options->run.times_calls = true;
        break;
    case 'v':
        options->run.counts_points = true;
        break;
    case 'p':
        options->plan.points = number_of(optarg, "points", 1000000);
        break;
    case 'd':
        options->plan.drift = drift_of(optarg);
        break;
    case 'h':
        fputs(help, stdout);
        exit(0);
    default:
        fputs("replay: --help tells the options\n", stderr);
        exit(EXIT_USAGE);
    }
}

static struct options read_options(int count, char **words)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, 'j'},        {"info", no_argument, NULL, 'i'},
        {"scale", required_argument, NULL, 's'}, {"touch", required_argument, NULL, 't'},
        {"latency", no_argument, NULL, 'l'},     {"verify", no_argument, NULL, 'v'},
        {"drift", required_argument, NULL, 'd'}, {"points", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {
        .plan = {.percent = 100, .points = 1000, .drift = 0.01},
        .run.touch = TOUCH_PAGES,
    };
    for (int letter; (letter = getopt_long(count, words, "h", known, NULL)) != -1;)
        take_option(&options, letter);
    if (optind != count - 1) {
        fputs("replay: takes one trace; --help tells the options\n", stderr);
        exit(EXIT_USAGE);
    }
    options.path = words[optind];
    return options;
}

/* ---- What differs from the recorded -------------------------------------- */

/* The greatest difference of two curves, relative to the recorded bytes alive
 * (or PLAN_FLOOR of their peak). */
static double deviation(const struct plan *plan, const uint64_t *recorded,
                        const uint64_t *replayed, uint64_t count)
{
    double most = 0, floor = PLAN_FLOOR * (double)plan->counts.peak_bytes;
    for (uint64_t i = 0; i < count; i++) {
        double difference = (double)recorded[i] - (double)replayed[i];
        double base = (double)recorded[i] > floor ? (double)recorded[i] : floor;
        double share = difference == 0 ? 0 : (difference < 0 ? -difference : difference) / base;
        if (share > most)
            most = share;
    }
    return most;
}

/* ---- JSON ---------------------------------------------------------------- */

static void print_string(const char *text)
{
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at != 0; at++) {
        if (*at == '"' || *at == '\\')
            putchar('\\');
        if (*at < 0x20 || *at >= 0x7f)
            printf("\\u%04x", *at);
        else
            putchar(*at);
    }
    putchar('"');
}

static const char *allocator_path(void)
{
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    return function != NULL && dladdr(function, &info) != 0 ? info.dli_fname : "unknown";
}

static void print_counts(const struct plan_counts *counts)
{
    printf(", \"counts\": {\"malloc\": %" PRIu64 ", \"calloc\": %" PRIu64 ", \"aligned\": %" PRIu64
           ", \"realloc\": %" PRIu64 ", \"free\": %" PRIu64 ", \"free_null\": %" PRIu64
           ", \"created\": %" PRIu64 ", \"ended\": %" PRIu64 "}",
           counts->malloc_calls, counts->calloc_calls, counts->aligned_calls,
           counts->realloc_calls, counts->free_calls, counts->free_null_calls, counts->created,
           counts->ended);
}

static void print_histogram(const char *name, const struct histogram *histogram, bool is_last)
{
    static const struct {
        const char *name;
        double share;
    } levels[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};
    printf("\"%s\": {", name);
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        printf("\"%s\": %" PRIu64 ", ", levels[i].name,
               histogram_value(histogram, levels[i].share));
    printf("\"max\": %" PRIu64 ", \"count\": %" PRIu64 "}%s", histogram->most, histogram->count,
           is_last ? "" : ", ");
}

static void print_latencies(const struct latencies *latencies)
{
    fputs(", \"latency_ns\": {", stdout);
    print_histogram("malloc", &latencies->malloc, false);
    print_histogram("free", &latencies->free, false);
    print_histogram("realloc", &latencies->realloc, true);
    putchar('}');
}

/* [operation, recorded bytes alive, replayed bytes alive] */
static void print_curve(const struct plan *plan, const struct run_result *result, bool has_points)
{
    uint64_t count = has_points ? plan->point_count : plan->span_count;
    uint64_t step = count / plan->point_most + 1;
    const uint64_t *recorded = has_points ? plan->point_live : plan->span_live;
    const uint64_t *replayed = has_points ? result->point_live : result->span_live;
    fputs(", \"curve\": [", stdout);
    for (uint64_t i = step - 1; i < count; i += step) {
        uint64_t at = has_points ? (i + 1) * plan->stride : plan->span_ends[i];
        printf("%s[%" PRIu64 ", %" PRIu64, i >= step ? ", " : "", at, recorded[i]);
        if (replayed != NULL)
            printf(", %" PRIu64, replayed[i]);
        putchar(']');
    }
    putchar(']');
}

static void print_series(const struct run_result *result)
{
    fputs(", \"series\": [", stdout);
    for (unsigned i = 0; i < result->sample_count; i++)
        printf("%s[%.4f, %" PRIu64 ", %" PRIu64 "]", i ? ", " : "", result->samples[i].seconds,
               result->samples[i].resident_bytes, result->samples[i].live_bytes);
    putchar(']');
}

static void print_about(const struct trace *trace, const struct plan *plan)
{
    const char *name = strrchr(trace->header.name, '/');
    char workload[TRACE_NAME_MOST + 16];
    snprintf(workload, sizeof workload, "replay:%s", name != NULL ? name + 1 : trace->header.name);
    fputs("{\"workload\": ", stdout);
    print_string(workload);
    printf(", \"threads\": %u", plan->thread_most);
    print_counts(&plan->counts);
}

static void print_recorded(const struct trace *trace, const struct plan_counts *counts)
{
    printf("\"recorded_seconds\": %.3f, \"recorded_peak_live_bytes\": %" PRIu64
           ", \"recorded_final_live_bytes\": %" PRIu64 ", \"freed_by_other_thread\": %" PRIu64
           ", \"failed_calls\": %" PRIu64 ", \"foreign_blocks\": %" PRIu64
           ", \"unseen_frees\": %" PRIu64 ", \"lost_calls\": %u",
           (double)counts->duration / 1e9, counts->peak_bytes, counts->live_bytes,
           counts->from_other, counts->failed, counts->foreign, counts->implied,
           trace->end.events);
}

static void print_info_json(const struct trace *trace, const struct plan *plan)
{
    print_about(trace, plan);
    printf(", \"operations\": %" PRIu64, plan->counts.operations);
    fputs(", \"metrics\": {", stdout);
    print_recorded(trace, &plan->counts);
    putchar('}');
    print_curve(plan, &(struct run_result){0}, true);
    puts("}");
}

static void print_result_json(const struct trace *trace, const struct plan *plan,
                              const struct run_result *result, bool has_points)
{
    print_about(trace, plan);
    fputs(", \"allocator\": ", stdout);
    print_string(allocator_path());
    printf(", \"operations\": %" PRIu64 ", \"seconds\": %.6f, \"final_bytes\": %" PRIu64
           ", \"peak_bytes\": %" PRIu64,
           result->operations, result->seconds, result->final_bytes, result->peak_bytes);
    if (result->latencies != NULL)
        print_latencies(result->latencies);
    fputs(", \"metrics\": {", stdout);
    print_recorded(trace, &plan->counts);
    printf(", \"processor_seconds\": %.6f, \"wait_seconds\": %.6f, \"base_bytes\": %" PRIu64
           ", \"final_live_bytes\": %" PRId64 ", \"clock_ns\": %.1f, \"checkpoints\": %u"
           ", \"live_deviation\": %.6f",
           result->processor_seconds, result->wait_seconds, result->base_bytes,
           result->live_bytes, result->clock_ns, plan->span_count,
           deviation(plan, plan->span_live, result->span_live, plan->span_count));
    if (has_points)
        printf(", \"live_deviation_between\": %.6f",
               deviation(plan, plan->point_live, result->point_live, plan->point_count));
    putchar('}');
    print_series(result);
    print_curve(plan, result, has_points);
    puts("}");
}

/* ---- Text ---------------------------------------------------------------- */

static void print_info(const struct trace *trace, const struct plan *plan)
{
    const struct plan_counts *counts = &plan->counts;
    printf("program     %s (process %u)\n", trace->header.name, trace->header.process);
    printf("recorded    %.3f s, %" PRIu64 " events, %u threads, %u at once\n",
           (double)counts->duration / 1e9, trace->end.order, trace->end.thread, plan->thread_most);
    printf("calls       %" PRIu64 " malloc, %" PRIu64 " calloc, %" PRIu64 " aligned, %" PRIu64
           " realloc, %" PRIu64 " free, %" PRIu64 " free(NULL)\n",
           counts->malloc_calls, counts->calloc_calls, counts->aligned_calls,
           counts->realloc_calls, counts->free_calls, counts->free_null_calls);
    printf("from other  %" PRIu64 " frees and reallocs by another thread than the allocating one\n",
           counts->from_other);
    printf("left out    %" PRIu64 " failed, %" PRIu64 " of blocks never seen allocated, %" PRIu64
           " frees unseen, %u calls lost\n",
           counts->failed, counts->foreign, counts->implied, trace->end.events);
    printf("alive       %" PRIu64 " bytes at most, %" PRIu64 " at the end\n", counts->peak_bytes,
           counts->live_bytes);
}

static void print_latency_line(const char *name, const struct histogram *histogram)
{
    printf("%-12sp50 %" PRIu64 ", p99 %" PRIu64 ", p99.9 %" PRIu64 ", most %" PRIu64
           " ns of %" PRIu64 " calls\n",
           name, histogram_value(histogram, 0.5), histogram_value(histogram, 0.99),
           histogram_value(histogram, 0.999), histogram->most, histogram->count);
}

static void print_result(const struct plan *plan, const struct run_result *result, bool has_points)
{
    printf("allocator   %s\n", allocator_path());
    printf("replayed    %" PRIu64 " calls in %.3f s; processor %.3f s, threads waited %.3f s\n",
           result->operations, result->seconds, result->processor_seconds, result->wait_seconds);
    printf("resident    %" PRIu64 " bytes at most, %" PRIu64 " at the end\n", result->peak_bytes,
           result->final_bytes);
    printf("bytes alive differ by %.2f %% at %u checkpoints",
           100 * deviation(plan, plan->span_live, result->span_live, plan->span_count),
           plan->span_count);
    if (has_points)
        printf(", by %.2f %% between them",
               100 * deviation(plan, plan->point_live, result->point_live, plan->point_count));
    putchar('\n');
    if (result->latencies == NULL)
        return;
    print_latency_line("malloc", &result->latencies->malloc);
    print_latency_line("realloc", &result->latencies->realloc);
    print_latency_line("free", &result->latencies->free);
}

/* ---- Main ---------------------------------------------------------------- */

static int fail(const struct options *options, const struct trace_error *error, int status)
{
    fprintf(stderr, "replay: %s: %s\n", options->path, error->text);
    return status;
}

static void report(const struct options *options, const struct trace *trace,
                   const struct plan *plan, const struct run_result *result)
{
    if (options->is_json && options->is_info)
        print_info_json(trace, plan);
    else if (options->is_json)
        print_result_json(trace, plan, result, options->run.counts_points);
    else
        print_info(trace, plan);
    if (!options->is_json && !options->is_info)
        print_result(plan, result, options->run.counts_points);
}

int main(int count, char **words)
{
    static char output[1 << 16]; /* stdio's own would come from malloc */
    static struct trace trace;
    static struct plan plan;
    static struct run_result result;
    struct trace_error error;
    setvbuf(stdout, output, _IOFBF, sizeof output);
    struct options options = read_options(count, words);
    if (!trace_open(&trace, options.path, &error) ||
        !plan_build(&plan, &trace, &options.plan, &error))
        return fail(&options, &error, EXIT_TRACE);
    if (trace.end.events != 0)
        fprintf(stderr, "replay: %s: %u calls could not be recorded\n", options.path,
                trace.end.events);
    if (!options.is_info && !run_plan(&plan, &options.run, &result, &error))
        return fail(&options, &error, EXIT_RUN);
    report(&options, &trace, &plan, &result);
    return fflush(stdout) == 0 ? 0 : EXIT_RUN;
}
