// What the start of a program (spawn.c) and that of a held program (held.c) have in common.

#ifndef SPAWN_H
#define SPAWN_H

#include "clinux.h"

/// Memory that a child shares with its launcher, even if it has a copy of all other memory.
struct clinux_shared {
    struct clinux_spawned result;
    /// The hash of the cgroups that a manager is being asked to move the child out of; 0: nobody has asked.
    _Atomic uint64_t cgroup_before;
};

/// Returns NULL and sets `errno` if there is no memory.
struct clinux_shared *clinux_share(void);

/// Starts a child of this process, and puts its pidfd into `number`. With `for_parent`, starts a child of this
/// process's parent, and puts its pid into `number` before it runs.
long clinux_start(const struct clinux_spawn *plan, struct clinux_spawned *result, int *number, bool for_parent);
/// What a child does until exec. `shares_descriptors`: its descriptor table is still the parent's.
_Noreturn void clinux_child(const struct clinux_spawn *plan, struct clinux_spawned *result, bool shares_descriptors);
/// Resets the signals up to `last` only: each costs a system call or two while the parent waits.
void clinux_reset_signals(bool keeps_ignored, int last);
/// Writes this process's pid as a decimal number, which needs 11 characters.
void clinux_write_pid(char *text);
/// Makes a result of what a child has left in `shared`. Reaps a child that has failed.
void clinux_conclude(const struct clinux_spawned *shared, struct clinux_spawned *result, long pid, int pidfd);

#endif
