import Testing

@testable import SandboxValues

/// `--io-max`.
@Suite struct IOLimitTests {
    static let accepted: [(String, IOLimit)] = [
        ("/dev/sda:rbps=10M", IOLimit(.path("/dev/sda"), [.readBytes: .value(10 << 20)])),
        ("/:wbps=1.5K", IOLimit(.path("/"), [.writeBytes: .value(1536)])),
        ("8:0:riops=100", IOLimit(.number(major: 8, minor: 0), [.readOperations: .value(100)])),
        (
            "259:12:rbps=1G,wbps=max,riops=1,wiops=4294967294",
            IOLimit(
                .number(major: 259, minor: 12),
                [
                    .readBytes: .value(1 << 30), .writeBytes: .max, .readOperations: .value(1),
                    .writeOperations: .value(4_294_967_294),
                ])
        ),
        ("/a:b:wiops=max", IOLimit(.path("/a:b"), [.writeOperations: .max])),
    ]

    @Test(arguments: accepted) func reads(_ text: String, _ expected: IOLimit) throws {
        #expect(try IOLimit(parsing: text) == expected)
    }

    @Test(arguments: [
        "", ":", "/", "/:", "sda:rbps=1", "dev/sda:rbps=1", "/:rbps", "/:rbps=", "/:rbps=0", "/:rbps=-1", "/:rbps=50%",
        "/:rbps=1.5", "/:rbps=1,rbps=2", "/:rbps=1,", "/:,rbps=1", "/:RBPS=1", "/:bps=1", "/:riops=1K", "/:riops=0",
        "/:riops=4294967295", "/:riops=1.5", "/:rbps=1=2", "/ :rbps=1", "/a b:rbps=1", "/a\n:rbps=1", "/%h:rbps=1",
        "/\"a\":rbps=1", "/a/../b:rbps=1", "8:rbps=1", "8:0:0:rbps=1", "8:-1:rbps=1", ":0:rbps=1", "8::rbps=1",
        "0:5:rbps=1", "4294967296:0:rbps=1", "/:rbps=max1", "/:rbps=infinity",
    ]) func refuses(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: IOLimit.accepted)) { try IOLimit(parsing: text) }
    }

    private func limits(_ texts: String...) throws -> Limits {
        var limits = Limits()
        for text in texts { try LimitKind.ioMax.parse(text, &limits) }
        return limits
    }

    @Test func severalDevicesAreSeveralWrites() throws {
        let limits = try limits("8:0:wiops=5,rbps=1K", "/srv:wbps=max")
        let resolved = ResolvedLimits(limits, memory: ByteCount(0)) { device in
            if case .path = device { .number(major: 8, minor: 16) } else { device }
        }
        #expect(LimitKind.ioMax.kernelTexts(resolved.values) == ["8:0 rbps=1024 wiops=5", "8:16 wbps=max"])
        #expect(resolved.origin(of: .ioMax) == "/srv" && resolved.origin(of: .memoryMax) == nil)
        let legacy = try LimitKind.ioMax.legacyValues(resolved.values).map { "\($0.file)=\($0.text ?? "")" }
        #expect(
            legacy == [
                "blkio.throttle.read_bps_device=8:0 1024", "blkio.throttle.write_iops_device=8:0 5",
                "blkio.throttle.write_bps_device=8:16 0",
            ])
    }

    /// Units are for other machines, too, and systemd looks devices up itself.
    @Test func unitsNameWhatWasNamed() throws {
        let limits = try limits("8:0:wiops=5,rbps=1K", "/srv:wbps=max")
        #expect(
            LimitKind.ioMax.directives(limits).map { "\($0.name)=\($0.value)" } == [
                "IOReadBandwidthMax=/dev/block/8:0 1024", "IOWriteIOPSMax=/dev/block/8:0 5",
                "IOWriteBandwidthMax=/srv infinity",
            ])
    }

    /// As typed, and where two paths are on one disk.
    @Test func ofTwoTheStricterHolds() throws {
        let limits = try limits("/:rbps=2M,wbps=max", "/:rbps=1M", "/:wbps=5,riops=7", "8:0:riops=9,wiops=1")
        #expect(limits.ioMax.map(\.device) == [.path("/"), .number(major: 8, minor: 0)])
        let resolved = ResolvedLimits(limits, memory: ByteCount(0)) { _ in .number(major: 8, minor: 0) }
        #expect(LimitKind.ioMax.kernelTexts(resolved.values) == ["8:0 rbps=1048576 wbps=5 riops=7 wiops=1"])
    }

    @Test func aPathThatLeadsNowhereIsAnError() throws {
        struct Nowhere: Error {}
        let limits = try limits("/srv:wbps=1")
        #expect(throws: Nowhere.self) {
            _ = try ResolvedLimits(limits, memory: ByteCount(0)) { (_) throws(Nowhere) in throw Nowhere() }
        }
    }
}
