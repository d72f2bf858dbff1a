internal import LinuxSystem
internal import SandboxValues

/// Looks again and again whether something holds.
///
/// - Returns: whether it held within this time.
func holds<Failure>(
    within bound: Duration, _ condition: () throws(Failure) -> Bool
) throws(Failure) -> Bool {
    let end = BootTime.now + bound
    while try !condition() {
        guard BootTime.now < end else { return false }
        Poller.pause(.milliseconds(5))
    }
    return true
}

extension Duration {
    /// `15ms`, `1.2s`.
    var shortText: String {
        seconds < 1 ? "\(Int(seconds * 1000))ms" : "\((seconds * 10).rounded() / 10)s"
    }
}
