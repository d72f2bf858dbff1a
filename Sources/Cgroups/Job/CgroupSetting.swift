internal import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// One value for one control file, of cgroup v2 or of a v1 hierarchy.
package struct CgroupSetting: Sendable {
    let kind: LimitKind
    var controller: Controller { kind.controller }
    package let file: String
    package let value: String
    /// The limit that asked for this value.
    package let limit: LimitName
    /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
    private let origin: String?
    private let isForNoSwap: Bool
    private let isLegacy: Bool

    init(_ kind: LimitKind, _ file: String, _ value: String, of limits: ResolvedLimits, isLegacy: Bool = false) {
        self.kind = kind
        self.file = file
        self.value = value
        limit = limits.name(of: kind)
        origin = limits.origin(of: kind)
        isForNoSwap = kind == .swapMax && limits.values.swapMax == .value(.bytes(0))
        self.isLegacy = isLegacy
    }

    /// The step of writing this value, to be shown to people.
    package func step(in path: String) -> PlannedCgroup.Step {
        PlannedCgroup.Step(path: "\(path)/\(file)", value: value, origin: origin)
    }

    /// Whether there is no file to write to: kernels without swap accounting lack those for swap. That is no error if
    /// no swap is asked for and the machine has none.
    func isNeedless(in directory: CgroupDirectory) throws(CgroupError) -> Bool {
        guard kind == .swapMax, !directory.has(file) else { return false }
        guard isForNoSwap, !Machine.hasSwap else { throw CgroupError(.knobMissing(file: file, limit: limit)) }
        return true
    }

    /// Writes the value and reads it back.
    func apply(to directory: CgroupDirectory) throws(CgroupError) {
        do { try directory.write(value, to: file) } catch {
            // The v1 cpuset controller says EACCES for processors that the parent group does not have.
            throw isLegacy && kind == .cpuset && error.errno == .permissionDenied
                ? CgroupError(.rejected(error, limit: limit))
                : CgroupError.setting(error, file, limit: limit, in: directory.path)
        }
        try check(in: directory)
    }

    /// Whether this is what the control file shows once the value was written.
    func shows(_ text: String) -> Bool { kind.readBack.has(value, in: text, pageSize: UInt64(Machine.pageSize)) }

    /// Reads the value back.
    func check(in directory: CgroupDirectory) throws(CgroupError) {
        let got: String
        do { got = try directory.read(file) } catch {
            throw CgroupError.setting(error, file, limit: limit, in: directory.path)
        }
        guard shows(got) else {
            throw CgroupError(.notApplied(file: directory.path(of: file), wanted: value, got: got, limit: limit))
        }
    }
}

extension ResolvedLimits {
    /// What to write into control files of cgroup v2, in the order of writing.
    package var settings: [CgroupSetting] {
        LimitKind.inOrderOfWriting.flatMap { kind in
            kind.kernelTexts(values).map { CgroupSetting(kind, kind.file, $0, of: self) }
        }
    }

    /// Writes the limits to a cgroup v2 and reads each back.
    func apply(to directory: CgroupDirectory) throws(CgroupError) {
        for setting in settings where try !setting.isNeedless(in: directory) { try setting.apply(to: directory) }
        // The kernel takes any `cpuset.cpus` and then uses what the cgroups above leave of it.
        guard let wanted = values.cpuset?.kernelText else { return }
        let effective = (try? directory.read("cpuset.cpus.effective")) ?? ""
        guard effective != wanted else { return }
        throw CgroupError(
            .notApplied(
                file: directory.path(of: "cpuset.cpus.effective"), wanted: wanted, got: effective,
                limit: LimitKind.cpuset.name))
    }
}
