// What the launcher tells its guard, over a SOCK_SEQPACKET pair that the guard
// has as descriptor 3. The guard says nothing. SIGKILL disarms it.
//
// GUARD_WATCH is queued before the guard starts; descriptors, in this order:
//   launcher pidfd
//   parent pidfd             if has_parent
//   executable, record       if has_record: what to execute after a loss
//   report                   if has_report: --report-fd, kept for that program
//   parent directory         of each of `groups` cgroups
//
// GUARD_ARM is sent once the cgroups exist, and before the job can run:
//   cgroup.kill, cgroup.events
//   directory                of each cgroup, whose flock(2) marks the job as live

#ifndef GUARD_PROTOCOL_H
#define GUARD_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GUARD_CONTROL = 3,
    GUARD_MAX_GROUPS = 5,
    GUARD_MAX_DESCRIPTORS = 16,
    GUARD_NAME_SIZE = 64,
};

enum guard_message_kind {
    GUARD_WATCH = 1,
    GUARD_ARM = 2,
};

struct guard_message {
    uint8_t kind;
    uint8_t groups;
    bool has_parent;
    bool has_record;
    bool has_report;
    /// One letter for each cgroup: `u`nified, or a v1 controller.
    char tags[GUARD_MAX_GROUPS];
    /// The cgroups' common name, NUL-terminated.
    char name[GUARD_NAME_SIZE];
};

/// Why the guard acts, as it tells the program that writes the report.
enum guard_loss {
    GUARD_LAUNCHER_LOST = 1,
    GUARD_PARENT_LOST = 2,
};

#endif
