/* fork_stdio.c - threads that use stdio, with its locks held in malloc, while
 * another forks
 *
 * usage: fork_stdio alone|printing [forks]; prints "ok".
 *
 * One thread calls getline, which mallocs with the stream locked; one fflush(NULL),
 * which locks all streams, one after another, with the list of streams locked; one
 * forks, for which the C library locks that list. One prints to a stream whose output
 * goes through a function that mallocs. With "printing", fork handlers print to it,
 * too: some registered before any library had a chance to (.preinit_array), so that
 * their prepare handler is called after all others', some registered by main.
 * All must get on with their work until each has done enough.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "blocks.h"

enum { FORKS = 400, LINE_BYTES = 50000 };
enum job { READER, FLUSHER, FORKER, PRINTER, JOBS };

static const char *const names[JOBS] = { "getline", "fflush", "fork", "fprintf" };
static atomic_long done[JOBS];
static long enough[JOBS];
static atomic_bool is_over;
static bool handlers_print;
static FILE *lines, *output;

/* ---- Output through a function that mallocs ---------------------------------------- */

static ssize_t write_copy(void *cookie, const char *text, size_t bytes)
{
    struct piece copy;

    (void)cookie;
    (void)text;
    piece_new(&copy, bytes + 1000, (unsigned)bytes);
    piece_free(&copy);
    return (ssize_t)bytes;
}

static void print(const char *what)
{
    if (output != NULL && handlers_print && fprintf(output, "%s: a line of the log\n", what) < 0)
        die("fprintf");
}

static void prepare_late(void)
{
    print("prepare");
}

static void parent_late(void)
{
    print("parent");
}

static void child_late(void)
{
    print("child");
}

static void prepare_early(void)
{
    print("early prepare");
}

static void parent_early(void)
{
    print("early parent");
}

static void child_early(void)
{
    print("early child");
}

static void register_early(void)
{
    pthread_atfork(prepare_early, parent_early, child_early);
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = register_early;

/* ---- Threads ------------------------------------------------------------------- */

static void read_line(void)
{
    char *line = NULL;
    size_t bytes = 0;

    rewind(lines);
    if (getline(&line, &bytes, lines) != LINE_BYTES + 1)
        die("getline: not the whole line");
    free(line);
}

static void fork_once(void)
{
    pid_t child = fork();
    if (child == 0) {
        churn(3);
        _exit(6);
    }
    expect_end(child, 6, "fork");
}

static void *run_job(void *argument)
{
    enum job job = (enum job)(intptr_t)argument;

    while (!is_over) {
        switch (job) {
        case READER:
            read_line();
            break;
        case FLUSHER:
            fflush(NULL);
            break;
        case FORKER:
            fork_once();
            break;
        default:
            fprintf(output, "line %ld\n", (long)done[job]);
        }
        done[job]++;
        if (job == FLUSHER)
            pause_us(100);
    }
    return NULL;
}

static bool is_enough(void)
{
    for (int i = 0; i < JOBS; i++)
        if (done[i] < enough[i])
            return false;
    return true;
}

int main(int argc, char **argv)
{
    char text[LINE_BYTES + 2];
    pthread_t threads[JOBS];

    handlers_print = argc > 1 && strcmp(argv[1], "printing") == 0;
    for (int i = 0; i < JOBS; i++)
        enough[i] = argc > 2 ? atol(argv[2]) : scaled(FORKS);
    lines = tmpfile();
    output = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write_copy });
    if (lines == NULL || output == NULL)
        die("no stream: %s", strerror(errno));
    setvbuf(output, NULL, _IOLBF, 500);
    memset(text, 'x', LINE_BYTES);
    strcpy(text + LINE_BYTES, "\n");
    fputs(text, lines);
    fflush(lines);
    pthread_atfork(prepare_late, parent_late, child_late);

    for (intptr_t i = 0; i < JOBS; i++)
        if (pthread_create(&threads[i], NULL, run_job, (void *)i) != 0)
            die("no thread");
    for (long before[JOBS] = { 0 }, still[JOBS] = { 0 }; !is_enough(); pause_us(1000))
        for (int i = 0; i < JOBS; i++) {
            still[i] = done[i] == before[i] ? still[i] + 1 : 0;
            before[i] = done[i];
            if (still[i] == PATIENCE_S * 1000L)
                die("%s hangs, after %ld lines read, %ld flushes, %ld forks, %ld lines printed",
                    names[i], (long)done[READER], (long)done[FLUSHER], (long)done[FORKER],
                    (long)done[PRINTER]);
        }
    is_over = true;
    for (int i = 0; i < JOBS; i++)
        pthread_join(threads[i], NULL);
    puts("ok");
    return 0;
}
