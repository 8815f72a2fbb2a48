/* A program that uses the library in the ordinary way: the public header, -ltidepool. Compiles as C and C++.
 * usage: linked_program; prints "ok", and then the file tide_malloc comes from. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tidepool/malloc.h>

#define CHECK(true_fact) \
	do { \
		if (!(true_fact)) { \
			printf("line %d: not true: %s\n", __LINE__, #true_fact); \
			exit(1); \
		} \
	} while (0)

static void *work(void *handed_over)
{
	tide_free(handed_over); /* allocated by the main thread */
	for (size_t n = 1; n < 3000000; n = n * 5 / 4 + 1) {
		unsigned char *p = (unsigned char *)tide_malloc(n), *q = (unsigned char *)tide_calloc(n, 2);
		CHECK(p && q && tide_usable_size(p) >= n && tide_usable_size(q) >= 2 * n);
		memset(p, 3, n);
		for (size_t i = 0; i < 2 * n; i += 97)
			CHECK(q[i] == 0);
		p = (unsigned char *)tide_realloc(p, 3 * n);
		CHECK(p && p[0] == 3 && p[n - 1] == 3);
		void *aligned = tide_aligned_alloc(256, (n + 255) & ~(size_t)255);
		CHECK(aligned && (uintptr_t)aligned % 256 == 0);
		void *posix = NULL;
		CHECK(tide_posix_memalign(&posix, 4096, n) == 0 && (uintptr_t)posix % 4096 == 0);
		tide_free(p);
		tide_free(q);
		tide_free(aligned);
		tide_free(posix);
	}
	return tide_malloc(1000);
}

int main(void)
{
	pthread_t thread[4];
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&thread[i], NULL, work, tide_malloc(500)) == 0);
	for (int i = 0; i < 4; i++) {
		void *answer = NULL;
		CHECK(pthread_join(thread[i], &answer) == 0 && answer);
		tide_free(answer); /* allocated by a thread that has ended */
	}
	volatile size_t huge = SIZE_MAX / 2 + 1;
	errno = 0;
	CHECK(!tide_malloc(huge) && errno == ENOMEM);
	errno = 0;
	CHECK(!tide_calloc(huge, 4) && errno == ENOMEM);
	errno = 77;
	tide_free(NULL);
	tide_free(tide_malloc(0));
	CHECK(errno == 77);
	CHECK(tide_version() != NULL);
	Dl_info info;
	CHECK(dladdr(dlsym(RTLD_DEFAULT, "tide_malloc"), &info));
	printf("ok\n%s\n", info.dli_fname);
	return 0;
}
