internal import CLinux
internal import Glibc
internal import LinuxSystem
package import SandboxValues
internal import SystemPackage

extension IOLimit.Device {
    /// The number of a whole disk, since the kernel limits nothing smaller: this device itself, the disk that it is a
    /// partition of, or the disk that the file at this path is on.
    func disk() throws(CgroupError) -> IOLimit.Device {
        func refusal(_ reason: String) -> CgroupError { CgroupError(.noDisk(path: description, reason: reason)) }
        var number = description
        if case .path(let path) = self {
            var facts = stat()
            guard stat(path, &facts) == 0 else {
                throw refusal("\(SystemError("stat", errno: Errno(rawValue: errno)))")
            }
            let device = UInt64(facts.st_mode & S_IFMT == S_IFBLK ? facts.st_rdev : facts.st_dev)
            // As major(3) and minor(3) do, which are macros and so not there for Swift.
            let major = device >> 8 & 0xFFF | device >> 32 & 0xFFFF_F000
            let minor = device & 0xFF | device >> 12 & 0xFFFF_FF00
            number = "\(major):\(minor)"
        }
        let place = "/sys/dev/block/\(number)"
        guard isDirectory(place) else {
            throw refusal(
                number.hasPrefix("0:")
                    ? "its filesystem has no block device of its own" : "there is no block device \(number)")
        }
        if (try? readTextFile(place + "/partition")) != nil {
            number = (try? readTextFile(place + "/../dev")).map { String($0.prefix { $0 != "\n" }) } ?? ""
        }
        guard let disk = IOLimit.Device(number) else { throw refusal("its disk has no number") }
        return disk
    }

    /// Any disk of this machine; `nil` if there is none.
    package static var any: IOLimit.Device? {
        let table = (try? readTextFile("/proc/partitions")) ?? ""
        return table.split(separator: "\n").dropFirst().lazy.compactMap { line in
            try? IOLimit.Device(line.split(separator: " ").prefix(2).joined(separator: ":"))?.disk()
        }.first
    }
}
