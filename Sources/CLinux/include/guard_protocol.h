// What a launcher tells the guard of its jobs, over a SOCK_SEQPACKET pair that the
// guard has as descriptor 3. SIGKILL disarms it.
//
// GUARD_READY is all that the guard says, once: that it watches the launcher, and has read what was queued
// before it started. No command is started before. A guard that cannot watch ends itself instead, and a
// program that is none never says it.
//
// GUARD_WATCH comes first, once, queued before the guard starts:
//   launcher pidfd
//
// GUARD_JOB announces a job before its cgroups exist. Numbers only ever rise.
//   parent pidfd             if has_parent
//   executable, record       if has_record: what to execute after a loss
//   report                   if has_report: --report-fd, kept for that program
//   target                   if has_target: what --report was found to mean, kept for it as well
//   parent directory         of each of `groups` cgroups
//
// GUARD_ARM is sent once the cgroups exist, and before the job can run:
//   cgroup.kill
//   directory                of each cgroup, whose flock(2) marks the job as live
//
// GUARD_DONE takes a job off: nothing of it is left.
//
// GUARD_SCOPE says that a manager is being asked to move the guard out of the cgroup with the hash `job`
// into a scope. A scope whose processes were dead before they came never gets empty, and stays: the guard
// waits for it.
//
// GUARD_HOLDER says what keeps the scope that the jobs are in. systemd removes the directory of a scope
// that is empty, and gives up if anybody else removes one inside meanwhile, or if a process is still on
// its way out: the guard lets the holder go when all jobs are removed, and ends after it. The last
// GUARD_HOLDER counts.
//   holder pidfd
//   holder socket            the launcher's end
//   scope directory          if there is one more: removed in the end, if systemd does not
//
// GUARD_HOLD, in place of all these, makes the program a holder: it says GUARD_READY as well, does nothing,
// and ends when nobody has the other end of its socket any more. GUARD_SCOPE may follow, and another
// GUARD_HOLD:
//   cgroup.kill              what to kill then
//
// The guard's descriptors are the launcher's to count: one that does not fit is lost in the socket,
// and the guard ends itself rather than hold less than it was given.

#ifndef GUARD_PROTOCOL_H
#define GUARD_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GUARD_CONTROL = 3,
    GUARD_MAX_GROUPS = 6,
    GUARD_MAX_DESCRIPTORS = 16,
    GUARD_NAME_SIZE = 64,
};

enum guard_message_kind {
    GUARD_WATCH = 1,
    GUARD_JOB = 2,
    GUARD_ARM = 3,
    GUARD_DONE = 4,
    GUARD_SCOPE = 5,
    GUARD_HOLD = 6,
    GUARD_HOLDER = 7,
    GUARD_READY = 8,
};

struct guard_message {
    /// The job's number, or what a message says that it is.
    uint64_t job;
    uint8_t kind;
    /// How many descriptors come with this message.
    uint8_t descriptors;
    uint8_t groups;
    bool has_parent;
    bool has_record;
    bool has_report;
    bool has_target;
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
