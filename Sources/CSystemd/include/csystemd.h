// The functions of libsystemd that cgrun uses, as pointers that are found at run time: a run that needs no systemd does
// not load the library, and does not need it on the machine.

#ifndef CSYSTEMD_H
#define CSYSTEMD_H

#include <systemd/sd-bus.h>

#define CSYSTEMD_FUNCTIONS(X) \
    X(sd_bus_new) \
    X(sd_bus_set_fd) \
    X(sd_bus_set_bus_client) \
    X(sd_bus_start) \
    X(sd_bus_is_ready) \
    X(sd_bus_get_fd) \
    X(sd_bus_get_events) \
    X(sd_bus_process) \
    X(sd_bus_send) \
    X(sd_bus_close_unref) \
    X(sd_bus_message_new_method_call) \
    X(sd_bus_message_append_basic) \
    X(sd_bus_message_open_container) \
    X(sd_bus_message_close_container) \
    X(sd_bus_message_append_array) \
    X(sd_bus_message_read_basic) \
    X(sd_bus_message_enter_container) \
    X(sd_bus_message_get_reply_cookie) \
    X(sd_bus_message_get_error) \
    X(sd_bus_message_is_signal) \
    X(sd_bus_message_unref)

#define CSYSTEMD_POINTER(name) __typeof__(&name) _Nonnull name;
struct csystemd {
    CSYSTEMD_FUNCTIONS(CSYSTEMD_POINTER)
};
#undef CSYSTEMD_POINTER

/// Finds the functions. NULL on success, else what the loader says.
const char *_Nullable csystemd_load(struct csystemd *_Nonnull functions);

#endif
