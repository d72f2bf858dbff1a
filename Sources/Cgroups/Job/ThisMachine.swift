internal import LinuxSystem
package import SandboxValues

extension Limits {
    /// These limits as this machine enforces them: shares of RAM as bytes, paths as numbers of disks.
    ///
    /// - Throws: `.noDisk` for a path that is on no disk of this machine.
    package func resolved() throws(CgroupError) -> ResolvedLimits {
        try ResolvedLimits(self, memory: ByteCount(Machine.memoryBytes)) { (device) throws(CgroupError) in
            try device.disk()
        }
    }
}

extension CPUSet {
    /// The processors that this process may use; `nil` where `/proc` does not say.
    package static var ofThisProcess: CPUSet? {
        let status = (try? readTextFile("/proc/self/status")) ?? ""
        return status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
            .flatMap { $0.split(separator: "\t").last }.flatMap { try? CPUSet(parsing: String($0)) }
    }
}

extension LimitKind {
    /// Limits of this kind that every machine with the controller can enforce, to find out whether this machine can;
    /// none if there is nothing to limit.
    package var samples: Limits {
        var limits = Limits()
        if let sample { try? parse(sample, &limits) }
        switch self {
        // cgroup v1 limits swap only together with memory.
        case .swapMax: limits.memoryMax = limits.swapMax
        case .cpuset: limits.cpuset = .ofThisProcess
        case .ioMax: limits.ioMax = IOLimit.Device.any.map { [IOLimit($0, [.readBytes: .value(1 << 30)])] } ?? []
        default: break
        }
        return limits
    }
}
