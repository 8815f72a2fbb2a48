/* privileges.c - what a program with one thread may do, and one with more may not
 * or does differently
 *
 * usage: privileges unshare|keep|drop; prints what each call answered.
 *
 * unshare: a user namespace of its own, which the kernel refuses to a process with
 * several threads. keep: root keeps a capability beyond setuid, by capset, which is
 * the calling thread's alone, then changes its group, which glibc does in all threads
 * and ends the process if they don't all succeed or all fail. drop: root gives its
 * capabilities up in the same way, then fails to change its groups. Before, the
 * program mallocs and frees enough for whatever a malloc does in the background to
 * have begun. The answers must be those that the program gets without the library.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "blocks.h"

enum { NOBODY = 65534, LARGE = 24 << 20, MIDDLE = 300, SMALL = 3000 };

static void answer(const char *call, int result)
{
    int error = errno;

    printf("%s: %s\n", call, result == 0 ? "done" : strerror(error));
    fflush(stdout); /* the next call may end the process */
}

static int keep_only(uint64_t capabilities)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    for (int i = 0; i < 2; i++) {
        uint32_t half = (uint32_t)(capabilities >> 32 * i);
        data[i] = (struct __user_cap_data_struct){ half, half, 0 };
    }
    return (int)syscall(SYS_capset, &header, data);
}

static void use_memory(void)
{
    static struct piece middle[MIDDLE], small[SMALL];
    struct piece large;

    piece_new(&large, LARGE, 1);
    memset(large.block, 1, LARGE);
    for (unsigned i = 0; i < MIDDLE; i++)
        piece_new(&middle[i], 100000, i);
    for (unsigned i = 0; i < SMALL; i++)
        piece_new(&small[i], 100 + i, i);
    for (unsigned i = 0; i < MIDDLE; i++)
        piece_free(&middle[i]);
    for (unsigned i = 0; i < SMALL; i++)
        piece_free(&small[i]);
    piece_free(&large);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "unshare";
    gid_t group = 5;

    for (int i = 0; i < 3; i++) {
        use_memory();
        pause_us(50000);
    }
    if (strcmp(part, "unshare") == 0) {
        answer("unshare(CLONE_NEWUSER)", unshare(CLONE_NEWUSER));
    } else if (strcmp(part, "keep") == 0) {
        answer("PR_SET_KEEPCAPS", prctl(PR_SET_KEEPCAPS, 1));
        answer("setuid", setuid(NOBODY));
        answer("capset",
               keep_only(UINT64_C(1) << CAP_SETGID | UINT64_C(1) << CAP_NET_BIND_SERVICE));
        answer("setgid", setgid(NOBODY));
    } else {
        answer("capset", keep_only(UINT64_C(1) << CAP_NET_BIND_SERVICE));
        answer("setgroups", setgroups(1, &group));
    }
    use_memory();
    return 0;
}
