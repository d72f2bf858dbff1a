package import SandboxValues

/// One value for one control file, in the terms of cgroup v2.
package struct CgroupSetting: Equatable, Sendable {
    package var controller: Controller
    package var file: String
    package var value: String
    /// The limit that asked for this value.
    package var limit: LimitName
    /// Whether kernels without swap accounting lack this file. On a machine without swap that is no error, if the limit
    /// is 0.
    var isMissingWithoutSwap: Bool
    var readBack: LimitKind.ReadBack
    /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
    var origin: String?

    /// The step of writing this value, to be shown to people.
    package func step(in path: String) -> PlannedCgroup.Step {
        PlannedCgroup.Step(path: "\(path)/\(file)", value: value, origin: origin)
    }
}

extension ResolvedLimits {
    /// What to write into control files, in the order of writing.
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
