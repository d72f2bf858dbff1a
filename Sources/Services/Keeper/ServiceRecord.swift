package import Cgroups

/// What a keeper writes down at each change, for its successor and for those who ask when no keeper is there.
package struct ServiceRecord: Codable, Sendable {
    /// The boot that the rest is about: after another, nothing of the service runs.
    package var bootID: String?
    package var memory: ServiceMachine.Memory
    package var status: ServiceStatus
    /// Where the service's cgroups are made.
    package var places: ParentCgroups.Paths?
    /// Where the output of the last run begins in the log.
    package var logStart: UInt64
    /// What the service has in `NOTIFY_SOCKET`.
    package var notifyVariable: String?
}

/// How statuses and records become bytes. The library has no JSON of its own.
package struct ServiceCoding: Sendable {
    package var encodeStatus: @Sendable (ServiceStatus) throws -> [UInt8]
    package var decodeStatus: @Sendable ([UInt8]) throws -> ServiceStatus
    package var encodeRecord: @Sendable (ServiceRecord) throws -> [UInt8]
    package var decodeRecord: @Sendable ([UInt8]) throws -> ServiceRecord

    package init(
        encodeStatus: @escaping @Sendable (ServiceStatus) throws -> [UInt8],
        decodeStatus: @escaping @Sendable ([UInt8]) throws -> ServiceStatus,
        encodeRecord: @escaping @Sendable (ServiceRecord) throws -> [UInt8],
        decodeRecord: @escaping @Sendable ([UInt8]) throws -> ServiceRecord
    ) {
        self.encodeStatus = encodeStatus
        self.decodeStatus = decodeStatus
        self.encodeRecord = encodeRecord
        self.decodeRecord = decodeRecord
    }
}
