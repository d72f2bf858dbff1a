internal import ArgumentParser
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

let version = "0.1.0"

/// Starting ArgumentParser costs more than a whole launch. So `run` is parsed by table, and
/// ArgumentParser is asked only for what is not a well-formed `run`.
func cgrun() -> ExitStatus {
    // Asked before anything else: if the parent dies after this, its loss is noticed.
    let parent = ThisProcess.parentID
    InheritedDescriptor.occupyStandardStreams()
    let arguments = ThisProcess.arguments
    if arguments.first?.description == FinishCommand.name {
        return .exited(code: FinishCommand.run())
    }
    if arguments.first?.description == KeeperCommand.name { return .exited(code: KeeperCommand.run(arguments)) }
    let words = arguments.dropFirst()
    guard let first = words.first,
        !["sweep", "check", "unit", "help", "service", "up", "down", "ps", "stress"].contains(first)
    else {
        return words.starts(with: ["service", "start"])
            ? startService(words.dropFirst(2)) : parseWithArgumentParser(words.map(\.description))
    }
    do {
        let request = try RunRequest(parsing: first == "run" ? words.dropFirst() : words)
        return RunCommand(request: request, parent: parent).run()
    } catch let error as UsageError {
        Console().error(error.message)
        return .exited(code: 125)
    } catch let unknown as RunRequest.UnknownOption where words.count > 1 && unknown.name != first.description {
        // --help, or a mistake that ArgumentParser can name best when it sees nothing else.
        return parseWithArgumentParser((first == "run" ? ["run"] : []) + [unknown.name])
    } catch {
        // An option of ArgumentParser's own, such as --generate-completion-script bash.
        return parseWithArgumentParser(words.map(\.description))
    }
}

/// The options of `run` among those of `service start` are parsed by the same table.
func startService(_ words: ArraySlice<ByteString>) -> ExitStatus {
    var code: CInt = 0
    do { try ServiceActions(isLong: true).start(words) } catch let unknown as RunRequest.UnknownOption {
        // --help, or a mistake that ArgumentParser can name best when it sees nothing else.
        let name = unknown.name.hasPrefix("-h") || unknown.name == "--help" ? [] : ["name"]
        code = run(["service", "start"] + name + [unknown.name])
    } catch let exit as ExitCode { code = exit.rawValue } catch {
        Console().error("\(error)")
        code = 125
    }
    return .exited(code: code)
}

func parseWithArgumentParser(_ arguments: [String]) -> ExitStatus { .exited(code: run(arguments)) }

private func run(_ arguments: [String]) -> CInt {
    // Each subcommand is parsed by itself: the root has options of the same names, and would take them.
    let subcommands: [any ParsableCommand.Type] = [
        SweepCommand.self, CheckCommand.self, UnitCommand.self, ServiceCommand.self, UpCommand.self, DownCommand.self,
        PSCommand.self, StressCommand.self,
    ]
    let subcommand = subcommands.first { $0.configuration.commandName == arguments.first }
    let root = subcommand ?? Cgrun.self
    let arguments = subcommand is StressCommand.Type ? StressCommand.parted(arguments) : arguments
    do {
        var command = try root.parseAsRoot(Array(arguments.dropFirst(subcommand == nil ? 0 : 1)))
        if command is Cgrun || command is Run || command is ServiceStart {
            throw UsageError("no command given; expected cgrun [options] [--] command [argument…]")
        }
        try command.run()
        return 0
    } catch let code as ExitCode {
        return code.rawValue
    } catch let error as UsageError {
        Console().error(error.message)
        return 125
    } catch let error as SystemError {
        // The reader of a pipe has seen enough.
        if error.errno == .brokenPipe, error.path == "standard output" { return 128 + Signal.pipe.rawValue }
        Console().error("\(error)")
        return 125
    } catch {
        let message = root.fullMessage(for: error)
        if root.exitCode(for: error) == .success {
            print(message)
            return 0
        }
        let line = message.split(separator: "\n").first.map(String.init) ?? ""
        Console().error((line.hasPrefix("Error: ") ? String(line.dropFirst(7)) : line) + "; see cgrun --help")
        return 125
    }
}

// Nothing is left to tear down, and tearing down takes longer than a system call.
ThisProcess.end(as: StandardOutput.flush(cgrun()))
