package import LinuxSystem
package import SandboxValues

extension JobCgroup {
    /// How often to look for processes that were started meanwhile: a fork bomb starts new ones for ever.
    private static let mostLooks = 20

    /// Sends every process in the tree a signal, and SIGCONT, since a stopped process acts on nothing else. A process
    /// that may not be sent a signal, or is gone, is no error.
    ///
    /// - Parameter except: a process that has got the signal.
    package func signalMembers(_ signal: Signal, except: ProcessID?) {
        var done = Set([except].compactMap { $0 })
        for _ in 0..<Self.mostLooks {
            let new = members.filter { done.insert($0).inserted }
            if new.isEmpty { return }
            for pid in new {
                // Only a process that is a member once the pidfd is open: before, its pid might have passed to another.
                guard let process = try? ProcessDescriptor(pid: pid), isMember(pid) else { continue }
                try? process.send(signal)
                try? process.send(.continue)
            }
        }
    }

    /// Whether a process is in the tree.
    package func isMember(_ pid: ProcessID) -> Bool {
        (try? Hierarchies.unifiedPath(of: pid))?.split(separator: "/").contains(Substring(name)) == true
    }
}
