/* bench/harness/launch.c - starts a program under test and tells what it took
 *
 * usage: launch [--preload LIB] [--env NAME=VALUE]... [--timeout SECONDS]
 *               [--result FILE] -- PROGRAM [ARGUMENT]...
 *
 * A child inherits the peak of the process that forks it, so a large harness
 * can't read the peak memory of a small program.  This process is small: the
 * least peak that it can report is its own, 1 to 2 MiB.
 *
 * The program gets a process group of its own.  At the time-out, and when this
 * process is told to end, the group gets SIGTERM, a little later SIGKILL; what
 * the program leaves running in its group is killed when it ends, and so is
 * the program if this process is killed.  The figures are wait4's: of the
 * program and of all its children that it waited for.
 *
 * Exit status: 0 if the program's was 0, 1 if not, 124 after a time-out, 125 if
 * launch itself failed.  One thread, no locks; malloc isn't called.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_TIMEOUT = 124, EXIT_LAUNCH = 125, EXIT_NO_PROGRAM = 127 };
enum { GRACE_SECONDS = 2, MOST_SETTINGS = 64 };

struct request {
    const char *preload;                 /* NULL: none */
    const char *settings[MOST_SETTINGS]; /* NAME=VALUE */
    int setting_count;
    double timeout; /* seconds; 0: none */
    const char *result;
    char **program; /* argv of the program, ends with NULL */
};

struct outcome {
    char status[32];
    double wall; /* seconds */
    struct rusage usage;
    bool is_timeout;
};

static _Noreturn void __attribute__((format(printf, 1, 2))) die(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("launch: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(EXIT_LAUNCH);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double in_seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double positive_number(const char *text)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end || !(number >= 0 && number < 1e9))
        die("\"%s\" is no number of seconds", text);
    return number;
}

static void add_setting(struct request *request, const char *setting)
{
    if (!strchr(setting, '='))
        die("--env takes NAME=VALUE, not \"%s\"", setting);
    if (request->setting_count == MOST_SETTINGS)
        die("more than %d --env", MOST_SETTINGS);
    request->settings[request->setting_count++] = setting;
}

static struct request parse(int argc, char **argv)
{
    struct request request = {0};
    int at = 1;

    for (; at < argc && strcmp(argv[at], "--") != 0; at += 2) {
        const char *option = argv[at], *value = argv[at + 1];

        if (!value)
            die("%s takes a value", option);
        if (strcmp(option, "--preload") == 0)
            request.preload = value;
        else if (strcmp(option, "--env") == 0)
            add_setting(&request, value);
        else if (strcmp(option, "--timeout") == 0)
            request.timeout = positive_number(value);
        else if (strcmp(option, "--result") == 0)
            request.result = value;
        else
            die("no option \"%s\"", option);
    }
    if (at + 1 >= argc)
        die("usage: launch [--preload LIB] [--env NAME=VALUE]... [--timeout SECONDS] "
            "[--result FILE] -- PROGRAM [ARGUMENT]...");
    request.program = argv + at + 1;
    return request;
}

/* The signals that this process waits for instead of being interrupted. */
static sigset_t awaited_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

static _Noreturn void become_program(const struct request *request, const sigset_t *old_mask)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody else would end it */
    for (int n = 0; n < request->setting_count; n++) {
        const char *setting = request->settings[n];
        const char *equals = strchr(setting, '=');
        char name[256];

        snprintf(name, sizeof name, "%.*s", (int)(equals - setting), setting);
        setenv(name, equals + 1, 1);
    }
    if (request->preload)
        setenv("LD_PRELOAD", request->preload, 1);
    sigprocmask(SIG_SETMASK, old_mask, NULL);
    execvp(request->program[0], request->program);
    fprintf(stderr, "launch: %s: %s\n", request->program[0], strerror(errno));
    _exit(EXIT_NO_PROGRAM);
}

/* Waits until the child ends or `until`.  Returns the signal that came, SIGCHLD
 * if the child has ended, 0 if the time is over. */
static int await_signal(const sigset_t *set, double until)
{
    for (;;) {
        double left = until - now();
        struct timespec time = {.tv_sec = (time_t)left,
                                .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        int signal_number;

        if (left <= 0)
            return 0;
        signal_number = sigtimedwait(set, NULL, &time);
        if (signal_number > 0)
            return signal_number;
        if (errno != EINTR && errno != EAGAIN)
            die("sigtimedwait: %s", strerror(errno));
    }
}

/* SIGCHLD comes when the child stops, too: only wait4 tells that it has ended. */
static bool is_over(pid_t child, int *status, struct rusage *usage)
{
    pid_t ended = wait4(child, status, WNOHANG, usage);

    if (ended < 0 && errno != EINTR)
        die("wait4: %s", strerror(errno));
    return ended == child;
}

/* Returns false if the child has not ended at `until`. */
static bool wait_until(pid_t child, double until, const sigset_t *set, int *status,
                       struct rusage *usage, int *told)
{
    while (!is_over(child, status, usage)) {
        int signal_number = await_signal(set, until);

        if (signal_number == 0)
            return false;
        if (signal_number != SIGCHLD) {
            *told = signal_number;
            return false;
        }
    }
    return true;
}

static void describe(struct outcome *outcome, int status)
{
    if (outcome->is_timeout)
        strcpy(outcome->status, "timeout");
    else if (WIFSIGNALED(status))
        snprintf(outcome->status, sizeof outcome->status, "signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(outcome->status, sizeof outcome->status, "exit %d", WEXITSTATUS(status));
    else
        strcpy(outcome->status, "ok");
}

static struct outcome run(const struct request *request)
{
    const double forever = 1e9;
    struct outcome outcome = {0};
    sigset_t set = awaited_signals(), old_mask;
    double start, limit = request->timeout > 0 ? request->timeout : forever;
    int status, told = 0;
    pid_t child;

    sigprocmask(SIG_BLOCK, &set, &old_mask);
    start = now();
    child = fork();
    if (child < 0)
        die("fork: %s", strerror(errno));
    if (child == 0)
        become_program(request, &old_mask);
    setpgid(child, child); /* whoever comes first, the child or this */
    if (!wait_until(child, start + limit, &set, &status, &outcome.usage, &told)) {
        int ignored = 0;

        outcome.is_timeout = told == 0;
        kill(-child, SIGTERM);
        if (!wait_until(child, now() + GRACE_SECONDS, &set, &status, &outcome.usage, &ignored)) {
            kill(-child, SIGKILL);
            wait_until(child, now() + forever, &set, &status, &outcome.usage, &ignored);
        }
    }
    outcome.wall = now() - start;
    kill(-child, SIGKILL); /* what it left behind; nothing, mostly */
    describe(&outcome, status);
    if (told) {
        signal(told, SIG_DFL);
        raise(told);
        sigprocmask(SIG_SETMASK, &old_mask, NULL);
    }
    return outcome;
}

static void write_result(const char *name, const struct outcome *outcome)
{
    const struct rusage *usage = &outcome->usage;
    FILE *file = fopen(name, "w");

    if (!file)
        die("%s: %s", name, strerror(errno));
    fprintf(file,
            "{\"status\": \"%s\", \"wall_seconds\": %.6f, \"user_seconds\": %.6f, "
            "\"system_seconds\": %.6f, \"peak_bytes\": %lld, \"voluntary_switches\": %ld, "
            "\"involuntary_switches\": %ld, \"minor_faults\": %ld, \"major_faults\": %ld}\n",
            outcome->status, outcome->wall, in_seconds(usage->ru_utime),
            in_seconds(usage->ru_stime), (long long)usage->ru_maxrss * 1024, usage->ru_nvcsw,
            usage->ru_nivcsw, usage->ru_minflt, usage->ru_majflt);
    if (fclose(file))
        die("%s: %s", name, strerror(errno));
}

int main(int argc, char **argv)
{
    struct request request = parse(argc, argv);
    struct outcome outcome = run(&request);

    if (request.result)
        write_result(request.result, &outcome);
    if (outcome.is_timeout)
        return EXIT_TIMEOUT;
    return strcmp(outcome.status, "ok") != 0;
}
