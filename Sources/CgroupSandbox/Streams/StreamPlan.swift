internal import LinuxSystem
internal import SystemPackage

/// This program's ends of a job's standard streams.
final class JobStreams: Sendable {
    let input: InputChannel?
    let output: OutputChannel?
    let error: OutputChannel?

    init(input: InputChannel?, output: OutputChannel?, error: OutputChannel?) {
        self.input = input
        self.output = output
        self.error = error
    }

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
    private var closeAfterwards: [FileDescriptor] = []
    /// Makes this program's ends, from the job's terminal where it has one.
    private let streams: (PseudoTerminal?) -> JobStreams

    init(
        _ input: JobInput, _ output: OutputDestination, _ error: OutputDestination, _ loop: EventLoop
    ) throws(LaunchError) {
        do throws(SystemError) {
            var ends: [SharedDescriptor] = []
            var writer: InputChannel?
            switch input.kind {
            case .none: break
            case .bytes(let bytes):
                // A file in memory: nothing has to be fed to the job, and a job that does not read makes nobody wait.
                let file = try Descriptor.memoryFile(name: "cgrun-input")
                try file.write(bytes, path: "standard input")
                try file.rewind()
                ends.append(SharedDescriptor(file))
                descriptors[0] = ends.last?.descriptor.rawValue
            case .descriptor(let descriptor, let isClosed):
                descriptors[0] = descriptor.rawValue
                if isClosed { closeAfterwards.append(descriptor) }
            case .writer:
                let pipe = try Pipe()
                ends.append(pipe.reading)
                descriptors[0] = ends.last?.descriptor.rawValue
                try pipe.writing.descriptor.setNonblocking()
                writer = InputChannel(pipe.writing, loop)
            }
            var channels: [OutputChannel?] = [nil, nil]
            for (place, destination) in [output, error].enumerated() {
                var mode: OutputChannel.Mode?
                switch destination.kind {
                case .discarded: break
                case .captured(let limit): mode = .capture(limit: max(0, limit))
                case .sequence: mode = .sequence
                case .combined: descriptors[place + 1] = descriptors[1]
                case .descriptor(let descriptor, let isClosed):
                    descriptors[place + 1] = descriptor.rawValue
                    if isClosed, !closeAfterwards.contains(descriptor) { closeAfterwards.append(descriptor) }
                }
                guard let mode else { continue }
                let pipe = try Pipe()
                ends.append(pipe.writing)
                descriptors[place + 1] = ends.last?.descriptor.rawValue
                try pipe.reading.descriptor.setNonblocking()
                channels[place] = OutputChannel(pipe.reading, mode, loop)
            }
            jobsEnds = ends
            let streams = JobStreams(input: writer, output: channels[0], error: channels[1])
            self.streams = { _ in streams }
        } catch let failure {
            Self.close(input, output, error)
            throw LaunchError(failure)
        }
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
        let mode: OutputChannel.Mode
        switch output.kind {
        case .captured(let limit): mode = .capture(limit: max(0, limit))
        case .sequence: mode = .sequence
        case .discarded, .combined: mode = .capture(limit: 0)
        case .descriptor:
            mode = .sequence
            refusal = ("its output is read here, and cannot be a file", "output: .sequence")
        }
        switch error.kind {
        case .discarded, .combined: break
        default: refusal = ("errors come with the output", "error: .combinedWithOutput")
        }
        if let refusal {
            Self.close(input, output, error)
            throw LaunchError(.invalid, "on a terminal, \(refusal.what)", remedy: "use \(refusal.instead)")
        }
        streams = { terminal in
            guard let terminal else { return JobStreams(input: nil, output: nil, error: nil) }
            let typing = InputChannel(terminal, typing: text, loop)
            if case .writer = input.kind {} else { typing.finish() }
            return JobStreams(input: typing, output: OutputChannel(terminal.reading, mode, loop), error: nil)
        }
    }

    /// Closes the descriptors that the caller has handed over, also when the job is refused.
    private static func close(_ input: JobInput, _ output: OutputDestination, _ error: OutputDestination) {
        let given = [input.closedAfterwards, output.closedAfterwards, error.closedAfterwards].compactMap { $0 }
        for (index, descriptor) in given.enumerated() where !given[..<index].contains(descriptor) {
            try? descriptor.close()
        }
    }

    deinit {
        for descriptor in closeAfterwards { try? descriptor.close() }
    }

    /// What to place at 0, 1 and 2 in the job.
    func childDescriptors(null: CInt) -> [CInt] { descriptors.map { $0 ?? null } }

    /// Closes the job's ends here, which the job has by now, and returns this program's ends.
    consuming func takeStreams(_ terminal: PseudoTerminal?) -> JobStreams { streams(terminal) }
}
