/* Forks while other threads call malloc and free with the mutex of fork_mutex_library.c held. A fork waits for
 * the mutex, so malloc must go on meanwhile: an allocator that has taken its locks by then waits for ever.
 * usage: fork_mutex; prints "ok". */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 2, FORKS = 200, KEPT = 8 };

extern pthread_mutex_t library_mutex;

static atomic_bool stop;
static char *volatile kept[KEPT]; /* under library_mutex */

static void die(const char *why)
{
	fprintf(stderr, "%s\n", why);
	_exit(1);
}

/* under library_mutex: replaces a block, of a size that needs one of the allocator's locks */
static void replace(unsigned number)
{
	size_t bytes = number % 3 == 0 ? 200 : number % 3 == 1 ? 100000 : 9000000;
	free(kept[number % KEPT]);
	kept[number % KEPT] = malloc(bytes);
	if (!kept[number % KEPT])
		die("no memory");
	kept[number % KEPT][bytes - 1] = 1;
}

static void *work(void *unused)
{
	(void)unused;
	for (unsigned number = 0; !stop; number++) {
		pthread_mutex_lock(&library_mutex);
		replace(number);
		pthread_mutex_unlock(&library_mutex);
	}
	return NULL;
}

static void in_child(void)
{
	pthread_mutex_lock(&library_mutex);
	for (unsigned number = 0; number < 3 * KEPT; number++)
		replace(number);
	pthread_mutex_unlock(&library_mutex);
	_exit(7);
}

int main(void)
{
	pthread_t thread[THREADS];
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, work, NULL))
			die("no thread");
	for (int i = 0; i < FORKS; i++) {
		int status;
		pid_t process = fork();
		if (process == 0)
			in_child();
		if (process < 0 || waitpid(process, &status, 0) != process || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
			die("a forked child failed");
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	puts("ok");
	return 0;
}
