internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

// systemd takes properties that it then cannot put into effect, and says nothing. So cgrun looks whether a property of
// `--property` has reached the kernel.

extension UnitOptions {
    /// - Parameters:
    ///   - cgroup: that of the unit, which is there.
    ///   - wording: whether errors call limits by the library's names or by options.
    /// - Throws: which property has no effect, and why.
    func checkProperties(in cgroup: borrowing DelegatedCgroup, _ wording: Wording) throws(LaunchError) {
        for property in properties {
            if property.needsSystemManager, managerDomain == .user {
                throw LaunchError(
                    .setup, "\(property.option): a user's manager cannot enforce it",
                    remedy: "leave it out, or ask the system's manager (--system) as root")
            }
            guard let effect = property.effect else { continue }
            let name = LimitName(description: "the property \(property.name)", flag: property.option)
            do throws(CgroupError) {
                try cgroup.check(effect.controller, effect.files, effect.text, for: name)
            } catch { throw LaunchError(error, wording) }
        }
    }
}

extension UnitProperty {
    fileprivate var option: String { "--property \(name)" }

    /// Whether it needs programs in the kernel (BPF), which only root may load.
    fileprivate var needsSystemManager: Bool {
        switch (name, value) {
        case ("IPAccounting", .bool(true)), ("DevicePolicy", .string("closed")), ("DevicePolicy", .string("strict")):
            true
        default: false
        }
    }

    /// Where the property shows in the kernel: the controller that it needs, the files that may have it, and what one
    /// of them then says; `nil` where it does not show.
    fileprivate var effect: (controller: Controller, files: [String], text: String?)? {
        switch (name, value) {
        case ("MemoryMin", .uint64(let bytes)): (.memory, ["memory.min"], Self.pages(bytes))
        case ("MemoryLow", .uint64(let bytes)): (.memory, ["memory.low"], Self.pages(bytes))
        case ("OOMPolicy", .string("kill")): (.memory, ["memory.oom.group"], "1")
        case ("MemoryZSwapMax", .uint64(let bytes)): (.memory, ["memory.zswap.max"], Self.pages(bytes))
        case ("MemoryZSwapWriteback", .bool(let flag)): (.memory, ["memory.zswap.writeback"], flag ? "1" : "0")
        // The BFQ scheduler has a scale of its own.
        case ("IOWeight", .uint64): (.io, ["io.weight", "io.bfq.weight"], nil)
        case ("StartupIOWeight", _), ("IOAccounting", .bool(true)): (.io, [], nil)
        case ("StartupCPUWeight", _), ("CPUQuotaPeriodUSec", _): (.cpu, [], nil)
        case ("MemoryAccounting", .bool(true)), ("ManagedOOMSwap", .string("kill")),
            ("ManagedOOMMemoryPressure", .string("kill")):
            (.memory, [], nil)
        case ("TasksAccounting", .bool(true)): (.pids, [], nil)
        default: nil
        }
    }

    /// The kernel keeps memory in whole pages, rounded down.
    private static func pages(_ bytes: UInt64) -> String {
        let page = UInt64(Machine.pageSize)
        return bytes == .max ? "max" : String(bytes / page * page)
    }
}
