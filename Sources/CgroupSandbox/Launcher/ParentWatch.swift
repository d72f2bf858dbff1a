public import LinuxSystem
internal import SystemPackage

/// The process that started this one, and whether it is lost.
public final class ParentWatch: Sendable {
    /// `nil` for a parent that cannot be lost: init, or one outside the pid namespace.
    private let process: ProcessDescriptor?
    /// Whether the parent was gone before it could be watched.
    private let isLostAlready: Bool
    /// Whether the parent is outside this pid namespace, as that of a container's first process is. Nobody in here can
    /// notice its loss.
    package let isHidden: Bool

    /// - Parameter parent: `ThisProcess.parentID` as it was when this process started, so that a parent that has died
    ///   since counts as lost. A parent that died before counts as lost only if the process that adopts orphans is in
    ///   another session; else that process passes for the parent.
    public init(_ parent: ProcessID) throws(SystemError) {
        isHidden = parent == 0
        guard parent > 1 else {
            process = nil
            isLostAlready = parent == 1 && !ThisProcess.sharesSession(with: parent)
            return
        }
        do {
            process = try ProcessDescriptor(pid: parent)
            // If `parentID` has changed, the parent is dead, and another process may have got its pid. If the parent
            // was dead before, `parent` is the process that adopts orphans, which is in another session.
            isLostAlready = ThisProcess.parentID != parent || !ThisProcess.sharesSession(with: parent)
        } catch  where error.errno == .noSuchProcess {
            process = nil
            isLostAlready = true
        }
    }

    /// Whether the parent is gone by now.
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
