import Testing

@testable import SandboxValues

/// `--mem`, `--mem-high`, `--swap`.
@Suite struct SizeTests {
    private let ram = ByteCount(8 << 30)
    private static let kibi: UInt64 = 1024
    private static let mebi = kibi * 1024
    private static let gibi = mebi * 1024
    private static let tebi = gibi * 1024

    private func bytes(_ text: String, percentOf total: UInt64 = 8 << 30) throws -> UInt64 {
        try MemoryAmount(parsing: text).bytes(of: ByteCount(total))
    }

    static let accepted: [(String, UInt64)] = [
        ("0", 0), ("1", 1), ("4096", 4096), ("007", 7), ("0K", 0),
        ("1K", kibi), ("1KiB", kibi), ("512M", 512 * mebi), ("512MiB", 512 * mebi),
        ("2G", 2 * gibi), ("2GiB", 2 * gibi), ("1T", tebi), ("1TiB", tebi),
        ("1.5K", 1536), ("0.5M", 512 * kibi), ("1.5G", 1536 * mebi), ("0.25TiB", 256 * gibi),
        ("9223372036854775807", UInt64(Int64.max)), ("8388607T", 8_388_607 * tebi),
    ]

    @Test(arguments: accepted)
    func reads(_ text: String, _ expected: UInt64) throws {
        #expect(try bytes(text) == expected)
    }

    /// A decimal fraction of a power of two, rounded down: a Double would be off by a bit for some.
    @Test func isExact() throws {
        #expect(try bytes("1.1G") == 11 * Self.gibi / 10)
        #expect(try bytes("1.1G") == 1_181_116_006)
        #expect(try bytes("0.1T") == 109_951_162_777)
        #expect(try bytes("0.000000001T") == 1099)
        #expect(try bytes("4095.999999999G") == 4096 * Self.gibi - 2)
        #expect(try bytes("8388607.999999999T") == (1 << 63) - 1100)
    }

    static let percentages: [(String, UInt64)] = [
        ("0%", 0), ("1%", 10), ("50%", 500), ("12.5%", 125), ("0.1%", 1), ("0.09%", 0), ("100%", 1000),
    ]

    @Test(arguments: percentages)
    func readsPercentages(_ text: String, _ expected: UInt64) throws {
        #expect(try bytes(text, percentOf: 1000) == expected)
    }

    @Test func percentagesOfMuchMemoryDoNotOverflow() throws {
        #expect(try bytes("99.999999999%", percentOf: 1 << 50) == 1_125_899_906_831_365)
    }

    static let refused = [
        // Named by the documentation.
        "MB", "2MB", "-1", "2 G", "1e3", "", "+5",
        // Units that could mean two things, or nothing.
        "2GB", "2KB", "2TB", "2g", "2k", "2m", "2Gi", "2kib", "2mib", "2B", "2b", "2P", "2E", "2bytes", "2GiBs",
        "G", "KiB", "%", "%5", "5%%", "5%G", "G2", "2G3", "2GM",
        // Blanks and signs.
        " 2G", "2G ", "2\tG", "\n2G", "2G\n", " ", "-2G", "+2G", "--2", "−2", "- 2",
        // Numbers of other notations.
        "0x10", "1_000", "1,5G", "1'000", "1e3K", "inf", "nan", "Max", "MAX", "maximum", "infinity", "unlimited",
        ".5G", "5.G", "5.", ".", "1.2.3G", "1..2G", "1.0000000001G",
        // A fraction of a byte.
        "1.5", "0.5", "1.000000001",
        // Digits that are not ASCII.
        "٤", "２G", "2\u{0301}", "½G", "Ⅳ", "²G", "2\u{200B}G", "2Ｇ", "2К",
        // Too much.
        "9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999",
        "99999999999999999999G", "18446744073709551615T",
    ]

    @Test(arguments: ["8388608T", "8589934592G"]) func tellsTheRange(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: MemoryAmount.acceptedRange)) { try bytes(text) }
    }

    @Test(arguments: refused) func refuses(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: MemoryAmount.accepted)) { try bytes(text) }
        if text != "max" {
            #expect(throws: LimitSyntaxError.self) { try Ceiling<MemoryAmount>(parsing: text, zeroAllowed: true) }
        }
    }

    @Test func maxIsNoNumber() throws {
        #expect(throws: LimitSyntaxError.self) { try bytes("max") }
        #expect(try Ceiling<MemoryAmount>(parsing: "max") == .max)
        #expect(try Ceiling<MemoryAmount>(parsing: "max").kernelText == "max")
        #expect(try Ceiling<MemoryAmount>(parsing: "max").value == nil)
    }

    @Test(arguments: ["0", "0K", "0G", "0.0001K", "0.000000001K"])
    func zeroMakesSenseForSwapOnly(_ text: String) throws {
        #expect(throws: LimitSyntaxError(accepted: "more than 0: " + MemoryAmount.accepted)) {
            try Ceiling<MemoryAmount>(parsing: text)
        }
        #expect(try Ceiling<MemoryAmount>(parsing: text, zeroAllowed: true) == .value(.bytes(0)))
    }

    @Test func noShareMakesSenseForSwapOnly() throws {
        #expect(throws: LimitSyntaxError.self) { try Ceiling<MemoryAmount>(parsing: "0%") }
        #expect(try Ceiling<MemoryAmount>(parsing: "0%", zeroAllowed: true).value?.bytes(of: ram) == 0)
    }

    /// Nobody knows how much it is before there is a machine to ask.
    @Test func aShareStaysOne() throws {
        let half = try Ceiling<MemoryAmount>(parsing: "50%")
        #expect(half.value?.bytes == nil)
        #expect(half.value?.bytes(of: ByteCount(1000)) == 500)
        #expect(half.value?.bytes(of: ByteCount(3 << 40)) == 3 << 39)
        #expect(half.unitText == "50%")
    }

    /// systemd reads hundredths of a percent, and none of it would be no limit or an error.
    @Test(arguments: [
        ("100%", "100%"), ("12.5%", "12.5%"), ("12.05%", "12.05%"), ("33.333333%", "33.33%"), ("0.001%", "0.01%"),
        ("99.999%", "99.99%"), ("007%", "7%"),
    ])
    func sharesInUnits(_ text: String, _ expected: String) throws {
        #expect(try Ceiling<MemoryAmount>(parsing: text).unitText == expected)
    }

    @Test func moreThanAllIsRefused() {
        for text in ["100.1%", "101%", "9223372036854775807%", "100.000000001%"] {
            #expect(throws: LimitSyntaxError(accepted: "at most 100%: " + MemoryAmount.accepted), "\(text)") {
                try MemoryAmount(parsing: text)
            }
        }
    }

    @Test func writesBytesForTheKernel() throws {
        #expect(try Ceiling<MemoryAmount>(parsing: "1.5K").kernelText == "1536")
        #expect(try Ceiling<MemoryAmount>(parsing: "0", zeroAllowed: true).kernelText == "0")
    }

    static let described: [(UInt64, String)] = [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_575, "1023.9 KiB"),
        (64 * mebi, "64.0 MiB"), (1536 * mebi, "1.5 GiB"), (tebi, "1.0 TiB"), (1024 * tebi, "1.0 PiB"),
        (UInt64.max, "15.9 EiB"),
    ]

    @Test(arguments: described)
    func describesItself(_ bytes: UInt64, _ expected: String) {
        #expect(ByteCount(bytes).description == expected)
    }

    @Test func isOrdered() {
        #expect(ByteCount(1) < ByteCount(2))
        #expect(!(ByteCount(2) < ByteCount(2)))
    }

    /// What cgrun prints for people is no input, but what it prints for the kernel is.
    @Test func readsBackWhatItWritesForTheKernel() throws {
        for _ in 0..<1_000 {
            let amount = MemoryAmount.bytes(UInt64.random(in: 1...UInt64(Int64.max)))
            #expect(try Ceiling(parsing: Ceiling.value(amount).kernelText) == .value(amount))
        }
    }
}
