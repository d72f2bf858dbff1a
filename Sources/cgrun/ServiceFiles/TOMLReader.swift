internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemPackage

/// Has `cgrun-toml` read a file.
enum TOMLReader {
    /// Far more than anybody writes by hand; a device, say, may never end.
    static let largest: UInt64 = 1 << 20

    /// - Throws: why the file cannot be read, or what in it is no TOML.
    static func statements(of path: String) throws -> [Statement] {
        let file: Descriptor
        do { file = try Descriptor(opening: path, O_RDONLY | O_NOCTTY) } catch {
            throw UsageError("\(path.asName): \(error.errno); expected a file with services, as cgrun up --help has it")
        }
        let (isFile, isPipe, length) = (file.isRegularFile, file.isPipe, file.length ?? 0)
        guard isFile && length <= largest || isPipe else {
            throw UsageError("\(path.asName): expected a file with services, as cgrun up --help has it")
        }
        switch try JSONDecoder().decode(StatementList.self, from: Data(try output(reading: file))) {
        case .statements(let statements): return statements
        case .mistake(let line, let text): throw UsageError("\(path.asName):\(line): \(text)")
        }
    }

    private static func output(reading file: borrowing Descriptor) throws -> [UInt8] {
        guard let reader = CompanionProgram("cgrun-toml") else {
            throw UsageError("cannot tell where cgrun is, and cgrun-toml beside it (no /proc?)")
        }
        let answer = try Descriptor.memoryFile(name: "cgrun-toml")
        var program = Program(
            candidates: reader.candidates, arguments: ["cgrun-toml"], environment: ThisProcess.environment)
        program.descriptors = [file.rawValue, answer.rawValue, 2]
        let process: ProcessDescriptor
        do { process = try program.start().takeProcess() } catch {
            throw UsageError(
                "cannot execute \(reader.path): \(error.system.errno); it is installed with cgrun, beside it or in libexec"
            )
        }
        let status = try process.waitForEnd()
        guard status == .exited(code: 0) else { throw UsageError("cgrun-toml failed: \(status)") }
        return try answer.readBytes(path: "the output of cgrun-toml")
    }
}
