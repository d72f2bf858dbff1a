internal import CgroupSandbox
internal import FoundationEssentials
internal import LinuxSystem
internal import SandboxValues
internal import Services

/// `cgrun-keeper`: looks after one service. `cgrun service start` starts it, and a guard becomes it after a loss, with
/// the service's directory in a message on descriptor 3.
enum KeeperCommand {
    static let name = "cgrun-keeper"

    static func run() -> CInt {
        do {
            let succession = try Succession()
            guard let path = Descriptor.path(of: succession.state.descriptor.rawValue) else { return 125 }
            let directory = ServiceDirectory(path)
            ThisProcess.setName(name)
            let keeper = try Keeper.start(directory, { try directory.order().spec() }, .json, succession)
            keeper?.run()
            return 0
        } catch {
            // For a debugger: nobody reads this otherwise. The record has the reason.
            Console().error("\(name): \(error)")
            return 125
        }
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
