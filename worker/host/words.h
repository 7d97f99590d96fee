/* worker/host/words.h: how a process ended, for people. Both sides. */
#ifndef PS_HOST_WORDS_H
#define PS_HOST_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Writes "killed by SIGSEGV", "exit status 3", "stopped by the system call filter (SIGSYS)" ... for a wait status into
 * buf and returns it. Exit statuses from 129 on are fatal signals, as shells have it: process 1 of a pid namespace can
 * die of its own abort() in no other way. */
const char *ps_exit_words(char *buf, size_t max, int status);
/* True when status says SIGKILL: from outside, since no process here sends it to itself. */
bool ps_exit_was_killed(int status);

#endif
