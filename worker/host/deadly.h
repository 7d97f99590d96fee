/* worker/host/deadly.h: signals that end a process, also as process 1 of a pid namespace. Engine host only. */
#ifndef PS_HOST_DEADLY_H
#define PS_HOST_DEADLY_H

/* Process 1 of a pid namespace is immune against signals that it sends to itself, abort()'s above all: this gives those
 * of a fault a handler that ends the process with exit status 128 + n (see ps_exit_words). Faults of the processor need
 * it not, but look the same this way. SIGPIPE is ignored. */
void ps_deadly_signals(void);

#endif
