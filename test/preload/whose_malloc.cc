// Asserts that every malloc-like symbol a program can reach comes from the file named as the argument.
// One that did not (a forgotten pvalloc, say) would hand out blocks that the library's free does not know.
// usage: whose_malloc LIBRARY; prints "ok".
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

static const char *const names[] = {
	"malloc", "free", "calloc", "realloc", "reallocarray", "aligned_alloc", "memalign", "posix_memalign",
	"valloc", "pvalloc", "malloc_usable_size",
	"__libc_malloc", "__libc_free", "__libc_calloc", "__libc_realloc", "__libc_memalign", "__libc_valloc",
	"__libc_pvalloc", "cfree",
	"_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t",
	"_ZnwmSt11align_val_t", "_ZnamSt11align_val_t",
	"_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnamSt11align_val_tRKSt9nothrow_t",
	"_ZdlPv", "_ZdaPv", "_ZdlPvm", "_ZdaPvm", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t",
	"_ZdlPvSt11align_val_t", "_ZdaPvSt11align_val_t", "_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t",
	"_ZdlPvSt11align_val_tRKSt9nothrow_t", "_ZdaPvSt11align_val_tRKSt9nothrow_t",
};

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	char wanted[4096], found[4096];
	int strangers = 0;
	if (!realpath(argv[1], wanted))
		return 2;
	for (const char *name : names) {
		Dl_info info;
		void *symbol = dlsym(RTLD_DEFAULT, name);
		if (!symbol || !dladdr(symbol, &info) || !realpath(info.dli_fname, found) || strcmp(found, wanted)) {
			printf("%s comes from %s\n", name, symbol ? found : "nowhere");
			strangers++;
		}
	}
	// memory that libc itself allocates is freed with free: it must have come from the same place
	char *line = nullptr;
	size_t size = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (getline(&line, &size, maps) > 0)
		;
	fclose(maps);
	free(line);
	free(strdup("a string"));
	free(realpath(".", nullptr));
	if (asprintf(&line, "%0500d", 7) != 500)
		return 1;
	line = static_cast<char *>(realloc(line, 5000));
	free(line);
	if (!strangers)
		puts("ok");
	return strangers != 0;
}
