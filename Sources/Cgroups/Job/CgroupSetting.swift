internal import LinuxSystem
package import SandboxValues

/// One value for one control file, in the terms of cgroup v2.
package struct CgroupSetting: Equatable, Sendable {
    package var controller: Controller
    package var file: String
    package var value: String
    /// What asked for it.
    package var limit: LimitName
    /// Whether kernels that have no swap accounting have no such file, where there is nothing to limit then.
    var isMissingWithoutSwap: Bool
    var readBack: LimitKind.ReadBack
    /// What the value was told from, for people: `50% of RAM`.
    var origin: String?

    /// The writing of this value, for people.
    package func step(in path: String) -> PlannedCgroup.Step {
        PlannedCgroup.Step(path: "\(path)/\(file)", value: value, origin: origin)
    }
}

extension Limits {
    /// The same for this machine.
    ///
    /// - Throws: for a path that is on no disk of this machine's.
    package func resolved() throws(CgroupError) -> ResolvedLimits {
        try ResolvedLimits(self, memory: ByteCount(Machine.memoryBytes)) { (device) throws(CgroupError) in
            try device.disk()
        }
    }
}

extension ResolvedLimits {
    /// What to write, in order.
    package var settings: [CgroupSetting] {
        LimitKind.inOrderOfWriting.flatMap { kind in
            kind.kernelValues(values).map { value in
                CgroupSetting(
                    controller: kind.controller, file: kind.file, value: value, limit: name(of: kind),
                    isMissingWithoutSwap: kind.isMissingWithoutSwap, readBack: kind.readBack, origin: origins[kind])
            }
        }
    }
}

extension CPUSet {
    /// The processors that the calling process may use.
    package static var ofThisProcess: CPUSet? {
        let status = (try? readTextFile("/proc/self/status")) ?? ""
        return status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
            .flatMap { $0.split(separator: "\t").last }.flatMap { try? CPUSet(parsing: String($0)) }
    }
}

extension Controller {
    /// What asks for the controller and limits nothing.
    func withoutLimit(_ wording: Wording) -> String {
        switch self {
        case .cpuset: wording.choose("a cpuset with all processors", options: "--cpuset with all processors")
        case .cpu: wording.choose("a cpuMax of max", options: "--cpu max")
        case .io: wording.choose("an ioMax with a rate of max", options: "--io-max with a rate of max")
        case .memory: wording.choose("a memoryMax of max", options: "--mem max")
        case .pids: wording.choose("a pidsMax of max", options: "--pids max")
        }
    }
}
