internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem
internal import Services
internal import SystemPackage

// cgrun-toml: reads TOML from standard input, and writes its statements to standard output as JSON.
//
// A program of its own, since the TOML library is as large as the rest of cgrun, and would slow every start of it down.

do {
    let bytes = try InheritedDescriptor.duplicate(0).readToEnd(path: "standard input")
    let list = try JSONEncoder().encode(StatementList(parsing: bytes))
    try InheritedDescriptor.duplicate(1).write([UInt8](list), path: "standard output")
} catch {
    let line = Array("cgrun-toml: \(error)\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    exit(125)
}
