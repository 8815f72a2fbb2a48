/* Threads that pass blocks to each other in a statically linked program, with forks meanwhile.
 * Every block carries a pattern made from its size and address, checked by the thread that frees it.
 * usage: static_threads; prints "ok". */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 6, STEPS = 60000, CELLS = 2048, FORKS = 20 };

struct block { uint32_t bytes; uint32_t check; unsigned char fill[]; };
static _Atomic(struct block *) cell[CELLS];
static atomic_ullong produced, consumed;

static uint32_t check_of(const struct block *b) { return b->bytes * 2654435761u ^ (uint32_t)(uintptr_t)b; }

static void die(const char *why)
{
	fprintf(stderr, "%s\n", why);
	abort();
}

static struct block *make(uint32_t bytes, int how)
{
	struct block *b = how == 0 ? calloc(1, bytes) : how == 1 ? aligned_alloc(64, (bytes + 63) & ~63u) : malloc(bytes);
	if (!b)
		die("no memory");
	if (how == 0)
		for (uint32_t i = 0; i < bytes; i++)
			if (((unsigned char *)b)[i])
				die("calloc gave a block that is not zero");
	memset(b, (int)(bytes & 255), bytes);
	b->bytes = bytes;
	b->check = check_of(b);
	return b;
}

static void end(struct block *b)
{
	size_t n = b->bytes - sizeof *b;
	if (b->check != check_of(b) || (n && (b->fill[0] != (b->bytes & 255) || b->fill[n - 1] != (b->bytes & 255))))
		die("a block was changed by someone else");
	atomic_fetch_add(&consumed, b->bytes);
	free(b);
}

static void *work(void *argument)
{
	unsigned random = (unsigned)(uintptr_t)argument * 7919 + 1;
	for (int step = 0; step < STEPS; step++) {
		random = random * 1103515245 + 12345;
		unsigned r = random >> 8;
		uint32_t bytes = (uint32_t)sizeof(struct block) + (r % 1000 == 0 ? 3000000 : r % 100 == 0 ? r % 100000 : r % 600);
		struct block *mine = make(bytes, (int)(r % 7));
		atomic_fetch_add(&produced, bytes);
		struct block *other = atomic_exchange(&cell[r % CELLS], mine);
		if (other)
			end(other);
	}
	return NULL;
}

int main(void)
{
	pthread_t thread[THREADS];
	for (int round = 0; round < 2; round++) {
		for (intptr_t i = 0; i < THREADS; i++)
			if (pthread_create(&thread[i], NULL, work, (void *)(i + round * THREADS)))
				die("pthread_create");
		for (int i = 0; i < FORKS; i++) {
			pid_t child = fork();
			if (child == 0) {
				for (int j = 0; j < 3000; j++)
					free(make((uint32_t)(sizeof(struct block) + (unsigned)j % 2000), j % 3));
				_exit(7);
			}
			int status;
			if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
				die("a forked child failed");
		}
		for (int i = 0; i < THREADS; i++)
			pthread_join(thread[i], NULL);
	}
	for (int i = 0; i < CELLS; i++) {
		struct block *b = atomic_exchange(&cell[i], NULL);
		if (b)
			end(b);
	}
	if (produced != consumed)
		die("not every byte made was freed");
	puts("ok");
}
