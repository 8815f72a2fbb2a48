/* glibc's names with __libc_ are the same malloc: blocks of either name are resized, asked about and freed by the
 * other.
 * usage: libc_names; prints "ok". */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *block);

#define CHECK(true_fact) \
	do { \
		if (!(true_fact)) { \
			printf("line %d: not true: %s\n", __LINE__, #true_fact); \
			exit(1); \
		} \
	} while (0)

static void check_aligned(void *block, size_t alignment, size_t bytes)
{
	CHECK(block && (uintptr_t)block % alignment == 0 && malloc_usable_size(block) >= bytes);
	memset(block, 3, bytes);
	free(block);
}

static void check_size(size_t bytes, size_t page)
{
	char *theirs = __libc_malloc(bytes), *ours = malloc(bytes), *zero = __libc_calloc(2, bytes);

	CHECK(theirs && ours && zero && malloc_usable_size(theirs) >= bytes);
	CHECK(zero[0] == 0 && zero[2 * bytes - 1] == 0);
	memset(theirs, 1, bytes);
	memset(ours, 2, bytes);
	theirs = realloc(theirs, 3 * bytes);
	ours = __libc_realloc(ours, 3 * bytes);
	CHECK(theirs && theirs[0] == 1 && theirs[bytes - 1] == 1);
	CHECK(ours && ours[0] == 2 && ours[bytes - 1] == 2);
	__libc_free(ours);
	free(theirs);
	free(zero);
	check_aligned(__libc_memalign(256, bytes), 256, bytes);
	check_aligned(__libc_valloc(bytes), page, bytes);
	check_aligned(__libc_pvalloc(bytes), page, (bytes + page - 1) / page * page);
}

int main(void)
{
	for (size_t bytes = 1; bytes < 20000000; bytes = bytes * 3 + 1)
		check_size(bytes, (size_t)sysconf(_SC_PAGESIZE));
	__libc_free(NULL);
	puts("ok");
}
