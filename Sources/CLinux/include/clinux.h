// System calls that Swift cannot make itself: variadic ones, those without a glibc wrapper, and the stretch from clone3
// to exec, where only async-signal-safe code on prepared pointers may run.
//
// A function that can fail returns -errno, else a value >= 0.

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
#include <sys/ioctl.h>
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

/// O_PATH, which glibc defines for GNU programs only.
static const int CLINUX_O_PATH = __O_PATH;
/// O_TMPFILE, as well.
static const int CLINUX_O_TMPFILE = __O_TMPFILE;
/// openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS: `path` cannot leave `directory`.
int clinux_open_beneath(int directory, const char *_Nonnull path, int flags);
ssize_t clinux_read(int descriptor, void *_Nonnull buffer, size_t size);
ssize_t clinux_write(int descriptor, const void *_Nonnull buffer, size_t size);
/// The number that /proc/self/mountinfo has for the mount that an open file is on. Linux 5.8.
int64_t clinux_mount_id(int descriptor);
int clinux_memfd(const char *_Nonnull name);
int clinux_pipe(int ends[_Nonnull 2]);
/// Moves bytes from a pipe to a file without taking them out of the kernel (splice(2)): a process that is killed
/// meanwhile loses none of them. Never waits for the pipe. -EAGAIN: the pipe is empty.
ssize_t clinux_move(int pipe, int file, size_t size);
/// Whether `data` has `part` in it.
bool clinux_contains(const void *_Nonnull data, size_t size, const void *_Nonnull part, size_t part_size);
/// Lets a pipe hold so many bytes, as far as this process may.
void clinux_enlarge_pipe(int pipe, int size);
/// Writes out what the C library still holds for standard output. Fails if any of it, now or before, was not written.
int clinux_flush_output(void);

// MARK: Sockets

/// Connects a non-blocking Unix stream socket. -EAGAIN: the listener's queue is full.
int clinux_connect(const char *_Nonnull path);
/// Connects a non-blocking SOCK_SEQPACKET socket. -EAGAIN: the listener's queue is full.
int clinux_connect_packets(const char *_Nonnull path);
/// Makes a listening, non-blocking SOCK_SEQPACKET socket at a path that is free.
int clinux_listen_packets(const char *_Nonnull path);
/// The next connection, which is non-blocking. -EAGAIN: there is none.
int clinux_accept(int socket);
/// Makes two connected SOCK_SEQPACKET sockets.
int clinux_socketpair(int ends[_Nonnull 2]);
/// Sends one datagram with up to GUARD_MAX_DESCRIPTORS descriptors. Never waits, and never raises SIGPIPE.
int clinux_send(int socket, const void *_Nonnull data, size_t size,
                const int *_Nullable descriptors, unsigned count);
/// Receives one datagram, and never waits. `descriptors` has room for GUARD_MAX_DESCRIPTORS. 0: the peer is gone.
ssize_t clinux_receive(int socket, void *_Nonnull data, size_t size,
                       int *_Nonnull descriptors, unsigned *_Nonnull count);
/// Makes a datagram socket with an abstract name, for sd_notify(3).
int clinux_listen_notices(const char *_Nonnull name);
/// Receives one datagram, and never waits. `sender` is who sent it, as this pid namespace has it; 0: somebody outside.
ssize_t clinux_receive_notice(int socket, void *_Nonnull data, size_t size, pid_t *_Nonnull sender);
/// Whether the text is a numeric address of IPv4 or IPv6.
int clinux_is_address(const char *_Nonnull text);
/// Begins to connect with a numeric address, and never waits. Returns the socket, which can be written to once the
/// attempt is over.
int clinux_begin_connection(const char *_Nonnull address, uint16_t port);
/// Whether that attempt has succeeded: 1 or 0. A socket that is connected with itself counts as refused.
int clinux_is_connected(int descriptor);
/// Waits for one descriptor; fails when the peer is gone.
int clinux_receive_descriptor(int socket, int *_Nonnull descriptor);

// MARK: Terminals

/// Requests of ioctl(2) on the master of a pseudo-terminal (ioctl_tty(2)), whose macros Swift cannot import.
static const unsigned long CLINUX_TIOCSPTLCK = TIOCSPTLCK, CLINUX_TIOCGPTPEER = TIOCGPTPEER, CLINUX_TIOCSIG = TIOCSIG;

// MARK: Waiting

// These functions ask the kernel itself: a library such as libfaketime, loaded by LD_PRELOAD for the command, replaces
// the clocks and waits of the C library.

/// Nanoseconds on CLOCK_MONOTONIC.
int64_t clinux_monotonic_time(void);
/// Nanoseconds on CLOCK_BOOTTIME.
int64_t clinux_boot_time(void);
/// Makes a timer readable from this time on, which is nanoseconds on CLOCK_BOOTTIME; -1: never.
void clinux_set_timer(int timer, int64_t at);
/// ppoll(2) without a signal mask. `timeout` is in nanoseconds; -1: wait without end.
int clinux_poll(struct pollfd *_Nullable polls, unsigned count, int64_t timeout);
/// Watches a descriptor, or changes the events that it is watched for. `events` 0 ends the watch; close(2) would not
/// end it while another process has a duplicate of the descriptor.
int clinux_epoll_watch(int epoll, int descriptor, uint32_t events, uint64_t token);
/// Puts the tokens of descriptors that are ready, at most 64, into `ready`. Returns how many these are: 0 at the end of
/// `timeout`, and when a signal came. `timeout` is in nanoseconds; -1: wait without end.
int clinux_epoll_wait(int epoll, uint64_t *_Nonnull ready, unsigned count, int64_t timeout);

// MARK: Processes

/// How many arguments this program got, its name among them.
int clinux_argument_count(void);
const char *_Nonnull clinux_argument(int index);
/// `environ`. Swift refuses to read the variable itself, which it takes for mutable shared state.
char *_Nullable const *_Nonnull clinux_environment(void);
/// Sets the name that ps(1) shows for this thread.
void clinux_set_name(const char *_Nonnull name);
/// Raises the soft RLIMIT_NOFILE to the hard one. Returns what it was before; 0: nobody knows.
uint64_t clinux_raise_descriptor_limit(void);
/// Sets the soft RLIMIT_NOFILE; 0: leaves it.
void clinux_set_descriptor_limit(uint64_t soft);
/// The hard RLIMIT_CPU of a process in seconds; UINT64_MAX: none, or it cannot be read.
uint64_t clinux_cpu_time_limit(pid_t pid);
/// Makes this process the parent of those of its descendants whose own parent ends (PR_SET_CHILD_SUBREAPER).
void clinux_adopt_orphans(void);
/// A child that has ended and is not reaped; 0: none of the children has ended; -ECHILD: there is no child.
pid_t clinux_ended_child(void);
int clinux_pidfd_open(pid_t pid);
int clinux_pidfd_send_signal(int pidfd, int signal);
/// Ends this process by a signal, without a core file.
_Noreturn void clinux_die_of(int number);
struct clinux_wait_status {
    int code;    ///< CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, CLD_CONTINUED; 0 when nothing happened
    int status;  ///< exit code or signal number
};
/// waitid(2). Also finds the status of a child that somebody else has reaped, where the kernel keeps it (Linux 6.15);
/// elsewhere -ECHILD.
int clinux_wait(int pidfd, int options, struct clinux_wait_status *_Nonnull result);
/// execveat(2) with AT_EMPTY_PATH, which needs neither /proc nor the path that `executable` once had. The program gets
/// `control` as descriptor GUARD_CONTROL, and no descriptor of the caller that is close-on-exec. Returns only on
/// failure.
int clinux_execute(int executable, char *_Nullable const *_Nonnull argv, int control);
/// The same, with this environment.
int clinux_execute_in(int executable, char *_Nullable const *_Nonnull argv, char *_Nullable const *_Nonnull envp,
                      int control);
/// `clinux_execute` in a new child, whose pid it returns. The caller must have one thread only.
pid_t clinux_execute_child(int executable, char *_Nullable const *_Nonnull argv, int control);

// MARK: Cgroups

/// `clinux_open_beneath` for a file or a directory of a job. A job of the same user can take the owner's rights to them
/// away (chmod 0); this function gives them back. -EACCES: this process may not do that.
int clinux_open_of_job(int directory, const char *_Nonnull path, int flags);
/// Opens the directory that `directory` is in, so that `directory` can be removed from it.
int clinux_open_parent(int directory);
/// A hash of /proc/self/cgroup. It changes when somebody moves this process to another cgroup.
uint64_t clinux_own_cgroup(void);
/// Waits until a manager has moved this process out of the cgroups with the hash `before`. A process that is being
/// moved must not end earlier: systemd never removes a scope whose processes were dead before they were moved there.
/// systemd needs milliseconds. After two seconds this function gives up; then an empty scope may stay.
void clinux_await_scope(uint64_t before);
/// Waits until the cgroup whose `cgroup.events` is open as `events` has no processes, or is gone. Returns 1 then, and 0
/// if a process is left after `timeout` nanoseconds.
int clinux_wait_until_empty(int events, int64_t timeout);
/// Sends SIGKILL to the processes in the cgroup and below it whose main thread has ended while others go on:
/// `cgroup.kill` sends its signal to main threads, and does not reach these (seen with Linux 6.18).
void clinux_kill_headless(int directory);
/// Removes the cgroup `name` in `parent` and all below it, leaf first. A cgroup that is not there is no error. -EBUSY:
/// a process is left in one of them. If a job has taken away the owner's rights to these directories, this function
/// gives them back.
int clinux_remove_cgroup(int parent, const char *_Nonnull name);
/// `clinux_remove_cgroup` for the cgroup that `directory` is, also if the job has renamed it, as cgroup v1 allows; -1:
/// only the name is known.
int clinux_remove_job(int parent, const char *_Nonnull name, int directory);
/// Gives a manager a tenth of a second to remove the cgroup of a scope without processes, then removes what is left of
/// this cgroup and all below it.
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
    char *_Nullable const *_Nonnull candidates;
    char *_Nullable const *_Nonnull argv;
    char *_Nullable const *_Nonnull envp;
    /// Two free places, and argv from its second element on. A file without `#!` is run with /bin/sh and its path
    /// there.
    char *_Nullable *_Nonnull shell_argv;
    /// Where in `envp` the child writes its pid as a decimal number, with room for 11 digits.
    char *_Nullable own_pid;
    const char *_Nullable working_directory;
    /// Directory of the cgroup that the child is born in; -1: the parent's.
    int cgroup;
    /// Open `cgroup.procs` or `tasks` files that the child writes "0" into.
    const int *_Nullable join_files;
    unsigned join_count;
    /// Descriptors to place at 0, 1, 2…; NULL: all stay as they are.
    const int *_Nullable descriptors;
    unsigned descriptor_count;
    /// Descriptors with this number and higher ones are closed; 0: none.
    unsigned close_from;
    bool new_session;
    /// Whether descriptor 0 becomes the terminal of the new session.
    bool takes_terminal;
    bool reset_oom_score;
    /// Whether the child gets a copy of the parent's memory until exec, and does not share it.
    bool copies_memory;
    bool change_credentials;
    uid_t uid;
    gid_t gid;
    const gid_t *_Nullable groups;
    unsigned group_count;
    /// The signal mask that the program starts with.
    sigset_t mask;
    /// Signals that the parent ignores stay ignored, as under nohup(1).
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
    /// The launcher's end of the socket by which it tells the child to start.
    int gate;
    struct clinux_shared *_Nullable shared;
};

/// Makes a child that waits for `clinux_start_held`. Then the child starts `plan` as a child of this process, in the
/// cgroup that it is told (not in that of `plan`), and itself becomes `successor`, whose name it has from the
/// beginning. If this process ends first, the child ends, too. While it waits, it prepares the kernel to move it
/// between cgroups without delay.
int clinux_hold_program(const struct clinux_spawn *_Nonnull plan, const struct clinux_spawn *_Nonnull successor,
                        struct clinux_held *_Nonnull held);
/// Tells the child that a manager is being asked to move it out of the cgroups with this hash. If this process is lost,
/// the child then ends only after that move (see `clinux_await_scope`).
void clinux_await_scope_held(struct clinux_held held, uint64_t cgroup_before);
/// Has the child start its plan in the cgroup with this directory, and returns once the program runs or has failed, as
/// `clinux_spawn_program` does. -ECANCELED: somebody killed the child before.
int clinux_start_held(struct clinux_held held, int cgroup, struct clinux_spawned *_Nonnull result);
/// Frees what this process has open for the child. If the child still waits, it ends.
void clinux_close_held(struct clinux_held held);

#endif
