internal import Cgroups
internal import LinuxSystem

/// What this machine can enforce for this caller.
public struct Preflight: Sendable {
    public struct Finding: Sendable, Equatable, Codable {
        /// An option, or a part of the machinery.
        public var subject: String
        public var isAvailable: Bool
        public var detail: String
        /// What to do where it is not.
        @Explicit public var remedy: String?

        enum CodingKeys: String, CodingKey {
            case subject, detail, remedy
            case isAvailable = "available"
        }
    }

    public var findings: [Finding] = []

    /// Whether a job can be contained at all, limits aside.
    public var canContain: Bool { findings.prefix { !$0.subject.hasPrefix("--") }.allSatisfy(\.isAvailable) }

    /// Tries everything with cgroups of its own, which are removed again.
    public init(cgroupParent: String? = nil) {
        let layout: CgroupLayout
        do { layout = try CgroupLayout.current() } catch {
            add("cgroups", error)
            return
        }
        findings.append(
            Finding(
                subject: "cgroups", isAvailable: true,
                detail: "\(layout.mode.rawValue): cgroup2 on \(layout.mount)"
                    + (layout.legacyPaths.isEmpty
                        ? "" : ", v1 " + layout.legacyPaths.map(\.controller.rawValue).sorted().joined(separator: " ")))
        )
        findings.append(
            probe("job cgroup", Limits(), layout, cgroupParent) { site in
                "\(site.path.prefix { $0 != "-" })-…, killed by cgroup.kill (Linux \(Machine.kernelRelease))"
            })
        addGuard()
        for (option, limits) in Self.samples {
            findings.append(
                probe(option, limits, layout, cgroupParent) { site in
                    let steps = (try? site.steps()) ?? []
                    return steps.compactMap { $0.value == nil ? nil : $0.path.split(separator: "/").last }
                        .filter { $0 != "cgroup.subtree_control" }.joined(separator: ", ")
                })
        }
        findings.append(
            Finding(
                subject: "--cgroup-manager systemd", isAvailable: false, detail: "this version has no systemd manager",
                remedy: "use cgroupfs"))
    }

    /// A value for each limit that every machine can take.
    private static var samples: [(String, Limits)] {
        func limits(_ change: (inout Limits) -> Void) -> Limits {
            var limits = Limits()
            change(&limits)
            return limits
        }
        let gigabyte = Ceiling.value(ByteCount(1 << 30))
        return [
            ("--mem", limits { $0.memoryMax = gigabyte }),
            ("--mem-high", limits { $0.memoryHigh = gigabyte }),
            ("--swap", limits { ($0.memoryMax, $0.swapMax) = (gigabyte, gigabyte) }),
            ("--pids", limits { $0.pidsMax = .value(1_000) }),
            ("--cpu", limits { $0.cpuMax = (try? CPUBandwidth(parsing: "1")).map { .value($0) } }),
            ("--cpu-weight", limits { $0.cpuWeight = try? CPUWeight(parsing: "100") }),
            ("--cpuset", limits { $0.cpuset = CPUSet.ofThisProcess }),
        ]
    }

    private func probe(
        _ subject: String, _ limits: Limits, _ layout: CgroupLayout, _ parent: String?,
        detail: (borrowing CgroupSite) -> String
    ) -> Finding {
        do {
            let site = try CgroupSite(layout, parentPath: parent, name: JobName.make().cgroup, limits: limits)
            try site.probe()
            return Finding(subject: subject, isAvailable: true, detail: detail(site))
        } catch {
            return Finding(subject: subject, isAvailable: false, detail: error.reason, remedy: error.remedy)
        }
    }

    private mutating func add(_ subject: String, _ error: CgroupError) {
        findings.append(
            Finding(subject: subject, isAvailable: false, detail: error.reason, remedy: error.remedy))
    }

    private mutating func addGuard() {
        let found = (try? GuardProgram())?.candidates.first { isExecutable($0.description) }
        findings.append(
            Finding(
                subject: "guard", isAvailable: found != nil, detail: found?.description ?? "cgrun-guard was not found",
                remedy: found == nil ? "install cgrun-guard beside cgrun, or set CGRUN_GUARD to its path" : nil))
    }
}
