public import SystemPackage

/// What a job reads.
public struct JobInput: Sendable {
    enum Kind: Sendable {
        case none
        case bytes([UInt8])
        case descriptor(FileDescriptor, isClosed: Bool)
        case writer
    }

    let kind: Kind

    /// Nothing: `/dev/null`.
    public static let none = JobInput(kind: .none)

    /// These bytes, from a file in memory.
    public static func bytes(_ bytes: some Sequence<UInt8>) -> JobInput { JobInput(kind: .bytes(Array(bytes))) }

    /// This text in UTF-8, from a file in memory.
    public static func string(_ text: String) -> JobInput { bytes(text.utf8) }

    /// An open file of this program's.
    ///
    /// - Parameters:
    ///   - descriptor: stays this program's; the job gets a duplicate.
    ///   - closeAfterSpawningProcess: whether this program's descriptor is closed, also when the job does not start.
    public static func fileDescriptor(
        _ descriptor: FileDescriptor, closeAfterSpawningProcess: Bool = false
    ) -> JobInput { JobInput(kind: .descriptor(descriptor, isClosed: closeAfterSpawningProcess)) }

    /// What `Job.write` writes, until `Job.finishInput`.
    public static let writer = JobInput(kind: .writer)
}

/// What becomes of what a job writes.
public protocol OutputMethod: Sendable {
    /// What the result of a run holds.
    associatedtype Value: Sendable
    /// Where the output goes.
    var destination: OutputDestination { get }
    /// Makes the value from what was captured; `bytes` is empty where nothing was.
    func value(of bytes: [UInt8]) -> Value
}

/// Where a job's output goes.
public struct OutputDestination: Sendable {
    enum Kind: Sendable {
        case discarded
        case captured(limit: Int)
        case descriptor(FileDescriptor, isClosed: Bool)
        case sequence
        case combined
    }

    let kind: Kind

    /// `/dev/null`.
    public static let discarded = OutputDestination(kind: .discarded)

    /// Kept in memory, up to `limit` bytes. More is read and dropped, so that the job does not wait.
    public static func captured(limit: Int) -> OutputDestination { OutputDestination(kind: .captured(limit: limit)) }
}

/// Output that nobody wants.
public struct DiscardedOutput: OutputMethod {
    /// `/dev/null`.
    public var destination: OutputDestination { .discarded }
    /// Nothing.
    public func value(of bytes: [UInt8]) {}
}

/// Output as text.
public struct StringOutput: OutputMethod {
    /// How many bytes are kept at most.
    public var limit: Int
    /// Memory of this program.
    public var destination: OutputDestination { .captured(limit: limit) }
    /// The text; bytes that are not UTF-8 become U+FFFD.
    public func value(of bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// Output byte for byte.
public struct BytesOutput: OutputMethod {
    /// How many bytes are kept at most.
    public var limit: Int
    /// Memory of this program.
    public var destination: OutputDestination { .captured(limit: limit) }
    /// The bytes as they are.
    public func value(of bytes: [UInt8]) -> [UInt8] { bytes }
}

/// Output that goes into an open file.
public struct DescriptorOutput: OutputMethod {
    let descriptor: FileDescriptor
    let isClosed: Bool
    /// The open file.
    public var destination: OutputDestination { OutputDestination(kind: .descriptor(descriptor, isClosed: isClosed)) }
    /// Nothing.
    public func value(of bytes: [UInt8]) {}
}

/// Output that is read from `Job.standardOutput` or `Job.standardError` as it comes.
public struct SequenceOutput: OutputMethod {
    /// A pipe that is read when somebody asks.
    public var destination: OutputDestination { OutputDestination(kind: .sequence) }
    /// Nothing: the output was for the body.
    public func value(of bytes: [UInt8]) {}
}

/// Errors that go where the output goes.
public struct CombinedOutput: OutputMethod {
    /// Where the output goes.
    public var destination: OutputDestination { OutputDestination(kind: .combined) }
    /// Nothing: the errors are in the output.
    public func value(of bytes: [UInt8]) {}
}

extension OutputMethod where Self == DiscardedOutput {
    /// `/dev/null`.
    public static var discarded: DiscardedOutput { DiscardedOutput() }
}

extension OutputMethod where Self == StringOutput {
    /// The first `limit` bytes as text. More is read and dropped, and marked as truncated.
    public static func string(limit: Int) -> StringOutput { StringOutput(limit: limit) }
}

extension OutputMethod where Self == BytesOutput {
    /// The first `limit` bytes. More is read and dropped, and marked as truncated.
    public static func bytes(limit: Int) -> BytesOutput { BytesOutput(limit: limit) }
}

extension OutputMethod where Self == DescriptorOutput {
    /// An open file of this program's.
    ///
    /// - Parameters:
    ///   - descriptor: stays this program's; the job gets a duplicate.
    ///   - closeAfterSpawningProcess: whether this program's descriptor is closed, also when the job does not start.
    public static func fileDescriptor(
        _ descriptor: FileDescriptor, closeAfterSpawningProcess: Bool = false
    ) -> DescriptorOutput { DescriptorOutput(descriptor: descriptor, isClosed: closeAfterSpawningProcess) }
}

extension OutputMethod where Self == SequenceOutput {
    /// Read from the job as it comes. What nobody reads makes the job wait.
    public static var sequence: SequenceOutput { SequenceOutput() }
}

extension OutputMethod where Self == CombinedOutput {
    /// For errors: wherever the output goes, in the order of writing.
    public static var combinedWithOutput: CombinedOutput { CombinedOutput() }
}
