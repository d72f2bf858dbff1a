import SystemdUnits
import Testing

/// What supervisord's parser makes of a file, seen through the units.
@Suite("Supervisor's parser")
struct SupervisorParserTests {
    @Test(
        "commands are split as shlex does",
        arguments: [
            ("/bin/x a b", #"/bin/x "a" "b""#),
            ("/bin/x 'a b' \"c d\"", #"/bin/x "a b" "c d""#),
            (#"/bin/x a\ b "e\"f" 'g\h' "i\j""#, #"/bin/x "a b" "e\"f" "g\\h" "i\\j""#),
            ("/bin/x '' a''b", #"/bin/x "" "ab""#),
            ("/bin/x $HOME ~ *", #"/bin/x "$HOME" "~" "*""#),
            ("/bin/x a;b #c", #"/bin/x "a;b""#),
            ("/bin/x a ;b", #"/bin/x "a""#),
            ("/bin/x a#b", "/bin/x \"a#b\""),
            ("/bin/x 100%%", #"/bin/x "100%%""#),
            ("/bin/x\n  a\n\n  b ; gone\n\tc", #"/bin/x "a" "b" "c""#),
            ("/bin/x %(program_name)s %(group_name)s", #"/bin/x "p" "p""#),
            ("/bin/x %(process_num)03d|%(process_num)d|%(numprocs)x", #"/bin/x "000|0|1""#),
            ("/bin/x %(ENV_HOME)s %(here)s %(host_node_name)s", #"/bin/x "/root" "/etc/s" "host""#),
            ("/bin/x %(program_name)-3s|%(program_name)3s|", #"/bin/x "p" "|" "p|""#),
        ])
    func commands(command: String, expected: String) throws {
        let text = try convert("[program:p]\ncommand=\(command)\n").unit("p.service")
        #expect(text.contains("\nExecStart=:" + expected + "\n"))
    }

    @Test("the first round that finds a comment decides")
    func commentRounds() throws {
        let text = try convert("[program:p]\ncommand=/bin/x a#b #c ;d\n").unit("p.service")
        #expect(text.contains("ExecStart=:/bin/x \"a#b\" \"#c\"\n"))
    }

    @Test(
        "environments are read as supervisor does",
        arguments: [
            ("A=1,B=2", ["A=1", "B=2"]), ("A=\"x,y\",B='z'", ["A=x,y", "B=z"]),
            ("A=a/b.c:d-e(f)+g", ["A=a/b.c:d-e(f)+g"]),
            ("A=\"\"", ["A="]), ("A=1;B=2", ["A=1", "B=2"]), ("A='\"q\"'", ["A=q"]), ("A=1,\n  B=2,", ["A=1", "B=2"]),
            ("A=1,A=2", ["A=2"]), ("A=\"50%%\"", ["A=50%%"]), ("A=\"%(ENV_HOME)s\"", ["A=/root"]),
        ])
    func environments(value: String, expected: [String]) throws {
        let text = try convert("[program:p]\ncommand=/bin/x\nenvironment=\(value)\n").unit("p.service")
        let lines = text.split(separator: "\n").filter { $0.hasPrefix("Environment=") && !$0.contains("SUPERVISOR_") }
        #expect(lines.map(String.init) == expected.map { "Environment=\"\($0)\"" })
    }

    @Test("sections merge, keys know no case, [DEFAULT] counts everywhere")
    func sections() throws {
        let text = try convert(
            """
            [DEFAULT]
            directory = /srv
            [program:p]
            COMMAND : /bin/x
            stopsignal=int
            [program:p]
            stopsignal=QUIT
            """
        ).unit("p.service")
        #expect(text.contains("WorkingDirectory=/srv\n"))
        #expect(text.contains("KillSignal=SIGQUIT\n"))
    }

    @Test("includes are one level deep, sorted, and know where they are")
    func includes() throws {
        let conversion = try convert(
            [
                "/etc/s/main.conf": "[supervisord]\n[include]\nfiles = conf.d/*.conf /abs/%(ENV_HOME)s.ini\n",
                "/etc/s/conf.d/b.conf": "[program:b]\ncommand=/bin/b %(here)s\n[include]\nfiles=other\n",
                "/etc/s/conf.d/a.conf": "[program:a]\ncommand=/bin/a\n",
            ], main: "/etc/s/main.conf")
        #expect(conversion.units.map(\.path) == ["a.service", "b.service"])
        #expect(try conversion.unit("b.service").contains("ExecStart=:/bin/b \"/etc/s/conf.d\"\n"))
        #expect(
            conversion.findings.contains {
                $0.section == "include" && $0.grade == .dropped && $0.value == "/abs//root.ini"
            })
        #expect(conversion.findings.contains { $0.note.contains("no includes of included files") })
    }

    @Test("what a program defines, its command may use")
    func ownEnvironment() throws {
        let text = try convert(
            "[supervisord]\nenvironment=A=1\n[program:p]\ncommand=/bin/x %(ENV_A)s%(ENV_B)s\nenvironment=B=2\n"
        )
        .unit("p.service")
        #expect(text.contains("ExecStart=:/bin/x \"12\"\n"))
        #expect(text.contains("Environment=\"A=1\"\nEnvironment=\"B=2\"\n"))
    }

    @Test("a program's own PATH finds it, and its name stays as it was written")
    func search() throws {
        let text = try convert("[program:p]\ncommand=tool -x\nenvironment=PATH=\"/a:/opt/bin\"\n").unit("p.service")
        #expect(text.contains("ExecStart=:@/opt/bin/tool \"tool\" \"-x\"\n"))
    }

    @Test(
        "refusals name file, section and key",
        arguments: [
            ("key=value\n", "first key"), ("[program:p]\nnonsense\n", ":2:"), ("[program:p]\n=x\n", ":2:"),
            ("[program:p]\n", "[program:p] command: expected a command"), ("[program:p]\ncommand=\n", "command"),
            ("[program:p]\ncommand=/bin/x 'a\n", "closing quote"), ("[program:p]\ncommand=/bin/x \\\n", "backslash"),
            ("[program:p]\ncommand=nowhere\n", "found in PATH"),
            ("[program:p]\ncommand=/bin/x %(no)s\n", "%(no)s is not known"),
            ("[program:p]\ncommand=/bin/x 5%\n", "%%"), ("[program:p]\ncommand=/bin/x %(program_name)d\n", "no format"),
            ("[program:p]\ncommand=/bin/x\nnumprocs=2\n", "process_name"),
            ("[program:p]\ncommand=/bin/x\nnumprocs=x\n", "numprocs"),
            ("[program:p]\ncommand=/bin/x\nautostart=perhaps\n", "autostart"),
            ("[program:p]\ncommand=/bin/x\nautorestart=maybe\n", "autorestart"),
            ("[program:p]\ncommand=/bin/x\nstopsignal=FOO\n", "stopsignal"),
            ("[program:p]\ncommand=/bin/x\numask=9\n", "umask"),
            ("[program:p]\ncommand=/bin/x\nexitcodes=0,256\n", "exitcodes"),
            ("[program:p]\ncommand=/bin/x\nstdout_logfile_maxbytes=1TB\n", "stdout_logfile_maxbytes"),
            ("[program:p]\ncommand=/bin/x\nenvironment=A\n", "environment"),
            ("[program:p]\ncommand=/bin/x\nstopasgroup=true\nkillasgroup=false\n", "killasgroup"),
            ("[program:p]\ncommand=/bin/x\nprocess_name=a/b\n", "without blank, colon and slash"),
            ("[program:a b]\ncommand=/bin/x\n", "without blank, colon and slash"),
            ("[group:g]\nprograms=no\n", "programs"),
            ("[group:g]\n", "programs"), ("[include]\n", "files"), ("[fcgi-program:f]\ncommand=/bin/x\n", "socket"),
            ("[fcgi-program:f]\ncommand=/bin/x\nsocket=udp://x:1\n", "socket"),
            ("[fcgi-program:f]\ncommand=/bin/x\nsocket=tcp://h:1\nsocket_mode=0600\n", "socket"),
        ])
    func refusals(text: String, words: String) {
        let error = #expect(throws: SupervisorError.self) { try convert(text) }
        #expect(error?.description.contains("/etc/s/main.conf") == true)
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
}

// MARK: Help

func convert(_ text: String, options: SupervisorConversion.Options = .init()) throws -> SupervisorConversion {
    try convert(["/etc/s/main.conf": text], main: "/etc/s/main.conf", options: options)
}

func convert(
    _ files: [String: String], main: String, options: SupervisorConversion.Options = .init()
) throws -> SupervisorConversion {
    let surroundings = SupervisorSurroundings(
        readFile: { files[$0] },
        glob: { pattern in
            // Only what the tests use: one star for a whole name.
            guard let star = pattern.firstIndex(of: "*") else { return files[pattern] == nil ? [] : [pattern] }
            return files.keys.filter {
                $0.hasPrefix(pattern[..<star]) && $0.hasSuffix(pattern[pattern.index(after: star)...])
            }
        },
        environment: { $0 == "HOME" ? "/root" : nil },
        findExecutable: { name, directories in
            if let directories { return directories.contains("/opt/bin") ? "/opt/bin/" + name : nil }
            return name == "nowhere" ? nil : "/usr/bin/" + name
        },
        primaryGroup: { $0 }, hostName: "host")
    return try SupervisorConversion(files: [main], surroundings: surroundings, options: options)
}

extension SupervisorConversion {
    func unit(_ path: String) throws -> String {
        try units.first { $0.path == path }?.text() ?? "no \(path) among \(units.map(\.path))"
    }

    func finding(_ key: String) -> Finding? { findings.first { $0.key == key } }
}
