import CgroupSandbox
import Cgroups
import LinuxSystem
import SandboxValues
import SystemdBus
import Testing

@testable import cgrun

func parse(_ words: [String]) throws -> RunRequest {
    try RunRequest(parsing: words.map { ByteString($0.utf8)! }[...])
}

/// The message with which a command line is refused.
func refusal(_ words: [String]) -> String? {
    do {
        _ = try parse(words)
        return nil
    } catch let error as UsageError {
        return error.message
    } catch {
        return nil
    }
}

@Suite struct SpellingTests {
    /// A value for each option, and what tells that it was taken.
    static let values: [(RunOption, String, @Sendable (RunRequest) -> Bool)] = [
        (.limit(.memoryMax), "64M", { $0.spec.job.limits.memoryMax == .value(.bytes(64 << 20)) }),
        (.limit(.memoryHigh), "1K", { $0.spec.job.limits.memoryHigh == .value(.bytes(1024)) }),
        (.limit(.swapMax), "0", { $0.spec.job.limits.swapMax == .value(.bytes(0)) }),
        (.limit(.pidsMax), "32", { $0.spec.job.limits.pidsMax == .value(32) }),
        (.limit(.cpuMax), "1.5", { $0.spec.job.limits.cpuMax?.value?.cores == 1.5 }),
        (.limit(.cpuWeight), "50", { $0.spec.job.limits.cpuWeight?.value == 50 }),
        (.limit(.ioMax), "8:0:rbps=1M", { $0.spec.job.limits.ioMax == [try? IOLimit(parsing: "8:0:rbps=1M")] }),
        (.limit(.cpuset), "0-1", { $0.spec.job.limits.cpuset?.processors == [0, 1] }),
        (.setting(.timeout), "90s", { $0.spec.job.timeout == .seconds(90) }),
        (.setting(.cpuTime), "1.5h", { $0.spec.job.cpuTimeout == .seconds(5400) }),
        (.setting(.stopSignal), "INT", { $0.spec.job.stopSignal == .interrupt }),
        (.setting(.killAfter), "0", { $0.spec.job.grace == .zero }),
        (.setting(.killMode), "mixed", { $0.spec.job.killMode == .mixed }),
        (.setting(.strays), "term", { $0.spec.job.strays == .terminate }),
        (.setting(.cgroupManager), "cgroupfs", { $0.spec.manager == .cgroupfs }),
        (.setting(.cgroupParent), "/a/b", { $0.spec.job.cgroupParent == "/a/b" }),
        (.setting(.slice), "batch", { $0.spec.unit.slice == "batch.slice" }),
        (.setting(.unit), "nightly.scope", { $0.spec.unit.name == "nightly" }),
        (.setting(.description), "a b", { $0.spec.unit.description == "a b" }),
        (
            .setting(.property), "OOMPolicy=kill",
            { $0.spec.unit.properties == [UnitProperty("OOMPolicy", .string("kill"))] }
        ),
        (.setting(.report), "r=1.json", { $0.reportFile == "r=1.json" }),
        (.setting(.reportFD), "2", { $0.reportDescriptor == 2 }),
        (.setting(.setenv), "A=b=c", { $0.spec.job.environment.last == "A=b=c" }),
        (.setting(.workingDirectory), "/srv", { $0.spec.job.workingDirectory == "/srv" }),
        (.setting(.uid), "0", { $0.spec.job.credentials?.uid == 0 }),
        (.setting(.gid), "12345", { $0.spec.job.credentials?.gid == 12345 }),
    ]

    static let flags: [(RunOption, @Sendable (RunRequest) -> Bool)] = [
        (.setting(.waitAll), { $0.spec.job.waitsForAll }),
        (.setting(.noDieWithParent), { !$0.spec.diesWithParent }), (.setting(.closeFDs), { $0.spec.closesDescriptors }),
        (.setting(.failOnOOM), { $0.spec.job.failsOnOOM }), (.setting(.quiet), { $0.isQuiet }),
        (.setting(.verbose), { $0.isVerbose }),
        (.setting(.dryRun), { $0.isDryRun }), (.setting(.pty), { $0.wantsTerminal }),
        (.setting(.user), { $0.spec.unit.domain == .user }),
        (.setting(.system), { $0.spec.unit.domain == .system }),
    ]

    @Test func everyOptionIsTried() {
        let tried = Self.values.map(\.0) + Self.flags.map(\.0) + [.setting(.dieWithParent)]
        #expect(Set(tried) == Set(RunOption.allCases))
    }

    @Test(arguments: values.indices) func valuesComeInEverySpelling(_ index: Int) throws {
        let (option, value, isTaken) = Self.values[index]
        #expect(!isTaken(try parse(["true"])), "--\(option.name) is told by its default")
        var spellings = [["--\(option.name)", value], ["--\(option.name)=\(value)"]]
        if let letter = option.short { spellings += [["-\(letter)", value], ["-\(letter)\(value)"]] }
        for words in spellings {
            #expect(isTaken(try parse(words + ["true"])), "\(words)")
            #expect(isTaken(try parse(words + ["--", "true"])), "\(words)")
            #expect(try parse(words + ["true", "x"]).spec.job.arguments == ["true", "x"])
        }
    }

    @Test(arguments: flags.indices) func flagsComeInEverySpelling(_ index: Int) throws {
        let (option, isSet) = Self.flags[index]
        #expect(!isSet(try parse(["true"])))
        #expect(isSet(try parse(["--\(option.name)", "true"])))
        if let letter = option.short { #expect(isSet(try parse(["-\(letter)", "true"]))) }
    }

    @Test func lettersMayBeJoined() throws {
        let both = try parse(["-qv", "true"])
        #expect(both.isQuiet && both.isVerbose)
        let withValue = try parse(["-qvC", "/srv", "true"])
        #expect(withValue.isQuiet && withValue.spec.job.workingDirectory == "/srv")
        #expect(try parse(["-qC/srv", "true"]).spec.job.workingDirectory == "/srv")
        #expect(try parse(["-qEA=b", "true"]).spec.job.environment.last == "A=b")
    }

    /// The value of a short option is what follows it, an equals sign included.
    @Test func shortOptionsTakeNoEqualsSign() throws {
        #expect(try parse(["-C=/srv", "true"]).spec.job.workingDirectory == "=/srv")
        #expect(refusal(["-E=b", "true"]) != nil)
    }

    @Test func theLastOneCounts() throws {
        #expect(try parse(["--pids", "1", "--pids=2", "true"]).spec.job.limits.pidsMax == .value(2))
        #expect(try parse(["--no-die-with-parent", "--die-with-parent", "true"]).spec.diesWithParent)
        #expect(!(try parse(["--die-with-parent", "--no-die-with-parent", "true"]).spec.diesWithParent))
        let environment = try parse(["-E", "A=1", "-E", "B=2", "-E", "A=3", "true"]).spec.job.environment
        #expect(environment.suffix(2) == ["B=2", "A=3"])
    }

    @Test func defaultsAreAsDocumented() throws {
        let spec = try parse(["true"]).spec
        #expect(spec.job.limits == Limits())
        #expect(spec.job.stopSignal == .terminate)
        #expect(spec.job.grace == .seconds(5))
        #expect(spec.diesWithParent && !spec.closesDescriptors && !spec.job.failsOnOOM)
        #expect(spec.job.timeout == nil && spec.job.cpuTimeout == nil && spec.job.credentials == nil)
        #expect(spec.manager == .auto && spec.job.cgroupParent == nil)
    }
}

@Suite struct CommandWordTests {
    @Test func everythingAfterTheCommandIsItsOwn() throws {
        let words = ["make", "-j4", "--mem", "1G", "--", "-q", "--help", "--version", "$HOME", "", "-"]
        let request = try parse(["--pids", "5"] + words)
        #expect(request.spec.job.arguments.map(\.description) == words)
        #expect(request.spec.job.limits.memoryMax == nil && !request.isQuiet)
    }

    @Test func twoDashesEndTheOptions() throws {
        #expect(try parse(["--", "--mem"]).spec.job.arguments == ["--mem"])
        #expect(try parse(["-q", "--", "-v", "x"]).spec.job.arguments == ["-v", "x"])
        #expect(try parse(["--", "--"]).spec.job.arguments == ["--"])
        #expect(try parse(["--", "run"]).spec.job.arguments == ["run"])
    }

    @Test func aDashIsACommand() throws {
        #expect(try parse(["-", "x"]).spec.job.arguments == ["-", "x"])
    }

    @Test func bytesPassThrough() throws {
        let odd = ByteString([0xFF, 0xC3, 0x28, 0x80, 0x0A])!
        let request = try RunRequest(
            parsing: ["-E", ByteString(Array("A=".utf8) + odd.bytes)!, "-C", odd, "--", odd, odd])
        #expect(request.spec.job.arguments == [odd, odd])
        #expect(request.spec.job.workingDirectory == odd)
        #expect(request.spec.job.environment.last?.bytes == Array("A=".utf8) + odd.bytes)
        let joined = try RunRequest(parsing: [ByteString(Array("--setenv=A=".utf8) + odd.bytes)!, "x"])
        #expect(joined.spec.job.environment.last?.bytes == Array("A=".utf8) + odd.bytes)
    }

    @Test(arguments: [[], ["--"], ["-q"], ["--mem", "64M"], [""], ["--", ""], ["-q", "--"]])
    func noCommandIsRefused(_ words: [String]) {
        #expect(refusal(words)?.hasPrefix("no command given; expected cgrun") == true)
    }
}

@Suite struct RefusalMessageTests {
    /// Option, value, and what would have been taken, in one line.
    @Test(arguments: [
        ("mem", "2MB", "bytes, a number with K, M, G or T"), ("mem", "0", "more than 0"),
        ("mem-high", "-1", "bytes"), ("swap", "2 G", "bytes"), ("pids", "0", "from 1 to 4194304, or max"),
        ("cpu", "0", "a number of processors"), ("cpu-weight", "0", "from 1 to 10000"),
        ("cpuset", "3-1", "processor numbers and ranges"), ("timeout", "5", "a number with ms, s, m, h or d"),
        ("cpu-time", "0s", "more than 0"), ("kill-after", "soon", "a number with ms"),
        ("stop-signal", "FOO", "a signal such as TERM"), ("cgroup-manager", "docker", "auto, systemd or cgroupfs"),
        ("slice", "a--b", "a slice's name"), ("unit", "a b", "letters, digits"),
        ("unit", "x.service", "letters, digits"),
        ("description", "", "one line of"), ("description", "a\\", "one line of"), ("description", " a", "one line of"),
        ("description", "a ", "one line of"), ("property", "MemoryMax=1G", "--mem"), ("property", "x", "KEY=VALUE"),
        ("cgroup-parent", "../x", "a cgroup as in /proc/PID/cgroup"), ("cgroup-parent", "", "a cgroup"),
        ("report", "", "a file"), ("report-fd", "x", "an open descriptor"), ("report-fd", "-1", "an open descriptor"),
        ("report-fd", "+1", "an open descriptor"), ("report-fd", "1000000", "an open descriptor"),
        ("setenv", "=x", "NAME=VALUE"), ("setenv", "", "NAME=VALUE"), ("working-directory", "", "a directory"),
        ("uid", "no-such-user-here", "a user's name or number"),
        ("gid", "no-such-group-here", "a group's name or number"),
        ("uid", "4294967295", "a user's name or number"), ("uid", "", "a user's name or number"),
        ("uid", "+5", "a user's name or number"),
        ("gid", "+5", "a group's name or number"), ("stop-signal", "+15", "a signal such as TERM"),
        ("uid", "3999999999", "expected --gid, too"),
    ])
    func nameOptionValueAndForm(_ option: String, _ value: String, _ accepted: String) throws {
        for words in [["--\(option)", value], ["--\(option)=\(value)"]] {
            let message = try #require(refusal(words + ["true"]), "\(words)")
            #expect(message.hasPrefix("--\(option) \(value): "))
            #expect(message.contains("expected ") && message.contains(accepted), "\(message)")
            #expect(!message.contains("\n"))
        }
    }

    /// systemd would read what follows a line end as a setting of its own.
    @Test(arguments: [
        ("description", "a\nOnSuccess=b.service"), ("description", "a\r\nb"), ("description", "a\rb"),
        ("description", "a\u{1B}[0m"), ("description", "a\tb"), ("description", String(repeating: "a", count: 4_096)),
        ("unit", "a\nb"), ("unit", "a\n"), ("unit", "a\r\n"), ("unit", "a\u{1B}"), ("slice", "a\nb"), ("slice", "a\n"),
        ("property", "SourcePath=/a\nOnSuccess=b.service"), ("property", "Documentation=man:a\nOnSuccess=b.service"),
        ("property", "After=a.service\nOnSuccess=b.service"), ("property", "OOMPolicy=kill\n"),
    ])
    func textOfUnitsIsALine(_ option: String, _ value: String) throws {
        #expect(try #require(refusal(["--\(option)", value, "true"])).contains("expected "))
    }

    @Test(arguments: RunOption.allCases) func valuesAreNeededOrNotAllowed(_ option: RunOption) throws {
        if option.valueName != nil {
            #expect(refusal(["--\(option.name)"])?.hasPrefix("--\(option.name) needs a value") == true)
            #expect(refusal(["--\(option.name)", "--", "x"])?.contains("needs a value") == true)
        } else {
            #expect(refusal(["--\(option.name)=1", "x"])?.contains("takes no value") == true)
        }
    }

    @Test(arguments: ["--me", "--Mem", "--memory", "-x", "-é", "--=x", "--mem-High", "---mem"])
    func unknownNamesAreLeftToArgumentParser(_ word: String) {
        #expect(throws: RunRequest.UnknownOption.self) { try parse([word, "1", "true"]) }
    }

    @Test func mistakesAreFoundInTheMiddleOfJoinedLetters() {
        #expect(throws: RunRequest.UnknownOption.self) { try parse(["-qx", "true"]) }
    }
}
