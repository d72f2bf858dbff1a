import Glibc
import LinuxSystem
import SandboxValues
import Services
import SystemdUnits
import Testing

@testable import cgrun

// Where systemd does something else than cgrun, or where a unit could be misread.

extension ServiceUnitsTests {
    /// A variable that is in a file, too, has the value that it has under cgrun.
    @Test func filesOfVariables() throws {
        let directory = "/tmp/cgrun-test-units-\(Machine.randomHexadecimal())"
        mkdir(directory, 0o700)
        defer { unlink(directory + "/e"); rmdir(directory) }
        try Descriptor(opening: directory + "/e", O_WRONLY | O_CREAT, mode: 0o600).write(
            "A=file\nS=secret\n", path: "e")
        let made = try units(
            "[service.a]\ncommand=[\"x\",\"y\"]\nenv-file=\"e\"\nenv={A=\"own\",B=\"b\"}\n", in: directory)
        let text = try unit("a.service", made)
        #expect(text.contains("\nEnvironmentFile=\(directory)/e\n") && text.contains("\nEnvironment=\"B=b\"\n"))
        #expect(text.contains(#"ExecStart=:/usr/bin/env "--" "A=own" "/usr/bin/x" "y""#))
        #expect(!text.contains("secret"), "units can be read by everybody")
    }

    /// A path is no pattern, and programs are looked up where the file says.
    @Test func pathsOfFilesOfVariables() throws {
        let directory = "/tmp/cgrun-test-units-\(Machine.randomHexadecimal())"
        mkdir(directory, 0o700)
        let name = directory + "/e[1] *.env"
        defer { unlink(name); rmdir(directory) }
        try Descriptor(opening: name, O_WRONLY | O_CREAT, mode: 0o600).write("PATH=/opt/a:/b\n", path: name)
        let text = try unit(
            "a.service", units("[service.a]\ncommand=[\"x\"]\nenv-file=\"e[1] *.env\"\n", in: directory))
        #expect(text.contains("\nEnvironmentFile=\(directory)/e\\[1] \\*.env\n"), "\(text)")
        #expect(text.contains("\nExecStart=:@/opt/a/x \"x\"\n"), "\(text)")
    }

    /// systemd has one kind of start for each service, whoever waits for it.
    @Test func requirementsOfWhatIsAwaited() throws {
        let made = try units(
            """
            [service.job]
            command = ["j"]
            [service.probed]
            command = ["p"]
            ready = { tcp = 1 }
            [service.plain]
            command = ["q"]
            [service.logged]
            command = ["q"]
            ready = { log = "up" }
            log = "l"
            [service.last]
            command = ["l"]
            requires = { job = "completed" }
            [service.a]
            command = ["a"]
            requires = { job = "started", probed = "started", plain = "started", logged = "started" }
            [service.b]
            command = ["b"]
            requires = { job = "ready", probed = "ready" }
            """)
        func note(_ section: String, _ key: String) -> String {
            made.findings.first { $0.section == section && $0.key == key }?.note ?? "none"
        }
        for section in ["service.a", "service.b"] {
            #expect(note(section, "requires.job").contains("waits for the end of that one"), "\(section)")
        }
        #expect(note("service.a", "requires.probed").contains("waits until that one is ready"))
        for (section, key) in [
            ("service.a", "plain"), ("service.a", "logged"), ("service.b", "probed"), ("service.last", "job"),
        ] {
            #expect(note(section, "requires." + key) == "it is restarted with that one, too", "\(section) \(key)")
        }
    }

    /// No unit has a command that runs as root in the environment of a service that does not.
    @Test func noPrivilegedCommands() throws {
        for kind in ["exec = [\"x\"]", "tcp = 1", "http = \"http://127.0.0.1/\"", "log = \"up\"", "delay = \"3s\""] {
            let text = try unit("a.service", units("[service.a]\ncommand=[\"x\"]\nuid=1\nready = { \(kind) }\n"))
            for line in text.split(separator: "\n") where line.hasPrefix("Exec") {
                let prefixes = line.drop { $0 != "=" }.dropFirst().prefix { $0 != "/" }
                #expect(!prefixes.contains("+") && !prefixes.contains("!"), "\(line)")
            }
        }
        let made = try units("[service.a]\ncommand=[\"x\"]\nuid=1\nready.log=\"up\"\n")
        #expect(made.findings.contains { $0.key == "ready.log" && $0.note.contains("may read all of the journal") })
        let strict = try units(
            "[service.a]\ncommand=[\"x\"]\nready.log=\"up\"\n", options: ServiceUnits.Options(hardening: .strict))
        #expect(try unit("a.service", strict).contains("\nSupplementaryGroups=systemd-journal\n"))
    }

    /// What systemd would have weaker is refused.
    @Test(arguments: [
        ("cpu-time = \"10s\"", ":3: service.a.cpu-time 10s: systemd has no limit on the CPU time"),
        ("property = \"IOWeight=5\"", ":3: service.a.property IOWeight=5: this command does not know"),
        ("cgroup-parent = \"/x\"", ":3: service.a.cgroup-parent /x: the limits of that cgroup"),
        (
            "ready.log = \"up\"\nlog = \"l\"\n[service.b]\ncommand=[\"b\"]\nrequires.a=\"ready\"",
            ":3: service.a.ready.log up: others wait"
        ),
        ("[service.b]\ncommand=[\"nowhere\"]", ":4: service.b.command nowhere: nowhere: expected a program"),
        ("reload.command = [\"nowhere\"]", ":3: service.a.reload.command nowhere: nowhere: expected a program"),
        ("dir = \"/x \"", ":3: service.a.dir /x : /x : expected one line"),
        ("log.file = \"/x/l \"", ":3: service.a.log.file /x/l : /x/l : expected one line"),
        ("[service.b]\ncommand=[\"/x\\\"y\"]", ":4: service.b.command /x\"y: /x\"y: expected an executable"),
        ("reload.command = [\"/x'y\"]", ":3: service.a.reload.command /x'y: /x'y: expected an executable"),
        (
            "[service.b]\ncommand=[\"/x=y\"]\nenv={\"B-C\"=\"z\"}",
            ":5: service.b.env.B-C z: it takes env(1), to which /x=y is a variable"
        ),
        ("[service.dbus]\ncommand=[\"x\"]", ":3: service.dbus: unit name dbus.service: expected"),
        ("[service.reboot]\ncommand=[\"x\"]\ninstances=2", ":3: service.reboot: unit name reboot.target: expected"),
    ])
    func refusals(_ text: String, _ message: String) {
        let error = #expect(throws: UsageError.self) { try units("[service.a]\ncommand = [\"x\"]\n\(text)\n") }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }
}
