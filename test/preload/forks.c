/* Forks of all kinds while other threads allocate: pthread_atfork handlers that allocate and free, children that
 * allocate, fork again and start threads, vfork children that allocate and free before exec, posix_spawn, system
 * and popen. usage: forks; prints "ok". With atfork_early.so preloaded behind the library, handlers registered
 * before any of the library's run too: their prepare handler then comes after all others'. */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, FORKS = 30, VFORKS = 60, SPAWNS = 10 };

static atomic_bool stop;
static atomic_int prepared, parents;
static int children; /* in a child: how often its handler ran */
extern char **environ;

static void die(const char *why)
{
	fprintf(stderr, "%s\n", why);
	_exit(1);
}

/* some blocks of every kind, all filled, checked and freed */
static void churn(unsigned seed)
{
	unsigned char *kept[64];
	unsigned bytes[64];
	for (int i = 0; i < 64; i++) {
		seed = seed * 1103515245 + 12345;
		unsigned r = seed >> 8;
		bytes[i] = r % 40 == 0 ? 1 + r % 3000000 : r % 8 == 0 ? 1 + r % 60000 : 1 + r % 700;
		kept[i] = r % 3 ? malloc(bytes[i]) : calloc(1, bytes[i]);
		if (!kept[i])
			die("no memory");
		for (unsigned j = 0; r % 3 == 0 && j < bytes[i]; j++)
			if (kept[i][j])
				die("calloc gave a block that is not zero");
		memset(kept[i], i, bytes[i]);
	}
	for (int i = 0; i < 64; i++) {
		if (kept[i][0] != i || kept[i][bytes[i] - 1] != i)
			die("a block was changed by someone else");
		free(kept[i]);
	}
}

static void *work(void *argument)
{
	for (unsigned seed = (unsigned)(uintptr_t)argument; !stop; seed++)
		churn(seed);
	return NULL;
}

static void *work_once(void *argument)
{
	churn((unsigned)(uintptr_t)argument);
	return malloc(100);
}

static void *from_prepare;
static void prepare(void) { churn(1); from_prepare = malloc(5000); prepared++; }
static void parent(void) { churn(2); free(from_prepare); parents++; }
static void child(void) { churn(3); free(from_prepare); children++; }

static void expect(pid_t process, int status_expected, const char *what)
{
	int status;
	if (process < 0 || waitpid(process, &status, 0) != process || !WIFEXITED(status) || WEXITSTATUS(status) != status_expected)
		die(what);
}

static void in_child(int number)
{
	pthread_t thread[3];
	if (children != 1)
		die("the child's handler did not run");
	for (unsigned i = 0; i < 12; i++)
		churn(i);
	for (intptr_t i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, work_once, (void *)(i + number));
	for (int i = 0; i < 3; i++) {
		void *answer;
		pthread_join(thread[i], &answer);
		free(answer);
	}
	if (number % 10 == 0) {
		children = 0;
		pid_t grandchild = fork();
		if (grandchild == 0) {
			churn(5);
			_exit(9);
		}
		expect(grandchild, 9, "a grandchild failed");
	}
	if (number % 2)
		exit(8); /* with exit handlers and the library's destructor */
	_exit(8);
}

int main(void)
{
	pthread_t thread[THREADS];
	pthread_atfork(prepare, parent, child);
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, work, (void *)(i * 1000));
	for (int i = 0; i < FORKS; i++) {
		void *held = malloc(3000);
		memset(held, 7, 3000);
		pid_t process = fork();
		if (process == 0) {
			if (*(char *)held != 7)
				die("the child's copy is not the parent's");
			free(held);
			in_child(i);
		}
		free(held);
		expect(process, 8, "a forked child failed");
	}
	if (prepared != FORKS || parents != FORKS)
		die("a handler did not run");
	for (int i = 0; i < VFORKS; i++) {
		pid_t process = vfork();
		if (process == 0) {
			/* shares the parent's memory, so the parent's allocator */
			char *volatile text = malloc(200), *volatile large = malloc(100000);
			memset(text, 0, 200);
			memset(large, 1, 100000);
			strcpy(text, "exit 6");
			free(large);
			if (i % 2) {
				execl("/bin/sh", "sh", "-c", text, (char *)NULL);
				_exit(1);
			}
			free(text);
			_exit(6);
		}
		expect(process, 6, "a vfork child failed");
		churn((unsigned)i);
	}
	for (int i = 0; i < SPAWNS; i++) {
		char *command[] = {"sh", "-c", "exit 5", NULL};
		pid_t process;
		if (posix_spawn(&process, "/bin/sh", NULL, NULL, command, environ))
			die("posix_spawn");
		expect(process, 5, "a spawned child failed");
		if (WEXITSTATUS(system("exit 4")) != 4)
			die("system");
		FILE *pipe = popen("echo answer", "r");
		char line[20] = "";
		if (!pipe || !fgets(line, sizeof line, pipe) || strcmp(line, "answer\n") || pclose(pipe))
			die("popen");
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	puts("ok");
	return 0;
}
