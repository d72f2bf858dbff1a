// System calls that Swift cannot make itself: variadic ones, those without a
// glibc wrapper, and the stretch from clone3 to exec, where only
// async-signal-safe code on prepared pointers may run.
//
// Every function returns a value >= 0, or -errno.

#ifndef CLINUX_H
#define CLINUX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "guard_protocol.h"

// MARK: Files

/// openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS: `path` cannot leave `directory`.
int clinux_open_beneath(int directory, const char *_Nonnull path, int flags);
/// The same for a file or a directory of a job's. Where its owner lacks the rights, which a job of the same
/// user can take away, they are given back: EACCES says that they are not this process's to give.
int clinux_open_of_job(int directory, const char *_Nonnull path, int flags);
int clinux_open(const char *_Nonnull path, int flags, unsigned mode);
int clinux_open_at(int directory, const char *_Nonnull path, int flags, unsigned mode);
/// A handle (O_PATH) of whatever has the name, be it a link.
int clinux_open_handle(int directory, const char *_Nonnull name, int flags);
ssize_t clinux_read(int descriptor, void *_Nonnull buffer, size_t size);
ssize_t clinux_write(int descriptor, const void *_Nonnull buffer, size_t size);
/// The f_type of statfs(2).
int64_t clinux_filesystem_type(int descriptor);
/// What /proc/self/mountinfo calls the mount that an open file is on. Linux 5.8.
int64_t clinux_mount_id(int descriptor);
int clinux_set_close_on_exec(int descriptor);
int clinux_duplicate(int descriptor);
int clinux_memfd(const char *_Nonnull name);
int clinux_pipe(int ends[_Nonnull 2]);
int clinux_set_nonblocking(int descriptor);
/// A Unix stream socket, not blocking.
int clinux_connect(const char *_Nonnull path);
int clinux_socketpair(int ends[_Nonnull 2]);
/// Sends one datagram with up to GUARD_MAX_DESCRIPTORS descriptors; never raises SIGPIPE.
int clinux_send(int socket, const void *_Nonnull data, size_t size,
                const int *_Nullable descriptors, unsigned count);
/// Receives one datagram without blocking. 0 means the peer is gone.
ssize_t clinux_receive(int socket, void *_Nonnull data, size_t size,
                       int *_Nonnull descriptors, unsigned *_Nonnull count);
/// Waits for one descriptor; fails when the peer is gone.
int clinux_receive_descriptor(int socket, int *_Nonnull descriptor);

// MARK: Terminals

/// Makes a pseudo-terminal: its master, on which nothing blocks, and its peer. Linux 4.13.
int clinux_pseudo_terminal(int *_Nonnull master, int *_Nonnull peer);
/// Sends SIGINT, SIGQUIT or SIGTSTP as the keys for them do, whatever these are.
int clinux_terminal_signal(int master, int signal);

/// ppoll(2) without a mask; `timeout` in nanoseconds, -1 for none.
int clinux_poll(struct pollfd *_Nullable polls, unsigned count, int64_t timeout);

/// What epoll_wait(2) tells; packed there, which Swift cannot import.
struct clinux_ready {
    uint64_t token;
    uint32_t events;
};
int clinux_epoll(void);
/// `events` 0 ends the watch: a duplicate elsewhere would keep it alive beyond close(2).
int clinux_epoll_watch(int epoll, int descriptor, uint32_t events, uint64_t token);
/// Returns how many of `ready` were filled; 0 as well when a signal came. `timeout` in nanoseconds, -1 for none.
int clinux_epoll_wait(int epoll, struct clinux_ready *_Nonnull ready, unsigned count, int64_t timeout);
/// Raises the soft RLIMIT_NOFILE to the hard one.
void clinux_raise_descriptor_limit(void);
/// The hard RLIMIT_NOFILE.
uint64_t clinux_hard_descriptor_limit(void);

// MARK: Processes

/// `environ`, which Swift takes for mutable shared state.
char *_Nullable const *_Nonnull clinux_environment(void);
int clinux_pidfd_open(pid_t pid);
/// Tells this process's cgroups from others: a hash of /proc/self/cgroup.
uint64_t clinux_own_cgroup(void);
/// Waits until a manager has moved this process out of the cgroups with this hash. A scope whose
/// processes were dead before they came never gets empty, and stays. The manager acts within
/// milliseconds; where it does not, for two seconds, empty units stay, and nothing in them.
void clinux_await_scope(uint64_t before);
/// What ps(1) shows of this thread.
void clinux_set_name(const char *_Nonnull name);
int clinux_pidfd_send_signal(int pidfd, int signal);

struct clinux_wait_status {
    int code;    ///< CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, CLD_CONTINUED; 0 when nothing happened
    int status;  ///< exit code or signal number
};
/// Finds the status of a child that somebody else has reaped as well, where the kernel keeps it.
int clinux_wait(int pidfd, int options, struct clinux_wait_status *_Nonnull result);
/// execveat(2) with AT_EMPTY_PATH: needs neither /proc nor the path that `executable` once had. The program gets
/// `control` as GUARD_CONTROL, the standard streams, and no other descriptor of the caller's that is close-on-exec.
int clinux_execute(int executable, char *_Nullable const *_Nonnull argv, int control);
/// The same in a child of a single-threaded caller; returns its pid.
pid_t clinux_execute_child(int executable, char *_Nullable const *_Nonnull argv, int control);
/// Opens the directory above `directory`, for removing what is in it.
int clinux_open_parent(int directory);

/// Waits until the cgroup of this open `cgroup.events` is empty, or gone.
/// Returns 1 then, and 0 if a process is left after `timeout` nanoseconds.
int clinux_wait_until_empty(int events, int64_t timeout);

/// Removes the cgroup `name` in `parent` and all below it, leaf first.
/// A cgroup that is not there is no error; -EBUSY: processes are left. Rights that a job has taken from the
/// owner of its directories are given back.
int clinux_remove_cgroup(int parent, const char *_Nonnull name);
/// Removes what a manager leaves of a scope without processes, and all below it. It gets a tenth of a
/// second to remove it by itself.
void clinux_remove_scope(int directory);

// MARK: clone3 to exec

enum clinux_spawn_stage {
    CLINUX_STAGE_CLONE = 1,  ///< no child was made
    CLINUX_STAGE_JOIN,       ///< writing into one of `join_files`
    CLINUX_STAGE_OOM,        ///< resetting oom_score_adj
    CLINUX_STAGE_SESSION,
    CLINUX_STAGE_DESCRIPTORS,
    CLINUX_STAGE_TERMINAL,   ///< making descriptor 0 the controlling terminal
    CLINUX_STAGE_CREDENTIALS,
    CLINUX_STAGE_DIRECTORY,
    CLINUX_STAGE_EXEC,
};

struct clinux_spawn {
    /// Paths to try in turn, NULL-terminated.
    const char *_Nullable const *_Nonnull candidates;
    char *_Nullable const *_Nonnull argv;
    char *_Nullable const *_Nonnull envp;
    /// argv with two free places before its second element, for files without `#!`.
    char *_Nullable *_Nonnull shell_argv;
    /// Where in `envp` the child writes its pid as a decimal number, with room for 11 digits.
    char *_Nullable own_pid;
    const char *_Nullable working_directory;
    /// Directory of the cgroup to be born in, or -1.
    int cgroup;
    /// Open `cgroup.procs` or `tasks` files that the child writes "0" into.
    const int *_Nullable join_files;
    unsigned join_count;
    /// Descriptors to place at 0, 1, 2…; NULL: none.
    const int *_Nullable descriptors;
    unsigned descriptor_count;
    /// Descriptors from this one on are closed; 0: none.
    unsigned close_from;
    bool new_session;
    /// Whether descriptor 0 becomes the terminal of the new session.
    bool takes_terminal;
    bool reset_oom_score;
    bool change_credentials;
    uid_t uid;
    gid_t gid;
    const gid_t *_Nullable groups;
    unsigned group_count;
    /// The mask that the command starts with.
    sigset_t mask;
    /// What the parent ignores stays ignored, as under nohup.
    bool keep_ignored;
};

struct clinux_spawned {
    pid_t pid;
    int pidfd;
    int error;                     ///< errno of the failure, 0 for none
    enum clinux_spawn_stage stage; ///< where it failed
    unsigned join_index;           ///< which of `join_files`
    bool joined_late;              ///< clone3 could not place the child: it joined before exec
};

/// Starts a program and returns once it runs or has failed; a failed child is reaped.
/// Returns 0 or -errno, with the details in `result`.
int clinux_spawn_program(const struct clinux_spawn *_Nonnull plan,
                         struct clinux_spawned *_Nonnull result);

/// A child that waits to start a program for its launcher.
struct clinux_held {
    pid_t pid;
    int pidfd;
    int gate;
    struct clinux_shared *_Nullable shared;
};

/// Makes a child that waits until it is told a cgroup, starts `plan` in it (whose `cgroup` does not count)
/// as a child of this process, and then is `successor`, whose name it has from the beginning. It ends
/// when its launcher does before. Meanwhile it sees to it that a manager can move it without delay.
int clinux_hold_program(const struct clinux_spawn *_Nonnull plan, const struct clinux_spawn *_Nonnull successor,
                        struct clinux_held *_Nonnull held);
/// Tells the child that a manager is being asked to move it out of the cgroups with this hash: should its
/// launcher be lost, it ends no sooner than that (see `clinux_await_scope`).
void clinux_await_scope_held(const struct clinux_held *_Nonnull held, uint64_t cgroup_before);
/// Has the child start its plan in the cgroup with this directory, and returns once the program runs or has
/// failed, as `clinux_spawn_program` does. ECANCELED: the child was killed before.
int clinux_start_held(const struct clinux_held *_Nonnull held, int cgroup, struct clinux_spawned *_Nonnull result);
/// Frees what belongs to the wait. A child that still waits ends.
void clinux_close_held(const struct clinux_held *_Nonnull held);

#endif
