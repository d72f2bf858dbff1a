internal import LinuxSystem
internal import SystemPackage

/// This program's ends of a job's standard streams.
struct JobStreams: Sendable {
    var input: InputChannel?
    var output: OutputChannel?
    var error: OutputChannel?

    func begin() {
        output?.begin()
        error?.begin()
    }

    /// To be called when nobody in this program reads the sequences or writes input any more.
    func discardRest() {
        input?.finish()
        output?.discardRest()
        error?.discardRest()
    }

    func end() {
        input?.end()
        output?.end()
        error?.end()
    }
}

/// Both ends of a job's standard streams, before it starts.
struct StreamPlan: ~Copyable {
    private var descriptors: [CInt?] = [nil, nil, nil]
    /// The job's ends, which this process closes once the job has them.
    private var jobsEnds: [SharedDescriptor] = []
    private let given: GivenDescriptors
    /// Makes this program's ends, from the job's terminal where it has one.
    private let streams: (PseudoTerminal?) -> JobStreams

    init(
        _ input: JobInput, _ output: OutputDestination, _ error: OutputDestination, _ loop: EventLoop
    ) throws(LaunchError) {
        given = GivenDescriptors(input, output, error)
        do throws(SystemError) {
            var streams = JobStreams()
            switch input.kind {
            case .none: break
            case .bytes(let bytes):
                // A file in memory: nothing has to be fed to the job, and a job that does not read makes nobody wait.
                let file = try Descriptor.memoryFile(name: "cgrun-input")
                try file.write(bytes, path: "standard input")
                try file.rewind()
                jobsEnds.append(SharedDescriptor(file))
                descriptors[0] = jobsEnds.last?.descriptor.rawValue
            case .descriptor(let descriptor, _): descriptors[0] = descriptor.rawValue
            case .writer:
                let pipe = try Pipe()
                jobsEnds.append(pipe.reading)
                descriptors[0] = pipe.reading.descriptor.rawValue
                try pipe.writing.descriptor.setNonblocking()
                streams.input = InputChannel(pipe.writing, loop)
            }
            for (place, destination, channel) in [(1, output, \JobStreams.output), (2, error, \.error)] {
                switch destination.kind {
                case .discarded, .captured, .sequence: break
                case .combined: descriptors[place] = descriptors[1]
                case .descriptor(let descriptor, _): descriptors[place] = descriptor.rawValue
                }
                guard let mode = destination.mode else { continue }
                let pipe = try Pipe()
                jobsEnds.append(pipe.writing)
                descriptors[place] = pipe.writing.descriptor.rawValue
                try pipe.reading.descriptor.setNonblocking()
                streams[keyPath: channel] = OutputChannel(pipe.reading, mode, loop)
            }
            self.streams = { [streams] _ in streams }
        } catch let failure { throw LaunchError(failure) }
    }

    /// For a job with a terminal, which is input, output and errors in one, and whose other end this program has.
    init(
        onTerminal input: JobInput, _ output: OutputDestination, _ error: OutputDestination, _ loop: EventLoop
    ) throws(LaunchError) {
        var refusal: (what: String, instead: String)?
        var text: [UInt8] = []
        switch input.kind {
        case .none, .writer: break
        case .bytes(let bytes): text = bytes
        case .descriptor: refusal = ("its input is typed, and cannot be a file", "input: .writer or .bytes")
        }
        let mode = output.mode ?? .capture(limit: 0)
        if case .descriptor = output.kind {
            refusal = ("its output is read here, and cannot be a file", "output: .sequence")
        }
        switch error.kind {
        case .discarded, .combined: break
        default: refusal = ("errors come with the output", "error: .combinedWithOutput")
        }
        given = GivenDescriptors(input, output, error)
        if let refusal {
            throw LaunchError(.invalid, "on a terminal, \(refusal.what)", remedy: "use \(refusal.instead)")
        }
        streams = { terminal in
            guard let terminal else { return JobStreams() }
            let typing = InputChannel(terminal, typing: text, loop)
            if case .writer = input.kind {} else { typing.finish() }
            return JobStreams(input: typing, output: OutputChannel(terminal.reading, mode, loop))
        }
    }

    /// What to place at 0, 1 and 2 in the job.
    func childDescriptors(null: CInt) -> [CInt] { descriptors.map { $0 ?? null } }

    /// Closes the job's ends here, which the job has by now, and returns this program's ends.
    consuming func takeStreams(_ terminal: PseudoTerminal?) -> JobStreams { streams(terminal) }
}

extension OutputDestination {
    /// How this program reads the output; `nil`: it does not.
    fileprivate var mode: OutputChannel.Mode? {
        switch kind {
        case .captured(let limit): .capture(limit: max(0, limit))
        case .sequence: .sequence
        case .discarded, .combined, .descriptor: nil
        }
    }
}

/// The descriptors that the caller has handed over. They are closed with this value, also when the job is refused.
private struct GivenDescriptors: ~Copyable {
    /// A set, since output and errors may share one.
    private var descriptors: Set<FileDescriptor> = []

    init(_ input: JobInput, _ output: OutputDestination, _ error: OutputDestination) {
        if case .descriptor(let given, isClosed: true) = input.kind { descriptors.insert(given) }
        for case .descriptor(let given, isClosed: true) in [output.kind, error.kind] { descriptors.insert(given) }
    }

    deinit { for descriptor in descriptors { try? descriptor.close() } }
}
