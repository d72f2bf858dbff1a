internal import ArgumentParser
internal import CgroupSandbox
internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Services

/// `cgrun-keeper`: looks after one service. `cgrun service start` starts it, and a guard becomes it after a loss, with
/// the service's directory in a message on descriptor 3.
enum KeeperCommand {
    static let name = KeeperWords.name

    /// - Parameter words: the words of the command line.
    static func run(_ words: [ByteString]) -> CInt {
        do {
            let token: String?
            switch KeeperWords.request(words.map(\.description)) {
            case .start(let directory, let token): throw try becomeKeeper(ServiceDirectory(directory), token)
            case .stop(let directory, let token): return try stop(ServiceDirectory(directory), token)
            case .keep(let given): token = given
            }
            let succession = try Succession()
            guard let path = Descriptor.path(of: succession.state.descriptor.rawValue) else { return 125 }
            let directory = ServiceDirectory(path)
            ThisProcess.setName(name)
            let keeper = try Keeper.start(directory, { try directory.order().spec() }, .json, succession, token: token)
            keeper?.run()
            return 0
        } catch {
            // For systemd's journal, or a debugger. What has become of a keeper, its record tells.
            Console().error("\(name): \(error)")
            return 125
        }
    }

    /// Executes the keeper in place of this process, with the environment that the service was started with: systemd has
    /// given this process another one.
    ///
    /// - Returns: why that cannot be.
    private static func becomeKeeper(_ directory: ServiceDirectory, _ token: String) throws -> SystemError {
        let state = try directory.open()
        let executable = try Descriptor(opening: "/proc/self/exe", O_RDONLY)
        return try ThisProcess.execute(
            executable, KeeperWords.own(token), directory.order().environment, control: Succession.queue(state: state))
    }

    /// Stops the service and waits for that, since systemd kills what is left when this returns.
    private static func stop(_ directory: ServiceDirectory, _ token: String) throws -> CInt {
        // The service may have been started anew since, elsewhere.
        guard directory.token == token else { return 0 }
        do { try ServiceActions(stopping: directory.store).stop([directory.name]) } catch let code as ExitCode {
            return code.rawValue
        }
        return 0
    }
}

extension ServiceDirectory.Order {
    /// How the service is to be run, as whoever started it has said.
    func spec() throws -> ServiceSpec {
        guard var spec = try ServiceRequest(parsing: words[...]).spec else {
            throw UsageError("the service has no command")
        }
        // Paths that were given are about the directory of whoever started the service.
        spec.launch.job.workingDirectory =
            spec.launch.job.workingDirectory.map { $0.below(workingDirectory) } ?? workingDirectory
        func below(_ path: String) -> String { ByteString(path.utf8)?.below(workingDirectory).description ?? path }
        spec.log.path = spec.log.path.map(below)
        spec.pidFile = spec.pidFile.map(below)
        return spec
    }
}

extension ByteString {
    /// The path, seen from a directory.
    fileprivate func below(_ directory: ByteString) -> ByteString {
        bytes.first == UInt8(ascii: "/") ? self : ByteString(directory.bytes + [UInt8(ascii: "/")] + bytes) ?? self
    }
}

extension ServiceCoding {
    static let json = ServiceCoding(
        encodeStatus: { [UInt8](try ReportOutput.encode($0)) },
        decodeStatus: { try JSONDecoder().decode(ServiceStatus.self, from: Data($0)) },
        encodeRecord: { [UInt8](try ReportOutput.encode($0)) },
        decodeRecord: { try JSONDecoder().decode(ServiceRecord.self, from: Data($0)) })
}
