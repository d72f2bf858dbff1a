internal import SandboxValues

/// One value for one v1 file.
struct LegacySetting {
    var file: String
    var value: String
    var limit: LimitName
    var readBack: LimitKind.ReadBack
    /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
    var origin: String?
}
