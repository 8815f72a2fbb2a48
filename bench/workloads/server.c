/* bench/workloads/server.c - a server that hands connections between threads
 *
 * After Larson and Krishnan.  A connection is a set of blocks of random sizes.
 * A thread takes any connection that is at rest, serves a request (replaces
 * some of its blocks, uses a buffer), sometimes closes and reopens it, and
 * puts it back, so that blocks are freed by whoever comes next.  Each thread
 * serves its share of requests and ends; another takes its place.  The work is
 * counted in requests.
 */
#include "table.h"

#define CONNECTION_BLOCKS 20
#define REQUEST_BLOCKS    5  /* replaced by a request */
#define REOPEN_EVERY      16 /* requests, on average */
#define LIVES_EACH        8  /* threads that follow one another */
#define LEAST_LIFE        100 /* requests */
#define SPARE             64 /* connections beside 8 for each thread */

struct connection {
    void *blocks[CONNECTION_BLOCKS];
};

struct place {
    struct connection *_Atomic connection; /* NULL: being served */
} __attribute__((aligned(CACHE_LINE)));

struct server {
    uint32_t count;
    uint64_t life; /* requests that a thread serves */
    struct place *places;
};

/* Three of four are small, the others up to 4 KiB. */
static size_t random_size(struct worker *worker)
{
    return random_below(worker, 4) ? random_between(worker, 16, 256)
                                   : random_between(worker, 256, 4096);
}

static void open_connection(struct worker *worker, struct connection *connection)
{
    for (unsigned i = 0; i < CONNECTION_BLOCKS; i++)
        connection->blocks[i] = take_timed(worker, random_size(worker));
}

static void close_connection(struct worker *worker, struct connection *connection)
{
    for (unsigned i = 0; i < CONNECTION_BLOCKS; i++)
        give_timed(worker, connection->blocks[i]);
}

static void serve(struct worker *worker, struct connection *connection)
{
    void *buffer = take_timed(worker, random_between(worker, 1024, 16384));

    for (unsigned i = 0; i < REQUEST_BLOCKS; i++) {
        void **block = &connection->blocks[random_below(worker, CONNECTION_BLOCKS)];

        give_timed(worker, *block);
        *block = take_timed(worker, random_size(worker));
    }
    give_timed(worker, buffer);
    if (random_below(worker, REOPEN_EVERY) == 0) {
        close_connection(worker, connection);
        open_connection(worker, connection);
    }
}

/* The place of a connection that is now ours; its connection in *taken. */
static struct place *take_connection(struct worker *worker, struct connection **taken)
{
    struct server *server = worker->run->shared;
    uint32_t at = random_below(worker, server->count);

    for (;; at = (at + 1) % server->count) {
        *taken = atomic_exchange_explicit(&server->places[at].connection, NULL,
                                          memory_order_acquire); /* with release below */
        if (*taken)
            return &server->places[at];
    }
}

/* A thread's whole life; the worker is lent to it. */
static void *serve_life(void *argument)
{
    struct worker *worker = argument;
    uint64_t life = ((struct server *)worker->run->shared)->life;

    for (uint64_t served = 0, n; served < life && (n = claim(worker)); served += n)
        while (n--) {
            struct connection *connection;
            struct place *place = take_connection(worker, &connection);

            serve(worker, connection);
            atomic_store_explicit(&place->connection, connection, memory_order_release);
        }
    return NULL;
}

static void serve_all(struct worker *worker)
{
    struct run *run = worker->run;
    pthread_t thread;

    while (atomic_load_explicit(&run->next, memory_order_relaxed) < run->work) {
        start_thread(&thread, serve_life, worker);
        join_thread(thread);
    }
}

/* Worker i opens and closes the connections i, i + threads ... */
static void open_all(struct worker *worker)
{
    struct server *server = worker->run->shared;

    for (uint32_t i = worker->index; i < server->count; i += worker->run->threads)
        open_connection(worker, server->places[i].connection);
}

static void close_all(struct worker *worker)
{
    struct server *server = worker->run->shared;

    for (uint32_t i = worker->index; i < server->count; i += worker->run->threads)
        close_connection(worker, server->places[i].connection);
}

void run_server(struct run *run)
{
    struct server *server = run->shared = area(sizeof *server);
    struct connection *connections;

    server->count = 8 * run->threads + SPARE;
    server->life = run->work / run->threads / LIVES_EACH + LEAST_LIFE;
    server->places = area(server->count * sizeof *server->places);
    connections = area(server->count * sizeof *connections);
    for (uint32_t i = 0; i < server->count; i++)
        server->places[i].connection = &connections[i];
    run->chunk = server->life / 16 + 1;
    run_stages(run, &(struct stages){ open_all, serve_all, close_all });
}
