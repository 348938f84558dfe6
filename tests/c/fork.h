/* Forks whose children end, with a backtrace, when they hang. */
#ifndef FORK_H
#define FORK_H

#include <sys/types.h>

#include "check.h"

/* `fork`, in whose child a hang is a failure. */
pid_t forked(void);

/* Waits for a child, which has to end well. Whether SQLite was in the middle of a call for so long that the child may
 * not use it, which the child says by `end_cut_off`. */
bool reap(pid_t child);

/* In a child: ends it when it may not use SQLite. */
void end_cut_off(tc_cache *cache);

/* Everything that may be done with a handle but to close it. */
void use(tc_cache *cache, const char *who);

/* A hang of this process is a failure after so many seconds. */
void give_up_after(unsigned seconds);

#endif
