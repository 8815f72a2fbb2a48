/* Preloaded behind the library, so initialised before it: registers pthread_atfork handlers that allocate before
 * any handler of the library's. Prepare handlers run last registered first, so this one allocates when the
 * library has already prepared for the fork; glibc's own malloc allows that. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *kept[40];

static void allocate(void)
{
	for (size_t i = 0; i < 40; i++) {
		size_t bytes = (size_t)16 << i % 18;
		kept[i] = malloc(bytes);
		if (!kept[i])
			abort();
		memset(kept[i], 1, bytes);
	}
}

static void release(void)
{
	for (size_t i = 0; i < 40; i++)
		free(kept[i]);
	allocate();
	for (size_t i = 0; i < 40; i++)
		free(kept[i]);
}

__attribute__((constructor)) static void register_handlers(void) { pthread_atfork(allocate, release, release); }
