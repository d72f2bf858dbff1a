internal import CLinux
internal import Glibc
internal import SandboxValues
internal import SystemPackage

/// Waits for descriptors and for points in time, however many, and calls handlers: in a thread of its own, or in the
/// caller's for as long as it calls `turn`.
///
/// Handlers run one after the other and must not block.
package final class EventLoop: Sendable {
    private let epoll: Descriptor
    /// A timerfd on CLOCK_BOOTTIME: readable from the first deadline on.
    private let timer: Descriptor
    private let state = Locked(State())

    private struct State {
        var handlers: [UInt64: @Sendable () -> Void] = [:]
        /// Deadlines with the numbers of their handlers, the earliest last.
        var timers: [(at: BootTime, id: UInt64)] = []
        var lastID: UInt64 = 0
        var armedFor: BootTime?
    }

    package struct Interest: Sendable {
        fileprivate let mask: UInt32

        /// Something to read, or the end of it.
        package static let reading = Interest(mask: EPOLLIN.rawValue)
        package static let writing = Interest(mask: EPOLLOUT.rawValue)
        /// Priority data, with which cgroup files tell of a change.
        package static let change = Interest(mask: EPOLLPRI.rawValue)
    }

    /// - Throws: when there is no descriptor to be had.
    package init() throws(SystemError) {
        epoll = Descriptor(owning: try checkErrno(epoll_create1(CInt(EPOLL_CLOEXEC)), "epoll_create1"))
        timer = Descriptor(
            owning: try checkErrno(
                timerfd_create(CLOCK_BOOTTIME, CInt(TFD_CLOEXEC) | CInt(TFD_NONBLOCK)), "timerfd_create"))
        _ = try check(clinux_epoll_watch(epoll.rawValue, timer.rawValue, EPOLLIN.rawValue, 0), "epoll_ctl")
    }

    /// Starts a thread that calls the handlers for as long as the program lives. The thread blocks every signal, so
    /// that the program's signal handlers never run on it.
    ///
    /// - Throws: when there is no thread to be had.
    package func startThread() throws(SystemError) {
        let before = SignalSet.blocked
        SignalSet.all.block()
        defer { before.replaceMask() }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let error = pthread_create(
            &thread, nil,
            { context in
                clinux_set_name("cgrun-events")
                let loop = Unmanaged<EventLoop>.fromOpaque(context!).takeRetainedValue()
                while true { loop.turn() }
            }, context.toOpaque())
        guard error == 0 else {
            context.release()
            throw SystemError("pthread_create", errno: Errno(rawValue: error))
        }
        pthread_detach(thread)
    }

    /// Readable when a turn would not wait.
    package var descriptor: CInt { epoll.rawValue }

    /// Waits until there is something to do, and calls the handlers for it.
    ///
    /// - Parameter waits: whether to wait at all.
    package func turn(waits: Bool = true) {
        var ready = [UInt64](repeating: 0, count: 64)
        let count = clinux_epoll_wait(epoll.rawValue, &ready, 64, waits ? -1 : 0)
        for id in ready.prefix(max(0, Int(count))) {
            if id == 0 {
                runTimers()
            } else if let handler = state.withLock({ $0.handlers[id] }) {
                handler()
            }
        }
    }

    // MARK: Descriptors

    /// A descriptor that is being watched. It must not be closed before the watch ends.
    package struct Watch: Sendable {
        let id: UInt64
        let descriptor: CInt
    }

    /// Calls the handler again and again for as long as the descriptor is ready.
    ///
    /// - Returns: what to call `unwatch` with.
    package func watch(
        _ descriptor: CInt, for interest: Interest, _ handler: @escaping @Sendable () -> Void
    ) throws(SystemError) -> Watch {
        let id = state.withLock { state in
            state.lastID += 1
            state.handlers[state.lastID] = handler
            return state.lastID
        }
        let result = clinux_epoll_watch(epoll.rawValue, descriptor, interest.mask, id)
        if result < 0 { _ = state.withLock { $0.handlers.removeValue(forKey: id) } }
        _ = try check(result, "epoll_ctl")
        return Watch(id: id, descriptor: descriptor)
    }

    /// Ends a watch, if there is one. A call of the handler that has begun may still go on in the loop's thread.
    package func unwatch(_ watch: Watch?) {
        guard let watch, state.withLock({ $0.handlers.removeValue(forKey: watch.id) }) != nil else { return }
        _ = clinux_epoll_watch(epoll.rawValue, watch.descriptor, 0, 0)
    }

    // MARK: Time

    /// Calls the handler once, at that time or soon after.
    ///
    /// - Returns: what to call `cancel` with.
    @discardableResult
    package func call(at time: BootTime, _ handler: @escaping @Sendable () -> Void) -> UInt64 {
        state.withLock { state in
            state.lastID += 1
            state.handlers[state.lastID] = handler
            // Searched from the latest on: most new deadlines are late.
            let place = state.timers.firstIndex { $0.at <= time } ?? state.timers.endIndex
            state.timers.insert((time, state.lastID), at: place)
            arm(&state)
            return state.lastID
        }
    }

    package func cancel(_ id: UInt64) {
        state.withLock { state in
            guard state.handlers.removeValue(forKey: id) != nil else { return }
            // Deadlines without a handler are dropped when they are due, or when they are most of all.
            if state.timers.count > 64, state.timers.count > 2 * state.handlers.count {
                let handlers = state.handlers
                state.timers.removeAll { handlers[$0.id] == nil }
            }
        }
    }

    private func runTimers() {
        let now = BootTime.now
        var due: [@Sendable () -> Void] = []
        state.withLock { state in
            while let next = state.timers.last, next.at <= now {
                state.timers.removeLast()
                if let handler = state.handlers.removeValue(forKey: next.id) { due.append(handler) }
            }
            state.armedFor = nil
            arm(&state)
        }
        for handler in due { handler() }
    }

    private func arm(_ state: inout State) {
        let next = state.timers.last?.at
        guard next != state.armedFor || next == nil else { return }
        state.armedFor = next
        clinux_set_timer(timer.rawValue, next.map { max($0.sinceBoot, .zero).nanoseconds } ?? -1)
    }
}
