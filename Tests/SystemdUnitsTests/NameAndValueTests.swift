import SandboxValues
import SystemdUnits
import Testing

@Suite("Names of units")
struct NameTests {
    @Test("taken", arguments: ["api", "api.service", "a-b_c:d.e", #"a\x20b"#, "w@", "w@1", "0"])
    func taken(text: String) throws {
        let name = try UnitName(text, .service)
        #expect(name.description == (text.hasSuffix(".service") ? text : text + ".service"))
    }

    @Test("refused", arguments: ["", "a b", "a/b", "@x", ".hidden", "a@b@c", "ü", "a.socket", "a\n", "a%n", "a.mount"])
    func refused(text: String) {
        let error = #expect(throws: UnitError.self) { try UnitName(text, .service) }
        #expect(error?.key == "unit name")
        #expect(error?.value == text)
    }

    @Test("255 characters at most")
    func length() throws {
        _ = try UnitName(String(repeating: "a", count: 247), .service)
        #expect(throws: UnitError.self) { try UnitName(String(repeating: "a", count: 248), .service) }
    }

    @Test("slices nest by dashes", arguments: ["a--b", "-a", "a-", "a@b"])
    func slices(text: String) {
        #expect(throws: UnitError.self) { try UnitName(text, .slice) }
    }

    @Test(
        "escapes as systemd-escape writes them",
        arguments: [
            ("a b", #"a\x20b"#), ("a@b", #"a\x40b"#), (#"a\b"#, #"a\x5cb"#), ("é", #"\xc3\xa9"#), (".x", #"\x2ex"#),
            ("a-b_c.d:e", "a-b_c.d:e"),
        ])
    func escaped(text: String, stem: String) throws {
        #expect(try UnitName(escaping: text, .service).stem == stem)
    }
}

@Suite("Values")
struct ValueTests {
    @Test(
        "sizes",
        arguments: [
            (1 << 30, "1G"), (1536 << 20, "1536M"), (4096, "4K"), (1000, "1000"), (0, "0"), (3 << 40, "3T"),
        ])
    func sizes(bytes: Int, text: String) {
        #expect(Ceiling.value(MemoryAmount.bytes(UInt64(bytes))).unitText == text)
    }

    @Test(
        "quotas",
        arguments: [
            ("1.5", "150%"), ("0.01", "1%"), ("0.125", "12.5%"), ("0.1234", "12.34%"), ("0.50011", "50.02%"),
            ("max", "infinity"),
        ])
    func quotas(cores: String, text: String) throws {
        #expect(try Ceiling(parsingCores: cores).unitText == text)
    }

    @Test(
        "times",
        arguments: [
            (30_000, "30s"), (500, "500ms"), (60_000, "60s"), (120_000, "2min"), (90_000, "90s"), (0, "0"),
            (1_500, "1500ms"),
        ])
    func times(milliseconds: Int, text: String) {
        #expect(ValueText.span(.milliseconds(milliseconds)) == text)
    }

    private func service(_ change: (inout Service) -> Void) throws -> String {
        var service = Service(name: try UnitName("x", .service), summary: "x", command: Command(path: "/bin/x"))
        change(&service)
        return try service.file().text()
    }

    @Test(
        "refusals name key and value",
        arguments: [
            "WorkingDirectory", "User", "Group", "EnvironmentFile", "StandardOutput", "UMask", "ReadWritePaths",
            "After", "Description",
            "Environment", "LimitNOFILE", "SyslogIdentifier", "WantedBy", "StartLimitBurst",
        ])
    func refusals(key: String) throws {
        let error = #expect(throws: UnitError.self) {
            try service { service in
                switch key {
                case "WorkingDirectory": service.workingDirectory = "relative"
                case "User": service.user = "no body"
                case "Group": service.group = "-x"
                case "EnvironmentFile": service.environmentFiles = ["-x"]
                case "StandardOutput": service.output = .file("/a/../b")
                case "UMask": service.umask = 0o10000
                case "ReadWritePaths": service.hardening = Hardening(.standard, writablePaths: ["x"])
                case "After": service.dependencies.after = ["network"]
                case "Description": service.summary = "a\nb"
                case "Environment": service.environment = [EnvironmentVariable("", "x")]
                case "LimitNOFILE": service.openFiles = 0
                case "SyslogIdentifier": service.syslogIdentifier = " x"
                case "StartLimitBurst": service.startLimit = Service.StartLimit(burst: 0, interval: .seconds(1))
                default: service.wantedBy = ["x"]
                }
            }
        }
        #expect(error?.key == key)
        #expect(
            error?.description.hasPrefix("\(key)=\(error?.value.replacing("\n", with: #"\n"#) ?? ""): expected ")
                == true)
    }

    @Test("variables that Environment= cannot hold go through env")
    func environment() throws {
        let text = try service {
            $0.environment = [
                EnvironmentVariable("A", "b %c"), EnvironmentVariable("B", ByteString([0xFF])!),
                EnvironmentVariable("c-d", "x"),
            ]
        }
        #expect(text.contains("\nEnvironment=\"A=b %%c\"\n"))
        #expect(text.contains(#"ExecStart=:/usr/bin/env "--" "B=\xff" "c-d=x" "/bin/x""# + "\n"))
    }

    @Test("a program called by another name cannot go through env")
    func environmentWithName() {
        #expect(throws: UnitError.self) {
            try service {
                $0.command = Command(path: "/bin/x", name: "y")
                $0.environment = [EnvironmentVariable("c-d", "x")]
            }
        }
    }

    @Test(
        "addresses of sockets",
        arguments: ["", "http", "host:80", "1.2.3:80", "0", "65536", "[::1]", "relative/path", "@"])
    func addresses(text: String) throws {
        let socket = Socket(name: try UnitName("x", .socket), summary: "x", addresses: [.stream(text)])
        let error = #expect(throws: UnitError.self) { try socket.file() }
        #expect(error?.key == "ListenStream")
    }

    /// No key takes them, whoever made the value.
    @Test("line ends and backslashes at the end", arguments: ["1\nExecStartPre=/bin/x", "1\rUser=root", "1\\"])
    func lines(text: String) throws {
        for change: (inout Service) -> Void in [
            { $0.successExitStatuses = [text] }, { $0.restartPreventExitStatuses = [text] },
            { $0.restartForceExitStatuses = [text] }, { $0.summary = text }, { $0.syslogIdentifier = text },
            { $0.workingDirectory = "/" + text }, { $0.wantedBy = ["x" + text] },
            { $0.environmentFiles = ["/" + text] },
            { $0.output = .file("/" + text) },
        ] {
            let error = #expect(throws: UnitError.self) { try service(change) }
            #expect(error?.description.unicodeScalars.contains { $0.value < 0x20 } == false)
        }
        var timer = Timer(name: try UnitName("x", .timer), summary: "x")
        timer.calendar = ["daily"]
        timer.wantedBy = ["x" + text]
        #expect(throws: UnitError.self) { try timer.file() }
        var section = UnitFile.Section("Unit")
        section.set(.after, "x.target", comment: "one\r\nAfter=y.target\rtwo\n[Service]")
        let file = try UnitFile(path: "x", header: [], sections: [section]).text()
        #expect(!file.contains("\r") && file.hasSuffix("[Unit]\n# oneAfter=y.targettwo\n# [Service]\nAfter=x.target\n"))
    }

    @Test("times of timers", arguments: ["", " daily", "daily; rm", "a\nb"])
    func calendars(text: String) throws {
        var timer = Timer(name: try UnitName("x", .timer), summary: "x")
        timer.calendar = [text]
        #expect(throws: UnitError.self) { try timer.file() }
    }
}
