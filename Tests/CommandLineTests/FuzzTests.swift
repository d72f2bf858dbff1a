import CgroupSandbox
import Cgroups
import LinuxSystem
import SandboxValues
import Testing

@testable import cgrun

/// Random command lines: none may crash the parser, and what was meant must be what is understood.
@Suite struct FuzzTests {
    private static let pieces: [[UInt8]] =
        (RunOption.allCases.flatMap { option -> [String] in
            ["--\(option.name)", "--\(option.name)=", option.short.map { "-\($0)" } ?? "-"]
        } + [
            "--", "-", "=", "", "-qv", "64M", "max", "0", "1.5", "TERM", "A=b", "/", "..", "run", "sweep", "%", "50%",
            "h",
        ])
        .map { Array($0.utf8) } + [[0xFF], [0xC3, 0x28], [0x0A], [0xE2, 0x82]]

    @Test func nothingCrashesTheParser() {
        var understood = 0
        for _ in 0..<20_000 {
            let words = (0..<Int.random(in: 0...6)).map { _ in
                ByteString((0..<Int.random(in: 1...3)).flatMap { _ in Self.pieces.randomElement()! })!
            }
            do {
                let request = try RunRequest(parsing: words[...])
                understood += 1
                // What is taken for the command is the end of what was given.
                #expect(words.suffix(request.spec.job.arguments.count) == request.spec.job.arguments[...])
                #expect(request.spec.job.arguments.first?.bytes.isEmpty == false)
            } catch let error as UsageError {
                // One line, whatever bytes the value had, would need escaping; the first names the fault.
                #expect(!error.message.isEmpty)
            } catch {
                #expect(error is RunRequest.UnknownOption)
            }
        }
        #expect(understood > 100)
    }

    @Test func randomBytesCrashNothing() {
        for _ in 0..<5_000 {
            let words = (0..<Int.random(in: 0...4)).map { _ in
                ByteString((0..<Int.random(in: 0...8)).map { _ in UInt8.random(in: 1...255) })!
            }
            _ = try? RunRequest(parsing: words[...])
            let text = words.first?.description ?? ""
            _ = try? Ceiling<MemoryAmount>(parsing: text)
            _ = try? Ceiling<Int>(parsingCount: text)
            _ = try? CPUBandwidth(parsing: text)
            _ = try? CPUSet(parsing: text)
            _ = try? Duration(parsingLimit: text)
            _ = Signal(name: text)
        }
    }

    /// Options in any order and spelling, then the command: all of it is understood as it was meant.
    @Test func whatWasMeantIsUnderstood() throws {
        for _ in 0..<2_000 {
            var words: [String] = []
            let memory = UInt64.random(in: 1...UInt64(Int64.max))
            let pids = Int.random(in: 1...4_194_304)
            let seconds = Int64.random(in: 1...9_000_000)
            var options = [("--mem", "\(memory)"), ("--pids", "\(pids)"), ("--timeout", "\(seconds)s"), ("-q", "")]
            options.append(("--setenv", "KEY=\(memory)=--mem"))
            for (name, value) in options.shuffled() {
                if value.isEmpty {
                    words.append(name)
                } else if Bool.random() {
                    words.append("\(name)=\(value)")
                } else {
                    words += [name, value]
                }
            }
            let command = ["cmd", "--mem", "1", "-v"].prefix(Int.random(in: 1...4))
            let request = try parse(words + (Bool.random() ? ["--"] : []) + command)
            #expect(request.spec.job.limits.memoryMax == .value(.bytes(memory)))
            #expect(request.spec.job.limits.pidsMax == .value(pids))
            #expect(request.spec.job.timeout == .seconds(seconds))
            #expect(request.isQuiet && !request.isVerbose)
            #expect(request.spec.job.environment.last?.description == "KEY=\(memory)=--mem")
            #expect(request.spec.job.arguments.map(\.description) == Array(command))
        }
    }
}
