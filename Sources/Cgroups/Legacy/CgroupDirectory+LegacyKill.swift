internal import LinuxSystem
internal import SandboxValues

extension CgroupDirectory {
    /// Kills the processes in a v1 group, which has no `cgroup.kill`. Each is killed by pidfd, and only if it is still
    /// a member once the pidfd is open: before, its pid might have passed to another process.
    func killLegacyMembers(until deadline: BootTime) {
        while true {
            let members = allProcesses().filter { $0 > 0 }
            if members.isEmpty { return }
            for pid in members {
                guard let process = try? ProcessDescriptor(pid: pid), allProcesses().contains(pid) else { continue }
                try? process.send(.kill)
            }
            if BootTime.now >= deadline { return }
            Poller.pause(.milliseconds(2))
        }
    }
}
