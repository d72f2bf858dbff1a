internal import Glibc
internal import SandboxValues

/// Facts about this machine.
package enum Machine {
    package static var kernelRelease: String { withUnsafeName { $0.release } }
    package static var hostName: String { withUnsafeName { $0.nodename } }

    private static func withUnsafeName<Field>(_ field: (utsname) -> Field) -> String {
        var name = utsname()
        uname(&name)
        return withUnsafeBytes(of: field(name)) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// The id of this boot, which never changes and so is read only once; `nil` without `/proc`.
    package static let bootID = (try? readTextFile("/proc/sys/kernel/random/boot_id")).map { String($0.dropLast()) }

    /// RAM in bytes, without swap.
    package static var memoryBytes: UInt64 {
        UInt64(sysconf(CInt(_SC_PHYS_PAGES))) * UInt64(pageSize)
    }

    /// The unit of times in /proc.
    package static var ticksPerSecond: Int { sysconf(CInt(_SC_CLK_TCK)) }
    package static var pageSize: Int { sysconf(CInt(_SC_PAGESIZE)) }

    package static var onlineProcessors: Int { max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))) }

    /// Whether any swap device or file is in use.
    package static var hasSwap: Bool {
        ((try? readTextFile("/proc/swaps")) ?? "").split(separator: "\n").count > 1
    }

    /// 64 bits from the kernel's generator, as 16 lower-case hexadecimal digits.
    package static func randomHexadecimal() -> String {
        digits(UInt64.random(in: .min ... .max), 16, radix: 16)
    }
}
