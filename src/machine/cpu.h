/* machine/cpu.h - which processors the program may use */
#ifndef TIDE_MACHINE_CPU_H
#define TIDE_MACHINE_CPU_H

/* CPUs in this process's affinity mask; at least 1. */
unsigned tide_machine_cpu_count(void);

/* The CPU the calling thread runs on at this moment.  Keeps errno. */
unsigned tide_machine_cpu_now(void);

/* For tests: now tells the CPU instead; NULL ends it. */
void tide_machine_fake_cpu(unsigned (*now)(void));

#endif
