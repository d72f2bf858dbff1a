import ArgumentParser
import CgroupSandbox
import FoundationEssentials
import SandboxValues
import Testing

@testable import cgrun

/// The table that launches read and the declarations that help and completions come from say the same.
@Suite struct GrammarTests {
    private struct Dump: Decodable {
        var command: Command

        struct Command: Decodable {
            var commandName: String
            var arguments: [Argument]?
            var subcommands: [Command]?
        }
        struct Argument: Decodable {
            var kind: String
            var isOptional: Bool
            var isRepeating: Bool
            var names: [Name]?
            var valueName: String?
            var abstract: String?
        }
        struct Name: Decodable {
            var kind: String
            var name: String
        }
    }

    private func dump() throws -> Dump.Command {
        try JSONDecoder().decode(Dump.self, from: Data(Cgrun._dumpHelp().utf8)).command
    }

    private func check(_ command: Dump.Command) throws {
        let own: Set = ["help", "version"]
        let declared = (command.arguments ?? []).filter { argument in
            argument.kind != "positional" && !(argument.names ?? []).contains { own.contains($0.name) }
        }
        var seen: Set<RunOption> = []
        for argument in declared {
            let names = argument.names ?? []
            let long = try #require(names.first { $0.kind == "long" }?.name)
            let option = try #require(RunOption.named(long), "--\(long) is not in the table")
            seen.insert(option)
            #expect(argument.kind == (option.valueName == nil ? "flag" : "option"), "--\(long)")
            #expect(names.filter { $0.kind == "short" }.map(\.name) == (option.short.map { [String($0)] } ?? []))
            #expect(names.count == (option.short == nil ? 1 : 2), "--\(long)")
            #expect(
                argument.isRepeating == [.setting(.setenv), .setting(.property), .limit(.ioMax)].contains(option),
                "--\(long)")
            #expect(argument.isOptional, "--\(long)")
            #expect(argument.abstract == option.help, "--\(long)")
            if let valueName = option.valueName { #expect(argument.valueName == valueName) }
        }
        #expect(seen == Set(RunOption.allCases))
        #expect(declared.count == RunOption.allCases.count)
    }

    @Test func theRootDeclaresTheTable() throws {
        try check(try dump())
    }

    @Test func runDeclaresTheTable() throws {
        let run = try #require(try dump().subcommands?.first { $0.commandName == "run" })
        try check(run)
        #expect(run.arguments?.contains { $0.kind == "positional" } == true)
    }

    @Test func thereAreTheseSubcommands() throws {
        let names = try dump().subcommands?.map(\.commandName).filter { $0 != "help" } ?? []
        #expect(names.sorted() == ["check", "down", "ps", "run", "service", "stress", "sweep", "unit", "up"])
    }

    @Test func namesAreUnlike() {
        #expect(
            Set(RunOption.allCases.compactMap(\.short)).count == RunOption.allCases.filter { $0.short != nil }.count)
        for option in RunOption.allCases {
            #expect(RunOption.named(option.name) == option)
            if let letter = option.short { #expect(RunOption.abbreviated(letter) == option) }
            #expect(!option.help.isEmpty && option.help.hasSuffix("."))
        }
        #expect(RunOption.named("help") == nil)
        #expect(RunOption.abbreviated("h") == nil)
    }

    /// ArgumentParser wants a property for each limit, which may be forgotten where the values are gathered.
    @Test(arguments: LimitKind.all) func unitsTakeEveryLimit(_ kind: LimitKind) throws {
        let value = try #require(SpellingTests.values.first { $0.0 == .limit(kind) }).1
        let options = try LimitOptions.parse([kind.flag, value])
        #expect(options.arguments == [kind.flag, value])
        #expect(try options.limits() == parse([kind.flag, value, "true"]).spec.job.limits)
        #expect(try options.limits() != Limits())
    }

    @Test func helpNamesEveryOption() {
        let help = Cgrun.helpMessage(columns: 100)
        for option in RunOption.allCases { #expect(help.contains("--\(option.name)"), "\(option.name)") }
        #expect(help.contains("124") && help.contains("125") && help.contains("127"))
    }
}
