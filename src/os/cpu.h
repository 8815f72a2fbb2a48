/* os/cpu.h - which processors the program may use */
#ifndef TIDE_OS_CPU_H
#define TIDE_OS_CPU_H

/* CPUs in this process's affinity mask; at least 1. */
unsigned tide_os_cpu_count(void);

/* The CPU the calling thread runs on at this moment.  Keeps errno. */
unsigned tide_os_cpu_now(void);

/* For tests: now tells the CPU instead; NULL ends it. */
void tide_os_fake_cpu(unsigned (*now)(void));

#endif
