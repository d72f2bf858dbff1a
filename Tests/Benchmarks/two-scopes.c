// two-scopes COMMAND… — the least that has to be done to run a command in a scope which is bound to another
// one, by the manager's own socket: nothing is checked, limited, guarded, read back, removed or told. What a
// launcher that does all this could at best come near.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static void must(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "two-scopes: %s: %s\n", what, strerror(-result));
    exit(125);
}
#define MUST(call) must(call, #call)

struct unit {
    char name[64];
    int is_done;
};

static int job_removed(sd_bus_message *message, void *context, sd_bus_error *error)
{
    (void)error;
    struct unit *unit = context;
    const char *name, *result;
    MUST(sd_bus_message_read(message, "uoss", NULL, NULL, &name, &result));
    if (!strcmp(name, unit->name))
        unit->is_done = strcmp(result, "done") ? -1 : 1;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 125;
    struct unit unit = { 0 };
    char other[64];
    snprintf(unit.name, sizeof unit.name, "two-scopes-%d.scope", getpid());
    snprintf(other, sizeof other, "two-scopes-%d-other.scope", getpid());

    // Both end by their pipe, should this program be lost.
    int gate[2], life[2];
    if (pipe2(gate, O_CLOEXEC) < 0 || pipe2(life, O_CLOEXEC) < 0)
        return 125;
    char byte = 0;
    pid_t command = fork();
    if (command == 0) {
        close(gate[1]);
        close(life[1]);
        if (read(gate[0], &byte, 1) == 1)
            execvp(argv[1], argv + 1);
        _exit(127);
    }
    pid_t companion = fork();
    if (companion == 0) {
        close(gate[1]);
        close(life[1]);
        _exit((int)read(life[0], &byte, 1));
    }

    sd_bus *bus;
    MUST(sd_bus_new(&bus));
    MUST(sd_bus_set_address(bus, "unix:path=/run/systemd/private"));
    MUST(sd_bus_start(bus));
    MUST(sd_bus_match_signal_async(bus, NULL, NULL, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                   "JobRemoved", job_removed, NULL, &unit));
    MUST(sd_bus_call_method(
        bus, NULL, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartTransientUnit", NULL, NULL,
        "ssa(sv)a(sa(sv))", unit.name, "fail", 4, "PIDs", "au", 1, (uint32_t)command, "BindsTo", "as", 1, other, "After",
        "as", 1, other, "CollectMode", "s", "inactive-or-failed", 1, other, 2, "PIDs", "au", 1, (uint32_t)companion,
        "CollectMode", "s", "inactive-or-failed"));
    while (!unit.is_done) {
        int result = sd_bus_process(bus, NULL);
        MUST(result);
        if (result == 0)
            MUST(sd_bus_wait(bus, UINT64_MAX));
    }
    must(unit.is_done, "the scope's job");

    int status = 0;
    if (write(gate[1], &byte, 1) != 1 || waitpid(command, &status, 0) != command)
        return 125;
    _exit(WEXITSTATUS(status));
}
