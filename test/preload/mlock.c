/* mlock.c - for mlock.sh: a small program locks all its memory
 *
 *   mlock current|future|full
 * allocates some blocks, gives up CAP_IPC_LOCK, which would lift the limit, and
 * calls mlockall(MCL_CURRENT), or with MCL_FUTURE besides.  Prints the kilobytes
 * that are locked and mapped before and after, and after as many blocks more; with
 * full it goes on until there is no memory.  Ends with 77 when the capability can't
 * be given up, 2 when mlockall fails.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { COUNT = 80 };

/* The number behind key in /proc/self/status. */
static long kilobytes(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[200];
    long value = -1;

    while (file && value < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    if (file)
        fclose(file);
    return value;
}

static void print(const char *when)
{
    printf("%s VmLck %ld VmSize %ld\n", when, kilobytes("VmLck:"), kilobytes("VmSize:"));
}

/* About 50 KB in a few sizes, twice; half of it stays. */
static int allocate(void)
{
    static const size_t sizes[] = { 24, 40, 100, 500, 1000, 2000 };

    for (int n = 0; n < COUNT; n++) {
        size_t size = sizes[n % (sizeof sizes / sizeof *sizes)];
        char *block = malloc(size);

        if (!block)
            return 0;
        memset(block, 1, size);
        if (n % 2 == 0)
            free(block);
    }
    return 1;
}

static int drop_capability(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) != 0)
        return 0;
    data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
    data[CAP_TO_INDEX(CAP_IPC_LOCK)].permitted &= ~CAP_TO_MASK(CAP_IPC_LOCK);
    return syscall(SYS_capset, &header, data) == 0;
}

int main(int argc, char **argv)
{
    int is_future = argc == 2 && strcmp(argv[1], "current") != 0;
    int is_full = argc == 2 && strcmp(argv[1], "full") == 0;

    if (!drop_capability())
        return 77;
    if (!allocate())
        return 3;
    print("before");
    if (mlockall(is_future ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT) != 0) {
        printf("mlockall: %s\n", strerror(errno));
        return 2;
    }
    print("locked");
    if (!allocate())
        return 3;
    print("after");
    if (is_full) {
        while (malloc(4000))
            ;
        printf("full: %s\n", strerror(errno));
    }
    return 0;
}
