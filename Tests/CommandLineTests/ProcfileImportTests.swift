import CgroupSandbox
import SandboxValues
import Services
import SystemdUnits
import Testing

@testable import cgrun
@testable import cgrun_toml

/// A Procfile as a `cgrun.toml`.
@Suite struct ProcfileImportTests {
    @Test func wholeFile() throws {
        let text = """
            # the app
            release: bin/rails db:migrate

            web: bundle exec puma -p ${PORT:-3000}
              worker :  exec sidekiq -q "a b" 50%
            """
        let made = try ProcfileImport(
            try Procfile(text, path: "Procfile"), path: "Procfile", directory: nil, variables: .none)
        #expect(
            made.text.text == """
                # Written by cgrun service import from Procfile. `cgrun up` starts all of it, `cgrun down` stops it.
                # PORT is what foreman gives: 5000, or PORT of .env, to the first process, and 100 more to each
                # further one.

                [defaults]
                # foreman ends all processes once one has ended. Here one that fails is started again, and the
                # others go on.
                restart = "on-failure"

                # Runs to its end before the others are started, as at Heroku. foreman runs it beside them.
                [service.release]
                command = ["bin/rails", "db:migrate"]
                restart = "no"

                [service.web]
                command = ["sh", "-c", "exec bundle exec puma -p ${PORT:-3000}"]
                env = { PORT = "5100" }
                requires = { release = "completed" }

                [service.worker]
                command = ["sidekiq", "-q", "a b", "50%"]
                env = { PORT = "5200" }
                requires = { release = "completed" }

                """)
        let services = try serviceFile(made.text.text).services
        #expect(services.map(\.name.description) == ["release", "web", "worker"])
        #expect(services[0].spec.restart.policy == .no && services[1].spec.restart.policy == .onFailure)
        #expect(services[2].spec.launch.job.arguments == ["sidekiq", "-q", "a b", "50%"])
        #expect(services[2].spec.launch.job.environment.contains("PORT=5200"))
        #expect(services[1].order.requirements.map(\.description) == ["release=completed"])
        #expect(made.findings.map(\.key) == ["(end of a process)", "release"])
    }

    /// The file of variables, from which foreman also takes the first port.
    @Test func variables() throws {
        func text(_ variables: ProcfileImport.Variables, in directory: String? = nil) throws -> String {
            let procfile = try Procfile("a: x\n_b: y", path: "Procfile")
            let made = try ProcfileImport(procfile, path: "Procfile", directory: directory, variables: variables)
            return made.text.text
        }
        let beside = try text(.some(try EnvironmentFile.entries("A=1\nPORT=3000")))
        #expect(beside.contains("\nenv-file = \".env\"\n") && beside.contains("PORT = \"3000\""))
        #expect(beside.contains("[service.b]\n") && beside.contains("PORT = \"3100\""))
        let elsewhere = try text(.some([]), in: "/srv/app")
        #expect(elsewhere.contains("\ndir = \"/srv/app\"\nenv-file = \"/srv/app/.env\"\n"))
        let wrong = try text(.mistake(line: 3))
        #expect(!wrong.contains("\nenv-file") && wrong.contains("line 3 is not NAME=VALUE"))
    }

    /// Ports are told with the line of the file, whatever is there.
    @Test(arguments: [
        "9223372036854775807", "-5", "0", "65536", "abc", "\"3000 # c\"", "", "+80", "99999999999999999999", "8 0",
    ])
    func ports(_ port: String) throws {
        let procfile = try Procfile("a: x\nb: y", path: "Procfile")
        let error = #expect(throws: UsageError.self) {
            try ProcfileImport(
                procfile, path: "Procfile", directory: "/srv",
                variables: .some(try EnvironmentFile.entries("A=1\n\nPORT=\(port)\n")))
        }
        let value = port.replacing("\"", with: "")
        #expect(error?.message == "/srv/.env:3: PORT=\(value): expected a port from 1 to 65535")
    }

    @Test func portsOfMany() throws {
        func make(_ count: Int, _ variables: ProcfileImport.Variables) throws {
            let lines = (0..<count).map { "p\($0): x\n" }.joined()
            _ = try ProcfileImport(
                try Procfile(lines, path: "Procfile"), path: "Procfile", directory: nil, variables: variables)
        }
        try make(606, .none)
        let error = #expect(throws: UsageError.self) { try make(607, .none) }
        #expect(error?.message.hasPrefix("Procfile:607: p606: its PORT would be 65600 (") == true)
        let high = #expect(throws: UsageError.self) { try make(2, .some(try EnvironmentFile.entries("PORT=65500"))) }
        #expect(
            high?.message.hasPrefix("Procfile:2: p1: its PORT would be 65600 (.env:1: PORT=65500); expected") == true)
        try make(1, .some(try EnvironmentFile.entries("PORT=65535")))
    }

    /// foreman reads escapes between double quotes, and cgrun none.
    @Test(arguments: [("A=\"x\\ny\"", false), ("A='x\\ny'", true), ("A=x\\ny", true), ("A=\"xy\"", true)])
    func escapes(_ line: String, _ isExact: Bool) throws {
        let made = try ProcfileImport(
            try Procfile("a: x", path: "Procfile"), path: "Procfile", directory: nil,
            variables: .some(try EnvironmentFile.entries("B=1\n" + line)))
        let found = made.findings.first { $0.key == ".env" }
        #expect(found?.grade == (isExact ? .exact : .approximate))
        #expect(made.text.text.contains("line 2: to foreman") == !isExact)
    }

    @Test(arguments: [
        ("web: x\nweb: y", "Procfile:2: web: line 1 has this name"), ("web", "Procfile:1: web: expected NAME: COMMAND"),
        ("a b: x", "Procfile:1: a b: x: expected NAME: COMMAND"), ("# a\n\n", "there is no process in it"),
        ("web:", "Procfile:1: web:: expected NAME: COMMAND"),
        ("web: x 'y", "Procfile:1: web: expected a closing quote"),
    ])
    func mistakes(_ text: String, _ message: String) {
        let error = #expect(throws: UsageError.self) {
            try ProcfileImport(try Procfile(text, path: "Procfile"), path: "Procfile", directory: nil, variables: .none)
        }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    /// Without a shell where it would do nothing; and where it runs one command, this takes its place.
    @Test(arguments: [
        ("./server --port 8080", ["./server", "--port", "8080"]), ("a 'b c' \"d\"", ["a", "b c", "d"]),
        ("exec a b", ["a", "b"]), ("a b=c", ["a", "b=c"]), ("a 100%", ["a", "100%"]),
        ("exec -a x y", ["sh", "-c", "exec -a x y"]), ("exec a $B", ["sh", "-c", "exec a $B"]),
        ("a $PORT", ["sh", "-c", "exec a $PORT"]), ("a *.js", ["sh", "-c", "exec a *.js"]),
        ("a > log 2>&1", ["sh", "-c", "exec a > log 2>&1"]), ("a '$B'", ["sh", "-c", "exec a '$B'"]),
        ("a ';' '&'", ["sh", "-c", "exec a ';' '&'"]), ("a \\; b", ["sh", "-c", "exec a \\; b"]),
        ("a && b", ["sh", "-c", "a && b"]), ("a | b", ["sh", "-c", "a | b"]), ("a; b", ["sh", "-c", "a; b"]),
        ("a & b", ["sh", "-c", "a & b"]), ("(a)", ["sh", "-c", "(a)"]), ("a $(b)", ["sh", "-c", "a $(b)"]),
        ("cd x", ["sh", "-c", "cd x"]), (". env.sh", ["sh", "-c", ". env.sh"]), ("cd\tx", ["sh", "-c", "cd\tx"]),
        ("A=1 b", ["sh", "-c", "A=1 exec b"]), ("A='x y' B=\"$C\" d", ["sh", "-c", "A='x y' B=\"$C\" exec d"]),
        ("A=1 B=2", ["sh", "-c", "A=1 B=2"]), ("A=${B:-c d} e", ["sh", "-c", "A=${B:-c d} e"]),
        ("A=1 cd x", ["sh", "-c", "A=1 cd x"]), ("> out a", ["sh", "-c", "> out a"]),
        ("while a; do b; done", ["sh", "-c", "while a; do b; done"]), ("~/bin/a", ["sh", "-c", "exec ~/bin/a"]),
        ("a # 'b", ["sh", "-c", "exec a # 'b"]), ("{ a; }", ["sh", "-c", "{ a; }"]), ("! a", ["sh", "-c", "! a"]),
    ])
    func commands(_ command: String, _ words: [String]) throws {
        #expect(try ShellCommand.words(command) == words)
    }

    @Test(arguments: [("web: a", true), ("web:a", false), ("x: y\n[program:a]", false), ("", false), ("# x", false)])
    func likeAProcfile(_ text: String, _ isLike: Bool) { #expect(Procfile.isLike(text) == isLike) }
}

/// The writer of TOML, by what the reader makes of it.
@Suite struct TOMLValueTests {
    private func value(_ text: String) throws -> [Statement.Value] {
        guard case .statements(let statements) = StatementList(parsing: Array(text.utf8)) else {
            Issue.record("no TOML: \(text.inOneLine)")
            return []
        }
        return statements.map(\.value)
    }

    @Test func everyCharacter() throws {
        let scalars =
            (UInt32(1)...0x2FF).map { $0 } + [0x2028, 0xFEFF, 0xFFFD, 0xFFFE, 0xFDD0, 0x1F600, 0x1FFFE, 0x10FFFF]
        for scalar in scalars.compactMap(Unicode.Scalar.init) {
            let text = "a\(Character(scalar))b\(Character(scalar))"
            let line = TOMLValue.text(text).lines("k")[0]
            #expect(try value(line) == [.string(text)], "\(line)")
            #expect(line.inOneLine == line)
        }
    }

    @Test func anyText() throws {
        var random = SystemRandomNumberGenerator()
        let pieces = [
            "\"", "\\", "'", "\n", "\t", "#", "=", "[", "]", "{", "}", ",", " ", "%", "%i", "\\u", "é", "x", "\u{1}",
        ]
        for _ in 0..<300 {
            let texts = (0..<Int.random(in: 1...30, using: &random)).map { _ in
                (0..<Int.random(in: 0...12, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }
                    .joined()
            }
            let lines = TOMLValue.texts(texts).lines("k").joined(separator: "\n")
            #expect(try value(lines) == [.array(texts.map { .string($0) })], "\(lines)")
            // Keys are texts, too; TOML has each but once.
            let keys = Array(Set(texts)).sorted()
            let table = TOMLValue.table(keys.map { ($0, $0) }).lines("k").joined(separator: "\n")
            guard case .statements(let statements) = StatementList(parsing: Array(table.utf8)) else {
                Issue.record("no TOML: \(table)")
                continue
            }
            #expect(Set(statements.map(\.path)) == Set(keys.map { ["k", $0] }), "\(table)")
        }
    }

    @Test(arguments: [
        (["a1", "a2"], "a%i"), (["1-1", "2-2", "3-3"], "%i-%i"), (["x", "x"], "x"), (["50%", "50%"], "50%%"),
        (["a0", "a1"], nil), (["01", "02"], "0%i"), (["a1", "a2", "a4"], nil), (["1%i", "2%i"], "%i%%i"),
        (["a", "ab"], nil), (["only 1%"], "only 1%%"), (["11", "21", "31"], "%i1"),
    ])
    func templates(_ texts: [String], _ template: String?) {
        #expect(TOMLValue.template(of: texts.map { .text($0) }) == template.map { .text($0) })
    }

    /// With ten instances, the number has two digits once.
    @Test func templatesOfMany() {
        func template(_ format: (Int) -> String) -> TOMLValue? {
            TOMLValue.template(of: (1...12).map { .texts(["x", format($0)]) })
        }
        #expect(template { "w\($0)" } == .texts(["x", "w%i"]))
        #expect(template { "w" + digits($0, 2) } == nil)
    }

    @Test(arguments: [
        ("web", nil, "web"), ("_web", nil, "web"), ("a b/c", nil, "a-b-c"), ("é", nil, "service"), ("", nil, "service"),
        (String(repeating: "x", count: 60), nil, String(repeating: "x", count: 50)),
        (String(repeating: "x", count: 60), 10, String(repeating: "x", count: 47)), ("taken", nil, "taken-2"),
        ("inst@2", nil, "inst@2-2"),
    ])
    func names(_ text: String, _ instances: Int?, _ name: String) throws {
        var names = ImportedNames()
        #expect(names.name(for: "taken") == "taken" && names.name(for: "inst", instances: 3) == "inst")
        let made = names.name(for: text, instances: instances)
        #expect(made == name)
        _ = try ServiceName(made + (instances.map { "@\($0)" } ?? ""))
    }
}
