/* A program in C that opens a plugin in C++ for itself alone (RTLD_LOCAL) and calls its try_new, also in a thread.
 * usage: plugin plugin.so; prints "ok". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int (*try_new)(void);

static void *work(void *unused)
{
	(void)unused;
	return (void *)(intptr_t)try_new();
}

static void expect_no_fault(int line)
{
	if (line == 0)
		return;
	printf("line %d of the plugin found a fault\n", line);
	exit(1);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	void *answer, *plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	if (!plugin || !(try_new = (int (*)(void))dlsym(plugin, "try_new"))) {
		puts(dlerror());
		return 1;
	}
	if (dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv")) {
		puts("libstdc++ is there for all: nothing is tested");
		return 1;
	}
	expect_no_fault(try_new());
	pthread_create(&thread, NULL, work, NULL);
	pthread_join(thread, &answer);
	expect_no_fault((int)(intptr_t)answer);
	puts("ok");
	return 0;
}
