/* fork_in_handler.c - in a program of one thread, a signal handler forks
 *
 * usage: fork_in_handler malloc|fflush [forks]; prints "ok".
 *
 * What it interrupts is mostly malloc and free, or fflush(NULL), which holds the C
 * library's lock of all streams. Every fork must return, in the parent and in the
 * child, which ends at once, or mallocs and frees first if its handler came while
 * the program was in neither.
 */
#define _GNU_SOURCE
#include <sys/time.h>

#include "blocks.h"

enum { FORKS = 1500, HELD = 1000, BYTES_MOST = 30000, STREAMS = 20, EVERY_US = 1000 };

static volatile sig_atomic_t is_busy;
static volatile long forks;

static void set_timer(long microseconds)
{
    struct itimerval once = { { 0, 0 }, { 0, microseconds } };

    setitimer(ITIMER_REAL, &once, NULL);
}

static void on_alarm(int number)
{
    int saved = errno, status = 0;

    (void)number;
    pid_t child = fork();
    if (child == 0) {
        if (!is_busy)
            churn((uint64_t)forks);
        _exit(7);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
        die("fork %ld: wait status %#x", forks, (unsigned)status);
    forks++;
    set_timer(EVERY_US); /* once more: so however long a fork takes, the program goes on */
    errno = saved;
}

static void malloc_until(long enough)
{
    static struct piece held[HELD];
    uint64_t random = 1;

    while (forks < enough) {
        struct piece *piece = &held[below(HELD, &random)];
        is_busy = 1;
        piece_free(piece);
        piece_new(piece, 1 + below(BYTES_MOST, &random), below(256, &random));
        is_busy = 0;
    }
}

static void flush_until(long enough)
{
    FILE *streams[STREAMS];

    for (int i = 0; i < STREAMS; i++)
        if ((streams[i] = fopen("/dev/null", "w")) == NULL)
            die("/dev/null: %s", strerror(errno));
    is_busy = 1;
    while (forks < enough) {
        for (int i = 0; i < STREAMS; i++)
            fputc('x', streams[i]);
        fflush(NULL);
    }
    is_busy = 0;
    for (int i = 0; i < STREAMS; i++)
        fclose(streams[i]);
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    long enough = argc > 2 ? atol(argv[2]) : scaled(FORKS);
    struct piece large[8];

    for (int i = 0; i < 8; i++)
        piece_new(&large[i], 4 << 20, (unsigned)i);
    sigaction(SIGALRM, &action, NULL);
    set_timer(EVERY_US);
    if (argc > 1 && strcmp(argv[1], "fflush") == 0)
        flush_until(enough);
    else
        malloc_until(enough);
    set_timer(0);
    for (int i = 0; i < 8; i++)
        piece_free(&large[i]);
    puts("ok");
    return 0;
}
