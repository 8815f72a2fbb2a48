/* Opens the library at run time and allocates through dlsym("tide_malloc") in threads that were started before
 * the dlopen, in others started after it, and in the main thread; closes it while threads that used it still
 * live, and ends them afterwards. Opened RTLD_LOCAL, it must leave the program's own malloc alone.
 * usage: dlopen_threads LIBRARY; prints "ok". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EARLY = 4, LATE = 4, STEPS = 20000, KEPT = 500 };

static void *(*tide_malloc)(size_t);
static void *(*tide_calloc)(size_t, size_t);
static void *(*tide_realloc)(void *, size_t);
static void (*tide_free)(void *);
static void *library;
static sem_t opened, used, closed;

static void die(const char *why)
{
	const char *error = dlerror();
	fprintf(stderr, "%s%s%s\n", why, error ? ": " : "", error ? error : "");
	exit(1);
}

static void *look_up(const char *name)
{
	void *symbol = dlsym(library, name);
	if (!symbol)
		die(name);
	return symbol;
}

static void use(unsigned seed)
{
	unsigned char *kept[KEPT] = {0};
	for (int step = 0; step < STEPS; step++) {
		seed = seed * 1103515245 + 12345;
		unsigned i = seed >> 8, n = i % 3000 + (i % 500 == 0 ? 2000000 : 1);
		unsigned char **p = &kept[i % KEPT];
		if (*p && **p != (unsigned char)(i % KEPT))
			die("a block was changed by someone else");
		switch (i % 3) {
		case 0: tide_free(*p); *p = tide_malloc(n); break;
		case 1: tide_free(*p); *p = tide_calloc(1, n); break;
		default: *p = tide_realloc(*p, n); break;
		}
		if (!*p)
			die("no memory");
		memset(*p, (int)(i % KEPT), n);
		free(malloc(n)); /* the program's own malloc, at the same time */
	}
	for (int i = 0; i < KEPT; i++)
		tide_free(kept[i]);
}

static void *early(void *argument)
{
	free(malloc(100));
	sem_wait(&opened);
	use((unsigned)(uintptr_t)argument);
	sem_post(&used);
	sem_wait(&closed); /* ends after the dlclose: whatever runs at thread exit must still be there */
	return NULL;
}

static void *late(void *argument)
{
	use((unsigned)(uintptr_t)argument);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[EARLY + LATE];
	if (argc != 2)
		return 2;
	for (intptr_t i = 0; i < EARLY; i++)
		pthread_create(&thread[i], NULL, early, (void *)(i + 1));
	for (int round = 0; round < 2; round++) {
		library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		if (!library)
			die("dlopen");
		tide_malloc = (void *(*)(size_t))look_up("tide_malloc");
		tide_calloc = (void *(*)(size_t, size_t))look_up("tide_calloc");
		tide_realloc = (void *(*)(void *, size_t))look_up("tide_realloc");
		tide_free = (void (*)(void *))look_up("tide_free");
		Dl_info info;
		if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) || strstr(info.dli_fname, "tidepool"))
			die("RTLD_LOCAL took over the program's malloc");
		if (dladdr((void *)tide_malloc, &info) && !strstr(info.dli_fname, "tide"))
			die("tide_malloc comes from elsewhere");
		for (int i = 0; round == 0 && i < EARLY; i++)
			sem_post(&opened);
		for (intptr_t i = 0; i < LATE; i++)
			pthread_create(&thread[EARLY + i], NULL, late, (void *)(i + 100));
		use(7);
		for (int i = 0; i < LATE; i++)
			pthread_join(thread[EARLY + i], NULL);
		for (int i = 0; round == 0 && i < EARLY; i++)
			sem_wait(&used);
		if (dlclose(library))
			die("dlclose");
	}
	for (int i = 0; i < EARLY; i++)
		sem_post(&closed);
	for (int i = 0; i < EARLY; i++)
		pthread_join(thread[i], NULL);
	puts("ok");
}
