import Cgroups
import Glibc
import LinuxSystem
import SandboxValues

/// The programs under test, as `Tests/run` built them.
package enum Programs {
    package static let cgrun = path("CGRUN", "cgrun")
    package static let probe = path("CGRUN_PROBE", "cgrun-probe")
    package static let host = path("CGRUN_HOST", "cgrun-host")
    package static let guardian = cgrun.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/cgrun-guard"

    private static func path(_ variable: String, _ name: String) -> String {
        if let path = ThisProcess.environmentVariable(variable) { return path }
        // Beside the test bundle.
        let bundle = ThisProcess.executablePath ?? ""
        let arguments = CommandLine.arguments.first { $0.contains(".build/") } ?? bundle
        let before = arguments.offset(of: ".build/").flatMap { String(arguments.utf8.prefix($0)) } ?? ""
        return before + ".build/release/" + name
    }
}

extension String {
    /// Where the text has this part, in bytes. By the C library: tests look through much text, built without
    /// optimisation, and on machines that are emulated.
    package func offset(of part: String) -> Int? {
        let (whole, part) = (Array(utf8), Array(part.utf8))
        guard let first = part.first else { return 0 }
        return whole.withUnsafeBytes { whole in
            var start = 0
            while start + part.count <= whole.count,
                let found = memchr(whole.baseAddress! + start, CInt(first), whole.count - part.count + 1 - start)
            {
                if memcmp(found, part, part.count) == 0 { return UnsafeRawPointer(found) - whole.baseAddress! }
                start = UnsafeRawPointer(found) - whole.baseAddress! + 1
            }
            return nil
        }
    }

    package func contains(text part: String) -> Bool { offset(of: part) != nil }
}

/// How a program ended, and what it wrote.
package struct Outcome: Sendable {
    package var status: ExitStatus
    package var output: String
    package var errors: String

    package var exitCode: Int? {
        if case .exited(let code) = status { Int(code) } else { nil }
    }

    /// What a shell shows as `$?`.
    package var shellStatus: Int {
        switch status {
        case .exited(let code): Int(code)
        case .signaled(let signal, _): 128 + Int(signal.rawValue)
        }
    }

    package var lines: [String] { output.split(separator: "\n").map(String.init) }
}

/// A program that a test started. Its output goes to memory, so that nobody has to read along.
package final class TestProcess {
    package let process: ProcessDescriptor
    private let standardOutput: Descriptor
    private let standardError: Descriptor
    private var ended: ExitStatus?

    /// - Parameters:
    ///   - marker: found in the environment of everything that descends from the process.
    ///   - standardInput: a descriptor; `nil` for nothing to read.
    package init(
        _ arguments: [String], marker: String, environment: [String: String] = [:], standardInput: CInt? = nil,
        standardOutput output: CInt? = nil, newSession: Bool = false, workingDirectory: String? = nil
    ) throws {
        standardOutput = try Self.outputFile("stdout")
        standardError = try Self.outputFile("stderr")
        let null = try Descriptor(opening: "/dev/null", O_RDWR)
        var spec = Program(
            candidates: Self.candidates(arguments[0]), arguments: arguments.map { ByteString($0.utf8)! },
            environment: ThisProcess.environment.filter {
                !$0.description.hasPrefix("CGRUN_") || $0.description.hasPrefix("CGRUN_CGROUP_MANAGER=")
            })
        for (name, value) in environment.merging([Marker.variable: marker], uniquingKeysWith: { a, _ in a }) {
            spec.environment.removeAll { $0.description.hasPrefix(name + "=") }
            spec.environment.append(ByteString("\(name)=\(value)".utf8)!)
        }
        spec.descriptors = [
            standardInput ?? null.rawValue, output ?? standardOutput.rawValue, standardError.rawValue,
        ]
        spec.startsSession = newSession
        spec.workingDirectory = workingDirectory.map { ByteString($0.utf8)! }
        process = try spec.start().takeProcess()
    }

    /// Appended to, or several writers at a time would write over each other.
    private static func outputFile(_ name: String) throws -> Descriptor {
        let file = try Descriptor.memoryFile(name: name)
        guard fcntl(file.rawValue, F_SETFL, O_APPEND) == 0 else { throw TestFailure("fcntl(O_APPEND)") }
        return file
    }

    private static func candidates(_ command: String) -> [ByteString] {
        if command.contains("/") { return [ByteString(command.utf8)!] }
        return ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map { ByteString("\($0)/\(command)".utf8)! }
    }

    package var pid: ProcessID { process.pid }
    package var output: String { (try? standardOutput.readAll(path: "stdout")) ?? "" }
    package var errors: String { (try? standardError.readAll(path: "stderr")) ?? "" }
    package var hasEnded: Bool { ended != nil || process.hasEnded }

    package func send(_ signal: Signal) { try? process.send(signal) }

    /// Waits for the end; a process that takes longer is killed and fails the test.
    package func end(within limit: Duration = .seconds(30)) throws -> Outcome {
        if ended == nil {
            let limit = limit * patience
            var poller = Poller()
            poller.add(process.descriptor.rawValue)
            guard poller.wait(limit)[0] else {
                send(.kill)
                ended = try process.waitForEnd()
                throw TestFailure("\(pid) did not end within \(limit); stdout: \(output); stderr: \(errors)")
            }
            ended = try process.waitForEnd()
        }
        return Outcome(status: ended!, output: output, errors: errors)
    }

    /// Waits until the output holds a text.
    package func waitForOutput(_ text: String, within limit: Duration = .seconds(20)) throws {
        try eventually(within: limit, "\"\(text)\" in the output, which is \"\(output)\", \"\(errors)\"") {
            output.contains(text: text)
        }
    }

    deinit {
        if ended == nil {
            try? process.send(.kill)
            _ = try? process.waitForEnd()
        }
    }
}

package struct TestFailure: Error, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// How much longer than on a real machine things may take: more than 1 under emulation.
package let patience = ThisProcess.environmentVariable("CGRUN_TEST_PATIENCE").flatMap { Int($0) } ?? 1

package func pause(_ duration: Duration) {
    var poller = Poller()
    _ = poller.wait(duration)
}

/// Looks again and again until something holds.
package func eventually(
    within limit: Duration = .seconds(10), _ what: @autoclosure () -> String, _ holds: () throws -> Bool
) throws {
    let limit = limit * patience
    let deadline = BootTime.now + limit
    while try !holds() {
        guard BootTime.now < deadline else { throw TestFailure("not within \(limit): \(what())") }
        // Looking is work, and an emulated machine has none to spare.
        pause(.milliseconds(2 * patience))
    }
}
