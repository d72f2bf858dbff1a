import LinuxSystem
import Cgroups
import Glibc

/// Finds what descends from a test, wherever it fled: by a variable in the environment, and by cgroup.
package struct Marker: Sendable {
    package static let variable = "CGRUN_TEST_MARKER"
    /// What the markers of this test run, and of no other, begin with.
    private static let run = Machine.randomHexadecimal()
    package let text: String

    package init() { text = Self.run + Machine.randomHexadecimal() }
    private init(text: String) { self.text = text }

    /// The marker of all tests of this run.
    package static let ofAnyTest = Marker(text: run)

    package struct Survivor: Sendable, CustomStringConvertible {
        package var pid: ProcessID
        package var command: String
        package var description: String { "\(pid) \(command)" }
    }

    /// The living processes with this marker; zombies are dead.
    package var survivors: [Survivor] {
        Self.allProcesses.filter(isAlive).map { Survivor(pid: $0, command: Self.command($0)) }
    }

    /// What the process is called. A holder is called like the guard's program until it names itself, so it could be
    /// taken for a guard. The launcher gives a holder `cgrun-holder` as its first argument, which shows from the start.
    private static func command(_ pid: ProcessID) -> String {
        let arguments = (try? readTextFile("/proc/\(pid)/cmdline")) ?? ""
        return arguments.hasPrefix("cgrun-holder\0") ? "cgrun-holder" : ProcessTable.commandName(pid) ?? "?"
    }

    /// Whether the process lives and has this marker.
    func isAlive(_ pid: ProcessID) -> Bool {
        guard pid != ThisProcess.id, let environment = Self.environment(of: pid),
            environment.contains(text: "\(Self.variable)=\(text)"), let state = ProcessTable.state(pid)
        else { return false }
        return state != "Z" && state != "X"
    }

    /// - Returns: `nil` for a process that is gone, or another user's.
    private static func environment(of pid: ProcessID) -> String? {
        let deadline = BootTime.now + .seconds(5) * patience
        while true {
            var text: String?
            do { text = try readTextFile("/proc/\(pid)/environ") } catch {
                guard error.errno == .noSuchProcess else { return nil }
            }
            // The kernel shows no environment while a process executes another program, and while it dies: an empty
            // one, or ESRCH as for a process that is gone. Until it is gone it may hold a job's lock: look again.
            guard text?.isEmpty ?? true, isInTransition(pid), BootTime.now < deadline else { return text }
            pause(.milliseconds(1))
        }
    }

    /// Whether a process that shows no environment may be executing another program, or dying. It runs or waits for
    /// a disk then. A daemon that was started without an environment sleeps most of the time, and a kernel thread
    /// never has an environment.
    private static func isInTransition(_ pid: ProcessID) -> Bool {
        guard let state = ProcessTable.state(pid), state == "R" || state == "D",
            let flags = ProcessTable.field(6, of: "\(pid)").flatMap({ UInt32($0) })
        else { return false }
        return flags & kernelThreadFlag == 0
    }

    /// PF_KTHREAD of the kernel's `sched.h`.
    private static let kernelThreadFlag: UInt32 = 0x0020_0000

    package var guards: [Survivor] { survivors.filter { $0.command == "cgrun-guard" } }

    package static var allProcesses: [ProcessID] { entries(of: "/proc").compactMap { ProcessID($0) } }

    static func entries(of path: String, onlyDirectories: Bool = false) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            if onlyDirectories, Int(entry.pointee.d_type) != DT_DIR { continue }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(cString: $0.baseAddress!.assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

/// The cgroups below this process's own, which `Tests/run` made for the tests alone.
package enum TestCgroups {
    /// Directories of this process's cgroup in every hierarchy that cgrun may use.
    package static var own: [String] {
        guard let layout = try? Hierarchies.current() else { return [] }
        let unified = layout.ownPath == "/" ? layout.mount : layout.mount + (layout.ownPath ?? "")
        // After cgrun moved this process out of its way, its jobs are beside the leaf.
        let trimmed = unified.hasSuffix("/cgrun-leaf") ? String(unified.dropLast(11)) : unified
        return [trimmed] + layout.legacyPaths.map { "/sys/fs/cgroup/\($0.controller.rawValue)\($0.own.path ?? "")" }
    }

    /// A shell's words for the file by which a process joins its parent, outside the job. Where that is
    /// only the job knows: launching may move the launcher into a leaf.
    package static var filePathOfParent: String {
        let mount = (try? Hierarchies.current())?.mount ?? ""
        return "\"\(mount)$(sed -n 's/^0:://p' /proc/$PPID/cgroup)/cgroup.procs\""
    }

    /// Where systemd's managers put scopes; on the machines that tests boot, nobody else does.
    private static var slices: [String] {
        Capability.isBooted ? ["/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/user.slice"] : []
    }

    /// cgrun's cgroups that exist at the moment.
    package static var jobs: [String] { Set((own + slices).flatMap { jobs(below: $0) }).sorted() }

    package static func jobs(below path: String) -> [String] {
        Marker.entries(of: path, onlyDirectories: true).flatMap { name -> [String] in
            let below = jobs(below: "\(path)/\(name)")
            return name.hasPrefix("cgrun-") && name != "cgrun-leaf" ? ["\(path)/\(name)"] + below : below
        }
    }
}

/// Open descriptors of this process.
package var openDescriptorCount: Int { Marker.entries(of: "/proc/self/fd").count }
