public import LinuxSystem
internal import SystemPackage

/// The process that started this one, as something that can be lost.
public final class ParentWatch: Sendable {
    /// `nil` for a parent that cannot be lost: init, or one outside the pid namespace.
    private let process: ProcessDescriptor?
    /// It was gone before it could be watched.
    private let isLostAlready: Bool

    /// - Parameter parent: `ThisProcess.parentID` as it was when this process started, so that a
    ///   parent that died since counts as lost and not as replaced by init. One that died before is
    ///   noticed only if whoever adopts orphans is of another session; else it passes for the parent.
    public init(_ parent: ProcessID) throws(SystemError) {
        guard parent > 1 else {
            process = nil
            isLostAlready = parent == 1 && !ThisProcess.sharesSession(with: parent)
            return
        }
        do {
            process = try ProcessDescriptor(pid: parent)
            // The pid may have been taken by somebody else in between. And one that died before this
            // process could ask for it shows as a reaper, of another session than the one inherited.
            isLostAlready = ThisProcess.parentID != parent || !ThisProcess.sharesSession(with: parent)
        } catch  where error.errno == .noSuchProcess {
            process = nil
            isLostAlready = true
        }
    }

    /// Whether it is gone by now.
    var isLost: Bool {
        switch process {
        case .some(let process): isLostAlready || process.hasEnded
        case .none: isLostAlready
        }
    }

    /// The parent's pidfd.
    var descriptor: CInt? {
        switch process {
        case .some(let process): process.descriptor.rawValue
        case .none: nil
        }
    }
}
